"""What a plan would do: counts, examples, and the statistics of the columns before and after. Nothing is written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.statistics.column import json_value
from foldstore.datastore.statistics.profile import Profile, profile_batches
from foldstore.validation.anomaly import percent
from foldstore.validation.cleaning.action import CleaningAction
from foldstore.validation.cleaning.cell_repair import differing
from foldstore.validation.cleaning.pipeline import Pipeline
from foldstore.validation.cleaning.working import Read, Working

MOST_EXAMPLES: Final = 5
_PROFILED: Final = 100
# Shares of the rows from which on a repair says more of the repair than of the data.
_MANY_IMPUTED: Final = 0.2
_MANY_CLIPPED: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionCount:
    """What one action would do.

    Attributes
    ----------
    action : CleaningAction
    changed : int
        Cells that change, rows that are taken out, or texts that a cast turns to null.
    kept_out : int
        The same in rows of a test pool, which stay as they are.
    fitted : mapping
        What was learnt.
    """

    action: CleaningAction
    changed: int
    kept_out: int
    fitted: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        return {"action": self.action.to_dict(), "changed": self.changed, "kept_out": self.kept_out} | (
            {"fitted": dict(self.fitted)} if self.fitted else {}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CleaningPreview:
    """What a plan would do.

    Attributes
    ----------
    version : str
    actions : tuple of ActionCount
    rows, rows_changed, rows_dropped : int
        Rows there are; rows that stay with other cells; rows that go.
    examples : mapping of str to tuple of (int, before, after)
        Some changed cells of each column, by row id.
    dropped_examples : tuple of int
        The ids of some rows that go.
    before, after : Profile
        Of the columns that change; of all, at most 100, when rows go.
    notes : tuple of str
        What a person should know before.
    """

    version: str
    actions: tuple[ActionCount, ...]
    rows: int
    rows_changed: int
    rows_dropped: int
    examples: Any
    dropped_examples: tuple[int, ...]
    before: Profile
    after: Profile
    notes: tuple[str, ...] = ()

    @property
    def changes_nothing(self) -> bool:
        """Whether a commit would leave everything as it is."""
        casts = any(each.action.op == "cast" for each in self.actions)
        return not (self.rows_changed or self.rows_dropped or casts)

    def __str__(self) -> str:
        lines = [f"{self.version}: {self.rows_changed:,} of {self.rows:,} rows change, {self.rows_dropped:,} go"]
        lines += [f"  {each.changed:>8,}  {each.action}" for each in self.actions]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        return {
            "version": self.version,
            "rows": self.rows,
            "rows_changed": self.rows_changed,
            "rows_dropped": self.rows_dropped,
            "actions": [each.to_dict() for each in self.actions],
            "examples": {name: [list(each) for each in found] for name, found in self.examples.items()},
            "dropped_examples": list(self.dropped_examples),
            "columns": {name: self._compare(name) for name in self.before.columns},
            "notes": list(self.notes),
        }

    def _compare(self, name: str) -> dict[str, list[Any]]:
        sides = (self.before.columns[name], self.after.columns[name])
        told = ("rows", "nulls", "distinct", "minimum", "maximum", "mean")
        return {each: [json_value(getattr(side, each)) for side in sides] for each in told}


@dataclass(slots=True, eq=False)
class _Tally:
    rows: int = 0
    changed: int = 0
    dropped: int = 0
    counts: list[int] = field(default_factory=list)
    kept_out: list[int] = field(default_factory=list)
    examples: dict[str, list[tuple[int, Any, Any]]] = field(default_factory=dict)
    gone: list[int] = field(default_factory=list)

    def add(self, working: Working, columns: Sequence[str]) -> None:
        self.rows += len(working.alive)
        self.changed += int((working.changed & working.alive).sum())
        self.dropped += int((~working.alive).sum())
        self.counts = _sum(self.counts, working.counts)
        self.kept_out = _sum(self.kept_out, working.kept_out)
        if len(self.gone) < MOST_EXAMPLES:
            self.gone += [int(each) for each in working.chunk.ids[~working.alive][: MOST_EXAMPLES - len(self.gone)]]
        for name in columns:
            self._note(name, working)

    def _note(self, name: str, working: Working) -> None:
        known = self.examples.setdefault(name, [])
        before, after = working.chunk.batch.column(name), working.columns[name]
        if len(known) >= MOST_EXAMPLES or before.type != after.type or not working.changed.any():
            return
        if pa.types.is_dictionary(before.type):
            before, after = before.dictionary_decode(), after.dictionary_decode()
        for place in np.flatnonzero(differing(before, after) & working.alive)[:200]:
            pair = (json_value(before[place].as_py()), json_value(after[place].as_py()))
            if len(known) < MOST_EXAMPLES and all(pair != each[1:] for each in known):
                known.append((int(working.chunk.ids[place]), *pair))


def make_preview(pipeline: Pipeline, read: Read, version: str, arrow_schema: pa.Schema) -> CleaningPreview:
    """Run a plan over the rows and keep what it would do.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted here.
    read : Read
        Begins a pass over the rows.
    version : str
        What the rows are called.
    arrow_schema : pyarrow.Schema
        The columns before.
    """
    pipeline.fit(read)
    tally = _Tally()
    shown = _shown(pipeline, arrow_schema)
    needed = [name for name in arrow_schema.names if name in {*pipeline.columns, *shown}]
    after_schema = pa.schema([pipeline.schema.field(name) for name in shown])

    def cleaned() -> Iterator[pa.RecordBatch]:
        for working in pipeline.run(read, needed):
            tally.add(working, pipeline.changed_columns)
            alive = pa.array(working.alive)
            arrays = [pc.filter(working.columns[name], alive) for name in shown]
            yield pa.RecordBatch.from_arrays(arrays, schema=after_schema)

    after = profile_batches(after_schema, cleaned())
    before_schema = pa.schema([arrow_schema.field(name) for name in shown])
    before = profile_batches(before_schema, (chunk.batch for chunk in read(shown)))
    actions = tuple(
        ActionCount(action=bound.action, changed=count, kept_out=kept, fitted=MappingProxyType(bound.fitted))
        for bound, count, kept in zip(
            pipeline.bound, _padded(tally.counts, pipeline), _padded(tally.kept_out, pipeline), strict=True
        )
    )
    return CleaningPreview(
        version=version, actions=actions, rows=tally.rows, rows_changed=tally.changed, rows_dropped=tally.dropped,
        examples=MappingProxyType({name: tuple(found) for name, found in tally.examples.items() if found}),
        dropped_examples=tuple(tally.gone), before=before, after=after, notes=tuple(_notes(actions, tally.rows)),
    )  # fmt: skip


def _shown(pipeline: Pipeline, schema: pa.Schema) -> list[str]:
    drops = any(not bound.action.operation.cells for bound in pipeline.bound)
    changed = pipeline.changed_columns
    others = [name for name in schema.names if name not in changed] if drops else []
    return (changed + others)[:_PROFILED] or schema.names[:1]


def _notes(actions: Sequence[ActionCount], rows: int) -> Iterator[str]:
    kept_out = sum(each.kept_out for each in actions)
    if kept_out:
        yield f"{kept_out:,} cells or rows of a test pool are left as they are [rows_sealed]"
    for each in actions:
        share = each.changed / rows if rows else 0.0
        name = each.action.column
        if each.action.op == "impute" and share > _MANY_IMPUTED:
            yield f"{name}: {percent(share)} of the rows are filled in [impute_rate_high]"
        if each.action.op in ("clip", "winsorize") and share > _MANY_CLIPPED:
            yield f"{name}: {percent(share)} of the rows are moved to a limit [clip_rate_high]"


def _sum(first: list[int], second: list[int]) -> list[int]:
    return [a + b for a, b in zip(first, second, strict=True)] if first else list(second)


def _padded(counts: list[int], pipeline: Pipeline) -> list[int]:
    return counts or [0] * len(pipeline.bound)
