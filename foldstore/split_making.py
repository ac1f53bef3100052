"""Making and opening splits and folds: rows are placed when a name is first asked for where they are, and kept.

Nothing that was placed ever moves: a compacted fragment takes the places of its rows along, and whoever loses a race
takes what the winner settled.
"""

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.manifest import Fragment
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.storage import Storage
from foldstore.errors import (
    ConflictError,
    FoldstoreError,
    NotFoundError,
    SplitWarning,
    UsageError,
    frames_to_the_caller,
)
from foldstore.folds import Folds
from foldstore.names import check_split_name
from foldstore.split import Base, Mask, Split
from foldstore.split_columns import SplitColumns, find_columns
from foldstore.split_documents import Assignment, ChosenRows, KeptSplit, SplitDocuments, fold_names, settled
from foldstore.views.splits.assignment import FragmentMembers, SplitAssignment
from foldstore.views.splits.fitting import FragmentRows, OldRows, examine_split, extend_split
from foldstore.views.splits.fold_assignment import FoldAssignment, FoldCodes
from foldstore.views.splits.fold_fitting import examine_folds, extend_folds
from foldstore.views.splits.folds import FoldSpec
from foldstore.views.splits.sharing import UNASSIGNED, Sharing
from foldstore.views.splits.split import PART_CODES, SplitSpec

_ATTEMPTS: Final = 20

Layers = NDArray[np.uint8]
# For each row of a moved fragment, the codes that it has had, and whether it has had any.
Settled = tuple[Layers, Mask]


class SplitMaker:
    """Makes and opens the splits and folds of versions.

    Parameters
    ----------
    storage : Storage
        The open store.
    author : str
        Who makes them.
    keeps : bool
        Whether the places of rows that came since are kept when a split is opened. Who only looks keeps nothing.
    """

    def __init__(self, storage: Storage, author: str, *, keeps: bool = True) -> None:
        self._storage = storage
        self._author = author
        self._keeps = keeps

    def make_split(self, base: Base, name: str, how: Mapping[str, Any], chosen: ChosenRows) -> Split:
        """Share out rows of a version to train, validation and test, and keep where each went.

        Raises
        ------
        AlreadyExistsError
            When the dataset has a split or folds of that name: where its rows went is settled for good.
        """
        spec = _make_spec(SplitSpec, base, name, how)
        assignment, notes = examine_split(spec, self._first_rows(base, spec, chosen))
        self._keep_first(base, assignment, chosen, notes)
        return Split(self._storage, base, assignment.spec, assignment.fragments)

    def make_folds(self, base: Base, name: str, how: Mapping[str, Any], chosen: ChosenRows) -> Folds:
        """Share out rows of a version to folds, and keep where each went.

        Raises
        ------
        AlreadyExistsError
            When the dataset has a split or folds of that name.
        """
        spec = _make_spec(FoldSpec, base, name, how)
        assignment, notes = examine_folds(spec, self._first_rows(base, spec, chosen))
        self._keep_first(base, assignment, chosen, notes)
        return Folds(self._storage, base, assignment)

    def split_part(self, base: Base, place: str, name: str, how: Mapping[str, Any]) -> Split:
        """Split the rows of a part alone."""
        return self.make_split(base, name, how, ChosenRows(within=place))

    def fold_part(self, base: Base, place: str, name: str, how: Mapping[str, Any]) -> Folds:
        """Make folds of the rows of a part alone."""
        return self.make_folds(base, name, how, ChosenRows(within=place))

    def open(self, base: Base, name: str) -> Split | Folds:
        """Return a split, folds, or one fold, as they stand on a version; rows that came since are placed now.

        Raises
        ------
        NotFoundError
            When the dataset has nothing of that name.
        """
        check_split_name(name)
        assignment = self._open(base, name)
        if assignment is None:
            return self._open_fold(base, name)
        if isinstance(assignment, FoldAssignment):
            return Folds(self._storage, base, assignment)
        return Split(self._storage, base, assignment.spec, assignment.fragments)

    def open_split(self, base: Base, name: str) -> Split:
        """Do what `open` does for what has parts: a split or one fold.

        Raises
        ------
        UsageError
            When the name is that of folds.
        """
        found = self.open(base, name)
        if isinstance(found, Folds):
            raise UsageError(
                f"{found.address} are {len(found)} folds, and each has its parts.",
                hint=f"Name one: {found.address}-1, to {found.address}-{len(found)}.",
            )
        return found

    def _open_fold(self, base: Base, name: str) -> Split:
        for folds, number, inner in fold_names(name):
            assignment = self._open(base, folds)
            if isinstance(assignment, FoldAssignment):
                return Folds(self._storage, base, assignment).fold(number, inner)
        hint = SplitDocuments(self._storage, base.dataset).hint(name)
        raise NotFoundError(f"{base.dataset.name!r} has no split {name!r}.", hint=hint)

    def _open(self, base: Base, name: str) -> Assignment | None:
        """Return an assignment with all rows of a version placed, and with these alone."""
        documents = SplitDocuments(self._storage, base.dataset)
        for _attempt in range(_ATTEMPTS):
            kept = documents.find(name) or _laid_out(base, name)
            if kept is None:
                return None
            extended = self._extend(base, kept) if self._keeps else self._try_to_extend(base, kept)
            if extended is not None:
                kept = replace(kept, assignment=extended)
                try:
                    if self._keeps:
                        self._put(base, kept)
                except ConflictError:
                    continue  # another reader placed rows first: what it settled is settled
            here = {str(fragment.id) for fragment in base.rows.fragments}
            return _with_names_now(_restricted(kept.assignment, here), self._columns(base, kept))
        raise ConflictError(f"The split {name!r} is changing too fast.", retry=True, hint="Try again.")

    def _keep_first(self, base: Base, assignment: Assignment, chosen: ChosenRows, notes: Sequence[str]) -> None:
        name = assignment.spec.name
        documents = SplitDocuments(self._storage, base.dataset)
        documents.check_free(name, base.address, is_folds=isinstance(assignment, FoldAssignment))
        try:
            self._put(base, KeptSplit(assignment, chosen))
        except ConflictError as error:
            raise settled(base.dataset, name, base.address) from error
        for note in notes:
            warnings.warn(f"{base.address}#{name}: {note}", SplitWarning, stacklevel=frames_to_the_caller())

    def _put(self, base: Base, kept: KeptSplit) -> None:
        documents = SplitDocuments(self._storage, base.dataset)
        documents.put(kept, version_id=base.version_id, address=base.address, author=self._author)

    def _first_rows(self, base: Base, spec: Sharing, chosen: ChosenRows) -> list[FragmentRows]:
        documents = SplitDocuments(self._storage, base.dataset)
        documents.check_free(spec.name, base.address, is_folds=isinstance(spec, FoldSpec))
        columns = find_columns(self._storage, base.version_id, base.version_id)
        return self._read_rows(base, spec, chosen, columns)

    def _extend(self, base: Base, kept: KeptSplit) -> Assignment | None:
        """Place the rows that are not placed; those that a compaction moved stay where they were."""
        assignment = kept.assignment
        placed = {each.fragment: _layers(each) for each in assignment.fragments}
        moved = {
            str(fragment.id): _codes_of_moved(base, fragment, placed, _count(assignment))
            for fragment in base.rows.fragments
            if fragment.moved and str(fragment.id) not in placed
        }
        if all(str(fragment.id) in placed for fragment in base.rows.fragments):
            return None
        if assignment.spec.name in base.laid_out:
            return _place_in_order(base, assignment)
        columns = self._columns(base, kept)
        if missing := self._find_missing(assignment.spec, kept.chosen, columns):
            return self._leave_out(base, assignment, set(placed), moved, missing)
        fresh = self._read_rows(base, assignment.spec, kept.chosen, columns, known=set(placed), moved=moved)
        old = _read_old(base, assignment.spec, columns, placed, moved)
        if isinstance(assignment, FoldAssignment):
            folds = extend_folds(assignment, fresh, old=old)
            codes = [_settle_codes(each, moved.get(each.fragment)) for each in folds.fragments]
            return replace(folds, fragments=tuple(codes))
        split = extend_split(assignment, fresh, old=old)
        members = [_settle_members(each, moved.get(each.fragment)) for each in split.fragments]
        return replace(split, fragments=tuple(members))

    def _leave_out(
        self,
        base: Base,
        assignment: Assignment,
        placed: Collection[str],
        moved: Mapping[str, Settled],
        missing: Sequence[str],
    ) -> Assignment:
        """Leave rows unassigned that nothing can place any more, but for those that were placed before they moved."""
        new = [fragment for fragment in base.rows.fragments if str(fragment.id) not in placed]
        count = _count(assignment)
        codes = [FoldCodes(str(each.id), np.full((count, each.num_rows), UNASSIGNED, np.uint8)) for each in new]
        there = [_settle_codes(each, moved.get(each.fragment)) for each in codes]
        lost = sum(each.live_rows for each in new if str(each.id) not in moved)
        if lost and self._keeps:
            names = ", ".join(map(repr, missing))
            warnings.warn(
                f"{base.address}#{assignment.spec.name}: {lost:,} rows that came since are in no part: the split takes "
                f"{names}, and {base.address} has no such column any more.",
                SplitWarning,
                stacklevel=frames_to_the_caller(),
            )
        if isinstance(assignment, FoldAssignment):
            return replace(assignment, fragments=(*assignment.fragments, *there))
        members = [FragmentMembers.from_parts(each.fragment, each.layers[0]) for each in there]
        return replace(assignment, fragments=(*assignment.fragments, *members))

    def _try_to_extend(self, base: Base, kept: KeptSplit) -> Assignment | None:
        """Place rows where that can be done; who only looks may not see the columns that it takes."""
        try:
            return self._extend(base, kept)
        except FoldstoreError:
            return None

    def _read_rows(
        self,
        base: Base,
        spec: Sharing,
        chosen: ChosenRows,
        columns: SplitColumns,
        *,
        known: Collection[str] = (),
        moved: Mapping[str, Settled] | None = None,
    ) -> list[FragmentRows]:
        """Read what places rows: all rows of the fragments' files, and a mask of those that are to be placed."""
        new = [fragment for fragment in base.rows.fragments if str(fragment.id) not in known]
        outer = self._masks_within(base, chosen.within) if new and chosen.within is not None else None
        found = []
        for fragment in new:
            rows = base.rows.with_deleted([fragment])
            masks = [
                self._select(rows, chosen.where, columns),
                base.rows.live(fragment) if fragment.deleted else None,
                ~moved[str(fragment.id)][1] if moved and str(fragment.id) in moved else None,
                outer[fragment.id] if outer is not None else None,
            ]
            given = [mask for mask in masks if mask is not None]
            selected = np.logical_and.reduce(given) if given else None
            found.append(FragmentRows(str(fragment.id), columns.to_table(rows, spec.columns()), selected))
        return found

    def _columns(self, base: Base, kept: KeptSplit) -> SplitColumns:
        return find_columns(self._storage, kept.made_on, base.version_id)

    def _find_missing(self, spec: Sharing, chosen: ChosenRows, columns: SplitColumns) -> list[str]:
        """Return the columns that a split takes and that are gone."""
        parse = self._storage.engine.parse_predicate
        read = [name for text in chosen.where for name in parse(text, columns.first).columns]
        return columns.find_missing(list(dict.fromkeys([*spec.columns(), *read])))

    def _masks_within(self, base: Base, place: str) -> dict[int, Mask]:
        """Return which rows are in a part of another split, which is placed first."""
        name, _, part = place.rpartition(".")
        return self.open_split(base, name).masks_of(part)

    def _select(self, rows: FragmentReader, predicates: Sequence[str], columns: SplitColumns) -> Mask | None:
        if not predicates:
            return None
        engine = self._storage.engine
        known = columns.select(rows.arrow_schema)
        chosen = np.ones(rows.num_rows, np.bool_)
        for text in predicates:
            predicate = engine.parse_predicate(text, known, where=rows.where)
            names = list(predicate.columns) or known.names[:1]
            schema = pa.schema([known.field(name) for name in names])
            masks = engine.mask(predicate, schema, columns.to_batches(rows, names))
            chosen &= np.concatenate([mask.to_numpy(zero_copy_only=False) for mask in masks])
        return chosen


def _make_spec(kind: type[Any], base: Base, name: str, how: Mapping[str, Any]) -> Any:
    check_split_name(name)
    choices = {role: value for role, value in how.items() if not (role == "k" and value is None)}
    alone = all(choices.get(role) is None for role in ("by_time", "by_column"))
    if alone and (base.dataset.key or all(_is_nothing(choices.get(role)) for role in ("group_by", "duplicates"))):
        choices.setdefault("key", base.dataset.key)
    try:
        return kind(name, dataset=base.dataset.name, **choices)
    except TypeError as error:
        usual = "k=, inner=, " if kind is FoldSpec else "train=, validation=, test=, "
        raise UsageError(
            f"{'Folds are' if kind is FoldSpec else 'A split is'} not made that way: {error}.",
            hint=f"Give {usual}group_by=, stratify=, duplicates=, near_duplicates=, seed=, or by_column=, or by_time= "
            "with purge= and embargo=.",
        ) from error


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, Sequence) and not value)


def _laid_out(base: Base, name: str) -> KeptSplit | None:
    """Return a split of rows that lie part after part, before any is placed; None for another name."""
    if name not in base.laid_out:
        return None
    key = base.dataset.key or base.rows.arrow_schema.names
    spec = SplitSpec(name, dataset=base.dataset.name, train=1, key=key)
    return KeptSplit(SplitAssignment(spec, ()), made_on=base.version_id)


def _place_in_order(base: Base, assignment: Assignment) -> SplitAssignment:
    """Place the rows of a version that lie part after part.

    Raises
    ------
    ConflictError
        When the parts have other sizes than the version: it lost rows before their places were kept.
    """
    sizes = base.laid_out[assignment.spec.name]
    if sum(sizes.values()) != base.rows.num_rows or isinstance(assignment, FoldAssignment):
        raise ConflictError(
            f"The parts of {base.address}#{assignment.spec.name} had {sum(sizes.values()):,} rows, and "
            f"{base.address} has {base.rows.num_rows:,}.",
            retry=False,
            hint="Make the training set again.",
        )
    placed = {each.fragment for each in assignment.fragments}
    parts = [np.full(size, PART_CODES[part], np.uint8) for part, size in sizes.items()]
    codes = np.concatenate([np.empty(0, np.uint8), *parts])
    members, start = list(assignment.fragments), 0
    for fragment in base.rows.fragments:
        here = np.full(fragment.num_rows, UNASSIGNED, np.uint8)
        here[base.rows.live(fragment)] = codes[start : start + fragment.live_rows]
        if str(fragment.id) not in placed:
            members.append(FragmentMembers.from_parts(str(fragment.id), here))
        start += fragment.live_rows
    return replace(assignment, fragments=tuple(members))


def _layers(members: FragmentMembers | FoldCodes) -> Layers:
    return members.layers if isinstance(members, FoldCodes) else members.parts()[None, :]


def _count(assignment: Assignment) -> int:
    return assignment.spec.layers if isinstance(assignment, FoldAssignment) else 1


def _restricted(assignment: Assignment, here: set[str]) -> Assignment:
    if isinstance(assignment, FoldAssignment):
        return assignment.restricted(frozenset(here))
    return replace(assignment, fragments=tuple(each for each in assignment.fragments if each.fragment in here))


def _with_names_now(assignment: Assignment, columns: SplitColumns) -> Assignment:
    if isinstance(assignment, FoldAssignment):
        return replace(assignment, spec=columns.rename(assignment.spec))
    return replace(assignment, spec=columns.rename(assignment.spec))


def _codes_of_moved(base: Base, fragment: Fragment, placed: Mapping[str, Layers], layers: int) -> Settled:
    ids = base.rows.with_deleted([fragment]).row_ids()
    origins, positions = ids >> np.uint64(32), (ids & np.uint64(2**32 - 1)).astype(np.int64)
    codes, known = np.full((layers, len(ids)), UNASSIGNED, np.uint8), np.zeros(len(ids), np.bool_)
    for origin in np.unique(origins).tolist():
        there = placed.get(str(origin))
        if there is not None:
            here = origins == origin
            codes[:, here], known[here] = there[:, positions[here]], True
    return codes, known


def _settle_members(members: FragmentMembers, settled_codes: Settled | None) -> FragmentMembers:
    if settled_codes is None:
        return members
    codes, known = settled_codes
    return FragmentMembers.from_parts(members.fragment, np.where(known, codes[0], members.parts()))


def _settle_codes(found: FoldCodes, settled_codes: Settled | None) -> FoldCodes:
    if settled_codes is None:
        return found
    codes, known = settled_codes
    return FoldCodes(found.fragment, np.where(known, codes, found.layers))


def _read_old(
    base: Base,
    spec: Sharing,
    columns: SplitColumns,
    placed: Mapping[str, Layers],
    moved: Mapping[str, Settled],
) -> list[OldRows]:
    """Read what tells near duplicates of the rows that are placed: these columns alone, and only for such a split."""
    if not spec.near_duplicates:
        return []
    old = []
    for fragment in base.rows.fragments:
        name = str(fragment.id)
        layers = placed.get(name) if name in placed else moved[name][0] if name in moved else None
        if layers is not None:
            rows = base.rows.with_deleted([fragment])
            old.append(OldRows(columns.to_table(rows, spec.near_duplicates), layers))
    return old
