"""Rows that are gone through again and again."""

from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.views.ordering.keys import scatter
from foldstore.views.ordering.shard import Shard
from foldstore.views.rows.rows import Batches, Change, Index, Ranks, RowIds, Rows, endless, pick_shard
from foldstore.views.source import Source


class RepeatedRows:
    """Epoch after epoch of rows, each of which is a *turn*.

    Without end they go on until a turn has no rows; with an end there may be empty turns.

    Parameters
    ----------
    before : Rows
        What is repeated; it ends.
    turns : int, optional
        How often; without end unless given.
    anew : bool
        Whether every epoch begins with the first turn, as it does without end; else it goes on where the last one
        stopped.
    """

    def __init__(self, before: Rows, turns: int | None, *, anew: bool = False) -> None:
        self.before = before
        self.turns = turns
        self._anew = anew or turns is None

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns."""
        return self.before.arrow_schema

    @property
    def is_endless(self) -> bool:
        """Whether no number of turns was given."""
        return self.turns is None

    @property
    def change(self) -> Change:
        """What another epoch changes in the rows before."""
        return Change.NOTHING if self._anew else self.before.change

    def count(self, epoch: int = 0) -> int:
        """Count the rows of all turns."""
        if self.turns is None:
            raise endless("its rows cannot be counted")
        if self.before.change < Change.NUMBER:
            return self.before.count() * self.turns
        return sum(self.before.count(turn) for turn in self._numbers(epoch))

    def stream(self, columns: Sequence[str], *, epoch: int = 0, start: int = 0, shard: Shard | None = None) -> Batches:
        """Yield the rows of one turn after the other."""
        return pick_shard(self._stream(columns, epoch, start), shard, start)

    def _stream(self, columns: Sequence[str], epoch: int, start: int) -> Batches:
        for turn, inside in self._turns_from(start, epoch):
            rows = inside
            for batch in self.before.stream(columns, epoch=turn, start=inside):
                rows += batch.num_rows
                yield batch
            if not rows and self._ends_empty:
                return

    def index(self, epoch: int = 0) -> "RepeatedIndex":
        """Return the index of the rows of all turns."""
        if self.turns is None:
            raise endless("its rows cannot be reached by number")
        return RepeatedIndex(self.before, self._numbers(epoch))

    def until(self, rows: int, epoch: int = 0) -> Rows:  # noqa: ARG002  # without end every epoch is the same
        """Return so many turns that they have the first rows."""
        if self.turns is not None:
            return self
        if self.before.change < Change.NUMBER:
            size = self.before.count()
            return RepeatedRows(self.before, max(1, -(-rows // size) if size else 1), anew=True)
        turns = found = 0
        while found < rows and (size := self.before.count(turns)):
            turns, found = turns + 1, found + size
        return RepeatedRows(self.before, max(1, turns), anew=True)

    @property
    def _ends_empty(self) -> bool:
        """Whether a turn without rows is the end: nothing repeated is nothing."""
        return self.turns is None or self.before.change < Change.NUMBER

    def _numbers(self, epoch: int) -> range:
        """Return which epochs of the rows before an epoch has."""
        turns = self.turns or 0
        first = 0 if self._anew else epoch * turns
        return range(first, first + turns)

    def _turns_from(self, start: int, epoch: int) -> Iterator[tuple[int, int]]:
        """Yield the turns from the one that has a row on, and from which of its rows."""
        numbers: Iterator[int] | range = count() if self.turns is None else self._numbers(epoch)
        if start and self.before.change < Change.NUMBER:
            passed, start = divmod(start, max(1, self.before.count()))
            numbers = count(passed) if self.turns is None else self._numbers(epoch)[passed:]
        for turn in numbers:
            # Turns of different sizes are counted as they come.
            size = self.before.count(turn) if start and self.before.change is Change.NUMBER else start + 1
            if start < size:
                yield turn, start
                start = 0
            elif not size and self._ends_empty:
                return
            else:
                start -= size


class RepeatedIndex:
    """The rows of several epochs by rank, one epoch after the other.

    Parameters
    ----------
    rows : Rows
        What is repeated.
    turns : range
        Which of its epochs; at least one.
    """

    def __init__(self, rows: Rows, turns: range) -> None:
        self._rows = rows
        self._turns = turns
        self._made: dict[int, Index] = {}
        first = self._at(0)
        self.arrow_schema = first.arrow_schema
        sizes = [first.num_rows]
        if rows.change is Change.NUMBER:
            sizes += [self._at(turn).num_rows for turn in range(1, len(turns))]
        # Where turns begin; of turns of one size, what they are multiples of.
        self._size = first.num_rows if rows.change < Change.NUMBER else None
        self._starts = np.cumsum([0, *sizes], dtype=np.int64)

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return int(self._starts[-1]) if self._size is None else self._size * len(self._turns)

    @property
    def num_bytes(self) -> int:
        """What the epochs take that differ."""
        return sum(self._at(turn).num_bytes for turn in self._different)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where the rows come from."""
        return tuple(source for turn in self._different for source in self._at(turn).sources)

    def slices(self, start: int, stop: int, columns: Sequence[str]) -> Batches:
        """Yield the rows of a range of ranks."""
        for turn, first, last in self._runs(start, stop):
            yield from self._at(turn).slices(first, last, columns)

    def take(self, ranks: Ranks, columns: Sequence[str]) -> Batches:
        """Yield rows by rank."""
        for turn, inside in self._parts(ranks):
            yield from self._at(turn).take(inside, columns)

    def origins(self, ranks: Ranks) -> tuple[NDArray[np.int64], Ranks]:
        """Return where rows come from."""
        sizes = [len(self._at(turn).sources) for turn in self._different]
        starts = np.cumsum([0, *sizes])
        numbers, found = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for turn, inside in self._parts(ranks):
            here, places = self._at(turn).origins(inside)
            numbers.append(here + starts[turn if len(sizes) > 1 else 0])
            found.append(places)
        return np.concatenate(numbers), np.concatenate(found)

    def identities(self, start: int, stop: int) -> RowIds:
        """Return words of each turn's own."""
        runs = self._runs(start, stop)
        words = [scatter(self._at(turn).identities(first, last), turn) for turn, first, last in runs]
        return np.concatenate([np.empty(0, np.uint64), *words])

    @property
    def _different(self) -> range:
        """The turns that have indexes of their own."""
        return range(1) if self._rows.change is Change.NOTHING else range(len(self._turns))

    def _at(self, turn: int) -> Index:
        """Return the index of a turn."""
        if self._rows.change is Change.NOTHING:
            turn = 0
        if turn not in self._made:
            self._made[turn] = self._rows.index(self._turns[turn])
        return self._made[turn]

    def _find(self, ranks: Ranks) -> tuple[Ranks, Ranks]:
        """Return the turn that each row is in, and its rank there."""
        if self._size is not None:
            turns, inside = np.divmod(ranks, max(1, self._size))
            return turns, inside
        turns = np.searchsorted(self._starts, ranks, side="right") - 1
        return turns, ranks - self._starts[turns]

    def _parts(self, ranks: Ranks) -> Iterator[tuple[int, Ranks]]:
        """Yield ranks that ascend turn by turn."""
        turns, inside = self._find(ranks)
        bounds = np.flatnonzero(np.diff(turns, prepend=-1, append=-1))
        for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            yield int(turns[first]), inside[first:last]

    def _runs(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Yield a range of ranks turn by turn, as (turn, first, last)."""
        while start < stop:
            (turn,), (inside,) = self._find(np.array([start], np.int64))
            rows = min(stop - start, self._at(int(turn)).num_rows - int(inside))
            yield int(turn), int(inside), int(inside) + rows
            start += rows
