"""Hours of the day and days of the week of ticks, and the largest gap between times."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.statistics.grid import Ints
from foldstore.datastore.statistics.reading import Value

HOURS: Final = 24
WEEKDAYS: Final = 7
_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
# 1970-01-01 was a Thursday, and Monday counts as 0 (ISO 8601).
_EPOCH_WEEKDAY: Final = 3


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


def _ticks_a_day(kind: pa.DataType) -> int:
    if pa.types.is_date32(kind):
        return 1
    unit = "ms" if pa.types.is_date64(kind) else kind.unit
    return 86_400 * _PER_SECOND[unit]


def _tally(cells: NDArray[np.int64], counts: Ints, size: int) -> tuple[int, ...]:
    summed = np.zeros(size, np.int64)
    np.add.at(summed, cells, counts)
    return tuple(summed.tolist())
