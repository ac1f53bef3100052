"""How much greater a function of an expression makes what it is given, read from the call alone.

One row must not take the memory of the machine: ``range(x, 300000000)`` took gigabytes of a table of two
rows. Sizes are numbers in the text, with a limit, and functions that multiply may not be piled up without end.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from foldstore.errors import InvalidExpressionError

MAX_SIZE: Final = 10_000
# The product over a nest of calls.
MAX_GROWTH: Final = 100_000
# Which arguments say how much is made.
_SIZES: Final = {
    "range": (0, 1, 2), "generate_series": (0, 1, 2), "repeat": (1,), "lpad": (1,), "rpad": (1,),
    "list_resize": (1,), "array_resize": (1,), "bitstring": (1,), "to_base": (2,),
}  # fmt: skip
_FACTORS: Final = {
    "hex": 2, "to_hex": 2, "bin": 8, "to_binary": 8, "base64": 2, "to_base64": 2, "url_encode": 3, "to_json": 2,
    "json_quote": 2, "json_array": 2, "json_object": 2, "row_to_json": 2, "array_to_json": 2, "regexp_escape": 2,
    "json_pretty": 10, "md5": 1, "list_transform": 100, "list_apply": 100, "array_transform": 100,
    "array_apply": 100, "apply": 100,
}  # fmt: skip
_REDUCE: Final = frozenset({"reduce", "list_reduce", "array_reduce"})
_REPLACE: Final = frozenset({"replace", "regexp_replace"})
_FORMAT: Final = frozenset({"format", "printf"})
# A width of five digits, or one that is itself an argument: {:{}} and %*d.
_WIDE: Final = re.compile(r"\d{5}|\{[^{}]*\{|\*")


def growth(node: Mapping[str, Any], where: str) -> int:
    """Return how many times greater a function's result can be than what it is given.

    Raises
    ------
    InvalidExpressionError
        When how much it makes is not said by a number in the text, of at most `MAX_SIZE`.
    """
    name = str(node["function_name"]).lower()
    arguments = [each["expression"] for each in node["arguments"]]
    if name in _REDUCE:
        raise InvalidExpressionError(
            f"{where}: {name}() can double a value at each step.",
            hint="Use list_sum, list_max, list_aggregate and their like, or a query: store.sql(...).",
            function=name,
        )
    if name in _FORMAT:
        _check_format(arguments, name, where)
    if name in _REPLACE:
        return _replacing(arguments)
    sizes = [arguments[place] for place in _SIZES.get(name, ()) if place < len(arguments)]
    counts = [_literal(each) for each in sizes]
    if any(count is None or abs(count) > MAX_SIZE for count in counts):
        raise InvalidExpressionError(
            f"{where}: {name}() makes as much as its arguments say, which must be numbers of at most {MAX_SIZE:,}.",
            hint="Write the number out, or make the values in a query: store.sql(...).",
            function=name,
        )
    return max([_FACTORS.get(name, 1), *(2 * abs(count) for count in counts if count)])


def check_growth(factor: int, where: str) -> None:
    """Refuse a nest of calls whose product has no end in sight."""
    if factor > MAX_GROWTH:
        raise InvalidExpressionError(
            f"{where}: its functions can make a value more than {MAX_GROWTH:,} times greater.",
            hint="Nest fewer functions that repeat, encode, replace or map, or write a query: store.sql(...).",
            where=where,
        )


def _replacing(arguments: Sequence[Mapping[str, Any]]) -> int:
    old, new = (_text(each) for each in arguments[1:3]) if len(arguments) >= 3 else (None, None)
    if new is None:
        return 100
    # A pattern can match the empty text before each letter.
    is_plain = old is not None and len(arguments) == 3 and old.isalnum()
    return max(1, -(-len(new) // max(1, len(old or "")))) if is_plain else len(new) + 1


def _check_format(arguments: Sequence[Mapping[str, Any]], name: str, where: str) -> None:
    text = _text(arguments[0]) if arguments else None
    if text is None or _WIDE.search(text):
        raise InvalidExpressionError(
            f"{where}: {name}() takes a text that is written out, with widths below {MAX_SIZE:,}.",
            hint="Such as format('{:>8}', x).",
            function=name,
        )


def _literal(node: Mapping[str, Any]) -> int | None:
    found = node.get("literal") or {}
    text = str(found.get("text", ""))
    return int(text) if found.get("kind") == "INTEGER" and len(text) < 20 else None


def _text(node: Mapping[str, Any]) -> str | None:
    found = node.get("literal") or {}
    return str(found["text"]) if found.get("kind") == "STRING" else None
