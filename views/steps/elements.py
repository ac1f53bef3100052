"""Conditions on the elements of a list column, and the step that keeps the elements which meet one.

In such a condition ``element`` is the element; the other columns of the row may be used beside it.
"""

from collections import deque
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import pyarrow as pa

from foldstore.datastore.engine import Engine, Expression
from foldstore.errors import UsageError, column_not_found
from foldstore.views.cost import Flow, Part
from foldstore.views.steps.step import Batches, Effect, passed_on, replaced

ELEMENT: Final = "element"


@dataclass(frozen=True, slots=True)
class KeepElements:
    """Keep the elements of a list that meet a condition; the rows stay."""

    column: str
    condition: str
    expression: Expression
    arrow_schema: pa.Schema

    @property
    def effect(self) -> Effect:
        """It keeps the rows."""
        return Effect.KEEPS

    def spec(self) -> dict[str, Any]:
        """Return the step as plain data."""
        return {"keep_elements": {"column": self.column, "condition": self.condition}}

    def pruned(self, wanted: AbstractSet[str], before: pa.Schema) -> Self:
        """Hand on what is wanted."""
        kept = passed_on(wanted, before)
        fields = [field.with_type(self.expression.type) if field.name == self.column else field for field in kept]
        return replace(self, arrow_schema=pa.schema(fields))

    def needed(self) -> set[str]:
        """Return what is handed on, and what the condition reads where the column is among it."""
        read = self.expression.columns if self.column in self.arrow_schema.names else ()
        return {*self.arrow_schema.names, *read}

    def run(self, engine: Engine, schema: pa.Schema, batches: Batches) -> Batches:
        """Yield the rows, with shorter lists."""
        if self.column not in self.arrow_schema.names:
            yield from (batch.select(self.arrow_schema.names) for batch in batches)
            return
        waiting: deque[pa.RecordBatch] = deque()

        def remember() -> Iterator[pa.RecordBatch]:
            for batch in batches:
                waiting.append(batch)
                yield batch

        for computed in engine.evaluate({self.column: self.expression}, schema, remember()):
            yield replaced(waiting.popleft(), self.column, computed.column(0), self.arrow_schema)

    def flow(self, flow: Flow) -> tuple[Part, Flow]:
        """It copies the list."""
        widths = {name: width for name, width in flow.widths.items() if name in self.arrow_schema.names}
        passed = Flow(flow.rows, widths)
        copied = passed.num_bytes([self.column]) if self.column in widths else 0
        return Part("keep_elements", f"{self.column}: {self.condition}", copied), passed


def make_keep_elements(engine: Engine, column: str, condition: str, schema: pa.Schema, address: str) -> KeepElements:
    """Check a condition on the elements of a list column."""
    where = f"keep_elements() of the view of {address}"
    check_element_condition(engine, column, condition, schema, where=where)
    text = f"list_filter({quote(column)}, lambda element: (\n{condition}\n))"
    expression = engine.parse_expression(text, schema, where=where)
    place = schema.get_field_index(column)
    after = schema.set(place, schema.field(place).with_type(expression.type))
    return KeepElements(column, condition, expression, after)


def check_list_column(column: object, schema: pa.Schema, *, where: str) -> pa.DataType:
    """Return the type of a list column.

    Raises
    ------
    ColumnNotFoundError
        When it is not there.
    UsageError
        When it holds no lists.
    """
    if not isinstance(column, str) or column not in schema.names:
        raise column_not_found(column if isinstance(column, str) else ascii(column)[:80], schema.names, where=where)
    kind = schema.field(column).type
    types = pa.types
    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        lists = [field.name for field in schema if "list" in str(field.type)]
        raise UsageError(
            f"{where}: {column!r} is {kind}, not a list.",
            hint=f"Columns of lists: {', '.join(lists)}." if lists else "There is no column of lists.",
            column=column,
        )
    return kind


def check_element_condition(
    engine: Engine, column: object, condition: object, schema: pa.Schema, *, where: str
) -> None:
    """Check a condition by itself, as a predicate over the row and one ``element``.

    Raises
    ------
    InvalidExpressionError
        When it does not parse, is not boolean, or looks at anything but the row and the element.
    """
    kind = check_list_column(column, schema, where=where)
    if ELEMENT in schema.names:
        raise UsageError(f"{where}: a column is named {ELEMENT!r} already.", hint="Rename it: select(other='element').")
    row = pa.schema([*schema, pa.field(ELEMENT, kind.value_type)])
    engine.parse_predicate(condition, row, where=where)  # type: ignore[arg-type]  # it checks the type itself


def quote(name: str) -> str:
    """Write a name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'
