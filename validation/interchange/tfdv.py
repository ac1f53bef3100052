"""TensorFlow Data Validation's schemas (``schema.pbtxt``), read; the fields are those of
tensorflow_metadata/proto/v0/schema.proto. What has no counterpart is named.
"""

from typing import Any, Final

from foldstore.errors import InvalidSchemaError
from foldstore.validation.interchange.arrow_words import Plain
from foldstore.validation.interchange.text_format import Message, read_text_format

_TYPES: Final = {"BYTES": "string", "INT": "int64", "FLOAT": "float"}
# Their FLOAT and INT are of any width. As float and int64 alone, numbers of a CSV would not fit.
_WIDTHS: Final = {
    "float": ("double", ("halffloat", "float")),
    "int64": ("int64", ("int8", "int16", "int32", "uint8", "uint16", "uint32")),
}
_STAGES: Final = {
    "UNKNOWN_STAGE": "production", "PLANNED": "planned", "ALPHA": "alpha", "BETA": "beta", "PRODUCTION": "production",
    "DEPRECATED": "deprecated", "DEBUG_ONLY": "debug", "DISABLED": "disabled", "VALIDATION_DERIVED": "derived",
}  # fmt: skip
_READ: Final = frozenset(
    ("name", "type", "presence", "value_count", "shape", "domain", "int_domain", "float_domain", "string_domain",
     "bool_domain", "url_domain", "distribution_constraints", "unique_constraints", "annotation", "in_environment",
     "not_in_environment", "lifecycle_stage", "deprecated")
)  # fmt: skip


def from_tfdv(text: str) -> tuple[Plain, list[str]]:
    """Return a schema as plain data, and what was left out.

    Examples
    --------
    >>> schema, dropped = from_tfdv('feature { name: "x" type: INT int_domain { min: 0 } skew_comparator {} }')
    >>> schema["columns"]["x"]["domain"], dropped
    ({'min': 0}, ['feature x: skew_comparator'])
    """
    message = read_text_format(text)
    if not message.get("feature"):
        raise InvalidSchemaError("The schema has no feature.", hint="Write feature { name: ... type: INT }.")
    dropped: list[str] = []
    shared = {_first(each, "name"): each for each in message.get("string_domain", [])}
    default = [str(each) for each in message.get("default_environment", [])]
    columns: Plain = {}
    for feature in message["feature"]:
        name = str(_first(feature, "name", ""))
        column = _read_feature(name, feature, shared, dropped)
        if column is not None:
            _read_environments(feature, default, column)
            columns[name] = column
    schema: Plain = {"columns": columns, "provenance": {"imported_from": "tfdv"}}
    environments = [*default, *(e for c in columns.values() for k in _ENVIRONMENTS for e in c.get(k, []))]
    if environments:
        schema["environments"] = list(dict.fromkeys(environments))
    used = {each["domain"]["ref"] for each in columns.values() if "ref" in each.get("domain", {})}
    if used:
        schema["domains"] = {name: list(shared[name].get("value", [])) for name in sorted(used)}
    _read_dataset(message, schema, dropped)
    return schema, dropped


_ENVIRONMENTS: Final = ("in_environment", "not_in_environment")


def _read_dataset(message: Message, schema: Plain, dropped: list[str]) -> None:
    limits: Message = _first(message, "dataset_constraints", {})
    for theirs, ours in (("min_examples_count", "min_rows"), ("max_examples_count", "max_rows")):
        if theirs in limits:
            schema[ours] = _first(limits, theirs)
    ratio: Message = _first(limits, "num_examples_version_comparator", {})
    if ratio:
        schema["rows_vs_previous"] = [_first(ratio, "min_fraction_threshold"), _first(ratio, "max_fraction_threshold")]
    known = ("min_examples_count", "max_examples_count", "num_examples_version_comparator")
    dropped += [f"dataset_constraints.{key}" for key in limits if key not in known]
    read = ("feature", "string_domain", "default_environment", "dataset_constraints")
    for key, values in message.items():
        if key not in read:
            names = [str(_first(each, "name", "")) for each in values if isinstance(each, dict)]
            dropped.append(" ".join([key, *filter(None, names)]))


def _read_feature(name: str, feature: Message, shared: dict[Any, Message], dropped: list[str]) -> Plain | None:
    kind = str(_first(feature, "type", "TYPE_UNKNOWN"))
    if kind not in _TYPES or not name:
        dropped.append(f"feature {name}: the whole feature (type {kind})")
        return None
    column: Plain = {"type": _TYPES[kind]}
    lost: list[str] = [key for key in feature if key not in _READ]
    _read_counts(feature, column, lost)
    if column["type"] in _WIDTHS:
        column["type"], narrower = _WIDTHS[column["type"]]
        column["coerce_from"] = list(narrower)
    _read_domain(feature, shared, column, lost)
    stage = _STAGES.get(str(_first(feature, "lifecycle_stage", "UNKNOWN_STAGE")), "production")
    if _first(feature, "deprecated") is True:
        stage = "deprecated"
    presence: Message = _first(feature, "presence", {})
    column |= {key: _first(presence, key) for key in ("min_fraction", "min_count") if _first(presence, key)}
    if stage == "production" and not presence:
        stage = "alpha"  # without a presence the feature may be absent
    if stage != "production":
        column["stage"] = stage
    notes: Message = _first(feature, "annotation", {})
    if "tag" in notes:
        column["tags"] = list(dict.fromkeys(str(tag) for tag in notes["tag"]))
    if "comment" in notes:
        column["doc"] = "\n".join(str(each) for each in notes["comment"])
    lost += [f"annotation.{key}" for key in notes if key not in ("tag", "comment")]
    dropped += [f"feature {name}: {each}" for each in lost]
    return column


def _read_counts(feature: Message, column: Plain, lost: list[str]) -> None:
    """Read how many values a row has: one is a plain column, anything else a list."""
    counts: Message = _first(feature, "value_count", {})
    low, high = _first(counts, "min"), _first(counts, "max")
    dims: list[Message] = _first(feature, "shape", {}).get("dim", [])
    sizes = [_first(each, "size") for each in dims]
    if counts and (low, high) != (1, 1):
        column["type"] = f"list<item: {column['type']}>"
        limits = {key: value for key, value in (("min", low), ("max", high)) if value}
        if limits:
            column["valency"] = limits
    if sizes and sizes != [1]:
        if any(not isinstance(size, int) for size in sizes):
            lost.append("shape (a dimension without a size)")
            return
        for _ in sizes:
            column["type"] = f"list<item: {column['type']}>"
        column["fixed_shape"] = sizes
    unique: Message = _first(feature, "unique_constraints", {})
    limits = {key: _first(unique, key) for key in ("min", "max") if key in unique}
    if limits:
        column["unique"] = limits


def _read_domain(feature: Message, shared: dict[Any, Message], column: Plain, lost: list[str]) -> None:
    mass = _first(_first(feature, "distribution_constraints", {}), "min_domain_mass", 1.0)
    domain = _find_domain(feature, shared, column, lost)
    if domain and "list" in column["type"]:
        lost.append("the domain (of the items of a list)")
        return
    if mass != 1.0 and {"ref", "values"} & domain.keys():
        domain["min_mass"] = mass
    elif mass != 1.0:
        lost.append("distribution_constraints")
    if domain:
        column["domain"] = domain


def _find_domain(feature: Message, shared: dict[Any, Message], column: Plain, lost: list[str]) -> Plain:
    domain: Plain = {}
    name = _first(feature, "domain")
    if name is not None and name in shared and shared[name].get("value"):
        domain = {"ref": str(name)}
    elif name is not None:
        lost.append(f"domain {name!r} (no values of that name)")
    if "string_domain" in feature:
        values = _first(feature, "string_domain").get("value", [])
        domain = {"values": list(dict.fromkeys(values))} if values else {}
    if "bool_domain" in feature:
        domain = _read_tokens(_first(feature, "bool_domain"), column, lost)
    for key in ("int_domain", "float_domain"):
        if key in feature:
            domain = _read_range(_first(feature, key), key, lost)
    if "url_domain" in feature:
        domain = {"semantic": "url"}
    return domain


def _read_range(limits: Message, key: str, lost: list[str]) -> Plain:
    domain: Plain = {side: _first(limits, side) for side in ("min", "max") if side in limits}
    for side in [side for side, limit in domain.items() if limit in (float("inf"), float("-inf")) or limit != limit]:  # noqa: PLR0124
        del domain[side]
    for theirs, ours in (("disallow_nan", "nan"), ("disallow_inf", "inf")):
        if _first(limits, theirs) is True:
            domain[ours] = "deny"
    if _first(limits, "is_categorical") is True:
        domain["categorical"] = True
    known = ("min", "max", "disallow_nan", "disallow_inf", "is_categorical", "name")
    lost += [f"{key}.{each}" for each in limits if each not in known]
    return domain


def _read_tokens(tokens: Message, column: Plain, lost: list[str]) -> Plain:
    true, false = _first(tokens, "true_value"), _first(tokens, "false_value")
    if column["type"] == "int64":
        return {"min": 0, "max": 1, "categorical": True}
    if column["type"] != "string" or not true or not false:
        lost.append("bool_domain (it needs both words)")
        return {}
    return {"true_tokens": [true], "false_tokens": [false]}


def _read_environments(feature: Message, default: list[str], column: Plain) -> None:
    """A feature is there iff its own or the default environments name it, and not_in_environment does not."""
    own = [str(each) for each in feature.get("in_environment", [])]
    if own:
        column["in_environment"] = list(dict.fromkeys([*own, *default]))
    if "not_in_environment" in feature:
        column["not_in_environment"] = list(dict.fromkeys(str(each) for each in feature["not_in_environment"]))


def _first(message: Message, field: str, otherwise: Any = None) -> Any:
    """Return the last value of a field, as protobuf does for one that is not repeated."""
    values = message.get(field)
    return values[-1] if values else otherwise
