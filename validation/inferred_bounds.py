"""Soft bounds that an inferred schema sets: between what quantiles lie, and how long texts are.

They leave room for what chance and a heavy tail bring, and break with a warning.
"""

from math import floor, isfinite, log10, sqrt
from typing import Any, Final

from foldstore.datastore.statistics.column import ColumnProfile
from foldstore.datastore.statistics.grid import Grid, Scale
from foldstore.datastore.statistics.reading import Kind
from foldstore.validation.column_bounds import Bounds, Span

ROWS_FOR_BOUNDS: Final = 1_000
# How sure it must be that later rows are beyond an inferred share.
CONFIDENCE: Final = 0.99
# So many interquartile ranges beyond the outer quantiles, and so many standard errors of the quantile itself.
_RANGES: Final = 3
_ERRORS: Final = 3.0
_DIGITS: Final = 6
# Up to here doubles hold whole numbers exactly.
_EXACT: Final = 2**53
_BOUNDED: Final = (Kind.INTEGER, Kind.UNSIGNED, Kind.FLOAT, Kind.DECIMAL)


def infer_bounds(column: ColumnProfile, least: float | None = None) -> tuple[Bounds, str] | None:
    """Return between what the outer quantiles of numbers should lie, and why; None where there are too few.

    ``[q - 3 IQR, q' + 3 IQR]`` with q and q' the quantiles 0.001 and 0.999, or 0.01 and 0.99 below ten thousand
    numbers, so that ten at least lie beyond. A tail that is heavier than that may reach the value three standard
    errors of the quantile further out: the one of rank ``n (p + 3 sqrt(p (1 - p) / n))``. What lies below the `least`
    that a domain allows needs no bound.

    Examples
    --------
    >>> from foldstore.datastore.statistics.column import profile_array
    >>> import pyarrow as pa
    >>> infer_bounds(profile_array(pa.array(range(1000))))[0].quantiles["0.99"]
    (None, 2489)
    """
    n = column.moments.n
    quartiles = column.quantile(0.25), column.quantile(0.75)
    if column.kind not in _BOUNDED or n < ROWS_FOR_BOUNDS or quartiles[0] is None or quartiles[1] is None:
        return None
    tail = 0.001 if n >= 10_000 else 0.01
    slack = _RANGES * (quartiles[1] - quartiles[0])
    further = _ERRORS * sqrt(tail * (1 - tail) / n)
    low = _outer(column, tail, max(0.0, tail - further), -slack)
    high = _outer(column, 1 - tail, min(1.0, 1 - tail + further), slack)
    spans: dict[str, Span] = {}
    if low is not None and (least is None or low > least):
        spans[f"{tail:g}"] = (low, None)
    if high is not None:
        spans[f"{1 - tail:g}"] = (None, high)
    if not spans:
        return None
    seen = [column.quantile(q) for q in (tail, 0.25, 0.75, 1 - tail)]
    shown = ", ".join(f"{each:.6g}" for each in seen if each is not None)
    why = f"quantiles {tail:g}, 0.25, 0.75, {1 - tail:g} of {n:,} numbers are {shown}; three interquartile ranges more"
    return Bounds(quantiles=spans, confidence=CONFIDENCE), f"{why}, or three standard errors of the quantile"


def _outer(column: ColumnProfile, share: float, further: float, slack: float) -> float | None:
    """Return the bound beside a quantile, rounded away from it; None where no double can say it."""
    up = share > 0.5
    at, beyond = column.quantile(share), column.quantile(further)
    if at is None or beyond is None:
        return None
    bound = _round_away((max if up else min)(at + slack, beyond), up=up)
    if not isfinite(bound):
        return None
    is_whole = column.kind in (Kind.INTEGER, Kind.UNSIGNED) and bound.is_integer() and abs(bound) < _EXACT
    return int(bound) if is_whole else bound


def _round_away(value: float, *, up: bool) -> float:
    """Return a number of six digits at most that is not less, or not more, than a value."""
    if not isfinite(value) or value == 0:
        return value
    digits = _DIGITS - 1 - floor(log10(abs(value)))
    if abs(digits) > 300:
        return value
    rounded = round(value, digits)
    step = 10.0**-digits
    if (up and rounded < value) or (not up and rounded > value):
        rounded = round(rounded + (step if up else -step), digits)
    return rounded if (rounded >= value) == up or rounded == value else value


def infer_lengths(column: ColumnProfile) -> tuple[dict[str, int], str] | None:
    """Return how short and how long texts may be, in characters, and why; None where there are too few.

    Three interquartile ranges beyond the outer quantiles, as with numbers, and one character at least where lengths
    differ; where a text lies beyond that already, as far from the longest as that is from the quantile 0.99, and
    likewise for the shortest.
    """
    grid = column.lengths
    if grid is None or grid.total < ROWS_FOR_BOUNDS or grid.scale is not Scale.INTEGER:
        return None
    least, greatest = int(grid.lower_bounds()[0]), int(grid.last_values()[-1])
    slack = max(_RANGES * (_length_at(grid, 0.75) - _length_at(grid, 0.25)), int(least < greatest))
    tail = 0.001 if grid.total >= 10_000 else 0.01
    low = min(_length_at(grid, tail) - slack, 2 * least - _length_at(grid, 0.01))
    high = max(_length_at(grid, 1 - tail) + slack, 2 * greatest - _length_at(grid, 0.99))
    limits: dict[str, Any] = {"min_length": max(low, 1 if least else 0), "max_length": high}
    if not limits["min_length"]:
        del limits["min_length"]
    return (
        limits,
        f"{grid.total:,} texts have {least:,} to {greatest:,} characters; room for what lies beyond by chance",
    )


def _length_at(grid: Grid, share: float) -> int:
    """Return the greatest length of the bin that holds a quantile."""
    cumulated = grid.counts.cumsum()
    place = int(cumulated.searchsorted(share * float(cumulated[-1]) * (1 - 1e-15)))
    return int(grid.last_values()[min(place, len(cumulated) - 1)])
