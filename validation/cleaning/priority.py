"""Which dirty rows to clean first: those that a model would feel, after ActiveClean (Krishnan et al. 2016).

The model of the data as they are is at its optimum: its gradients add up to zero. What cleaning a row can move goes
with the size of that row's gradient; a row that is dirty with probability p is worth ``p x |gradient|``. ActiveClean
samples rows in proportion to that, so that its steps stay unbiased; here the rows are ranked by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldstore.errors import UsageError
from foldstore.validation.cleaning.class_model import Encoding, Floats, fit_classes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CleaningPriority:
    """Rows in the order in which cleaning them is expected to help.

    Attributes
    ----------
    rows : array of uint64
        Row ids, the most useful first; rows that are not dirty are left out.
    scores : array of float64
        ``p(dirty) x |gradient|``, by row.
    """

    rows: NDArray[np.uint64]
    scores: Floats

    def __len__(self) -> int:
        return len(self.rows)

    def top(self, count: int) -> NDArray[np.uint64]:
        """Return the row ids of the first rows."""
        return self.rows[:count]

    def covered(self, count: int) -> float:
        """Return which share of all scores the first rows have."""
        total = float(self.scores.sum())
        return float(self.scores[:count].sum() / total) if total else 0.0


def rank_rows(
    columns: Mapping[str, NDArray[Any]],
    labels: NDArray[np.int64],
    dirty: Floats,
    ids: NDArray[np.uint64],
    *,
    classes: int,
    learn: NDArray[np.bool_] | None = None,
) -> CleaningPriority:
    """Rank rows by what cleaning them may change in a logistic model.

    Parameters
    ----------
    columns : mapping of str to array
        The features: numbers with NaN for null, or objects with None.
    labels : array of int64
        The class of each row.
    dirty : array of float64
        The probability that a row is dirty; 0 leaves it out.
    ids : array of uint64
        The row ids.
    classes : int
        How many classes there are.
    learn : array of bool, optional
        Which rows the model is fitted to, such as those of a train part; all unless given.

    Examples
    --------
    >>> x = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    >>> labels = np.array([0, 0, 0, 1, 1, 0])  # the last is on the wrong side
    >>> rank_rows({"x": x}, labels, np.full(6, 0.5), np.arange(6, dtype=np.uint64), classes=2).top(1).tolist()
    [5]
    """
    if not len(labels) or not columns:
        raise UsageError("There is nothing to learn from.", hint="Name columns of features.", code="nothing-to-learn")
    if len(dirty) != len(labels) or not np.isfinite(dirty).all() or dirty.min() < 0 or dirty.max() > 1:
        raise UsageError("dirty needs a probability for each row.", hint="From 0, clean, to 1.")
    chosen = np.ones(len(labels), np.bool_) if learn is None else learn
    encoding = Encoding.learn({name: values[chosen] for name, values in columns.items()})
    rows = encoding.apply(columns)
    model = fit_classes(rows[chosen], labels[chosen], classes)
    scores = dirty * model.gradient_norms(rows, labels)
    order = np.lexsort((ids, -scores))
    order = order[dirty[order] > 0]
    return CleaningPriority(rows=ids[order], scores=scores[order])
