"""How many dimensions rows really fill: what decides how fast neighbours come near."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def intrinsic_dimension(reference: Floats, asked: Floats, neighbours: Ints) -> float:
    """Estimate the dimension of the surface that rows lie on; 0 where they are copies of a few.

    Levina and Bickel's maximum likelihood (2004) from the distances to k neighbours, with the inverses averaged as
    MacKay and Ghahramani (2005) say: ``1 / mean(mean_j(log(T_k / T_j)))``. Rows with an equal row among the neighbours
    say nothing of a continuum and are left out.

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(2000, 2))
    >>> from foldstore.validation.feasibility.neighbours import find_neighbours
    >>> near = find_neighbours(rows[:1000], rows[1000:], [(0, 1000)], 20)[0]
    >>> round(intrinsic_dimension(rows[:1000], rows[1000:], near))
    2
    """
    gaps: Floats = np.empty(neighbours.shape)
    for place in range(neighbours.shape[1]):
        difference = reference[neighbours[:, place]] - asked
        gaps[:, place] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    apart = gaps[:, 0] > 0
    if apart.mean() < 0.5 or gaps.shape[1] < 3:
        return 0.0
    logs = np.log(gaps[apart, -1:] / gaps[apart, :-1])
    inverse = float(logs.sum(axis=1).mean() / (gaps.shape[1] - 2))
    return 1 / inverse if inverse > 0 else float("inf")
