"""How shares of nulls compare: of every column, whether its values can be compared or not.

Two proportions, tested exactly where counts are small; the effect is Cohen's h, less what chance alone would give.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, pi, sqrt
from typing import Any, ClassVar, Final, Literal

import numpy as np

from foldstore.datastore.statistics.column import ColumnProfile
from foldstore.datastore.statistics.pinned import GridCounts
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.drift.verdict import FLAGS, DriftVerdict, verdict_of
from foldstore.validation.intervals import cohen_h, two_sided

# Below so many expected nulls (or values) on a side the normal law is too kind to the skewed tail that adjustment over
# many columns asks for: at a level of 0.0006 it would be wrong three times as often as stated from 5 expected on.
_EXACT: Final = 100


@dataclass(frozen=True, slots=True)
class NullCounts:
    """How many rows of one side are null.

    Attributes
    ----------
    nulls, rows : int
    """

    nulls: int
    rows: int

    @classmethod
    def of_grid(cls, counts: GridCounts) -> "NullCounts":
        """Return them from counts on a grid."""
        return cls(counts.nulls, counts.total + counts.nan + counts.nulls)

    @classmethod
    def of_column(cls, column: ColumnProfile) -> "NullCounts":
        """Return them from a column's profile."""
        return cls(column.nulls, column.rows)

    @property
    def share(self) -> float:
        """The share of rows that are null; 0 without rows."""
        return self.nulls / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NullTarget:
    """A column whose share of nulls is to be compared.

    Attributes
    ----------
    column : str
    reference, current : NullCounts
    policy : DriftPolicy
    """

    column: str
    reference: NullCounts
    current: NullCounts
    policy: DriftPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class NullDrift:
    """How the share of nulls of one column compares with the reference.

    Attributes
    ----------
    nulls_alone : bool
        True: of a `ColumnDrift`, which has values too, it is not.
    column : str
    nulls_reference, rows_reference, nulls_current, rows_current : int
    effect : float
        Cohen's h between the shares, debiased: 0.1 is 0 % -> 0.25 %, or 50 % -> 55 %; pi is 0 % -> 100 %.
    p_value, p_adjusted : float
        Of the hypothesis that nothing changed; adjusted over the columns.
    detectable : float
        The effect that so many rows show half of the time.
    needed : int or None
        How many rows would show a change of the limit, where these do not; None if no number would.
    verdict : DriftVerdict
        ``untestable`` where nothing was found, and the rows are too few to show a change of the limit.
    """

    nulls_alone: ClassVar[Literal[True]] = True

    column: str
    nulls_reference: int
    rows_reference: int
    nulls_current: int
    rows_current: int
    effect: float
    p_value: float
    p_adjusted: float
    detectable: float
    needed: int | None = None
    verdict: DriftVerdict

    @property
    def before(self) -> float:
        """The share of nulls in the reference."""
        return NullCounts(self.nulls_reference, self.rows_reference).share

    @property
    def after(self) -> float:
        """The share of nulls in what is compared."""
        return NullCounts(self.nulls_current, self.rows_current).share

    @property
    def verdicts(self) -> tuple[DriftVerdict, ...]:
        """The verdict of the nulls, as a column has one of its values besides."""
        return (self.verdict,)

    @property
    def is_flagged(self) -> bool:
        """Whether the share moved by more than chance, and by a limit."""
        return self.verdict in FLAGS

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return plain | {"before": self.before, "after": self.after, "verdict": str(self.verdict)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "NullDrift":
        """Read what `to_dict` gave."""
        kept = {name: value for name, value in data.items() if name not in ("before", "after")}
        return cls(**{**kept, "verdict": DriftVerdict(data["verdict"])})


def compare_nulls(reference: NullCounts, current: NullCounts) -> tuple[float, float]:
    """Return the debiased Cohen h of two shares of nulls, and the p-value of no change.

    The two-proportion z test; where an expected count is below a hundred, Fisher's exact test.

    Examples
    --------
    >>> [round(each, 4) for each in compare_nulls(NullCounts(2, 1000), NullCounts(800, 1000))]
    [2.1244, 0.0]
    """
    (a, n), (b, m) = (reference.nulls, reference.rows), (current.nulls, current.rows)
    if not n or not m or a + b in (0, n + m):
        return 0.0, 1.0
    h = cohen_h(a / n, b / m)
    # Under no change E[h^2] is about 1/N + 1/M: the arcsine makes the variance constant.
    effect = sqrt(max(0.0, h * h - (1 / n + 1 / m)))
    pooled = (a + b) / (n + m)
    if min(n, m) * min(pooled, 1 - pooled) < _EXACT:
        return effect, fisher_p((a, n), (b, m))
    from scipy import special

    z = (a / n - b / m) / sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return effect, float(2 * special.ndtr(-abs(z)))


def fisher_p(one: tuple[int, int], other: tuple[int, int]) -> float:
    """Return the two-sided p-value of Fisher's exact test of two shares, ``a of n`` and ``b of m``.

    The chance, given all margins, of a table that is as unlikely or more (Fisher 1934; Agresti 2013, 3.5.1). As many
    numbers are made as the rarer of nulls and values, or the smaller side, could give: hundreds as a rule.

    Examples
    --------
    >>> round(fisher_p((8, 10), (1, 6)), 6)
    0.034965
    """
    (a, n), (b, m) = sorted((one, other), key=lambda each: each[1])
    hits = a + b
    if 2 * hits > n + m:  # count what is rarer
        a, hits = n - a, n + m - hits
    low, high = max(0, hits - m), min(n, hits)
    x = np.arange(low, high, dtype=np.float64)
    # log of the ratio of each chance to the one before it
    steps = np.log((hits - x) / (x + 1)) + np.log((n - x) / (m - hits + x + 1))
    logs = np.concatenate([[0.0], np.cumsum(steps)])
    logs -= logs.max()
    chances = np.exp(logs)
    # Tables that are alike by symmetry differ in the last bits.
    rarer = logs <= logs[a - low] + 1e-9
    return min(1.0, float(chances[rarer].sum() / chances.sum()))


def judge_nulls(target: NullTarget, tested: tuple[float, float], p_adjusted: float) -> NullDrift:
    """Return what is to be made of a share of nulls."""
    policy, (effect, p_value) = target.policy, tested
    n, m = target.reference.rows, target.current.rows
    verdict = verdict_of(effect, p_adjusted, (policy.null_warn, policy.null_error), policy.alpha)
    detectable, needed = _power(n, m, policy)
    is_hidden = verdict is DriftVerdict.STABLE and detectable > policy.null_warn
    return NullDrift(
        column=target.column,
        nulls_reference=target.reference.nulls,
        rows_reference=n,
        nulls_current=target.current.nulls,
        rows_current=m,
        effect=effect,
        p_value=p_value,
        p_adjusted=p_adjusted,
        detectable=detectable,
        needed=needed if is_hidden else None,
        verdict=DriftVerdict.UNTESTABLE if is_hidden else verdict,
    )


def _power(n: int, m: int, policy: DriftPolicy) -> tuple[float, int | None]:
    """Return the effect that so many rows show half of the time, and how many rows show the limit so often, if any.

    The deviation of h is the root of ``1/N + 1/M``, and its square less that is the debiased effect's.
    """
    if not n or not m or not policy.alpha:
        return pi, None
    beyond = max(0.0, two_sided(1 - policy.alpha) ** 2 - 1)
    rest = policy.null_warn**2 / beyond - 1 / n if beyond else 0.0
    return min(pi, sqrt(beyond * (1 / n + 1 / m))), ceil(1 / rest) if rest > 0 else None
