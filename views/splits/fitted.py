"""Rows that are placed together and remembered: keys are numbered once, then each layer of parts is placed.

A split has one layer; folds have one, and with inner folds one more for the rest of each fold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.views.splits.assignment import Remembered
from foldstore.views.splits.memory import number_hashes, recall
from foldstore.views.splits.near import Alike, find_near
from foldstore.views.splits.placement import Labels, Parts
from foldstore.views.splits.sharing import UNASSIGNED, Sharing
from foldstore.views.splits.strata import fill_strata
from foldstore.views.splits.ties import NOBODY, PlaceComponents, Tie, Tied, place_tied
from foldstore.views.splits.units import Units
from foldstore.views.splits.xxh3 import Words

Mask: TypeAlias = NDArray[np.bool_]
Layers: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class NumberedKeys:
    """The keys that tie rows, ascending by hash, and the number of each row's key; -1 for none."""

    names: Words
    numbers: Labels

    @classmethod
    def of(cls, hashes: Words, has: Mask | None = None) -> "NumberedKeys":
        """Number the keys of rows."""
        if has is None:
            return cls(*number_hashes(hashes))
        names, found = number_hashes(hashes[has])
        numbers = np.full(len(hashes), -1, dtype=np.int64)
        numbers[has] = found
        return cls(names, numbers)


@dataclass(frozen=True, slots=True, eq=False)
class AlikeRows:
    """Near duplicates among new rows, and between them and rows that are placed already.

    Attributes
    ----------
    alike : Alike
        The contents of the new rows, then of the old ones.
    new : int
        How many new rows there are.
    old : ndarray of uint8, shape (layers, old rows)
        Where the old ones are.
    """

    alike: Alike
    new: int
    old: Layers

    @classmethod
    def find(cls, spec: Sharing, new: pa.Table, old: Sequence[tuple[pa.Table, Layers]], layers: int) -> "AlikeRows":
        """Compare new rows with each other and with old ones; only the columns to compare are read."""
        names = list(spec.near_duplicates)
        tables = [new.select(names), *(table.select(names) for table, _ in old)]
        columns = [
            pa.chunked_array(
                [chunk for table in tables for chunk in table.column(name).chunks], new.schema.field(name).type
            )
            for name in names
        ]
        rows = sum(table.num_rows for table in tables)
        alike = find_near(columns, spec.similarity, new=np.arange(rows) < new.num_rows)
        places = [np.empty((layers, 0), np.uint8), *(parts for _, parts in old)]
        return cls(alike, new.num_rows, np.concatenate(places, axis=1))

    def tie(self, rows: Labels, layer: int) -> Tie:
        """Return what ties some of the new rows, in a layer."""
        labels, pairs, count = self.alike.labels, self.alike.pairs, self.alike.count
        old = labels[self.new :]
        placed = (old >= 0) & (self.old[layer] != UNASSIGNED) & (self.old[layer] != NOBODY)
        least, most = np.full(count, NOBODY, dtype=np.uint8), np.zeros(count, dtype=np.uint8)
        np.minimum.at(least, old[placed], self.old[layer][placed])
        np.maximum.at(most, old[placed], self.old[layer][placed])
        low, high = least.copy(), most.copy()
        for here, there in ((pairs[:, 0], pairs[:, 1]), (pairs[:, 1], pairs[:, 0])):
            np.minimum.at(low, here, least[there])
            np.maximum.at(high, here, most[there])
        votes = np.where(low == high, low, np.uint8(NOBODY))
        return Tie(labels[: self.new][rows], votes, (low != NOBODY) & (low < high), pairs)


@dataclass(frozen=True, slots=True, eq=False)
class Numbered:
    """All that ties the new rows, numbered once for all layers."""

    units: NumberedKeys
    strata: Words | None
    ties: tuple[NumberedKeys, ...]
    near: AlikeRows | None

    @classmethod
    def of(cls, units: Units, near: AlikeRows | None) -> "Numbered":
        """Number the units and ties of rows."""
        ties = tuple(NumberedKeys.of(keys.hashes, keys.has) for keys in units.ties)
        return cls(NumberedKeys.of(units.hashes), units.strata, ties, near)

    def place(self, rows: Labels, kept: Remembered, layer: int, place: PlaceComponents) -> Tied:
        """Place some of the rows in a layer."""
        units = _tie(self.units, rows, kept.units, kept.unit_parts)
        ties = [_tie(keys, rows, kept.duplicates, kept.duplicate_parts) for keys in self.ties]
        if self.near is not None:
            ties.append(self.near.tie(rows, layer))
        return place_tied(units, self.units.names, ties, place)

    def remember(self, rows: Labels, tied: Tied) -> Remembered:
        """Return where the keys of rows went; 255 for those of rows that were left out alone."""
        settled = ~tied.left_out
        unit_parts = _parts_of_keys(self.units, rows[settled], tied.parts[settled])
        names = np.concatenate([np.empty(0, np.uint64), *(keys.names for keys in self.ties)])
        parts = [_parts_of_keys(keys, rows[settled], tied.parts[settled]) for keys in self.ties]
        return Remembered(self.units.names, unit_parts, names, np.concatenate([np.empty(0, np.uint8), *parts]))


def in_strata(strata: Words | None, shares: Sequence[Fraction]) -> PlaceComponents:
    """Return what places new components so that parts have their shares, of each stratum or of all rows.

    Parameters
    ----------
    strata : ndarray of uint64 or None
        The stratum of each row; None for one stratum.
    shares : sequence of Fraction
        Of each part.
    """

    def place(components: Labels, hashes: Words) -> Parts:
        fresh = components >= 0
        chosen = components[fresh]
        inside = np.zeros(len(chosen), dtype=np.uint64) if strata is None else strata[fresh]
        return fill_strata(chosen, inside, hashes, shares)

    return place


def merge_memories(kept: Sequence[Remembered], new: Sequence[Remembered]) -> tuple[Remembered, ...]:
    """Add what was placed now to what is remembered, layer by layer; what is remembered stays."""
    units, unit_parts = _merge_layers(
        kept[0].units, [each.unit_parts for each in kept], new[0].units, [each.unit_parts for each in new]
    )
    ties, tie_parts = _merge_layers(
        kept[0].duplicates, [each.duplicate_parts for each in kept],
        new[0].duplicates, [each.duplicate_parts for each in new],
    )  # fmt: skip
    return tuple(Remembered(units, a, ties, b) for a, b in zip(unit_parts, tie_parts, strict=True))


def drop_unplaced(memory: Remembered) -> Remembered:
    """Leave out the hashes that were not placed."""
    units, ties = memory.unit_parts != NOBODY, memory.duplicate_parts != NOBODY
    return Remembered(
        memory.units[units], memory.unit_parts[units], memory.duplicates[ties], memory.duplicate_parts[ties]
    )


def _tie(keys: NumberedKeys, rows: Labels, hashes: Words, parts: Parts) -> Tie:
    known, found = recall(hashes, parts, keys.names)
    return Tie(keys.numbers[rows], np.where(known, found, np.uint8(NOBODY)))


def _parts_of_keys(keys: NumberedKeys, rows: Labels, parts: Parts) -> Parts:
    """Return the part of each key; all rows that have it are in one."""
    found = np.full(len(keys.names), NOBODY, dtype=np.uint8)
    numbers = keys.numbers[rows]
    found[numbers[numbers >= 0]] = parts[numbers >= 0]
    return found


def _merge_layers(
    hashes: Words, layers: Sequence[Parts], new_hashes: Words, new_layers: Sequence[Parts]
) -> tuple[Words, list[Parts]]:
    order = np.argsort(new_hashes, kind="stable")
    new_hashes = new_hashes[order]
    if not len(hashes):
        return new_hashes, [parts[order] for parts in new_layers]
    merged = np.union1d(hashes, new_hashes)
    before, after = np.searchsorted(merged, hashes), np.searchsorted(merged, new_hashes)
    found = []
    for parts, new_parts in zip(layers, new_layers, strict=True):
        both = np.full(len(merged), NOBODY, dtype=np.uint8)
        both[after] = new_parts[order]
        both[before] = np.where(parts != NOBODY, parts, both[before])
        found.append(both)
    return merged, found
