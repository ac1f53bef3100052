"""Count, mean and central moments up to the fourth, mergeable.

Sums of floats depend on their order in the last bits; moments merge in the order of fragments and
stay out of a profile's id.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Moments:
    """The first four moments of finite numbers.

    Attributes
    ----------
    n : int
        How many numbers.
    mean : float
    m2, m3, m4 : float
        Sums of the powers of ``x - mean``.

    Notes
    -----
    Merged by the pairwise formulas of Chan, Golub, LeVeque (1979) and Pébay (2008, SAND2008-6212).

    Examples
    --------
    >>> import numpy as np
    >>> Moments.of(np.array([1.0, 2.0, 3.0])).std
    1.0
    """

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0
    m3: float = 0.0
    m4: float = 0.0

    @classmethod
    def of(cls, values: NDArray[Any], counts: NDArray[np.int64] | None = None) -> "Moments":
        """Measure finite numbers, each taken as often as its count says."""
        if not len(values):
            return cls()
        x = values.astype(np.float64)
        c = np.ones(len(x)) if counts is None else counts.astype(np.float64)
        n = len(x) if counts is None else int(counts.sum())
        # Values near the largest double overflow to inf on purpose: the mean of them is not a number we hold.
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            mean = float(np.dot(x, c) / n)
            d = x - mean
            weighted = d * d * c
            m2, m3, m4 = float(weighted.sum()), float(np.dot(weighted, d)), float(np.dot(weighted, d * d))
        return cls(n, mean, m2, m3, m4)

    def merge(self, other: "Moments") -> "Moments":
        """Join two, in order.

        With d the difference of means: ``mean = ma + d nb/n``, ``M2 = M2a + M2b + d^2 na nb/n``,
        ``M3 = M3a + M3b + d^3 na nb (na-nb)/n^2 + 3d (na M2b - nb M2a)/n`` and
        ``M4 = M4a + M4b + d^4 na nb (na^2 - na nb + nb^2)/n^3 + 6d^2 (na^2 M2b + nb^2 M2a)/n^2
        + 4d (na M3b - nb M3a)/n`` (Pébay 2008, equations 1.5 to 3.1).
        """
        if not self.n or not other.n:
            return self if self.n else other
        na, nb = float(self.n), float(other.n)
        n = na + nb
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            d = np.float64(other.mean) - np.float64(self.mean)
            d2 = d * d
            mean = self.mean + d * nb / n
            m2 = self.m2 + other.m2 + d2 * na * nb / n
            m3 = self.m3 + other.m3 + d2 * d * na * nb * (na - nb) / n**2 + 3 * d * (na * other.m2 - nb * self.m2) / n
            m4 = (
                self.m4
                + other.m4
                + d2 * d2 * na * nb * (na * na - na * nb + nb * nb) / n**3
                + 6 * d2 * (na * na * other.m2 + nb * nb * self.m2) / n**2
                + 4 * d * (na * other.m3 - nb * self.m3) / n
            )
        return Moments(self.n + other.n, float(mean), float(m2), float(m3), float(m4))

    @property
    def variance(self) -> float | None:
        """The unbiased variance, M2/(n-1); None below two numbers or beyond a double."""
        return _finite(self.m2 / (self.n - 1)) if self.n > 1 else None

    @property
    def std(self) -> float | None:
        """The square root of the unbiased variance."""
        return None if self.variance is None else math.sqrt(max(self.variance, 0.0))

    @property
    def skewness(self) -> float | None:
        """The population skewness, ``sqrt(n) M3 / M2^1.5``; None where nothing varies."""
        spread = self.m2**1.5 if 0 < self.m2 < 1e200 else 0.0
        return _finite(math.sqrt(self.n) * self.m3 / spread) if spread > 0 else None

    @property
    def kurtosis(self) -> float | None:
        """The population excess kurtosis, ``n M4 / M2^2 - 3``; None where nothing varies."""
        spread = self.m2**2 if 0 < self.m2 < 1e150 else 0.0
        return _finite(self.n * self.m4 / spread - 3) if spread > 0 else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
