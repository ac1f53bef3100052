"""Drift: whether a distribution moved by more than chance, and by enough to matter.

A column is flagged only when the adjusted p-value is below alpha AND the debiased effect reaches its
limit; where the rows are too few to show a change of that size the verdict says so. Everything is
computed from counts on a pinned grid, so no raw reference is needed and every result can be repeated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from foldstore.datastore.statistics.pinned import GridCounts
from foldstore.validation.column_schema import DriftPolicy
from foldstore.validation.intervals import cohen_h

Counts: TypeAlias = NDArray[np.int64]

_LN2: Final = float(np.log(2))
_DRAWS: Final = 999
_MORE_DRAWS: Final = 9_999
# Chi-squared approximations are usual from five expected in every cell (Cochran 1954).
_DENSE: Final = 5.0
_POWER: Final = 0.5


class DriftVerdict(StrEnum):
    """What is to be made of a column."""

    STABLE = "stable"
    WARN = "warn"
    ERROR = "error"
    UNTESTABLE = "untestable"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftTarget:
    """A column to compare.

    Attributes
    ----------
    column : str
    labels : tuple of str
        What the cells hold.
    reference, current : GridCounts
        On the same grid.
    policy : DriftPolicy
    """

    column: str
    labels: tuple[str, ...]
    reference: GridCounts
    current: GridCounts
    policy: DriftPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnDrift:
    """How one column compares with its reference.

    Attributes
    ----------
    column : str
    effect : float
        The debiased Jensen-Shannon distance, base 2, between 0 and 1.
    distance, noise : float
        The distance as it is, and what chance alone would give.
    p_value, p_adjusted : float
        Of the hypothesis that nothing changed; adjusted after Benjamini and Hochberg.
    method : str
        ``chi2``, ``permutation``, or ``none`` where there is nothing to compare.
    n_reference, n_current : int
        Values in cells.
    verdict : DriftVerdict
    largest_change : dict
        The cell whose share moved most: ``cell``, ``before``, ``after``.
    needed : int or None
        How many values would show a change of the limit, where these do not; None if no number would.
    null_before, null_after, null_effect, null_p_value, null_p_adjusted, null_verdict
        The same for the fraction of nulls; the effect is Cohen's h, debiased.
    """

    column: str
    effect: float
    distance: float
    noise: float
    p_value: float
    p_adjusted: float
    method: str
    n_reference: int
    n_current: int
    verdict: DriftVerdict
    largest_change: Mapping[str, Any]
    needed: int | None = None
    null_before: float
    null_after: float
    null_effect: float
    null_p_value: float
    null_p_adjusted: float
    null_verdict: DriftVerdict

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        plain = {each: getattr(self, each) for each in self.__slots__}
        plain |= {"verdict": str(self.verdict), "null_verdict": str(self.null_verdict)}
        return plain | {"largest_change": dict(self.largest_change)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "ColumnDrift":
        """Read what `to_dict` gave."""
        verdicts = {key: DriftVerdict(data[key]) for key in ("verdict", "null_verdict")}
        return cls(**{**data, **verdicts})


@dataclass(frozen=True, slots=True)
class DriftResult:
    """How the columns of a dataset compare with their references.

    Attributes
    ----------
    columns : Mapping[str, ColumnDrift]
    """

    columns: Mapping[str, ColumnDrift]

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", MappingProxyType(dict(self.columns)))

    def __repr__(self) -> str:
        return f"DriftResult({len(self.columns)} columns, drifted: {', '.join(self.drifted) or 'none'})"

    @property
    def drifted(self) -> tuple[str, ...]:
        """The columns flagged for their values or their nulls, at either limit."""
        flags = (DriftVerdict.WARN, DriftVerdict.ERROR)
        return tuple(name for name, each in self.columns.items() if each.verdict in flags or each.null_verdict in flags)

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        return {"columns": {name: each.to_dict() for name, each in self.columns.items()}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "DriftResult":
        """Read what `to_dict` gave."""
        return cls({name: ColumnDrift.from_dict(each) for name, each in data["columns"].items()})


def detect_drift(targets: Sequence[DriftTarget], *, seed: str) -> DriftResult:
    """Compare columns with their references.

    Parameters
    ----------
    targets : Sequence[DriftTarget]
    seed : str
        Any text that names the comparison, such as two ids; the same text gives the same p-values.
    """
    tests = [_test_values(target, seed) for target in targets]
    nulls = [_test_nulls(target) for target in targets]
    adjusted = adjust([test.p_value for test in tests])
    nulls_adjusted = adjust([p_value for _, p_value in nulls])
    columns = {}
    for target, test, p, null, null_p in zip(targets, tests, adjusted, nulls, nulls_adjusted, strict=True):
        columns[target.column] = _judge(target, test, p, null, null_p)
    return DriftResult(columns)


def divergence(f: Counts, g: Counts) -> NDArray[np.float64]:
    """Return the Jensen-Shannon divergence in nats between count vectors, along the last axis.

    ``J = 1/2 sum p ln(p/m) + 1/2 sum q ln(q/m)``, with m the mean of p and q (Lin 1991).
    """
    p = f / np.maximum(f.sum(axis=-1, keepdims=True), 1)
    q = g / np.maximum(g.sum(axis=-1, keepdims=True), 1)
    m = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log(p / m), 0.0) + np.where(q > 0, q * np.log(q / m), 0.0)
    return np.asarray(np.maximum(terms.sum(axis=-1) / 2, 0.0))


def distance(f: Sequence[int] | Counts, g: Sequence[int] | Counts) -> float:
    """Return the Jensen-Shannon distance, base 2: ``sqrt(J / ln 2)``, 0 for equal and 1 for disjoint shares.

    Examples
    --------
    >>> round(distance([50, 30, 20], [40, 40, 20]), 10)
    0.0958432338
    """
    return _root(float(divergence(np.asarray(f, np.int64), np.asarray(g, np.int64))))


def adjust(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Benjamini and Hochberg 1995).

    Examples
    --------
    >>> adjust([0.01, 0.02, 0.03])
    [0.03, 0.03, 0.03]
    """
    if not p_values:
        return []
    from scipy import stats  # 0.8 s to load: paid when something is compared, not when a store opens

    adjusted: list[float] = stats.false_discovery_control(p_values, method="bh").tolist()
    return adjusted


@dataclass(frozen=True, slots=True)
class _Test:
    distance: float
    noise: float
    effect: float
    p_value: float
    method: str
    n: tuple[int, int]
    cells: int


def _cells(target: DriftTarget) -> tuple[Counts, Counts]:
    """Return the two count vectors; NaN has a cell of its own, nulls are judged apart."""
    f = np.array([*target.reference.cells, target.reference.nan], np.int64)
    g = np.array([*target.current.cells, target.current.nan], np.int64)
    return f, g


def _test_values(target: DriftTarget, seed: str) -> _Test:
    from scipy import special

    f, g = _cells(target)
    used = (f + g) > 0
    f, g = f[used], g[used]
    n, m = int(f.sum()), int(g.sum())
    if not n or not m or len(f) < 2:
        return _Test(0.0, 0.0, 0.0, 1.0, "none", (n, m), len(f))
    j = float(divergence(f, g))
    if ((f + g) * min(n, m) / (n + m)).min() >= _DENSE:
        # 8J/s is asymptotically chi-squared with B-1 degrees of freedom, s = 1/N + 1/M.
        s = 1 / n + 1 / m
        # The functions of scipy.special are what scipy.stats calls, a tenth of a millisecond later.
        p_value, bias, method = float(special.chdtrc(len(f) - 1, 8 * j / s)), (len(f) - 1) * s / 8, "chi2"
    else:
        p_value, bias = _permute(f + g, m, j, target.policy, _generator(seed, target.column))
        method = "permutation"
    return _Test(_root(j), _root(bias), _root(j - bias), p_value, method, (n, m), len(f))


def _root(nats: float) -> float:
    """Turn a divergence into a distance, base 2."""
    return float(np.sqrt(max(nats, 0.0) / _LN2))


def _permute(
    pooled: Counts, m: int, j: float, policy: DriftPolicy, generator: np.random.Generator
) -> tuple[float, float]:
    """Return the p-value and the mean of J when the rows are dealt anew to the two sides.

    Dealing rows is drawing counts from the multivariate hypergeometric of the pooled counts, which
    makes the test exact: ``p = (1 + #{J* >= J}) / (R + 1)`` (Phipson and Smyth 2010).
    """
    from scipy import stats

    draws = _null_draws(pooled, m, _DRAWS, generator)
    bias = float(draws.mean())
    at_least = int((draws >= j * (1 - 1e-12)).sum())
    if (j - bias) / _LN2 < policy.tau_warn**2:
        return (1 + at_least) / (_DRAWS + 1), bias  # too small an effect to be flagged, whatever p is
    if 0 < at_least <= 5 * policy.alpha * _DRAWS:
        draws = np.concatenate([draws, _null_draws(pooled, m, _MORE_DRAWS - _DRAWS, generator)])
        at_least = int((draws >= j * (1 - 1e-12)).sum())
    p_value = (1 + at_least) / (len(draws) + 1)
    if at_least == 0 and draws.var() > 0:
        # Beyond every draw the tail of a gamma with the draws' mean and variance goes on, so that
        # adjustment over many columns is not limited by the number of draws.
        shape = bias**2 / float(draws.var())
        p_value = min(p_value, float(stats.gamma.sf(j, shape, scale=bias / shape)))
    return p_value, bias


def _null_draws(pooled: Counts, m: int, draws: int, generator: np.random.Generator) -> NDArray[np.float64]:
    dealt = generator.multivariate_hypergeometric(pooled, m, size=draws, method="marginals")
    return divergence(pooled - dealt, dealt)


def _generator(seed: str, column: str) -> np.random.Generator:
    digest = blake3(f"drift/v1\n{seed}\n{column}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def _test_nulls(target: DriftTarget) -> tuple[float, float]:
    """Return the debiased Cohen h of the null fractions and its p-value.

    The two-proportion z test; where an expected count is below five, Fisher's exact test.
    """
    from scipy import special, stats

    f, g = target.reference, target.current
    n, m = f.total + f.nan + f.nulls, g.total + g.nan + g.nulls
    if not n or not m or f.nulls + g.nulls in (0, n + m):
        return 0.0, 1.0
    h = cohen_h(f.nulls / n, g.nulls / m)
    # Under no change E[h^2] is about 1/N + 1/M: the arcsine makes the variance constant.
    effect = float(np.sqrt(max(0.0, h * h - (1 / n + 1 / m))))
    pooled = (f.nulls + g.nulls) / (n + m)
    if min(n, m) * min(pooled, 1 - pooled) < _DENSE:
        table = np.array([[f.nulls, n - f.nulls], [g.nulls, m - g.nulls]])
        return effect, float(stats.fisher_exact(table).pvalue)
    z = (f.nulls / n - g.nulls / m) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return effect, float(2 * special.ndtr(-abs(z)))


def _judge(target: DriftTarget, test: _Test, p: float, null: tuple[float, float], null_p: float) -> ColumnDrift:
    policy = target.policy
    verdict = _verdict(test.effect, p, policy.tau_warn, policy.tau_error, policy.alpha)
    needed = None
    n, m = test.n
    if verdict is DriftVerdict.STABLE and n and power(n, m, test.cells, policy.tau_warn, policy.alpha) < _POWER:
        verdict = DriftVerdict.UNTESTABLE
        needed = needed_rows(n, test.cells, policy.tau_warn, policy.alpha)
    f, g = target.reference, target.current
    return ColumnDrift(
        column=target.column,
        effect=test.effect,
        distance=test.distance,
        noise=test.noise,
        p_value=test.p_value,
        p_adjusted=p,
        method=test.method,
        n_reference=n,
        n_current=m,
        verdict=verdict,
        largest_change=_largest_change(target),
        needed=needed,
        null_before=f.nulls / max(1, f.total + f.nan + f.nulls),
        null_after=g.nulls / max(1, g.total + g.nan + g.nulls),
        null_effect=null[0],
        null_p_value=null[1],
        null_p_adjusted=null_p,
        null_verdict=_verdict(null[0], null_p, policy.null_warn, policy.null_error, policy.alpha),
    )


def _verdict(effect: float, p: float, warn: float, error: float, alpha: float) -> DriftVerdict:
    if p >= alpha or effect < warn:
        return DriftVerdict.STABLE
    return DriftVerdict.ERROR if effect >= error else DriftVerdict.WARN


def power(n: int, m: int, cells: int, tau: float, alpha: float) -> float:
    """Return the chance that a true distance of tau is significant at alpha.

    8J/s is then noncentral chi-squared with ``lambda = 8 tau^2 ln 2 / s``.
    """
    if not n or not m or cells < 2:
        return 0.0 if cells >= 2 or not m else 1.0
    from scipy import special, stats

    s = 1 / n + 1 / m
    critical = special.chdtri(cells - 1, alpha)
    return float(stats.ncx2.sf(critical, cells - 1, 8 * tau**2 * _LN2 / s))


def needed_rows(n: int, cells: int, tau: float, alpha: float) -> int | None:
    """Return the least size of the other side that reaches half power; None if the reference is too small."""
    low, high = 1, 10**9
    if power(n, high, cells, tau, alpha) < _POWER:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power(n, middle, cells, tau, alpha) >= _POWER else (middle + 1, high)
    return low


def _largest_change(target: DriftTarget) -> dict[str, Any]:
    f, g = _cells(target)
    if not f.sum() or not g.sum():
        return {}
    p, q = f / f.sum(), g / g.sum()
    place = int(np.argmax(np.round(np.abs(p - q), 12)))  # of equal moves the first, whatever the last bit says
    return {"cell": (*target.labels, "NaN")[place], "before": float(p[place]), "after": float(q[place])}
