"""Sentinels: values that stand for "nothing", such as -999, "NA" or the first of January 1970.

A number is taken for one when it is of the kind that people choose, lies at the edge of the others or beyond, and
occurs far more often than its neighbours: a spike of mass. A text is taken for one by its spelling alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

TEXTS: Final = frozenset(
    ["", "-", "--", "?", ".", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "missing", "unknown", "undefined"]
)
NUMBERS: Final = frozenset(
    sign * size for sign in (-1, 1) for size in (99, 999, 9_999, 99_999, 999_999, 9_999_999, 99_999_999)
) | {-1, -9, -8, -88, -888, -8_888, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)}
DATES: Final = frozenset([(1970, 1, 1), (1900, 1, 1), (1899, 12, 30), (1899, 12, 31), (9999, 12, 31), (1, 1, 1)])
# A spike: so many times as often as the mean of the other values, in at least so many rows.
_SPIKE: Final = 3
_MIN_ROWS: Final = 3
# A number counts only when this far outside what nine of ten others span.
_BEYOND: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentinel:
    """A value that probably stands for nothing.

    Attributes
    ----------
    value : plain value
    count : int
    spike : float
        How many times as often it occurs as the other values do on the mean.
    confidence : float
    """

    value: Any
    count: int
    spike: float
    confidence: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {name: getattr(self, name) for name in self.__slots__}


def find_sentinels(counts: Mapping[Any, int]) -> tuple[Sentinel, ...]:
    """Find sentinels among the counted values of one column.

    Examples
    --------
    >>> ages = {age: 10 for age in range(20, 60)} | {-999: 40}
    >>> [(each.value, each.count) for each in find_sentinels(ages)]
    [(-999, 40)]
    >>> [each.value for each in find_sentinels({"red": 9, "N/A": 2, "blue": 8})]
    ['N/A']
    """
    total = sum(counts.values())
    found = []
    for value, count in counts.items():
        others = len(counts) - 1
        spike = count / ((total - count) / others) if others and total > count else 0.0
        confidence = _judge(value, count, spike, counts)
        if confidence:
            found.append(Sentinel(value=value, count=count, spike=round(spike, 2), confidence=confidence))
    return tuple(sorted(found, key=lambda each: (-each.confidence, -each.count, str(each.value))))


def _judge(value: Any, count: int, spike: float, counts: Mapping[Any, int]) -> float:
    if isinstance(value, str):
        return _judge_text(value, counts)
    if isinstance(value, bool) or count < _MIN_ROWS:
        return 0.0
    if isinstance(value, int | float):
        return _judge_number(value, spike, counts) if value in NUMBERS else 0.0
    if isinstance(value, date | datetime):
        midnight = not isinstance(value, datetime) or (value.hour, value.minute, value.second) == (0, 0, 0)
        usual = midnight and (value.year, value.month, value.day) in DATES
        return 0.9 if usual and spike >= _SPIKE else 0.0
    return 0.0


def _judge_text(value: str, counts: Mapping[Any, int]) -> float:
    if value.strip().casefold() not in TEXTS or len(counts) < 2:
        return 0.0
    return 0.95 if value.strip().casefold() in ("", "na", "n/a", "#n/a", "nan", "null", "?") else 0.7


def _judge_number(value: float, spike: float, counts: Mapping[Any, int]) -> float:
    others = sorted((number, count) for number, count in counts.items() if number != value and number == number)  # noqa: PLR0124
    usual = [(number, count) for number, count in others if number not in NUMBERS] or others
    rows = sum(count for _, count in usual)
    if not rows or spike < _SPIKE:
        return 0.0
    low, high = _quantile(usual, rows * 0.05), _quantile(usual, rows * 0.95)
    gap = _BEYOND * (high - low)
    if value < low - gap or value > high + gap:
        return 0.9
    # A negative value among numbers that are none.
    return 0.8 if value < 0 <= usual[0][0] else 0.0


def _quantile(ordered: list[tuple[float, int]], rows: float) -> float:
    seen = 0
    for number, count in ordered:
        seen += count
        if seen >= rows:
            return number
    return ordered[-1][0]
