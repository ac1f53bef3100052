"""Strata: components shared out so that each stratum is spread evenly over the parts."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.errors import UsageError
from foldstore.views.splits.placement import Labels, Parts
from foldstore.views.splits.sharing import UNASSIGNED
from foldstore.views.splits.xxh3 import Words

Mask: TypeAlias = NDArray[np.bool_]

MOST_STRATA: Final = 10_000
_HASH_RANGE: Final = 2**64


def number_strata(strata: Words) -> tuple[Words, Labels]:
    """Return the hashes of the strata, ascending, and for each row which one it is in.

    Raises
    ------
    UsageError
        When there are more than 10,000.
    """
    # Strata are few: a table of hashes is ten times as fast as sorting all rows.
    encoded = pa.array(strata).dictionary_encode()
    found = encoded.dictionary.to_numpy()
    if len(found) > MOST_STRATA:
        raise UsageError(
            f"What is stratified by has {len(found):,} values.", hint=f"It may have {MOST_STRATA:,}; bin it."
        )
    order = np.argsort(found)
    ranks = np.empty(len(found), dtype=np.int64)
    ranks[order] = np.arange(len(found))
    return found[order], ranks[encoded.indices.to_numpy()]


def place_in_strata(components: Labels, strata: Words, hashes: Words, shares: Sequence[Fraction]) -> Parts:
    """Place components so that each stratum is shared out alike.

    Parameters
    ----------
    components : ndarray of int64
        The component of each row.
    strata : ndarray of uint64
        The hash of each row's stratum.
    hashes : ndarray of uint64
        The hash of each component.
    shares : sequence of Fraction
        Of each part: of train, validation and test, or of the folds.

    Returns
    -------
    ndarray of uint8
        The part of each component. When all are single rows, each part of each stratum is within one row of its
        share; otherwise within a few of the largest components.
    """
    distinct, codes = number_strata(strata)
    if len(components) == len(hashes):
        stratum = np.empty(len(hashes), dtype=np.int64)
        stratum[components] = codes
        return _place_ranked(stratum, distinct, hashes, shares)
    return _place_greedily(components, codes, hashes, shares)


def _place_ranked(stratum: Labels, distinct: Words, hashes: Words, shares: Sequence[Fraction]) -> Parts:
    """Cut each stratum's rows, in the order of their hashes, at their shares."""
    parts = np.full(len(hashes), UNASSIGNED, dtype=np.uint8)
    order = _order(stratum, hashes)
    ends = np.cumsum(np.bincount(stratum, minlength=len(distinct))).tolist()
    start = 0
    for end, name in zip(ends, distinct.tolist(), strict=True):
        members = order[start:end]
        # A fraction of the stratum's own, so that many small strata do not all round the same way.
        rounding = Fraction(name, _HASH_RANGE)
        first, cumulated = 0, Fraction(0)
        for part, share in enumerate(shares, start=1):
            cumulated += share
            last = int(cumulated * len(members) + rounding) if cumulated < 1 else len(members)
            parts[members[first:last]] = part
            first = last
        start = end
    return parts


def _place_greedily(components: Labels, codes: Labels, hashes: Words, shares: Sequence[Fraction]) -> Parts:
    """Give each component, the large ones first, to the part that is least full of what it holds."""
    parts = np.empty(len(hashes), dtype=np.uint8)
    for component, part, _ in _share_greedily(components, codes, hashes, shares):
        parts[component] = part
    return parts


def _share_greedily(
    components: Labels, codes: Labels, hashes: Words, shares: Sequence[Fraction], chosen: Mask | None = None
) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """Yield components, or those chosen, with their parts and what they hold: pairs of a stratum and rows."""
    count = len(hashes)
    totals = np.bincount(codes).tolist()
    inside = slice(None) if chosen is None else chosen[components]
    pairs, rows = np.unique(components[inside] * len(totals) + codes[inside], return_counts=True)
    owners = pairs // len(totals)
    bounds = np.searchsorted(owners, np.arange(count + 1)).tolist()
    strata, held = (pairs % len(totals)).tolist(), rows.tolist()
    # Classes of size, not sizes: within a class the hash decides, so that a seed makes a difference.
    size_class = np.frexp(np.bincount(components, minlength=count))[1]
    order = np.lexsort((hashes, -size_class))
    order = (order if chosen is None else order[chosen[order]]).tolist()
    wanted = [(part, float(share)) for part, share in enumerate(shares, start=1) if share]
    if sum(shares) < 1:
        wanted.append((UNASSIGNED, float(1 - sum(shares))))
    full = {part: [0.0] * len(totals) for part, _ in wanted}
    for component in order:
        content = list(zip(strata[bounds[component] : bounds[component + 1]],
                           held[bounds[component] : bounds[component + 1]], strict=True))  # fmt: skip
        part = min(wanted, key=lambda item: _fullness(full[item[0]], content, totals, item[1]))[0]
        for stratum, number in content:
            full[part][stratum] += number
        yield component, part, content


def _fullness(full: Sequence[float], content: Sequence[tuple[int, int]], totals: Sequence[int], share: float) -> float:
    """Return how full a part would be of the strata that a component holds, relative to its share of them."""
    return sum(
        (full[stratum] + number) / (totals[stratum] * share) * number / totals[stratum] for stratum, number in content
    )


def fill_strata(components: Labels, strata: Words, hashes: Words, shares: Sequence[Fraction]) -> Parts:
    """Place components as `place_in_strata` does, then single rows so that each stratum comes out exactly.

    Components of several rows go first, the large ones before the small ones, each to the part that is least full of
    what it holds. The single rows of a stratum, in the order of their hashes, fill what is left of its shares: each
    part of each stratum is within one row of its share unless components alone go beyond it. Used by `ties/v1` and
    `folds/v1`; `place_in_strata` is what the first format of splits does.

    Returns
    -------
    ndarray of uint8
        The part of each component.
    """
    distinct, codes = number_strata(strata)
    parts = np.full(len(hashes), UNASSIGNED, dtype=np.uint8)
    several = np.bincount(components, minlength=len(hashes)) > 1
    filled = np.zeros((len(distinct), len(shares) + 1), dtype=np.int64)
    shared = _share_greedily(components, codes, hashes, shares, several) if several.any() else ()
    for component, part, content in shared:
        parts[component] = part
        for stratum, number in content:
            filled[stratum, part] += number
    counts = np.bincount(codes, minlength=len(distinct))
    rows = np.empty(len(hashes), dtype=np.int64)
    rows[components] = np.arange(len(components))
    singles = np.flatnonzero(~several)
    inside = codes[rows[singles]]
    order = singles[_order(inside, hashes[singles])]
    ends = np.cumsum(np.bincount(inside, minlength=len(distinct))).tolist()
    for stratum, (start, end) in enumerate(pairwise([0, *ends])):
        goals = _goals(int(counts[stratum]), int(distinct[stratum]), shares)
        spare = int(counts[stratum] - goals.sum() - filled[stratum, UNASSIGNED])
        cuts = start + _cuts(goals - filled[stratum, 1:], end - start, spare)
        for part, (first, last) in enumerate(pairwise([start, *cuts.tolist()]), start=1):
            parts[order[first:last]] = part
    return parts


def _order(strata: Labels, hashes: Words) -> Labels:
    """Return the places of rows by stratum, and within one by hash."""
    by_hash = None if (hashes[1:] >= hashes[:-1]).all() else np.argsort(hashes, kind="stable")
    ordered = strata if by_hash is None else strata[by_hash]
    order = np.argsort(ordered.astype(np.uint16), kind="stable")  # by radix: strata are at most 10,000
    return order if by_hash is None else by_hash[order]


def _goals(count: int, name: int, shares: Sequence[Fraction]) -> Labels:
    """Return how many rows of a stratum each part is to have."""
    # A fraction of the stratum's own, so that many small strata do not all round the same way.
    rounding, cumulated, ends = Fraction(name, _HASH_RANGE), Fraction(0), [0]
    for share in shares:
        cumulated += share
        ends.append(int(cumulated * count + rounding) if cumulated < 1 else count)
    counts: Labels = np.array([b - a for a, b in pairwise(ends)], dtype=np.int64)
    return counts


def _cuts(missing: Labels, singles: int, spare: int) -> Labels:
    """Return where the single rows of a stratum are cut, so that parts get what they miss, or as much of it."""
    wanted = np.maximum(missing, 0)
    total = int(wanted.sum()) + max(spare, 0)
    if total <= singles:
        return np.cumsum(wanted)
    return np.array([(2 * int(end) * singles + total) // (2 * total) for end in np.cumsum(wanted)], dtype=np.int64)
