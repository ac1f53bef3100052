"""Times by hour of the day and by day of the week, compared where both sides cover the same of it.

Of each hour of the week it is counted how often a side covers it; the side that covers one more often than the other
does, by the usual ratio of the two, counts there pro rata. So neither a batch of a day nor one of ten days looks like
another week. Rows of one hour come together: what hours and days vary by, beyond chance, makes of the rows fewer that
count.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foldstore.datastore.statistics.clock import HOURS, WEEKDAYS
from foldstore.datastore.statistics.pinned import DAY_NAMES, HOUR_NAMES, WeekGrid
from foldstore.validation.anomaly import percent
from foldstore.validation.drift.measures import LN2, Counts, Floats, divergence

BY_HOUR: Final = "hour of the day"
BY_DAY: Final = "day of the week"
# What both sides cover holds so much of the rows of each, or the comparison would be of something else.
_SHARED: Final = 0.7
# Of one side's rows, how many may be turned.
_PARTS: Final = (0.2, 0.4, 0.6, 0.8, 1.0)
# 1970-01-01 was a Thursday.
_EPOCH_DAY: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekPart:
    """Counts of one kind that can be compared.

    Attributes
    ----------
    name : str
        `BY_HOUR` or `BY_DAY`.
    labels : tuple of str
    before, after : ndarray of int64
        The rows of the reference and of what is judged, as if both covered the same.
    counted : tuple of two ndarray of int64
        As many independent rows as they are worth.
    reason : str
        Why they say nothing; empty where they do.
    """

    name: str
    labels: tuple[str, ...]
    before: Counts
    after: Counts
    counted: tuple[Counts, Counts]
    reason: str = ""

    @property
    def lag(self) -> int | None:
        """By how many hours later the judged rows fit the reference best; None for weekdays, and where hours miss."""
        if self.name != BY_HOUR or len(self.labels) < HOURS or self.reason:
            return None
        lags = sorted(range(-11, 13), key=abs)
        return lags[int(np.argmin([float(divergence(self.before, np.roll(self.after, -lag))) for lag in lags]))]

    def is_turned_by_an_hour(self, tau: float) -> bool:
        """Whether the hours are nearer than tau once some of one side's rows are turned by an hour.

        So daylight saving time turns those of a part of a span on a clock that does not follow it.
        """
        if self.name != BY_HOUR or not self.before.sum() or not self.after.sum():
            return False
        f, g = (each / each.sum() for each in (self.before, self.after))
        turned = [
            divergence((1 - part) * a + part * np.roll(a, lag), b)
            for a, b in ((f, g), (g, f))
            for lag in (-1, 1)
            for part in _PARTS
        ]
        return float(min(turned)) < tau**2 * LN2


def split_week(f: Counts, g: Counts, before: WeekGrid, after: WeekGrid | None) -> list[WeekPart]:
    """Return what can be compared of two weeks; a part of a single cell has nothing to compare and is left out.

    Parameters
    ----------
    f, g : ndarray of int64
        The reference's counts by hour of the week, or by weekday, and those of what is judged.
    before, after : WeekGrid
        What time they cover.

    Examples
    --------
    >>> everyday = np.array([5, 5, 5, 5, 5, 0, 0])
    >>> weeks = [WeekGrid(0, 14, by_hour=False, days_vary=0.0)] * 2
    >>> [(each.name, each.reason) for each in split_week(everyday, everyday, *weeks)]
    [('day of the week', '')]
    """
    size = len(f)
    nothing = np.zeros(size)
    e = _exposure(before, size)
    h = nothing if after is None else _exposure(after, size)
    both = (e > 0) & (h > 0)
    ratio = np.divide(h, e, out=nothing.copy(), where=both)
    usual = float(np.median(ratio[both])) if both.any() else 1.0
    keep_f = np.divide(ratio, usual, out=nothing.copy(), where=both).clip(max=1)
    keep_g = np.divide(usual, ratio, out=nothing.copy(), where=both).clip(max=1)
    sides = ((f, keep_f, e), (g, keep_g, h))
    parts = [_by_hour(sides, both, _known(before, after, "hours_vary"))] if size > WEEKDAYS else []
    parts.append(_by_day(sides, both, _known(before, after, "days_vary")))
    return [each for each in parts if each is not None]


_Side = tuple[Counts, Floats, Floats]


def _by_hour(sides: tuple[_Side, _Side], both: NDArray[np.bool_], varies: float | None) -> WeekPart | None:
    hours = [f.reshape(WEEKDAYS, HOURS).sum(axis=0) for f, _, _ in sides]
    if np.count_nonzero(hours[0] + hours[1]) <= 1:  # days, written as instants
        return None
    covered = both.reshape(WEEKDAYS, HOURS).sum(axis=0) > 0
    shared = [float(rows[covered].sum() / max(1, rows.sum())) for rows in hours]
    return _part(BY_HOUR, HOUR_NAMES, sides, (covered, 0), min(shared), varies or 0.0, "")


def _by_day(sides: tuple[_Side, _Side], both: NDArray[np.bool_], varies: float | None) -> WeekPart:
    covered = both.reshape(WEEKDAYS, -1).sum(axis=1) > 0
    shared = [float(f[both].sum() / max(1, f.sum())) for f, _, _ in sides]
    reason = "" if varies is not None else "days of the week need two weeks on one side, to tell what they vary by"
    return _part(BY_DAY, DAY_NAMES, sides, (covered, 1), min(shared), varies or 0.0, reason)


def _part(
    name: str,
    names: tuple[str, ...],
    sides: tuple[_Side, _Side],
    cells: tuple[NDArray[np.bool_], int],
    shared: float,
    varies: float,
    reason: str,
) -> WeekPart:
    """Add up the sides along an axis of the table of weekdays and hours, and say what they are worth."""
    covered, axis = cells
    if shared < _SHARED:
        reason = f"by {name}, what both sides cover holds {percent(shared)} of the rows"
    is_apart = not covered.any()  # nothing in common: both are shown as they are
    shown, counted = [], []
    for f, keep, exposure in sides:
        rows = (f * (1 if is_apart else keep)).reshape(WEEKDAYS, -1).sum(axis=axis)
        times = (exposure * keep).reshape(WEEKDAYS, -1)
        often = times.sum(axis=axis) / np.maximum(1, (times > 0).sum(axis=axis) if axis else 1)
        rows, often = (rows, often) if is_apart else (rows[covered], often[covered])
        shown.append(np.rint(rows).astype(np.int64))
        counted.append(_worth(rows, often, varies))
    labels = tuple(label for label, there in zip(names, covered, strict=True) if there or is_apart)
    return WeekPart(
        name=name, labels=labels, before=shown[0], after=shown[1], counted=(counted[0], counted[1]), reason=reason
    )


def _exposure(grid: WeekGrid, size: int) -> Floats:
    """Return how often each cell of a week lies inside of what is covered."""
    per_day = size // WEEKDAYS
    times = np.full(size, float((grid.last - grid.first) // size))
    rest = (grid.last - grid.first) % size
    start = (grid.first + _EPOCH_DAY * per_day) % size
    times[(start + np.arange(rest)) % size] += 1
    return times


def _known(before: WeekGrid, after: WeekGrid | None, name: str) -> float | None:
    """Return by how much rows vary on the side where they vary more; a week or a day alone does not tell."""
    found = [getattr(grid, name) for grid in (before, after) if grid is not None]
    return max((each for each in found if each is not None), default=None)


def _worth(rows: Floats, times: Floats, varies: float) -> Counts:
    """Return as many independent rows as those are worth whose counts vary so much each time.

    A cell of x rows in k times has the variance ``x + v x^2 / k``, that of x / (1 + v x / k) independent rows.
    """
    total = float(rows.sum())
    if not total:
        return np.zeros(len(rows), np.int64)
    each = float((rows**2).sum()) / total / max(float(times.mean()), 1e-9)
    return np.rint(rows / (1 + varies * each)).astype(np.int64)
