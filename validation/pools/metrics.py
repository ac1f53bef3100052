"""What a retired pool tells of a model: accuracy, precision, recall and F1 of each class, with exact intervals.

Every interval is of one binomial count, so it is Clopper and Pearson's (Biometrika 26, 1934) at a level that the
report sets; it holds for any number of rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from scipy import special

MOST_CLASSES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One figure with its interval.

    Attributes
    ----------
    name : str
        ``accuracy``, ``precision``, ``recall``, ``f1``, ``differing`` (d) or ``advantage`` (n - o).
    of : object
        The class; None where all rows count.
    estimate : float or None
        None when no row counts.
    low, high : float
        The interval.
    """

    name: str
    of: Any = None
    estimate: float | None
    low: float
    high: float

    def __str__(self) -> str:
        what = self.name if self.of is None else f"{self.name} of {self.of!a}"
        estimate = "unknown" if self.estimate is None else f"{self.estimate:.4f}"
        return f"{what} {estimate} [{self.low:.4f}, {self.high:.4f}]"

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        return {name: getattr(self, name) for name in ("name", "of", "estimate", "low", "high")}


def count_metrics(classes: Sequence[Any], *, compared: bool) -> int:
    """Return how many intervals `measure` gives, so that a level can be shared out among them."""
    return 1 + 3 * len(classes) + (2 if compared else 0)


def list_classes(labels: pa.Array) -> list[Any]:
    """Return the classes that metrics are given for: the most frequent ones, at most 20, by value."""
    counted = labels.value_counts().to_pylist()
    counted.sort(key=lambda each: (-each["counts"], str(each["values"])))
    return sorted((each["values"] for each in counted[:MOST_CLASSES]), key=lambda value: (str(type(value)), value))


def measure(
    labels: pa.Array, new: pa.Array, old: pa.Array | None, *, classes: Sequence[Any], level: float
) -> list[Metric]:
    """Return the metrics of a model.

    Parameters
    ----------
    labels, new, old : Array
        What is true, what the model said, and what the model that it is compared with said.
    classes : sequence
        For which classes precision, recall and F1 are given.
    level : float
        The probability with which each interval may miss what it is of.

    Notes
    -----
    Precision, recall and accuracy are shares of rows. F1 = 2 J / (1 + J) grows with J, the share of the true positives
    among the rows where the label or the prediction is the class; its interval is that of J, mapped. The interval of
    n - o is wins' lower limit less losses' upper limit, and the reverse, each at half the level.

    Examples
    --------
    >>> labels, new = pa.array([True] * 8 + [False] * 2), pa.array([True] * 9 + [False])
    >>> print(measure(labels, new, None, classes=[True], level=0.05)[0])
    accuracy 0.9000 [0.5550, 0.9975]
    """
    right = pc.equal(new, labels)
    metrics = [_share("accuracy", _count(right), len(labels), level)]
    for value in classes:
        metrics += _measure_class(labels, new, value, level)
    if old is not None:
        metrics += _compare(right, pc.equal(old, labels), pc.not_equal(new, old), level)
    return metrics


def limits(successes: int, trials: int, level: float) -> tuple[float, float]:
    """Return the limits of a proportion that miss it with at most a probability; levels may be as small as floats are.

    Examples
    --------
    >>> [round(each, 4) for each in limits(8, 10, 0.05)]
    [0.4439, 0.9748]
    """
    side = level / 2
    if side <= 0 or trials == 0:
        return 0.0, 1.0
    low = float(special.betaincinv(successes, trials - successes + 1, side)) if successes else 0.0
    high = 1 - float(special.betaincinv(trials - successes, successes + 1, side)) if successes < trials else 1.0
    return low, high


def _measure_class(labels: pa.Array, new: pa.Array, value: Any, level: float) -> list[Metric]:
    actual, said = (pc.equal(each, pa.scalar(value, each.type)) for each in (labels, new))
    hits, either = _count(pc.and_(actual, said)), _count(pc.or_(actual, said))
    low, high = limits(hits, either, level)
    f1 = Metric(name="f1", of=value, estimate=_f1(hits / either) if either else None, low=_f1(low), high=_f1(high))
    return [
        _share("precision", hits, _count(said), level, value),
        _share("recall", hits, _count(actual), level, value),
        f1,
    ]


def _compare(right: pa.Array, old_right: pa.Array, differs: pa.Array, level: float) -> list[Metric]:
    rows = len(right)
    wins, losses = _count(pc.and_not(right, old_right)), _count(pc.and_not(old_right, right))
    (least_wins, most_wins), (least_losses, most_losses) = (limits(each, rows, level / 2) for each in (wins, losses))
    advantage = Metric(
        name="advantage",
        estimate=(wins - losses) / rows,
        low=least_wins - most_losses,
        high=most_wins - least_losses,
    )
    return [advantage, _share("differing", _count(differs), rows, level)]


def _share(name: str, successes: int, trials: int, level: float, value: Any = None) -> Metric:
    low, high = limits(successes, trials, level)
    return Metric(name=name, of=value, estimate=successes / trials if trials else None, low=low, high=high)


def _f1(jaccard: float) -> float:
    return 2 * jaccard / (1 + jaccard)


def _count(mask: pa.Array) -> int:
    return int(pc.sum(mask).as_py() or 0)
