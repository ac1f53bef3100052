"""What one reader's rows are to another's: which lie in both as they are, and where; and which only one of them has.

Rows are the same where both list their fragment and some columns of it lie in the same files. Row ids are not asked: a
row that was written anew may have other values under its id, and a compacted one counts as gone and come.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from foldstore.datastore.deletion import Mask
from foldstore.datastore.manifest import Fragment
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.row_set import Part, Places, RowSet

# Where each of some columns of a fragment lies: in which file, and at what position there; None where it has none.
_Lying: TypeAlias = tuple[tuple[str, int] | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ReplacedRows:
    """Rows that only one of two readers has; all others are in both, in one order.

    Attributes
    ----------
    removed, added : RowSet
        Rows of the first reader that the second lacks, and the other way round.
    removed_at, added_at : ndarray of int64
        Their numbers among all rows of their reader, ascending.
    """

    removed: RowSet
    added: RowSet
    removed_at: Places
    added_at: Places


def find_replaced_rows(
    before: FragmentReader, after: FragmentReader, columns: Sequence[str], *, most: int
) -> ReplacedRows | None:
    """Find the rows that only one of two readers of a dataset has, and no file is read for it.

    Parameters
    ----------
    columns : sequence of str
        Of which columns rows are told apart.
    most : int
        How many rows may differ.

    Returns
    -------
    ReplacedRows or None
        None where more rows differ, rows stand in another order, or a column is of another type or missing.
    """
    if not _have_alike(before, after, columns):
        return None
    old, new = ({each.id: each for each in reader.fragments} for reader in (before, after))
    shared = {
        each.id
        for each in before.fragments
        if each.id in new and _lie_alike((before, each), (after, new[each.id]), columns)
    }
    if [each for each in old if each in shared] != [each for each in new if each in shared]:
        return None
    if _count_least(old, new, shared) > most:
        return None
    removed, removed_at = _only_in(before, after, new, shared)
    added, added_at = _only_in(after, before, old, shared)
    many = len(removed_at) + len(added_at) > most
    return None if many else ReplacedRows(removed, added, removed_at, added_at)


def _have_alike(before: FragmentReader, after: FragmentReader, columns: Sequence[str]) -> bool:
    if not set(columns) <= {*before.arrow_schema.names} & {*after.arrow_schema.names}:
        return False
    return bool(before.project(columns).types == after.project(columns).types)


def _lie_alike(
    first: tuple[FragmentReader, Fragment], second: tuple[FragmentReader, Fragment], columns: Sequence[str]
) -> bool:
    (here, one), (there, other) = first, second
    if one.num_rows != other.num_rows:
        return False
    if one.groups == other.groups and [here.field_id(c) for c in columns] == [there.field_id(c) for c in columns]:
        return True
    return _lying(here, one, columns) == _lying(there, other, columns)


def _lying(reader: FragmentReader, fragment: Fragment, columns: Sequence[str]) -> _Lying:
    places = {
        field_id: (group.object_id, position)
        for group in fragment.groups
        for position, field_id in enumerate(group.fields)
    }
    return tuple(places.get(reader.field_id(column)) for column in columns)


def _count_least(old: dict[int, Fragment], new: dict[int, Fragment], shared: set[int]) -> int:
    """Count, by the manifests alone, rows that differ; those that went and came within a fragment are not in it."""
    alone = sum(each.live_rows for one in (old, new) for each in one.values() if each.id not in shared)
    return alone + sum(abs(old[each].live_rows - new[each].live_rows) for each in shared)


def _only_in(
    here: FragmentReader, other: FragmentReader, there: dict[int, Fragment], shared: set[int]
) -> tuple[RowSet, Places]:
    parts: list[Part] = []
    numbers = [np.empty(0, np.int64)]
    start = 0
    for fragment in here.fragments:
        chosen: Mask | None = None
        if fragment.id not in shared:
            parts.append(Part(fragment))
            numbers.append(np.arange(start, start + fragment.live_rows))
        elif fragment.deleted != there[fragment.id].deleted:
            live = here.live(fragment)
            chosen = live & ~other.live(there[fragment.id])
            parts.append(Part(fragment, chosen))
            positions = np.flatnonzero(chosen)
            numbers.append(start + positions - np.searchsorted(np.flatnonzero(~live), positions))
        start += fragment.live_rows
    return RowSet(here, parts), np.concatenate(numbers)
