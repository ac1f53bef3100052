"""Comparisons of a column with a constant, read out of a predicate's syntax tree.

A predicate that is nothing but such comparisons joined by AND is answered by Arrow's kernels, and the zones of a file
say which of its record batches no such row can lie in. Only what both engines certainly answer alike is read; all else
(OR, NOT, casts, dictionaries, single floats) is left to DuckDB and rules out no batch.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import reduce
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

_OPERATORS: Final = {
    "COMPARE_LESSTHAN": "<",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_EQUAL": "=",
    "COMPARE_NOTEQUAL": "<>",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
    "COMPARE_GREATERTHAN": ">",
}
_FLIPPED: Final = {"<": ">", "<=": ">=", "=": "=", "<>": "<>", ">=": "<=", ">": "<"}
# A number of so many digits is one double, however it is computed from them.
_NUMBER: Final = re.compile(r"-?\d{0,15}(\.\d{0,15})?")
_MOST_DIGITS: Final = 15
_EXACT_DOUBLE: Final = 2**53
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(\.\d{6})?")
# What nanoseconds in 64 bits reach.
_YEARS: Final = range(1700, 2200)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison of a column with a constant of its type.

    Attributes
    ----------
    operator : str
        ``<``, ``<=``, ``=``, ``<>``, ``>=`` or ``>``, as in ``column operator value``.
    """

    column: str
    operator: str
    value: pa.Scalar

    def hold(self, column: pa.Array) -> pa.BooleanArray:
        """Say for each value whether the comparison is true; null for null. NaN is greater than all, as in DuckDB."""
        if self.operator == ">":
            return pc.invert(pc.less_equal(column, self.value)) if _floats(column) else pc.greater(column, self.value)
        if self.operator == ">=":
            return pc.invert(pc.less(column, self.value)) if _floats(column) else pc.greater_equal(column, self.value)
        kernels = {"<": pc.less, "<=": pc.less_equal, "=": pc.equal, "<>": pc.not_equal}
        return kernels[self.operator](column, self.value)

    def may_hold(self, low: pa.Array, high: pa.Array, nans: pa.Array) -> pa.BooleanArray:
        """Say for each chunk, from its bounds and its count of NaN, whether a row may be true; unknown bounds may."""
        if self.operator in ("<", "<="):
            possible = self.hold(low)
        elif self.operator == "=":
            possible = pc.and_(pc.less_equal(low, self.value), pc.greater_equal(high, self.value))
        elif self.operator == "<>":
            possible = pc.invert(pc.and_(pc.equal(low, self.value), pc.equal(high, self.value)))
        else:
            possible = self.hold(high)
        if self.operator in (">", ">=", "<>"):
            possible = pc.or_(possible, pc.greater(nans, 0))
        return pc.fill_null(possible, True)  # noqa: FBT003


def hold_all(comparisons: Iterable[Comparison], batch: pa.RecordBatch) -> pa.BooleanArray:
    """Say for each row whether every comparison is true; null is not."""
    masks = [each.hold(batch.column(each.column)) for each in comparisons]
    held = reduce(pc.and_kleene, masks)
    return pc.fill_null(held, False) if held.null_count else held  # noqa: FBT003


def hold_throughout(comparisons: Iterable[Comparison], rows: pa.Table) -> bool:
    """Whether the extremes of whole numbers say that every comparison is true in all rows; else that is not known.

    Examples
    --------
    >>> least = Comparison("x", ">=", pa.scalar(0))
    >>> [hold_throughout([least], pa.table({"x": values})) for values in ([3, 0], [3, -1], [3, None])]
    [True, False, False]
    """
    ends: dict[str, pa.StructScalar] = {}
    for each in comparisons:
        column = rows[each.column]
        if not pa.types.is_integer(column.type) or column.null_count or each.operator == "<>":
            return False
        if each.column not in ends:
            ends[each.column] = pc.min_max(column)
        if not all(each.hold(ends[each.column][side]).as_py() for side in ("min", "max")):
            return False
    return True


def filter_compared(
    comparisons: Sequence[Comparison], batches: Iterable[pa.RecordBatch], keep: Sequence[str] | None
) -> Iterator[pa.RecordBatch]:
    """Keep the rows for which every comparison is true, and of their columns those that are named."""
    for batch in batches:
        yield from keep_held(batch if keep is None else batch.select(keep), hold_all(comparisons, batch))


def keep_held(batch: pa.RecordBatch, held: pa.BooleanArray) -> Iterator[pa.RecordBatch]:
    """Yield the rows that a mask holds, when there are any; a batch that keeps all of them passes uncopied."""
    kept = held.true_count
    if kept == batch.num_rows:
        yield batch
    elif kept:
        yield batch.filter(held)


def read_comparisons(
    tree: Mapping[str, Any], schema: pa.Schema, values: Mapping[str, Any] | None = None
) -> tuple[tuple[Comparison, ...], bool]:
    """Return the comparisons that must all be true for a predicate to be, and whether they are the whole of it.

    Parameters
    ----------
    tree : mapping
        The syntax tree of the predicate.
    schema : pyarrow.Schema
        The columns.
    values : mapping of str to object, optional
        What is bound to parameters, by their names.
    """
    if tree.get("type") == "CONJUNCTION_AND":
        parts = [read_comparisons(child, schema, values) for child in tree["children"]]
        return tuple(each for found, _ in parts for each in found), all(whole for _, whole in parts)
    if tree.get("type") == "COMPARE_IN":
        return _within(tree, schema, values), False
    if tree.get("class") == "BETWEEN":
        sides = ((">=", tree["lower"]), ("<=", tree["upper"]))
        found = [_comparison(operator, tree["input"], end, schema, values) for operator, end in sides]
    elif tree.get("class") == "COMPARISON" and tree.get("type") in _OPERATORS:
        operator = _OPERATORS[tree["type"]]
        left, right = tree["left"], tree["right"]
        if right.get("class") == "COLUMN_REF":
            operator, left, right = _FLIPPED[operator], right, left
        found = [_comparison(operator, left, right, schema, values)]
    else:
        found = [None]
    return tuple(each for each in found if each is not None), None not in found


def _within(tree: Mapping[str, Any], schema: pa.Schema, values: Mapping[str, Any] | None) -> tuple[Comparison, ...]:
    """Return the bounds of a list of constants, between which a value that is in it lies."""
    column, *listed = tree["children"]
    found = [_comparison("=", column, each, schema, values) for each in listed]
    known = [each for each in found if each is not None]
    if not known or len(known) < len(found):
        return ()
    ends = pc.min_max(pa.array([each.value for each in known], known[0].value.type))
    return Comparison(known[0].column, ">=", ends["min"]), Comparison(known[0].column, "<=", ends["max"])


def _comparison(
    operator: str,
    left: Mapping[str, Any],
    right: Mapping[str, Any],
    schema: pa.Schema,
    values: Mapping[str, Any] | None,
) -> Comparison | None:
    names: Sequence[str] = left.get("column_names", ()) if left.get("class") == "COLUMN_REF" else ()
    if len(names) != 1 or names[0] not in schema.names:
        return None
    kind = schema.field(names[0]).type
    if right.get("class") == "PARAMETER":
        value = _bound((values or {}).get(str(right.get("identifier"))), kind)
    else:
        value = _constant(right, kind)
    return None if value is None else Comparison(names[0], operator, value)


def _constant(tree: Mapping[str, Any], kind: pa.DataType) -> pa.Scalar | None:
    """Return a constant as a value of a column's type; None when DuckDB might compare them as another type."""
    cast_to = ""
    if tree.get("class") == "CAST" and not tree.get("try_cast"):
        cast_to, tree = str(tree["type_expr"].get("type_name")), tree["child"]
    literal = tree.get("literal") if tree.get("class") == "CONSTANT" else None
    if not isinstance(literal, Mapping):
        return None
    text, t = str(literal.get("text")), pa.types
    if literal.get("kind") == "STRING":
        if not cast_to and (t.is_string(kind) or t.is_large_string(kind)):
            return pa.scalar(text, kind)
        return _moment(text, cast_to, kind)
    if cast_to:
        return None
    if t.is_integer(kind):
        return _whole(text, kind) if literal.get("kind") == "INTEGER" else None
    if t.is_float64(kind) and _NUMBER.fullmatch(text) and 0 < sum(map(str.isdigit, text)) <= _MOST_DIGITS:
        return pa.scalar(float(text), kind)
    return None


def _bound(value: Any, kind: pa.DataType) -> pa.Scalar | None:
    """Return what is bound to a parameter as a value of a column's type; None when DuckDB might compare otherwise."""
    t = pa.types
    if type(value) is int:
        # Up to 2^53 every whole number is a double.
        fits = t.is_integer(kind) or (t.is_float64(kind) and abs(value) <= _EXACT_DOUBLE)
        return _whole(str(value), kind) if fits else None
    if type(value) is float:
        return pa.scalar(value, kind) if t.is_float64(kind) and value == value else None  # noqa: PLR0124  # NaN is not
    if type(value) is str:
        return pa.scalar(value, kind) if t.is_string(kind) or t.is_large_string(kind) else None
    if type(value) is date and t.is_date32(kind) and value.year in _YEARS:
        return pa.scalar(value, kind)
    plain = type(value) is datetime and value.tzinfo is None and value.year in _YEARS
    return pa.scalar(value, kind) if plain and t.is_timestamp(kind) and (kind.unit, kind.tz) == ("us", None) else None


def _whole(text: str, kind: pa.DataType) -> pa.Scalar | None:
    try:
        return pa.scalar(int(text), kind)
    except (ValueError, OverflowError, pa.ArrowException):  # beyond the type: DuckDB compares in a wider one
        return None


def _moment(text: str, cast_to: str, kind: pa.DataType) -> pa.Scalar | None:
    try:
        if pa.types.is_date32(kind) and cast_to in ("", "DATE") and _DATE.fullmatch(text):
            day = date.fromisoformat(text)
            return pa.scalar(day, kind) if day.year in _YEARS else None
        if not pa.types.is_timestamp(kind) or kind.tz is not None or cast_to not in ("", "TIMESTAMP"):
            return None
        if _DATE.fullmatch(text) or (_TIME.fullmatch(text) and (kind.unit == "us" or "." not in text)):
            moment = datetime.fromisoformat(text)
            return pa.scalar(moment, kind) if moment.year in _YEARS else None
    except ValueError:  # no day of the calendar: DuckDB says what is wrong with it
        pass
    return None


def _floats(column: pa.Array) -> bool:
    return bool(pa.types.is_floating(column.type))
