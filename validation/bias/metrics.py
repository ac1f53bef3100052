"""The measures of bias in data, as pure functions over counts.

Facet d is the group that is looked at, facet a all other rows. ``P_a(y)`` and ``P_d(y)`` are the shares of each
label y in them, ``q`` the share of the positive label. Logarithms are natural: divergences are in nats.

Sources: Das, Donini, Gelman, Haas, Hardt, Katzman, Kenthapadi, Larroy, Yilmaz, Zafar 2021, Fairness Measures for
Machine Learning in Finance (Journal of Financial Data Science 3(4)); the developer guide of Amazon SageMaker
Clarify, Measure Pre-training Bias; Wachter, Mittelstadt, Russell 2020, Why Fairness Cannot Be Automated
(arXiv:2005.05906), for conditional demographic disparity.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from foldstore.validation.drift.measures import divergence

Shares: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What a measure is and how it is read.

    Attributes
    ----------
    name, formula, range : str
    zero : str
        What 0 means.
    sign : str
        What a value above 0 means, and one below where there can be one.
    large : float
        From which magnitude on a report puts the value into words; of the L-p norm for p = 2.
    """

    name: str
    formula: str
    range: str
    zero: str
    sign: str
    large: float


# What counts as large: a tenth, as points of a share. KL, JS and the 2-norm have the value that such a difference gives
# between the shares 0.45 and 0.55 of a label of two values; a facet with an imbalance of 0.8 is a tenth of the rows.
_POINTS: Final = 0.1
METRICS: Final[Mapping[str, Metric]] = MappingProxyType(
    {
        "ci": Metric(
            name="class imbalance",
            formula="(n_a - n_d) / (n_a + n_d)",
            range="[-1, 1]",
            zero="facet d is half of the rows",
            sign="above 0 facet d is the smaller side, below 0 the larger",
            large=0.8,
        ),
        "dpl": Metric(
            name="difference in proportions of labels",
            formula="q_a - q_d",
            range="[-1, 1]",
            zero="the positive label is as frequent in d as in the others",
            sign="above 0 it is rarer in d, below 0 more frequent",
            large=_POINTS,
        ),
        "kl": Metric(
            name="Kullback-Leibler divergence",
            formula="sum P_a ln(P_a / P_d)",
            range="[0, inf]",
            zero="the labels are shared out alike",
            sign="no sign; infinite when d lacks a label that the others have",
            large=_POINTS * float(np.log(0.55 / 0.45)),
        ),
        "js": Metric(
            name="Jensen-Shannon divergence",
            formula="(KL(P_a, M) + KL(P_d, M)) / 2, M = (P_a + P_d) / 2",
            range="[0, ln 2]",
            zero="the labels are shared out alike",
            sign="no sign; ln 2 when no label occurs on both sides",
            large=float(0.55 * np.log(1.1) + 0.45 * np.log(0.9)),
        ),
        "lp": Metric(
            name="L-p norm",
            formula="(sum |P_a - P_d|^p)^(1/p), p = 2 unless given",
            range="[0, 2^(1/p)]",
            zero="the labels are shared out alike",
            sign="no sign",
            large=_POINTS * float(np.sqrt(2)),
        ),
        "tvd": Metric(
            name="total variation distance",
            formula="sum |P_a - P_d| / 2",
            range="[0, 1]",
            zero="the labels are shared out alike",
            sign="no sign; the share of the rows of one side that would need another label",
            large=_POINTS,
        ),
        "ks": Metric(
            name="Kolmogorov-Smirnov",
            formula="max |P_a - P_d|",
            range="[0, 1]",
            zero="the labels are shared out alike",
            sign="no sign; the largest difference at any one label",
            large=_POINTS,
        ),
        "dd": Metric(
            name="demographic disparity",
            formula="n_d(0) / n(0) - n_d(1) / n(1)",
            range="[-1, 1]",
            zero="d is as large a part of the negative labels as of the positive ones",
            sign="above 0 d has more than its part of the negative labels, below 0 of the positive ones",
            large=_POINTS,
        ),
        "cddl": Metric(
            name="conditional demographic disparity in labels",
            formula="sum n_i DD_i / n over the strata i",
            range="[-1, 1]",
            zero="within the strata, on average, there is no disparity",
            sign="as that of the demographic disparity",
            large=_POINTS,
        ),
    }
)


def is_large(key: str, value: float | None, p: float = 2.0) -> bool:
    """Say whether the magnitude of a metric reaches what counts as large; the last bits do not decide.

    Examples
    --------
    >>> is_large("dpl", -0.1), is_large("ci", 0.5), is_large("lp", 0.15, p=1)
    (True, False, False)
    """
    if value is None:
        return False
    limit = _POINTS * 2 ** (1 / p) if key == "lp" else METRICS[key].large
    return abs(value) >= limit * (1 - 1e-9)


def class_imbalance(n_a: int, n_d: int) -> float:
    """Return ``(n_a - n_d) / (n_a + n_d)``: above 0 when facet d has fewer rows than the others.

    Examples
    --------
    >>> class_imbalance(75, 25)
    0.5
    """
    return (n_a - n_d) / (n_a + n_d)


def difference_in_proportions(positive_a: int, n_a: int, positive_d: int, n_d: int) -> float:
    """Return ``q_a - q_d``: above 0 when the positive label is rarer in facet d than in the others.

    Examples
    --------
    >>> difference_in_proportions(8, 10, 3, 10)
    0.5
    """
    return positive_a / n_a - positive_d / n_d


def kullback_leibler(a: ArrayLike, d: ArrayLike, *, smoothing: float = 0.0) -> float:
    """Return ``sum P_a ln(P_a / P_d)`` in nats (Kullback and Leibler 1951), from the counts of each label.

    A label that a lacks adds nothing. One that a has and d lacks makes it infinite: no rows of d say how rare the
    label is there. `smoothing` adds a number to each count of both sides, and to no other measure.

    Examples
    --------
    >>> round(kullback_leibler([80, 20], [30, 70]), 4), kullback_leibler([80, 20], [10, 0])
    (0.5341, inf)
    """
    p = _shares(np.asarray(a, np.float64) + smoothing)
    q = _shares(np.asarray(d, np.float64) + smoothing)
    there = p > 0
    if (q[there] == 0).any():
        return inf
    return max(0.0, float((p[there] * np.log(p[there] / q[there])).sum()))


def jensen_shannon(a: ArrayLike, d: ArrayLike) -> float:
    """Return the Jensen-Shannon divergence in nats, 0 to ln 2 (Lin 1991), from the counts of each label.

    Examples
    --------
    >>> round(jensen_shannon([80, 20], [30, 70]), 4), round(jensen_shannon([5, 0], [0, 7]), 4)
    (0.1325, 0.6931)
    """
    return float(divergence(np.asarray(a, np.int64), np.asarray(d, np.int64)))


def lp_norm(a: ArrayLike, d: ArrayLike, p: float = 2.0) -> float:
    """Return ``(sum |P_a - P_d|^p)^(1/p)`` from the counts of each label; for p infinite the largest difference.

    Examples
    --------
    >>> round(lp_norm([80, 20], [30, 70]), 4), round(lp_norm([80, 20], [30, 70], 1), 4)
    (0.7071, 1.0)
    """
    apart = np.abs(_shares(np.asarray(a, np.float64)) - _shares(np.asarray(d, np.float64)))
    largest = float(apart.max(initial=0.0))
    if p == inf or largest == 0:
        return largest
    # Of what is left after the largest difference no power is too small to be told from 0.
    return largest * float(((apart / largest) ** p).sum() ** (1 / p))


def total_variation(a: ArrayLike, d: ArrayLike) -> float:
    """Return half the sum of the differences of shares, 0 to 1.

    Examples
    --------
    >>> round(total_variation([40, 40, 20], [20, 10, 70]), 4)
    0.5
    """
    return min(1.0, lp_norm(a, d, 1) / 2)


def kolmogorov_smirnov(a: ArrayLike, d: ArrayLike) -> float:
    """Return the largest difference of shares at any one label.

    This is Clarify's measure: it compares shares label by label. The statistic of Kolmogorov and Smirnov for ordered
    values compares cumulated shares; for labels of two values they are the same.

    Examples
    --------
    >>> round(kolmogorov_smirnov([40, 40, 20], [20, 10, 70]), 4)
    0.5
    """
    return lp_norm(a, d, inf)


def demographic_disparity(
    negative_d: ArrayLike, negative: ArrayLike, positive_d: ArrayLike, positive: ArrayLike
) -> Shares:
    """Return ``n_d(0)/n(0) - n_d(1)/n(1)``: d's part of the negative labels less its part of the positive ones.

    It has the sign of ``q_a - q_d``. Where all labels are alike there is no disparity, and it is 0; the open code of
    Clarify takes the missing part for 0 there, so that a stratum without any rejection counts as a disparity.

    Parameters
    ----------
    negative_d, positive_d : array of int
        Rows of facet d, for each stratum.
    negative, positive : array of int
        All rows, for each stratum.

    Examples
    --------
    >>> demographic_disparity([60], [100], [50], [100]).round(4).tolist()
    [0.1]
    """
    there = (np.asarray(negative) > 0) & (np.asarray(positive) > 0)
    rejected = np.asarray(negative_d) / np.maximum(negative, 1)
    accepted = np.asarray(positive_d) / np.maximum(positive, 1)
    return np.where(there, rejected - accepted, 0.0)


def conditional_disparity(
    negative_d: ArrayLike, negative: ArrayLike, positive_d: ArrayLike, positive: ArrayLike
) -> float:
    """Return ``sum n_i DD_i / n``: the demographic disparity within strata, weighted by their rows.

    Examples
    --------
    >>> round(conditional_disparity([6, 1], [10, 10], [5, 1], [10, 10]), 4)
    0.05
    """
    rows = np.asarray(negative) + np.asarray(positive)
    within = demographic_disparity(negative_d, negative, positive_d, positive)
    return float((rows * within).sum() / max(int(rows.sum()), 1))


def most_imbalanced(a: ArrayLike, d: ArrayLike, labels: Sequence[str]) -> str:
    """Return the label at which the shares differ most; of equal ones the first.

    Examples
    --------
    >>> most_imbalanced([40, 40, 20], [20, 10, 70], ["rejected", "waiting", "accepted"])
    'accepted'
    """
    apart = np.abs(_shares(np.asarray(a, np.float64)) - _shares(np.asarray(d, np.float64)))
    return labels[int(np.argmax(np.round(apart, 12)))]


def _shares(counts: Shares) -> Shares:
    total = float(counts.sum())
    return counts / total if total else counts
