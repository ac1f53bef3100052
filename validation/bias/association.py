"""Whether the rows and columns of a table of counts are independent, and by what test that was decided."""

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from blake3 import blake3
from numpy.typing import ArrayLike, NDArray

# Chi-squared approximations are usual from five expected in every cell (Cochran 1954).
_DENSE: Final = 5.0
# Tables drawn in a test without an exact form: more where fewer do not settle the matter.
_STAGES: Final = (99, 999, 9_999)
# So many as large as the statistic settle it: p is above 0.2, 0.02.
_SETTLED: Final = 20
# A statistic so far beyond the tables drawn is not waited for: among the rest not one is expected to reach it.
_BEYOND: Final = 1e-9
_CELLS_AT_ONCE: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class Association:
    """The outcome of a test of independence.

    Attributes
    ----------
    statistic : float
        Pearson's chi-squared, without a continuity correction.
    degrees : int
        (rows - 1) (columns - 1) of the table without empty ones.
    p_value : float
        How often independent rows and columns with these sums give a statistic at least as large.
    method : str
        ``chi2``, ``fisher``, ``permutation``, or ``none`` where there is nothing to compare.
    """

    statistic: float
    degrees: int
    p_value: float
    method: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def associate(table: ArrayLike) -> Association:
    """Test whether rows and columns of a table of counts are independent.

    Pearson's chi-squared test where at least five are expected in every cell. Else Fisher's exact test for two rows
    and two columns, and for larger tables the share of R tables drawn at random among those with the same sums
    (Patefield 1981) whose statistic is at least as large, ``p = (1 + #) / (R + 1)`` (Phipson and Smyth 2010). R is 99
    or 999 where 20 of these are as large, 9,999 else. The draws follow from the counts, and so does p.

    Parameters
    ----------
    table : array of int, shape (rows, columns)

    Examples
    --------
    >>> associate([[60, 40], [40, 60]]).method, round(associate([[60, 40], [40, 60]]).p_value, 5)
    ('chi2', 0.00468)
    """
    counts = np.asarray(table, np.int64)
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    if min(counts.shape, default=0) < 2:
        return Association(0.0, 0, 1.0, "none")
    expected = _expected(counts)
    statistic = float(_chi_squared(counts, expected))
    degrees = (counts.shape[0] - 1) * (counts.shape[1] - 1)
    p_value, method = _p_value(counts, expected, statistic, degrees)
    return Association(statistic, degrees, p_value, method)


def _p_value(
    counts: NDArray[np.int64], expected: NDArray[np.float64], statistic: float, degrees: int
) -> tuple[float, str]:
    from scipy import special, stats  # 0.8 s to load: paid when something is tested

    if expected.min() >= _DENSE:
        return float(special.chdtrc(degrees, statistic)), "chi2"
    if counts.shape == (2, 2):
        return float(stats.fisher_exact(counts).pvalue), "fisher"
    return _permute(counts, expected, statistic), "permutation"


def _permute(counts: NDArray[np.int64], expected: NDArray[np.float64], statistic: float) -> float:
    from scipy import stats

    drawn = stats.random_table(counts.sum(axis=1), counts.sum(axis=0))
    generator, step = _generator(counts), max(_CELLS_AT_ONCE // counts.size, 1)

    def draw(size: int) -> NDArray[np.float64]:
        sizes = [min(step, size - start) for start in range(0, size, step)]
        tables = (drawn.rvs(n, method="patefield", random_state=generator) for n in sizes)
        return np.concatenate([_chi_squared(table, expected) for table in tables])

    draws = np.empty(0)
    for stage in _STAGES:
        draws = np.concatenate([draws, draw(stage - len(draws))])
        at_least = int((draws >= statistic * (1 - 1e-12)).sum())
        if at_least >= _SETTLED:
            break
        if at_least == 0 and _tail(draws, statistic) < _BEYOND:
            return 1 / (_STAGES[-1] + 1)
    return (1 + at_least) / (len(draws) + 1)


def _tail(draws: NDArray[np.float64], statistic: float) -> float:
    """Return how often a gamma with the draws' mean and variance, about their law, is as large as a statistic."""
    from scipy import stats

    mean, variance = float(draws.mean()), float(draws.var())
    return float(stats.gamma.sf(statistic, mean**2 / variance, scale=variance / mean)) if variance > 0 else 1.0


def _expected(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    # In floats: the product of two large sums does not fit into 64 bits.
    rows, columns = counts.sum(axis=1).astype(np.float64), counts.sum(axis=0).astype(np.float64)
    return np.asarray(np.outer(rows, columns) / float(counts.sum()))


def _chi_squared(counts: NDArray[Any], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(((counts - expected) ** 2 / expected).sum(axis=(-2, -1)))


def _generator(counts: NDArray[np.int64]) -> np.random.Generator:
    digest = blake3(f"bias/v1\n{counts.tolist()}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))
