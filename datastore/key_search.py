"""Finding rows by key: which rows of a version have one of some keys.

A key of one whole number is looked for as it is; others are compared by a 64-bit hash first and by value where hashes
meet. Fragments whose bounds say that no wanted key can lie in them are not read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.exact_cast import cast_exactly
from foldstore.datastore.manifest import Fragment, may_hold
from foldstore.datastore.number_search import NumberSearch, whole_numbers
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.statistics.hashing import Hashes, hash_rows
from foldstore.errors import DuplicateKeyError, UsageError, column_not_found

# One bit in so many answers most questions before the sorted list of hashes is searched.
_FILTER_BITS: Final = 22


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of one fragment that have a wanted key.

    Attributes
    ----------
    positions : array of int64
        Where they lie in the fragment's files, ascending.
    wanted : array of int64
        Which of the wanted keys each has.
    """

    fragment: Fragment
    positions: NDArray[np.int64]
    wanted: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Hashed:
    """The hashes of wanted keys in ascending order, and which key has each; `twins` when two share one."""

    hashes: Hashes
    order: NDArray[np.int64]
    filter: NDArray[np.bool_]
    twins: bool

    @classmethod
    def of(cls, keys: pa.Table) -> "_Hashed":
        hashes = hash_rows(keys.columns)
        order = np.argsort(hashes, kind="stable")
        ascending = hashes[order]
        likely = np.zeros(1 << _FILTER_BITS, np.bool_)
        likely[ascending >> np.uint64(64 - _FILTER_BITS)] = True
        return cls(ascending, order, likely, bool((ascending[1:] == ascending[:-1]).any()))

    def match(self, hashes: Hashes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the rows that share a hash with a wanted key, and which."""
        rows = np.flatnonzero(self.filter[hashes >> np.uint64(64 - _FILTER_BITS)])
        places = np.searchsorted(self.hashes, hashes[rows])
        places[places == len(self.hashes)] = 0
        met = self.hashes[places] == hashes[rows]
        return rows[met], self.order[places[met]]


class KeySet:
    """Keys to look for.

    Parameters
    ----------
    key : sequence of str
        The key columns.
    rows : pyarrow.Table
        The keys, in the types of the version that is searched.
    """

    def __init__(self, key: Sequence[str], rows: pa.Table) -> None:
        self.key = tuple(key)
        self.rows = pa.table([_comparable(rows.column(name)) for name in key], names=list(key))
        numbers = whole_numbers(self.rows.column(0)) if len(self.key) == 1 else None
        self._numbers = None if numbers is None else NumberSearch.of(numbers)

    @cached_property
    def _hashed(self) -> "_Hashed":
        return _Hashed.of(self.rows)

    @property
    def num_rows(self) -> int:
        """How many keys there are."""
        return int(self.rows.num_rows)

    def find(self, reader: FragmentReader) -> Iterable[Found]:
        """Yield the rows of a version that have one of the keys, fragment by fragment."""
        if not self.num_rows:
            return
        ranges = {reader.field_id(name): self._range(name) for name in self.key}
        known = {field_id: ends for field_id, ends in ranges.items() if ends is not None and ends[0] is not None}
        likely = [fragment for fragment in reader.fragments if may_hold(fragment, known)]
        # Deleted rows are searched too: to look up whether the few that are found are there is less than to leave
        # the many that are not out of a copy.
        files = reader.with_deleted(likely).opened()
        for fragment, whole in zip(likely, files.fragments, strict=True):
            found = self._search(reader, files.restricted([whole]), fragment)
            if len(found.positions):
                yield found

    def refuse_ambiguous(self, name: str) -> None:
        """Refuse keys that occur twice among the wanted ones, or that say nothing about which row is meant.

        Raises
        ------
        DuplicateKeyError
            When a key occurs twice.
        UsageError
            With code ``null-key``, when a part of a key is null or NaN.
        """
        for column in self.key:
            values = self.rows.column(column)
            nans = pc.sum(pc.is_nan(values)).as_py() if pa.types.is_floating(values.type) else 0
            if values.null_count or nans:
                raise UsageError(
                    f"{values.null_count + (nans or 0):,} rows for {name!r} have no key: {column!r} is null or NaN.",
                    hint="A row is found by its key. Fill the key, or append() the rows.",
                    code="null-key",
                    column=column,
                )
        counted = self.rows.group_by(list(self.key), use_threads=False).aggregate([([], "count_all")])
        if counted.num_rows < self.num_rows:
            twice = counted.filter(pc.greater(counted["count_all"], 1)).slice(0, 1)
            shown = ", ".join(f"{column}={twice[column][0]}" for column in self.key)
            raise DuplicateKeyError(
                f"{self.num_rows - counted.num_rows:,} rows for {name!r} repeat the key of another, e.g. {shown}.",
                hint="Keep one row a key: which of several is meant cannot be told.",
                dataset=name,
                key=list(self.key),
            )

    def _range(self, name: str) -> tuple[Any, Any] | None:
        values = self.rows.column(name)
        kind = values.type
        if pa.types.is_temporal(kind):
            values = values.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
        elif not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            return None
        ends = pc.min_max(values)
        return ends["min"].as_py(), ends["max"].as_py()

    def _search(self, reader: FragmentReader, files: FragmentReader, fragment: Fragment) -> Found:
        positions, wanted, start = [np.empty(0, np.int64)], [np.empty(0, np.int64)], 0
        for batch in files.batches(self.key):
            rows, keys = self._match([_comparable(column) for column in batch.columns])
            positions.append(rows + start)
            wanted.append(keys)
            start += batch.num_rows
        here, which = np.concatenate(positions), np.concatenate(wanted)
        if fragment.deleted and len(here):
            live = reader.live(fragment)[here]
            here, which = here[live], which[live]
        return Found(fragment, here, which)

    def _match(self, columns: Sequence[pa.Array]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the rows of a batch that have a wanted key, and which."""
        values = whole_numbers(columns[0]) if self._numbers is not None else None
        if self._numbers is not None and values is not None:
            return self._numbers.match(values)
        rows, wanted = self._hashed.match(hash_rows(columns))
        if self._hashed.twins:
            return self._match_by_value(columns, rows)
        same = np.ones(len(rows), np.bool_)
        for column, mine in zip(columns, self.rows.columns, strict=True):
            same &= _equal(column.take(pa.array(rows)), mine.take(pa.array(wanted)).combine_chunks())
        return rows[same], wanted[same]

    def _match_by_value(
        self, columns: Sequence[pa.Array], rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Do what `_match` does where different keys share a hash, or one key is wanted twice."""
        known = {tuple(row.values()): place for place, row in enumerate(self.rows.to_pylist())}
        table = pa.table([column.take(pa.array(rows)) for column in columns], names=list(self.key))
        hits = [
            (row, known.get(tuple(each.values()))) for row, each in zip(rows.tolist(), table.to_pylist(), strict=True)
        ]
        kept = [(row, place) for row, place in hits if place is not None]
        return np.array([r for r, _ in kept], np.int64), np.array([p for _, p in kept], np.int64)


def read_keys(key: Sequence[str], schema: pa.Schema, rows: pa.Table, name: str) -> KeySet:
    """Make keys of a table that a person gave: its key columns, in the types of the dataset.

    Raises
    ------
    UsageError
        When the dataset has no key, or a key is null.
    ColumnNotFoundError
        When the table lacks a key column.
    DuplicateKeyError
        When a key is named twice.
    """
    if not key:
        raise UsageError(
            f"{name!r} has no key.", hint="create_dataset(key=[...]) gives it one; delete(where) takes a condition."
        )
    columns = []
    for column in key:
        if column not in rows.column_names:
            raise column_not_found(column, rows.column_names, where=f"the keys for {name!r}")
        kind = schema.field(column).type
        chunks = [cast_exactly(chunk, kind, name=column) for chunk in rows.column(column).chunks]
        columns.append(pa.chunked_array(chunks, kind))
    keys = KeySet(key, pa.table(columns, names=list(key)))
    keys.refuse_ambiguous(name)
    return keys


def _comparable(column: pa.Array | pa.ChunkedArray) -> Any:
    """Return a column in which equal keys look equal: values of dictionaries, one zero."""
    if pa.types.is_dictionary(column.type):
        return _comparable(column.cast(column.type.value_type))
    return pc.add(column, pa.scalar(0, column.type)) if pa.types.is_floating(column.type) else column


def _equal(first: pa.Array, second: pa.Array) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = pc.fill_null(pc.equal(first, second), False).to_numpy(zero_copy_only=False)  # noqa: FBT003
    return same
