"""What a fitted split remembers: hashes in ascending order, and the part that each went to."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from foldstore.views.splits.placement import Labels, Parts
from foldstore.views.splits.xxh3 import Words

Mask: TypeAlias = NDArray[np.bool_]


def number_hashes(hashes: Words) -> tuple[Words, Labels]:
    """Return the distinct hashes, ascending, and the place of each one's own among them.

    Examples
    --------
    >>> [each.tolist() for each in number_hashes(np.array([7, 3, 7], np.uint64))]
    [[3, 7], [1, 0, 1]]
    """
    order = np.argsort(hashes, kind="stable")  # for random words faster than numpy's default, and than np.unique
    ordered = hashes[order]
    new = np.ones(len(hashes), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    numbers = np.empty(len(hashes), dtype=np.int64)
    numbers[order] = np.cumsum(new) - 1
    return ordered[new], numbers


def recall(hashes: Words, parts: Parts, asked: Words) -> tuple[Mask, Parts]:
    """Return which hashes are remembered, and their parts.

    Examples
    --------
    >>> known, parts = recall(np.array([3, 9], np.uint64), np.array([1, 2], np.uint8), np.array([9, 4], np.uint64))
    >>> known.tolist(), parts[known].tolist()
    ([True, False], [2])
    """
    if not len(hashes):
        return np.zeros(len(asked), dtype=np.bool_), np.zeros(len(asked), dtype=np.uint8)
    places = np.minimum(np.searchsorted(hashes, asked), len(hashes) - 1)
    return hashes[places] == asked, parts[places]


def merge_hashes(hashes: Words, parts: Parts, new_hashes: Words, new_parts: Parts) -> tuple[Words, Parts]:
    """Add hashes to those that are remembered; what is remembered stays, and of new ones the first speaks.

    Examples
    --------
    >>> old, new = np.array([3], np.uint64), np.array([2, 3, 2], np.uint64)
    >>> [each.tolist() for each in merge_hashes(old, np.array([1], np.uint8), new, np.array([2, 2, 3], np.uint8))]
    [[2, 3], [2, 1]]
    """
    merged, first = np.unique(np.concatenate([hashes, new_hashes]), return_index=True)
    return merged, np.concatenate([parts, new_parts])[first]
