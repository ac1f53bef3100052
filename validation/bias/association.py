"""Whether the rows and columns of a table of counts are independent, and by what test that was decided."""

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from blake3 import blake3
from numpy.typing import ArrayLike, NDArray

# Chi-squared approximations are usual from five expected in every cell (Cochran 1954).
_DENSE: Final = 5.0
# Tables drawn in a test without an exact form: fewer of large tables, whose cells cost the time.
_FEWEST, _MOST, _CELLS = 999, 9_999, 1_000_000
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
    (Patefield 1981) whose statistic is at least as large, ``p = (1 + #) / (R + 1)`` (Phipson and Smyth 2010); R is
    999 to 9,999. The draws follow from the counts, so the same counts give the same p-value.

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
    draws = min(max(_CELLS // counts.size, _FEWEST), _MOST)
    drawn = stats.random_table(counts.sum(axis=1), counts.sum(axis=0))
    generator, at_least, step = _generator(counts), 0, max(_CELLS_AT_ONCE // counts.size, 1)
    for start in range(0, draws, step):
        tables = drawn.rvs(min(step, draws - start), method="patefield", random_state=generator)
        at_least += int((_chi_squared(tables, expected) >= statistic * (1 - 1e-12)).sum())
    return (1 + at_least) / (draws + 1), "permutation"


def _expected(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    # In floats: the product of two large sums does not fit into 64 bits.
    rows, columns = counts.sum(axis=1).astype(np.float64), counts.sum(axis=0).astype(np.float64)
    return np.asarray(np.outer(rows, columns) / float(counts.sum()))


def _chi_squared(counts: NDArray[Any], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(((counts - expected) ** 2 / expected).sum(axis=(-2, -1)))


def _generator(counts: NDArray[np.int64]) -> np.random.Generator:
    digest = blake3(f"bias/v1\n{counts.tolist()}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))
