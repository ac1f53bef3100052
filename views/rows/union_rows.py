"""The rows of several views, one view after the other."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.reader import null_column
from foldstore.views.ordering.keys import scatter
from foldstore.views.ordering.shard import Shard
from foldstore.views.rows.rows import Batches, Change, Index, Ranks, RowIds, Rows, pick_shard, project
from foldstore.views.source import Source


class UnionRows:
    """All rows of several inputs.

    Parameters
    ----------
    inputs : sequence of Rows
        At least one.
    schema : pyarrow.Schema
        The columns; one that an input lacks reads as null there.
    """

    def __init__(self, inputs: Sequence[Rows], schema: pa.Schema) -> None:
        self.inputs = tuple(inputs)
        self.arrow_schema = schema

    @property
    def is_endless(self) -> bool:
        """Whether one of them never ends."""
        return any(each.is_endless for each in self.inputs)

    @property
    def change(self) -> Change:
        """The most that another epoch changes in one of them."""
        return max(each.change for each in self.inputs)

    def count(self, epoch: int = 0) -> int:
        """Count the rows of all."""
        return sum(each.count(epoch) for each in self.inputs)

    def stream(self, columns: Sequence[str], *, epoch: int = 0, start: int = 0, shard: Shard | None = None) -> Batches:
        """Yield the rows of each in turn."""
        return pick_shard(self._stream(columns, epoch, start), shard, start)

    def _stream(self, columns: Sequence[str], epoch: int, start: int) -> Batches:
        for each in self.inputs:
            if start and (rows := each.until(start + 1, epoch).count(epoch)) <= start:
                start -= rows
                continue
            batches = each.stream(_known(each.arrow_schema, columns), epoch=epoch, start=start)
            yield from _fill(each.arrow_schema, self.arrow_schema, columns, batches)
            start = 0

    def index(self, epoch: int = 0) -> "UnionIndex":
        """Return the index of the rows."""
        return self._index if not epoch or self.change is Change.NOTHING else self._make_index(epoch)

    def until(self, rows: int, epoch: int = 0) -> Rows:
        """Return a union in which every input ends."""
        if not self.is_endless:
            return self
        ended = []
        for each in self.inputs:
            ended.append(each.until(max(0, rows), epoch))
            rows -= ended[-1].count(epoch)
        return UnionRows(ended, self.arrow_schema)

    @cached_property
    def _index(self) -> "UnionIndex":
        return self._make_index(0)

    def _make_index(self, epoch: int) -> "UnionIndex":
        return UnionIndex([each.index(epoch) for each in self.inputs], self.arrow_schema)


class UnionIndex:
    """Rows by rank, of one index after the other."""

    def __init__(self, inputs: Sequence[Index], schema: pa.Schema) -> None:
        self.inputs = tuple(inputs)
        self.arrow_schema = schema
        self.starts = np.cumsum([0, *(each.num_rows for each in inputs)], dtype=np.int64)
        self._source_starts = np.cumsum([0, *(len(each.sources) for each in inputs)], dtype=np.int64)

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return int(self.starts[-1])

    @property
    def num_bytes(self) -> int:
        """What all of them take."""
        return sum(each.num_bytes for each in self.inputs)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where the rows come from."""
        return tuple(source for each in self.inputs for source in each.sources)

    def slices(self, start: int, stop: int, columns: Sequence[str]) -> Batches:
        """Yield the rows of a range of ranks."""
        for number, each in enumerate(self.inputs):
            base, end = int(self.starts[number]), int(self.starts[number + 1])
            first, last = max(start, base), min(stop, end)
            if first < last:
                read = _known(each.arrow_schema, columns)
                batches = each.slices(first - base, last - base, read)
                yield from _fill(each.arrow_schema, self.arrow_schema, columns, batches)

    def take(self, ranks: Ranks, columns: Sequence[str]) -> Batches:
        """Yield rows by rank."""
        for number, here in self._parts(ranks):
            each = self.inputs[number]
            batches = each.take(here, _known(each.arrow_schema, columns))
            yield from _fill(each.arrow_schema, self.arrow_schema, columns, batches)

    def origins(self, ranks: Ranks) -> tuple[NDArray[np.int64], Ranks]:
        """Return where rows come from."""
        parts = [(number, *self.inputs[number].origins(here)) for number, here in self._parts(ranks)]
        empty = np.empty(0, np.int64)
        sources = [numbers + self._source_starts[number] for number, numbers, _ in parts]
        return np.concatenate([empty, *sources]), np.concatenate([empty, *(found for _, _, found in parts)])

    def identities(self, start: int, stop: int) -> RowIds:
        """Return words of each input's own, which other inputs do not have but by chance."""
        words = [np.empty(0, np.uint64)]
        for number, each in enumerate(self.inputs):
            base, end = int(self.starts[number]), int(self.starts[number + 1])
            first, last = max(start, base), min(stop, end)
            if first < last:
                words.append(scatter(each.identities(first - base, last - base), number))
        return np.concatenate(words)

    def _parts(self, ranks: Ranks) -> list[tuple[int, Ranks]]:
        bounds = np.searchsorted(ranks, self.starts)
        pairs = [(number, ranks[bounds[number] : bounds[number + 1]]) for number in range(len(self.inputs))]
        return [(number, here - self.starts[number]) for number, here in pairs if len(here)]


def _known(schema: pa.Schema, columns: Sequence[str]) -> list[str]:
    """Return the columns to read of an input; one in any case, which carries the rows."""
    return [name for name in columns if name in schema.names] or schema.names[:1]


def _fill(has: pa.Schema, whole: pa.Schema, columns: Sequence[str], batches: Batches) -> Batches:
    """Give batches the columns that were asked for, in their order; nulls where an input has none."""
    names = list(columns) or whole.names[:1]
    schema = project(whole, names)
    for batch in batches:
        filled = [
            batch.column(name) if name in has.names else null_column(schema.field(name).type, batch.num_rows)
            for name in names
        ]
        yield pa.RecordBatch.from_arrays(filled, schema=schema)
