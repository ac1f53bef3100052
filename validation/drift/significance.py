"""Whether two sets of counts differ by more than chance, and what so many rows can show at all.

Everything follows from the counts: dealing the rows anew to the two sides is drawing from the multivariate
hypergeometric distribution of the pooled counts, so no raw rows are needed and every result can be repeated.
"""

from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
from blake3 import blake3

from foldstore.validation.column_bounds import ORDERED
from foldstore.validation.drift.measures import LN2, Counts, Floats, Measure, divergence, measure_named

_DRAWS: Final = 999
_MORE_DRAWS: Final = 9_999
# Chi-squared approximations are usual from five expected in every cell (Cochran 1954).
DENSE: Final = 5.0
HALF: Final = 0.5
# numpy deals at most so many rows.
_MOST_DEALT: Final = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class CountTest:
    """How two sets of counts compare.

    Attributes
    ----------
    distance, noise, effect : float
        As it is, what chance alone would give, and the first less the second.
    detectable : float
        The effect that so many rows show half of the time, at the level of the test.
    p_value : float
        Of the hypothesis that both were drawn from one distribution.
    method : str
        ``chi2``, ``permutation``, or ``none`` where there is nothing to compare.
    n_reference, n_current : int
    cells : int
        Cells that hold a row on either side.
    """

    distance: float = 0.0
    noise: float = 0.0
    effect: float = 0.0
    detectable: float = 0.0
    p_value: float = 1.0
    method: str = "none"
    n_reference: int
    n_current: int
    cells: int


def compare_counts(
    f: Counts, g: Counts, generator: np.random.Generator, *, measure: Measure | None = None, tau: float, alpha: float
) -> CountTest:
    """Compare two count vectors on the same cells.

    Parameters
    ----------
    f, g : ndarray of int64
        Of the reference and of what is judged.
    generator : numpy.random.Generator
        Deals the rows anew where no law is known or cells are sparse.
    measure : Measure, optional
        The Jensen-Shannon distance unless given.
    tau : float
        An effect below it is not flagged whatever p is: it is not computed beyond a first 999 draws.
    alpha : float
        The level; near it 9,999 draws are made.
    """
    measure = measure or measure_named("js")
    n, m = int(f.sum()), int(g.sum())
    used = (f + g) > 0
    cells = int(used.sum())
    if measure.name not in ORDERED:
        f, g = f[used], g[used]
    if not n or not m or cells < 2:
        return CountTest(n_reference=n, n_current=m, cells=cells)
    raw = float(measure.raw(f, g))
    if measure.chi2 is not None and _is_dense(f, g):
        null, method = _law(raw, measure.chi2, (cells, n, m), alpha), "chi2"
    elif n + m >= _MOST_DEALT:
        # So many rows leave no noise to speak of; whether anything changed, the dense cells say.
        pooled = _pool(f, g)
        p_value = _law(float(divergence(*pooled)), 8.0, (len(pooled[0]), n, m), alpha).p_value
        null, method = _Null(p_value, 0.0, 0.0), "chi2"
    else:
        null, method = _permute(f + g, m, raw, measure, (tau, alpha), generator), "permutation"
    return CountTest(
        distance=measure.show(raw),
        noise=measure.show(null.mean),
        effect=measure.show(max(0.0, raw - null.mean)),
        detectable=measure.show(max(0.0, null.critical - null.mean)),
        p_value=null.p_value,
        method=method,
        n_reference=n,
        n_current=m,
        cells=cells,
    )


def seeded(seed: str, column: str) -> np.random.Generator:
    """Return the generator of one comparison: the same texts draw alike."""
    digest = blake3(f"drift/v1\n{seed}\n{column}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def power(n: int, m: int, cells: int, tau: float, alpha: float) -> float:
    """Return the chance that a true Jensen-Shannon distance of tau is significant at alpha.

    8J/s is then noncentral chi-squared with ``lambda = 8 tau^2 ln 2 / s``.
    """
    if not n or not m or cells < 2:
        return 0.0 if cells >= 2 or not m else 1.0
    from scipy import special

    s = 1 / n + 1 / m
    critical = special.chdtri(cells - 1, alpha)
    return float(1 - special.chndtr(critical, cells - 1, 8 * tau**2 * LN2 / s))


def needed_rows(n: int, cells: int, tau: float, alpha: float) -> int | None:
    """Return the least size of the other side that reaches half power; None if the reference is too small."""
    low, high = 1, 10**9
    if power(n, high, cells, tau, alpha) < HALF:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power(n, middle, cells, tau, alpha) >= HALF else (middle + 1, high)
    return low


def rows_to_show(test: CountTest, metric: str, tau: float) -> int | None:
    """Return about how many rows of what is judged would show an effect of tau; None if no number would.

    What can be shown shrinks with ``s = 1/N + 1/M``: the index itself, of a distance the square.
    """
    exponent = 1 if metric == "psi" else 2
    s = (1 / test.n_reference + 1 / test.n_current) * (tau / test.detectable) ** exponent
    rest = s - 1 / test.n_reference
    return ceil(1 / rest) if rest > 0 else None


def _is_dense(f: Counts, g: Counts) -> bool:
    pooled = (f + g)[(f + g) > 0]
    return bool((pooled * (min(f.sum(), g.sum()) / pooled.sum())).min() >= DENSE)


@dataclass(frozen=True, slots=True)
class _Null:
    """What a raw value is compared with: its p-value, and the mean and the critical value when nothing changed."""

    p_value: float
    mean: float
    critical: float


def _law(raw: float, factor: float, sizes: tuple[int, int, int], alpha: float) -> _Null:
    """Judge what is chi-squared when multiplied by ``factor / s``."""
    from scipy import special

    cells, n, m = sizes
    df, unit = max(1, cells - 1), (1 / n + 1 / m) / factor
    # The functions of scipy.special are what scipy.stats calls, a tenth of a millisecond later.
    return _Null(float(special.chdtrc(df, raw / unit)), df * unit, float(special.chdtri(df, alpha)) * unit)


def _pool(f: Counts, g: Counts) -> tuple[Counts, Counts]:
    """Put the cells that are too sparse for the law into one."""
    share = min(f.sum(), g.sum()) / (f + g).sum()
    sparse = (f + g) * share < DENSE
    return np.append(f[~sparse], f[sparse].sum()), np.append(g[~sparse], g[sparse].sum())


def _permute(
    pooled: Counts, m: int, raw: float, measure: Measure, limits: tuple[float, float], generator: np.random.Generator
) -> _Null:
    """Judge a measure by what it is when the rows are dealt anew to the two sides.

    Dealing rows is drawing counts from the multivariate hypergeometric of the pooled counts, which
    makes the test exact: ``p = (1 + #{D* >= D}) / (R + 1)`` (Phipson and Smyth 2010).
    """
    from scipy import stats

    tau, alpha = limits
    draws = _null_draws(pooled, m, _DRAWS, measure, generator)
    bias, critical = float(draws.mean()), float(np.quantile(draws, 1 - alpha))
    at_least = int((draws >= raw * (1 - 1e-12)).sum())
    if measure.show(max(0.0, raw - bias)) < tau:
        return _Null((1 + at_least) / (_DRAWS + 1), bias, critical)  # too small an effect to be flagged, whatever p is
    if 0 < at_least <= 5 * alpha * _DRAWS:
        draws = np.concatenate([draws, _null_draws(pooled, m, _MORE_DRAWS - _DRAWS, measure, generator)])
        at_least = int((draws >= raw * (1 - 1e-12)).sum())
    p_value = (1 + at_least) / (len(draws) + 1)
    if at_least == 0 and draws.var() > 0:
        # Beyond every draw the tail of a gamma with the draws' mean and variance goes on, so that
        # adjustment over many columns is not limited by the number of draws.
        shape = bias**2 / float(draws.var())
        p_value = min(p_value, float(stats.gamma.sf(raw, shape, scale=bias / shape)))
    return _Null(p_value, bias, critical)


def _null_draws(pooled: Counts, m: int, draws: int, measure: Measure, generator: np.random.Generator) -> Floats:
    dealt = generator.multivariate_hypergeometric(pooled, m, size=draws, method="marginals")
    return measure.raw(pooled - dealt, dealt)
