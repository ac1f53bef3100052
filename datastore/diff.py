"""The difference of two versions: columns, and rows added, removed and changed.

Rows are told apart by row id: what fragments share is never read. In a dataset with a key, rows that only one side
has are then paired by key, and pairs with other values are changed rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa

from foldstore.datastore.arrow_schema import expressions_of
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.column_match import ColumnMatch, match_columns
from foldstore.datastore.manifest import Fragment
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.row_changes import find_row_changes, open_version
from foldstore.datastore.row_pairs import RowPairs, pair_by_key
from foldstore.datastore.row_set import Part, RowSet
from foldstore.datastore.storage import Storage

ROW_ID: Final = "row_id"
RowKind = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnChanges:
    """How the columns of two versions differ.

    Attributes
    ----------
    added, dropped : tuple of (str, str)
        Names and types of columns that one side lacks.
    renamed : tuple of (str, str)
        Names before and after.
    retyped, redefined : tuple of (str, str, str)
        Name after, and the type or the expression before and after.
    replaced : tuple of str
        Columns that are other ones under the name that is there on both sides.
    """

    added: tuple[tuple[str, str], ...] = ()
    dropped: tuple[tuple[str, str], ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    retyped: tuple[tuple[str, str, str], ...] = ()
    redefined: tuple[tuple[str, str | None, str | None], ...] = ()
    replaced: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether the columns are the same."""
        return not any(self.to_dict().values())

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "added": dict(self.added),
            "dropped": dict(self.dropped),
            "renamed": dict(self.renamed),
            "retyped": {name: [before, after] for name, before, after in self.retyped},
            "redefined": {name: [before, after] for name, before, after in self.redefined},
            "replaced": list(self.replaced),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionDiff:
    """The difference of two versions of a dataset.

    Attributes
    ----------
    before, after : str
        Their addresses.
    key : tuple of str
        What rows are paired by; empty when rows are told apart by row id alone.
    columns : ColumnChanges
        How the columns differ. A column that one side lacks changes no row.
    num_added, num_removed : int
        Rows that one side lacks.
    num_changed : int
        Rows that both have, with other values.
    num_unchanged : int
        Rows that are the same.
    changed_columns : mapping of str to int
        In how many changed rows each column differs.
    """

    before: str
    after: str
    key: tuple[str, ...]
    columns: ColumnChanges
    num_added: int
    num_removed: int
    num_changed: int
    num_unchanged: int
    changed_columns: Mapping[str, int]
    added: RowSet = field(repr=False)
    removed: RowSet = field(repr=False)
    changed: tuple[RowPairs, ...] = field(repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether columns and rows are the same."""
        return self.columns.is_empty and not (self.num_added or self.num_removed or self.num_changed)

    def summary(self) -> dict[str, Any]:
        """Return what differs, as plain data."""
        return {
            "before": self.before,
            "after": self.after,
            "key": list(self.key),
            "columns": self.columns.to_dict(),
            "rows": {
                "added": self.num_added,
                "removed": self.num_removed,
                "changed": self.num_changed,
                "unchanged": self.num_unchanged,
            },
            "changed_columns": dict(self.changed_columns),
        }

    def rows_added(self, columns: Sequence[str] | None = None, limit: int | None = None) -> pa.Table:
        """Return the rows that only the second version has.

        Parameters
        ----------
        columns : sequence of str, optional
            Which of its columns; all unless given.
        limit : int, optional
            How many rows at most.
        """
        return self.added.to_table(columns, limit)

    def rows_removed(self, columns: Sequence[str] | None = None, limit: int | None = None) -> pa.Table:
        """Return the rows that only the first version has."""
        return self.removed.to_table(columns, limit)

    def rows_changed(self, limit: int | None = None) -> pa.Table:
        """Return the rows whose values differ.

        Returns
        -------
        pyarrow.Table
            Four columns: ``key``, a struct of the key's columns (or of ``row_id``); ``columns``, the names of those
            that differ in the row; ``before`` and ``after``, structs of all columns that differ anywhere, as each
            version calls them.
        """
        parts, left = [], limit
        for pairs in self.changed:
            shown = pairs.head(left)
            parts.append(self._show_changed(shown))
            left = None if left is None else left - shown.num_rows
        return pa.concat_tables(parts, promote_options="permissive") if parts else _NO_CHANGES

    def _show_changed(self, pairs: RowPairs) -> pa.Table:
        chosen = [pair for pair in pairs.columns if pair[1] in self.changed_columns]
        pairs = RowPairs(pairs.before, pairs.after, pairs.before_places, pairs.after_places, tuple(chosen))
        before, after = pairs.read([name for name, _ in chosen], [name for _, name in chosen])
        names = np.array([name for _, name in chosen])
        differ = [names[row].tolist() for row in pairs.find_changes()]
        if self.key:
            key = _as_struct(pairs.after.take(pairs.after_places, self.key))
        else:
            key = _as_struct(pa.table({ROW_ID: pairs.after.row_ids()[pairs.after_places]}))
        return pa.table(
            {
                "key": key,
                "columns": pa.array(differ, pa.list_(pa.string())),
                "before": _as_struct(before),
                "after": _as_struct(after),
            }
        )

    def to_text(self) -> str:
        """Return what differs in words."""
        return "\n".join(_describe(self))

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{escape(line)}</li>" for line in _describe(self)[1:])
        return f"<div><b>{escape(f'{self.before} → {self.after}')}</b><ul>{lines}</ul></div>"


_NO_CHANGES: Final = pa.schema(
    [
        pa.field("key", pa.struct([])),
        pa.field("columns", pa.list_(pa.string())),
        pa.field("before", pa.struct([])),
        pa.field("after", pa.struct([])),
    ]
).empty_table()


def diff_versions(storage: Storage, dataset: DatasetRecord, before: VersionRecord, after: VersionRecord) -> VersionDiff:
    """Compare two versions of a dataset.

    Fragments that both list are not read; without a key, and where no compaction has moved rows, no file is. With
    one, the key's columns of rows that only one side has are read, and of pairs all columns, a bounded part at once.
    """
    old, new = _open_guarded(storage, dataset, before), _open_guarded(storage, dataset, after)
    columns = _MatchedColumns.of(match_columns(storage, (before, old), (after, new)), old, new)
    changes = find_row_changes(old, new)
    removed, added = changes.removed, changes.added
    changed = [*_rows_in_place(columns, old, new), RowPairs(*changes.moved, columns.compared)]
    if dataset.key and removed.num_rows and added.num_rows and _have(dataset.key, old, new):
        compared = tuple(pair for pair in columns.compared if pair[0] not in dataset.key)
        pairs = pair_by_key(dataset.key, removed, added, compared)
        removed, added = removed.without(pairs.before_places), added.without(pairs.after_places)
        changed.append(pairs)
    found, counts = _only_changed(changed)
    num_changed = sum(pairs.num_rows for pairs in found)
    return VersionDiff(
        before=old.where,
        after=new.where,
        key=dataset.key,
        columns=columns.changes,
        num_added=added.num_rows,
        num_removed=removed.num_rows,
        num_changed=num_changed,
        num_unchanged=old.num_rows - removed.num_rows - num_changed,
        changed_columns=counts,
        added=added,
        removed=removed,
        changed=found,
    )


def _open_guarded(storage: Storage, dataset: DatasetRecord, version: VersionRecord) -> FragmentReader:
    rows = open_version(storage, dataset, version)
    return rows if storage.guard is None else storage.guard.permit(dataset, version, rows)


def _have(key: Sequence[str], *readers: FragmentReader) -> bool:
    return all(name in reader.arrow_schema.names for reader in readers for name in key)


@dataclass(frozen=True, slots=True)
class _MatchedColumns:
    """The columns of two versions, matched for comparing their cells.

    `compared` are all pairs of names; `doubtful` those whose cells may differ in a fragment that both versions list.
    """

    changes: ColumnChanges
    compared: tuple[tuple[str, str], ...]
    doubtful: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, match: ColumnMatch, old: FragmentReader, new: FragmentReader) -> "_MatchedColumns":
        left, right = old.stored_schema, new.stored_schema
        pairs = {old.names_by_id[i]: new.names_by_id[j] for i, j in match.fields.items()}
        taken = set(pairs.values())
        replaced = [n for n in left.names if n not in pairs and n in right.names and n not in taken]
        both = {**pairs, **{name: name for name in replaced}}
        certain = {old.names_by_id[i] for i in match.certain}
        compared = tuple((name, both[name]) for name in left.names if name in both)
        doubtful = tuple(pair for pair in compared if pair[0] not in certain)
        return cls(_changes(left, right, both, replaced), compared, doubtful)


def _changes(left: pa.Schema, right: pa.Schema, both: Mapping[str, str], replaced: Sequence[str]) -> ColumnChanges:
    old_texts, new_texts = expressions_of(left), expressions_of(right)
    types = [(b, str(left.field(a).type), str(right.field(b).type)) for a, b in both.items()]
    texts = [(b, old_texts.get(a), new_texts.get(b)) for a, b in both.items()]
    return ColumnChanges(
        added=tuple((f.name, str(f.type)) for f in right if f.name not in both.values()),
        dropped=tuple((f.name, str(f.type)) for f in left if f.name not in both),
        renamed=tuple((a, b) for a, b in both.items() if a != b),
        retyped=tuple(each for each in types if each[1] != each[2]),
        redefined=tuple(each for each in texts if each[1] != each[2]),
        replaced=tuple(replaced),
    )


def _rows_in_place(columns: _MatchedColumns, old: FragmentReader, new: FragmentReader) -> Iterator[RowPairs]:
    """Yield the rows of fragments that both versions list, where doubtful columns lie in other files."""
    if not columns.doubtful:
        return
    there = {fragment.id: fragment for fragment in new.fragments}
    parts: dict[tuple[tuple[str, str], ...], list[tuple[Part, Part]]] = {}
    for fragment in old.fragments:
        other = there.get(fragment.id)
        if other is None:
            continue
        places, others = _places(old, fragment), _places(new, other)
        elsewhere = tuple(pair for pair in columns.doubtful if places.get(pair[0]) != others.get(pair[1]))
        if elsewhere:
            live = old.live(fragment) & new.live(other)
            parts.setdefault(elsewhere, []).append((Part(fragment, live), Part(other, live)))
    for elsewhere, both in parts.items():
        before, after = RowSet(old, [part for part, _ in both]), RowSet(new, [part for _, part in both])
        run = np.arange(before.num_rows)
        yield RowPairs(before, after, run, run, elsewhere)


def _places(reader: FragmentReader, fragment: Fragment) -> dict[str, tuple[str, int]]:
    """Return where the columns of a fragment lie: file and position."""
    return {
        reader.names_by_id[field_id]: (group.object_id, position)
        for group in fragment.groups
        for position, field_id in enumerate(group.fields)
        if field_id in reader.names_by_id
    }


def _only_changed(candidates: Sequence[RowPairs]) -> tuple[tuple[RowPairs, ...], dict[str, int]]:
    found, counts = [], dict[str, int]()
    for pairs in candidates:
        differ = pairs.find_changes()
        changed = np.asarray(differ.any(axis=1))
        if changed.any():
            found.append(pairs.where(changed))
        for (_, name), count in zip(pairs.columns, differ.sum(axis=0).tolist(), strict=True):
            if count:
                counts[name] = counts.get(name, 0) + int(count)
    return tuple(found), counts


def _as_struct(table: pa.Table) -> pa.Array:
    if not table.num_columns:
        return pa.array([{}] * table.num_rows, pa.struct([]))
    columns = [c.chunk(0) if c.num_chunks else pa.array([], c.type) for c in table.combine_chunks().columns]
    return pa.StructArray.from_arrays(columns, fields=list(table.schema))


def _describe(diff: VersionDiff) -> list[str]:
    columns = diff.columns
    lines = [f"{diff.before} -> {diff.after}"]
    lines += [f"column {name} added ({kind})" for name, kind in columns.added]
    lines += [f"column {name} dropped ({kind})" for name, kind in columns.dropped]
    lines += [f"column {old} renamed to {new}" for old, new in columns.renamed]
    lines += [f"column {name} is {new}, was {old}" for name, old, new in columns.retyped]
    lines += [f"column {name} is computed by {new}, was by {old}" for name, old, new in columns.redefined]
    lines += [f"column {name} is another column under that name" for name in columns.replaced]
    lines.append(
        f"rows: {diff.num_added:,} added, {diff.num_removed:,} removed, "
        f"{diff.num_changed:,} changed, {diff.num_unchanged:,} unchanged"
    )
    lines += [f"{name} differs in {count:,} rows" for name, count in diff.changed_columns.items()]
    return lines
