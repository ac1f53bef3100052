"""Rows in an order that is kept in memory, such as sorted ones; and rows that are sampled."""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.selection import Selection
from foldstore.views.ordering.keys import Words, derive_key, scatter
from foldstore.views.ordering.schedule import share_out
from foldstore.views.ordering.shard import Shard
from foldstore.views.rows.chain_rows import ChosenIndex
from foldstore.views.rows.rows import (
    BATCH_ROWS,
    Batches,
    Change,
    Index,
    Ranks,
    RowIds,
    Rows,
    gather,
    pick_shard,
    project,
    stream_index,
)
from foldstore.views.source import Source
from foldstore.views.splits.hashing import hash_keys
from foldstore.views.steps.order import OrderBy, Sample

_SLICE_ROWS = 65_536
# Hashes of so many rows are kept, in 32 MB, instead of computed three times.
_MOST_KEPT = 4_194_304
_NO_WORDS = np.empty(0, np.uint64)


class IndexedRows:
    """Rows that are given by their index alone.

    Parameters
    ----------
    before : Rows
        What the index is made of.
    schema : pyarrow.Schema
        The columns.
    make : callable
        Makes the index of the index before.
    count : callable
        Says how many rows there are, of how many before.
    """

    def __init__(
        self, before: Rows, schema: pa.Schema, make: Callable[[Index], Index], count: Callable[[int], int] | None
    ) -> None:
        self.before = before
        self.arrow_schema = schema
        self._make = make
        self._count = count

    @property
    def is_endless(self) -> bool:
        """They end."""
        return False

    @property
    def change(self) -> Change:
        """An order that is kept is every epoch's."""
        return Change.NOTHING

    def count(self, epoch: int = 0) -> int:  # noqa: ARG002
        """Count the rows; without the index where that is enough."""
        return self.index().num_rows if self._count is None else self._count(self.before.count())

    def stream(
        self,
        columns: Sequence[str],
        *,
        epoch: int = 0,  # noqa: ARG002
        start: int = 0,
        shard: Shard | None = None,
    ) -> Batches:
        """Yield the rows."""
        return pick_shard(stream_index(self.index(), columns, start), shard, start)

    def index(self, epoch: int = 0) -> Index:  # noqa: ARG002
        """Return the index of the rows."""
        return self._index

    def until(self, rows: int, epoch: int = 0) -> Rows:  # noqa: ARG002
        """They end."""
        return self

    @cached_property
    def _index(self) -> Index:
        return self._make(self.before.index())


def sample_rows(before: Rows, step: Sample) -> IndexedRows:
    """Return the rows that a step samples."""
    count = None if step.stratify else step.count
    return IndexedRows(before, before.arrow_schema, lambda index: _sample(index, step), count)


def sort_rows(before: Rows, step: OrderBy) -> IndexedRows:
    """Return rows in the order of a step."""
    return IndexedRows(before, before.arrow_schema, lambda index: _sort(index, step), lambda rows: rows)


class OrderedIndex:
    """Rows of another index in any order; each may be there more than once.

    Parameters
    ----------
    base : Index
        The rows.
    order : ndarray of int64
        Their ranks there, in the order in which they come.
    numbers : (str, ndarray of int64), optional
        A column of numbers beside them.
    """

    def __init__(self, base: Index, order: Ranks, numbers: tuple[str, NDArray[np.int64]] | None = None) -> None:
        self._base = base
        self._order = order
        self._numbers = numbers
        fields = [*base.arrow_schema, *([pa.field(numbers[0], pa.int64())] if numbers else [])]
        self.arrow_schema = pa.schema(fields)

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return len(self._order)

    @property
    def num_bytes(self) -> int:
        """Eight bytes a row, and as many for numbers."""
        return self._base.num_bytes + self._order.nbytes + (self._numbers[1].nbytes if self._numbers else 0)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where the rows come from."""
        return self._base.sources

    def slices(self, start: int, stop: int, columns: Sequence[str]) -> Batches:
        """Yield the rows of a range of ranks."""
        for first in range(start, stop, _SLICE_ROWS):
            yield self._gather(np.arange(first, min(first + _SLICE_ROWS, stop), dtype=np.int64), columns)

    def take(self, ranks: Ranks, columns: Sequence[str]) -> Batches:
        """Yield rows by rank."""
        for first in range(0, len(ranks), _SLICE_ROWS):
            yield self._gather(ranks[first : first + _SLICE_ROWS], columns)

    def origins(self, ranks: Ranks) -> tuple[NDArray[np.int64], Ranks]:
        """Return where rows come from."""
        asked = self._order[ranks]
        order = np.argsort(asked, kind="stable")
        numbers, found = self._base.origins(asked[order])
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return numbers[back], found[back]

    def identities(self, start: int, stop: int) -> RowIds:
        """Return the ranks: a row may be there more than once."""
        return np.arange(start, stop, dtype=np.uint64)

    def _gather(self, ranks: Ranks, columns: Sequence[str]) -> pa.RecordBatch:
        own = self._numbers[0] if self._numbers else None
        read = [name for name in columns if name != own] or self._base.arrow_schema.names[:1]
        batch = gather(self._base, self._order[ranks], read)
        if own is None or own not in columns:
            return batch.select(columns) if columns else batch
        assert self._numbers is not None  # noqa: S101  # there is a name
        whole = batch.append_column(own, pa.array(self._numbers[1][ranks]))
        return whole.select(columns)


def _sample(index: Index, step: Sample) -> Index:
    count = step.count(index.num_rows)
    key = derive_key(step.seed, "sample")
    if step.stratify:
        hashes = np.concatenate([_NO_WORDS, *(each for _, each in _hashes(index, key))])
        places = iter([_choose_in_strata(hashes, _read_keys(index, step.stratify), count)])
    elif index.num_rows <= _MOST_KEPT:
        kept = list(_hashes(index, key))
        places = _choose_smallest(lambda: iter(kept), count)
    else:
        places = _choose_smallest(lambda: _hashes(index, key), count)
    return ChosenIndex(index, Selection.from_places(index.num_rows, places))


def _hashes(index: Index, key: int) -> Iterator[tuple[int, Words]]:
    """Yield a hash for each row, with the rank of the first of them."""
    for first in range(0, index.num_rows, BATCH_ROWS):
        yield first, scatter(index.identities(first, min(first + BATCH_ROWS, index.num_rows)), key)


def _choose_smallest(hashes: Callable[[], Iterator[tuple[int, Words]]], count: int) -> Iterator[Ranks]:
    """Yield the ranks of the rows with the smallest hashes, in their order; of equal hashes, the first.

    The hashes are gone through three times, so that they need not be kept: to find in which 65,536th of their range
    the last that is chosen lies, which it is, and who is chosen.
    """
    histogram = np.zeros(2**16 + 1, np.int64)
    for _, words in hashes():
        histogram[1:] += np.bincount((words >> np.uint64(48)).astype(np.int64), minlength=2**16)
    below = np.cumsum(histogram)
    if count >= below[-1]:
        yield from (np.arange(first, first + len(words), dtype=np.int64) for first, words in hashes())
        return
    bucket = int(np.searchsorted(below, count, side="right")) - 1
    inside = np.concatenate([_NO_WORDS, *(w[(w >> np.uint64(48)) == bucket] for _, w in hashes())])
    limit = np.sort(inside)[count - below[bucket]]
    equal = count - int(below[bucket]) - int(np.count_nonzero(inside < limit))
    for first, words in hashes():
        chosen = words < limit
        if equal:
            same = np.flatnonzero(words == limit)[:equal]
            chosen[same] = True
            equal -= len(same)
        yield np.flatnonzero(chosen) + first


def _choose_in_strata(hashes: Words, strata: Words, count: int) -> Ranks:
    """Return the ranks of the rows with the smallest hashes of each stratum, in proportion to its size."""
    _, codes, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    wanted = share_out(count, [Fraction(int(size), len(hashes)) for size in sizes]) if len(hashes) else []
    order = np.lexsort((hashes, codes))
    place = np.arange(len(hashes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    chosen = order[place < np.repeat(np.array(wanted, np.int64), sizes)]
    return np.sort(chosen).astype(np.int64, copy=False)


def _read_keys(index: Index, columns: Sequence[str]) -> Words:
    """Return a hash of some columns for each row."""
    batches = stream_index(index, columns)
    return np.concatenate([_NO_WORDS, *(hash_keys(batch.columns, "stratum") for batch in batches)])


def _sort(index: Index, step: OrderBy) -> Index:
    schema = project(index.arrow_schema, step.columns)
    table = pa.Table.from_batches(stream_index(index, step.columns), schema)
    plain = [
        pa.field(field.name, field.type.value_type if pa.types.is_dictionary(field.type) else field.type)
        for field in schema
    ]
    # Arrow's sort is stable; nulls come last, NaN before them, whichever way the others go.
    keys = [(n, "descending" if n in step.descending else "ascending", "at_end") for n in step.columns]
    order = pc.sort_indices(table.cast(pa.schema(plain)), sort_keys=keys)
    return OrderedIndex(index, order.to_numpy().astype(np.int64))
