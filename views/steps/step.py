"""What every step has in common, and chains of steps that go row by row."""

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import Any, Final, Protocol, Self

import pyarrow as pa

from foldstore.datastore.engine import Engine
from foldstore.errors import UsageError
from foldstore.views.cost import Flow, Part

MAX_STEPS: Final = 200
# Columns that a view adds for its own use begin like this; no stored column can.
HIDDEN: Final = "\0"

Batches = Iterator[pa.RecordBatch]


class Effect(StrEnum):
    """What a step does to the number of rows."""

    KEEPS = "keeps"
    CHOOSES = "chooses"
    MULTIPLIES = "multiplies"


class Step(Protocol):
    """A step as it was written."""

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns that it hands on."""

    def spec(self) -> dict[str, Any]:
        """Return the step as plain data: its verb, and what the verb is given."""

    def flow(self, flow: Flow) -> tuple[Part, Flow]:
        """Say what the step costs for what reaches it, and what it hands on."""


class StreamStep(Step, Protocol):
    """A step that goes row by row."""

    @property
    def effect(self) -> Effect:
        """What it does to the number of rows."""

    def pruned(self, wanted: AbstractSet[str], before: pa.Schema) -> Self:
        """Return the step without what nobody wants; at least one column stays, to carry the rows.

        Hidden columns that reach it and are wanted are handed on.
        """

    def needed(self) -> set[str]:
        """Return the columns that the step reads or hands on, of those that reach it."""

    def run(self, engine: Engine, schema: pa.Schema, batches: Batches) -> Batches:
        """Yield what the step makes of batches of a schema."""


def prune(
    steps: Sequence[StreamStep], wanted: Iterable[str], schema: pa.Schema
) -> tuple[tuple[StreamStep, ...], list[str]]:
    """Drop what no later step reads; return the steps and the columns to read from what is before them.

    A step's arrow schema becomes what it hands on, so that a filter does not copy columns that only its condition
    reads. A column is always kept, so that batches keep their row counts.
    """
    needed = set(wanted)
    befores = _follow_hidden(schema, steps)
    kept: list[StreamStep] = []
    for index in range(len(steps) - 1, -1, -1):
        kept.append(steps[index].pruned(needed, befores[index]))
        needed = kept[-1].needed()
    return tuple(reversed(kept)), [name for name in schema.names if name in needed] or schema.names[:1]


def run_steps(engine: Engine, steps: Iterable[StreamStep], schema: pa.Schema, batches: Batches) -> Batches:
    """Chain pruned steps over batches; nothing runs before the first batch is asked for."""
    for step in steps:
        batches = step.run(engine, schema, batches)
        schema = step.arrow_schema
    return batches


def passed_on(wanted: AbstractSet[str], before: pa.Schema, instead: Sequence[str] = ()) -> pa.Schema:
    """Return the columns that a step lets through: those wanted, or one, so that rows can be counted."""
    names = [name for name in before.names if name in wanted] or [*instead, *before.names][:1]
    return pa.schema([before.field(name) for name in names])


def hidden_of(wanted: AbstractSet[str], before: pa.Schema) -> list[str]:
    """Return the hidden columns that a step which names its columns must hand on all the same."""
    return [name for name in before.names if name.startswith(HIDDEN) and name in wanted]


def replaced(batch: pa.RecordBatch, name: str, values: pa.Array, schema: pa.Schema) -> pa.RecordBatch:
    """Return the columns of a schema, one of them with other values."""
    columns = [values if each == name else batch.column(each) for each in schema.names]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def check_new_column(name: object, schema: pa.Schema, *, where: str) -> str:
    """Return the name of a column that a step adds.

    Raises
    ------
    UsageError
        When it cannot name a column, or one has the name already.
    """
    if not isinstance(name, str):
        raise UsageError(f"A column is named by a str, not {type(name).__name__}.", hint=f"See help(View.{where}).")
    if not name or not name.isprintable():
        raise UsageError(f"{ascii(name)[:80]} cannot name a column.", hint="Use letters, digits and '_'.")
    if name in schema.names:
        raise UsageError(f"{where}() would add {name!r}, which is there already.", hint="Give it another name: into=.")
    return name


def _follow_hidden(schema: pa.Schema, steps: Sequence[StreamStep]) -> list[pa.Schema]:
    """Return what reaches each step: the columns as they were written, and every hidden one that was made before."""
    hidden: dict[str, pa.Field] = {}
    befores = []
    for before in [schema, *(step.arrow_schema for step in steps)]:
        hidden |= {field.name: field for field in before if field.name.startswith(HIDDEN)}
        befores.append(pa.schema([*before, *(each for name, each in hidden.items() if name not in before.names)]))
    return befores
