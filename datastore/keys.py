"""Key uniqueness: which key values of new rows occur twice, among themselves or in the rows before.

Rows are compared by a 64-bit hash first and by value only where hashes meet. Older fragments whose zone
maps say that no key can meet are not read. As in SQL, a key with a null equals no other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.manifest import Fragment, may_hold
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.statistics.hashing import hash_rows

MAX_EXAMPLES: Final = 10


@dataclass(frozen=True, slots=True)
class DuplicateKeys:
    """Key values that occur more than once.

    Attributes
    ----------
    groups : int
        How many key values.
    rows : int
        How many rows have one of them (the rows before included).
    examples : tuple of dict
        Some of the key values, by column, with ``count``.
    """

    groups: int
    rows: int
    examples: tuple[dict[str, Any], ...]


def find_duplicate_keys(
    key: Sequence[str], added: FragmentReader, before: FragmentReader, limit: int = MAX_EXAMPLES
) -> DuplicateKeys:
    """Find the key values of added rows that are not unique in the whole.

    Parameters
    ----------
    key : sequence of str
        The key columns.
    added, before : FragmentReader
        The new rows, and those that were there.
    limit : int
        How many examples to return at most.
    """
    new = [_KeyBatch.of(batch) for batch in added.batches(key)]
    hashes = np.sort(np.concatenate([part.hashes for part in new])) if new else np.empty(0, np.uint64)
    if not len(hashes):
        return DuplicateKeys(0, 0, ())
    repeated = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
    old = _meeting(key, added, before, hashes)
    suspects = np.union1d(repeated, np.concatenate([part.hashes for part in old])) if old else repeated
    rows = [part.rows_with(suspects) for part in (*new, *old)]
    return _count(key, [batch for batch in rows if batch.num_rows], limit)


def find_repeated_keys(
    key: Sequence[str], batches: Iterable[pa.RecordBatch], limit: int = MAX_EXAMPLES
) -> DuplicateKeys:
    """Find the key values that occur more than once in some batches, which have the key columns alone."""
    parts = [_KeyBatch.of(batch) for batch in batches]
    hashes = np.sort(np.concatenate([part.hashes for part in parts])) if parts else np.empty(0, np.uint64)
    rows = [part.rows_with(np.unique(hashes[1:][hashes[1:] == hashes[:-1]])) for part in parts]
    return _count(key, [batch for batch in rows if batch.num_rows], limit)


@dataclass(frozen=True, slots=True)
class _KeyBatch:
    rows: pa.RecordBatch
    hashes: NDArray[np.uint64]

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> "_KeyBatch":
        plain = pa.RecordBatch.from_arrays([_comparable(column) for column in batch.columns], batch.schema.names)
        complete = plain.drop_null() if any(column.null_count for column in plain.columns) else plain
        return cls(complete, hash_rows(complete.columns))

    def rows_with(self, hashes: NDArray[np.uint64]) -> pa.RecordBatch:
        return self.rows.filter(pa.array(np.isin(self.hashes, hashes)))


def _comparable(column: pa.Array) -> pa.Array:
    """Return a column in which equal keys look equal: values of dictionaries, one zero; views as what has kernels."""
    if pa.types.is_dictionary(column.type):
        return _comparable(column.dictionary_decode())
    if pa.types.is_string_view(column.type) or pa.types.is_binary_view(column.type):
        return column.cast(pa.large_string() if pa.types.is_string_view(column.type) else pa.large_binary())
    return pc.add(column, pa.scalar(0, column.type)) if pa.types.is_floating(column.type) else column  # -0.0 + 0 is 0.0


def _meeting(
    key: Sequence[str], added: FragmentReader, before: FragmentReader, hashes: NDArray[np.uint64]
) -> list[_KeyBatch]:
    new = [_bounded(added, fragment, key) for fragment in added.fragments]
    ranges = {field_id: _value_range(new, field_id) for field_id in map(added.field_id, key)}
    known = {field_id: ends for field_id, ends in ranges.items() if ends is not None}
    kept = [each for each in before.fragments if not known or may_hold(_bounded(before, each, key), known)]
    found = []
    for batch in before.restricted(kept).batches(key):
        part = _KeyBatch.of(batch)
        hits = np.isin(part.hashes, hashes)
        if hits.any():
            found.append(_KeyBatch(part.rows.filter(pa.array(hits)), part.hashes[hits]))
    return found


def _bounded(reader: FragmentReader, fragment: Fragment, key: Sequence[str]) -> Fragment:
    """Return a fragment with the bounds of key columns; of those that are no key of the dataset, from the zones."""
    unknown = [name for name in key if fragment.bounds_of(reader.field_id(name)) is None]
    return replace(fragment, bounds=(*fragment.bounds, *reader.bounds(fragment, unknown))) if unknown else fragment


def _value_range(fragments: Sequence[Fragment], field_id: int) -> tuple[Any, Any] | None:
    ends = [fragment.bounds_of(field_id) for fragment in fragments]
    known = [end for end in ends if end is not None]
    if not known or len(known) < len(ends):
        return None
    return min(low for low, _ in known), max(high for _, high in known)


def _count(key: Sequence[str], batches: Sequence[pa.RecordBatch], limit: int) -> DuplicateKeys:
    if not batches:
        return DuplicateKeys(0, 0, ())
    counted = pa.Table.from_batches(batches).group_by(list(key), use_threads=False).aggregate([([], "count_all")])
    twice = counted.filter(pc.greater(counted["count_all"], 1))
    examples = [{**row, "count": row["count_all"]} for row in _shown(twice.slice(0, limit)).to_pylist()]
    return DuplicateKeys(
        twice.num_rows,
        pc.sum(twice["count_all"]).as_py() or 0,
        tuple({name: row[name] for name in (*key, "count")} for row in examples),
    )


def _shown(rows: pa.Table) -> pa.Table:
    """Write instants as text: Python has no nanoseconds and ends in the year 9999."""
    columns = [c.cast(pa.string()) if pa.types.is_temporal(c.type) else c for c in rows.columns]
    return pa.table(columns, names=rows.column_names)
