"""Actions with all that they need: each changes a batch under way, and counts what it did."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foldstore.errors import UsageError
from foldstore.validation.cleaning.action import CleaningAction
from foldstore.validation.cleaning.cell_repair import (
    Made,
    clip_cells,
    convert_texts,
    fill_nulls,
    make_cells,
    merge_cells,
    typed_values,
)
from foldstore.validation.cleaning.dependency import count_votes
from foldstore.validation.cleaning.learnt import LearntDependency, group_keys
from foldstore.validation.cleaning.working import Choice, Mask, Working

_MIN_CONFIDENCE: Final = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class BoundCells:
    """An action that learns nothing and changes cells."""

    action: CleaningAction
    choice: Choice

    @property
    def fitted(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def apply(self, working: Working) -> None:
        """Change the cells that are meant."""
        change_cells(self.action, self.choice, working, make_cells(self.action, column_of(self.action, working)))


@dataclass(frozen=True, slots=True, eq=False)
class BoundImpute:
    """Nulls that are filled with one value."""

    action: CleaningAction
    choice: Choice
    value: pa.Scalar

    @property
    def fitted(self) -> dict[str, Any]:
        """The value."""
        return {"value": plain_scalar(self.value)}

    def apply(self, working: Working) -> None:
        """Fill the nulls."""
        nan = bool(self.action.params.get("nan"))
        change_cells(
            self.action, self.choice, working, fill_nulls(column_of(self.action, working), self.value, nan=nan)
        )


@dataclass(frozen=True, slots=True, eq=False)
class BoundClip:
    """Values that are moved to limits."""

    action: CleaningAction
    choice: Choice
    low: pa.Scalar
    high: pa.Scalar

    @property
    def fitted(self) -> dict[str, Any]:
        """The limits."""
        return {"low": plain_scalar(self.low), "high": plain_scalar(self.high)}

    def apply(self, working: Working) -> None:
        """Move what is beyond."""
        made = clip_cells(column_of(self.action, working), self.low, self.high)
        change_cells(self.action, self.choice, working, made)


@dataclass(frozen=True, slots=True, eq=False)
class BoundValues:
    """Rows that get a value each."""

    action: CleaningAction
    choice: Choice

    @property
    def fitted(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def apply(self, working: Working) -> None:
        """Give the rows that are here their values."""
        column = column_of(self.action, working)
        rows = np.array(self.action.rows, np.uint64)
        order = np.argsort(rows)
        values = typed_values(self.action.params["values"], column.type, self.action.column or "")
        places = np.searchsorted(rows[order], working.chunk.ids)
        here = np.isin(working.chunk.ids, rows)
        taken = values.take(pa.array(order[np.minimum(places, len(rows) - 1)]))
        change_cells(self.action, self.choice, working, (taken, here))


@dataclass(frozen=True, slots=True, eq=False)
class BoundDependency:
    """Cells that get the value of the majority of their group; each set of determinants votes."""

    action: CleaningAction
    choice: Choice
    learnt: LearntDependency

    @property
    def fitted(self) -> dict[str, Any]:
        """How many groups have a majority."""
        groups = [int(np.count_nonzero(each.winners >= 0)) for each in self.learnt.majorities]
        return {"groups": groups, "values": len(self.learnt.values)}

    def apply(self, working: Working) -> None:
        """Change the cells that are outvoted."""
        column = column_of(self.action, working)
        if not len(self.learnt.values):
            working.note(0)
            return
        codes = self.learnt.codes(column)
        ballots = []
        for names, majorities in zip(self.action.params["determinants"], self.learnt.majorities, strict=True):
            ballots.append(majorities.votes(*group_keys([working.columns[name] for name in names])))
        winner, confidence = count_votes(ballots, codes)
        meant = (winner >= 0) & (confidence >= self.action.params.get("min_confidence", _MIN_CONFIDENCE))
        if not self.action.params.get("fill_nulls", True):
            meant &= codes != -1
        new = self.learnt.values.take(pa.array(np.where(winner >= 0, winner, 0)))
        change_cells(self.action, self.choice, working, (new, meant))


@dataclass(frozen=True, slots=True, eq=False)
class BoundDrop:
    """Rows that are taken out."""

    action: CleaningAction
    choice: Choice

    @property
    def fitted(self) -> dict[str, Any]:
        """How many rows repeat others."""
        repeated = self.action.op == "deduplicate" and self.choice.rows is not None
        return {"repeated": len(self.choice.rows)} if repeated and self.choice.rows is not None else {}

    def apply(self, working: Working) -> None:
        """Take the rows out."""
        wanted = self.choice.mask(working)
        gone = wanted & working.chunk.free
        working.alive &= ~gone
        working.taken.append((self.action, gone))
        working.note(int(gone.sum()), int(wanted.sum() - gone.sum()))


@dataclass(frozen=True, slots=True, eq=False)
class BoundCast:
    """A column of text that becomes another type."""

    action: CleaningAction
    choice: Choice
    target: pa.DataType

    @property
    def fitted(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def apply(self, working: Working) -> None:
        """Convert the column.

        Raises
        ------
        UsageError
            With code ``not-castable``, when a text of a row cannot be read and nobody said that it becomes null.
        """
        name = self.action.column or ""
        column = working.columns[name]
        made = convert_texts(column, self.target)
        lost = made.is_null().to_numpy(zero_copy_only=False) & column.is_valid().to_numpy(zero_copy_only=False)
        lost &= working.alive
        if lost.any() and self.action.params.get("on_error", "refuse") == "refuse":
            raise refuse_texts(name, self.target, pc.filter(column, pa.array(lost)))
        working.columns[name] = made
        working.note(int(lost.sum()))


def refuse_texts(name: str, target: pa.DataType, texts: pa.Array) -> UsageError:
    """Build the error for texts that are no values of a type."""
    shown = ", ".join(repr(text)[:40] for text in pc.unique(texts).slice(0, 3).to_pylist())
    return UsageError(
        f"{len(texts):,} values of {name!r} cannot be read as {target}, such as {shown}.",
        hint="Clean them before, or cast with on_error='null'.",
        code="not-castable",
        column=name,
        values=len(texts),
    )


def column_of(action: CleaningAction, working: Working) -> pa.Array:
    """Return the column that an action changes; a dictionary as what its values are."""
    column = working.columns[action.column or ""]
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def change_cells(action: CleaningAction, choice: Choice, working: Working, made: Made) -> None:
    """Put new cells into a batch where they are meant and may be."""
    name = action.column or ""
    old = column_of(action, working)
    chosen: Mask = choice.mask(working)
    column, changed = merge_cells(old, made, chosen & working.chunk.free)
    kept_out = int((made[1] & chosen & ~working.chunk.free).sum())
    if changed.any():
        kind = working.columns[name].type
        working.columns[name] = column.cast(kind) if pa.types.is_dictionary(kind) else column
        working.changed |= changed
    working.note(int(changed.sum()), kept_out)


def plain_scalar(value: pa.Scalar) -> Any:
    """Return a value as plain data: times and decimals as text."""
    found = value.as_py()
    return found if found is None or isinstance(found, bool | int | float | str) else str(found)
