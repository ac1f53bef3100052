"""Change over many versions: told from the noise that is always between them.

A series is judged by itself: there is no reference that may have been unusual, and no parameters to be known. The
self-starting CUSUM (Hawkins 1987) turns each value into a standard normal by what came before it, and adds up what
lies beyond half a standard deviation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# With h = 6 and eight values of warm-up about one in forty stable series of fifty raises an alarm.
SLACK: Final = 0.5
LIMIT: Final = 6.0
WARM_UP: Final = 8
# 1.4826 times the median absolute deviation is the standard deviation of a normal.
_MAD_TO_SIGMA: Final = 1.4826
_FARTHEST: Final = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of level in a series.

    Attributes
    ----------
    start : int
        The position of the first value after the change.
    alarm : int
        The position at which it was certain enough.
    before, after : float
        The mean from the change before up to this one, and from here to the alarm.
    score : float
        The sum that crossed the limit, in standard deviations; negative for a fall.
    """

    start: int
    alarm: int
    before: float
    after: float
    score: float

    @property
    def delay(self) -> int:
        """How many values it took from the change to the alarm."""
        return self.alarm - self.start

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        return {name: getattr(self, name) for name in self.__slots__}


def find_changes(
    values: Sequence[float | None], *, slack: float = SLACK, limit: float = LIMIT, warm_up: int = WARM_UP
) -> list[Change]:
    """Find the changes of level in a series, by self-starting CUSUMs in both directions.

    Parameters
    ----------
    values : sequence of float or None
        In order; None and NaN are passed over.
    slack : float
        Half of the shift to be found fastest, in standard deviations.
    limit : float
        Where the sum raises an alarm.
    warm_up : int
        Values that only teach, at the beginning and after each change; at least 2.

    Notes
    -----
    With mean and deviation of the t values before, ``T = (x - mean) / (sd sqrt(1 + 1/t))`` follows Student's t with
    t - 1 degrees of freedom, and z is the standard normal of the same probability. ``S+ = max(0, S+ + z - k)``,
    ``S- = max(0, S- - z - k)``. The change is dated where one shift of the mean explains the values up to the alarm
    best (Hinkley 1970): where a sum was last 0 is early by what chance had gathered. The series then starts anew
    there. A first different value after equal ones is a change at once.

    Examples
    --------
    >>> series = [0.1, -0.1, 0.05, -0.05, 0.0, 0.1, -0.1, 0.0, 0.05, -0.05] + [2.0, 2.1, 1.9, 2.0]
    >>> [(change.start, change.alarm) for change in find_changes(series)]
    [(10, 11)]
    """
    kept = [(place, float(value)) for place, value in enumerate(values) if value is not None and isfinite(value)]
    found: list[Change] = []
    begin = 0
    while (hit := _first_change(kept[begin:], slack, limit, warm_up)) is not None:
        alarm, score = hit
        series = np.array([value for _, value in kept[begin : begin + alarm + 1]])
        start = _date_shift(series, max(2, warm_up))
        found.append(
            Change(
                start=kept[begin + start][0],
                alarm=kept[begin + alarm][0],
                before=float(series[:start].mean()),
                after=float(series[start:].mean()),
                score=score,
            )
        )
        begin += start
    return found


def _first_change(
    series: Sequence[tuple[int, float]], slack: float, limit: float, warm_up: int
) -> tuple[int, float] | None:
    mean = squares = up = down = 0.0
    for place, (_, value) in enumerate(series):
        if place >= max(2, warm_up):
            # Beyond what a sum may reach, so that a first change of what was constant is one at once.
            z = _standard(value, place, mean, squares, limit + slack + 1)
            up, down = max(0.0, up + z - slack), max(0.0, down - z - slack)
            if max(up, down) > limit:
                return place, up if up >= down else -down
        moved = value - mean
        mean += moved / (place + 1)
        squares += moved * (value - mean)
    return None


def _date_shift(series: NDArray[np.float64], least: int) -> int:
    """Return where one shift of the mean explains a series best: the k that makes ``k (n-k) (m1-m2)^2`` greatest."""
    n = len(series)
    k = np.arange(least, n)
    centred = series - series.mean()
    sums = np.cumsum(centred / (np.abs(centred).max() or 1.0))[k - 1]
    return int(k[np.argmax(np.round(n * sums**2 / (k * (n - k)), 12))])


def _standard(value: float, count: int, mean: float, squares: float, farthest: float) -> float:
    """Return the standard normal that is as likely as the value is after those before it."""
    from scipy import special

    spread = sqrt(squares / (count - 1)) * sqrt(1 + 1 / count)
    moved = value - mean
    if spread <= abs(mean) * 1e-12:  # all were equal
        return 0.0 if abs(moved) <= abs(mean) * 1e-12 else float(np.copysign(farthest, moved))
    z = float(special.ndtri(special.stdtr(count - 1, -abs(moved) / spread)))
    return float(np.copysign(min(-z, _FARTHEST), moved))


def noise_floor(effects: Sequence[float], *, least: int = WARM_UP) -> float | None:
    """Return the effect that ordinary versions stay below: the median and three robust deviations more.

    Parameters
    ----------
    effects : sequence of float
        Of earlier versions against one reference, such as `ColumnDrift.effect`.
    least : int
        How many are needed; with fewer None is returned.

    Examples
    --------
    >>> round(noise_floor([0.02, 0.03, 0.02, 0.04, 0.03, 0.02, 0.03, 0.03]), 3)
    0.052
    """
    if len(effects) < least:
        return None
    kept = np.asarray(effects, np.float64)
    middle = float(np.median(kept))
    return middle + 3 * _MAD_TO_SIGMA * float(np.median(np.abs(kept - middle)))


def date_change(values: NDArray[np.float64], low: int = 1, high: int | None = None) -> int | None:
    """Return the first row of the second of two levels: where two normals explain the values best.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        All finite, in order, with one change among them.
    low, high : int
        The first place that may be returned, and the one behind the last; from 1 to n - 1 unless given.

    Returns
    -------
    int or None
        Between 1 and n - 1; None when all are equal or there is no place.

    Notes
    -----
    The place k that makes ``k ln v1 + (n - k) ln v2`` least, with v1 and v2 the variances before and after it
    (Hinkley 1970 for the mean; both may change here). A variance is taken to be at least 1e-12 of all, so that
    values that were constant are worth much and not everything. A few values at an end can have any variance, which
    draws the place there: give values on both sides of the places that are possible.

    Examples
    --------
    >>> date_change(np.array([5.0] * 30 + [5.2, 4.1, 6.3, 5.5]))
    30
    """
    n = len(values)
    low, high = max(1, low), n if high is None else min(n, high)
    if low >= high or values.min() == values.max():
        return None
    centred = values - values.mean()
    sums, squares = np.cumsum(centred), np.cumsum(centred**2)
    k = np.arange(1, n)
    floor = squares[-1] / n * 1e-12
    first = np.maximum(squares[:-1] / k - (sums[:-1] / k) ** 2, floor)
    rest = n - k
    second = np.maximum((squares[-1] - squares[:-1]) / rest - ((sums[-1] - sums[:-1]) / rest) ** 2, floor)
    cost = k * np.log(first) + rest * np.log(second)
    return low + int(np.argmin(cost[low - 1 : high - 1]))
