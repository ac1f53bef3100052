"""Texts that are numbers, dates or truth values: the type that they could have, suggested and never applied."""

import re
from typing import Any, Final

from foldstore.datastore.statistics.column import ColumnProfile
from foldstore.datastore.statistics.reading import Kind
from foldstore.datastore.statistics.text_shape import CLASSES
from foldstore.validation.column_domains import SEMANTICS

LEAST_TEXTS: Final = 100
LEAST_SHARE: Final = 0.999
# Exact pairs alone, and an empty text is never one of them.
_PAIRS: Final = tuple(
    frozenset(pair)
    for word in (("true", "false"), ("yes", "no"), ("t", "f"), ("y", "n"))
    for pair in (word, [each.upper() for each in word], [each.capitalize() for each in word])
)
_NUMBER: Final = re.compile(r"[+-]?(9(\.9?)?|\.9)([aA][+-]?9)?")
_WHOLE: Final = re.compile(r"[+-]?9")
# Whole numbers of more digits may be beyond 64 bits, and doubles hold no more.
_MOST_DIGITS: Final = 18
_CODE: Final = re.compile(r"[+-]?0\d")
_ZONE: Final = re.compile(r"(Z|[+-]\d{2}(:?\d{2})?)$")
_ISO: Final = re.compile(r"\d{4}-\d{2}-\d{2}([T ]|$)", re.ASCII)


def suggest_type(column: ColumnProfile) -> dict[str, Any] | None:
    """Return the type that a column of texts could have, as evidence; None where it is text for all that is known.

    At least 99.9 % of a hundred texts or more must read as one: whole numbers, numbers, ISO dates or times, one pair of
    truth values. Texts of blanks count as missing. Codes such as ``00501`` are texts: a number would lose their zeros.

    Returns
    -------
    dict or None
        ``type`` as Arrow writes it, ``share`` of the `of` texts that read as it; ``blank`` where some are.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from foldstore.datastore.statistics.column import profile_array
    >>> suggest_type(profile_array(pa.array(["17", "4"] * 60)))
    {'type': 'int64', 'share': 1.0, 'of': 120}
    """
    if column.kind is not Kind.TEXT or column.classes is None or column.values is None:
        return None
    counts = dict(zip(CLASSES, column.classes, strict=False))
    blank = counts["blank"]
    n = column.present - blank
    if n < LEAST_TEXTS:
        return None
    for found, fitting in (
        (_number(column), counts["number"]),
        (_date(column), counts["date"]),
        ("bool", _truth(column)),
    ):
        if found is not None and fitting >= LEAST_SHARE * n:
            seen = {"type": found, "share": round(fitting / n, 6), "of": n}
            return seen | ({"blank": blank} if blank else {})
    return None


def _number(column: ColumnProfile) -> str | None:
    """Return the narrower of two types of numbers; none for codes."""
    if any(_CODE.match(text) for text in _seen(column)):
        return None
    masks = [] if column.masks is None else [mask for mask, _ in column.top_masks(len(column.masks))]
    numbers = [mask for mask in masks if _NUMBER.fullmatch(mask)]
    longest = column.lengths.last_values()[-1] if column.lengths is not None and column.lengths.total else 0
    is_whole = all(_WHOLE.fullmatch(mask) for mask in numbers) and longest <= _MOST_DIGITS
    return "int64" if is_whole else "double"


def _date(column: ColumnProfile) -> str | None:
    """Return the type of ISO dates and times; another order of day and month is for a person to tell."""
    texts = [text for text in _seen(column) if text.strip()]
    dates = [text for text in texts if _ISO.match(text)]
    if len(dates) < LEAST_SHARE * len(texts) or not dates:
        return None
    if all(re.fullmatch(SEMANTICS["date"], text) for text in dates):
        return "date32[day]"
    return "timestamp[us, tz=UTC]" if all(_ZONE.search(text[10:]) for text in dates) else "timestamp[us]"


def _truth(column: ColumnProfile) -> int:
    """Return how many texts are one of the most frequent pair of truth values."""
    top = [(str(value), count) for value, count in column.top(3) if str(value).strip()][:2]
    return sum(count for _, count in top) if frozenset(value for value, _ in top) in _PAIRS else 0


def _seen(column: ColumnProfile) -> list[str]:
    """Return the texts that the profile holds: all of few, else some, and the first and the last in order."""
    held = [] if column.values is None else [str(value) for value, _ in column.top(len(column.values))]
    return [*held, *(str(each) for each in (column.minimum, column.maximum) if each is not None)]
