"""Rows that hang together by several things at once, `ties/v1`: components, and where they go.

Groups by several lists of columns, duplicates beside groups, and near duplicates tie rows; whatever is connected is
placed as a whole. Later rows follow what was placed: no key that ties rows is ever in two parts. A row that would tie
two parts to each other is left in none, which tears nothing apart.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from foldstore.views.splits.placement import Labels, Parts
from foldstore.views.splits.sharing import UNASSIGNED
from foldstore.views.splits.tokens import mix
from foldstore.views.splits.xxh3 import Words

Mask: TypeAlias = NDArray[np.bool_]
# Given for each row the place of its component (-1 when it is placed already), and the hash of each component: their
# parts.
PlaceComponents: TypeAlias = Callable[[Labels, Words], Parts]

NOBODY: Final = 255
"""What says of a key that no row with it was placed before."""

_NONE: Final = -1
_VOTE_BITS: Final = 8


@dataclass(frozen=True, slots=True, eq=False)
class Tie:
    """One thing that ties rows together.

    Attributes
    ----------
    keys : ndarray of int64
        The number of each row's key; -1 for a row without one.
    votes : ndarray of uint8
        For each key the part of the rows that were placed before with it; 255 for none.
    torn : ndarray of bool, optional
        Keys that are alike to rows of several parts: their rows are left out.
    edges : ndarray of int64, shape (n, 2), optional
        Keys that hang together.
    """

    keys: Labels
    votes: Parts
    torn: Mask | None = None
    edges: Labels | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Tied:
    """Where rows went.

    Attributes
    ----------
    parts : ndarray of uint8
        The part of each row.
    components : ndarray of int64
        The component of each row; -1 for a row that was left out before components were made.
    left_out : ndarray of bool
        Rows that would have tied two parts to each other.
    """

    parts: Parts
    components: Labels
    left_out: Mask


def place_tied(units: Tie, hashes: Words, ties: Sequence[Tie], place: PlaceComponents) -> Tied:
    """Place rows as ties allow.

    Parameters
    ----------
    units : Tie
        The number of each row's unit, by ascending hash, and where units went.
    hashes : ndarray of uint64
        The hash of each unit.
    ties : sequence of Tie
        What else ties rows.
    place : callable
        Places components that nobody was in before.

    Notes
    -----
    1. A row follows the keys that were placed before. Where they are in different parts, it is left out.
    2. Rows that share a key which is new are tied into components, and so are keys that hang together.
    3. A component goes where its rows follow to; if to several parts, where the row with the smallest hash goes, and
       the rows that follow elsewhere are left out.
    4. Other components are placed by `place`: under the hash of their only unit, or under splitmix64 of the smallest.
       (The smallest of many hashes is small: unmixed, large components would all go to the first part.) When a split
       is made, that is so that parts have their shares; later, by hash.
    """
    if not ties:
        return _place_units(units, hashes, place)
    votes, left_out = _collect_votes(units, ties)
    atoms, count = _number_atoms(units, len(hashes))
    labels = _connect(atoms, count, ties, ~left_out)
    components = np.where(left_out, _NONE, labels[atoms])
    heads = _winners(components, units.keys, votes, count)
    fresh = (components >= 0) & (heads[components] == NOBODY)
    parts = np.full(len(components), UNASSIGNED, dtype=np.uint8)
    settled = ~fresh & ~left_out
    follows = settled & ((votes == NOBODY) | (votes == heads[components]))
    parts[follows] = heads[components][follows]
    if fresh.any():
        named, numbers = _number(components, fresh, count)
        parts[fresh] = place(numbers, _hash_components(named, labels, units.keys[fresh], hashes))[numbers[fresh]]
    return Tied(parts, components, left_out | (settled & ~follows))


def _place_units(units: Tie, hashes: Words, place: PlaceComponents) -> Tied:
    """Place rows that nothing ties but their units."""
    parts_of_units = units.votes.copy()
    new = units.votes == NOBODY
    there = np.zeros(len(hashes), dtype=np.bool_)
    there[units.keys] = True
    fresh = np.flatnonzero(new & there)
    if len(fresh):
        places = np.full(len(hashes), _NONE, dtype=np.int64)
        places[fresh] = np.arange(len(fresh))
        parts_of_units[fresh] = place(places[units.keys], hashes[fresh])
    return Tied(parts_of_units[units.keys], units.keys, np.zeros(len(units.keys), dtype=np.bool_))


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


def _collect_votes(units: Tie, ties: Sequence[Tie]) -> tuple[Parts, Mask]:
    """Return for each row the part that its keys were placed in, and whether they are in several."""
    votes = units.votes[units.keys]
    clash = np.zeros(len(votes), dtype=np.bool_)
    for tie in ties:
        here: Parts = np.append(tie.votes, np.uint8(NOBODY))[tie.keys]  # -1 takes the last
        clash |= (votes != NOBODY) & (here != NOBODY) & (votes != here)
        votes = np.where(votes == NOBODY, here, votes)
        if tie.torn is not None:
            clash |= np.append(tie.torn, np.bool_(False))[tie.keys]  # noqa: FBT003
    return votes, clash


def _number_atoms(units: Tie, count: int) -> tuple[Labels, int]:
    """Return what is tied as one: a new unit, or a single row of a unit whose place is settled."""
    settled = units.votes[units.keys] != NOBODY
    if not settled.any():
        return units.keys, count
    rows = np.arange(len(units.keys))
    return np.where(settled, count + rows, units.keys), count + len(rows)


def _connect(atoms: Labels, count: int, ties: Sequence[Tie], free: Mask) -> Labels:
    left, right, first = [np.empty(0, np.int64)], [np.empty(0, np.int64)], 0
    for tie in ties:
        rows = np.flatnonzero(free & (tie.keys >= 0))
        # Rows whose key is settled go there one by one; alike ones stay together even so, for what is alike to them.
        tied = rows if tie.edges is not None else rows[tie.votes[tie.keys[rows]] == NOBODY]
        left.append(atoms[tied])
        right.append(first + tie.keys[tied])
        first += len(tie.votes)
        if tie.edges is not None and len(tie.edges):
            example = np.full(len(tie.votes), _NONE, dtype=np.int64)
            example[tie.keys[rows][::-1]] = atoms[rows][::-1]
            ends = example[tie.edges]
            ends = ends[(ends >= 0).all(axis=1)]
            left.append(ends.ravel())
            right.append(first + np.repeat(np.arange(len(ends)), 2))
            first += len(ends)
    return tie_together(np.concatenate(left), np.concatenate(right), count)


def _winners(components: Labels, units: Labels, votes: Parts, count: int) -> Parts:
    """Return the part that each component follows to: that of the voting row with the smallest hash, or 255."""
    voting = np.flatnonzero((votes != NOBODY) & (components >= 0))
    best = np.full(count + 1, np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(best, components[voting], (units[voting] << _VOTE_BITS) | votes[voting])
    return (best & NOBODY).astype(np.uint8)


def _number(components: Labels, chosen: Mask, count: int) -> tuple[Labels, Labels]:
    """Return the components of chosen rows, ascending, and for each row the place of its own; -1 for the others."""
    there = np.zeros(count, dtype=np.bool_)
    there[components[chosen]] = True
    named = np.flatnonzero(there)
    places = np.full(count + 1, _NONE, dtype=np.int64)
    places[named] = np.arange(len(named))
    return named, np.where(chosen, places[components], _NONE)


def _hash_components(named: Labels, labels: Labels, units: Labels, hashes: Words) -> Words:
    """Return the hash of each component, in the order of their names."""
    smallest = hashes[named]  # a component is named by its smallest unit
    there = np.zeros(len(hashes), dtype=np.bool_)
    there[units] = True
    sizes = np.bincount(labels[np.flatnonzero(there)], minlength=len(hashes))
    return np.where(sizes[named] > 1, mix(smallest), smallest)
