"""Exact tests of a single proportion: binomial tails, Clopper-Pearson limits, the size for an unknown bound."""

import math
from dataclasses import dataclass
from typing import Final

from scipy import special

from foldstore.errors import UsageError
from foldstore.validation.pools.estimators.lattice import log_upper_tail

_GOLDEN: Final = (math.sqrt(5.0) - 1.0) / 2.0


@dataclass(frozen=True, slots=True)
class ProportionTail:
    """The tail of a count K of n rows, or of -K.

    Attributes
    ----------
    sign : int
        1: the statistic is K and its mean the proportion p; -1: it is -K and its mean -p.
    """

    sign: int

    def log_at_least(self, n: int, total: int, mean: float) -> float:
        """Return ln P(statistic >= total) when a row's mean is `mean`; it grows with the mean."""
        if self.sign > 0:
            return log_upper_tail(n, total, minus=0.0, plus=mean)
        return log_upper_tail(n, total, minus=-mean, plus=0.0)

    def reflected(self) -> "ProportionTail":
        """Return the tail of the negative statistic."""
        return ProportionTail(-self.sign)

    def variance(self, mean: float) -> float:
        """Return the variance of one row."""
        return abs(mean) * (1.0 - abs(mean))


def clopper_pearson(successes: int, n: int, *, confidence: float) -> tuple[float, float]:
    """Return the exact two-sided confidence interval of a proportion.

    Parameters
    ----------
    successes, n : int
        So many of n rows.
    confidence : float
        Between 0 and 1; each side may be wrong with half of what is missing to 1.

    Notes
    -----
    The limits are beta quantiles: lower B(a/2; k, n-k+1), upper B(1-a/2; k+1, n-k) with a = 1 - confidence
    (Clopper and Pearson, Biometrika 26, 1934).

    Examples
    --------
    >>> low, high = clopper_pearson(8, 10, confidence=0.95)
    >>> round(low, 4), round(high, 4)
    (0.4439, 0.9748)
    """
    if not 0 <= successes <= n or n < 1 or not 0 < confidence < 1:
        raise UsageError(
            f"There is no interval for {successes} of {n} at confidence {confidence}.",
            hint="Give 0 <= successes <= n, n > 0 and a confidence between 0 and 1.",
        )
    side = (1.0 - confidence) / 2.0
    low = float(special.betaincinv(successes, n - successes + 1, side)) if successes else 0.0
    # The complement's own quantile: 1 - side would round to 1 for the smallest levels.
    high = 1.0 - float(special.betaincinv(n - successes, successes + 1, side)) if successes < n else 1.0
    return low, high


def rows_for_unknown_bound(*, tolerance: float, log_level: float) -> int:
    """Return how many rows make an estimate err by more than the tolerance rarely, whatever the truth.

    The exact counterpart of Hoeffding's bound: no bound of a clause is used, so it also serves a proportion
    whose bound is chosen later. For n - o, whose rows are spread over 2, halve the tolerance.

    Parameters
    ----------
    tolerance : float
    log_level : float
        ln of the probability.

    Notes
    -----
    The smallest n with sup_p P(K/n - p > eps) <= level. For each count k the supremum over p is reached as
    p rises to k/n - eps, so it is max_k P(K >= k) at that p.

    Examples
    --------
    >>> import math
    >>> rows_for_unknown_bound(tolerance=0.05, log_level=math.log(0.01 / 32))
    1190
    """
    low, high = 1, 2
    while _log_worst_error(high, tolerance) > log_level:
        low, high = high, 2 * high
    while low + 1 < high:
        middle = (low + high) // 2
        if _log_worst_error(middle, tolerance) > log_level:
            low = middle
        else:
            high = middle
    return high


def rows_for_successes(successes: int, chance: float, *, shortfall: float) -> int:
    """Return the smallest number of rows among which so many are successes, but for the probability of a shortfall.

    Examples
    --------
    >>> rows_for_successes(100, 0.1, shortfall=0.01)
    1235
    """
    low, high = successes - 1, max(successes, 1)
    while special.bdtr(successes - 1, high, chance) > shortfall:
        low, high = high, 2 * high
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (low, middle) if special.bdtr(successes - 1, middle, chance) <= shortfall else (middle, high)
    return high


def _log_worst_error(n: int, tolerance: float) -> float:
    """Return ln sup_p P(K/n - p > tolerance); as a function of the count it has one maximum."""

    def log_error(count: int) -> float:
        rate = count / n - tolerance
        return log_upper_tail(n, count, minus=0.0, plus=rate) if rate > 0 else -math.inf

    low, high = math.ceil(n * tolerance), n
    while high - low > 8:
        step = max(1, int((high - low) * (1.0 - _GOLDEN)))
        left, right = low + step, high - step
        if log_error(left) < log_error(right):
            low = left
        else:
            high = right
    return max(log_error(count) for count in range(low, high + 1))
