"""Sample sizes by concentration bounds, as ease.ml/ci computes them (Renggli et al., arXiv 1903.00278).

Closed forms that hold for any bounded score. The exact methods need fewer labels for the same promise;
these are here to compare with, and for clauses that no exact method covers.
"""

import math
from dataclasses import dataclass
from fractions import Fraction


def hoeffding_rows(*, tolerance: float, log_level: float, weight: float = 1.0, variables: int = 1) -> int:
    """Return the rows at which an estimate is within the tolerance, by Hoeffding's inequality.

    Parameters
    ----------
    tolerance : float
        Of the whole linear score.
    log_level : float
        ln of the probability of a larger error on one side.
    weight : float
        The sum of the absolute factors of n, o and d; 2 for n - o.
    variables : int
        How many of them occur: each is estimated alone and takes its share of the level.

    Notes
    -----
    ceil(weight^2 (ln(variables) - ln(level)) / (2 eps^2)), which is the optimum over how the tolerance is
    shared. One variable: ln(1/level)/(2 eps^2).

    Examples
    --------
    >>> level = math.log(0.0001) - 32 * math.log(2)
    >>> hoeffding_rows(tolerance=0.05, log_level=level)
    6279
    >>> hoeffding_rows(tolerance=0.01, log_level=level, weight=2, variables=2)
    641684
    """
    return _round_up(weight**2 * (math.log(variables) - log_level) / (2.0 * tolerance**2))


def bennett_rows(*, tolerance: float, log_level: float, spread: float, split: int = 4) -> int:
    """Return the rows at which an estimate of n - o is within the tolerance, by Bennett's inequality.

    Parameters
    ----------
    tolerance : float
    log_level : float
        ln of the probability that is shared out.
    spread : float
        The largest d.
    split : int
        Over how many events the level is divided: 4 in the paper's text (two sides, and the filter on d), 2 in
        its case study.

    Notes
    -----
    ceil((ln(split) - ln(level)) / (p h(eps/p))) with p the spread and h(u) = (1+u) ln(1+u) - u.

    Examples
    --------
    >>> bennett_rows(tolerance=0.01, log_level=math.log(0.0001 / 32), spread=0.1)
    29048
    """
    ratio = tolerance / spread
    exponent = spread * ((1.0 + ratio) * math.log1p(ratio) - ratio)
    return _round_up((math.log(split) - log_level) / exponent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """The rule of the closed forms: declare where the estimate clears the bound by the tolerance.

    Attributes
    ----------
    null : Fraction
        The bound, in the direction of what is declared.
    tolerance : Fraction
    rows : int
        From how many rows on the promise holds.
    """

    null: Fraction
    tolerance: Fraction
    rows: int

    def fewest_rows(self) -> int:
        """Return the rows that the bound asks for."""
        return self.rows

    def threshold(self, n: int) -> int:
        """Return the smallest whole sum over n rows that lies above n (null + tolerance)."""
        return math.floor(n * (self.null + self.tolerance)) + 1

    def holds(self, n: int) -> bool:
        """Whether n rows are enough."""
        return n >= self.rows


def _round_up(rows: float) -> int:
    # A result that is whole but for rounding must not gain a row.
    return max(1, math.ceil(rows - 1e-9))
