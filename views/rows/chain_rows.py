"""Rows that pass a chain of steps which go row by row.

The index of a chain says which rows of what is before it come out, and reads them by rank: conditions are decided once,
when the index is made; what only shapes rows is done when they are read.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import takewhile

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.comparison import Comparison
from foldstore.datastore.engine import Engine
from foldstore.datastore.selection import Selection
from foldstore.views.ordering.keys import scatter
from foldstore.views.ordering.shard import Shard
from foldstore.views.rows.rows import (
    Batches,
    Change,
    Index,
    Ranks,
    RowIds,
    Rows,
    endless,
    pick_shard,
    project,
    skip_rows,
    stream_index,
)
from foldstore.views.rows.source_rows import SourceRows
from foldstore.views.source import Source
from foldstore.views.steps.explode import Explode, PickElement
from foldstore.views.steps.limit import Limit
from foldstore.views.steps.select import Select
from foldstore.views.steps.step import HIDDEN, Effect, StreamStep, prune, run_steps
from foldstore.views.steps.where import Where

_RANK = f"{HIDDEN}rank"
_NOTHING = np.empty(0, np.int64)


class ChainRows:
    """What a chain of steps makes of rows.

    Parameters
    ----------
    engine : Engine
        Evaluates conditions and expressions.
    before : Rows
        What the chain is given.
    steps : sequence of StreamStep
        At least one.
    """

    def __init__(self, engine: Engine, before: Rows, steps: Sequence[StreamStep]) -> None:
        self.engine = engine
        self.before = before
        self.steps = tuple(steps)

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns."""
        return self.steps[-1].arrow_schema

    @property
    def is_endless(self) -> bool:
        """Whether what is before never ends, and no step cuts it."""
        return self.before.is_endless and not any(isinstance(step, Limit) for step in self.steps)

    @property
    def keeps_rows(self) -> bool:
        """Whether one row comes out for each that goes in."""
        return all(step.effect is Effect.KEEPS for step in self.steps)

    @property
    def change(self) -> Change:
        """What another epoch changes: a cut takes others of rows in another order, a condition others of other rows."""
        change = self.before.change
        for step in self.steps:
            if isinstance(step, Limit):
                change = Change.ROWS if change is Change.ORDER else change
            elif step.effect is not Effect.KEEPS:
                change = Change.NUMBER if change is Change.ROWS else change
        return change

    def count(self, epoch: int = 0) -> int:
        """Count the rows; reads only the columns that decide, and nothing where none does."""
        if self.is_endless:
            raise endless("its rows cannot be counted")
        last = max((n for n, step in enumerate(self.steps) if not _is_plain(step)), default=-1)
        cuts = [step.rows for step in self.steps[last + 1 :] if isinstance(step, Limit)]
        if last >= 0:
            deciding = ChainRows(self.engine, self.before, self.steps[: last + 1])
            return _count_until(deciding.stream([], epoch=epoch), min(cuts, default=None))
        before = self.before.until(min(cuts), epoch) if self.before.is_endless else self.before
        return min([before.count(epoch), *cuts])

    def stream(self, columns: Sequence[str], *, epoch: int = 0, start: int = 0, shard: Shard | None = None) -> Batches:
        """Yield the rows batch by batch."""
        if self.keeps_rows:
            return self._run(columns, epoch, start, shard)
        if start and not self.is_endless and (not epoch or self.change is Change.NOTHING):
            return pick_shard(stream_index(self.index(), columns, start), shard, start)
        batches = self._run(columns, epoch, 0)
        return pick_shard(skip_rows(batches, start) if start else batches, shard, start)

    def scan(self, columns: Sequence[str], comparisons: Sequence[Comparison]) -> Batches:
        """Yield the rows, of which those may be left out that do not meet all comparisons."""
        return self._run(columns, 0, 0, comparisons=hand_down(self.steps, comparisons))

    def index(self, epoch: int = 0) -> Index:
        """Return the index of the rows."""
        return self._index if not epoch or self.change is Change.NOTHING else self._make_index(epoch)

    def until(self, rows: int, epoch: int = 0) -> Rows:  # noqa: ARG002
        """Cut them off."""
        if not self.is_endless:
            return self
        return ChainRows(self.engine, self.before, [*self.steps, Limit(rows, self.arrow_schema)])

    @cached_property
    def _index(self) -> Index:
        return self._make_index(0)

    def _make_index(self, epoch: int) -> Index:
        if self.keeps_rows:
            return ShapedIndex(self.engine, self.before.index(epoch), self.steps)
        if any(step.effect is Effect.MULTIPLIES for step in self.steps):
            return self._make_exploded(epoch)
        kept = [step for step in self.steps if step.effect is Effect.KEEPS]
        noted = _note_ranks(self.engine, self.before, self.steps, epoch)
        ranks: Iterable[Ranks] = (batch.column(_RANK).to_numpy() for batch in noted)
        if self.before.is_endless:
            ranks = list(ranks)
        base = self._index_before(ranks, epoch)
        chosen = ChosenIndex(base, Selection.from_places(base.num_rows, ranks))
        return ShapedIndex(self.engine, chosen, kept) if kept else chosen

    def _index_before(self, ranks: Iterable[Ranks], epoch: int) -> Index:
        """Return the index of the rows before, as far as the ranks that are wanted of them go."""
        if not self.before.is_endless:
            return self.before.index(epoch)
        rows = max((int(each[-1]) + 1 for each in ranks if len(each)), default=0)
        return self.before.until(rows, epoch).index(epoch)

    def _run(
        self,
        columns: Sequence[str],
        epoch: int,
        start: int,
        shard: Shard | None = None,
        comparisons: Sequence[Comparison] = (),
    ) -> Batches:
        used, needed = prune(self.steps, columns, self.before.arrow_schema)
        schema = project(self.before.arrow_schema, needed)
        if isinstance(self.before, SourceRows) and not start and shard is None:
            batches = self.before.scan(needed, [*find_comparisons(used), *comparisons])
        else:
            batches = self.before.stream(needed, epoch=epoch, start=start, shard=shard)
        for batch in run_steps(self.engine, used, schema, batches):
            yield batch.select(columns) if columns else batch

    def _make_exploded(self, epoch: int) -> Index:
        """Note for each row that comes out which row before it is of, and which elements it has."""
        names: list[str] = []
        noting: list[StreamStep] = []
        picking: list[StreamStep] = []
        for step in self.steps:
            if isinstance(step, Explode):
                names.append(f"{HIDDEN}element {len(names)}")
                noted_schema = step.arrow_schema.append(pa.field(names[-1], pa.int32()))
                noting.append(replace(step, ordinals=names[-1], arrow_schema=noted_schema))
                picking.append(PickElement(step, names[-1], step.arrow_schema))
            else:
                noting.append(step)
                picking += [step] if step.effect is Effect.KEEPS else []
        ranks, elements = [_NOTHING], {name: [np.empty(0, np.int32)] for name in names}
        for batch in _note_ranks(self.engine, self.before, noting, epoch, names):
            ranks.append(batch.column(_RANK).to_numpy())
            for name in names:
                elements[name].append(batch.column(name).to_numpy())
        noted = {name: np.concatenate(parts) for name, parts in elements.items()}
        base = self._index_before(ranks, epoch)
        return ExplodedIndex(self.engine, base, np.concatenate(ranks), noted, picking)


class ShapedIndex:
    """Rows by rank, shaped when they are read: columns chosen, computed, mapped."""

    def __init__(self, engine: Engine, base: Index, steps: Sequence[StreamStep]) -> None:
        self.engine = engine
        self.base = base
        self.steps = tuple(steps)

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns."""
        return self.steps[-1].arrow_schema

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return self.base.num_rows

    @property
    def num_bytes(self) -> int:
        """What the rows before take."""
        return self.base.num_bytes

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where the rows come from."""
        return self.base.sources

    def slices(self, start: int, stop: int, columns: Sequence[str]) -> Batches:
        """Yield the rows of a range of ranks."""
        steps, needed = self.prepare(columns)
        return self.shape(steps, needed, columns, self.base.slices(start, stop, needed))

    def take(self, ranks: Ranks, columns: Sequence[str]) -> Batches:
        """Yield rows by rank."""
        steps, needed = self.prepare(columns)
        return self.shape(steps, needed, columns, self.base.take(ranks, needed))

    def origins(self, ranks: Ranks) -> tuple[NDArray[np.int64], Ranks]:
        """Return where rows come from."""
        return self.base.origins(ranks)

    def identities(self, start: int, stop: int) -> RowIds:
        """Return what tells the rows before apart."""
        return self.base.identities(start, stop)

    def prepare(self, columns: Sequence[str]) -> tuple[tuple[StreamStep, ...], list[str]]:
        """Return the steps that some columns need, and the columns that these need."""
        return prune(self.steps, columns, self.base.arrow_schema)

    def shape(
        self, steps: Sequence[StreamStep], needed: Sequence[str], columns: Sequence[str], batches: Batches
    ) -> Batches:
        """Shape batches of the needed columns as they come."""
        for batch in run_steps(self.engine, steps, project(self.base.arrow_schema, needed), batches):
            yield batch.select(columns) if columns else batch


class ChosenIndex:
    """Some of the rows of another index, in its order."""

    def __init__(self, base: Index, chosen: Selection) -> None:
        self.base = base
        self.chosen = chosen

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns."""
        return self.base.arrow_schema

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return self.chosen.num_rows

    @property
    def num_bytes(self) -> int:
        """At most a bit for each row of the other."""
        return self.base.num_bytes + self.chosen.num_bytes

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where the rows come from."""
        return self.base.sources

    def slices(self, start: int, stop: int, columns: Sequence[str]) -> Batches:
        """Yield the rows of a range of ranks; where all of a run are chosen they are not copied."""
        for chunk, first, last in self.chosen.runs(start, stop):
            base = int(self.chosen.starts[chunk])
            if self.chosen.is_whole(chunk):
                yield from self.base.slices(base + first, base + last, columns)
            else:
                yield from self.base.take(base + self.chosen.offsets(chunk)[first:last], columns)

    def take(self, ranks: Ranks, columns: Sequence[str]) -> Batches:
        """Yield rows by rank."""
        return self.base.take(self._find(ranks), columns)

    def origins(self, ranks: Ranks) -> tuple[NDArray[np.int64], Ranks]:
        """Return where rows come from."""
        return self.base.origins(self._find(ranks))

    def identities(self, start: int, stop: int) -> RowIds:
        """Return what tells the other's rows apart."""
        words = [np.empty(0, np.uint64)]
        for chunk, first, last in self.chosen.runs(start, stop):
            offsets = self.chosen.offsets(chunk)[first:last]
            base = int(self.chosen.starts[chunk])
            whole = self.base.identities(base + int(offsets[0]), base + int(offsets[-1]) + 1)
            words.append(whole[offsets - offsets[0]])
        return np.concatenate(words)

    def _find(self, ranks: Ranks) -> Ranks:
        parts = [offsets + self.chosen.starts[chunk] for chunk, offsets in self.chosen.locate(ranks)]
        return np.concatenate([_NOTHING, *parts])


class ExplodedIndex:
    """Rows of which several may come from one row of another index, each with elements of its own."""

    def __init__(
        self,
        engine: Engine,
        base: Index,
        ranks: Ranks,
        elements: dict[str, NDArray[np.int32]],
        steps: Sequence[StreamStep],
    ) -> None:
        self._engine = engine
        self._base = base
        self._ranks = ranks
        self._elements = elements
        self._steps = tuple(steps)

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns."""
        return self._steps[-1].arrow_schema

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return len(self._ranks)

    @property
    def num_bytes(self) -> int:
        """Eight bytes and four for each list, for each row."""
        return self._base.num_bytes + self._ranks.nbytes + sum(each.nbytes for each in self._elements.values())

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where the rows come from."""
        return self._base.sources

    def slices(self, start: int, stop: int, columns: Sequence[str]) -> Batches:
        """Yield the rows of a range of ranks."""
        return self.take(np.arange(start, stop, dtype=np.int64), columns)

    def take(self, ranks: Ranks, columns: Sequence[str]) -> Batches:
        """Yield rows by rank."""
        hidden = [pa.field(name, pa.int32()) for name in self._elements]
        before = pa.schema([*self._base.arrow_schema, *hidden])
        steps, needed = prune(self._steps, columns, before)
        read = [name for name in needed if name not in self._elements] or self._base.arrow_schema.names[:1]
        used = [name for name in needed if name in self._elements]
        schema = project(before, [*read, *used])
        for batch in run_steps(self._engine, steps, schema, self._with_elements(ranks, read, used, schema)):
            yield batch.select(columns) if columns else batch

    def origins(self, ranks: Ranks) -> tuple[NDArray[np.int64], Ranks]:
        """Return where rows come from."""
        return self._base.origins(self._ranks[ranks])

    def identities(self, start: int, stop: int) -> RowIds:
        """Return words made of what tells the rows before apart, and of how many came of the same row before."""
        if start == stop:
            return np.empty(0, np.uint64)
        ranks = self._ranks[start:stop]
        first = int(ranks[0])
        words = self._base.identities(first, int(ranks[-1]) + 1)[ranks - first]
        turn = np.arange(start, stop) - np.searchsorted(self._ranks, ranks)
        return scatter(words, 0) + turn.astype(np.uint64)

    def _with_elements(
        self, ranks: Ranks, read: Sequence[str], used: Sequence[str], schema: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        start = 0
        for batch in self._base.take(self._ranks[ranks], read):
            here = ranks[start : start + batch.num_rows]
            extra = [pa.array(self._elements[name][here]) for name in used]
            yield pa.RecordBatch.from_arrays([*batch.columns, *extra], schema=schema)
            start += batch.num_rows


def find_comparisons(steps: Sequence[StreamStep]) -> list[Comparison]:
    """Return the comparisons that a row must meet to pass the first conditions of a chain."""
    conditions = takewhile(lambda step: isinstance(step, Where), steps)
    return [each for step in conditions if isinstance(step, Where) for each in step.predicate.comparisons]


def hand_down(steps: Sequence[StreamStep], comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return what a row before some steps must meet so that what becomes of it meets comparisons."""
    handed = list(comparisons)
    for step in reversed(steps):
        if isinstance(step, Select):
            kept = {path.text: path.column for path in step.columns if not path.fields}
            handed = [replace(each, column=kept[each.column]) for each in handed if each.column in kept]
        elif not isinstance(step, Where):  # it may count rows, or make other values of them
            return []
    return handed


def _is_plain(step: StreamStep) -> bool:
    """Say whether how many rows come out of a step is known without reading."""
    return step.effect is Effect.KEEPS or isinstance(step, Limit)


def _count_until(batches: Batches, enough: int | None) -> int:
    """Count rows; no more than enough."""
    rows = 0
    for batch in batches:
        rows += batch.num_rows
        if enough is not None and rows >= enough:
            return enough
    return rows


def _note_ranks(
    engine: Engine, before: Rows, steps: Sequence[StreamStep], epoch: int, hidden: Sequence[str] = ()
) -> Batches:
    """Run steps with the rank of each row before beside it, and yield that and other hidden columns alone."""
    ranked = before.arrow_schema.append(pa.field(_RANK, pa.int64()))
    used, needed = prune(steps, [_RANK, *hidden], ranked)
    columns = [name for name in needed if name != _RANK] or before.arrow_schema.names[:1]
    schema = project(ranked, [*columns, _RANK])
    batches = (
        pa.RecordBatch.from_arrays([*batch.columns, pa.array(np.arange(rank, rank + batch.num_rows))], schema=schema)
        for rank, batch in _stream_ranked(before, columns, find_comparisons(used), epoch)
    )
    return run_steps(engine, used, schema, batches)


def _stream_ranked(
    before: Rows, columns: Sequence[str], comparisons: Sequence[Comparison], epoch: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    if isinstance(before, SourceRows):
        yield from before.finder.scan(columns, comparisons)
        return
    rank = 0
    for batch in before.stream(columns, epoch=epoch):
        yield rank, batch
        rank += batch.num_rows
