"""Rows of two sets in pairs: found by key, compared by value.

Keys meet by a 64-bit hash first and by value where hashes meet. As everywhere in a store, a key with a null equals
no other; of a key that occurs several times, the first row is the partner of the first, the second of the second.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.deletion import Mask
from foldstore.datastore.exact_cast import can_cast, cast_exactly, same_values
from foldstore.datastore.row_set import Places, RowSet
from foldstore.datastore.statistics.hashing import hash_rows
from foldstore.errors import SchemaMismatchError

# So many rows of each side are in memory at once while they are compared.
ROWS_AT_ONCE: Final = 65_536


@dataclass(frozen=True, slots=True, eq=False)
class RowPairs:
    """Rows of two sets that are the same row.

    Attributes
    ----------
    before, after : RowSet
        Where they lie.
    before_places, after_places : array of int
        The places of the partners.
    columns : tuple of (str, str)
        The columns to compare, as each side calls them.
    """

    before: RowSet
    after: RowSet
    before_places: Places
    after_places: Places
    columns: tuple[tuple[str, str], ...]

    @property
    def num_rows(self) -> int:
        """How many pairs."""
        return len(self.before_places)

    def where(self, kept: Mask | Places) -> "RowPairs":
        """Return some of the pairs, by a mask or in an order."""
        return replace(self, before_places=self.before_places[kept], after_places=self.after_places[kept])

    def head(self, limit: int | None) -> "RowPairs":
        """Return the first pairs."""
        return replace(self, before_places=self.before_places[:limit], after_places=self.after_places[:limit])

    def read(self, before: Sequence[str], after: Sequence[str]) -> tuple[pa.Table, pa.Table]:
        """Return columns of both sides."""
        return self.before.take(self.before_places, before), self.after.take(self.after_places, after)

    def find_changes(self) -> Mask:
        """Return whether the partners differ: a row for each pair, a column for each column.

        Memory holds a bounded part of the rows at once.
        """
        found = np.zeros((self.num_rows, len(self.columns)), np.bool_)
        if not self.columns:
            return found
        names = [name for name, _ in self.columns], [name for _, name in self.columns]
        for start in range(0, self.num_rows, ROWS_AT_ONCE):
            run = np.arange(start, min(start + ROWS_AT_ONCE, self.num_rows))
            part = replace(self, before_places=self.before_places[run], after_places=self.after_places[run])
            old, new = part.read(*names)
            for position in range(len(self.columns)):
                found[run, position] = differing(old.column(position), new.column(position))
        return found


def pair_by_key(key: Sequence[str], before: RowSet, after: RowSet, columns: Sequence[tuple[str, str]] = ()) -> RowPairs:
    """Find the rows of two sets that have one key, in the order of the first."""
    old, new = _hash_keys(key, before), _hash_keys(key, after)
    first, second = _align(old.among(new.hashes), new.among(old.hashes))
    same = tuple((name, name) for name in key)
    pairs = RowPairs(before, after, first, second, same)
    unlike = np.asarray(pairs.find_changes().any(axis=1))
    if unlike.any():  # different keys with one hash
        pairs = _pair_one_by_one(pairs, old, new, unlike)
    order = np.argsort(pairs.before_places, kind="stable")
    return replace(pairs.where(order), columns=tuple(columns))


@dataclass(frozen=True, slots=True, eq=False)
class _Hashes:
    """The hashes of complete keys, and the places of their rows; by hash, then by place."""

    hashes: NDArray[np.uint64]
    places: Places

    def among(self, wanted: NDArray[np.uint64]) -> "_Hashes":
        """Return those that others, ascending, have too."""
        if not len(wanted):
            return _Hashes(self.hashes[:0], self.places[:0])
        found = np.minimum(np.searchsorted(wanted, self.hashes), len(wanted) - 1)
        kept = wanted[found] == self.hashes
        return _Hashes(self.hashes[kept], self.places[kept])

    @property
    def runs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where each run of one hash begins, and how long it is."""
        starts = np.flatnonzero(np.diff(self.hashes, prepend=self.hashes[:1] + np.uint64(1)))
        return starts, np.diff(starts, append=len(self.hashes))

    def first_of_each(self, counts: NDArray[np.int64]) -> Places:
        """Return the places of the first rows of each run, so many as counted."""
        starts, lengths = self.runs
        ranks = np.arange(len(self.hashes)) - np.repeat(starts, lengths)
        return self.places[ranks < np.repeat(counts, lengths)]


def _hash_keys(key: Sequence[str], rows: RowSet) -> _Hashes:
    hashes, complete = [np.empty(0, np.uint64)], [np.empty(0, np.bool_)]
    for batch in rows.batches(key):
        hashes.append(hash_rows(batch.columns))
        valid = np.ones(batch.num_rows, np.bool_)
        for column in batch.columns:
            if column.null_count or pa.types.is_dictionary(column.type) or pa.types.is_null(column.type):
                valid &= pc.is_valid(_plain(column)).to_numpy(zero_copy_only=False)
        complete.append(valid)
    places = np.flatnonzero(np.concatenate(complete))
    found = np.concatenate(hashes)[places]
    order = np.argsort(found, kind="stable")
    return _Hashes(found[order], places[order])


def _align(old: _Hashes, new: _Hashes) -> tuple[Places, Places]:
    """Pair the n-th row of a hash with the n-th; both sides have the same hashes."""
    fewest = np.minimum(old.runs[1], new.runs[1])
    return old.first_of_each(fewest), new.first_of_each(fewest)


def _pair_one_by_one(pairs: RowPairs, old: _Hashes, new: _Hashes, unlike: Mask) -> RowPairs:
    """Pair rows whose hash several keys have by comparing each with each; such hashes are next to never there."""
    spoilt = np.unique(old.hashes[np.isin(old.places, pairs.before_places[unlike])])
    left, right = old.among(spoilt), new.among(spoilt)
    kept = pairs.where(~np.isin(pairs.before_places, left.places))
    first, second, taken = list(kept.before_places), list(kept.after_places), set()
    for place, hashed in zip(left.places.tolist(), left.hashes, strict=True):
        for other in right.places[right.hashes == hashed].tolist():
            single = replace(pairs, before_places=np.array([place]), after_places=np.array([other]))
            if other not in taken and not single.find_changes().any():
                first.append(place)
                second.append(other)
                taken.add(other)
                break
    return replace(pairs, before_places=np.array(first, np.int64), after_places=np.array(second, np.int64))


def differing(before: pa.ChunkedArray, after: pa.ChunkedArray) -> Mask:
    """Return where two columns of one length hold different values; null equals null, and NaN equals NaN.

    Examples
    --------
    >>> nan = float("nan")
    >>> differing(pa.chunked_array([[1.0, nan, None]]), pa.chunked_array([[1.0, nan, 0.0]])).tolist()
    [False, False, True]
    """
    old, new = _one_type(_plain(_joined(before)), _plain(_joined(after)))
    if old.type != new.type:
        return ~(_nulls(old) & _nulls(new))
    if pa.types.is_null(old.type):
        return np.zeros(len(old), np.bool_)
    try:
        unequal = pc.fill_null(pc.not_equal(old, new), False).to_numpy(zero_copy_only=False)  # noqa: FBT003
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # Arrow compares no nested values
        return _search(old, new)
    if pa.types.is_floating(old.type):
        unequal = unequal & ~(_nans(old) & _nans(new))
    different: Mask = unequal | (_nulls(old) != _nulls(new))
    return different


def _joined(column: pa.ChunkedArray) -> pa.Array:
    joined = column.combine_chunks()
    return pa.concat_arrays(joined.chunks) if isinstance(joined, pa.ChunkedArray) else joined


def _plain(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        return column.dictionary_decode()
    return column.cast(pa.float32()) if pa.types.is_float16(column.type) else column


def _one_type(old: pa.Array, new: pa.Array) -> tuple[pa.Array, pa.Array]:
    if old.type == new.type:
        return old, new
    for first, second, swap in ((old, new, False), (new, old, True)):
        if can_cast(first.type, second.type):
            try:
                cast = cast_exactly(first, second.type, name="")
            except SchemaMismatchError:
                continue
            return (second, cast) if swap else (cast, second)
    return old, new


def _search(old: pa.Array, new: pa.Array) -> Mask:
    """Find different values by halves: most of what is compared is equal."""
    if same_values(old, new):
        return np.zeros(len(old), np.bool_)
    if len(old) == 1:
        return np.ones(1, np.bool_)
    half = len(old) // 2
    return np.concatenate([_search(old[:half], new[:half]), _search(old[half:], new[half:])])


def _nulls(column: pa.Array) -> Mask:
    nulls: Mask = column.is_null().to_numpy(zero_copy_only=False)
    return nulls


def _nans(column: pa.Array) -> Mask:
    nans: Mask = pc.fill_null(pc.is_nan(column), False).to_numpy(zero_copy_only=False)  # noqa: FBT003
    return nans
