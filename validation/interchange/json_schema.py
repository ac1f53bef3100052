"""JSON Schema (draft 2020-12) of one row as an object: written and read.

What JSON Schema has no word for stands under ``x-foldstore``, which other readers skip and this one
reads back, so that a schema that was written here comes back as it was.
"""

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
     "maxItems", "description", "deprecated", _OWN)
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
    words = each.get("type", "string")
    words = [words] if isinstance(words, str) else list(words) if isinstance(words, list) else []
    kinds = [word for word in words if word != "null"]
    if len(kinds) != 1 or (kinds[0] not in _TYPES and kinds[0] != "array"):
        return None, [f"type {each.get('type')!r} (the whole property)"]
    column: Plain = {"type": _read_type(kinds[0], each)}
    lost = [key for key in each if key not in _KNOWN]
    if column["type"] is None:
        return None, ["items (the whole property)"]
    if "null" not in words:
        column["nullable"] = False
    if not required:
        column["stage"] = "alpha"
    if each.get("deprecated") is True:
        column["stage"] = "deprecated"
    if "description" in each:
        column["doc"] = each["description"]
    return column | _read_limits(each, column["type"], lost), lost


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
        domain |= {ours: each[theirs] for theirs, ours in (("minimum", "min"), ("maximum", "max")) if theirs in each}
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
    if "enum" in each:
        if domain:
            lost += sorted(domain)
        made["domain"] = {"values": [value for value in each["enum"] if value is not None]}
    return {key: value for key, value in made.items() if value}


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
