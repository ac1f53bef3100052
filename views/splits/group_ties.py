"""Groups tied by exact duplicates, as the first format of splits places them: groups decide, duplicates follow.

A group that is known stays where it is though its duplicates are elsewhere; the report counts those. What ties rows by
more than that is placed by `foldstore.views.splits.ties`.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from foldstore.views.splits.assignment import Remembered
from foldstore.views.splits.memory import merge_hashes, number_hashes, recall
from foldstore.views.splits.placement import Labels, Parts, place_by_hash
from foldstore.views.splits.split import SplitSpec
from foldstore.views.splits.strata import place_in_strata
from foldstore.views.splits.ties import tie_together
from foldstore.views.splits.units import Units
from foldstore.views.splits.xxh3 import Words

Mask: TypeAlias = NDArray[np.bool_]


def place_groups(spec: SplitSpec, units: Units, kept: Remembered | None) -> tuple[Parts, Labels, Remembered]:
    """Place rows by what is remembered, then by what they hang together with, then by strata or hash.

    Returns
    -------
    tuple
        The part of each row, the component of each, and what is to be remembered.
    """
    fits = kept is None
    kept = kept or Remembered.empty()
    duplicates = units.ties[0].hashes if units.ties else np.empty(0, np.uint64)
    distinct, inverse = number_hashes(units.hashes)
    known, unit_parts = recall(kept.units, kept.unit_parts, distinct)
    fresh = ~known[inverse]
    labels = np.arange(len(distinct))
    if len(duplicates):
        names, codes = number_hashes(duplicates)
        labels = tie_together(inverse[fresh], codes[fresh], len(distinct))
    if fits and units.strata is not None:
        heads, numbers = np.unique(labels, return_inverse=True) if len(duplicates) else (labels, labels)
        unit_parts = place_in_strata(numbers[inverse], units.strata, distinct[heads], spec.shares)[numbers]
    else:
        unit_parts = np.where(known, unit_parts, place_by_hash(distinct[labels], spec)).astype(np.uint8)
        if len(duplicates):
            unit_parts = _follow_duplicates(kept, names, codes[fresh], labels, inverse[fresh], unit_parts)
    parts = unit_parts[inverse]
    components = inverse if len(duplicates) == 0 else labels[inverse]
    remembered = _remember(kept, (distinct, unit_parts), (duplicates, parts), units.hashes)
    return parts, components, remembered


def _follow_duplicates(
    kept: Remembered, names: Words, codes: Labels, labels: Labels, units: Labels, unit_parts: Parts
) -> Parts:
    """Send new components after the duplicates that were placed before; the smallest hash speaks for several."""
    known, parts = recall(kept.duplicates, kept.duplicate_parts, names)
    nobody = len(names)
    leader = np.full(len(labels), nobody, dtype=np.int64)
    there = known[codes]
    np.minimum.at(leader, labels[units[there]], codes[there])
    led = leader[labels]
    fresh: Mask = np.zeros(len(labels), dtype=np.bool_)
    fresh[units] = True
    follows = fresh & (led < nobody)
    placed = unit_parts.copy()
    placed[follows] = parts[led[follows]]
    return placed


def _remember(
    kept: Remembered, units: tuple[Words, Parts], duplicates: tuple[Words, Parts], hashes: Words
) -> Remembered:
    """Add units with their parts, and the duplicates of rows with the parts of these."""
    merged, parts = merge_hashes(kept.units, kept.unit_parts, *units) if len(kept.units) else units
    if not len(duplicates[0]):
        return Remembered(merged, parts, kept.duplicates, kept.duplicate_parts)
    # Where groups that were placed before hold the same features in two parts, the smallest group's hash speaks.
    order = np.argsort(hashes, kind="stable")
    found = merge_hashes(kept.duplicates, kept.duplicate_parts, duplicates[0][order], duplicates[1][order])
    return Remembered(merged, parts, *found)
