"""Tails of a sum of bounded rows whose law is not known: only its mean, its range, how often rows differ.

For scores that are neither a proportion nor n - o: ratios, sums of accuracies, registered scores.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foldstore.validation.pools.estimators.lattice import log_upper_tail

# Any tilt gives a bound; between two of these the exponent loses less than a thousandth.
_TILTS: Final = np.geomspace(1e-6, 80.0, 1500)
_CLOSE: Final = 1e-9

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BoundedTail:
    """The upper tail of a sum of independent rows, at its worst over all laws of a row.

    Attributes
    ----------
    values : tuple of int
        What a row can add; for a score that takes any value of a range, the ends of the range.
    differs : tuple of bool
        For each of them, whether the two models differ on such a row.
    spread : float
        The largest probability of a row that differs.
    """

    values: tuple[int, ...]
    differs: tuple[bool, ...]
    spread: float = 1.0

    def log_at_least(self, n: int, total: int, mean: float) -> float:
        """Return an upper bound of ln P(sum >= total) when a row's mean is at most `mean`; it grows with the mean.

        Notes
        -----
        Markov's inequality for exp(theta S): n ln max E exp(theta z) - theta total, the maximum over all laws of
        a row with the mean and the spread, which a vertex of that polytope attains. Where nothing is known of
        the spread, that is Hoeffding's first theorem (J. Amer. Statist. Assoc. 58, 1963), and
        e P(K >= k) of the binomial is a bound as well (Bentkus, Ann. Probab. 32, 2004), interpolated
        log-linearly between whole k; the smaller of the two counts.
        """
        if n < 1:
            return 0.0 if total <= 0 else -math.inf
        moments = _log_moments(self.values, self.differs, self.spread, mean)
        if moments is None:
            return -math.inf
        scaled = _TILTS / (max(self.values) - min(self.values))
        chernoff = min(0.0, float(np.min(n * moments - scaled * total)))
        if self.spread < 1.0 or chernoff == 0.0:
            return chernoff
        return min(chernoff, 1.0 + self._log_binomial(n, total, mean))

    def _log_binomial(self, n: int, total: int, mean: float) -> float:
        low, high = min(self.values), max(self.values)
        chance = min(1.0, max(0.0, (mean - low) / (high - low)))
        whole, rest = divmod(total - n * low, high - low)
        below = log_upper_tail(n, whole, minus=0.0, plus=chance)
        if not rest or below == -math.inf:
            return below
        above = log_upper_tail(n, whole + 1, minus=0.0, plus=chance)
        share = rest / (high - low)
        return below if above == -math.inf else (1.0 - share) * below + share * above

    def reflected(self) -> "BoundedTail":
        """Return the tail of the negative sum."""
        return BoundedTail(tuple(-each for each in self.values), self.differs, self.spread)

    def variance(self, mean: float) -> float:
        """Return the largest variance of one row; 0 where no law has the mean."""
        laws = worst_laws(self.values, self.differs, self.spread, mean)
        squares = np.square(np.array(self.values, float) - mean)
        return max(float(np.max(laws @ squares, initial=0.0)), 1e-12)

    def is_possible(self, mean: float) -> bool:
        """Whether any law of a row has a mean of at most so much."""
        return len(worst_laws(self.values, self.differs, self.spread, mean)) > 0


@lru_cache(maxsize=256)
def worst_laws(values: tuple[int, ...], differs: tuple[bool, ...], spread: float, mean: float) -> Matrix:
    """Return the vertices of the laws with mean at most `mean` that differ with probability at most `spread`.

    A function that is linear in the law has its extremes there. A vertex has at most one row value more than
    constraints that it meets exactly, and so at most three.

    Examples
    --------
    >>> worst_laws((-1, 0, 1), (True, False, True), 0.5, 0.25).max(axis=0).tolist()
    [0.5, 1.0, 0.375]
    """
    found = [*_vertices(np.array(values, float), np.array(differs, float), spread, mean)]
    return np.unique(np.round(found, 15), axis=0) if found else np.empty((0, len(values)))


def _vertices(values: Matrix, differs: Matrix, spread: float, mean: float) -> Iterator[Matrix]:
    ones = np.ones(len(values))
    limits = {0: mean, 1: spread}
    rows = (values, differs)
    for tight in ((), (0,), (1,), (0, 1)):
        system = np.vstack([ones, *(rows[each] for each in tight)])
        target = np.array([1.0, *(limits[each] for each in tight)])
        for chosen in combinations(range(len(values)), len(target)):
            square = system[:, chosen]
            if abs(np.linalg.det(square)) < _CLOSE:
                continue
            law = np.zeros(len(values))
            law[list(chosen)] = np.linalg.solve(square, target)
            scale = max(1.0, float(np.abs(values).max()))
            inside = law.min() >= -_CLOSE and law @ values <= mean + _CLOSE * scale and law @ differs <= spread + _CLOSE
            if inside:
                clipped = np.clip(law, 0.0, 1.0)
                yield clipped / clipped.sum()


@lru_cache(maxsize=256)
def _log_moments(values: tuple[int, ...], differs: tuple[bool, ...], spread: float, mean: float) -> Matrix | None:
    """Return ln max E exp(theta z) for each tilt, the maximum over the laws; None where there is no law."""
    laws = worst_laws(values, differs, spread, mean)
    if not len(laws):
        return None
    row = np.array(values, float)
    top = float(row.max())
    tilts = (_TILTS / (top - float(row.min())))[:, None]
    # Shifted by the largest value, so that nothing overflows.
    sizes = np.exp(tilts * (row - top)) @ laws.T
    logs: Matrix = np.log(sizes.max(axis=1)) + tilts[:, 0] * top
    return logs
