"""Arrow types in the few words that JSON Schema and data contracts have for them."""

from typing import Any, Final

from foldstore.datastore.statistics.reading import Kind, kind_of, parse_type

Plain = dict[str, Any]

_WORDS: Final = {
    Kind.INTEGER: "integer",
    Kind.UNSIGNED: "integer",
    Kind.BOOLEAN: "boolean",
    Kind.FLOAT: "number",
    Kind.DECIMAL: "number",
    Kind.TEXT: "string",
    Kind.BINARY: "string",
}


def word_of(type_text: str) -> str:
    """Return integer, number, boolean, string, date, timestamp, time, array or object.

    Examples
    --------
    >>> word_of("int32"), word_of("timestamp[us, tz=UTC]"), word_of("list<item: int64>")
    ('integer', 'timestamp', 'array')
    """
    parsed = parse_type(type_text)
    if parsed is None:
        return "array" if "list" in type_text.partition("<")[0] else "object"
    if type_text.startswith(("date", "timestamp", "time")):
        return type_text.partition("[")[0].rstrip("3264") if not type_text.startswith("timestamp") else "timestamp"
    return _WORDS.get(kind_of(parsed), "string")


def split_domain(column: Plain, wanted: tuple[str, ...]) -> tuple[Plain, Plain]:
    """Return the parts of a column's domain that a format has words for, and the others."""
    domain = dict(column.get("domain", {}))
    return {key: domain.pop(key) for key in wanted if key in domain}, domain
