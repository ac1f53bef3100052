"""The Open Data Contract Standard 3.1 (Bitol, https://bitol-io.github.io/open-data-contract-standard/v3.1.0/).

What the standard has no word for is kept in ``customProperties``, each under ``foldstore.``, so that a
contract that was written here comes back as it was.
"""

from typing import Any, Final

from foldstore.errors import InvalidSchemaError
from foldstore.validation.document import read_mapping
from foldstore.validation.interchange.arrow_words import Plain, word_of
from foldstore.validation.interchange.json_schema import unanchored
from foldstore.validation.nested_paths import without_nested

VERSION: Final = "v3.1.0"
_OWN: Final = "foldstore."
_TYPES: Final = {
    "integer": "int64", "number": "double", "string": "string", "boolean": "bool", "date": "date32[day]",
    "timestamp": "timestamp[us, tz=UTC]", "time": "time64[us]",
}  # fmt: skip
_OPTIONS: Final = {
    "min": "minimum", "max": "maximum", "min_length": "minLength", "max_length": "maxLength", "pattern": "pattern",
}  # fmt: skip
_METRICS: Final = ("nullValues", "missingValues", "invalidValues", "duplicateValues")
_NATIVE: Final = frozenset(
    ("name", "logicalType", "physicalType", "required", "unique", "primaryKey", "primaryKeyPosition", "description",
     "tags", "classification", "logicalTypeOptions", "quality", "customProperties")
)  # fmt: skip


def to_contract(schema: Plain, schema_id: str) -> Plain:
    """Return a data contract as plain data.

    Examples
    --------
    >>> made = to_contract({"version": "1.0.0", "columns": {"x": {"type": "int64", "nullable": False}}}, "abc")
    >>> made["schema"][0]["properties"][0]["required"]
    True
    """
    name = schema.get("name") or "dataset"
    keys = schema.get("keys", [])
    table: Plain = {"name": name, "logicalType": "object", "physicalType": "table"}
    if schema.get("doc"):
        table["description"] = schema["doc"]
    columns, nested = without_nested(schema.get("columns", {}))
    table["properties"] = [_to_property(each, column, keys) for each, column in columns.items()]
    limits: Plain = {ours: schema[ours] for ours in ("min_rows", "max_rows") if ours in schema}
    if limits:
        table["quality"] = [_row_count(limits)]
    own = {k: v for k, v in schema.items() if k not in ("format", "version", "name", "doc", "columns", "keys", *limits)}
    own |= {"nested": nested} if nested else {}
    if own:
        table["customProperties"] = _custom(own)
    contract: Plain = {"apiVersion": VERSION, "kind": "DataContract", "id": schema_id}
    contract |= {"name": name, "version": schema.get("version", "1.0.0"), "status": "active", "schema": [table]}
    if "name" not in schema:
        contract["customProperties"] = _custom({"unnamed": True})
    return contract


def from_contract(data: object, table: str | None = None) -> tuple[Plain, list[str]]:
    """Return a schema as plain data, and what was left out.

    Parameters
    ----------
    data : mapping
    table : str, optional
        Which of the contract's tables; the only one unless given.
    """
    plain = read_mapping(data, "The contract")
    chosen = _choose(plain, table)
    dropped = [f"{key}" for key in plain if key not in _CONTRACT]
    schema: Plain = {"name": chosen.get("name"), "version": str(plain.get("version", "1.0.0"))}
    columns: Plain = {}
    places: list[tuple[int, str]] = []
    for each in chosen.get("properties") or []:
        property_ = read_mapping(each, "properties")
        name = str(property_.get("name", ""))
        column, lost = _from_property(property_)
        dropped += [f"{name}: {word}" for word in lost]
        if column is not None:
            columns[name] = column
            if property_.get("primaryKey") is True:
                places.append((int(property_.get("primaryKeyPosition") or 0), name))
    schema |= _own(chosen)
    columns |= read_mapping(schema.pop("nested", {}), "nested")
    if chosen.get("description"):
        schema["doc"] = chosen["description"]
    if places:
        schema["keys"] = [name for _, name in sorted(places)]
    for rule in chosen.get("quality") or []:
        dropped += _read_quality(read_mapping(rule, "quality"), schema)
    known = (
        "name",
        "logicalType",
        "physicalType",
        "physicalName",
        "description",
        "properties",
        "quality",
        "customProperties",
    )
    dropped += [f"{chosen.get('name')}: {key}" for key in chosen if key not in known]
    if _own(plain).get("unnamed"):
        del schema["name"]
    if not _is_version(schema["version"]):
        dropped.append(f"version {schema['version']!r} (not major.minor.patch)")
        del schema["version"]
    return schema | {"columns": columns}, dropped


_TABLE: Final = frozenset(
    ("name", "logicalType", "physicalType", "physicalName", "description", "properties", "quality", "customProperties")
)
_CONTRACT: Final = frozenset({"apiVersion", "kind", "id", "name", "version", "status", "schema", "customProperties"})


def _choose(plain: Plain, table: str | None) -> Plain:
    if plain.get("kind") != "DataContract" or not str(plain.get("apiVersion", "")).startswith("v3."):
        raise InvalidSchemaError(
            "This is no data contract of version 3.", hint="It begins with apiVersion: v3.1.0 and kind: DataContract."
        )
    tables = [read_mapping(each, "schema") for each in plain.get("schema") or []]
    names = [str(each.get("name")) for each in tables]
    if table is None and len(tables) == 1:
        return tables[0]
    if table is None or table not in names:
        raise InvalidSchemaError(
            f"The contract has {len(tables)} tables." if table is None else f"The contract has no table {table!r}.",
            hint=f"Name one: {', '.join(names) or 'there is none'}.",
        )
    return tables[names.index(table)]


def _to_property(name: str, column: Plain, keys: list[str]) -> Plain:
    made: Plain = {"name": name, "logicalType": word_of(column["type"]), "physicalType": column["type"]}
    rest = {key: value for key, value in column.items() if key not in ("type", "nullable", "doc", "tags")}
    made["required"] = column.get("nullable") is False
    if name in keys:
        made |= {"primaryKey": True, "primaryKeyPosition": keys.index(name) + 1}
    if column.get("doc"):
        made["description"] = column["doc"]
    if column.get("tags"):
        made["tags"] = column["tags"]
    if column.get("unique") == {"key": True}:
        made["unique"] = rest.pop("unique")["key"]
    if rest.get("pii"):
        made["classification"] = "pii"
        del rest["pii"]
    domain = dict(rest.pop("domain", {}))
    options = {theirs: domain.pop(ours) for ours, theirs in _OPTIONS.items() if ours in domain}
    if "pattern" in options:
        options["pattern"] = f"^(?:{options['pattern']})$"
    if options:
        made["logicalTypeOptions"] = options
    if "values" in domain:
        values, mass = domain.pop("values"), domain.pop("min_mass", 1.0)
        made["quality"] = [_valid_values(values, mass)]
    if domain or ("domain" in column and not options and "quality" not in made):
        rest["domain"] = domain
    return made | ({"customProperties": _custom(rest)} if rest else {})


def _valid_values(values: list[Any], mass: float) -> Plain:
    rule: Plain = {"type": "library", "metric": "invalidValues", "arguments": {"validValues": values}}
    # Percent would lose digits: the share is kept as it is beside it.
    if mass == 1.0:
        return rule | {"mustBe": 0}
    return rule | {
        "mustBeLessOrEqualTo": (1 - mass) * 100,
        "unit": "percent",
        "customProperties": _custom({"min_mass": mass}),
    }


def _row_count(limits: Plain) -> Plain:
    rule: Plain = {"type": "library", "metric": "rowCount"}
    if len(limits) == 2:
        return rule | {"mustBeBetween": [limits["min_rows"], limits["max_rows"]]}
    if "min_rows" in limits:
        return rule | {"mustBeGreaterOrEqualTo": limits["min_rows"]}
    return rule | {"mustBeLessOrEqualTo": limits["max_rows"]}


def _read_quality(rule: Plain, schema: Plain) -> list[str]:
    is_count = rule.get("metric") == "rowCount"
    if is_count and "mustBeBetween" in rule:
        schema["min_rows"], schema["max_rows"] = rule["mustBeBetween"]
    elif is_count and "mustBeGreaterOrEqualTo" in rule:
        schema["min_rows"] = rule["mustBeGreaterOrEqualTo"]
    elif is_count and "mustBeGreaterThan" in rule:
        schema["min_rows"] = rule["mustBeGreaterThan"] + 1
    elif is_count and "mustBeLessOrEqualTo" in rule:
        schema["max_rows"] = rule["mustBeLessOrEqualTo"]
    elif is_count and "mustBeLessThan" in rule:
        schema["max_rows"] = rule["mustBeLessThan"] - 1
    elif rule.get("metric") == "duplicateValues" and _most(rule) == 0 and _arguments(rule).get("properties"):
        schema.setdefault("other_keys", []).append([str(each) for each in _arguments(rule)["properties"]])
    else:
        return [f"quality {rule.get('metric') or rule.get('type') or 'rule'}"]
    return []


def _from_property(each: Plain) -> tuple[Plain | None, list[str]]:
    word, physical = each.get("logicalType"), each.get("physicalType")
    type_text = physical if isinstance(physical, str) and word_of(physical) == word else _TYPES.get(str(word))
    if type_text is None:
        return None, [f"logicalType {word!r} (the whole property)"]
    column: Plain = {"type": type_text} | _own(each)
    if each.get("required") is True:
        column["nullable"] = False
    column |= {ours: each[theirs] for theirs, ours in (("description", "doc"), ("tags", "tags")) if each.get(theirs)}
    if each.get("unique") is True:
        column["unique"] = {"key": True}
    lost = [key for key in each if key not in _NATIVE]
    if each.get("classification") == "pii":
        column["pii"] = True
    elif each.get("classification"):
        lost.append(f"classification {each['classification']!r}")
    options = read_mapping(each.get("logicalTypeOptions") or {}, "logicalTypeOptions")
    domain = {ours: options[theirs] for ours, theirs in _OPTIONS.items() if theirs in options}
    if "pattern" in domain:
        domain["pattern"] = unanchored(str(domain["pattern"]))
    lost += [f"logicalTypeOptions.{key}" for key in options if key not in _OPTIONS.values()]
    for rule in each.get("quality") or []:
        lost += _read_rule(read_mapping(rule, "quality"), column, domain)
    if domain or "domain" in column:
        column["domain"] = domain | column.get("domain", {})
    return column, lost


def _read_rule(rule: Plain, column: Plain, domain: Plain) -> list[str]:
    """Read a metric of the standard's library on a column; return what has no counterpart."""
    metric, most = rule.get("metric"), _most(rule)
    lost = [f"quality {metric or rule.get('type') or 'rule'}"]
    arguments = _arguments(rule)
    if metric == "missingValues" and arguments.get("missingValues") == [None]:
        metric = "nullValues"
    if most is None:
        return [f"{lost[0]} (its limit)"] if metric in _METRICS else lost
    if metric == "nullValues":
        column |= {"nullable": False} if most == 0 else {"min_fraction": 1 - most}
    elif metric == "duplicateValues" and most == 0:
        column["unique"] = {"key": True}
    elif metric == "invalidValues" and "validValues" in arguments and not domain:
        domain["values"] = arguments["validValues"]
        domain |= _own(rule) or ({"min_mass": 1 - most} if most else {})
    elif (
        metric == "invalidValues" and "pattern" in arguments and most == 0 and not {"pattern", "values"} & domain.keys()
    ):
        domain["pattern"] = unanchored(str(arguments["pattern"]))
    else:
        return lost
    return []


def _most(rule: Plain) -> float | None:
    """Return the share of rows that may break a rule; None where the standard's words say no share."""
    limits = {key: value for key, value in rule.items() if key.startswith("must")}
    if len(limits) != 1:
        return None
    ((word, limit),) = limits.items()
    if isinstance(limit, bool) or not isinstance(limit, int | float):
        return None
    in_percent = rule.get("unit") == "percent"
    if (limit == 0 and word in ("mustBe", "mustBeLessOrEqualTo")) or (
        limit == 1 and word == "mustBeLessThan" and not in_percent
    ):
        return 0.0
    is_share = in_percent and word in ("mustBeLessOrEqualTo", "mustBeLessThan") and 0 < limit <= 100
    return limit / 100 if is_share else None


def _arguments(rule: Plain) -> Plain:
    return read_mapping(rule.get("arguments") or {}, "arguments")


def _custom(values: Plain) -> list[Plain]:
    return [{"property": f"{_OWN}{key}", "value": value} for key, value in values.items()]


def _own(holder: Plain) -> Plain:
    listed = [read_mapping(each, "customProperties") for each in holder.get("customProperties") or []]
    return {
        str(each["property"]).removeprefix(_OWN): each.get("value")
        for each in listed
        if str(each.get("property", "")).startswith(_OWN)
    }


def _is_version(text: str) -> bool:
    parts = text.split(".")
    return len(parts) == 3 and all(part.isdecimal() and part.isascii() for part in parts)
