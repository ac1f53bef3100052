"""The columns of a three-way merge: what each side did to those of the base, and what each added.

Field ids that their side gave behind the fork get new ones, in the manifest alone: no file is written anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from foldstore.datastore.alter_columns import is_wider
from foldstore.datastore.arrow_schema import expressions_of, field_ids, narrower_types, stored_field
from foldstore.datastore.manifest import ROW_ID_FIELD, ColumnGroup, Fragment
from foldstore.datastore.merge_conflict import ConflictKind, Conflicts

OURS, THEIRS = "ours", "theirs"


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedColumns:
    """The columns of a merge.

    Attributes
    ----------
    schema : pyarrow.Schema
        All of them, with field ids.
    next_field : int
        The next free field id.
    theirs : mapping of int to int
        The field ids of their columns in the merge.
    added : mapping of str to str
        Columns that only one side has, and which.
    retyped : mapping of str to frozenset of int
        Field ids that have another type in the merge than on a side.
    nobody : int
        The field id of what no column reads any more.
    """

    schema: pa.Schema
    next_field: int
    theirs: Mapping[int, int]
    added: Mapping[str, str]
    retyped: Mapping[str, frozenset[int]]
    nobody: int

    @property
    def ids(self) -> frozenset[int]:
        """The field ids of the columns."""
        return frozenset(field_ids(self.schema))

    def translate(self, fragment: Fragment) -> Fragment:
        """Return a fragment of theirs under the field ids of the merge."""
        groups = tuple(ColumnGroup(g.object_id, tuple(map(self._translate, g.fields))) for g in fragment.groups)
        bounds = [(self._translate(i), low, high) for i, low, high in fragment.bounds]
        known = self.ids - self.retyped[THEIRS]
        return replace(fragment, groups=groups, bounds=tuple(each for each in bounds if each[0] in known))

    def join(self, ours: Fragment, theirs: Fragment | None) -> Fragment:
        """Return a fragment of ours with the column files that theirs, translated, has beside it."""
        bounds = tuple(each for each in ours.bounds if each[0] not in self.retyped[OURS])
        if theirs is None:
            return replace(ours, bounds=bounds)
        there = {group.object_id: group.fields for group in theirs.groups}
        groups = [replace(g, fields=self._both(g.fields, there.get(g.object_id, g.fields))) for g in ours.groups]
        present = {i for group in groups for i in group.fields}
        for group in theirs.groups:
            fields = tuple(i if i in self.ids and i not in present else self.nobody for i in group.fields)
            if not all(i == self.nobody for i in fields) and all(g.object_id != group.object_id for g in groups):
                groups.append(ColumnGroup(group.object_id, fields))
                present.update(fields)
        return replace(ours, groups=tuple(groups), bounds=bounds)

    def _both(self, ours: Sequence[int], theirs: Sequence[int]) -> tuple[int, ...]:
        known = self.ids
        return tuple(j if i not in known and j in known else i for i, j in zip(ours, theirs, strict=True))

    def _translate(self, field_id: int) -> int:
        return field_id if field_id == ROW_ID_FIELD else self.theirs.get(field_id, self.nobody)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSide:
    """The columns of one side.

    Attributes
    ----------
    schema : pyarrow.Schema
        Which they are.
    next_field : int
        The next free field id.
    of_base : mapping of int to int
        Their field ids by those of the base.
    """

    schema: pa.Schema
    next_field: int
    of_base: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Column:
    """A column: what a person says of it, and what reads its files."""

    field: pa.Field
    expression: str | None
    narrower: tuple[str, ...]

    @property
    def said(self) -> tuple[str, pa.DataType, str | None]:
        return self.field.name, self.field.type, self.expression

    def stored(self, field_id: int) -> pa.Field:
        return stored_field(self.field, field_id, expression=self.expression, narrower=self.narrower)


@dataclass(slots=True)
class _Entry:
    """A column of the merge on its way; `side` says who added it, `name_before` what the base calls it."""

    id: int
    column: _Column
    side: str | None = None
    name_before: str | None = None
    renamed_by: str | None = None


def merge_columns(base: pa.Schema, ours: ColumnSide, theirs: ColumnSide, conflicts: Conflicts) -> MergedColumns:
    """Merge the columns of two sides; what they do to the same column is added to the conflicts."""
    return _ColumnMerge(base, ours, theirs, conflicts).run()


class _ColumnMerge:
    def __init__(self, base: pa.Schema, ours: ColumnSide, theirs: ColumnSide, conflicts: Conflicts) -> None:
        self._base, self._ours, self._theirs = _columns(base), _columns(ours.schema), _columns(theirs.schema)
        self._our_ids, self._their_ids = ours.of_base, theirs.of_base
        self._conflicts = conflicts
        self._next = ours.next_field
        self._entries: list[_Entry] = []
        self._translated: dict[int, int] = {}

    def run(self) -> MergedColumns:
        nobody = self._new_id()
        base_of_ours = {ours: base for base, ours in self._our_ids.items()}
        for i, column in self._ours.items():
            if i in base_of_ours:
                self._settle(base_of_ours[i], i)
            else:
                self._entries.append(_Entry(i, column, side=OURS))
        for i in self._base:
            if i not in self._our_ids and i in self._their_ids:
                self._settle_dropped(i)
        for i in self._theirs:
            if i not in self._their_ids.values():
                self._add(i)
        self._settle_names()
        return self._merged(nobody)

    def _settle(self, base_id: int, our_id: int) -> None:
        """Put what both sides made of a column of the base together."""
        base, ours = self._base[base_id], self._ours[our_id]
        their_id = self._their_ids.get(base_id)
        if their_id is None:
            if ours.said != base.said:
                self._conflicts.add_column(ConflictKind.COLUMN_DROPPED, ours.field.name, dropped_by=THEIRS)
            if ours.said != base.said and self._conflicts.prefer != THEIRS:
                self._entries.append(_Entry(our_id, ours, side=OURS))
            return
        theirs = self._theirs[their_id]
        settled = _merge_one(base, ours, theirs, self._conflicts)
        merged_id = our_id
        if pa.types.is_null(ours.field.type) and not pa.types.is_null(settled.field.type):
            merged_id = self._new_id()  # our files hold nulls of no type under the old id
        if not pa.types.is_null(theirs.field.type) or pa.types.is_null(settled.field.type):
            self._translated[their_id] = merged_id
        renamed_by = None
        if settled.field.name != base.field.name:
            renamed_by = OURS if settled.field.name == ours.field.name else THEIRS
        self._entries.append(_Entry(merged_id, settled, name_before=base.field.name, renamed_by=renamed_by))

    def _settle_dropped(self, base_id: int) -> None:
        """Decide about a column that our side has dropped."""
        base, theirs = self._base[base_id], self._theirs[self._their_ids[base_id]]
        if theirs.said == base.said:
            return
        self._conflicts.add_column(ConflictKind.COLUMN_DROPPED, theirs.field.name, dropped_by=OURS)
        if self._conflicts.prefer == THEIRS:
            merged_id = self._new_id()
            self._translated[self._their_ids[base_id]] = merged_id
            self._entries.append(_Entry(merged_id, theirs, side=THEIRS))

    def _add(self, their_id: int) -> None:
        """Add a column that is new on their side; when ours has added the very same, it is that one."""
        theirs = self._theirs[their_id]
        twin = next((e for e in self._entries if e.side == OURS and e.column.said == theirs.said), None)
        if twin is not None:
            twin.side = None
            self._translated[their_id] = twin.id
            return
        merged_id = self._new_id()
        self._translated[their_id] = merged_id
        self._entries.append(_Entry(merged_id, theirs, side=THEIRS))

    def _settle_names(self) -> None:
        """Let no two columns have one name: the side that is not preferred gives in."""
        for entry in list(self._entries):
            rivals = [e for e in self._entries if e is not entry and _same_name(e, entry)]
            if entry not in self._entries or not rivals:
                continue
            preferred = self._conflicts.prefer or OURS
            losers = [e for e in (entry, *rivals) if preferred not in (e.side, e.renamed_by)] or rivals
            name = entry.column.field.name
            gave_in = [self._give_in(loser) for loser in losers]
            self._conflicts.add_column(ConflictKind.COLUMN_NAME, name, settled=all(gave_in))

    def _give_in(self, entry: _Entry) -> bool:
        old = entry.name_before
        taken = {e.column.field.name.lower() for e in self._entries if e is not entry}
        if entry.side is None and entry.renamed_by is not None and old is not None and old.lower() not in taken:
            entry.column = replace(entry.column, field=entry.column.field.with_name(old))
            return True
        self._entries.remove(entry)
        return entry.side is not None

    def _merged(self, nobody: int) -> MergedColumns:
        types = {e.id: e.column.field.type for e in self._entries}
        ours = {i for i, column in self._ours.items() if i in types and types[i] != column.field.type}
        theirs = {j for i, j in self._translated.items() if types.get(j) != self._theirs[i].field.type}
        return MergedColumns(
            schema=pa.schema([entry.column.stored(entry.id) for entry in self._entries]),
            next_field=self._next,
            theirs=dict(self._translated),
            added={e.column.field.name: e.side for e in self._entries if e.side is not None},
            retyped={OURS: frozenset(ours), THEIRS: frozenset(theirs)},
            nobody=nobody,
        )

    def _new_id(self) -> int:
        self._next += 1
        return self._next - 1


def _columns(schema: pa.Schema) -> dict[int, _Column]:
    texts, narrower = expressions_of(schema), narrower_types(schema)
    return {
        i: _Column(pa.field(f.name, f.type), texts.get(f.name), narrower.get(f.name, ()))
        for i, f in zip(field_ids(schema), schema, strict=True)
    }


def _same_name(first: _Entry, second: _Entry) -> bool:
    return bool(first.column.field.name.lower() == second.column.field.name.lower())


def _merge_one(base: _Column, ours: _Column, theirs: _Column, conflicts: Conflicts) -> _Column:
    facts = [base.said, ours.said, theirs.said]
    chosen, parts = [], []
    for part, before, left, right in zip(("name", "type", "expression"), *facts, strict=True):
        if right in (left, before):
            chosen.append(left)
        elif left == before:
            chosen.append(right)
        else:
            parts.append(part)
            chosen.append(right if conflicts.prefer == THEIRS else left)
    name, kind, expression = chosen
    settled = True
    if "type" in parts:
        kind = next((k for k in (kind, *(c.field.type for c in (ours, theirs))) if _holds(k, ours, theirs)), None)
        settled = kind is not None
        kind = ours.field.type if kind is None else kind
    if parts:
        conflicts.add_column(ConflictKind.COLUMN_CHANGED, ours.field.name, settled=settled, parts=parts)
    # Files of both sides are read as the type of the merge.
    types = [*ours.narrower, *theirs.narrower, str(ours.field.type), str(theirs.field.type)]
    earlier = tuple(dict.fromkeys(t for t in types if t not in (str(kind), "null")))
    return _Column(pa.field(name, kind), expression, earlier)


def _holds(kind: pa.DataType, *columns: _Column) -> bool:
    return all(c.field.type == kind or is_wider(c.field.type, kind) for c in columns)
