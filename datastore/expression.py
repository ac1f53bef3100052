"""SQL expressions over one row: what they may hold, read from DuckDB's syntax tree.

An expression is a function of the columns of its row and of nothing else: no other rows, no clock, no
chance, no settings, no files; and what it makes of a row has a bound (`foldstore.datastore.growth`).
This module judges trees only; `foldstore.datastore.engine` parses and runs.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import pyarrow as pa

from foldstore.datastore.comparison import Comparison
from foldstore.datastore.growth import check_growth, growth
from foldstore.errors import ColumnNotFoundError, InvalidExpressionError, column_not_found, did_you_mean

MAX_EXPRESSION_LENGTH: Final = 10_000


class FunctionKind(StrEnum):
    """What a function of DuckDB's looks at."""

    SCALAR = "scalar"
    AGGREGATE = "aggregate"
    WINDOW = "window"
    TABLE = "table"
    IMPURE = "impure"


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression that has been checked against an arrow schema.

    Attributes
    ----------
    text : str
        What the user wrote.
    sql : str
        The same in parentheses on lines of their own, so that a comment cannot swallow what follows.
    columns : tuple of str
        The columns it reads, in the order of the schema.
    type : pyarrow.DataType
        What it gives, as DuckDB hands it over: a HUGEINT comes as decimal128(38, 0), an INTERVAL as
        month_day_nano_interval.
    comparisons : tuple of Comparison
        Comparisons of a column with a constant that must all be true for the expression to be.
    is_simple : bool
        Whether these are the whole of it.
    """

    text: str
    sql: str
    columns: tuple[str, ...]
    type: pa.DataType
    comparisons: tuple[Comparison, ...] = ()
    is_simple: bool = False


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CLASSES: Final = _words(
    "BETWEEN CASE CAST COLLATE COLUMN_REF COMPARISON CONJUNCTION CONSTANT FUNCTION LAMBDA OPERATOR TYPE"
)
_REFUSED_CLASSES: Final = {
    "SUBQUERY": "a subquery",
    "WINDOW": "a window function",
    "STAR": "'*' or COLUMNS(...)",
    "PARAMETER": "a parameter",
    "POSITIONAL_REFERENCE": "a reference by position",
}
_REFUSED_OPERATORS: Final = frozenset({"GROUPING_FUNCTION", "OPERATOR_UNPACK"})
_LAMBDA_FUNCTIONS: Final = _words(
    "apply filter reduce array_apply array_filter array_reduce array_transform "
    "list_apply list_filter list_reduce list_transform"
)
# DuckDB calls these CONSISTENT, yet they read the clock or the engine, or (hash) change between its releases.
_IMPURE: Final = _words(
    "alias can_cast_implicitly cast_to_type create_sort_key current_localtime current_localtimestamp enum_code "
    "get_type hash icu_sort_key index_key invoke json_deserialize_sql json_serialize_plan json_serialize_sql "
    "make_type parse_duckdb_log_message replace_type stats to_aggregate_state version"
)
# Macros have no stability in duckdb_functions(): these were read one by one.
_PURE_MACROS: Final = _words(
    "array_append array_pop_back array_pop_front array_prepend array_push_back array_push_front array_reverse "
    "array_to_string date_add days_in_month fdiv fmod if json list_any_value list_append list_avg list_bit_and "
    "list_bit_or list_bit_xor list_bool_and list_bool_or list_count list_entropy list_first list_histogram "
    "list_kurtosis list_kurtosis_pop list_last list_mad list_max list_median list_min list_mode list_prepend "
    "list_product list_reverse list_sem list_skewness list_stddev_pop list_stddev_samp list_string_agg list_sum "
    "list_var_pop list_var_samp map_contains_entry map_contains_value md5_number_lower md5_number_upper nullif "
    "split_part"
)
_REASONS: Final = {
    FunctionKind.AGGREGATE: ("is an aggregate: it looks at many rows", "Aggregate in a query, with store.sql(...)."),
    FunctionKind.WINDOW: ("looks at other rows", "Use it in a query, with store.sql(...)."),
    FunctionKind.TABLE: ("gives several rows for one", "An expression gives one value for each row."),
    FunctionKind.IMPURE: (
        "depends on more than the row",
        "The same row must always give the same value: no clock, no chance, no settings.",
    ),
}


def classify_functions(rows: Iterable[tuple[str, str, str | None]]) -> dict[str, FunctionKind]:
    """Say what each function looks at, from (name, type, stability) of ``duckdb_functions()``.

    A name with several forms counts as its most dangerous one.
    """
    kinds: dict[str, FunctionKind] = {}
    ranks = [FunctionKind.SCALAR, FunctionKind.TABLE, FunctionKind.WINDOW, FunctionKind.AGGREGATE, FunctionKind.IMPURE]
    for written, function_type, stability in rows:
        name = written.lower()
        kind = _kind(name, function_type, stability)
        # range, generate_series and repeat are table functions too; in an expression DuckDB takes the scalar form.
        if FunctionKind.TABLE in (kind, kinds.get(name)) and FunctionKind.SCALAR in (kind, kinds.get(name)):
            kinds[name] = FunctionKind.SCALAR
        elif name not in kinds or ranks.index(kind) > ranks.index(kinds[name]):
            kinds[name] = kind
    return kinds


def _kind(name: str, function_type: str, stability: str | None) -> FunctionKind:
    if function_type == "aggregate":
        return FunctionKind.AGGREGATE
    if function_type == "window":
        return FunctionKind.WINDOW
    if function_type in ("table", "table_macro"):
        return FunctionKind.TABLE
    pure = (stability == "CONSISTENT" and name not in _IMPURE and not name.startswith("__internal")) or (
        function_type == "macro" and name in _PURE_MACROS
    )
    return FunctionKind.SCALAR if pure else FunctionKind.IMPURE


def check_text(text: object, *, where: str) -> str:
    """Return the text of an expression when it can be handed to a parser."""
    if not isinstance(text, str):
        raise InvalidExpressionError(f"{where}: an SQL expression is a str, not {type(text).__name__}.", where=where)
    if not text.strip():
        raise InvalidExpressionError(f"{where} is empty.", hint="Write a condition such as dep_delay > 15.")
    if len(text) > MAX_EXPRESSION_LENGTH:
        raise InvalidExpressionError(
            f"{where} has {len(text):,} characters; the limit is {MAX_EXPRESSION_LENGTH:,}.",
            hint="Join with a table of values in store.sql(...) instead of listing them.",
            length=len(text),
        )
    if "\0" in text or (not text.isprintable() and _has_surrogate(text)):
        raise InvalidExpressionError(f"{where} holds a NUL or half a character.", hint="Use well-formed text.")
    return text


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def read_tree(written: str) -> Mapping[str, Any]:
    """Read a syntax tree that DuckDB wrote as JSON."""
    try:
        tree: Mapping[str, Any] = json.loads(written)
    except RecursionError:
        return {"error": True, "error_message": "it is nested too deeply"}
    return tree if tree.get("error") or "statements" in tree else {"statements": []}


def single_item(tree: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the one item of ``SELECT item FROM t``; None when the tree is anything else."""
    statements = tree.get("statements", ())
    if len(statements) != 1:
        return None
    node = statements[0]["node"]
    extra = ("modifiers", "where_clause", "group_expressions", "group_sets", "having", "sample", "qualify")
    if node["type"] != "SELECT_NODE" or any(node.get(part) for part in extra) or node["cte_map"]["map"]:
        return None
    items, table = node["select_list"], node["from_table"]
    if len(items) != 1 or items[0].get("alias") or table["type"] != "BASE_TABLE" or table.get("alias"):
        return None
    item: Mapping[str, Any] = items[0]
    return item


def columns_used(
    item: Mapping[str, Any], schema: pa.Schema, kinds: Mapping[str, FunctionKind], *, where: str
) -> tuple[str, ...]:
    """Walk the tree of an expression; return the columns it reads.

    Raises
    ------
    InvalidExpressionError
        When it uses anything but the values of its own row.
    ColumnNotFoundError
        When a column is not in the schema, spelled as there.
    """
    used: set[str] = set()
    stack: list[tuple[Any, frozenset[str], int]] = [(item, frozenset(), 1)]
    while stack:
        node, bound, factor = stack.pop()
        if isinstance(node, list):
            stack.extend((child, bound, factor) for child in node)
        elif isinstance(node, dict):
            _check_class(node, where)
            if node.get("class") == "COLUMN_REF":
                _use_column(node["column_names"][0], bound, schema, used, where)
            elif node.get("class") == "FUNCTION":
                _check_function(node, kinds, where)
                greater = factor * growth(node, where)
                check_growth(greater, where)
                stack.extend((child, inner, greater) for child, inner in _arguments(node, bound))
            else:
                stack.extend((child, bound, factor) for child in node.values())
    return tuple(name for name in schema.names if name in used)


def _check_class(node: Mapping[str, Any], where: str) -> None:
    kind = node.get("class")
    if kind is None:
        return
    if kind not in _CLASSES or node.get("type") in _REFUSED_OPERATORS:
        shown = _REFUSED_CLASSES.get(str(kind), str(node.get("type", kind)).lower().replace("_", " "))
        raise InvalidExpressionError(
            f"{where} holds {shown}, which an expression may not.",
            hint="An expression sees the columns of its own row. For more, write a query: store.sql(...).",
            where=where,
        )


def _use_column(name: str, bound: frozenset[str], schema: pa.Schema, used: set[str], where: str) -> None:
    if name.lower() in bound:
        return
    if name in schema.names:
        used.add(name)
        return
    for declared in schema.names:
        if declared.lower() == name.lower():
            raise ColumnNotFoundError(
                f"There is no column {name!r} in {where}.",
                hint=f"Did you mean {declared!r}? Columns are spelled as they were declared.",
                column=name,
                available=list(schema.names),
                where=where,
            )
    raise column_not_found(name, schema.names, where=where)


def _check_function(node: Mapping[str, Any], kinds: Mapping[str, FunctionKind], where: str) -> None:
    name = str(node["function_name"]).lower()
    path = node["qualified_name"]["path"]
    if len(path) > 1:
        raise InvalidExpressionError(
            f"{where}: {'.'.join(path)}() is not allowed.", hint=f"Write {name}(...) with plain arguments.", where=where
        )
    kind = kinds.get(name)
    if kind is FunctionKind.SCALAR and not (name == "age" and len(node["arguments"]) == 1):
        return
    if kind is None:
        close = did_you_mean(name, (known for known, each in kinds.items() if each is FunctionKind.SCALAR), limit=0)
        hint = close.split("?")[0] + "?" if "Did you mean" in close else "See DuckDB's list of scalar functions."
        raise InvalidExpressionError(f"{where}: there is no function {name}().", hint=hint, function=name)
    # age(moment) counts from today; age(moment, moment) does not.
    reason, hint = _REASONS[FunctionKind.IMPURE if kind is FunctionKind.SCALAR else kind]
    raise InvalidExpressionError(f"{where}: {name}() {reason}.", hint=hint, function=name, where=where)


def _arguments(node: Mapping[str, Any], bound: frozenset[str]) -> Iterable[tuple[Any, frozenset[str]]]:
    """Yield what is inside a function call; the names that a lambda binds are not columns inside it."""
    for part in ("filter", "order_bys"):
        yield node.get(part), bound
    takes_lambda = str(node["function_name"]).lower() in _LAMBDA_FUNCTIONS
    for argument in node["arguments"]:
        value = argument["expression"]
        # Elsewhere `->` reaches into JSON, and its left side is an ordinary expression.
        if takes_lambda and value.get("class") == "LAMBDA":
            left = value["lhs"]
            names = [left] if left["class"] == "COLUMN_REF" else [each["expression"] for each in left["arguments"]]
            yield value["expr"], bound | {str(each["column_names"][0]).lower() for each in names}
        else:
            yield value, bound
