"""Where rows go: pure functions from hashes, times and strata to a part for each row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from foldstore.views.instant import parse_duration, parse_instant
from foldstore.views.splits.sharing import UNASSIGNED
from foldstore.views.splits.split import TEST, TRAIN, VALIDATION, SplitSpec
from foldstore.views.splits.xxh3 import Words
from foldstore.views.time_column import Instants

Parts: TypeAlias = NDArray[np.uint8]
Labels: TypeAlias = NDArray[np.int64]

_HASH_RANGE: Final = 2**64


def place_by_hash(hashes: Words, spec: SplitSpec) -> Parts:
    """Give each hash the part whose range it falls into.

    Examples
    --------
    >>> spec = SplitSpec("half", dataset="d", train=0.5, test=0.5, key=["id"])
    >>> place_by_hash(np.array([0, 2**63 - 1, 2**63], dtype=np.uint64), spec).tolist()
    [1, 1, 3]
    """
    parts = np.full(len(hashes), TRAIN, dtype=np.uint8)
    for part, start in zip((VALIDATION, TEST, UNASSIGNED), spec.thresholds(), strict=True):
        if start < _HASH_RANGE:
            parts[hashes >= np.uint64(start)] = part
    return parts


def place_by_time(times: Instants, spec: SplitSpec) -> Parts:
    """Give each row the part of its time; what lies in a gap, or has no time, has none."""
    boundaries = [parse_instant(boundary) for boundary in spec.boundaries]
    codes = np.array([TRAIN, TEST] if len(boundaries) == 1 else [TRAIN, VALIDATION, TEST], dtype=np.uint8)
    parts: Parts = codes[np.searchsorted(np.array(boundaries, dtype=np.int64), times.values, side="right")]
    purge, embargo = parse_duration(spec.purge), parse_duration(spec.embargo)
    for boundary in boundaries:
        # Python's integers: a gap may reach beyond what int64 holds, and then covers all of that side.
        parts[(times.values >= boundary - purge) & (times.values < boundary + embargo)] = UNASSIGNED
    if times.nulls is not None:
        parts[times.nulls] = UNASSIGNED
    return parts


@dataclass(frozen=True, slots=True, eq=False)
class TimedFolds:
    """Where rows lie among contiguous folds.

    Attributes
    ----------
    blocks : ndarray of uint8
        The block of each row, from 1; 0 without a time.
    first, last : ndarray of uint8
        The row lies in, or too near to, the blocks from the first to the last: they are not held out against it.
    """

    blocks: Parts
    first: Parts
    last: Parts


def place_in_folds(hashes: Words, k: int) -> Parts:
    """Give each hash one of k folds, from 1: ``floor(hash * k / 2^64) + 1``.

    Examples
    --------
    >>> place_in_folds(np.array([0, 2**63 - 1, 2**63, 2**64 - 1], dtype=np.uint64), 2).tolist()
    [1, 1, 2, 2]
    """
    # In halves of 32 bits the product is exact in 64 for k below 2^32.
    low = (hashes & np.uint64(2**32 - 1)) * np.uint64(k) >> np.uint64(32)
    fold = ((hashes >> np.uint64(32)) * np.uint64(k) + low) >> np.uint64(32)
    return (fold + np.uint64(1)).astype(np.uint8)


def place_in_blocks(times: Instants, boundaries: Sequence[int], purge: int, embargo: int) -> TimedFolds:
    """Cut times at boundaries, and find what lies too near to a block to be trained on when it is held out.

    A row less than `purge` before the first instant of a block, or less than `embargo` behind its end, is too near.
    """
    edges = np.array(boundaries, dtype=np.int64)
    blocks = np.searchsorted(edges, times.values, side="right").astype(np.int64) + 1
    # A row at t is too near to block j before it when end(j) > t - embargo, and to block j behind it when
    # begin(j) <= t + purge; block 1 has no begin and the last no end. Python's integers do not overflow.
    first = np.ones(len(blocks), dtype=np.int64)
    last = np.ones(len(blocks), dtype=np.int64)
    for edge in boundaries:
        first += times.values >= edge + embargo
        last += times.values >= edge - purge
    if times.nulls is not None:
        for places in (blocks, first, last):
            places[times.nulls] = 0
    return TimedFolds(*(places.astype(np.uint8) for places in (blocks, first, last)))
