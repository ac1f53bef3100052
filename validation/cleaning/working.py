"""A batch under way: the columns that a plan looks at, who the rows are, and which are still there."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.engine import Engine
from foldstore.datastore.expression import Expression
from foldstore.datastore.manifest import Fragment
from foldstore.validation.cleaning.action import CleaningAction

Mask: TypeAlias = NDArray[np.bool_]
RowIds: TypeAlias = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Rows as they are read.

    Attributes
    ----------
    batch : pyarrow.RecordBatch
    ids : array of uint64
        Their row ids.
    free : array of bool
        Which of them may be touched: not those of a test pool.
    fragment : Fragment or None
        Where they lie.
    positions : array of int64
        Where there.
    """

    batch: pa.RecordBatch
    ids: RowIds
    free: Mask
    fragment: Fragment | None
    positions: NDArray[np.int64]


# Begins a pass over some columns.
Read: TypeAlias = Callable[[Sequence[str]], Iterator[Chunk]]


@dataclass(slots=True, eq=False)
class Working:
    """A batch while actions are done to it.

    Attributes
    ----------
    columns : dict of str to pyarrow.Array
    alive : array of bool
        Rows that no action has taken out.
    changed : array of bool
        Rows with a cell that is not what it was.
    counts : list of int
        What each action did so far: cells changed, or rows taken out.
    kept_out : list of int
        What each action would have done to rows of a test pool.
    taken : list of (CleaningAction, array of bool)
        Which rows an action has taken out.
    """

    chunk: Chunk
    columns: dict[str, pa.Array]
    alive: Mask
    changed: Mask
    counts: list[int] = field(default_factory=list)
    kept_out: list[int] = field(default_factory=list)
    taken: list[tuple[CleaningAction, Mask]] = field(default_factory=list)

    @classmethod
    def of(cls, chunk: Chunk) -> "Working":
        """Begin with a chunk."""
        rows = chunk.batch.num_rows
        columns = dict(zip(chunk.batch.schema.names, chunk.batch.columns, strict=True))
        return cls(chunk, columns, np.ones(rows, np.bool_), np.zeros(rows, np.bool_))

    @property
    def batch(self) -> pa.RecordBatch:
        """The columns as they are now, of all rows."""
        return pa.RecordBatch.from_arrays(list(self.columns.values()), list(self.columns))

    def note(self, done: int, kept_out: int = 0) -> None:
        """Say what an action did."""
        self.counts.append(done)
        self.kept_out.append(kept_out)


class Bound(Protocol):
    """An action that knows what it needs."""

    @property
    def action(self) -> CleaningAction:
        """The action."""
        ...

    @property
    def fitted(self) -> dict[str, Any]:
        """What was learnt, as plain data."""
        ...

    def apply(self, working: Working) -> None:
        """Do it to a batch."""


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Which rows an action is for."""

    engine: Engine
    predicate: Expression | None = None
    rows: RowIds | None = None

    def mask(self, working: Working) -> Mask:
        """Return the rows that are there and that the action is for, those of a test pool too."""
        chosen = working.alive.copy()
        if self.rows is not None:
            chosen &= np.isin(working.chunk.ids, self.rows)
        if self.predicate is not None and chosen.any():
            batch = working.batch
            names = list(self.predicate.columns) or batch.schema.names[:1]
            held = list(self.engine.mask(self.predicate, batch.select(names).schema, [batch.select(names)]))
            chosen &= np.concatenate([each.to_numpy(zero_copy_only=False) for each in held])
        return chosen
