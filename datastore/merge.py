"""Three-way merge: what another branch did since both were one becomes part of ours, in one version.

Fragments first: ours stay in their order, and those that are new in theirs come behind them. Then rows, by row id
and by key (`row_merge`), and columns (`column_merge`). Only cells of columns that one side has added are written;
everything else is a matter of the manifest.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import pyarrow as pa

from foldstore.datastore.ancestry import find_common, is_ancestor
from foldstore.datastore.arrow_schema import expressions_of
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.column_match import match_columns
from foldstore.datastore.column_merge import ColumnSide, MergedColumns, merge_columns
from foldstore.datastore.commit import CommitOptions, Transaction, commit_steps, load_head
from foldstore.datastore.delete import delete_rows
from foldstore.datastore.draft import Draft
from foldstore.datastore.gate import PublishGate
from foldstore.datastore.manifest import Fragment
from foldstore.datastore.merge_conflict import ConflictKind, Conflicts
from foldstore.datastore.new_cells import NewCells
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.row_changes import open_version
from foldstore.datastore.row_merge import KeyRules, merge_rows
from foldstore.datastore.row_set import Part, RowSet
from foldstore.datastore.storage import Storage
from foldstore.errors import FoldstoreError, UsageError
from foldstore.types import Operation, Status

PREFERENCES = ("ours", "theirs")


def merge_version(
    storage: Storage,
    dataset: DatasetRecord,
    theirs: VersionRecord,
    *,
    prefer: str | None = None,
    released: bool = False,
    options: CommitOptions,
    gate: PublishGate,
) -> VersionRecord:
    """Merge a version into the head of a branch; when the head has all of it, the head is returned.

    Parameters
    ----------
    prefer : {'ours', 'theirs'}, optional
        Whose side wins where both did something to the same row or column.
    released : bool
        A person has released the version: it may be quarantined.

    Raises
    ------
    ConflictError
        With code ``merge-conflict``, when both sides did something to the same row or column; with another, when
        somebody committed to the branch meanwhile.
    UsageError
        When the version cannot be merged, or `prefer` is no choice.
    """
    step = Merge(theirs, prefer, released=released)
    head = load_head(storage, dataset, options.branch).version
    if head is not None and is_ancestor(storage, theirs, head):
        return head
    return commit_steps(storage, dataset, [step], options=options, gate=gate)


class Merge:
    """The step that merges a version into the head.

    It is not applied again when another writer was faster: the conflicts would be others.

    Parameters
    ----------
    theirs : VersionRecord
        What is merged.
    prefer : {'ours', 'theirs'}, optional
        Whose side wins where both did something to the same row or column.
    released : bool
        Whether the version may be quarantined.
    """

    operation: ClassVar = Operation.MERGE
    replays: ClassVar = False

    def __init__(self, theirs: VersionRecord, prefer: str | None = None, *, released: bool = False) -> None:
        if prefer is not None and prefer not in PREFERENCES:
            raise UsageError(f"prefer={prefer!r} is not a choice.", hint="Write prefer='ours' or prefer='theirs'.")
        if theirs.status is Status.DRAFT or (theirs.status is Status.QUARANTINED and not released):
            raise UsageError(
                f"Version {theirs.number} is {theirs.status}: it is not merged.", hint="Merge a published version."
            )
        _refuse_expired(theirs)
        self._theirs = theirs
        self._prefer = prefer

    def apply(self, draft: Draft, transaction: Transaction) -> Draft:
        """Put the draft and the other side together.

        Raises
        ------
        ConflictError
            With code ``merge-conflict``, naming what both sides changed.
        RefusedError
            When the other side has deleted rows that belong to a test pool.
        """
        transaction.merge_parent_id = self._theirs.id
        if draft.schema is None and transaction.head.version is None:  # nothing is there yet: theirs is all there is
            transaction.note("merged", {"theirs": self._theirs.number, "base": None})
            other = open_version(transaction.storage, transaction.dataset, self._theirs)
            return Draft(
                schema=other.stored_schema, next_field=self._theirs.next_field, fragments=tuple(other.fragments)
            )
        merging = _Merging.begin(draft, transaction, self._theirs, self._prefer)
        transaction.note("merged", {"theirs": self._theirs.number, "base": merging.base_number})
        return merging.run(draft)


@dataclass(frozen=True, slots=True, eq=False)
class _Merging:
    """A merge under way: the rows of base, ours and theirs, the last two under the columns of the merge."""

    transaction: Transaction
    base_number: int | None
    base: FragmentReader
    ours: FragmentReader
    theirs: FragmentReader
    columns: MergedColumns
    compared: tuple[str, ...]
    conflicts: Conflicts

    @classmethod
    def begin(cls, draft: Draft, transaction: Transaction, theirs: VersionRecord, prefer: str | None) -> "_Merging":
        storage, dataset, head = transaction.storage, transaction.dataset, transaction.head.version
        common = find_common(storage, head, theirs) if head is not None else None
        other = open_version(storage, dataset, theirs)
        where = f"{dataset.name}@{head.number}" if head is not None else dataset.name
        mine = FragmentReader(storage, dataset.id, draft.fragments, draft.known_schema(dataset.name), where)
        conflicts = Conflicts(where, other.where, f"{dataset.name}@{common.number}" if common else None, prefer)
        left = ColumnSide(schema=mine.stored_schema, next_field=draft.next_field)
        right = ColumnSide(schema=other.stored_schema, next_field=theirs.next_field)
        base = FragmentReader(storage, dataset.id, (), pa.schema([]), "nothing")
        if common is not None and head is not None:
            _refuse_expired(common)
            base = open_version(storage, dataset, common)
            left = replace(left, of_base=match_columns(storage, (common, base), (head, mine)).fields)
            right = replace(right, of_base=match_columns(storage, (common, base), (theirs, other)).fields)
        columns = merge_columns(base.stored_schema, left, right, conflicts)
        brought = {fragment.id: columns.translate(fragment) for fragment in other.fragments}
        laid = [columns.join(fragment, brought.get(fragment.id)) for fragment in draft.fragments]
        return cls(
            transaction=transaction,
            base_number=common.number if common else None,
            base=base,
            ours=FragmentReader(storage, dataset.id, laid, columns.schema, mine.where),
            theirs=FragmentReader(storage, dataset.id, list(brought.values()), columns.schema, other.where),
            columns=columns,
            compared=tuple(n for n in columns.schema.names if n not in columns.added and n not in dataset.key),
            conflicts=conflicts,
        )

    def run(self, draft: Draft) -> Draft:
        """Merge the rows, raise what was found, and write what is lacking."""
        cells = NewCells(self.transaction, self.columns, {"ours": self.ours, "theirs": self.theirs})
        self._check_expressions(cells)
        rules = KeyRules(self.transaction.dataset.key, self.compared)
        rows = merge_rows(self.base, self.ours, self.theirs, rules, self.conflicts)
        self.conflicts.raise_if_any()
        columns = self.columns
        laid = replace(draft, schema=columns.schema, next_field=columns.next_field, fragments=self.ours.fragments)
        kept = delete_rows(laid, self.transaction, rows.deleted, act="delete by this merge")
        return cells.fill(kept.with_fragments(*self._listed(rows.appended)))

    def _check_expressions(self, cells: NewCells) -> None:
        texts = expressions_of(self.columns.schema)
        try:
            cells.plan(texts)
        except FoldstoreError as error:
            name = str(error.facts.get("column", ", ".join(texts)))
            self.conflicts.add_column(ConflictKind.COLUMN_EXPRESSION, name, settled=False, message=error.message)

    def _listed(self, rows: RowSet) -> list[Fragment]:
        """Return the fragments of rows, with all others marked as deleted."""
        return [self._only(part) for part in rows.parts]

    def _only(self, part: Part) -> Fragment:
        if part.chosen is None:
            return part.fragment
        deletions = self.transaction.storage.deletions
        return replace(part.fragment, deleted=deletions.keep(~part.chosen))


def _refuse_expired(version: VersionRecord) -> None:
    if version.expired_at is not None:
        raise UsageError(
            f"The rows of version {version.number} were given up on {version.expired_at}: it cannot be merged by.",
            hint="Retention decides how long versions keep their rows; upsert() brings the rows of the other branch.",
            code="version-expired",
            version=version.number,
        )
