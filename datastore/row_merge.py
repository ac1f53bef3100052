"""The rows of a three-way merge: whose stay, whose go, and where both sides did something to one key.

By row id first: a row of the base stays when both sides have kept it, a new row is taken from either; a row that a
side has written anew under its id, with other values, is one that went and came. In a dataset with a key, new rows of
both sides are then compared by key.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from foldstore.datastore.merge_conflict import MAX_EXAMPLES, ConflictKind, Conflicts
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.row_changes import RowChanges, find_row_changes
from foldstore.datastore.row_pairs import RowPairs, pair_by_key
from foldstore.datastore.row_set import Places, RowIds, RowSet

_POSITION_BITS = 32
_NONE = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class MergedRows:
    """What a merge does to the rows of our side.

    Attributes
    ----------
    deleted : mapping of int to array of int
        Positions of rows that go, by fragment id.
    appended : RowSet
        Rows of theirs that come.
    """

    deleted: Mapping[int, Places]
    appended: RowSet


@dataclass(frozen=True, slots=True)
class KeyRules:
    """How new rows of both sides are compared: by which key, in which columns."""

    key: tuple[str, ...]
    columns: tuple[str, ...]


def merge_rows(
    base: FragmentReader, ours: FragmentReader, theirs: FragmentReader, rules: KeyRules, conflicts: Conflicts
) -> MergedRows:
    """Merge the rows of two sides; what they do to the same key is added to the conflicts."""
    left, right = _find_changes(base, ours), _find_changes(base, theirs)
    come = _not_ours(left.rows.added, right, ours)
    gone = np.setdiff1d(right.rows.removed.row_ids(), left.rows.removed.row_ids(), assume_unique=True)
    return _merge(left, right, come, gone, ours, rules, conflicts)


def _merge(
    left: "_Changes",
    right: "_Changes",
    come: RowSet,
    gone: RowIds,
    ours: FragmentReader,
    rules: KeyRules,
    conflicts: Conflicts,
) -> MergedRows:
    if rules.key:
        removed = left.rows.removed
        both_gone = removed.where(np.isin(removed.row_ids(), right.rows.removed.row_ids()))
        ours_out, theirs_out = _settle_keys(left.rows, come, both_gone, rules, conflicts)
    else:
        ours_out, theirs_out = _settle_ids(left, right, come, rules, conflicts)
    deleted = _find_rows(ours, gone)
    added = left.rows.added
    for fragment_id, mask in added.where(_mask(added.num_rows, ours_out)).masks().items():
        known = deleted.get(fragment_id, _NONE)
        deleted[fragment_id] = np.union1d(known, np.flatnonzero(mask))
    return MergedRows(deleted, come.without(theirs_out))


@dataclass(frozen=True, slots=True, eq=False)
class _Changes:
    """What one side did to the base; rows that it has written anew with other values went and came.

    Attributes
    ----------
    rewritten : array of uint64
        The ids of those.
    """

    rows: RowChanges
    rewritten: RowIds


def _find_changes(base: FragmentReader, side: FragmentReader) -> _Changes:
    changes = find_row_changes(base, side)
    pairs = RowPairs(*changes.moved, _same_columns(base, side))
    nothing = np.empty(0, np.uint64)
    if not pairs.num_rows:
        return _Changes(changes, nothing)
    other = np.asarray(pairs.find_changes().any(axis=1))
    if not other.any():
        return _Changes(changes, nothing)
    same = pairs.where(~other)
    rows = RowChanges(pairs.before.without(same.before_places), pairs.after.without(same.after_places), changes.moved)
    return _Changes(rows, pairs.after.row_ids()[pairs.after_places[other]])


def _same_columns(base: FragmentReader, side: FragmentReader) -> tuple[tuple[str, str], ...]:
    known = side.names_by_id
    return tuple((name, known[field_id]) for field_id, name in base.names_by_id.items() if field_id in known)


def _not_ours(ours: RowSet, theirs: _Changes, reader: FragmentReader) -> RowSet:
    """Leave out what our side has, or had: both may have merged a third."""
    known = {fragment.id for fragment in reader.fragments}
    added = theirs.rows.added
    come = RowSet(added.reader, [part for part in added.parts if part.fragment.id not in known])
    if not (come.num_rows and ours.num_rows and (come.has_moved or ours.has_moved)):
        return come
    ids = come.row_ids()
    return come.where(~np.isin(ids, ours.row_ids()) | np.isin(ids, theirs.rewritten))


def _settle_ids(
    left: _Changes, right: _Changes, come: RowSet, rules: KeyRules, conflicts: Conflicts
) -> tuple[Places, Places]:
    """Return the places of our new rows and of theirs that give in, where no key tells rows apart but their ids."""
    if not (len(left.rewritten) or len(right.rewritten)):
        return _NONE, _NONE
    mine, brought = left.rows.added.row_ids(), come.row_ids()
    _, here, there = np.intersect1d(mine, brought, return_indices=True)
    pairs = RowPairs(left.rows.added, come, here, there, tuple((name, name) for name in rules.columns))
    unlike = np.asarray(pairs.find_changes().any(axis=1))
    _add_ids(conflicts, ConflictKind.BOTH_CHANGED, brought[there[unlike]])
    ours_lost = np.flatnonzero(np.isin(mine, left.rewritten) & np.isin(mine, right.rows.removed.row_ids()))
    ours_lost = ours_lost[~np.isin(mine[ours_lost], right.rows.added.row_ids())]
    theirs_lost = np.flatnonzero(np.isin(brought, right.rewritten) & np.isin(brought, left.rows.removed.row_ids()))
    theirs_lost = theirs_lost[~np.isin(brought[theirs_lost], mine)]
    _add_ids(conflicts, ConflictKind.DELETE_CHANGE, np.concatenate([mine[ours_lost], brought[theirs_lost]]))
    if conflicts.prefer == "theirs":
        return np.concatenate([here[unlike], ours_lost]), there[~unlike]
    return _NONE, np.concatenate([there, theirs_lost])


def _add_ids(conflicts: Conflicts, kind: ConflictKind, ids: RowIds) -> None:
    conflicts.add(kind, len(ids), ({"key": {"row id": int(each)}} for each in ids[:MAX_EXAMPLES]))


def _settle_keys(
    left: RowChanges, come: RowSet, both_gone: RowSet, rules: KeyRules, conflicts: Conflicts
) -> tuple[Places, Places]:
    """Return the places of our new rows and of theirs that give in."""
    pairs = pair_by_key(rules.key, left.added, come, [(name, name) for name in rules.columns])
    ours_changed = pair_by_key(rules.key, both_gone, left.added)
    theirs_changed = pair_by_key(rules.key, both_gone, come)
    differ = pairs.find_changes()
    unlike = np.asarray(differ.any(axis=1))
    was_there = np.isin(pairs.before_places, ours_changed.after_places)
    for kind, chosen in (
        (ConflictKind.BOTH_CHANGED, unlike & was_there),
        (ConflictKind.BOTH_ADDED, unlike & ~was_there),
    ):
        conflicts.add(kind, int(chosen.sum()), _examples(pairs.where(chosen), differ[chosen], rules))
    ours_only = ~np.isin(ours_changed.before_places, theirs_changed.before_places)
    theirs_only = ~np.isin(theirs_changed.before_places, ours_changed.before_places)
    for changed, only, by in ((ours_changed, ours_only, "ours"), (theirs_changed, theirs_only, "theirs")):
        shown = _keys(changed.where(only), rules.key)
        examples = ({"key": key, "changed_by": by} for key in shown)
        conflicts.add(ConflictKind.DELETE_CHANGE, int(only.sum()), examples)
    if conflicts.prefer == "theirs":
        return np.concatenate([pairs.before_places[unlike], ours_changed.after_places[ours_only]]), (
            pairs.after_places[~unlike]
        )
    return _NONE, np.concatenate([pairs.after_places, theirs_changed.after_places[theirs_only]])


def _examples(pairs: RowPairs, differ: np.ndarray[Any, Any], rules: KeyRules) -> Iterator[dict[str, Any]]:
    for key, row in zip(_keys(pairs, rules.key), differ, strict=False):
        yield {"key": key, "columns": [name for name, hit in zip(rules.columns, row, strict=True) if hit]}


def _keys(pairs: RowPairs, key: Sequence[str]) -> list[dict[str, Any]]:
    """Return the keys of the first pairs as plain data; instants as text, since Python has no nanoseconds."""
    shown = pairs.head(MAX_EXAMPLES)
    rows = shown.after.take(shown.after_places, key)
    columns = [c.cast(pa.string()) if pa.types.is_temporal(c.type) else c for c in rows.columns]
    found: list[dict[str, Any]] = pa.table(columns, names=rows.column_names).to_pylist()
    return found


def _find_rows(reader: FragmentReader, wanted: RowIds) -> dict[int, Places]:
    """Return where rows lie, by row id: positions by fragment id; ids that are not there are left out."""
    found: dict[int, Places] = {}
    if not len(wanted):
        return found
    wanted = np.sort(wanted)
    for fragment in reader.fragments:
        if fragment.moved:
            hits = np.isin(reader.restricted([fragment]).with_deleted().row_ids(), wanted)
            positions = np.flatnonzero(hits & reader.live(fragment))
        else:
            ends = np.array([fragment.id, fragment.id + 1], np.uint64) << np.uint64(_POSITION_BITS)
            first, last = np.searchsorted(wanted, ends)
            here = (wanted[first:last] & np.uint64(2**_POSITION_BITS - 1)).astype(np.int64)
            positions = here[reader.live(fragment)[here]] if len(here) else here
        if len(positions):
            found[fragment.id] = positions
    return found


def _mask(length: int, places: Places) -> np.ndarray[Any, np.dtype[np.bool_]]:
    mask = np.zeros(length, np.bool_)
    mask[places] = True
    return mask
