"""The golden sample of a transform: rows on which the kernels for tables and for single rows are compared to the bit.

The rows are made up: each column's values are those on which kernels are most likely to differ, and some that occur,
without the rows that they occurred in.
"""

import math
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.statistics.reading import parse_type
from foldstore.views.transforms.numbers import is_number, is_text, plain_values
from foldstore.views.transforms.operation import Operation

ROWS: Final = 128
_OCCURRING: Final = 40
_MOST_SHOWN: Final = 20
_LIST: Final = re.compile(r"(large_)?list<(?:item|element): ([^<>]+)>")
_FLOATS: Final = (0.0, -0.0, 1.0, -1.0, math.nan, math.inf, -math.inf, 5e-324, 1e308, -1e308, 0.1, 1 / 3, 2.0**53)
_TEXTS: Final = ("", " ", "a value that never occurred", "ÄÖ ß", "e\u0301", "日本", "x" * 200)


class BothKernels(Protocol):
    """What works on tables and on rows."""

    def apply(self, rows: pa.Table) -> pa.Table:
        """Work on a table."""

    def apply_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Work on one row."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Where two results differ.

    Attributes
    ----------
    column : str
    row : int
        Its place in the rows that were compared.
    left, right : object
        The values.
    between : str
        What was compared.
    """

    column: str
    row: int
    left: Any
    right: Any
    between: str


def make_golden(
    columns: Mapping[str, pa.Array], operations: Sequence[Operation], states: Sequence[Mapping[str, Any]]
) -> pa.Table:
    """Make up rows for a transform's columns; what operations probe for is there too."""
    probes: dict[str, list[Any]] = {name: [] for name in columns}
    for operation, state in zip(operations, states, strict=True):
        if operation.column in probes:
            probes[operation.column] += operation.probes(state)
    made = {}
    for place, (name, array) in enumerate(columns.items()):
        values = _values(array, probes[name])
        # Columns begin at different places, so that unlike values meet.
        places = (np.arange(ROWS) + place * 7) % len(values)
        made[name] = values.take(pa.array(places))
    return pa.table(made)


def _values(array: pa.Array, probes: Sequence[Any]) -> pa.Array:
    kind = array.type
    known = _is_item(kind.value_type) if _is_list(kind) else _is_item(kind) or is_number(kind) or _is_time(kind)
    if not known:  # such a column can only be dropped
        return pa.nulls(1, kind)
    present = pc.drop_null(pc.unique(array)) if not pa.types.is_nested(kind) else pc.drop_null(array)
    places = np.unique(np.linspace(0, max(len(present) - 1, 0), _OCCURRING).astype(np.int64))
    occurring = present.take(pa.array(places if len(present) else [], pa.int64()))
    edges: list[Any] = []
    if pa.types.is_floating(kind):
        edges = list(_FLOATS)
    elif pa.types.is_integer(kind):
        bounds = np.iinfo(kind.to_pandas_dtype())
        edges = [0, 1, int(bounds.min), int(bounds.max)]
    elif is_text(kind):
        edges = list(_TEXTS)
    elif pa.types.is_boolean(kind):
        edges = [True, False]
    fitting = [value for value in [*edges, *probes] if _is_of(value, kind)]
    return pa.concat_arrays([pa.array([None, *fitting], kind), occurring])


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _is_item(kind: pa.DataType) -> bool:
    return is_text(kind) or bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _is_of(value: Any, kind: pa.DataType) -> bool:
    try:
        pa.scalar(value, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, TypeError, ValueError):
        return False
    return True


def compare_kernels(transform: BothKernels, rows: pa.Table) -> Iterator[Disagreement]:
    """Work on rows by both kernels; list where they differ, the first few."""
    whole = transform.apply(rows)
    single = [transform.apply_row(row) for row in plain_rows(rows)]
    columns = list(plain_rows(whole)) if whole.num_columns else [{}] * len(single)
    yield from differing(columns, single, "columns", "single rows")


def differing(
    left: Sequence[Mapping[str, Any]], right: Sequence[Mapping[str, Any]], a: str, b: str
) -> Iterator[Disagreement]:
    """List where rows differ by a bit, the first few."""
    between = f"{a} and {b}"
    found = 0
    for place, (one, other) in enumerate(zip(left, right, strict=True)):
        for name in [*one, *(name for name in other if name not in one)]:
            x, y = one.get(name, "nothing"), other.get(name, "nothing")
            if not same(x, y):
                yield Disagreement(name, place, x, y, between)
                found += 1
                if found >= _MOST_SHOWN:
                    return


def same(x: Any, y: Any) -> bool:
    """Whether two plain values are equal to the bit; any NaN is as good as another."""
    if isinstance(x, float) and isinstance(y, float):
        return (math.isnan(x) and math.isnan(y)) or struct.pack("<d", x) == struct.pack("<d", y)
    if isinstance(x, list) and isinstance(y, list):
        return len(x) == len(y) and all(map(same, x, y))
    if isinstance(x, np.datetime64) and isinstance(y, np.datetime64):
        return x.dtype == y.dtype and bool(x.astype(np.int64) == y.astype(np.int64))
    return type(x) is type(y) and bool(x == y)


def plain_rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Read a table row by row, as online lookups give the values."""
    columns = {name: plain_values(table.column(name)) for name in table.column_names}
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def write_rows(rows: pa.Table) -> dict[str, Any]:
    """Return a table as plain data that JSON can hold: floats as hexadecimal text, times as their ticks."""
    return {
        "types": {field.name: str(field.type) for field in rows.schema},
        "columns": {name: _write(rows.column(name)) for name in rows.column_names},
    }


def read_rows(data: Mapping[str, Any]) -> pa.Table:
    """Read what `write_rows` wrote."""
    columns = {}
    for name, text in data["types"].items():
        kind = read_kind(text) or pa.null()
        columns[name] = _read(data["columns"][name], kind)
    return pa.table(columns)


def read_kind(text: str) -> pa.DataType | None:
    """Return the type that a text names; lists of plain values too, None for what is unknown."""
    if found := _LIST.fullmatch(text):
        inner = parse_type(found[2])
        return None if inner is None else pa.large_list(inner) if found[1] else pa.list_(inner)
    return parse_type(text)


def _write(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_floating(column.type):
        return [None if x is None else float(x).hex() for x in column.to_pylist()]
    if pa.types.is_temporal(column.type):
        wide = pa.int32() if column.type.bit_width == 32 else pa.int64()
        return list(column.cast(wide).to_pylist())
    return list(column.to_pylist())


def _read(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_floating(kind):
        return pa.array([None if x is None else float.fromhex(x) for x in values], kind)
    if pa.types.is_temporal(kind):
        return pa.array(values, pa.int32() if kind.bit_width == 32 else pa.int64()).cast(kind)
    return pa.array(values, kind)
