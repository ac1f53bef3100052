"""The exact paired test: two models on the same rows, told apart by wins minus losses.

A row adds +1 where only the new model is right, -1 where only the old one is, else 0. Its mean is n - o;
how often it is not 0 is a nuisance of which only an upper bound is known.
"""

from dataclasses import dataclass

import numpy as np

from foldstore.validation.pools.estimators.lattice import log_upper_tail


@dataclass(frozen=True, slots=True)
class PairedTail:
    """The tail of S = wins - losses, at its worst over how many rows are decided.

    Attributes
    ----------
    spread : float
        The largest fraction of rows that are wins or losses: the bound of the condition's clause on d, or 1.
    """

    spread: float

    def log_at_least(self, n: int, total: int, mean: float) -> float:
        """Return an upper bound of ln P(S >= total | d) over all d from abs(mean) to the spread.

        It is the supremum itself for spreads up to (1 + mean^2)/2, and grows with the mean.

        Notes
        -----
        dP(S >= s)/dd = n/2 (f(s-1) - f(s)), with f the law of n - 1 steps. For d <= (1 + mean^2)/2 a step's
        generating polynomial has real roots, so f is the law of a shifted sum of independent Bernoullis, whose
        mode lies within 1 of its mean (Darroch, Ann. Math. Statist. 35, 1964). From s >= (n-1) mean + 2 on, P
        therefore grows with d and the largest d is the worst.

        Beyond that spread P oscillates with the parity of s (at d = 1, S and n are both even or both odd), but
        P(S >= s) <= G/2 with G = P(S >= s) + P(S >= s-1) and dG/dd = n/2 (f(s-2) - f(s)). The coefficients of
        the n-1st power of a step's polynomial obey p (n-k) f(k-1) = q k f(k) + r (n+k) f(k+1), with p, q, r the
        probabilities of +1, 0, -1; hence f(k+1) <= f(k-1) for k >= max(0, n mean / d), and G grows with d.
        Where s - 1 is smaller than that, G is maximised over a few d instead.
        """
        if total < (n - 1) * mean + 2:
            return 0.0
        smooth = min(self.spread, (1.0 + mean * mean) / 2.0)
        if smooth == self.spread:
            return _log_tail(n, total, mean, smooth)
        worst = _log_smoothed(n, total, mean, self.spread)
        if total - 1 < max(0.0, n * mean / smooth):
            others = (smooth, (smooth + self.spread) / 2.0)
            worst = max(worst, *(_log_smoothed(n, total, mean, each) for each in others))
        return worst

    def reflected(self) -> "PairedTail":
        """Return the tail of losses - wins, which has the same form."""
        return self

    def variance(self, mean: float) -> float:
        """Return the largest variance of one row."""
        return self.spread - mean * mean


def _log_tail(n: int, total: int, mean: float, spread: float) -> float:
    # Rounding can leave a probability a hair below 0 where the spread equals the mean.
    plus, minus = max(0.0, (spread + mean) / 2.0), max(0.0, (spread - mean) / 2.0)
    return log_upper_tail(n, total, minus=minus, plus=plus)


def _log_smoothed(n: int, total: int, mean: float, spread: float) -> float:
    tails = (_log_tail(n, total, mean, spread), _log_tail(n, total - 1, mean, spread))
    return float(np.logaddexp(*tails) - np.log(2.0))
