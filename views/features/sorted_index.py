"""The index behind every look into the past: rows of a feature table, sorted by entity and event time.

It is built once a table. The training join and the lookup of one entity read the same arrays, so that they
cannot differ. An entity's code and a time are packed into one int64 key, and a search is one `searchsorted`.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.errors import CorruptObjectError, column_not_found
from foldstore.views.features.found_rows import NOWHERE, FoundRows, order_exactly, order_nearly, places_of_ties
from foldstore.views.features.key_encoder import KeyEncoder
from foldstore.views.features.removed_places import (
    UNKNOWN_CREATED,
    IndexedRows,
    RemovedPlaces,
    find_among_ties,
    with_unknown,
)
from foldstore.views.features.time_scale import TimeScale, in_parts
from foldstore.views.time_column import Instants, to_nanoseconds

Integers: TypeAlias = NDArray[np.int64]

_SHORT: Final = 2**31
_NEAR: Final = 50  # of so many probes one may step back
_SIDES: Final[tuple[Literal["left"], Literal["right"]]] = ("left", "right")
_ARRAYS: Final = ("keys", "order", "created", "earliest", "ranks")


@dataclass(frozen=True, slots=True)
class Matches:
    """What a search found, one entry for each row that asked.

    Attributes
    ----------
    rows : ndarray of int64
        The row of the feature table, -1 for none. A row that is too old is found, and `expired`.
    event_times : ndarray of int64
        The row's event time in nanoseconds, 0 where there is none.
    expired : ndarray of bool
        Where the row is older than the ttl; its values are not to be given away.
    """

    rows: Integers
    event_times: Integers
    expired: NDArray[np.bool_]

    def visible_rows(self) -> Integers:
        """Return the rows whose values may be given, -1 elsewhere."""
        return np.where(self.expired, NOWHERE, self.rows)


@dataclass(frozen=True, slots=True)
class IndexParts:
    """An index as plain data and arrays, to be written down."""

    plain: Mapping[str, Any]
    arrays: Mapping[str, pa.Array]


@dataclass(frozen=True, slots=True)
class Match:
    """What the search for one entity found; see `Matches`."""

    row: int
    event_time: int
    expired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookback:
    """Which rows a look into the past may find.

    Attributes
    ----------
    ttl_nanoseconds : int
        The greatest age, inclusive; 0 for any.
    allow_exact_match : bool
        Whether a row stamped exactly at the asking time is visible.
    filter_by_created_timestamp : bool
        Whether only rows are visible that had been written by the asking time.
    """

    ttl_nanoseconds: int = 0
    allow_exact_match: bool = True
    filter_by_created_timestamp: bool = False


class SortedIndex:
    """Finds the latest row of an entity at an instant.

    Of the rows with the greatest event time the one with the greatest created time counts (null the lowest),
    and of those the one that was written last. A row without an event time is never found.

    Parameters
    ----------
    table : pyarrow.Table
        The feature table in write order.
    keys : mapping of str to str
        The entity's key columns and their types; none for features that are the same for all.
    event_time : str
        The column of event times; without a zone they are UTC.
    created_time : str, optional
        The column of created times.
    rows : ndarray of int64, optional
        The rows of a larger table that these are, in their order there.

    Examples
    --------
    >>> import datetime as dt
    >>> hours = [dt.datetime(2024, 1, 1, hour) for hour in (1, 2, 3)]
    >>> table = pa.table({"id": [7, 7, 7], "ts": hours, "x": [10, 20, 30]})
    >>> index = SortedIndex(table, keys={"id": "int64"}, event_time="ts")
    >>> index.find({"id": 7}, 1_704_074_400_000_000_000).row  # 02:00
    1
    """

    __slots__ = ("_created", "_earliest", "_encoder", "_keys", "_order", "_removed", "_scale", "table")
    _keys: Integers
    _order: Integers | None
    _created: Integers | None
    _earliest: Integers | None
    _removed: RemovedPlaces | None

    def __init__(
        self,
        table: pa.Table,
        *,
        keys: Mapping[str, str],
        event_time: str,
        created_time: str | None = None,
        rows: Integers | None = None,
    ) -> None:
        columns = [_column(table, key) for key in keys]
        events = to_nanoseconds(_column(table, event_time), where=f"Event time {event_time!r}")
        self.table = table
        self._removed = None
        self._encoder = KeyEncoder(columns, keys, table.num_rows)
        self._scale = TimeScale(events, self._encoder)
        usable = self._encoder.codes >= 0
        if events.nulls is not None:
            usable &= ~events.nulls
        packed = self._scale.offsets(events.values)
        packed += self._encoder.codes * self._scale.width
        known = None
        if created_time is not None:
            known = to_nanoseconds(_column(table, created_time), where=f"Created time {created_time!r}")
        self._sort(packed, None if usable.all() else np.flatnonzero(usable), known)
        if rows is not None:
            self._order = rows[self.rows_in_order()]
        self._encoder.codes = np.empty(0, dtype=np.int64)  # only the dictionaries are needed from here on

    def _sort(self, packed: Integers, rows: Integers | None, created: Instants | None) -> None:
        """Sort by key, then created time, then row; what is sorted already is left where it lies."""
        known = None if created is None else with_unknown(created)
        keys = packed if rows is None else packed[rows]
        if not _is_sorted(keys):
            order, keys = order_exactly(keys)
            rows = order if rows is None else rows[order]
        if known is not None and len(tied := places_of_ties(keys)):
            rows = np.arange(len(keys)) if rows is None else rows
            among = rows[tied]
            rows[tied] = among[np.lexsort((among, known[among], keys[tied]))]
        self._keys = keys
        self._order = rows
        self._created = known if known is None or rows is None else known[rows]
        self._earliest = None if self._created is None else _earliest_known(keys // self._scale.width, self._created)

    @property
    def num_rows(self) -> int:
        """How many rows can be found."""
        return len(self._keys)

    @property
    def nbytes(self) -> int:
        """How much memory the index takes, the table itself aside."""
        arrays = (self._keys, self._order, self._created, self._earliest)
        removed = 0 if self._removed is None else self._removed.nbytes
        return sum(array.nbytes for array in arrays if array is not None) + removed

    def without(self, gone: IndexedRows) -> "SortedIndex":
        """Return the index without some of its rows: `find`, `search` and `find_visible` step over them.

        Its arrays are these; what walks through all places of an index meets the rows still.

        Raises
        ------
        CorruptObjectError
            When the index has no such row.
        """
        codes = self.encode(gone.keys, len(gone.rows))
        usable = codes >= 0 if gone.events.nulls is None else (codes >= 0) & ~gone.events.nulls
        rows, codes = gone.rows[usable], codes[usable]
        if not len(rows):
            return self
        keys = codes * self._scale.width + self._scale.floor(gone.events.values[usable])
        low, past = (np.searchsorted(self._keys, keys, side=side) for side in _SIDES)
        created = None if gone.created is None else with_unknown(gone.created)[usable]
        places = find_among_ties(low, past, (created, rows), (self._created, self._order))
        if not bool(np.all(places < past)) or not np.array_equal(self.rows_at(places), rows):
            raise CorruptObjectError("An index lacks rows that it was made of.", hint="Remove it: it is built again.")
        index = copy.copy(self)
        index._removed = RemovedPlaces(places) if self._removed is None else self._removed.add(places)  # noqa: SLF001
        return index

    def of_rows(self, rows: Integers) -> "SortedIndex":
        """Return the index with other numbers for the rows of the table: those that they have in a larger one."""
        index = copy.copy(self)
        index._order = rows[self.rows_in_order()]  # noqa: SLF001  # its own class
        return index

    def rows_at(self, places: Integers) -> Integers:
        """Return the rows of the table at places in the order of the index."""
        return places if self._order is None else self._order[places].astype(np.int64, copy=False)

    def search(self, columns: Sequence[pa.ChunkedArray], at: Instants, lookback: Lookback) -> Matches:
        """Find the row of each key at its own instant, in the order of the keys."""
        if not self.num_rows:
            return _nothing(len(at.values))
        found = self._locate(columns, at, lookback, None)
        events, expired = self._ages(found, lookback)
        events[found.missing] = 0
        rows = self._rows_at(found)
        answer = Matches(np.empty_like(rows), np.empty_like(rows), np.empty(len(rows), dtype=np.bool_))
        answer.rows[found.order] = rows
        answer.event_times[found.order], answer.expired[found.order] = events, expired
        return answer

    def find_visible(
        self, columns: Sequence[pa.ChunkedArray], at: Instants, lookback: Lookback, order: Integers | None = None
    ) -> FoundRows:
        """Find the rows whose values may be given, -1 for none; `search` says more.

        Parameters
        ----------
        order : ndarray of int64, optional
            The order in which another index was asked for the same keys; taken when it serves this one too.

        Returns
        -------
        FoundRows
            In the order in which this index was asked.
        """
        if not self.num_rows:
            return FoundRows(np.full(len(at.values), NOWHERE, dtype=np.int64), np.arange(len(at.values)))
        if not lookback.filter_by_created_timestamp:
            return self._newest_between(columns, at, lookback, order)
        found = self._locate(columns, at, lookback, order)
        rows = self._rows_at(found)
        rows[self._ages(found, lookback)[1]] = NOWHERE
        return FoundRows(rows, found.order)

    def _newest_between(
        self, columns: Sequence[pa.ChunkedArray], at: Instants, lookback: Lookback, order: Integers | None
    ) -> FoundRows:
        """Do what `_locate` and `_ages` do where age alone decides: find the last key, not below the oldest allowed."""
        probes, oldest = self._probes_between(self._encoder.encode(columns, len(at.values)), at, lookback)
        walk = None if order is None else probes[order]
        if order is None or walk is None or not _is_nearly_sorted(walk):
            order = order_nearly(probes)
            walk = probes[order]
        rows = np.empty(len(walk), dtype=np.int64)
        for here in in_parts(len(walk)):
            places = np.searchsorted(self._keys, walk[here], side="right")
            places -= 1
            if self._removed is not None:
                places = self._removed.step_back(places)
            missing = self._keys[places] < oldest[order[here]]
            missing |= places < 0  # a probe of -1 lies before every key
            rows[here] = places if self._order is None else self._order[places]
            rows[here] |= -missing.astype(np.int64)  # all bits set are NOWHERE
        return FoundRows(rows, order)

    def _probes_between(self, codes: Integers, at: Instants, lookback: Lookback) -> tuple[Integers, Integers]:
        """Return the key that is looked for, -1 for none, and the first key that is not too old."""
        probes, oldest = np.empty((2, len(codes)), dtype=np.int64)
        for here in in_parts(len(codes)):
            asked = at.values[here]
            instants = asked if lookback.allow_exact_match else asked - 1
            probes[here], first = self._probes(codes[here], instants, None if at.nulls is None else at.nulls[here])
            if lookback.ttl_nanoseconds:
                first += self._scale.floor(_not_before(asked, lookback.ttl_nanoseconds) - 1) + 1
            oldest[here] = first
        return probes, oldest

    def _locate(
        self, columns: Sequence[pa.ChunkedArray], at: Instants, lookback: Lookback, order: Integers | None
    ) -> "_Located":
        codes = self._encoder.encode(columns, len(at.values))
        instants = at.values if lookback.allow_exact_match else at.values - 1
        probes, first = self._probes(codes, instants, at.nulls)
        # Sorted probes walk through the index once; in any other order each one misses the cache.
        if order is None or not _is_nearly_sorted(probes[order]):
            order = order_nearly(probes)
        probes, first, asked = probes[order], first[order], at.values[order]
        places = np.searchsorted(self._keys, probes, side="right")
        places -= 1
        if self._removed is not None:
            places = self._removed.step_back(places)
        # A probe below 0 asks for nothing; its place is -1, which reads the last key and is below 0 all the same.
        offsets = self._keys[places]
        offsets -= first
        missing = (probes < 0) | (places < 0) | (offsets < 0)
        places[missing] = NOWHERE
        if lookback.filter_by_created_timestamp:
            places = self._known_by(places, asked, first)
            missing, offsets = places < 0, self._keys[places] - first
        offsets[missing] = 0
        return _Located(places, missing, offsets, asked, order)

    def encode(self, columns: Sequence[pa.ChunkedArray], count: int) -> Integers:
        """Return the code of each key, -1 for one that has no rows."""
        return self._encoder.encode(columns, count)

    def order_of_search(self, codes: Integers, at: Integers) -> Integers:
        """Return an order of keys and instants in which a search walks through the index once.

        What lies before all rows of the index stands with its entity all the same: another index has the same order of
        entities and may have rows from that time.
        """
        probes, first = self._probes(codes, at, None)
        probes = np.where(codes < 0, NOWHERE, np.maximum(probes, first))
        return np.arange(len(probes)) if _is_sorted(probes) else order_nearly(probes)

    def find_range(self, codes: Integers, start: Integers, end: Integers) -> tuple[Integers, Integers, Integers]:
        """Find the places of the rows of entities from an instant on and before another, in ``[start, end)``.

        Returns
        -------
        tuple of ndarray of int64
            The first place, the one after the last, and the first of the entity at any time.
        """
        nothing = codes < 0
        base = np.where(nothing, 0, codes) * self._scale.width
        # The place before every row of an entity is where its first key would stand.
        lowest, low, past = (
            np.searchsorted(self._keys, base + offsets, side="right")
            for offsets in (NOWHERE, self._scale.floor(start - 1), self._scale.floor(end - 1))
        )
        low = np.minimum(low, past)
        for places in (lowest, low, past):
            places[nothing] = 0
        return low, past, lowest

    def find_entities(self, codes: Integers) -> tuple[Integers, Integers]:
        """Find the first place of each entity's rows, and the one after its last."""
        known = codes >= 0
        base = np.where(known, codes, 0) * self._scale.width
        # The first key of the next entity may lie beyond all integers, the last of this one does not.
        first = np.searchsorted(self._keys, base, side="left")
        past = np.searchsorted(self._keys, base + (self._scale.width - 1), side="right")
        return np.where(known, first, 0), np.where(known, past, 0)

    def rows_in_order(self) -> Integers:
        """Return the rows of the table by entity, event time, created time and write order; those that are found."""
        return np.arange(self.num_rows) if self._order is None else self._order

    def entities_in_order(self) -> Integers:
        """Return the code of each row's entity, in that order."""
        return self._keys // self._scale.width

    def times_at(self, places: Integers) -> Integers:
        """Return the event times, in nanoseconds, of places in that order."""
        return self._scale.instants(self._keys[places] % self._scale.width)

    def created_at(self, places: Integers) -> Integers | None:
        """Return the created times of places in that order, the least integer for unknown; None without any."""
        return None if self._created is None else self._created[places]

    def find(self, key: Mapping[str, Any], at: int, lookback: Lookback | None = None) -> Match:
        """Find the row of one entity at an instant in nanoseconds; `search` gives the same."""
        rules = lookback or Lookback()
        code = self._encoder.encode_one(key)
        offset = self._scale.offset(at if rules.allow_exact_match else at - 1)
        if code < 0 or offset < 0:
            return Match(NOWHERE, 0, expired=False)
        first = code * self._scale.width
        place = self._step_back(int(self._keys.searchsorted(np.int64(first + offset), side="right")) - 1)
        if rules.filter_by_created_timestamp:
            place = self._known_place(place, first, at)
        if place < 0 or self._keys[place] < first:
            return Match(NOWHERE, 0, expired=False)
        event = self._scale.instant(int(self._keys[place]) - first)
        row = place if self._order is None else int(self._order[place])
        return Match(row, event, expired=bool(rules.ttl_nanoseconds and event < at - rules.ttl_nanoseconds))

    def _probes(
        self, codes: Integers, instants: Integers, nulls: NDArray[np.bool_] | None
    ) -> tuple[Integers, Integers]:
        """Return the key that is looked for, -1 for none, and the first key that its entity can have."""
        offsets = self._scale.floor(instants)
        first = codes * self._scale.width
        nothing = (codes < 0) | (offsets < 0)
        if nulls is not None:
            nothing |= nulls
        offsets += first
        offsets |= -nothing.astype(np.int64)  # all bits set are NOWHERE
        return offsets, first

    def _known_by(self, places: Integers, asked: Integers, first: Integers) -> Integers:
        """Step back, row by row, to one that had been written by then."""
        if self._created is None or self._earliest is None:
            return np.full(len(places), NOWHERE, dtype=np.int64)
        places = places.copy()
        # An entity of which nothing was known at the time needs no steps: all its rows so far were written later.
        places[(places >= 0) & (self._earliest[places] > asked)] = NOWHERE
        open_ = np.flatnonzero(places >= 0)
        while len(open_):
            created = self._created[places[open_]]
            open_ = open_[(created == UNKNOWN_CREATED) | (created > asked[open_])]
            places[open_] -= 1
            if self._removed is not None:
                # What was known in time may have been removed: then the steps lead out of the entity.
                places[open_] = self._removed.step_back(places[open_])
                places[open_[self._keys[places[open_]] < first[open_]]] = NOWHERE
                open_ = open_[places[open_] >= 0]
        return places

    def _known_place(self, place: int, first: int, at: int) -> int:
        if self._created is None:
            return NOWHERE
        while place >= 0 and self._keys[place] >= first and not UNKNOWN_CREATED < self._created[place] <= at:
            place = self._step_back(place - 1)
        return place

    def _step_back(self, place: int) -> int:
        return place if self._removed is None else int(self._removed.step_back(np.array([place]))[0])

    def _ages(self, found: "_Located", lookback: Lookback) -> tuple[Integers, NDArray[np.bool_]]:
        """Return the event times of what was found, and where they are too long ago; what stands for none is any."""
        events = self._scale.instants(found.offsets)
        if not lookback.ttl_nanoseconds:
            return events, np.zeros(len(events), dtype=np.bool_)
        return events, (events < _not_before(found.asked, lookback.ttl_nanoseconds)) & ~found.missing

    def _rows_at(self, found: "_Located") -> Integers:
        if self._order is None:
            return found.places
        rows = self._order[found.places].astype(np.int64, copy=False)
        rows[found.missing] = NOWHERE
        return rows

    def to_parts(self) -> IndexParts:
        """Return the index as plain data and arrays; `from_parts` makes the same of them."""
        encoder, arrays = self._encoder.to_parts()
        scale, ranks = self._scale.to_parts()
        # Few tables have more rows than 32 bits count; the others pay for themselves alone.
        short = self._order is not None and (not len(self._order) or int(self._order.max()) < _SHORT)
        order = None if self._order is None else self._order.astype(np.int32 if short else np.int64, copy=False)
        held = {
            "keys": self._keys,
            "order": order,
            "created": self._created,
            "earliest": self._earliest,
            "ranks": ranks,
        }
        mine = {name: pa.array(array) for name, array in held.items() if array is not None}
        return IndexParts({"encoder": encoder, "scale": scale}, {**mine, **arrays})

    @classmethod
    def from_parts(cls, table: pa.Table, keys: Mapping[str, str], parts: IndexParts) -> "SortedIndex":
        """Make an index of what `to_parts` gave, over the table that it was made of; arrays stay where they are."""
        index = cls.__new__(cls)
        index._restore(table, keys, parts)  # noqa: SLF001  # its own class
        return index

    def _restore(self, table: pa.Table, keys: Mapping[str, str], parts: IndexParts) -> None:
        held = {name: parts.arrays[name].to_numpy() if name in parts.arrays else None for name in _ARRAYS}
        self.table = table
        self._removed = None
        self._encoder = KeyEncoder.from_parts(keys, parts.plain["encoder"], parts.arrays)
        self._scale = TimeScale.from_parts(parts.plain["scale"], held["ranks"])
        self._keys = parts.arrays["keys"].to_numpy()
        self._order, self._created, self._earliest = held["order"], held["created"], held["earliest"]


@dataclass(frozen=True, slots=True)
class _Located:
    """Places in the index of what was asked, in the order in which it was asked.

    Attributes
    ----------
    missing : ndarray of bool
        Where there is none.
    offsets : ndarray of int64
        The number of the event time of what was found, 0 for none.
    """

    places: Integers
    missing: NDArray[np.bool_]
    offsets: Integers
    asked: Integers
    order: Integers


def _nothing(count: int) -> Matches:
    return Matches(
        np.full(count, NOWHERE, dtype=np.int64),
        np.zeros(count, dtype=np.int64),
        np.zeros(count, dtype=np.bool_),
    )


def _not_before(asked: Integers, ttl_nanoseconds: int) -> Integers:
    """Return the oldest instant allowed; where it lies before what int64 holds, every row is young enough."""
    return np.maximum(asked, UNKNOWN_CREATED + 1 + ttl_nanoseconds) - ttl_nanoseconds


def _is_sorted(values: Integers) -> bool:
    return bool(np.all(values[1:] >= values[:-1]))


def _is_nearly_sorted(probes: Integers) -> bool:
    """Say whether probes come in an order in which a search through the index stays near where it was."""
    return int(np.count_nonzero(probes[1:] < probes[:-1])) * _NEAR < len(probes)


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise column_not_found(name, table.column_names, where="the feature table")
    return table.column(name)


def _earliest_known(entities: Integers, created: Integers) -> Integers:
    """Return for each place the smallest created time of its entity's rows up to there."""
    latest = np.iinfo(np.int64).max
    running = np.where(created == UNKNOWN_CREATED, latest, created)
    step = 1
    # Doubling: after k rounds each place holds the minimum over the 2**k places that end there, its entity's alone.
    while step < len(running) and bool(np.any(entities[step:] == entities[:-step])):
        same = entities[step:] == entities[:-step]
        before = np.where(same, running[:-step], latest)
        running = np.concatenate([running[:step], np.minimum(running[step:], before)])
        step *= 2
    return running
