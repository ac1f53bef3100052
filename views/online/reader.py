"""Looks entities up in a materialized feature view, through a mapping that processes share."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import blake3
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.canonical import HASH_PREFIX
from foldstore.datastore.memory_size import num_bytes
from foldstore.errors import CorruptObjectError, SchemaMismatchError, UnreadableError
from foldstore.views.features.asked_entities import write_out
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.online.cells import Cells, FeatureCells, RowCells, read_cells
from foldstore.views.online.key_hash import KeyHasher
from foldstore.views.online.layout import (
    HASH_PLACE,
    TIME_PLACE,
    OnlineHeader,
    check_layout,
    decode_header,
    not_an_online_file,
)
from foldstore.views.online.status import FeatureStatus
from foldstore.views.online.store import UNKNOWN_TIME
from foldstore.views.splits.hashing import hash_keys

NOWHERE: Final = -1
_FEW: Final = 8  # below this, one search after another is faster than numpy
_PRESENT, _NOT_FOUND, _EXPIRED = FeatureStatus.PRESENT, FeatureStatus.NOT_FOUND, FeatureStatus.OUTSIDE_MAX_AGE


class Layer(Protocol):
    """Where values are: a file, or rows that were pushed."""

    @property
    def cells(self) -> FeatureCells:
        """Each feature's values."""

    def column(self, feature: str) -> pa.Array:
        """Return a feature's values in its type."""


class Found(NamedTuple):
    """What is known of one entity at an instant; nulls in the row are not looked at yet.

    Attributes
    ----------
    row : int
        The row whose values may be given, -1 for none.
    event_time : int or None
        In nanoseconds; that of a row that is too old as well.
    status : FeatureStatus
        PRESENT, NOT_FOUND or OUTSIDE_MAX_AGE.
    """

    row: int
    event_time: int | None
    status: FeatureStatus


_NOTHING: Final = Found(NOWHERE, None, _NOT_FOUND)
_NO_ROW: Final = (NOWHERE, NOWHERE)


class FoundMany(NamedTuple):
    """What is known of several entities, one entry each; see `Found`.

    Attributes
    ----------
    layers : tuple of Layer
        Where the rows are; the reader itself when there are none.
    layer_of : list of int or None
        The layer of each row; the first one unless given.
    pushed : frozenset of int
        Which entries come of rows that were pushed, not of a version.
    """

    rows: list[int]
    event_times: list[int | None]
    statuses: list[FeatureStatus]
    layers: tuple[Layer, ...] = ()
    layer_of: list[int] | None = None
    pushed: frozenset[int] = frozenset()


class RowSlice(NamedTuple):
    """Some rows of a file: keys, event and created times, which are gone, which their entity's only, the features."""

    keys: list[tuple[Any, ...]]
    events: list[int]
    created: list[int]
    gone: list[bool]
    alone: list[bool]
    features: pa.Table


class ViewReader(Protocol):
    """What looks entities up in one feature view: a file alone, or files and what was pushed over them."""

    @property
    def view(self) -> FeatureView:
        """The definition."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The addresses of the versions that the rows come from."""

    @property
    def cells(self) -> FeatureCells:
        """Each feature's values."""

    def column(self, feature: str) -> pa.Array:
        """Return a feature's values in its type."""

    def search(self, keys: Sequence[Sequence[Any]], at: int, count: int | None = None) -> FoundMany:
        """Look several entities up, in their order."""

    def prepare_row(self, columns: Sequence[str], features: Sequence[str]) -> "RowLookup":
        """Return a lookup of the values of one entity, by the named entries of a mapping."""


class OnlineReader:
    """A materialized feature view.

    A lookup gives what the point-in-time join gives for that instant: of the entity's rows with an event time at
    or before it the last, null when that is older than the view's ttl.

    Parameters
    ----------
    path : pathlib.Path
        What `materialize_view` wrote.
    verify : bool
        Whether the bytes are compared with the address in the file's name.

    Raises
    ------
    UnreadableError
        When there is no such file, or it is something else.
    CorruptObjectError
        When its bytes are not the ones that were written.
    """

    __slots__ = (
        "_batch",
        "_created",
        "_events",
        "_gone",
        "_hashes",
        "_keys",
        "_one_key",
        "_ttl",
        "address",
        "cells",
        "hasher",
        "header",
    )

    def __init__(self, path: Path, *, verify: bool = True) -> None:
        self.address = path.stem
        self.header, self._batch = _open(path, verify=verify)
        self._ttl = self.view.ttl_nanoseconds
        self.hasher = KeyHasher(self.view.keys, self.header.salt)
        self._hashes = _numbers(self._batch.column(HASH_PLACE)).data
        self._events = _numbers(self._batch.column(TIME_PLACE)).data
        header, count = self.header, len(self.view.keys)
        self._created = (
            None if header.created_place is None else _numbers(self._batch.column(header.created_place)).data
        )
        self._gone = None if header.gone_place is None else read_cells(self._batch.column(header.gone_place)).one
        columns = [read_cells(array) for array in self._batch.columns[header.first_key :]]
        self._keys: tuple[Cells, ...] = tuple(columns[:count])
        self._one_key = self._keys[0].one if count == 1 else None
        self.cells = FeatureCells(dict(zip(self.view.features, columns[count:], strict=True)))

    @property
    def view(self) -> FeatureView:
        """The definition that was materialized."""
        return self.header.view

    @property
    def sources(self) -> tuple[str, ...]:
        """The addresses of the versions that the rows come from."""
        return self.header.sources

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return int(self._batch.num_rows)

    def column(self, feature: str) -> pa.Array:
        """Return a feature's values, mapped, in the type that they had in the source."""
        return self._batch.column(self.header.first_key + len(self._keys) + self.view.features.index(feature))

    def find(self, key: Sequence[Any], at: int) -> Found:
        """Look one entity up.

        Parameters
        ----------
        key : sequence
            The values of the entity's keys, in its order; a null matches nothing.
        at : int
            The instant, in nanoseconds.

        Raises
        ------
        SchemaMismatchError
            When a value is not of the key's type.
        UsageError
            When the file does not reach back to the instant.
        """
        self.check_reach(at)
        checked = self.hasher.check(key)
        return _NOTHING if checked is None else self._find(checked, at)

    def find_in_files(self, key: Sequence[Any], at: int) -> tuple[int, Found]:
        """Return 0 and what `find` does: there is one file."""
        return 0, self.find(key, at)

    def locate(self, key: tuple[Any, ...], at: int) -> tuple[int, int]:
        """Return the row of a checked key that counts at an instant, whatever its age, and its event time.

        Returns
        -------
        tuple of int
            (-1, -1) when there is none.
        """
        hashes, number = self._hashes, self.hasher.hash_one(key)
        count = len(hashes)
        first = bisect_left(hashes, number)
        if first == count or hashes[first] != number or not self._holds(first, key):
            return _NO_ROW
        end = first + 1
        if end < count and hashes[end] == number:
            end = bisect_right(hashes, number, end)
        row = bisect_right(self._events, at, first, end) - 1
        return _NO_ROW if row < first else (row, self._events[row])

    def created(self, row: int) -> int:
        """Return when a row was written down, in nanoseconds; below every instant when that is not known."""
        return UNKNOWN_TIME if self._created is None else int(self._created[row])

    def is_gone(self, row: int) -> bool:
        """Say whether a row only says that there is none any more."""
        return self._gone is not None and bool(self._gone(row))

    @property
    def schema(self) -> pa.Schema:
        """The features and their types."""
        first = self.header.first_key + len(self._keys)
        return pa.schema(list(self._batch.schema)[first:])

    @property
    def whole_schema(self) -> pa.Schema:
        """The file's own columns, with its header."""
        return self._batch.schema

    def read_rows(self, start: int, count: int) -> RowSlice:
        """Return some of the rows, in the order of the file."""
        part, first = self._batch.slice(start, count), self.header.first_key
        size, keys = part.num_rows, len(self._keys)
        columns = [part.column(first + number).to_pylist() for number in range(keys)]
        features = pa.Table.from_batches([part]).select(range(first + keys, part.num_columns))
        created, gone = self.header.created_place, self.header.gone_place
        return RowSlice(
            list(zip(*columns, strict=True)) if keys else [()] * size,
            part.column(TIME_PLACE).to_pylist(),
            [UNKNOWN_TIME] * size if created is None else part.column(created).to_pylist(),
            [False] * size if gone is None else part.column(gone).to_pylist(),
            self._which_alone(start, size),
            features,
        )

    def _which_alone(self, start: int, size: int) -> list[bool]:
        hashes = np.asarray(self._hashes)
        changes = np.ones(size + 1, dtype=np.bool_)  # whether a row's entity is another one than that of the row before
        first, last = max(start, 1), min(start + size, len(hashes) - 1)
        changes[first - start : last - start + 1] = hashes[first : last + 1] != hashes[first - 1 : last]
        alone: list[bool] = (changes[:-1] & changes[1:]).tolist()
        return alone

    def find_rows_of(self, keys: Sequence[pa.Array]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the places of all rows of some keys, columns in the entity's types, and which key each is of."""
        if not keys:
            return np.arange(self.num_rows), np.zeros(self.num_rows, dtype=np.int64)
        hashes, wanted = np.asarray(self._hashes), hash_keys(keys, self.header.salt)
        first, past = (np.searchsorted(hashes, wanted, side=side) for side in ("left", "right"))
        places, owners = write_out(first, past), np.repeat(np.arange(len(wanted)), past - first)
        same = np.ones(len(places), dtype=np.bool_)  # a key that is not in the file may have the hash of one that is
        for number, key in enumerate(keys):
            held = self._batch.column(self.header.first_key + number).take(pa.array(places))
            same &= pc.equal(held, key.take(pa.array(owners))).to_numpy(zero_copy_only=False)
        return places[same], owners[same]

    def to_table(self) -> pa.Table:
        """Return the rows as a source would have them, times as nanoseconds in UTC; created times only if there are."""
        view, instant = self.view.to_plain(), pa.timestamp("ns", "UTC")
        first = self.header.first_key
        columns = dict(zip(self._batch.schema.names[first:], self._batch.columns[first:], strict=True))
        columns[view.event_time] = self._batch.column(TIME_PLACE).view(instant)
        if view.created_time is not None:
            created = pa.array([UNKNOWN_TIME] * self.num_rows) if self._created is None else pa.array(self._created)
            unknown = np.asarray(created) == UNKNOWN_TIME
            columns[view.created_time] = pa.array(np.asarray(created), pa.int64(), mask=unknown).view(instant)
        return pa.table({name: columns[name] for name in view.columns()})

    def gone_flags(self) -> pa.Array:
        """Return which rows only say that there is none any more."""
        place = self.header.gone_place
        return pa.array(np.zeros(self.num_rows, dtype=np.bool_)) if place is None else self._batch.column(place)

    @property
    def num_bytes(self) -> int:
        """How large the mapping is."""
        return num_bytes(self._batch)

    def _find(self, key: tuple[Any, ...], at: int) -> Found:
        row, event = self.locate(key, at)
        if row < 0:
            return _NOTHING
        if self._ttl and event < at - self._ttl:
            return Found(NOWHERE, event, _EXPIRED)
        return Found(row, event, _PRESENT)

    def _holds(self, row: int, key: tuple[Any, ...]) -> bool:
        """Say whether a row is the key's: a key that is not in the file may have the hash of one that is."""
        if self._one_key is not None:
            return bool(self._one_key(row) == key[0])
        return all(cells.one(row) == value for cells, value in zip(self._keys, key, strict=True))

    def search(self, keys: Sequence[Sequence[Any]], at: int, count: int | None = None) -> FoundMany:
        """Look several entities up, in their order; `find` for each gives the same.

        Parameters
        ----------
        keys : sequence of sequences
            For each of the entity's keys, the values.
        at : int
            The instant, in nanoseconds.
        count : int, optional
            How many ask; what the keys do not say of a view without any.
        """
        self.check_reach(at)
        checked = self.check_keys(keys, count)
        return self.search_checked(checked, at)

    def check_keys(self, keys: Sequence[Sequence[Any]], count: int | None = None) -> list[tuple[Any, ...] | None]:
        """Return keys row by row in the entity's types, None for one with a null."""
        return self.hasher.check_columns(keys, count)

    def search_checked(self, checked: Sequence[tuple[Any, ...] | None], at: int) -> FoundMany:
        """Do what `search` does for keys that `check_keys` gave."""
        if len(checked) == 1:
            row, event, status = _NOTHING if checked[0] is None else self._find(checked[0], at)
            return FoundMany([row], [event], [status])
        if len(checked) < _FEW or not self.num_rows:
            found = [_NOTHING if key is None else self._find(key, at) for key in checked]
            return FoundMany(
                [item.row for item in found], [item.event_time for item in found], [i.status for i in found]
            )
        return self._search(checked, at)

    def _search(self, keys: Sequence[tuple[Any, ...] | None], at: int) -> FoundMany:
        match = self._keys[0].match if self.hasher.is_text and None not in keys else None
        texts = None if match is None else [key[0].encode() for key in keys if key is not None]
        hasher = self.hasher
        wanted = np.array(hasher.hash_many(keys), np.uint64) if texts is None else hasher.hash_texts(texts)
        hashes = np.asarray(self._hashes)
        first = np.searchsorted(hashes, wanted)
        safe = np.minimum(first, len(hashes) - 1)
        here = hashes[safe] == wanted
        if match is not None and texts is not None:
            known = here & np.array(match(safe, texts), dtype=np.bool_)
        else:
            asked = zip(here.tolist(), keys, safe.tolist(), strict=True)
            hits = [hit and key is not None and self._holds(row, key) for hit, key, row in asked]
            known = np.array(hits, dtype=np.bool_)
        places, events = self._last_until(safe, wanted, known, at)
        return self._answer(places, events, known & (places >= safe), at)

    def _last_until(
        self, first: NDArray[np.int64], wanted: NDArray[np.uint64], known: NDArray[np.bool_], at: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the last row at or before the instant in each entity's rows, or the one before its first."""
        hashes, events = np.asarray(self._hashes), np.asarray(self._events)
        low, high = first.copy(), first + 1
        more = known & (high < len(hashes)) & (hashes[np.minimum(high, len(hashes) - 1)] == wanted)
        if not more.any():  # one row of each
            places = np.where(events[first] <= at, first, first - 1)
            return places, events[np.maximum(places, 0)]
        high[more] = np.searchsorted(hashes, wanted[more], side="right")
        while bool((low < high).any()):
            middle = (low + high) >> 1
            reached = (low < high) & (events[np.minimum(middle, len(events) - 1)] <= at)
            high = np.where((low < high) & ~reached, middle, high)
            low = np.where(reached, middle + 1, low)
        places = low - 1
        return places, events[np.maximum(places, 0)]

    def _answer(
        self, places: NDArray[np.int64], events: NDArray[np.int64], found: NDArray[np.bool_], at: int
    ) -> FoundMany:
        fresh = found & (events >= max(at - self._ttl, -(2**63))) if self._ttl else found
        rows = np.where(fresh, places, NOWHERE).tolist()
        if fresh.all():
            return FoundMany(rows, events.tolist(), [_PRESENT] * len(rows))
        times = [event if hit else None for event, hit in zip(events.tolist(), found.tolist(), strict=True)]
        statuses = [
            _PRESENT if row >= 0 else _NOT_FOUND if time is None else _EXPIRED
            for row, time in zip(rows, times, strict=True)
        ]
        return FoundMany(rows, times, statuses)

    def prepare_row(self, columns: Sequence[str], features: Sequence[str]) -> "RowLookup":
        """Return a lookup of the values of one entity, by the named entries of a mapping."""
        look = self.prepare(columns)
        read = [self.cells[feature].one for feature in features]
        nothing: list[Any] = [None] * len(read)

        def get(entity: Mapping[str, Any], at: int) -> FoundRow:
            row, event, status = look(entity, at)
            return nothing if row < 0 else [one(row) for one in read], event, status

        return get

    def columns_of(self, features: tuple[str, ...]) -> tuple[RowCells, ...]:
        """Return columns of the one file."""
        return (self.cells.choose(features),)

    def check_reach(self, at: int) -> None:
        """Refuse an instant that the file does not reach back to."""
        self.header.check_reach(at)

    def prepare(self, columns: Sequence[str]) -> Callable[[Mapping[str, Any], int], Found]:
        """Return a lookup by the named entries of a mapping, in the order of the entity's keys."""
        if len(columns) == 1 and self.header.since is None and next(iter(self.view.keys.values())) == "string":
            return self._prepare_text(columns[0])

        def look(entity: Mapping[str, Any], at: int) -> Found:
            return self.find([read_key(entity, column) for column in columns], at)

        return look

    def _prepare_text(self, column: str) -> Callable[[Mapping[str, Any], int], Found]:
        """Look up by one text without the steps that only other keys need."""
        find, check = self._find, self.hasher.check

        def look(entity: Mapping[str, Any], at: int) -> Found:
            value = entity[column] if column in entity else read_key(entity, column)
            key: tuple[Any, ...] | None = (value,)
            if type(value) is not str or not value.isascii():
                key = check([value])
            return _NOTHING if key is None else find(key, at)

        return look


FoundRow = tuple[list[Any], int | None, FeatureStatus]
RowLookup = Callable[[Mapping[str, Any], int], FoundRow]


def read_one(reader: Layer, found: FoundMany, features: Sequence[str]) -> FoundRow:
    """Return what the lookup of one entity in a view found, its values taken out."""
    layer = (found.layers or (reader,))[0 if found.layer_of is None else found.layer_of[0]]
    row = found.rows[0]
    values = [layer.cells[feature].one(row) if row >= 0 else None for feature in features]
    return values, found.event_times[0], found.statuses[0]


def read_key(entity: Mapping[str, Any], column: str) -> Any:
    """Return the value of a key.

    Raises
    ------
    SchemaMismatchError
        When the entity does not have it.
    """
    if column not in entity:
        raise SchemaMismatchError(
            f"The key {column!r} is missing.", hint=f"Every entity needs a value for {column!r}.", column=column
        )
    return entity[column]


def _open(path: Path, *, verify: bool) -> tuple[OnlineHeader, pa.RecordBatch]:
    where = f"File {path.name!r}"
    try:
        with pa.memory_map(str(path)) as source:
            whole = source.read_buffer()
    except (OSError, pa.ArrowInvalid) as error:
        raise UnreadableError(f"{where} cannot be opened: {type(error).__name__}.", hint="Materialize it.") from error
    if verify and HASH_PREFIX + blake3.blake3(memoryview(whole)).hexdigest() != path.stem:
        raise CorruptObjectError(
            f"{where} does not hold the bytes that its name promises.", hint="Materialize the view again."
        )
    try:
        opened = pa.ipc.open_file(whole)
        if opened.num_record_batches != 1:
            raise not_an_online_file(where)
        batch = opened.get_batch(0)
    except pa.ArrowInvalid as error:
        raise not_an_online_file(where) from error
    header = decode_header(batch.schema.metadata, where)
    check_layout(batch.schema, header, where)
    return header, batch


def _numbers(array: pa.Array) -> NDArray[Any]:
    numbers: NDArray[Any] = array.to_numpy(zero_copy_only=True)
    return numbers
