"""On-demand functions: a column computed from others by an expression, the same for tables and single rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from foldstore.views.transforms.expression import compile_row, evaluate, names_in, parse, type_of
from foldstore.views.transforms.numbers import from_floats, is_number, is_text
from foldstore.views.transforms.operation import (
    Columns,
    Kinds,
    Operation,
    RowKernel,
    State,
    find_kind,
    refuse_kind,
    refuse_parameter,
)


@dataclass(frozen=True, slots=True)
class Compute(Operation):
    """Make a column by an expression over others, among them what a request brings along.

    Parameters
    ----------
    column : str
        What it is called; a column of this name is replaced.
    expression : str
        Such as ``distance / (air_time / 60)`` or ``1 if dep_delay > 15 else 0``.

    Examples
    --------
    >>> Compute("speed", "distance / (air_time / 60)").inputs
    ('distance', 'air_time')
    """

    OP: ClassVar[str] = "compute"

    expression: str = ""

    def check(self) -> None:
        """Refuse what is no expression."""
        parse(self.expression)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that the expression names."""
        return tuple(dict.fromkeys(names_in(parse(self.expression))))

    def change(self, state: State, kinds: Kinds) -> None:  # noqa: ARG002
        """Floats come out, or truth values."""
        known = {}
        for name in self.inputs:
            kind = known[name] = find_kind(self, kinds, name)
            if not (is_number(kind) or is_text(kind) or pa.types.is_boolean(kind)):
                raise refuse_kind(self, kind, "numbers, texts and truth values")
        result = type_of(parse(self.expression), known, self.expression)
        if result == "text":
            raise refuse_parameter(self, "the result is a text", "Results are numbers or truth values.")
        kinds[self.column] = pa.bool_() if result == "truth" else pa.float64()

    def apply(self, state: State, columns: Columns) -> int:  # noqa: ARG002
        """Compute."""
        size = len(next(iter(columns.values()))) if columns else 0
        values, nulls = evaluate(parse(self.expression), {name: columns[name] for name in self.inputs}, size)
        truth = values.dtype == np.bool_
        columns[self.column] = pa.array(values, mask=nulls) if truth else from_floats(values, nulls)
        return 0

    def compile(self, state: State, kinds: Mapping[str, pa.DataType]) -> RowKernel:  # noqa: ARG002
        """Prepare for single rows."""
        name, numbers = self.column, {each for each in self.inputs if is_number(kinds[each])}
        compute = compile_row(parse(self.expression), numbers)

        def kernel(row: dict[str, Any]) -> bool:
            row[name] = compute(row)
            return False

        return kernel
