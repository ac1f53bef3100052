"""The two-point design: the fewest rows that tell a clause's bound from the far side of its tolerance.

A clause ``x > c +/- eps`` promises two things: the answer is right, but for a small probability, where
x <= c and where x >= c + 2 eps. In between either answer will do.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Protocol

from foldstore.errors import UsageError
from foldstore.validation.pools.estimators.lattice import rounding_slack

MOST_ROWS: Final = 20_000_000
_WIDEST_WALK: Final = 500
_SMOOTH_WALK: Final = 4


class Tail(Protocol):
    """The upper tail of a whole-numbered statistic, at its worst over what is not known."""

    def log_at_least(self, n: int, total: int, mean: float) -> float:
        """Return an upper bound of ln P(statistic >= total) when a row's mean is at most `mean`."""
        ...

    def reflected(self) -> "Tail":
        """Return the tail of the negative statistic."""
        ...

    def variance(self, mean: float) -> float:
        """Return an upper bound of one row's variance."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoPoint:
    """A test that declares "above" when a sum over the rows reaches its threshold.

    Attributes
    ----------
    null : Fraction
        Up to this mean a declaration is an error.
    alternative : Fraction
        From this mean on silence is an error.
    null_tail, alternative_tail : Tail
        Of the sum, under each of them.
    log_alpha, log_beta : float
        ln of the largest probability of either error.
    smooth : bool
        Whether the tails are bounds without a saw-tooth, so that what holds for n holds for more.
    grain : int
        Thresholds are multiples of it; for sums of so fine units that single ones do not matter.
    """

    null: Fraction
    alternative: Fraction
    null_tail: Tail
    alternative_tail: Tail
    log_alpha: float
    log_beta: float
    smooth: bool = False
    grain: int = 1

    def threshold(self, n: int, near: int | None = None) -> int:
        """Return the smallest sum over n rows whose tail under the null is within alpha.

        Rounding errs towards a larger threshold. `near` is where to begin looking.
        """

        def rare(grains: int) -> bool:
            tail = self.null_tail.log_at_least(n, grains * self.grain, float(self.null))
            return tail + rounding_slack(n) <= self.log_alpha

        low = high = (self._guess(n) if near is None else near) // self.grain
        step = 1
        if rare(high):
            low -= step
            while rare(low):
                step *= 2
                low, high = low - step, low
        else:
            high += step
            while not rare(high):
                step *= 2
                low, high = high, high + step
        while low + 1 < high:
            middle = (low + high) // 2
            low, high = (low, middle) if rare(middle) else (middle, high)
        return high * self.grain

    def log_miss(self, n: int, threshold: int) -> float:
        """Return an upper bound of ln P(sum < threshold) from the alternative on."""
        tail = self.alternative_tail.reflected()
        return tail.log_at_least(n, 1 - threshold, -float(self.alternative)) + rounding_slack(n)

    def holds(self, n: int) -> bool:
        """Whether n rows keep both errors within their levels."""
        return self.log_miss(n, self.threshold(n)) <= self.log_beta

    def fewest_rows(self) -> int:
        """Return the smallest number of rows from which on both errors keep their levels.

        Whole thresholds make the error a saw-tooth in n: the number returned is followed by two teeth, and
        at least 1.5/eps numbers, that hold as well, or 500 where that is fewer.
        """
        n = self._first_that_holds()
        width = self._walk(n)
        last_failure, threshold = n - 1, None
        while n <= last_failure + width:
            threshold = self.threshold(n, threshold)
            if self.log_miss(n, threshold) > self.log_beta:
                last_failure = n
            n += 1
        return last_failure + 1

    def _first_that_holds(self) -> int:
        low, high = 0, self._normal_rows()
        while not self.holds(high):
            low, high = high, 2 * high
            _refuse_huge(high)
        if low == 0:
            low = high // 2
            while low and self.holds(low):
                low, high = low // 2, low
        while low + 1 < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self.holds(middle) else (middle, high)
        return high

    def _walk(self, n: int) -> int:
        """Return how far two teeth of the saw reach from n, and at least 1.5/eps."""
        if self.smooth:
            return _SMOOTH_WALK
        stride = max(64, n // 8)
        teeth = abs(self.threshold(n + stride) - self.threshold(n))
        gap = float(self.alternative - self.null)
        return min(_WIDEST_WALK, math.ceil(max(3.0 / gap, 2.0 * stride / max(teeth, 1))))

    def _guess(self, n: int) -> int:
        mean = float(self.null)
        return math.ceil(n * mean + math.sqrt(-2.0 * self.log_alpha * n * self.null_tail.variance(mean)))

    def _normal_rows(self) -> int:
        """Guess by the normal approximation; -2 ln(level) is near the squared quantile for small levels."""
        spread = math.sqrt(-2.0 * self.log_alpha * self.null_tail.variance(float(self.null)))
        spread += math.sqrt(-2.0 * self.log_beta * self.alternative_tail.variance(float(self.alternative)))
        rows = math.ceil((spread / float(self.alternative - self.null)) ** 2)
        _refuse_huge(rows // 2)
        return max(2, rows)


def _refuse_huge(rows: int) -> None:
    if rows > MOST_ROWS:
        raise UsageError(
            f"This needs more than {MOST_ROWS:,} rows.",
            hint="Widen the tolerance, ask for fewer steps, or compare with method='hoeffding'.",
            code="too-many-rows",
        )
