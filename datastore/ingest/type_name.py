"""Arrow types by their names, nested ones too: ``timestamp[us, tz=UTC]``, ``list<item: int32>``."""

import re
from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa

from foldstore.errors import UsageError

_ZONED: Final = re.compile(r"timestamp\[\s*(s|ms|us|ns)\s*,\s*tz=\s*([^\]\s]+)\s*\]")
_DECIMAL: Final = re.compile(r"(?:decimal|decimal128|decimal256)\(\s*(\d+)\s*(?:,\s*(-?\d+)\s*)?\)")
_FIXED_BINARY: Final = re.compile(r"fixed_size_binary\[\s*(\d+)\s*\]")
_NESTED: Final = re.compile(r"(list|large_list|fixed_size_list|struct|map|dictionary)<(.*)>(?:\[(\d+)\])?", re.DOTALL)
_MAX_TEXT: Final = 100_000
_MAX_DEPTH: Final = 50


def read_types(types: object) -> dict[str, pa.DataType]:
    """Check the option ``types=``: a type, or its name, by column."""
    if types is None:
        return {}
    if not isinstance(types, dict) or not all(isinstance(name, str) for name in types):
        raise UsageError("types= is a dict of type names by column.", hint='Write types={"zip": "string"}.')
    return {name: type_named(text, column=name) for name, text in types.items()}


def type_named(text: object, *, column: str) -> pa.DataType:
    """Return the type of a name.

    Examples
    --------
    >>> type_named("list<item: struct<a: int8, b: decimal(5, 2)>>", column="x")
    ListType(list<item: struct<a: int8, b: decimal128(5, 2)>>)

    Raises
    ------
    UsageError
        When there is no such type.
    """
    if isinstance(text, pa.DataType):
        return text
    try:
        return _parse(text.strip()[:_MAX_TEXT], 0)  # type: ignore[attr-defined]  # what is no text has no strip
    except (ValueError, TypeError, KeyError, AttributeError, pa.ArrowException) as error:
        shown = repr(text)[:100]
        raise UsageError(
            f"{shown} is not a type (for column {column!r}).",
            hint="Types are named as in Arrow: int32, int64, double, string, bool, date32, timestamp[us, tz=UTC], "
            "decimal128(10, 2), list<item: int32>, struct<a: int32, b: string>, map<string, int32>.",
        ) from error


def _parse(text: str, depth: int) -> pa.DataType:
    if depth > _MAX_DEPTH:
        raise ValueError(text)
    if found := _ZONED.fullmatch(text):
        return pa.timestamp(found[1], found[2])
    if found := _DECIMAL.fullmatch(text):
        digits, scale = int(found[1]), int(found[2] or 0)
        wide = text.startswith("decimal256") or digits > 38
        return pa.decimal256(digits, scale) if wide else pa.decimal128(digits, scale)
    if found := _FIXED_BINARY.fullmatch(text):
        return pa.binary(int(found[1]))
    if found := _NESTED.fullmatch(text):
        return _nested(found[1], _split(found[2]), found[3], depth + 1)
    return pa.type_for_alias(text)


def _nested(kind: str, parts: list[str], size: str | None, depth: int) -> pa.DataType:
    if (size is None) == (kind == "fixed_size_list"):
        raise ValueError(kind)
    if kind == "struct":
        return pa.struct([_field(part, depth) for part in parts])
    if kind == "map":
        key, item = (_parse(part, depth) for part in parts)
        return pa.map_(key, item)
    if kind == "dictionary":
        values = parts[0].removeprefix("values=")
        ordered = any(part == "ordered=1" for part in parts)
        return pa.dictionary(pa.int32(), _parse(values, depth), ordered=ordered)
    (part,) = parts
    inner = _field(part, depth) if _colon(part) > 0 else pa.field("item", _parse(part, depth))
    if kind == "fixed_size_list":
        return pa.list_(inner, int(size or 0))
    make: Callable[[Any], pa.DataType] = pa.large_list if kind == "large_list" else pa.list_
    return make(inner)


def _field(text: str, depth: int) -> pa.Field:
    place = _colon(text)
    if place < 1:
        raise ValueError(text)
    kind = text[place + 1 :].strip()
    nullable = not kind.endswith(" not null")
    return pa.field(text[:place].strip(), _parse(kind.removesuffix(" not null").strip(), depth), nullable=nullable)


def _colon(text: str) -> int:
    """Return the place of the colon behind a field's name; those inside a type (a zone's) do not count."""
    place = text.find(":")
    inside = min((text.find(c) for c in "<[(" if c in text), default=len(text))
    return place if place < inside else -1


def _split(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for place, character in enumerate(text):
        depth += (character in "<[(") - (character in ">])")
        if character == "," and depth == 0:
            parts.append(text[start:place].strip())
            start = place + 1
    return [*parts, text[start:].strip()]
