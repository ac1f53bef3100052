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
from foldstore.views.rows.rows import Batches, Change, Index, Ranks, Rows, join_batches, project
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
        has fewer begins anew, with its next epoch; one that has more goes on in the next epoch where it stopped.
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
        self._scheduled: tuple[tuple[int, ...], Schedule] | None = None

    @property
    def is_endless(self) -> bool:
        """An epoch ends."""
        return False

    @property
    def change(self) -> Change:
        """A shuffle changes the order; a blend goes on with other rows, though as many."""
        if self._counts is not None:
            return Change.ROWS
        return max(Change.ORDER, *(each.change for each in self.inputs))

    def counts(self, epoch: int = 0) -> tuple[int, ...]:
        """Return how many rows of each part an epoch has."""
        if self._counts is None:
            return tuple(part.index(epoch).num_rows for part in self._parts)
        return self._blended

    @cached_property
    def _blended(self) -> tuple[int, ...]:
        assert self._counts is not None  # noqa: S101  # asked of blends alone
        return tuple(self._counts([part.index(0).num_rows for part in self._parts]))

    def count(self, epoch: int = 0) -> int:
        """Count the rows of an epoch, without their order."""
        if self._counts is None:
            return sum(each.count(epoch) for each in self.inputs)
        return sum(self._counts([each.count() for each in self.inputs]))

    def shuffled(self, seed: int, buffer_rows: int, blocks: int) -> "BlendRows":
        """Return the same parts in the same proportions, shuffled."""
        return BlendRows(
            self.engine, self.inputs, self._counts, self.arrow_schema, seed=seed, buffer_rows=buffer_rows, blocks=blocks
        )

    def stream(self, columns: Sequence[str], *, epoch: int = 0, start: int = 0, shard: Shard | None = None) -> Batches:
        """Yield the rows, a buffer at a time; what belongs to other readers is not put in order."""
        names = list(columns) or self.arrow_schema.names[:1]
        schema = project(self.arrow_schema, names)
        first = self._schedule(epoch).find(start)
        readers = [self._read(part, names, epoch, first) for part in range(len(self.inputs))]
        for order in self._orders(epoch, first, start, shard):
            mixed = join_batches([next(reader) for reader in readers], schema)
            if len(order):
                yield mixed.take(pa.array(order))

    def index(self, epoch: int = 0) -> Index:
        """Return the index of an epoch's rows; eight bytes a row."""
        return self._make_index(epoch) if epoch else self._index

    def until(self, rows: int, epoch: int = 0) -> Rows:  # noqa: ARG002
        """They end."""
        return self

    @cached_property
    def _index(self) -> Index:
        return self._make_index(0)

    def _make_index(self, epoch: int) -> Index:
        schedule = self._schedule(epoch)
        fillings = [schedule.filling(number) for number in range(schedule.num_fillings)]
        runs = [
            [
                (part, self._parts[part].epoch_of(turn), first, last)
                for part in range(len(self.inputs))
                for turn, first, last in self._ranges(part, filling, epoch)
            ]
            for filling in fillings
        ]
        # The first turn is there in any case: it says what a part without rows reads.
        first_turns = {(part, 0) for part in range(len(self.inputs))}
        used = sorted(first_turns | {(part, turn) for filling in runs for part, turn, _, _ in filling})
        union = UnionIndex([self._parts[part].index(turn) for part, turn in used], self.arrow_schema)
        starts = dict(zip(used, union.starts.tolist(), strict=False))
        ranks = [np.empty(0, np.int64)]
        for filling, found in zip(fillings, runs, strict=True):
            rows = [np.arange(first, last) + starts[part, turn] for part, turn, first, last in found]
            ranks.append(np.concatenate([ranks[0], *rows])[arrange(filling, self._seed, epoch)])
        return OrderedIndex(union, np.concatenate(ranks))

    @cached_property
    def _parts(self) -> "list[_Part]":
        return [_Part(each, keeps_order=self._seed is None) for each in self.inputs]

    def _schedule(self, epoch: int) -> Schedule:
        counts = self.counts(epoch)
        if self._scheduled is None or self._scheduled[0] != counts:
            self._scheduled = counts, Schedule(counts, self._buffer_rows)
        return self._scheduled[1]

    @cached_property
    def _passes(self) -> list[Passes]:
        counts = self.counts()
        share = self._buffer_rows / max(1, sum(counts))
        blocks = [max(1, round(count * share) // self._blocks) for count in counts]
        return [
            Passes(each.size, rows, self._seed, part)
            for part, (each, rows) in enumerate(zip(self._parts, blocks, strict=True))
        ]

    def _ranges(self, part: int, filling: Filling, epoch: int) -> Iterator[tuple[int, int, int]]:
        """Yield the runs of rows that a filling takes of a part: turn, first and last."""
        passes = self._passes[part]
        offset = passes.start(epoch) if self._counts is None else epoch * self._blended[part]
        first, last = filling.parts[part]
        return passes.ranges(offset + first, offset + last)

    def _orders(self, epoch: int, first: int, start: int, shard: Shard | None) -> Iterator[Ranks]:
        """Return which rows of each filling come, in their order; a thread makes the next one meanwhile."""

        schedule = self._schedule(epoch)

        def order_of(number: int) -> Ranks:
            filling = schedule.filling(number)
            skipped = max(0, start - filling.start)
            order = arrange(filling, self._seed, epoch)[skipped:]
            if shard is not None and shard.world_size > 1:
                order = order[shard.owned(filling.start + skipped, len(order))]
            return order

        numbers = range(first, schedule.num_fillings)
        orders = map(order_of, numbers)
        is_work = self._seed is not None or len(self.inputs) > 1
        return make_ahead(orders) if is_work and len(numbers) > 1 else orders

    def _read(self, part: int, names: Sequence[str], epoch: int, first: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a part, one batch for each filling; what shapes them runs on all along."""
        steps, before = _without_shape(self._parts[part].index(0))
        used, needed = prune(steps, names, before.arrow_schema) if steps else ((), list(names))
        schema, schedule = project(before.arrow_schema, needed), self._schedule(epoch)

        def fill() -> Batches:
            for number in range(first, schedule.num_fillings):
                read: list[pa.RecordBatch] = []
                for turn, begin, end in self._ranges(part, schedule.filling(number), epoch):
                    _, raw = _without_shape(self._parts[part].index(turn))
                    read += raw.slices(begin, end, needed)
                yield join_batches(read, schema)

        for batch in run_steps(self.engine, used, schema, fill()):
            yield batch.select(names)


class _Part:
    """One input, gone through turn after turn: each turn is an epoch of it, as far as epochs differ here.

    Parameters
    ----------
    rows : Rows
        The input.
    keeps_order : bool
        Whether its order matters; else an epoch that has the same rows in another order serves as well as the first.
    """

    def __init__(self, rows: Rows, *, keeps_order: bool) -> None:
        self._rows = rows
        self._is_fixed = rows.change is Change.NOTHING or (rows.change is Change.ORDER and not keeps_order)
        self._latest: tuple[int, Index] | None = None

    @property
    def size(self) -> int | Callable[[int], int]:
        """How many rows each turn has, or that of a number."""
        if self._rows.change is Change.NUMBER:
            return lambda turn: self.index(turn).num_rows
        return max(1, self.index(0).num_rows)

    def epoch_of(self, turn: int) -> int:
        """Return the epoch of the input that a turn reads."""
        return 0 if self._is_fixed else turn

    def index(self, turn: int) -> Index:
        """Return the rows of a turn; the first, which the input keeps, and the latest are not made again."""
        epoch = self.epoch_of(turn)
        if not epoch:
            return self._rows.index()
        if self._latest is None or self._latest[0] != epoch:
            self._latest = epoch, self._rows.index(epoch)
        return self._latest[1]


def _without_shape(index: Index) -> tuple[tuple[StreamStep, ...], Index]:
    """Take the steps that only shape rows off an index: they can be done after rows are put in order."""
    return (index.steps, index.base) if isinstance(index, ShapedIndex) else ((), index)
