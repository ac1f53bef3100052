"""Where rows go: pure functions from hashes, times and strata to a part for each row."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from foldstore.errors import UsageError
from foldstore.views.splits.instant import parse_duration, parse_instant
from foldstore.views.splits.split import TEST, TRAIN, UNASSIGNED, VALIDATION, SplitSpec
from foldstore.views.splits.time_column import Instants
from foldstore.views.splits.xxh3 import Words

Parts: TypeAlias = NDArray[np.uint8]
Labels: TypeAlias = NDArray[np.int64]

MOST_STRATA: Final = 10_000
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


def tie_together(units: Labels, duplicates: Labels, count: int) -> Labels:
    """Find which units hang together by duplicates: for each the smallest unit of its component.

    Labels shrink to the smallest neighbour's, and then to their label's label (pointer jumping), until none moves.
    """
    labels = np.arange(count, dtype=np.int64)
    if not len(units):
        return labels
    while True:
        smallest = np.full(int(duplicates.max()) + 1, count, dtype=np.int64)
        np.minimum.at(smallest, duplicates, labels[units])
        moved = labels.copy()
        np.minimum.at(moved, labels[units], smallest[duplicates])
        np.minimum.at(moved, units, smallest[duplicates])
        while not np.array_equal(jumped := moved[moved], moved):
            moved = jumped
        if np.array_equal(moved, labels):
            return labels
        labels = moved


def place_in_strata(
    components: Labels, strata: Words, hashes: Words, shares: tuple[Fraction, Fraction, Fraction]
) -> Parts:
    """Place components so that each stratum is shared out alike.

    Parameters
    ----------
    components : ndarray of int64
        The component of each row.
    strata : ndarray of uint64
        The hash of each row's stratum.
    hashes : ndarray of uint64
        The hash of each component.
    shares : tuple of Fraction
        Of train, validation and test.

    Returns
    -------
    ndarray of uint8
        The part of each component. When all are single rows, each part of each stratum is within one row of its
        share; otherwise within a few of the largest components.
    """
    distinct, codes = np.unique(strata, return_inverse=True)
    if len(distinct) > MOST_STRATA:
        raise UsageError(
            f"The column to stratify by has {len(distinct):,} values.", hint=f"It may have {MOST_STRATA:,}; bin it."
        )
    if len(components) == len(hashes):
        stratum = np.empty(len(hashes), dtype=np.int64)
        stratum[components] = codes
        return _place_ranked(stratum, distinct, hashes, shares)
    return _place_greedily(components, codes, hashes, shares)


def _place_ranked(
    stratum: Labels, distinct: Words, hashes: Words, shares: tuple[Fraction, Fraction, Fraction]
) -> Parts:
    """Cut each stratum's rows, in the order of their hashes, at their shares."""
    parts = np.full(len(hashes), UNASSIGNED, dtype=np.uint8)
    order = np.lexsort((hashes, stratum))
    ends = np.cumsum(np.bincount(stratum, minlength=len(distinct))).tolist()
    start = 0
    for end, name in zip(ends, distinct.tolist(), strict=True):
        members = order[start:end]
        # A fraction of the stratum's own, so that many small strata do not all round the same way.
        rounding = Fraction(name, _HASH_RANGE)
        first, cumulated = 0, Fraction(0)
        for part, share in zip((TRAIN, VALIDATION, TEST), shares, strict=True):
            cumulated += share
            last = int(cumulated * len(members) + rounding) if cumulated < 1 else len(members)
            parts[members[first:last]] = part
            first = last
        start = end
    return parts


def _place_greedily(
    components: Labels, codes: Labels, hashes: Words, shares: tuple[Fraction, Fraction, Fraction]
) -> Parts:
    """Give each component, the large ones first, to the part that is least full of what it holds."""
    count = len(hashes)
    totals = np.bincount(codes).tolist()
    pairs, rows = np.unique(components * len(totals) + codes, return_counts=True)
    owners = pairs // len(totals)
    bounds = np.searchsorted(owners, np.arange(count + 1)).tolist()
    strata, held = (pairs % len(totals)).tolist(), rows.tolist()
    # Classes of size, not sizes: within a class the hash decides, so that a seed makes a difference.
    size_class = np.frexp(np.bincount(components, minlength=count))[1]
    order = np.lexsort((hashes, -size_class)).tolist()
    wanted = [(part, float(share)) for part, share in zip((TRAIN, VALIDATION, TEST), shares, strict=True) if share]
    if sum(shares) < 1:
        wanted.append((UNASSIGNED, float(1 - sum(shares))))
    full = {part: [0.0] * len(totals) for part, _ in wanted}
    parts = np.empty(count, dtype=np.uint8)
    for component in order:
        content = list(zip(strata[bounds[component] : bounds[component + 1]],
                           held[bounds[component] : bounds[component + 1]], strict=True))  # fmt: skip
        part = min(wanted, key=lambda item: _fullness(full[item[0]], content, totals, item[1]))[0]
        for stratum, number in content:
            full[part][stratum] += number
        parts[component] = part
    return parts


def _fullness(full: Sequence[float], content: Sequence[tuple[int, int]], totals: Sequence[int], share: float) -> float:
    """Return how full a part would be of the strata that a component holds, relative to its share of them."""
    return sum(
        (full[stratum] + number) / (totals[stratum] * share) * number / totals[stratum] for stratum, number in content
    )
