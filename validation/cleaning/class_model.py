"""A small model of classes: multinomial logistic regression over ranked numbers and frequent categories.

It stands in for the model that will be trained, to say which labels look wrong and which rows matter.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from foldstore.errors import UsageError

Floats = NDArray[np.float64]
MOST_CATEGORIES: Final = 30
MOST_FEATURES: Final = 1_000
_STEPS: Final = 200
_TOLERANCE: Final = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """How columns become numbers; learnt from some rows, applied to any.

    Attributes
    ----------
    numbers : mapping of str to array
        The sorted values of a column of numbers; a value becomes its rank, scaled to variance one.
    categories : mapping of str to tuple
        The frequent values of the other columns; each becomes a column of 0 and 1.
    """

    numbers: Mapping[str, Floats]
    categories: Mapping[str, tuple[Any, ...]]

    @classmethod
    def learn(cls, columns: Mapping[str, NDArray[Any]]) -> "Encoding":
        """Learn the ranks and the frequent values."""
        numbers, categories = {}, {}
        for name, values in columns.items():
            if values.dtype.kind in "fiub":
                plain = values.astype(np.float64)
                numbers[name] = np.sort(plain[~np.isnan(plain)])
            else:
                texts = np.array(["" if each is None else f"={each}" for each in values])
                found, counts = np.unique(texts, return_counts=True)
                categories[name] = tuple(found[np.argsort(-counts, kind="stable")][:MOST_CATEGORIES])
        return cls(numbers, categories)

    def apply(self, columns: Mapping[str, NDArray[Any]]) -> Floats:
        """Return the features of rows, with a constant in front."""
        blocks = [np.ones((len(next(iter(columns.values()))), 1))]
        for name, known in self.numbers.items():
            values = columns[name].astype(np.float64)
            missing = np.isnan(values)
            places = (np.searchsorted(known, values, "left") + np.searchsorted(known, values, "right")) / 2
            ranks = np.where(missing, 0.0, (places / max(1, len(known)) - 0.5) * np.sqrt(12))
            blocks += [ranks[:, None], missing[:, None].astype(np.float64)]
        for name, frequent in self.categories.items():
            texts = np.array(["" if each is None else f"={each}" for each in columns[name]])
            blocks.append((texts[:, None] == np.array(frequent)[None, :]).astype(np.float64))
        made = np.concatenate(blocks, axis=1)
        if made.shape[1] > MOST_FEATURES:
            raise UsageError(
                f"The columns make {made.shape[1]:,} features; at most {MOST_FEATURES:,} are learnt from.",
                hint="Name fewer columns.",
                code="cleaning-too-large",
            )
        return made


@dataclass(frozen=True, slots=True, eq=False)
class ClassModel:
    """Weights for each class.

    Attributes
    ----------
    weights : array, features x classes
    """

    weights: Floats

    def probabilities(self, rows: Floats) -> Floats:
        """Return the probability of each class for each row."""
        return softmax(rows @ self.weights)

    def gradient_norms(self, rows: Floats, labels: NDArray[np.int64]) -> Floats:
        """Return how much each row pulls at the weights: the norm of the gradient of its log loss."""
        errors = self.probabilities(rows)
        errors[np.arange(len(labels)), labels] -= 1
        return np.asarray(np.linalg.norm(rows, axis=1) * np.linalg.norm(errors, axis=1))


def softmax(scores: Floats) -> Floats:
    """Return probabilities of scores, row by row."""
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def fit_classes(rows: Floats, labels: NDArray[np.int64], classes: int, *, ridge: float = 1.0) -> ClassModel:
    """Fit a multinomial logistic regression by accelerated gradient descent (Nesterov 1983); it always converges.

    Examples
    --------
    >>> rows = np.column_stack([np.ones(40), np.repeat([-1.0, 1.0], 20)])
    >>> model = fit_classes(rows, np.repeat([0, 1], 20), 2)
    >>> bool((model.probabilities(rows).argmax(axis=1) == np.repeat([0, 1], 20)).all())
    True
    """
    wanted = np.eye(classes)[labels]
    # The curvature of the log loss is at most half the largest eigenvalue of the rows' products (Boehning 1992).
    largest = float(np.linalg.eigvalsh(rows.T @ rows)[-1])
    step = 1.0 / (largest / 2 + ridge)
    weights = ahead = np.zeros((rows.shape[1], classes))
    pace = 1.0
    for _ in range(_STEPS):
        gradient = rows.T @ (softmax(rows @ ahead) - wanted) + ridge * ahead
        following = ahead - step * gradient
        faster = (1 + np.sqrt(1 + 4 * pace * pace)) / 2
        moved = following - weights
        ahead = following + (pace - 1) / faster * moved
        weights, pace = following, faster
        if np.abs(moved).max() < _TOLERANCE:
            break
    return ClassModel(weights)


def predict_held_out(
    columns: Mapping[str, NDArray[Any]], labels: NDArray[np.int64], classes: int, folds: NDArray[np.int64]
) -> Floats:
    """Return the probabilities of each row by a model that has not seen its fold.

    Parameters
    ----------
    columns : mapping of str to array
        Numbers with NaN for null, or objects with None.
    labels : array of int64
        The class of each row.
    classes : int
    folds : array of int64
        The fold of each row.
    """
    made = np.zeros((len(labels), classes))
    for fold in np.unique(folds):
        held, rest = folds == fold, folds != fold
        if not rest.any():
            raise UsageError("There is one fold: nothing is left to learn from.", hint="Use two folds or more.")
        encoding = Encoding.learn({name: values[rest] for name, values in columns.items()})
        model = fit_classes(encoding.apply({n: v[rest] for n, v in columns.items()}), labels[rest], classes)
        made[held] = model.probabilities(encoding.apply({n: v[held] for n, v in columns.items()}))
    return made
