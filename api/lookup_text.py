"""The text of an answer to a lookup, in our shape and in Feast's: put together from parts, each written once.

What entities share is written once for all features of a view: statuses, event times, sources. Numbers go from the
mapped columns through numpy into text, without a Python object for each.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from foldstore.api.json_values import is_finite_number, json_columns, json_values, narrow_texts, number_list, row_texts
from foldstore.api.json_values import json_text as _text
from foldstore.views.instant import format_instant
from foldstore.views.online.cells import Cells
from foldstore.views.online.reader import NOWHERE, FoundMany
from foldstore.views.online.result import FoundGroup, OnlineColumn, OnlineResult, with_nulls
from foldstore.views.online.status import FeatureStatus

_EPOCH: Final = "1970-01-01T00:00:00Z"
_MANY: Final = 8  # from here on numpy writes faster than one value after another
_SECOND: Final = 10**9
_PLAIN_TYPES: Final = frozenset({str, int, bool, type(None)})
_TAIL: Final = b',"statuses":%b,"event_timestamps":%b,"sources":%b}'
_ONE_TAIL: Final = b"]" + _TAIL
_PRESENT, _NULL = FeatureStatus.PRESENT, FeatureStatus.NULL_VALUE
_STATUS_TEXTS: Final[Mapping[FeatureStatus, bytes]] = {each: b'"%b"' % each.encode() for each in FeatureStatus}


class _Shared(NamedTuple):
    """What the features of a view have in common, as it is written: lists of statuses, times and sources."""

    statuses: bytes
    times: bytes
    sources: bytes


# A feature as it is written: its name in quotes, the list of its values, and what it shares.
_Column: TypeAlias = tuple[bytes, bytes, _Shared]


def write_answer(result: OnlineResult, *, wide_as_text: bool = False, request_id: str | None = None) -> bytes:
    """Return an answer in our shape.

    Parameters
    ----------
    result : OnlineResult
        What was found.
    wide_as_text : bool
        Write integers beyond 2**53 as text.
    request_id : str, optional
        What the caller calls its request.
    """
    groups = result.plain_groups
    features = None if wide_as_text or not groups else _one_row(groups)
    if features is None:
        features = _features(_columns(result, _Times(b"null"), wide_as_text=wide_as_text))
    entities = b",".join([b"%b:%b" % (_text(name), _request_list(each)) for name, each in result.entities.items()])
    start = b'{%b"service":%b,"at":%b,"entities":{%b},"features":{' % (
        _named(request_id),
        _text(result.service),
        instant_text(result.at),
        entities,
    )
    if features:
        features[0] = features[0][1:]  # the comma before the first
    return b"".join((start, *features, b"}}"))


def _features(columns: Iterator[_Column]) -> list[bytes]:
    """Write features by name, in pieces; a comma stands before each feature."""
    pieces, last, tail = list[bytes](), None, b""
    for name, values, shared in columns:
        if shared is not last:
            last, tail = shared, _TAIL % shared
        pieces += (b',%b:{"values":' % name, values, tail)
    return pieces


def _one_row(groups: Sequence[FoundGroup]) -> list[bytes] | None:
    """Write the features of one entity as `_features` does; None where not every value is there."""
    pieces = list[bytes]()
    for group in groups:
        found = group.found
        if found.layer_of is not None or len(found.rows) != 1 or found.rows[0] == NOWHERE:
            return None
        texts = row_texts(group.layers[0].cells.choose(group.features), found.rows[0])
        if b"null" in texts:
            return None
        time = found.event_times[0]
        times = b"[null]" if time is None else b"[%b]" % instant_text(time)
        tail = _ONE_TAIL % (_statuses(found.statuses), times, _sources(group.reader.sources))
        part = [tail] * (3 * len(texts))
        part[::3], part[1::3] = _heads(group.names), texts
        pieces += part
    return pieces


def write_feast_answer(
    result: OnlineResult, *, epoch_for_missing: bool = False, request_id: str | None = None
) -> bytes:
    """Return an answer in Feast's shape: a list of columns, the keys first.

    Parameters
    ----------
    result : OnlineResult
        What was found.
    epoch_for_missing : bool
        Write 1970 for no time, as Feast does, and not null.
    request_id : str, optional
        What the caller calls its request.
    """
    missing = _text(_EPOCH) if epoch_for_missing else b"null"
    columns = list(_columns(result, _Times(missing)))
    # What a transform made of a value that the request brought stands under its name alone.
    entities = {name: values for name, values in result.entities.items() if name not in result.names}
    form = b'{"values":%b,"statuses":%b,"event_timestamps":%b}'
    keys = [
        form % (_request_list(values), _given_statuses(values), _list([missing] * len(values)))
        for values in entities.values()
    ]
    features = [form % (values, shared.statuses, shared.times) for _, values, shared in columns]
    names = _list([*map(_text, entities), *map(_text, result.names)])
    versions = b",".join([b"%b:%b" % (name, shared.sources) for name, _, shared in columns])
    return b'{"metadata":{%b"feature_names":%b,"service":%b,"as_of":%b,"versions":{%b}},"results":[%b]}' % (
        _named(request_id),
        names,
        _text(result.service),
        instant_text(result.at),
        versions,
        b",".join(keys + features),
    )


class _Times:
    """Writes event times, each list once: the features of a view share theirs."""

    def __init__(self, missing: bytes) -> None:
        self._missing = missing
        self._source: Sequence[int | None] | None = None
        self._text = b""

    def write(self, times: Sequence[int | None]) -> bytes:
        if times is not self._source:
            self._source, self._text = times, _list(self._texts(times))
        return self._text

    def _texts(self, times: Sequence[int | None]) -> list[bytes]:
        if len(times) < _MANY:
            return [self._missing if time is None else instant_text(time) for time in times]
        first = times[0]
        if first is not None and times.count(first) == len(times):
            return [instant_text(first)] * len(times)
        return [self._missing if time is None else text for time, text in zip(times, _instants(times), strict=True)]


def _instants(times: Sequence[int | None]) -> list[bytes]:
    """Write many instants: the seconds by numpy, and fractions only where there are any."""
    numbers = np.array([0 if time is None else time for time in times], dtype=np.int64)
    seconds, rests = np.divmod(numbers, _SECOND)
    texts = [text.encode() for text in np.datetime_as_string(seconds.astype("datetime64[s]")).tolist()]
    if not rests.any():
        return [b'"%bZ"' % text for text in texts]
    return [instant_text(number) for number in numbers.tolist()]


def _columns(result: OnlineResult, times: _Times, *, wide_as_text: bool = False) -> Iterator[_Column]:
    groups = result.plain_groups
    if not groups:
        yield from _converted(list(result.columns()), times, wide_as_text=wide_as_text)
    for group in groups:
        if group.found.layer_of is None:
            yield from _group_columns(group, times, wide_as_text=wide_as_text)
        else:
            yield from _converted(list(group.columns()), times, wide_as_text=wide_as_text)


def _converted(columns: Sequence[OnlineColumn], times: _Times, *, wide_as_text: bool) -> Iterator[_Column]:
    """Write columns whose values are Python's already."""
    for column, values in zip(columns, json_columns(columns, wide_as_text=wide_as_text), strict=True):
        yield (
            _text(column.name),
            _text(values),
            _Shared(_statuses(column.statuses), times.write(column.event_times), _sources(column.sources)),
        )


def _group_columns(group: FoundGroup, times: _Times, *, wide_as_text: bool) -> Iterator[_Column]:
    """Write the features of one view whose rows are in one file."""
    found, cells_of = group.found, group.layers[0].cells
    names = _quoted(group.names)
    shared = _Shared(_statuses(found.statuses), times.write(found.event_times), _sources(group.reader.sources))
    if len(found.rows) == 1 and found.rows[0] != NOWHERE and not wide_as_text:
        texts = row_texts(cells_of.choose(group.features), found.rows[0])
        null = shared._replace(statuses=_repeated(_NULL, 1)) if b"null" in texts else shared
        for name, text in zip(names, texts, strict=True):
            yield name, b"[%b]" % text, null if text == b"null" else shared
        return
    rows = np.array(found.rows, dtype=np.int64)
    known = None if NOWHERE not in found.rows else rows >= 0
    if known is None and not wide_as_text:
        written = narrow_texts(cells_of.choose(group.features), rows)
        if written is not None:
            for name, text in zip(names, written, strict=True):
                yield name, text, shared
            return
    for feature, name in zip(group.features, names, strict=True):
        text, statuses = _file_column(cells_of[feature], found, rows, known, wide_as_text=wide_as_text)
        yield name, text, shared if statuses is None else shared._replace(statuses=_statuses(statuses))


def _file_column(
    cells: Cells, found: FoundMany, rows: NDArray[np.int64], known: NDArray[np.bool_] | None, *, wide_as_text: bool
) -> tuple[bytes, Sequence[FeatureStatus] | None]:
    """Write a feature's values; return its statuses too, where nulls make them its own."""
    if cells.numbers is None or (wide_as_text and cells.numbers.dtype.kind in "iu"):
        values = cells.many(found.rows)
        text = _text(json_values(values, cells.type, wide_as_text=wide_as_text))
        return text, with_nulls(values, found.statuses) if cells.nullable else None
    numbers, there = cells.take(rows, known)
    text = number_list(numbers, there)
    return text, None if there is known else _null_where_not(there, found.statuses)


def _null_where_not(there: NDArray[np.bool_] | None, found: Sequence[FeatureStatus]) -> Sequence[FeatureStatus]:
    if there is None:
        return found
    return [
        _NULL if status is _PRESENT and not is_there else status
        for is_there, status in zip(there.tolist(), found, strict=True)
    ]


def _statuses(statuses: Sequence[FeatureStatus]) -> bytes:
    first = statuses[0]
    if statuses.count(first) == len(statuses):
        return _repeated(first, len(statuses))
    return _list([_STATUS_TEXTS[status] for status in statuses])


@lru_cache(maxsize=1_000)
def _repeated(status: FeatureStatus, count: int) -> bytes:
    return _list([_STATUS_TEXTS[status]] * count)


def status_list(status: FeatureStatus) -> bytes:
    """Write the list of one status."""
    return _repeated(status, 1)


def _given_statuses(values: Sequence[Any]) -> bytes:
    return _statuses([_NULL if value is None else _PRESENT for value in values])


@lru_cache(maxsize=1_000)
def _quoted(names: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(map(_text, names))


@lru_cache(maxsize=1_000)
def _heads(names: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple([b',%b:{"values":[' % name for name in _quoted(names)])


@lru_cache(maxsize=1_000)
def _sources(sources: tuple[str, ...]) -> bytes:
    return _text(sources)


def _request_list(values: Sequence[Any]) -> bytes:
    """Write what a request brought; it came from JSON, but for callers in the same process."""
    if _PLAIN_TYPES.issuperset(map(type, values)):
        return _text(values)
    return _text(
        [value if isinstance(value, str | int | None) or is_finite_number(value) else str(value) for value in values]
    )


def _named(request_id: str | None) -> bytes:
    return b"" if request_id is None else b'"request_id":%b,' % _text(request_id)


def instant_text(nanoseconds: int) -> bytes:
    """Write an instant, in quotes."""
    return b'"%b"' % format_instant(nanoseconds).encode()


def _list(texts: Sequence[bytes]) -> bytes:
    return b"[%b]" % b",".join(texts)
