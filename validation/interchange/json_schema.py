"""JSON Schema (draft 2020-12) of one row as an object: written and read.

What JSON Schema has no word for stands under ``x-foldstore``, which other readers skip and this one
reads back, so that a schema that was written here comes back as it was.
"""

from math import ceil, floor, inf, isfinite, nextafter
from typing import Any, Final

from foldstore.errors import InvalidSchemaError
from foldstore.validation.document import read_mapping
from foldstore.validation.interchange.arrow_words import Plain, word_of
from foldstore.validation.nested_paths import without_nested

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_OWN: Final = "x-foldstore"
_TYPES: Final = {"integer": "int64", "number": "double", "string": "string", "boolean": "bool"}
_FORMATS: Final = {"date": "date32[day]", "date-time": "timestamp[us, tz=UTC]", "time": "time64[us]"}
_SEMANTICS: Final = {"uuid": "uuid", "email": "email", "uri": "url", "ipv4": "ipv4"}
_KNOWN: Final = frozenset(
    ("type", "format", "minimum", "maximum", "minLength", "maxLength", "pattern", "enum", "items", "minItems",
     "maxItems", "description", "deprecated", "const", "exclusiveMinimum", "exclusiveMaximum", "title", "examples",
     "$comment", _OWN)
)  # fmt: skip


def to_json_schema(schema: Plain) -> Plain:
    """Return the JSON Schema of a schema's rows.

    Examples
    --------
    >>> made = to_json_schema({"columns": {"x": {"type": "int64", "domain": {"min": 0}}}})
    >>> made["properties"]["x"]["type"], made["properties"]["x"]["minimum"]
    (['integer', 'null'], 0)
    """
    columns, nested = without_nested(schema.get("columns", {}))
    plain: Plain = {"$schema": DIALECT, "type": "object"}
    if schema.get("name"):
        plain["title"] = schema["name"]
    if schema.get("doc"):
        plain["description"] = schema["doc"]
    plain["properties"] = {name: _to_property(column) for name, column in columns.items()}
    plain["required"] = [name for name, each in columns.items() if each.get("stage") in (None, "beta", "production")]
    own = {key: value for key, value in schema.items() if key not in ("name", "doc", "columns")}
    own |= {"nested": nested} if nested else {}
    return plain | ({_OWN: own} if own else {})


def from_json_schema(data: object) -> tuple[Plain, list[str]]:
    """Return a schema as plain data, and what was left out.

    Raises
    ------
    InvalidSchemaError
        When it does not describe an object with properties.

    Examples
    --------
    >>> from_json_schema({"properties": {"x": {"type": "integer", "multipleOf": 2}}})[1]
    ['x: multipleOf']
    """
    plain = read_mapping(data, "The JSON Schema")
    if "properties" not in plain:
        raise InvalidSchemaError(
            "The JSON Schema has no properties.", hint="It describes a row: an object's properties."
        )
    required = plain.get("required", [])
    columns, dropped = {}, []
    for name, each in read_mapping(plain["properties"], "properties").items():
        column, lost = _from_property(read_mapping(each, f"properties.{name}"), required=name in required)
        dropped += [f"{name}: {word}" for word in lost]
        if column is not None:
            columns[name] = column
    known = ("$schema", "$id", "type", "title", "description", "properties", "required", _OWN)
    dropped += [key for key in plain if key not in known]
    schema: Plain = dict(read_mapping(plain.get(_OWN, {}), _OWN))
    columns |= read_mapping(schema.pop("nested", {}), f"{_OWN}.nested")
    schema |= {ours: plain[theirs] for theirs, ours in (("title", "name"), ("description", "doc")) if theirs in plain}
    return schema | {"columns": columns}, dropped


def _to_property(column: Plain) -> Plain:
    word = word_of(column["type"])
    formats = {"date": "date", "timestamp": "date-time", "time": "time"}
    shown = "string" if word in formats else word
    made: Plain = {"type": shown if column.get("nullable") is False else [shown, "null"]}
    if word in formats:
        made["format"] = formats[word]
    if column.get("doc"):
        made["description"] = column["doc"]
    if column.get("stage") == "deprecated":
        made["deprecated"] = True
    domain = column.get("domain", {})
    is_number = word in ("integer", "number")
    pairs = [("min_length", "minLength"), ("max_length", "maxLength")] if word == "string" else []
    pairs += [("min", "minimum"), ("max", "maximum")] if is_number else []
    made |= {theirs: domain[ours] for ours, theirs in pairs if ours in domain}
    if "pattern" in domain:
        made["pattern"] = f"^(?:{domain['pattern']})$"
    if "semantic" in domain and domain["semantic"] in _SEMANTICS.values():
        made["format"] = {ours: theirs for theirs, ours in _SEMANTICS.items()}[domain["semantic"]]
    if "values" in domain and domain.get("min_mass", 1.0) == 1.0:
        made["enum"] = domain["values"] if column.get("nullable") is False else [*domain["values"], None]
    valency = column.get("valency", {})
    made |= {theirs: valency[ours] for ours, theirs in (("min", "minItems"), ("max", "maxItems")) if ours in valency}
    # The whole column: types, tolerances and grids have no other words.
    return made | {_OWN: column}


def _from_property(each: Plain, *, required: bool) -> tuple[Plain | None, list[str]]:
    if _OWN in each:
        own = read_mapping(each[_OWN], _OWN)
        if _is_own(own, each):
            return own, []
    each = _without_choice(each)
    words = _read_words(each)
    kinds = [word for word in words if word != "null"]
    if len(kinds) != 1 or (kinds[0] not in _TYPES and kinds[0] != "array"):
        said = f"type {each['type']!r}" if "type" in each else "no type"
        return None, [f"{said} (the whole property)"]
    column: Plain = {"type": _read_type(kinds[0], each)}
    lost = [key for key in each if key not in _KNOWN]
    if column["type"] is None:
        return None, ["items (the whole property)"]
    if "null" not in words or None not in _listed(each, otherwise=[None]):
        column["nullable"] = False
    if not required:
        column["stage"] = "alpha"
    if each.get("deprecated") is True:
        column["stage"] = "deprecated"
    if "description" in each:
        column["doc"] = each["description"]
    return column | _read_limits(each, column["type"], lost), lost


def _without_choice(each: Plain) -> Plain:
    """Take apart a choice between one kind and null, as pydantic writes what is optional."""
    choices = each.get("anyOf", each.get("oneOf"))
    if not isinstance(choices, list) or "type" in each or not all(isinstance(choice, dict) for choice in choices):
        return each
    kept = [choice for choice in choices if choice != {"type": "null"}]
    if len(kept) != 1 or len(choices) != 2 or not isinstance(kept[0].get("type"), str):
        return each
    rest = {key: value for key, value in each.items() if key not in ("anyOf", "oneOf")}
    return {**kept[0], **rest, "type": [kept[0]["type"], "null"]} | (
        {"enum": [*kept[0]["enum"], None]} if isinstance(kept[0].get("enum"), list) else {}
    )


def _read_words(each: Plain) -> list[Any]:
    """Return the words of the type; where there is none, what all of the values are that are listed."""
    words = each.get("type")
    if "type" in each:
        return [words] if isinstance(words, str) else list(words) if isinstance(words, list) else []
    kinds = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
    return list(dict.fromkeys(kinds.get(type(value), "object") for value in _listed(each, otherwise=[])))


def _listed(each: Plain, *, otherwise: list[Any]) -> list[Any]:
    """Return the values that a property may have, where it lists them."""
    if "const" in each:
        return [each["const"]]
    return each["enum"] if isinstance(each.get("enum"), list) else otherwise


def _is_own(column: Plain, each: Plain) -> bool:
    """Whether a property is what a column was written as: nobody edited what others read."""
    return isinstance(column.get("type"), str) and _to_property(column) == each


def _read_type(word: str, each: Plain) -> Any:
    if word == "array":
        inner = read_mapping(each.get("items", {}), "items").get("type")
        return f"list<item: {_TYPES[inner]}>" if isinstance(inner, str) and inner in _TYPES else None
    return _FORMATS.get(str(each.get("format")), "string") if word == "string" else _TYPES[word]


def _read_limits(each: Plain, type_text: str, lost: list[str]) -> Plain:
    domain: Plain = {}
    made: Plain = {"domain": domain}
    if type_text in ("int64", "double"):
        domain |= _read_range(each, type_text, lost)
    if type_text == "string":
        pairs = (("minLength", "min_length"), ("maxLength", "max_length"))
        domain |= {ours: each[theirs] for theirs, ours in pairs if theirs in each}
        if "pattern" in each:
            domain["pattern"] = unanchored(str(each["pattern"]))
        if "format" in each and each["format"] in _SEMANTICS:
            domain["semantic"] = _SEMANTICS[each["format"]]
        elif "format" in each:
            lost.append(f"format {each['format']!r}")
    valency = {ours: each[theirs] for theirs, ours in (("minItems", "min"), ("maxItems", "max")) if theirs in each}
    if valency and type_text.startswith("list"):
        made["valency"] = valency
    made["domain"] = _read_values(each, type_text, domain, lost)
    return {key: value for key, value in made.items() if value}


def _read_values(each: Plain, type_text: str, domain: Plain, lost: list[str]) -> Plain:
    """Return the domain of the values that are listed; as it is where there is no list, or none that it could say."""
    values = [value for value in _listed(each, otherwise=[]) if value is not None]
    if values and type_text in ("string", "int64"):
        lost += sorted(domain)
        return {"values": values}
    if len(values) == 1 and type_text == "double":
        return {"min": values[0], "max": values[0]}
    if values and set(map(repr, values)) != {"True", "False"}:
        lost.append("enum")
    return domain


def _read_range(each: Plain, type_text: str, lost: list[str]) -> Plain:
    """Return the limits of a number: one that is itself excluded moves to the next value of the type inside."""
    lows = [each["minimum"]] if "minimum" in each else []
    highs = [each["maximum"]] if "maximum" in each else []
    for key, found, side in (("exclusiveMinimum", lows, -1), ("exclusiveMaximum", highs, 1)):
        limit = each.get(key)
        if isinstance(limit, int | float) and not isinstance(limit, bool) and isfinite(limit):
            found.append(next_inside(limit, type_text, side))
        elif key in each:  # a boolean, as before draft 6
            lost.append(key)
    return ({"min": max(lows)} if lows else {}) | ({"max": min(highs)} if highs else {})


def next_inside(limit: float, type_text: str, side: int) -> float:
    """Return the first value of a type that is above (-1) or below (1) a limit.

    Examples
    --------
    >>> next_inside(-0.5, "int64", -1), next_inside(0.5, "int64", 1), next_inside(0, "double", -1)
    (0, 0, 5e-324)
    """
    if "int" in type_text:
        return floor(limit) + 1 if side < 0 else ceil(limit) - 1
    return nextafter(float(limit), inf if side < 0 else -inf)


def unanchored(pattern: str) -> str:
    """Return a pattern for whole texts that holds where one that may match anywhere does.

    Examples
    --------
    >>> unanchored("^(?:[A-Z]+)$"), unanchored("^ab")
    ('[A-Z]+', '(?s:.*)(?:^ab)(?s:.*)')
    """
    if pattern.startswith("^(?:") and pattern.endswith(")$"):
        return pattern[4:-2]
    return f"(?s:.*)(?:{pattern})(?s:.*)"
