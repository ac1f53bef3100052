"""Two samples of numbers compared value by value: what counts on cells cannot say exactly.

Everything is scipy's; values that are null, NaN or infinite are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from foldstore.errors import UsageError

Floats = NDArray[np.float64]

# Beyond that the tests would say nothing new: the difference of such samples is known to 1 %.
MOST: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleTests:
    """What the usual tests of two samples say.

    Attributes
    ----------
    n_reference, n_current : int
        Finite values on each side.
    ks, ks_p_value : float
        Kolmogorov and Smirnov's statistic, with its exact p-value where the samples are small.
    wasserstein : float
        In the unit of the values.
    energy : float
        The square root of twice the energy distance of Szekely and Rizzo (2013), as scipy defines it.
    cramer_von_mises, cramer_von_mises_p_value : float
        Anderson (1962); None where a side has one value.
    mann_whitney, mann_whitney_p_value : float
        Sensitive to a shift.
    anderson_darling : float
        The k-sample statistic of Scholz and Stephens (1987), standardised, ties at mid-ranks.
    """

    n_reference: int
    n_current: int
    ks: float
    ks_p_value: float
    wasserstein: float
    energy: float
    cramer_von_mises: float | None
    cramer_von_mises_p_value: float | None
    mann_whitney: float
    mann_whitney_p_value: float
    anderson_darling: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        return {name: getattr(self, name) for name in self.__slots__}


def compare_samples(reference: Sequence[float] | Floats, current: Sequence[float] | Floats) -> SampleTests:
    """Compare two samples.

    Parameters
    ----------
    reference, current : array-like of numbers, shape (n,) and (m,)

    Raises
    ------
    UsageError
        When a side has no finite value, or more than 100,000.

    Examples
    --------
    >>> found = compare_samples(range(1, 11), range(3, 13))
    >>> round(found.ks, 10), round(found.ks_p_value, 10), found.wasserstein
    (0.2, 0.9944575548, 2.0)
    """
    from scipy import stats

    a, b = _finite(reference, "the reference"), _finite(current, "what is compared")
    ks = stats.ks_2samp(a, b)
    cvm = stats.cramervonmises_2samp(a, b) if min(len(a), len(b)) > 1 else None
    shifted = stats.mannwhitneyu(a, b, alternative="two-sided")
    return SampleTests(
        n_reference=len(a),
        n_current=len(b),
        ks=float(ks.statistic),
        ks_p_value=float(ks.pvalue),
        wasserstein=float(stats.wasserstein_distance(a, b)),
        energy=float(stats.energy_distance(a, b)),
        cramer_von_mises=float(cvm.statistic) if cvm else None,
        cramer_von_mises_p_value=float(cvm.pvalue) if cvm else None,
        mann_whitney=float(shifted.statistic),
        mann_whitney_p_value=float(shifted.pvalue),
        anderson_darling=_anderson_darling(a, b),
    )


def _anderson_darling(a: Floats, b: Floats) -> float:
    """Return the standardised statistic; 0 where all values are one and there is nothing to rank."""
    import warnings

    from scipy import stats

    if min(len(a), len(b)) < 2 or a.min() == a.max() == b.min() == b.max():
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the table of p-values, which is not used
        return float(stats.anderson_ksamp([a, b]).statistic)


def _finite(values: Sequence[float] | Floats, what: str) -> Floats:
    numbers = np.asarray(values, np.float64)
    kept = numbers[np.isfinite(numbers)]
    if not 0 < len(kept) <= MOST:
        raise UsageError(
            f"{what} has {len(kept):,} finite values; 1 to {MOST:,} can be compared one by one.",
            hint="Take a sample, or compare counts: version.drift(...).",
        )
    return kept
