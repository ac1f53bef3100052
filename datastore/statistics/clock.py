"""Hours of the day, days and hours of the week of ticks, and the largest gap between times."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.statistics.grid import Ints
from foldstore.datastore.statistics.reading import Value

HOURS: Final = 24
WEEKDAYS: Final = 7
WEEK: Final = WEEKDAYS * HOURS
_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
# 1970-01-01 was a Thursday, and Monday counts as 0 (ISO 8601).
_EPOCH_WEEKDAY: Final = 3
# Zones differ from UTC by quarters of an hour, but for the mean solar times of the nineteenth century.
_QUARTER: Final = 900
_A_HOUR: Final = 4
# Rules of zones are known from 1900 on, and written out up to 2037: then each goes on as it was.
_RULED: Final = (-2_208_988_800 // _QUARTER, 2_145_916_800 // _QUARTER)


@dataclass(frozen=True, slots=True)
class Gap:
    """The longest stretch between two times that follow each other.

    Attributes
    ----------
    start, end : Value
        Where it lies.
    ticks : int
        How long it is, in the column's unit.
    error : int
        By how many ticks it may be off: 0 while all times are held, else two bins of the free grid.
    """

    start: Value
    end: Value
    ticks: int
    error: int = 0


def count_clock(ticks: NDArray[Any], counts: Ints, kind: pa.DataType) -> dict[str, Any]:
    """Return the `hours`, `weekdays` and `week` of ascending times, each None where the type has none.

    Examples
    --------
    >>> count_clock(np.array([0]), np.array([1]), pa.time32("s"))["weekdays"] is None
    True
    """
    if not pa.types.is_timestamp(kind):
        return {"hours": count_hours(ticks, counts, kind), "weekdays": count_weekdays(ticks, counts, kind)}
    quarters, summed = _quarters_of(ticks, counts, kind)
    days = quarters // (_A_HOUR * HOURS)
    return {
        "hours": _tally(quarters // _A_HOUR % HOURS, summed, HOURS),
        "weekdays": _tally((days + _EPOCH_WEEKDAY) % WEEKDAYS, summed, WEEKDAYS),
        "week": _tally(_hours_of_week(_local_hours(quarters, kind)), summed, WEEK),
    }


def has_hours(kind: pa.DataType) -> bool:
    """Whether values of the type have an hour of the day."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_time(kind))


def has_weekdays(kind: pa.DataType) -> bool:
    """Whether values of the type have a day of the week."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def count_hours(ticks: NDArray[Any], counts: Ints, kind: pa.DataType) -> tuple[int, ...] | None:
    """Count times by hour of the day, 0 to 23; in UTC where the type has a zone.

    Examples
    --------
    >>> count_hours(np.array([3600, 3700]), np.array([2, 1]), pa.timestamp("s"))[:3]
    (0, 3, 0)
    """
    if not has_hours(kind):
        return None
    hours = np.floor_divide(ticks.astype(np.int64), 3_600 * _PER_SECOND[kind.unit]) % HOURS
    return _tally(hours, counts, HOURS)


def count_weekdays(ticks: NDArray[Any], counts: Ints, kind: pa.DataType) -> tuple[int, ...] | None:
    """Count dates by day of the week, Monday first; in UTC where the type has a zone.

    Examples
    --------
    >>> count_weekdays(np.array([0]), np.array([1]), pa.date32())
    (0, 0, 0, 1, 0, 0, 0)
    """
    if not has_weekdays(kind):
        return None
    days = np.floor_divide(ticks.astype(np.int64), _ticks_a_day(kind))
    return _tally((days + _EPOCH_WEEKDAY) % WEEKDAYS, counts, WEEKDAYS)


def count_week(ticks: NDArray[Any], counts: Ints, kind: pa.DataType) -> tuple[int, ...] | None:
    """Count ascending times by hour of the week, from Monday 00:00 on; on the clock of the type's zone.

    Examples
    --------
    >>> monday_at_1 = np.array([4 * 86_400 + 3_600])
    >>> count_week(monday_at_1, np.array([2]), pa.timestamp("s"))[:3]
    (0, 2, 0)
    """
    if not pa.types.is_timestamp(kind):
        return None
    hours, summed = hours_of(ticks, counts, kind)
    return _tally(_hours_of_week(hours), summed, WEEK)


def hours_of(ticks: NDArray[Any], counts: Ints, kind: pa.DataType) -> tuple[Ints, Ints]:
    """Sum the counts of ascending times that share a quarter of an hour.

    Returns
    -------
    tuple of ndarray of int64
        For each quarter in which a time lies, the hour since 1970-01-01 00:00 on the clock of the type's zone; and how
        many lie in it. An hour may come several times.
    """
    quarters, summed = _quarters_of(ticks, counts, kind)
    return _local_hours(quarters, kind), summed


def _quarters_of(ticks: NDArray[Any], counts: Ints, kind: pa.DataType) -> tuple[Ints, Ints]:
    if not len(ticks):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    quarters = np.floor_divide(ticks.astype(np.int64, copy=False), _QUARTER * _PER_SECOND[kind.unit])
    starts = np.flatnonzero(np.concatenate([[True], quarters[1:] != quarters[:-1]]))
    return quarters[starts], np.add.reduceat(counts.astype(np.int64, copy=False), starts)


def _local_hours(quarters: Ints, kind: pa.DataType) -> Ints:
    return np.asarray(np.floor_divide(quarters + _ahead(quarters, kind.tz), _A_HOUR))


def _hours_of_week(hours: Ints) -> Ints:
    return np.asarray((hours + HOURS * _EPOCH_WEEKDAY) % WEEK)


def _ahead(quarters: Ints, zone: str | None) -> Ints | int:
    """Return by how many quarters of an hour the clocks of a zone were ahead of UTC; 0 of a zone nobody knows."""
    if zone is None or zone == "UTC":
        return 0
    seconds = np.clip(quarters, *_RULED) * _QUARTER
    try:
        local = pc.local_timestamp(pa.array(seconds, pa.timestamp("s", zone))).cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        return 0
    return np.asarray(np.floor_divide(local - seconds, _QUARTER))


def _ticks_a_day(kind: pa.DataType) -> int:
    if pa.types.is_date32(kind):
        return 1
    unit = "ms" if pa.types.is_date64(kind) else kind.unit
    return 86_400 * _PER_SECOND[unit]


def _tally(cells: NDArray[np.int64], counts: Ints, size: int) -> tuple[int, ...]:
    summed = np.zeros(size, np.int64)
    np.add.at(summed, cells, counts)
    return tuple(summed.tolist())
