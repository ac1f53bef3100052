"""The week of a column of times: which time its rows cover, and how much the rows of an hour or a weekday vary.

Times move with every batch, and hours of the day and days of the week do not. What they are compared by is read from
the profile alone.
"""

from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.statistics.clock import HOURS, WEEKDAYS, hours_of
from foldstore.datastore.statistics.column import ColumnProfile
from foldstore.datastore.statistics.grid import Ints
from foldstore.datastore.statistics.pinned import WeekGrid
from foldstore.datastore.statistics.reading import Kind, parse_type

# Rows that come late, or long before, do not stretch the time that is covered.
_APART: Final = 0.05
_MS_A_DAY: Final = 86_400_000
_PER_HOUR: Final = {"s": 3_600, "ms": 3_600_000, "us": 3_600_000_000, "ns": 3_600_000_000_000}
# How many hours are taken together where the free grid does not tell single ones.
_STEPS: Final = (1, 2, 3, 4, 6, 12)
# A bin of the free grid is at most such a part of what is told by it.
_FINE: Final = 4
# So many weeks and days say how much they vary.
_WEEKS: Final = 520
_DAYS: Final = 364
_TWO: Final = 2
_RAISED: Final = 9


def infer_week(column: ColumnProfile) -> WeekGrid | None:
    """Return the week of a column of timestamps or dates; None of any other, and where there is no value.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from foldstore.datastore.statistics.column import profile_array
    >>> infer_week(profile_array(pa.array(range(0, 86_400 * 7, 60), pa.timestamp("s")))).last
    167
    """
    kind = parse_type(column.type)
    if column.kind is not Kind.TEMPORAL or kind is None or not column.present or column.low is None:
        return None
    if pa.types.is_date(kind):
        return _week_of_dates(column, 1 if pa.types.is_date32(kind) else _MS_A_DAY)
    return _week_of_instants(column, kind) if pa.types.is_timestamp(kind) and column.week is not None else None


def _week_of_dates(column: ColumnProfile, ticks_a_day: int) -> WeekGrid:
    low, high = _span(column)
    first, last = low // ticks_a_day, high // ticks_a_day + 1
    starts, counts, width = _places(column)
    if width > ticks_a_day:
        return WeekGrid(first, last, by_hour=False)
    days = starts // ticks_a_day
    first, last = _busiest(days, counts, first, last)
    return WeekGrid(first, last, by_hour=False, days_vary=_days_vary(days, counts, first, last))


def _week_of_instants(column: ColumnProfile, kind: pa.DataType) -> WeekGrid:
    low, high = _span(column)
    first, last = _hour(max(low - 1, -(2**63)), kind) + 1, _hour(high, kind)
    if _are_days(column, kind):
        first, last = _hour(low, kind) // HOURS * HOURS, (last // HOURS + 1) * HOURS
    starts, counts, width = _places(column)
    hours, summed = hours_of(starts, counts, kind)
    is_fine = width * _FINE <= HOURS * _PER_HOUR[kind.unit]
    if is_fine:
        day, end = _busiest(hours // HOURS, summed, first // HOURS, last // HOURS + 1)
        first, last = max(first, day * HOURS), min(last, end * HOURS)
    days = _whole_days(first, last)
    step = next((each for each in _STEPS if width * _FINE <= each * _PER_HOUR[kind.unit]), None)
    return WeekGrid(
        first,
        max(first, last),
        hours_vary=_hours_vary(hours, summed, *days, step),
        days_vary=_days_vary(hours // HOURS, summed, *days) if is_fine else None,
    )


def _are_days(column: ColumnProfile, kind: pa.DataType) -> bool:
    """Whether instants stand for days: one hour of the day, and no more of them than days."""
    week = np.array(column.week, np.int64).reshape(WEEKDAYS, HOURS)
    days = (int(column.high or 0) - int(column.low or 0)) // (HOURS * _PER_HOUR[kind.unit]) + 2
    return np.count_nonzero(week.sum(axis=0)) == 1 and (column.distinct or 0) <= days


def _span(column: ColumnProfile) -> tuple[int, int]:
    """Return from when to when rows are, but for a few far from the others.

    From the quantiles on, by as much as evenly spread rows would reach beyond them.
    """
    low, high = int(column.low or 0), int(column.high or 0)
    ends = column.quantile(_APART), column.quantile(1 - _APART)
    if ends[0] is None or ends[1] is None:
        return low, high
    beyond = (ends[1] - ends[0]) * _APART / (1 - 2 * _APART)
    first, last = int(np.floor(ends[0] - beyond)), int(np.ceil(ends[1] + beyond))
    return min(max(low, first), high), max(min(high, last), low)  # what floats round may lie beyond either end


def _busiest(days: Ints, counts: Ints, first: int, last: int) -> tuple[int, int]:
    """Return the one day that holds most rows, the others being late, or else the days as they are."""
    starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
    summed = np.add.reduceat(counts, starts)
    top = int(np.argmax(summed))
    day = int(days[starts[top]])
    is_one = 2 * summed[top] > counts.sum() and first <= day < last
    return (day, day + 1) if is_one else (first, last)


def _hour(tick: int, kind: pa.DataType) -> int:
    return int(hours_of(np.array([tick], np.int64), np.ones(1, np.int64), kind)[0][0])


def _places(column: ColumnProfile) -> tuple[NDArray[Any], Ints, int]:
    """Return ascending ticks, how many rows are there, and how far behind them these may be."""
    if column.values is not None and column.values.exact:
        return (*column.finite_values(), 0)
    grid = column.grid
    assert grid is not None  # noqa: S101  (a column of times has one)
    return grid.bins << grid.level, grid.counts, 1 << grid.level


def _whole_days(first: int, last: int) -> tuple[int, int]:
    """Return the days that are covered from end to end, or, where these are no two weeks, at all."""
    whole = -(-first // HOURS), last // HOURS
    return whole if whole[1] - whole[0] >= _TWO * WEEKDAYS else (first // HOURS, -(-last // HOURS))


def _days_vary(days: Ints, counts: Ints, first: int, last: int) -> float | None:
    """Say how much the rows of a weekday vary from week to week."""
    weeks = min((last - first) // WEEKDAYS, _WEEKS)
    if weeks < _TWO:
        return None
    return _variation([_tabulate(days - first, counts, (weeks, WEEKDAYS))])


def _hours_vary(hours: Ints, counts: Ints, first: int, last: int, step: int | None) -> float | None:
    """Say how much the rows of an hour vary from day to day, weekday by weekday from two weeks on."""
    days = min(last - first, _DAYS)
    if days < _TWO or step is None:
        return None
    table = _tabulate((hours - first * HOURS) // step, counts, (days, HOURS // step))
    alike = WEEKDAYS if days >= _TWO * WEEKDAYS else 1
    return _variation([table[place::alike] for place in range(alike)])


def _tabulate(places: Ints, counts: Ints, shape: tuple[int, int]) -> Ints:
    inside = (places >= 0) & (places < shape[0] * shape[1])
    table = np.zeros(shape[0] * shape[1], np.int64)
    np.add.at(table, places[inside], counts[inside])
    return table.reshape(shape)


def _variation(tables: list[Ints]) -> float:
    """Return the squared coefficient of variation beyond chance, of cells about what their row and column expect.

    Of ``Var x = e + v e^2`` the estimate by moments: ``v = (sum (x - e)^2 c - sum e) / sum e^2``, where c makes up for
    the margins that were fitted. An estimate of few degrees of freedom is raised, about as far as the critical values
    of F lie above those of chi-squared.
    """
    beyond = expected = 0.0
    degrees = 0
    for table in tables:
        rows, columns = table.sum(axis=1), table.sum(axis=0)
        used, filled = int((rows > 0).sum()), int((columns > 0).sum())
        if used < _TWO or filled < _TWO:
            continue
        e = rows[:, None] * columns[None, :] / rows.sum()
        free = (used - 1) * (filled - 1)
        beyond += float(((table - e) ** 2).sum() * used * filled / free - e.sum())
        expected += float((e**2).sum())
        degrees += free
    return float(f"{max(0.0, beyond / expected * (1 + _RAISED / degrees)):.4g}") if expected else 0.0
