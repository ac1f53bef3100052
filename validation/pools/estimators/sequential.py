"""A test that looks at rows in order and stops when it knows: two bets, and the two-point design at the end."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foldstore.validation.pools.estimators.betting import Bet, Numbers, tuned_bet
from foldstore.validation.pools.estimators.two_point import TwoPoint

# Looks further apart than single rows only where a pool has so many rows that none of it shows.
_MOST_LOOKS: Final = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequential:
    """Declares "above" as soon as a bet refutes the null, gives up as soon as one refutes the alternative.

    Each error has half of its level for the bet and half for the two-point design that decides after the last row, so
    that any time will do to stop and no more rows are needed than the design has.

    Attributes
    ----------
    cap : TwoPoint
        The design that decides after the last row, at half of either level.
    log_alpha, log_beta : float
        ln of either level.
    values : tuple of int
        What a row can add; of a score that takes any value of a range, the ends of the range.
    differs : tuple of bool
        For each of them, whether the two models differ on such a row.
    spread, wider : float
        The largest probability that they do, under the null and under the alternative.
    """

    cap: TwoPoint
    log_alpha: float
    log_beta: float
    values: tuple[int, ...]
    differs: tuple[bool, ...]
    spread: float
    wider: float

    def fewest_rows(self) -> int:
        """Return how many rows are enough where it never stops early."""
        return self.cap.fewest_rows()

    def threshold(self, n: int) -> int:
        """Return the smallest sum over all n rows that declares where nothing did before."""
        return self.cap.threshold(n)

    def holds(self, n: int) -> bool:
        """Whether n rows keep both errors within their levels."""
        return self.cap.holds(n)

    def run(self, values: Numbers, total: int) -> tuple[bool, int]:
        """Return whether it declares, and after how many rows.

        Parameters
        ----------
        values : array of int
            What each row adds, in an order that says nothing, in the direction of what is declared.
        total : int
            How many rows there are, those included that do not count; it sets how far looks are apart.
        """
        n = len(values)
        return self.stop(values, total) or (n > 0 and int(values.sum()) >= self.threshold(n), n)

    def stop(self, values: Numbers, total: int) -> tuple[bool, int] | None:
        """Return what a bet makes clear from the first rows, and after how many; None while neither does."""
        n = len(values)
        if n == 0:
            return None
        block = max(1, math.ceil(total / _MOST_LOOKS))
        for_it = self._for_it().log_capital(values, self._log_half_alpha, block)
        against = self._against().log_capital(-values, self._log_half_beta, block)
        declared_at = _first(for_it >= -self._log_half_alpha)
        given_up_at = _first(against >= -self._log_half_beta)
        if declared_at is None and given_up_at is None:
            return None
        is_declared = given_up_at is None or (declared_at is not None and declared_at <= given_up_at)
        stop = declared_at if is_declared else given_up_at
        return is_declared, min(n, ((stop or 0) + 1) * block)

    def expected_rows(self) -> tuple[float, float]:
        """Return about how many rows are looked at where the mean is the null, and where it is the alternative.

        By Wald's identity, for the law of a row that takes longest, and as if there were rows without end.
        """
        return (
            self._against().expected_rows(self._log_half_beta),
            self._for_it().expected_rows(self._log_half_alpha),
        )

    @property
    def _log_half_alpha(self) -> float:
        return self.log_alpha - math.log(2.0)

    @property
    def _log_half_beta(self) -> float:
        return self.log_beta - math.log(2.0)

    def _for_it(self) -> Bet:
        null, hoped = float(self.cap.null), float(self.cap.alternative)
        return tuned_bet(self.values, self.differs, self.wider, null, hoped)

    def _against(self) -> Bet:
        null, hoped = -float(self.cap.alternative), -float(self.cap.null)
        return tuned_bet(tuple(-each for each in self.values), self.differs, self.spread, null, hoped)


def _first(hits: NDArray[np.bool_]) -> int | None:
    return int(np.argmax(hits)) if bool(hits.any()) else None


def wald_rows(*, log_alpha: float, log_beta: float, growth: float) -> float:
    """Return the mean number of rows of Wald's sequential probability ratio test where the alternative is true.

    Parameters
    ----------
    log_alpha, log_beta : float
        ln of either level.
    growth : float
        The mean logarithm of the likelihood ratio of a row: the divergence of Kullback and Leibler.

    Notes
    -----
    ((1 - beta) ln((1 - beta)/alpha) + beta ln(beta/(1 - alpha))) / growth (Wald, Ann. Math. Statist. 16, 1945), without
    what the last row overshoots. It knows the law of a row and is what no test of these levels beats by much.

    Examples
    --------
    >>> level = math.log(1e-4) - 32 * math.log(2)
    >>> growth = 0.9 * math.log(0.9 / 0.8) + 0.1 * math.log(0.1 / 0.2)
    >>> round(wald_rows(log_alpha=level, log_beta=level, growth=growth))
    856
    """
    beta = math.exp(log_beta)
    rises = (1.0 - beta) * (math.log1p(-beta) - log_alpha)
    falls = beta * (log_beta - math.log1p(-math.exp(log_alpha)))
    return (rises + falls) / growth
