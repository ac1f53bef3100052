"""Densities of classes by Gaussian kernels, and the class that is most likely where a row lies."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foldstore.validation.feasibility.neighbours import squared_distances

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DensityEstimate:
    """What kernel densities say of rows that they were not made from.

    Attributes
    ----------
    errors : int
        Rows whose class is not the most likely one.
    plug_in : float
        ``1 - mean(max posterior)``: the Bayes error if the densities were right.
    """

    errors: int
    plug_in: float


def estimate_density(reference: Floats, labels: Ints, asked: Floats, wanted: Ints, classes: int) -> DensityEstimate:
    """Estimate the posteriors of held-out rows by one kernel density a class.

    The width in each dimension is the spread within classes times ``n^(-1/(d+4))`` (Scott 1992, Multivariate Density
    Estimation). Logarithms are added, so that rows far from everything have posteriors too.

    Examples
    --------
    >>> line = np.linspace(0, 1, 40)[:, None]
    >>> estimate_density(line, (line[:, 0] > 0.5).astype(int), line, (line[:, 0] > 0.5).astype(int), 2).errors
    0
    """
    dimensions = reference.shape[1]
    within = np.sqrt(np.mean([reference[labels == c].var(axis=0) for c in np.unique(labels)], axis=0))
    within[within == 0] = 1.0
    scores = np.full((len(asked), classes), -np.inf)
    for place in range(classes):
        own = reference[labels == place] / within
        if not len(own):
            continue
        width = len(own) ** (-1 / (dimensions + 4))
        scores[:, place] = _log_density(own / width, asked / within / width)
        scores[:, place] += np.log(len(own) / len(reference)) - dimensions * np.log(width)
    top = scores.max(axis=1, keepdims=True)
    posteriors = np.exp(scores - top)
    posteriors /= posteriors.sum(axis=1, keepdims=True)
    errors = int((scores.argmax(axis=1) != wanted).sum())
    return DensityEstimate(errors, float(1 - posteriors.max(axis=1).mean()))


def _log_density(own: Floats, asked: Floats) -> Floats:
    """Return the logarithm of the mean kernel at each row, but for a constant that all classes share."""
    found = np.empty(len(asked))
    step = max(1, 4_000_000 // len(own))
    for start in range(0, len(asked), step):
        exponents = squared_distances(own, asked[start : start + step]) / -2
        most = exponents.max(axis=1)
        found[start : start + step] = most + np.log(np.exp(exponents - most[:, None]).mean(axis=1))
    return found
