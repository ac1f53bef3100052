"""The minimum spanning tree of rows, and how many of its edges join two classes."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def count_crossing(rows: Floats, labels: Ints) -> int:
    """Count the edges of a minimum spanning tree that join rows of different labels.

    Prim's algorithm (1957), in memory that grows with the rows alone. Equal rows are no trouble, as they are for
    algorithms that read a distance of 0 as no edge: a row is joined to the last of those that are equally near, so that
    equal rows make a path and not a star whose centre decides everything.

    Examples
    --------
    >>> count_crossing(np.array([[0.0], [1.0], [2.0], [9.0]]), np.array([0, 0, 1, 1]))
    1
    """
    count = len(rows)
    nearest = np.full(count, np.inf)
    parents = np.zeros(count, np.int64)
    outside = np.ones(count, bool)
    last, crossing = 0, 0
    for _ in range(count - 1):
        outside[last] = False
        difference = rows - rows[last]
        distances = np.einsum("ij,ij->i", difference, difference)
        nearer = outside & (distances <= nearest)
        nearest[nearer], parents[nearer] = distances[nearer], last
        last = int(np.where(outside, nearest, np.inf).argmin())
        crossing += int(labels[last] != labels[parents[last]])
    return crossing
