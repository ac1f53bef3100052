"""Rows in a shuffled or blended order: parts are gone through block by block, and mixed in a buffer.

With one part this is a shuffle, with several a blend, in order or shuffled. See `foldstore.views.ordering` for which
row comes when.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa

from foldstore.datastore.engine import Engine
from foldstore.views.ordering.passes import Passes
from foldstore.views.ordering.schedule import Filling, Schedule, arrange
from foldstore.views.ordering.shard import Shard
from foldstore.views.rows.ahead import make_ahead
from foldstore.views.rows.chain_rows import ShapedIndex
from foldstore.views.rows.ordered_rows import OrderedIndex
from foldstore.views.rows.rows import Batches, Index, Ranks, Rows, join_batches, project
from foldstore.views.rows.union_rows import UnionIndex
from foldstore.views.steps.order import BLOCKS, BUFFER_ROWS
from foldstore.views.steps.step import StreamStep, prune, run_steps


class BlendRows:
    """The rows of several inputs in given proportions, in order or shuffled.

    Parameters
    ----------
    engine : Engine
        Evaluates expressions.
    inputs : sequence of Rows
        The parts; each has at least one row when its count is not 0.
    counts : callable, optional
        Says how many rows of each part an epoch has, given how many there are; all of them unless given. A part that
        has fewer begins anew, one that has more goes on in the next epoch where it stopped.
    schema : pyarrow.Schema
        The columns.
    seed : int, optional
        Of the order; without one the parts keep theirs, and take turns.
    buffer_rows, blocks : int
        How many rows are mixed at a time, and of how many runs of rows of each part.
    """

    def __init__(
        self,
        engine: Engine,
        inputs: Sequence[Rows],
        counts: Callable[[Sequence[int]], Sequence[int]] | None,
        schema: pa.Schema,
        *,
        seed: int | None = None,
        buffer_rows: int = BUFFER_ROWS,
        blocks: int = BLOCKS,
    ) -> None:
        self.engine = engine
        self.inputs = tuple(inputs)
        self.arrow_schema = schema
        self._counts = counts
        self._seed = seed
        self._buffer_rows = buffer_rows
        self._blocks = blocks

    @property
    def is_endless(self) -> bool:
        """An epoch ends."""
        return False

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """How many rows of each part an epoch has."""
        sizes = [each.num_rows for each in self._parts]
        return tuple(sizes if self._counts is None else self._counts(sizes))

    def count(self) -> int:
        """Count the rows of an epoch, without their order."""
        sizes = [each.count() for each in self.inputs]
        return sum(sizes if self._counts is None else self._counts(sizes))

    def shuffled(self, seed: int, buffer_rows: int, blocks: int) -> "BlendRows":
        """Return the same parts in the same proportions, shuffled."""
        return BlendRows(
            self.engine, self.inputs, self._counts, self.arrow_schema, seed=seed, buffer_rows=buffer_rows, blocks=blocks
        )

    def stream(self, columns: Sequence[str], *, epoch: int = 0, start: int = 0, shard: Shard | None = None) -> Batches:
        """Yield the rows, a buffer at a time; what belongs to other readers is not put in order."""
        names = list(columns) or self.arrow_schema.names[:1]
        schema = project(self.arrow_schema, names)
        first = self._schedule.find(start)
        readers = [self._read(part, names, epoch, first) for part in range(len(self.inputs))]
        for order in self._orders(epoch, first, start, shard):
            mixed = join_batches([next(reader) for reader in readers], schema)
            if len(order):
                yield mixed.take(pa.array(order))

    def index(self) -> Index:
        """Return the index of the first epoch's rows; eight bytes a row."""
        return self._index

    @cached_property
    def _index(self) -> Index:
        union = UnionIndex(self._parts, self.arrow_schema)
        ranks = [np.empty(0, np.int64)]
        for number in range(self._schedule.num_fillings):
            filling = self._schedule.filling(number)
            found = [
                np.arange(first, last, dtype=np.int64) + union.starts[part]
                for part in range(len(self.inputs))
                for first, last in self._ranges(part, filling, 0)
            ]
            ranks.append(np.concatenate([ranks[0], *found])[arrange(filling, self._seed, 0)])
        return OrderedIndex(union, np.concatenate(ranks))

    @cached_property
    def _parts(self) -> list[Index]:
        return [each.index() for each in self.inputs]

    @cached_property
    def _schedule(self) -> Schedule:
        return Schedule(self.counts, self._buffer_rows)

    @cached_property
    def _passes(self) -> list[Passes]:
        share = self._buffer_rows / max(1, sum(self.counts))
        blocks = [max(1, round(count * share) // self._blocks) for count in self.counts]
        return [
            Passes(max(1, each.num_rows), rows, self._seed, part)
            for part, (each, rows) in enumerate(zip(self._parts, blocks, strict=True))
        ]

    def _ranges(self, part: int, filling: Filling, epoch: int) -> Iterator[tuple[int, int]]:
        offset = epoch * self.counts[part]
        first, last = filling.parts[part]
        return self._passes[part].ranges(offset + first, offset + last)

    def _orders(self, epoch: int, first: int, start: int, shard: Shard | None) -> Iterator[Ranks]:
        """Return which rows of each filling come, in their order; a thread makes the next one meanwhile."""

        def order_of(number: int) -> Ranks:
            filling = self._schedule.filling(number)
            skipped = max(0, start - filling.start)
            order = arrange(filling, self._seed, epoch)[skipped:]
            if shard is not None and shard.world_size > 1:
                order = order[shard.owned(filling.start + skipped, len(order))]
            return order

        numbers = range(first, self._schedule.num_fillings)
        orders = map(order_of, numbers)
        is_work = self._seed is not None or len(self.inputs) > 1
        return make_ahead(orders) if is_work and len(numbers) > 1 else orders

    def _read(self, part: int, names: Sequence[str], epoch: int, first: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a part, one batch for each filling; what shapes them runs on all along."""
        steps, raw = _without_shape(self._parts[part])
        used, needed = prune(steps, names, raw.arrow_schema) if steps else ((), list(names))
        schema = project(raw.arrow_schema, needed)

        def fill() -> Batches:
            for number in range(first, self._schedule.num_fillings):
                ranges = self._ranges(part, self._schedule.filling(number), epoch)
                read = [batch for begin, end in ranges for batch in raw.slices(begin, end, needed)]
                yield join_batches(read, schema)

        for batch in run_steps(self.engine, used, schema, fill()):
            yield batch.select(names)


def _without_shape(index: Index) -> tuple[tuple[StreamStep, ...], Index]:
    """Take the steps that only shape rows off an index: they can be done after rows are put in order."""
    return (index.steps, index.base) if isinstance(index, ShapedIndex) else ((), index)
