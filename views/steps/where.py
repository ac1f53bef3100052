"""Steps that choose rows: by a condition on the row, or on how many elements of a list meet one."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Self

import pyarrow as pa

from foldstore.datastore.engine import Engine, Expression
from foldstore.errors import UsageError
from foldstore.views.cost import Flow, Part
from foldstore.views.steps.elements import check_element_condition, quote
from foldstore.views.steps.step import Batches, Effect, passed_on


@dataclass(frozen=True, slots=True)
class Where:
    """Keep the rows for which a predicate holds."""

    predicate: Expression
    arrow_schema: pa.Schema

    @property
    def effect(self) -> Effect:
        """It chooses rows."""
        return Effect.CHOOSES

    def spec(self) -> dict[str, Any]:
        """Return the step as plain data."""
        return {"where": self.predicate.text}

    def pruned(self, wanted: AbstractSet[str], before: pa.Schema) -> Self:
        """Hand on what is wanted."""
        return replace(self, arrow_schema=passed_on(wanted, before, self.predicate.columns))

    def needed(self) -> set[str]:
        """Return what the predicate reads, and what is handed on."""
        return {*self.arrow_schema.names, *self.predicate.columns}

    def run(self, engine: Engine, schema: pa.Schema, batches: Batches) -> Batches:
        """Yield the rows for which the predicate holds."""
        return engine.filter_batches(self.predicate, schema, batches, keep=self.arrow_schema.names)

    def flow(self, flow: Flow) -> tuple[Part, Flow]:
        """It copies the rows that pass."""
        passed = Flow(flow.rows, {n: w for n, w in flow.widths.items() if n in self.arrow_schema.names})
        ((name, said),) = self.spec().items()
        text = said if isinstance(said, str) else self.predicate.text
        return Part(name, text, passed.num_bytes()), Flow(flow.rows, passed.widths)


@dataclass(frozen=True, slots=True)
class WhereElements(Where):
    """Keep the rows in which so many elements of a list meet a condition."""

    column: str = ""
    condition: str = ""
    at_least: int = 1
    at_most: int | None = None

    def spec(self) -> dict[str, Any]:
        """Return the step as plain data."""
        said = {"column": self.column, "condition": self.condition}
        return {"where_elements": {**said, "at_least": self.at_least, "at_most": self.at_most}}


def make_where(engine: Engine, predicate: str, schema: pa.Schema, address: str) -> Where:
    """Check a predicate against the columns that reach it."""
    return Where(engine.parse_predicate(predicate, schema, where=f"where() of the view of {address}"), schema)


def join_conditions(engine: Engine, predicates: Sequence[str], schema: pa.Schema, address: str) -> str:
    """Return one condition that holds where any of several does; each is checked by itself.

    Raises
    ------
    UsageError
        When there is none.
    """
    if not predicates:
        raise UsageError("where_any() needs at least one condition.", hint="where_any(\"origin = 'JFK'\", 'late')")
    for predicate in predicates:
        engine.parse_predicate(predicate, schema, where=f"where_any() of the view of {address}")
    return predicates[0] if len(predicates) == 1 else " OR ".join(f"(\n{predicate}\n)" for predicate in predicates)


def make_where_elements(
    engine: Engine,
    column: str,
    condition: str,
    counts: tuple[object, object],
    schema: pa.Schema,
    address: str,
) -> WhereElements:
    """Check a condition on the elements of a list column, and how many must meet it."""
    check_element_condition(engine, column, condition, schema, where=f"where_elements() of the view of {address}")
    at_least, at_most = _check_counts(*counts)
    # The count of a list that is null is null; it holds nothing, so 0.
    count = f"coalesce(len(list_filter({quote(column)}, lambda element: (\n{condition}\n))), 0)"
    text = f"{count} >= {at_least}" if at_most is None else f"{count} BETWEEN {at_least} AND {at_most}"
    predicate = engine.parse_predicate(text, schema, where=f"where_elements() of the view of {address}")
    return WhereElements(predicate, schema, column, condition, at_least, at_most)


def _check_counts(at_least: object, at_most: object) -> tuple[int, int | None]:
    counts = [at_least, *([] if at_most is None else [at_most])]
    whole = [each for each in counts if isinstance(each, int) and not isinstance(each, bool) and 0 <= each < 2**31]
    if len(whole) < len(counts):
        raise UsageError(
            "at_least and at_most are whole numbers from 0.", hint="at_least=2, at_most=4; at_most=0: none."
        )
    if len(whole) == 2 and whole[0] > whole[1]:
        raise UsageError(f"at_least={whole[0]} is more than at_most={whole[1]}.", hint="No row could meet that.")
    return whole[0], whole[1] if len(whole) == 2 else None
