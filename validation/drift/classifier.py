"""The classifier two-sample test: if rows of two sets can be told apart, their joint distributions differ.

It finds what no column shows by itself, such as a correlation that turned (Lopez-Paz and Oquab 2017). A logistic
regression learns on one half of the rows to tell the sets apart; on the other half its scores are ranked. When
nothing changed the scores of both sets are exchangeable, whatever was learnt, so the rank test is exact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from foldstore.errors import UsageError
from foldstore.validation.drift.significance import HALF, seeded
from foldstore.validation.drift.text import two_sample_text
from foldstore.validation.drift.verdict import DriftVerdict

Floats = NDArray[np.float64]

WARN: Final = 0.05
ERROR: Final = 0.10
ALPHA: Final = 0.01
# Of products of columns there are soon more than rows to learn from.
_MOST_PRODUCTS: Final = 12
_MOST_CATEGORIES: Final = 20
_PENALTY: Final = 1.0
_STEPS: Final = 30
_SHUFFLES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoSampleTest:
    """Whether rows of two sets can be told apart.

    Attributes
    ----------
    auc : float
        The chance that a row of what is judged gets a higher score than a row of the reference; 0.5 is guessing.
    effect : float
        ``auc - 0.5``, at least 0.
    p_value : float
        One-sided, by Mann and Whitney's rank test on rows that were not learnt from.
    n_reference, n_current : int
        Rows that were ranked.
    verdict : DriftVerdict
    columns : mapping of str to float
        What the AUC loses when a column is shuffled among the ranked rows; the columns that say most first.
    needed : int or None
        About how many ranked rows on each side would show the limit, where these do not.
    """

    auc: float
    effect: float
    p_value: float
    n_reference: int
    n_current: int
    verdict: DriftVerdict
    columns: Mapping[str, float]
    needed: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", MappingProxyType(dict(self.columns)))

    def __str__(self) -> str:
        return two_sample_text(self)

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return plain | {"verdict": str(self.verdict), "columns": dict(self.columns)}


def tell_apart(
    reference: Mapping[str, Sequence[Any] | NDArray[Any]],
    current: Mapping[str, Sequence[Any] | NDArray[Any]],
    *,
    seed: str = "",
    tau_warn: float = WARN,
    tau_error: float = ERROR,
    alpha: float = ALPHA,
) -> TwoSampleTest:
    """Test whether rows of two sets come from one joint distribution.

    Parameters
    ----------
    reference, current : mapping of str to array
        The same columns; numbers with NaN for null, or objects (text, booleans) with None.
    seed : str
        Names the comparison: the same text halves the rows alike.
    tau_warn, tau_error : float
        Limits of ``auc - 0.5``.
    alpha : float

    Raises
    ------
    UsageError
        When the columns are not the same, there are none, or a side has fewer than four rows.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.random.default_rng(1).normal(size=(2, 2000))
    >>> found = tell_apart({"x": x[:1000], "y": x[:1000]}, {"x": x[1000:], "y": y[1000:]})
    >>> found.verdict.value, found.auc > 0.9
    ('error', True)
    """
    sizes = _check(reference, current)
    generator = seeded(seed, "\n".join(reference))
    halves = [generator.permutation(size) for size in sizes]
    learn = [half[: len(half) // 2] for half in halves]
    rank = [half[len(half) // 2 :] for half in halves]
    features = _Features(reference, current, learn)
    weights = _fit(features.rows(learn), np.repeat([0.0, 1.0], [len(part) for part in learn]))
    is_current = np.repeat([False, True], [len(part) for part in rank])
    auc, p_value = _rank(features.rows(rank) @ weights, is_current)
    effect = max(0.0, auc - 0.5)
    verdict, needed = _verdict(effect, p_value, (len(rank[0]), len(rank[1])), (tau_warn, tau_error, alpha))
    return TwoSampleTest(
        auc=auc,
        effect=effect,
        p_value=p_value,
        n_reference=len(rank[0]),
        n_current=len(rank[1]),
        verdict=verdict,
        columns=_importance(features, rank, weights, is_current, auc, generator) if effect >= tau_warn else {},
        needed=needed,
    )


def _check(reference: Mapping[str, Any], current: Mapping[str, Any]) -> tuple[int, int]:
    if not reference or list(reference) != list(current):
        raise UsageError("Both sides need the same columns.", hint="Name the columns that both have.")
    sizes = [{len(column) for column in side.values()} for side in (reference, current)]
    if any(len(each) != 1 or min(each) < 4 for each in sizes):
        raise UsageError("Each side needs four rows or more, as many in each column.", hint="Take larger samples.")
    return sizes[0].pop(), sizes[1].pop()


class _Features:
    """Columns as numbers: ranks of numbers, their squares and products, a number for each frequent category."""

    def __init__(self, reference: Mapping[str, Any], current: Mapping[str, Any], learn: Sequence[NDArray[Any]]) -> None:
        self.names = list(reference)
        self._columns = []
        for name in self.names:
            sides = [_plain(side[name]) for side in (reference, current)]
            if any(side.dtype == object for side in sides):
                sides = [side.astype(object) for side in sides]
            seen = np.concatenate([side[part] for side, part in zip(sides, learn, strict=True)])
            self._columns.append([_encode(side, seen) for side in sides])
        self._single = [place for place, (first, _) in enumerate(self._columns) if first.shape[1] <= 2]

    def rows(self, parts: Sequence[NDArray[Any]], shuffled: int | None = None, order: Any = None) -> Floats:
        """Return the features of some rows of both sides, a column's values shuffled among them where asked."""
        blocks = []
        for place, sides in enumerate(self._columns):
            block = np.concatenate([side[part] for side, part in zip(sides, parts, strict=True)])
            blocks.append(block[order] if place == shuffled else block)
        single = np.column_stack([blocks[place][:, 0] for place in self._single]) if self._single else None
        made = [np.ones((len(blocks[0]), 1)), *blocks]
        if single is not None:
            made.append(single**2)
            if single.shape[1] <= _MOST_PRODUCTS:
                first, second = np.triu_indices(single.shape[1], 1)
                made.append(single[:, first] * single[:, second])
        return np.concatenate(made, axis=1)


def _plain(values: Any) -> NDArray[Any]:
    array = np.asarray(values)
    return array.astype(np.float64) if array.dtype.kind in "fiub" else array.astype(object)


def _encode(values: NDArray[Any], seen: NDArray[Any]) -> Floats:
    if values.dtype != object:
        known = np.sort(seen[~np.isnan(seen)])
        places = (np.searchsorted(known, values, "left") + np.searchsorted(known, values, "right")) / 2
        missing = np.isnan(values)
        ranks = np.where(missing, 0.0, (places / max(1, len(known)) - 0.5) * 2 * np.sqrt(3))
        return np.column_stack([ranks, missing]) if np.isnan(seen).any() else ranks[:, None]
    texts = np.array(["" if value is None else f"={value}" for value in values])
    categories, counts = np.unique(["" if value is None else f"={value}" for value in seen], return_counts=True)
    frequent = categories[np.argsort(-counts, kind="stable")][:_MOST_CATEGORIES]
    return np.asarray(texts[:, None] == frequent[None, :], np.float64)


def _fit(rows: Floats, labels: Floats) -> Floats:
    """Fit a logistic regression with a ridge by Newton's method; both sides weigh alike."""
    share = labels.mean()
    importance = np.where(labels == 1, 0.5 / share, 0.5 / (1 - share))
    weights = np.zeros(rows.shape[1])
    ridge = np.full(rows.shape[1], _PENALTY)
    ridge[0] = 1e-9
    for _ in range(_STEPS):
        chances = 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))
        gradient = rows.T @ (importance * (labels - chances)) - ridge * weights
        curvature = (rows * (importance * chances * (1 - chances))[:, None]).T @ rows + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        weights += step
        if np.abs(step).max() < 1e-6:
            break
    return weights


def _rank(scores: Floats, is_current: NDArray[np.bool_]) -> tuple[float, float]:
    from scipy import stats

    scores = np.round(scores, 12)
    m, n = int(is_current.sum()), int((~is_current).sum())
    found = stats.mannwhitneyu(scores[is_current], scores[~is_current], alternative="greater")
    return float(found.statistic) / (m * n), float(found.pvalue)


def _verdict(
    effect: float, p_value: float, sizes: tuple[int, int], limits: tuple[float, float, float]
) -> tuple[DriftVerdict, int | None]:
    from scipy import special

    tau_warn, tau_error, alpha = limits
    if p_value < alpha and effect >= tau_warn:
        return (DriftVerdict.ERROR if effect >= tau_error else DriftVerdict.WARN), None
    # When nothing changed the AUC varies by (n + m + 1) / (12 n m).
    n, m = sizes
    critical = float(special.ndtri(1 - alpha)) * np.sqrt((n + m + 1) / (12 * n * m))
    if special.ndtr((tau_warn - critical) / np.sqrt((n + m + 1) / (12 * n * m))) >= HALF:
        return DriftVerdict.STABLE, None
    return DriftVerdict.UNTESTABLE, int(np.ceil((float(special.ndtri(1 - alpha)) / tau_warn) ** 2 / 6))


def _importance(
    features: _Features,
    rank: Sequence[NDArray[Any]],
    weights: Floats,
    is_current: NDArray[np.bool_],
    auc: float,
    generator: np.random.Generator,
) -> dict[str, float]:
    lost = {}
    for place, name in enumerate(features.names):
        found = []
        for _ in range(_SHUFFLES):
            order = generator.permutation(len(is_current))
            found.append(_rank(features.rows(rank, place, order) @ weights, is_current)[0])
        lost[name] = max(0.0, auc - float(np.mean(found)))
    return dict(sorted(lost.items(), key=lambda item: (-round(item[1], 6), item[0])))
