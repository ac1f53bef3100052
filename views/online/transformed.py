"""Lookups whose features go through a fitted transform: the same columns, to the bit, that a model was trained on."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from foldstore.errors import SchemaMismatchError, UsageError
from foldstore.views.instant import parse_instant
from foldstore.views.online.entities import Entities, count_entities, read_entities, value_missing
from foldstore.views.online.result import FoundGroup, OnlineColumn, OnlineResult, OnlineRow
from foldstore.views.online.service import Instant, OnlineHandle, OnlineService
from foldstore.views.online.status import STATUS_CODES, FeatureStatus
from foldstore.views.transforms.numbers import plain_values
from foldstore.views.transforms.transform import FittedTransform

_PRESENT, _NULL = FeatureStatus.PRESENT, FeatureStatus.NULL_VALUE


@dataclass(frozen=True, slots=True)
class TransformedResult(OnlineResult):
    """What a transform made of the features of some entities.

    A value that comes of several features has the gravest of their statuses, and the oldest of their times: one that
    was filled in where nothing was known is there, with the status NOT_FOUND.

    Attributes
    ----------
    outputs : tuple of OnlineColumn
        The columns that came out.
    made : pyarrow.Table
        The same, as they are.
    """

    outputs: tuple[OnlineColumn, ...] = ()
    made: pa.Table = field(default_factory=lambda: pa.table({}))

    @property
    def names(self) -> list[str]:
        """The columns that came out, in order."""
        return [column.name for column in self.outputs]

    @property
    def plain_groups(self) -> tuple[FoundGroup, ...]:
        """None: the values of the groups went through the transform."""
        return ()

    def columns(self) -> Iterator[OnlineColumn]:
        """Read column by column."""
        yield from self.outputs

    def to_arrow(self, *, include_statuses: bool = False, include_event_timestamps: bool = False) -> pa.Table:
        """Return the columns as a table, to the bit what the training join gives."""
        table: dict[str, Any] = {}
        for column in self.outputs:
            table[column.name] = self.made.column(column.name)
            if include_statuses:
                codes = [STATUS_CODES[status] for status in column.statuses]
                table[f"{column.name}__status"] = pa.array(codes, pa.uint8())
            if include_event_timestamps:
                times = pa.array(column.event_times, pa.int64()).view(pa.timestamp("ns", "UTC"))
                table[f"{column.name}__event_timestamp"] = times
        return pa.table(table)


class TransformedService:
    """Answers for the features of a service after its transform.

    Parameters
    ----------
    service : OnlineService
        Looks the features up.
    features : sequence of str
        What they are called.
    transform : FittedTransform
        What they go through.
    """

    __slots__ = ("_features", "_request", "_service", "_transform", "address", "join_keys")

    def __init__(self, service: OnlineService, features: Sequence[str], transform: FittedTransform) -> None:
        self._service = service
        self._transform = transform
        self._features = tuple(features)
        self._request = tuple(name for name in transform.inputs if name not in features)
        self.address = service.address
        self.join_keys = tuple(dict.fromkeys([*service.join_keys, *self._request]))

    def get(self, entities: Entities, at: Instant = None) -> OnlineResult:
        """Look entities up, and transform.

        Parameters
        ----------
        entities : list of dict, or dict of list
            The keys and the values that a request brings along, row by row or column by column.
        at : str, datetime or int, optional
            The instant; now unless given.
        """
        columns = read_entities(entities, self._service.join_keys, self._request)
        keys = {name: columns[name] for name in self._service.join_keys}
        found = self._service.get(keys or [{}] * count_entities(entities, columns), at)
        features = found.to_arrow()
        for name in self._request:
            features = features.append_column(name, _request_column(name, columns[name], self._transform.kinds[name]))
        made, tallies = self._transform.apply_counted(features)
        self._transform.note_served(tallies)
        parts = {column.name: column for column in found.columns()}
        for name in self._request:
            parts[name] = _brought(name, features.column(name))
        outputs = tuple(self._output(name, made.column(name), parts) for name in made.column_names)
        return TransformedResult(found.service, found.at, columns, found.groups, found.materialization, outputs, made)

    def _output(self, name: str, values: pa.ChunkedArray, parts: Mapping[str, OnlineColumn]) -> OnlineColumn:
        origins = [parts[origin] for origin in self._transform.origins.get(name, (name,))]
        return OnlineColumn(
            name=name,
            type=values.type,
            values=plain_values(values),
            statuses=_gravest([origin.statuses for origin in origins]),
            event_times=_oldest([origin.event_times for origin in origins]),
            sources=tuple(dict.fromkeys(source for origin in origins for source in origin.sources)),
        )

    def prepare(self, now: Callable[[], int] | None = None) -> "TransformedHandle":
        """Return a handle for lookups of one entity in a hot loop."""
        return TransformedHandle(self._service.prepare(now), self._features, self._request, self._transform)


class TransformedHandle:
    """Looks up one entity at a time, and transforms what is found by the kernel for single rows.

    Parameters
    ----------
    handle : OnlineHandle
        Looks the features up.
    features, request : tuple of str
        What is looked up, and what a request brings along.
    transform : FittedTransform
    """

    __slots__ = ("_handle", "_names", "_places", "_readers", "_serve")

    def __init__(
        self, handle: OnlineHandle, features: tuple[str, ...], request: tuple[str, ...], transform: FittedTransform
    ) -> None:
        self._handle = handle
        self._serve = transform.serve
        self._readers = [(name, _row_reader(name, transform.kinds[name])) for name in request]
        self._names = tuple(transform.output_names(features))
        at = {name: place for place, name in enumerate((*features, *request))}
        self._places = [[at[origin] for origin in transform.origins.get(name, (name,))] for name in self._names]

    def get(self, entity: Mapping[str, Any], at: Instant = None) -> OnlineRow:
        """Look one entity up, and transform.

        Parameters
        ----------
        entity : mapping
            A value for each key, and for what a request brings along.
        at : str, datetime or int, optional
            The instant (an int is nanoseconds since 1970); now unless given.
        """
        found = self._handle.get(entity, at)
        values, statuses, times = found.values, list(found.statuses), list(found.event_times)
        for name, read in self._readers:
            value = values[name] = read(entity)
            statuses.append(_NULL if value is None else _PRESENT)
            times.append(None)
        self._serve(values)
        ordered = {name: values[name] for name in self._names}
        if all(status is _PRESENT for status in statuses):
            given: tuple[FeatureStatus, ...] = (_PRESENT,) * len(ordered)
        else:
            given = tuple([_worst([statuses[place] for place in places]) for places in self._places])
        oldest = tuple([_least([times[p] for p in places]) for places in self._places])
        return OnlineRow(ordered, given, oldest)


_ORDER = (
    FeatureStatus.PRESENT,
    FeatureStatus.NULL_VALUE,
    FeatureStatus.OUTSIDE_MAX_AGE,
    FeatureStatus.NOT_FOUND,
)
_GRAVITY = {status: place for place, status in enumerate(_ORDER)}


def _gravity(status: FeatureStatus) -> int:
    return _GRAVITY[status]


def _worst(statuses: Sequence[FeatureStatus]) -> FeatureStatus:
    return max(statuses, key=_gravity, default=_PRESENT)


def _gravest(columns: Sequence[Sequence[FeatureStatus]]) -> list[FeatureStatus]:
    if len(columns) == 1:
        return list(columns[0])
    return [_worst(row) for row in zip(*columns, strict=True)]


def _oldest(columns: Sequence[Sequence[int | None]]) -> list[int | None]:
    if len(columns) == 1:
        return list(columns[0])
    return [_least(row) for row in zip(*columns, strict=True)]


def _least(times: Sequence[int | None]) -> int | None:
    return min((time for time in times if time is not None), default=None)


def _brought(name: str, values: pa.ChunkedArray) -> OnlineColumn:
    plain = plain_values(values)
    return OnlineColumn(
        name=name,
        type=values.type,
        values=plain,
        statuses=[_NULL if value is None else _PRESENT for value in plain],
        event_times=[None] * len(plain),
        sources=(),
    )


def _request_column(name: str, values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    return pa.array([_fitting(name, value, kind) for value in values], kind)


def _row_reader(name: str, kind: pa.DataType) -> Callable[[Mapping[str, Any]], Any]:
    def read(entity: Mapping[str, Any]) -> Any:
        if name not in entity:
            raise value_missing(name)
        return _fitting(name, entity[name], kind)

    return read


def _fitting(name: str, value: Any, kind: pa.DataType) -> Any:
    """Return a value that a request brought as one of the column's type; times may be written as text."""
    if value is None:
        return None
    try:
        if pa.types.is_timestamp(kind) and isinstance(value, str | dt.datetime):
            ticks = pa.array([parse_instant(value)], pa.int64()).view(pa.timestamp("ns", "UTC"))
            return ticks.cast(pa.timestamp(kind.unit, "UTC")).cast(kind)[0].as_py()
        if isinstance(value, bool) is pa.types.is_boolean(kind):
            return pa.scalar(value, kind).as_py()
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError, ValueError, OverflowError):
        pass
    except UsageError as error:
        raise SchemaMismatchError(error.message, hint=error.hint, column=name) from None
    raise SchemaMismatchError(
        f"{ascii(value)[:80]} is no {kind} for {name!r}.", hint="Give a value of its type, or null.", column=name
    )
