"""Schemas of pandera, written and read: contracts on rows in user code, with its decorators and models.

pandera judges types, nulls, ranges, lists of values, patterns, lengths and uniqueness, row by row. It knows no
tolerances, statistics, environments or versions: what it cannot say is named.
"""

import re
from collections.abc import Callable, Mapping
from math import isfinite
from types import MappingProxyType
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandera.polars as on_polars
import pandera.pyarrow as on_arrow
import polars as pl
import pyarrow as pa
from pandera.io import polars_io

from foldstore.datastore.statistics.reading import parse_type
from foldstore.errors import InvalidSchemaError, UsageError, did_you_mean
from foldstore.validation.column_domains import SEMANTICS
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.interchange.arrow_words import Plain
from foldstore.validation.interchange.json_schema import next_inside, unanchored
from foldstore.validation.nested_paths import without_nested

Backend = Literal["polars", "pyarrow"]
_MODULES: Final[Mapping[str, Any]] = MappingProxyType({"polars": on_polars, "pyarrow": on_arrow})
_FLAGS: Final = ("strict", "coerce", "parsers", "unique_column_names", "add_missing_columns", "drop_invalid_rows")
# What a file of pandera's describes; and, of pandas, its words for types in those of polars.
_FILES: Final = ("polars_dataframe", "dataframe")
_COMPONENT: Final = ("nullable", "unique", "required", "description", "title", "regex")
_UNREAD: Final = ("coerce", "default", "drop_invalid_rows", "report_duplicates", "metadata", "parsers", "name")
_PANDAS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{f"int{bits}": f"Int{bits}" for bits in (8, 16, 32, 64)},
        **{f"uint{bits}": f"UInt{bits}" for bits in (8, 16, 32, 64)},
        **{f"float{bits}": f"Float{bits}" for bits in (32, 64)},
        **dict.fromkeys(("str", "string", "string[python]", "string[pyarrow]"), "String"),
        **dict.fromkeys(("bool", "boolean"), "Boolean"),
        **{f"datetime64[{unit}]": f"Datetime(time_unit='{unit}')" for unit in ("ns", "us", "ms")},
        **{f"datetime64[{unit}, UTC]": f"Datetime(time_unit='{unit}', time_zone='UTC')" for unit in ("ns", "us", "ms")},
    }
)
_LONGEST_TYPE: Final = 400
_COLUMN: Final = frozenset({"type", "nullable", "domain", "unique", "doc", "stage", "inferred", "evidence", "constant"})


def to_pandera(schema: Plain, backend: Backend = "polars") -> tuple[Any, list[str]]:
    """Return a pandera schema, and what pandera cannot say.

    Examples
    --------
    >>> made, dropped = to_pandera({"columns": {"x": {"type": "int64", "min_fraction": 0.9}}})
    >>> str(made.columns["x"].dtype), dropped
    ('Int64', ['x: min_fraction'])
    """
    if backend not in _MODULES:
        raise UsageError(f"pandera has no backend {backend!r} here.", hint=did_you_mean(backend, _MODULES))
    kind = _MODULES[backend]
    dropped: list[str] = []
    outer, nested = without_nested(schema.get("columns", {}))
    columns = {name: _to_column(name, each, kind, dropped) for name, each in outer.items()}
    dropped += [f"{name}: what is inside of a column" for name in nested]
    carried = ("format", "version", "name", "doc", "keys", "column_order", "columns", "parent", "provenance")
    dropped += [key for key in schema if key not in carried]
    order = schema.get("column_order", [])
    if order and order != list(columns):
        dropped.append("column_order")
    made = kind.DataFrameSchema(
        columns,
        name=schema.get("name"),
        description=schema.get("doc"),
        unique=schema.get("keys") or None,
        ordered=bool(order) and order == list(columns),
    )
    return made, dropped


def read_made(made: Any) -> Any:
    """Return the schema that was given, or that of a model.

    Raises
    ------
    UsageError
        When it is none of pandera's polars or pyarrow backend.
    """
    found = made.to_schema() if isinstance(made, type) and hasattr(made, "to_schema") else made
    if not isinstance(found, on_polars.DataFrameSchema | on_arrow.DataFrameSchema):
        raise UsageError(
            f"{type(made).__module__}.{type(made).__name__} is no schema of pandera's polars or pyarrow backend.",
            hint="Import pandera.polars or pandera.pyarrow.",
        )
    return found


def from_pandera(made: Any) -> tuple[Plain, list[str]]:
    """Return a schema as plain data, and what was left out.

    Parameters
    ----------
    made : DataFrameSchema, DataFrameModel or Mapping
        Of pandera's polars or pyarrow backend; or what a file of pandera's holds, as plain data.
    """
    dropped: list[str] = []
    if isinstance(made, Mapping):
        made, dropped = _read_file(made)
    found = read_made(made)
    dropped += [f"check {check.name or check}" for check in found.checks or []]
    columns: Plain = {}
    for name, each in found.columns.items():
        column = _from_column(str(name), each, dropped)
        if column is not None:
            columns[str(name)] = column
    dropped += [flag for flag in _FLAGS if getattr(found, flag, None)]
    schema: Plain = {"columns": columns, "provenance": {"imported_from": "pandera"}}
    schema |= {ours: value for ours, value in (("name", found.name), ("doc", found.description)) if value}
    if found.unique:
        schema["keys"] = [found.unique] if isinstance(found.unique, str) else list(found.unique)
    if found.ordered:
        schema["column_order"] = list(columns)
    return schema, dropped


def write_file(made: Any) -> str:
    """Return a schema of pandera's polars backend as YAML, as pandera writes it.

    Examples
    --------
    >>> print(write_file(to_pandera({"columns": {"x": {"type": "int64", "nullable": False}}})[0]), end="")
    schema_type: polars_dataframe
    api: polars
    columns:
      x:
        dtype: Int64
    """
    return str(polars_io.to_yaml(made))


def _read_file(data: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """Return the schema that a file of pandera's describes, and what was left out.

    pandera looks up the names of checks, and sets options, as the file says: it gets those alone that are known here.

    Raises
    ------
    UsageError
        When the file describes none.
    """
    kind = data.get("schema_type")
    if kind not in _FILES:
        raise UsageError(
            f"The file is no schema of pandera for data frames: its schema_type is {str(kind)[:60]!r}.",
            hint=f"{' or '.join(map(repr, _FILES))} can be read: what to_yaml() of pandera writes.",
        )
    columns = data.get("columns")
    if not isinstance(columns, Mapping) or not all(isinstance(each, Mapping) for each in columns.values()):
        raise UsageError("The file has no columns.", hint="Write them as pandera does: columns: {x: {dtype: Int64}}.")
    dropped: list[str] = []
    kept = {str(name): _known_part(str(name), each, kind, dropped) for name, each in columns.items()}
    dropped += [f"check {name}" for name, _ in _written_checks(data.get("checks"))]
    dropped += [key for key in ("index", "dtype", "coerce", "strict") if data.get(key)]
    plain = {key: data[key] for key in ("name", "description", "ordered", "unique") if data.get(key) is not None}
    try:
        made: Any = polars_io
        return made.deserialize_schema({**plain, "columns": kept}), dropped
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        raise UsageError(
            f"pandera cannot read the file: {type(error).__name__}: {said}.",
            hint="Write it anew by to_yaml() of pandera.",
        ) from error


def _known_part(name: str, column: Mapping[str, Any], kind: str, dropped: list[str]) -> Plain:
    dtype = str(column.get("dtype"))[:_LONGEST_TYPE]
    kept: Plain = {key: column[key] for key in _COMPONENT if key in column}
    kept["dtype"] = _PANDAS.get(dtype, dtype) if kind == "dataframe" else dtype
    checks: list[Plain] = []
    flat = {str(key): each for key, each in column.items() if key not in (*_COMPONENT, *_UNREAD, "dtype", "checks")}
    for check, facts in [*_written_checks(column.get("checks")), *_written_checks(flat)]:
        if check not in _CHECKS or (isinstance(facts, Mapping) and "options" in facts and _is_odd(facts["options"])):
            dropped.append(f"{name}: check {check[:60]}")
        else:
            plain = facts if isinstance(facts, Mapping) else {"value": facts}
            checks.append({**plain, "options": {**plain.get("options", {}), "check_name": check}})
    dropped += [f"{name}: {key}" for key in _UNREAD if column.get(key)]
    return {**kept, "checks": checks} if checks else kept


def _written_checks(written: Any) -> list[tuple[str, Any]]:
    """Return checks by name: a mapping of them, or a list of what each compares with under its options."""
    if isinstance(written, Mapping):
        return [(str(name), facts) for name, facts in written.items()]
    found = [each for each in written or () if isinstance(each, Mapping)] if isinstance(written, list) else []
    named = [(each.get("options"), each) for each in found]
    return [(str(options.get("check_name")), each) for options, each in named if isinstance(options, Mapping)]


def _is_odd(options: Any) -> bool:
    return not isinstance(options, Mapping) or not options.keys() <= {"check_name", "ignore_na", "raise_warning"}


def _to_column(name: str, column: Plain, kind: Any, dropped: list[str]) -> Any:
    checks: list[Any] = []
    domain = dict(column.get("domain", {}))
    is_strict = domain.get("min_mass", 1.0) == 1.0  # a check of pandera's fails for a single value
    if "values" in domain and is_strict:
        checks.append(kind.Check.isin(domain.pop("values")))
    if _is_number(domain.get("min")) and not column["type"].startswith(("timestamp", "date", "time")):
        checks.append(kind.Check.ge(domain.pop("min")))
    if _is_number(domain.get("max")) and not column["type"].startswith(("timestamp", "date", "time")):
        checks.append(kind.Check.le(domain.pop("max")))
    lengths = {"min_value": domain.pop("min_length", None), "max_value": domain.pop("max_length", None)}
    if any(size is not None for size in lengths.values()):
        checks.append(kind.Check.str_length(**lengths))
    patterns = (domain.pop("pattern", None), SEMANTICS.get(domain.pop("semantic", None))) if is_strict else ()
    for pattern in patterns:
        if pattern is not None and _compiles(pattern):
            checks += [kind.Check.str_matches(f"^(?:{pattern})$")]
        elif pattern is not None:
            dropped.append(f"{name}: domain.pattern (of RE2 alone)")
    dropped += [f"{name}: domain.{key}" for key in domain]
    dropped += [f"{name}: {key}" for key in column if key not in _COLUMN]
    dtype = _dtype(column["type"], kind)
    if dtype is None:
        dropped.append(f"{name}: type {column['type']}")
    unique = column.get("unique", {})
    dropped += [f"{name}: unique.{key}" for key in unique if key != "key"]
    return kind.Column(
        dtype,
        checks=checks,
        nullable=column.get("nullable", True),
        unique=unique.get("key", False),
        required=column.get("stage", "production") in ("beta", "production"),
        description=column.get("doc"),
    )


def _compiles(pattern: str) -> bool:
    """Whether Python reads a pattern: pandera asks it to, whatever matches in the end."""
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _dtype(type_text: str, kind: Any) -> Any:
    """Return a type in pandera's words; None where the backend has none for it."""
    parsed = parse_type(type_text)
    dtype = parsed if parsed is None or kind is on_arrow else _polars_type(parsed)
    if dtype is None:
        return None
    try:
        kind.Column(dtype)
    except (TypeError, ValueError):
        return None
    return dtype


def _polars_type(kind: pa.DataType) -> Any:
    if pa.types.is_interval(kind) or (pa.types.is_decimal(kind) and kind.scale < 0):
        return None
    if pa.types.is_timestamp(kind) and kind.tz is not None and not _is_zone(kind.tz):
        return None
    empty = pl.from_arrow(pa.schema({"x": kind}).empty_table())
    return empty.schema["x"] if isinstance(empty, pl.DataFrame) else None


def _is_zone(name: str) -> bool:
    """Whether a zone has a name of the time zone database: offsets, as `+05:30`, have none, and end polars' reading."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _from_column(name: str, each: Any, dropped: list[str]) -> Plain | None:
    type_text = None if each.dtype is None else _arrow_type(each.dtype)
    if type_text is None or each.regex:
        dropped.append(f"{name}: the whole column (dtype {each.dtype}{', a pattern of names' if each.regex else ''})")
        return None
    column: Plain = {"type": type_text}
    if not each.nullable:
        column["nullable"] = False
    if each.unique:
        column["unique"] = {"key": True}
    if not each.required:
        column["stage"] = "alpha"
    if each.description:
        column["doc"] = each.description
    domain: Plain = {}
    for check in each.checks or []:
        part = _read_check(check, type_text)
        both = None if part is None else _tighten(domain, part)
        if both is None:
            dropped.append(f"{name}: check {check.name or check}")
        else:
            domain = both
    if domain:
        column["domain"] = domain
    dropped += [f"{name}: {flag}" for flag in ("coerce", "default", "parsers") if getattr(each, flag, None)]
    return column


def _arrow_type(dtype: Any) -> str | None:
    """Return the Arrow type of a data type of either backend; both name their types as polars does."""
    inner = getattr(dtype, "type", dtype)
    chosen = getattr(pl, type(inner).__name__ if not isinstance(inner, type) else inner.__name__, None)
    if not isinstance(chosen, type) or not issubclass(chosen, pl.DataType) or chosen is pl.Object:
        return None
    options = {
        key: getattr(inner, key)
        for key in ("time_unit", "time_zone", "precision", "scale")
        if not isinstance(inner, type) and hasattr(inner, key)
    }
    try:
        made = chosen(**options)
        text = str(pl.DataFrame(schema={"x": made}).to_arrow().schema.field("x").type)
    except Exception:  # noqa: BLE001  # whatever a foreign type makes of this, it has no counterpart
        return None
    plain = {"large_string": "string", "string_view": "string", "large_binary": "binary", "binary_view": "binary"}
    text = plain.get(text, text)
    return text if parse_type(text) is not None else None


def _read_check(check: Any, type_text: str) -> Plain | None:
    if check.raise_warning or check.name not in _CHECKS:
        return None
    part = _CHECKS[check.name](check.statistics, type_text)
    kept = {key: value for key, value in (part or {}).items() if value is not None}
    try:
        ColumnSchema.from_dict({"type": type_text, "domain": kept})
    except InvalidSchemaError:  # such as texts that are numbers, or a list of numbers with decimals
        return None
    return kept or None


def _tighten(domain: Plain, part: Plain) -> Plain | None:
    """Return what two checks allow together: the tighter limits; None where one domain cannot say both."""
    if "values" in {**part, **domain} and domain:
        return None
    shared = {key: (domain[key], value) for key, value in part.items() if key in domain}
    if not shared.keys() <= _TIGHTER.keys():
        return None
    return {**domain, **part, **{key: _TIGHTER[key](pair) for key, pair in shared.items()}}


def _range(facts: Mapping[str, Any], type_text: str) -> Plain | None:
    low = _limit(facts["min_value"], type_text, -1 if not facts["include_min"] else 0)
    high = _limit(facts["max_value"], type_text, 1 if not facts["include_max"] else 0)
    return None if low is None or high is None else {"min": low, "max": high}


def _limit(value: Any, type_text: str, open_side: int) -> Any:
    """Return an allowed limit; one that is itself excluded moves to the next value of the type inside."""
    if not _is_number(value) or not isfinite(value):
        return None
    if not open_side:
        return value
    return next_inside(value, type_text, open_side)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(facts: Mapping[str, Any], type_text: str) -> Plain:
    value = facts["value"]
    return {"min": value, "max": value} if type_text in ("double", "float") else {"values": [value]}


def _single(side: str, open_side: int) -> Callable[[Mapping[str, Any], str], Plain | None]:
    def read(facts: Mapping[str, Any], type_text: str) -> Plain | None:
        limit = _limit(facts[f"{side}_value"], type_text, open_side)
        return None if limit is None else {side: limit}

    return read


def _matches(facts: Mapping[str, Any], _: str) -> Plain:
    pattern = facts["pattern"]
    text = str(getattr(pattern, "pattern", pattern))
    if text.startswith("^(?:") and text.endswith(")$"):
        text = text[4:-2]
        known = {each: name for name, each in SEMANTICS.items()}
        return {"semantic": known[text]} if text in known else {"pattern": text}
    # str_matches holds where the text begins so.
    return {"pattern": unanchored(text if text.startswith("^") else f"^(?:{text})")}


_TIGHTER: Final[Mapping[str, Callable[[Any], Any]]] = MappingProxyType(
    {"min": max, "min_length": max, "max": min, "max_length": min}
)
_CHECKS: Final[Mapping[str, Callable[[Mapping[str, Any], str], Plain | None]]] = MappingProxyType(
    {
        "in_range": _range,
        "greater_than_or_equal_to": _single("min", 0),
        "greater_than": _single("min", -1),
        "less_than_or_equal_to": _single("max", 0),
        "less_than": _single("max", 1),
        "isin": lambda facts, _: {"values": list(facts["allowed_values"])},
        "equal_to": _equal,
        "str_matches": _matches,
        "str_contains": lambda facts, _: {"pattern": unanchored(str(facts["pattern"]))},
        "str_startswith": lambda facts, _: {"pattern": unanchored(f"^{re.escape(str(facts['string']))}")},
        "str_endswith": lambda facts, _: {"pattern": unanchored(f"{re.escape(str(facts['string']))}$")},
        "str_length": lambda facts, _: {
            "min_length": facts.get("min_value") if facts.get("exact_value") is None else facts["exact_value"],
            "max_length": facts.get("max_value") if facts.get("exact_value") is None else facts["exact_value"],
        },
    }
)
