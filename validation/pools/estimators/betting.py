"""Betting against a bound: capital that can hardly grow while the bound holds, and grows fast once it does not.

Capital starts at 1; before each row a share of it is staked on the row lying above the bound. While the mean does not,
no stake gains on average, so the capital exceeds 1/alpha at any time, ever, with probability alpha at most (Ville
1939). One may look after every row and stop when one likes: an e-process, or test martingale.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foldstore.validation.pools.estimators.bounded import worst_laws

# Shares of the largest stake that cannot ruin, as one mixture: for any effect one of them is about right.
_STAKES: Final = np.geomspace(0.02, 0.9, 8)
_LARGEST: Final = 0.9
_SHALLOWEST: Final = 1e-4
_TUNING: Final = np.geomspace(1e-5, 0.995, 600)
# The capital is parted: half on the stake that is best at the far side of the tolerance, the rest on what adapts.
_TUNED, _MIXED, _ADAPTIVE = math.log(0.5), math.log(0.25), math.log(0.25)

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Numbers = NDArray[np.int64] | NDArray[np.float64]
_EMPTY: Final[Floats] = np.empty(0)
# So few whole values are counted instead of added up one by one.
_FEW_VALUES: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Bet:
    """Stakes on a mean above a bound.

    Attributes
    ----------
    low, high : float
        Between them each row's value lies.
    null : float
        The bound.
    tuned : float
        The stake, per unit of excess over the bound, that grows fastest at the mean that is hoped for.
    growth : float
        How much the logarithm of the capital gains by a row at that mean, at least, with that stake.
    """

    low: float
    high: float
    null: float
    tuned: float
    growth: float

    def log_capital(self, values: Numbers, log_level: float, block: int = 1) -> Floats:
        """Return ln of the capital after each look.

        Parameters
        ----------
        values : array of int or float
            In the order in which they are looked at.
        log_level : float
            ln of the level that is aimed at; it sets how boldly the adaptive stake bets.
        block : int
            How many rows there are from one look to the next.

        Notes
        -----
        The mean of three capitals, and so an e-process: of the tuned stake; of the mean of the capitals of
        geometrically spaced stakes; of the predictable plug-in of Waudby-Smith and Ramdas (J. R. Stat. Soc. B 86,
        2024), whose stake sqrt(2 ln(1/alpha) / (s^2 t ln(1 + t))) uses the variance of the rows before. Each stake
        lambda is below 1/(null - low), so that 1 + lambda (value - null) is never negative.
        """
        rows = _Rows.of(values, self.low, self.high, block)
        depth = _depth(self.low, self.high, self.null)
        seen = np.cumsum(rows.counts, dtype=np.float64)
        stakes = rows.plug_in(log_level, seen * np.log1p(seen))
        parts = [(np.array(self.tuned), _TUNED)]
        parts += [(np.array(share / depth), _MIXED - math.log(len(_STAKES))) for share in _STAKES]
        parts += [(np.minimum(stakes, _LARGEST / depth), _ADAPTIVE)]
        total = np.full(len(rows.counts), -np.inf)
        for stake, weight in parts:
            total = np.logaddexp(total, np.cumsum(rows.gains(stake, self.null)) + weight)
        return total

    def expected_rows(self, log_level: float) -> float:
        """Return about how many rows it takes to reach 1/level at the mean that is hoped for (Wald's identity)."""
        return (-log_level - _TUNED) / self.growth


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Rows in the order of looks: how many each look adds, and either their values or how often each value occurs."""

    low: float
    high: float
    counts: Places
    starts: Places
    values: Numbers
    tallies: Places | None

    @classmethod
    def of(cls, values: Numbers, low: float, high: float, block: int) -> "_Rows":
        starts = np.arange(0, len(values), block)
        counts = np.diff(np.append(starts, len(values)))
        width = int(high - low) + 1
        tallies = None
        if values.dtype.kind in "iu" and width <= _FEW_VALUES and len(values):
            cells = np.arange(len(values)) // block * width + (values - int(low))
            tallies = np.bincount(cells, minlength=len(starts) * width).reshape(len(starts), width)
        return cls(low=low, high=high, counts=counts, starts=starts, values=values, tallies=tallies)

    def gains(self, stake: Floats, null: float) -> Floats:
        """Return what each look adds to ln of the capital, with one stake or one for each look."""
        found: Floats
        if self.tallies is not None:
            excess = self.low + np.arange(self.tallies.shape[1]) - null
            logs = np.log1p(np.multiply.outer(stake, excess))
            found = (self.tallies * logs).sum(axis=1) if stake.ndim else self.tallies @ logs
        else:
            each = np.repeat(stake, self.counts) if stake.ndim else stake
            found = np.add.reduceat(np.log1p(each * (self.values - null)), self.starts) if len(self.values) else _EMPTY
        return found

    def plug_in(self, log_level: float, rate: Floats) -> Floats:
        """Return a stake for each look, from the variance of the rows before it and from how fast stakes shrink."""
        sums, squares = self._moments()
        scale, before = self.high - self.low, np.cumsum(self.counts) - self.counts
        total = (np.cumsum(sums) - sums - before * self.low) / scale
        square = np.cumsum(squares) - squares - 2 * self.low * (np.cumsum(sums) - sums) + before * self.low**2
        mean = (0.5 + total) / (before + 1)
        spread = np.maximum(square / scale**2 - 2 * mean * total + before * mean**2, 0.0)
        stakes: Floats = np.sqrt(-2.0 * log_level / ((0.25 + spread) / (before + 1) * rate)) / scale
        return stakes

    def _moments(self) -> tuple[Floats, Floats]:
        if self.tallies is not None:
            support = self.low + np.arange(self.tallies.shape[1])
            return self.tallies @ support, self.tallies @ np.square(support)
        if not len(self.values):
            return _EMPTY, _EMPTY
        real = self.values.astype(np.float64)
        return np.add.reduceat(real, self.starts), np.add.reduceat(np.square(real), self.starts)


def _depth(low: float, high: float, null: float) -> float:
    """Return how far a row can fall below the bound; not quite nothing, so that stakes stay finite."""
    return max(null - low, _SHALLOWEST * (high - low))


@lru_cache(maxsize=256)
def tuned_bet(values: tuple[int, ...], differs: tuple[bool, ...], spread: float, null: float, hoped: float) -> Bet:
    """Return the bet whose capital grows fastest, at its slowest over all laws with a mean of at least `hoped`.

    Parameters
    ----------
    values, differs, spread
        What a row can add, where the models differ then, and how often they do at most.
    null, hoped : float
        The bound, and the mean at which the bet is to be best.

    Examples
    --------
    >>> bet = tuned_bet((0, 1), (True, True), 1.0, 0.8, 0.9)
    >>> round(bet.tuned * 0.8 * 0.2, 2), round(bet.growth, 4)  # (0.9 - 0.8) / (0.8 * 0.2); the divergence of Kullback
    (0.1, 0.0367)
    """
    low, high = float(min(values)), float(max(values))
    laws = worst_laws(tuple(-each for each in values), differs, spread, -hoped)
    excess = np.array(values, np.float64) - null
    stakes = _TUNING / _depth(low, high, null)
    growth = (laws @ np.log1p(np.outer(excess, stakes))).min(axis=0)
    best = int(np.argmax(growth))
    return Bet(low=low, high=high, null=null, tuned=float(stakes[best]), growth=float(growth[best]))


def lower_limit(values: Numbers, *, low: float, high: float, level: float) -> float:
    """Return a number that the mean of bounded values exceeds but for the level: the largest that a bet refutes.

    Parameters
    ----------
    values : array of float
        Independent, in an order that says nothing.
    level : float
        The probability that the mean is below the limit.

    Notes
    -----
    The predictable plug-in for a number of rows that is fixed beforehand, with stakes
    sqrt(2 ln(1/alpha) / (n s^2)); the capital falls as the bound rises, so bisection finds the limit.

    Examples
    --------
    >>> values = np.random.default_rng(1).permutation(np.tile([0.0, 1.0, 1.0, 1.0], 250))
    >>> round(lower_limit(values, low=0.0, high=1.0, level=0.025), 3)
    0.712
    """
    if not len(values):
        return low
    rows = _Rows.of(values, low, high, 1)
    stakes = rows.plug_in(math.log(level), np.full(len(values), float(len(values))))
    begin, end = low, high
    for _ in range(50):
        middle = (begin + end) / 2.0
        capital = np.cumsum(rows.gains(np.minimum(stakes, _LARGEST / (middle - low)), middle))
        begin, end = (middle, end) if float(np.max(capital)) >= -math.log(level) else (begin, middle)
    return begin


def betting_interval(values: Numbers, *, low: float, high: float, confidence: float) -> tuple[float, float]:
    """Return an interval that holds the mean of bounded values with a confidence, whatever their law.

    Narrow where they vary little; each side may be wrong with half of what is missing to 1.

    Examples
    --------
    >>> values = np.random.default_rng(1).permutation(np.tile([0.5, 0.55, 0.6], 300))
    >>> low, high = betting_interval(values, low=0.0, high=1.0, confidence=0.95)
    >>> round(low, 3), round(high, 3)
    (0.547, 0.554)
    """
    side = (1.0 - confidence) / 2.0
    least = lower_limit(values, low=low, high=high, level=side)
    return least, -lower_limit(-values, low=-high, high=-low, level=side)
