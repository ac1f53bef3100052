"""Concept drift: whether a label depends on a feature otherwise than before.

A joint distribution changes because the feature does (covariate part) or because the label does at the same feature
(concept part). The chain rule of relative entropy splits it exactly:
``KL(p(x,y) || q(x,y)) = KL(p(x) || q(x)) + E_p(x) KL(p(y|x) || q(y|x))`` (Cover and Thomas 2006, theorem 2.5.3).
Everything is computed from tables of counts, feature cells x label cells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from foldstore.validation.drift.adjustment import adjust
from foldstore.validation.drift.measures import LN2, Counts, Floats, divergence
from foldstore.validation.drift.significance import DENSE, HALF, needed_rows, power, seeded
from foldstore.validation.drift.text import CONCEPT_HEADS, concept_rows, concept_text, html_rows
from foldstore.validation.drift.verdict import DriftVerdict

WARN: Final = 0.05
ERROR: Final = 0.10
ALPHA: Final = 0.01
_DRAWS: Final = 999
_WORST: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCounts:
    """Rows by the cell of a feature and the cell of the label, on both sides.

    Attributes
    ----------
    feature : str
    labels : tuple of str
        What the feature's cells hold.
    classes : tuple of str
        What the label's cells hold.
    reference, current : ndarray of int64, shape (cells, classes)
    """

    feature: str
    labels: tuple[str, ...]
    classes: tuple[str, ...]
    reference: Counts
    current: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class BinChange:
    """How the label changed in one cell of the feature.

    Attributes
    ----------
    cell : str
    share : float
        Of all rows, both sides together.
    distance : float
        The Jensen-Shannon distance of the label's distributions, as it is.
    label : str
        The class whose share moved most, from `before` to `after`.
    before, after : float
    """

    cell: str
    share: float
    distance: float
    label: str
    before: float
    after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureConcept:
    """How a label's dependence on one feature compares with the reference.

    Attributes
    ----------
    feature : str
    effect : float
        The debiased mean over the feature's cells of the divergence of the label, as a distance between 0 and 1.
    noise : float
        What chance alone would give.
    p_value, p_adjusted : float
        Of the hypothesis that the label depends on the feature as it did.
    method : {'chi2', 'permutation', 'none'}
    n_reference, n_current : int
    verdict : DriftVerdict
    covariate_part, concept_part : float
        In nats: what the change of the feature, and that of the label at the same feature, add to
        ``KL(current || reference)``. They sum to it exactly.
    worst : tuple of BinChange
        The cells that add most to the effect.
    needed : int or None
        About how many rows would show the limit, where these do not.
    """

    feature: str
    effect: float
    noise: float
    p_value: float
    p_adjusted: float
    method: str
    n_reference: int
    n_current: int
    verdict: DriftVerdict
    covariate_part: float
    concept_part: float
    worst: tuple[BinChange, ...]
    needed: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        worst = [{name: getattr(each, name) for name in BinChange.__slots__} for each in self.worst]
        return plain | {"verdict": str(self.verdict), "worst": worst}


@dataclass(frozen=True, slots=True)
class ConceptDrift:
    """How a label depends on features, compared with a reference.

    Attributes
    ----------
    label : str
    features : mapping of str to FeatureConcept
        The one that changed most first.
    """

    label: str
    features: Mapping[str, FeatureConcept]

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", MappingProxyType(dict(self.features)))

    def __repr__(self) -> str:
        return (
            f"ConceptDrift({self.label!r}, {len(self.features)} features, drifted: {', '.join(self.drifted) or 'none'})"
        )

    def __str__(self) -> str:
        return concept_text(self)

    def _repr_html_(self) -> str:
        return html_rows(CONCEPT_HEADS, concept_rows(self), repr(self))

    @property
    def drifted(self) -> tuple[str, ...]:
        """The features on which the label depends otherwise than before, at either limit."""
        flags = (DriftVerdict.WARN, DriftVerdict.ERROR)
        return tuple(name for name, each in self.features.items() if each.verdict in flags)

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        return {"label": self.label, "features": {name: each.to_dict() for name, each in self.features.items()}}


def detect_concept_drift(
    pairs: Sequence[PairCounts],
    label: str,
    *,
    seed: str,
    tau_warn: float = WARN,
    tau_error: float = ERROR,
    alpha: float = ALPHA,
) -> ConceptDrift:
    """Say for each feature whether the label depends on it as before.

    Parameters
    ----------
    pairs : sequence of PairCounts
        One for each feature.
    label : str
    seed : str
        Any text that names the comparison; the same text gives the same p-values.
    tau_warn, tau_error : float
        Limits of the effect.
    alpha : float
        The level, after adjustment over the features.

    Examples
    --------
    >>> import numpy as np
    >>> before, after = np.array([[90, 10], [10, 90]]) * 10, np.array([[90, 10], [60, 40]]) * 10
    >>> pair = PairCounts(feature="x", labels=("low", "high"), classes=("a", "b"), reference=before, current=after)
    >>> found = detect_concept_drift([pair], "y", seed="").features["x"]
    >>> found.verdict.value, found.worst[0].cell, round(found.covariate_part, 3)
    ('error', 'high', 0.0)
    """
    tests = [_test(pair, seeded(seed, pair.feature)) for pair in pairs]
    adjusted = adjust([test.p_value for test in tests])
    judged = []
    for pair, test, p in zip(pairs, tests, adjusted, strict=True):
        judged.append(_judge(pair, test, p, (tau_warn, tau_error, alpha)))
    judged.sort(key=lambda each: (-each.effect, each.feature))
    return ConceptDrift(label, {each.feature: each for each in judged})


@dataclass(frozen=True, slots=True)
class _Test:
    mean: float
    noise: float
    p_value: float
    method: str
    df: int


def _test(pair: PairCounts, generator: np.random.Generator) -> _Test:
    """Compare the label inside each cell that has rows on both sides.

    With s_b = 1/N_b + 1/M_b, ``sum_b 8 J_b / s_b`` is chi-squared with ``sum_b (L_b - 1)`` degrees of freedom when
    the label depends on the feature as before; where cells are sparse, rows are dealt anew inside each.
    """
    from scipy import special, stats

    f, g = pair.reference, pair.current
    shared = (f.sum(axis=1) > 0) & (g.sum(axis=1) > 0)
    f, g = f[shared], g[shared]
    pooled = f + g
    classes = (pooled > 0).sum(axis=1)
    df = int((classes - 1).sum())
    if not df:
        return _Test(0.0, 0.0, 1.0, "none", 0)
    n, m = f.sum(axis=1), g.sum(axis=1)
    s, weights = 1 / n + 1 / m, pooled.sum(axis=1) / pooled.sum()
    statistic, mean = _statistic(f, g, s), float((weights * divergence(f, g)).sum())
    expected = pooled * (np.minimum(n, m) / (n + m))[:, None]
    if expected[pooled > 0].min() >= DENSE:
        noise = float((weights * (classes - 1) * s / 8).sum())
        return _Test(mean, noise, float(special.chdtrc(df, statistic)), "chi2", df)
    drawn = np.stack([_deal(*each, generator) for each in zip(pooled, n, m, strict=True)], axis=1)
    statistics = (8 * drawn / s).sum(axis=1)
    at_least = int((statistics >= statistic * (1 - 1e-12)).sum())
    p_value = (1 + at_least) / (_DRAWS + 1)
    if at_least == 0 and statistics.var() > 0:
        # As of single columns: beyond every draw the tail of a gamma with the draws' mean and variance goes on, so that
        # adjustment over many features is not limited by the number of draws.
        shape = float(statistics.mean() ** 2 / statistics.var())
        p_value = min(p_value, float(stats.gamma.sf(statistic, shape, scale=float(statistics.mean()) / shape)))
    return _Test(mean, float((weights * drawn).sum(axis=1).mean()), p_value, "permutation", df)


def _deal(pooled: Counts, n: int, m: int, generator: np.random.Generator) -> Floats:
    """Return divergences of one cell's label when its rows are dealt anew; by their law where all classes are dense."""
    counts = pooled[pooled > 0]
    if (counts * (min(n, m) / (n + m))).min() >= DENSE:
        law: Floats = (
            generator.chisquare(len(counts) - 1, _DRAWS) * ((1 / n + 1 / m) / 8)
            if len(counts) > 1
            else np.zeros(_DRAWS)
        )
        return law
    dealt = generator.multivariate_hypergeometric(counts, m, size=_DRAWS, method="marginals")
    return divergence(counts - dealt, dealt)


def _statistic(f: Counts, g: Counts, s: Floats) -> float:
    return float((8 * divergence(f, g) / s).sum())


def _judge(pair: PairCounts, test: _Test, p: float, limits: tuple[float, float, float]) -> FeatureConcept:
    tau_warn, tau_error, alpha = limits
    n, m = int(pair.reference.sum()), int(pair.current.sum())
    effect = float(np.sqrt(max(0.0, test.mean - test.noise) / LN2))
    verdict, needed = DriftVerdict.STABLE, None
    if p < alpha and effect >= tau_warn:
        verdict = DriftVerdict.ERROR if effect >= tau_error else DriftVerdict.WARN
    elif power(n, m, test.df + 1, tau_warn, alpha) < HALF or test.method == "none":
        verdict = DriftVerdict.UNTESTABLE
        needed = needed_rows(n, test.df + 1, tau_warn, alpha) if n and test.df else None
    covariate, concept = split_divergence(pair.current, pair.reference)
    return FeatureConcept(
        feature=pair.feature,
        effect=effect,
        noise=float(np.sqrt(test.noise / LN2)),
        p_value=test.p_value,
        p_adjusted=p,
        method=test.method,
        n_reference=n,
        n_current=m,
        verdict=verdict,
        covariate_part=covariate,
        concept_part=concept,
        worst=_worst(pair),
        needed=needed,
    )


def split_divergence(f: Counts, g: Counts) -> tuple[float, float]:
    """Return the two parts of ``KL(f || g)`` of tables: of the rows' margins, and inside the rows.

    Parameters
    ----------
    f, g : ndarray, shape (cells, classes)

    Notes
    -----
    Half a row is added to every cell that has rows on either side, so that no term is infinite; the parts of the
    smoothed tables still sum to their divergence exactly.

    Examples
    --------
    >>> import numpy as np
    >>> covariate, concept = split_divergence(np.array([[80, 20], [40, 10]]), np.array([[40, 10], [80, 20]]))
    >>> covariate > 0.1, concept < 1e-3
    (True, True)
    """
    used = (f + g) > 0
    p, q = ((table + 0.5) * used for table in (f, g))
    if not used.any():
        return 0.0, 0.0
    p, q = p / p.sum(), q / q.sum()
    rows_p, rows_q = p.sum(axis=1), q.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        margin = float(np.where(rows_p > 0, rows_p * np.log(rows_p / rows_q), 0.0).sum())
        joint = float(np.where(used, p * np.log(p / q), 0.0).sum())
    return max(0.0, margin), max(0.0, joint - margin)


def _worst(pair: PairCounts) -> tuple[BinChange, ...]:
    f, g = pair.reference, pair.current
    shared = np.flatnonzero((f.sum(axis=1) > 0) & (g.sum(axis=1) > 0))
    if not len(shared):
        return ()
    pooled = (f + g).sum()
    added = divergence(f[shared], g[shared]) * (f + g)[shared].sum(axis=1)
    order = shared[np.argsort(-np.round(added, 9), kind="stable")][:_WORST]
    return tuple(_change(pair, int(place), float((f + g)[place].sum() / pooled)) for place in order)


def _change(pair: PairCounts, place: int, share: float) -> BinChange:
    f, g = pair.reference[place], pair.current[place]
    p, q = f / f.sum(), g / g.sum()
    moved = int(np.argmax(np.round(np.abs(p - q), 12)))
    return BinChange(
        cell=pair.labels[place],
        share=share,
        distance=float(np.sqrt(divergence(f, g) / LN2)),
        label=pair.classes[moved],
        before=float(p[moved]),
        after=float(q[moved]),
    )
