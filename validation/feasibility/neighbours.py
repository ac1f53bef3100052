"""The nearest neighbours of rows, and what they vote for."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Beyond so many dimensions a tree visits most rows anyway; a product of matrices does that faster.
_TREE: Final = 8
_BLOCK: Final = 4_000_000
# The last bits of a product of matrices differ between processors; rows as near as each other to so many decimals are
# equally near everywhere, and the earlier one comes first.
_DECIMALS: Final = 8


def find_neighbours(reference: Floats, asked: Floats, chunks: Sequence[tuple[int, int]], k: int) -> list[Ints]:
    """Return the k nearest rows of each chunk of the reference, the nearest first, for each row that is asked for.

    Parameters
    ----------
    reference, asked : array, rows x dimensions
    chunks : sequence of pair of int
        Ranges of rows of the reference that are looked through, each for itself.
    k : int
        A chunk with fewer rows gives all of its rows.

    Returns
    -------
    list of array, asked rows x k
        Places in the whole reference.

    Examples
    --------
    >>> line = np.array([[0.0], [1.0], [2.0], [10.0]])
    >>> find_neighbours(line, np.array([[1.2]]), [(0, 4), (2, 4)], 2)
    [array([[1, 2]]), array([[2, 3]])]
    """
    reference, asked = np.round(reference, _DECIMALS), np.round(asked, _DECIMALS)
    if reference.shape[1] <= _TREE:
        return [_by_tree(reference[start:stop], asked, k) + start for start, stop in chunks]
    found: list[list[Ints]] = [[] for _ in chunks]
    for distances in _blocks(reference, asked):
        for into, (start, stop) in zip(found, chunks, strict=True):
            into.append(_smallest(distances[:, start:stop], k) + start)
    return [np.concatenate(parts) for parts in found]


def vote(neighbours: Ints, labels: Ints, classes: int) -> Ints:
    """Return the most frequent label of neighbours; of equally frequent ones the nearest neighbour's, or the first.

    Examples
    --------
    >>> vote(np.array([[0, 1, 2], [2, 0, 1]]), np.array([0, 1, 1]), 2).tolist()
    [1, 1]
    """
    near = labels[neighbours]
    if near.shape[1] == 1:
        return np.asarray(near[:, 0])
    rows = np.arange(len(near))
    votes = np.zeros((len(near), classes))
    for place in range(near.shape[1]):
        votes[rows, near[:, place]] += 1
    votes[rows, near[:, 0]] += 0.5
    winners: Ints = votes.argmax(axis=1)
    return winners


def squared_distances(reference: Floats, asked: Floats) -> Floats:
    """Return the squared distance of each row asked for to each of the reference."""
    lengths = np.einsum("ij,ij->i", reference, reference)
    own = np.einsum("ij,ij->i", asked, asked)
    distances = asked @ (-2.0 * reference.T)
    distances += lengths[None, :]
    distances += own[:, None]
    return np.maximum(distances, 0.0, out=distances)


def _by_tree(reference: Floats, asked: Floats, k: int) -> Ints:
    wanted = min(k, len(reference))
    places = cKDTree(reference).query(asked, k=np.arange(1, wanted + 1))[1]
    return np.asarray(places, np.int64)


def _blocks(reference: Floats, asked: Floats) -> Iterator[Floats]:
    """Yield distances of blocks of rows, so that no more than 32 MB are held."""
    step = max(1, _BLOCK // len(reference))
    earlier_first = np.arange(len(reference)) * (10.0**-_DECIMALS / (2 * len(reference)))
    for start in range(0, len(asked), step):
        distances = squared_distances(reference, asked[start : start + step])
        np.round(distances, _DECIMALS, out=distances)
        distances += earlier_first
        yield distances


def _smallest(distances: Floats, k: int) -> Ints:
    if k >= distances.shape[1]:
        return np.argsort(distances, axis=1, kind="stable")
    if k == 1:
        nearest: Ints = distances.argmin(axis=1)[:, None]
        return nearest
    places = np.argpartition(distances, k - 1, axis=1)[:, :k]
    order = np.argsort(np.take_along_axis(distances, places, axis=1), axis=1, kind="stable")
    return np.asarray(np.take_along_axis(places, order, axis=1))
