"""Commits: append and add_columns, from staged files to one flip in the catalog.

The steps, each told to ``storage.on_step``: ``begun`` (transaction row), ``staged`` (files finished and
fsync'ed in the staging folder), ``registered`` (the catalog knows the files), ``linked`` (files have their
names, folders fsync'ed), ``judged`` (the gate has decided), ``flipped`` (the catalog has committed: the
version is visible), ``recorded`` (the commit object is on disk). Only after that is a commit acknowledged.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pyarrow as pa

from foldstore.datastore.arrow_schema import decode_schema, encode_schema, field_ids
from foldstore.datastore.canonical import canonical_json
from foldstore.datastore.catalog import commits
from foldstore.datastore.catalog.records import DatasetRecord, ObjectRecord, RefRecord, VersionRecord
from foldstore.datastore.catalog.seals import list_seals
from foldstore.datastore.column_group import StagedFile
from foldstore.datastore.commit_object import record_commits, write_commit_object
from foldstore.datastore.gate import Candidate, Decision, PublishGate
from foldstore.datastore.keys import find_duplicate_keys
from foldstore.datastore.manifest import Fragment, Page, cut_pages, encode_page, extend_pages
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.storage import Storage, new_id
from foldstore.errors import (
    ConflictError,
    DuplicateKeyError,
    FoldstoreError,
    SchemaMismatchError,
    StoreError,
    UsageError,
)
from foldstore.names import MAIN_BRANCH
from foldstore.types import Operation, Progress, Status, format_time

# A writer that loses the flip builds on the new head and tries again this often.
ATTEMPTS: Final = 20
_LONGEST_TEXT: Final = 10_000
_DUPLICATE_HINT: Final = (
    "Drop the rows that are there already; with a schema set, such data is quarantined with a report."
)
_SEALED_HINT: Final = "Drop the rows that are there already: a dataset with a test pool keeps no second copy of them."


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitOptions:
    """What a person says about a commit."""

    author: str
    message: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        for name in ("author", "message", "idempotency_key"):
            _check_text(name, getattr(self, name), optional=name == "idempotency_key")
        try:
            canonical_json(dict(self.properties))
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"properties cannot be kept: {error}.", hint="Give a dict of texts, numbers, lists and dicts (no NaN)."
            ) from error


def _check_text(name: str, value: object, *, optional: bool) -> None:
    if value is None and optional:
        return
    try:
        if isinstance(value, str) and "\0" not in value and len(value.encode()) <= _LONGEST_TEXT:
            return
    except UnicodeEncodeError:  # a lone surrogate
        pass
    raise UsageError(f"{name} is not a text of at most {_LONGEST_TEXT} bytes.", hint="Give a str.", name=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The state that a commit builds on."""

    ref: RefRecord
    version: VersionRecord | None
    pages: tuple[Page, ...]
    schema: pa.Schema | None

    @property
    def fragments(self) -> tuple[Fragment, ...]:
        """All fragments of the head, in order."""
        return tuple(fragment for page in self.pages for fragment in page.fragments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a commit wants to make of the head that it was built on.

    Attributes
    ----------
    added : tuple of Fragment
        New fragments (append), or all fragments with their new column groups (add_columns).
    replaces : bool
        Whether `added` takes the place of the head's fragments.
    """

    operation: Operation
    schema: pa.Schema
    next_field: int
    added: tuple[Fragment, ...]
    replaces: bool
    bytes_added: int

    @property
    def rows_added(self) -> int:
        """How many rows the dataset gains."""
        return 0 if self.replaces else sum(fragment.num_rows for fragment in self.added)


def load_head(storage: Storage, dataset: DatasetRecord) -> Head:
    """Read the head of a dataset's main branch."""
    ref = storage.catalog.find_ref(dataset.id, MAIN_BRANCH)
    assert ref is not None  # noqa: S101  # made together with the dataset
    version = storage.catalog.find_version_by_id(ref.version_id) if ref.version_id else None
    if version is None:
        return Head(ref=ref, version=None, pages=(), schema=None)
    schema = decode_schema(storage.catalog.read_arrow_schema(version.arrow_schema_id))
    return Head(ref=ref, version=version, pages=storage.pages.read(version), schema=schema)


class Transaction:
    """One commit: files are staged into `folder`, registered, named, judged, and flipped.

    Use it as a context manager; leaving the block without `commit` removes every trace that a reader
    could meet. Files that already had their names stay as garbage that the catalog knows of.
    """

    def __init__(self, storage: Storage, dataset: DatasetRecord, head: Head, options: CommitOptions) -> None:
        self.id = new_id()
        self.dataset = dataset
        self.head = head
        self._storage = storage
        self._options = options
        self._committed = False

    def __enter__(self) -> Self:
        base = self.head.version.id if self.head.version else None
        commits.begin(self._storage.catalog, self.id, self.dataset.id, base, self._storage.clock)
        self.folder: Path = self._storage.objects.stage(self.id)
        self._storage.on_step("begun")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._storage.objects.unstage(self.id)
        if not self._committed:
            with suppress(Exception):  # the transaction's own error is the one to show
                commits.abort(self._storage.catalog, self.id)
        if isinstance(error, OSError) and not isinstance(error, FoldstoreError):
            raise StoreError(
                f"The store could not be written: {error.strerror or error}.",
                hint="Nothing was committed. Check free space and permissions.",
                path=error.filename,
            ) from error

    def publish_files(self, staged: Sequence[StagedFile], num_fragments: int) -> tuple[int, int]:
        """Register and name finished files; return the bytes new to the store and the first fragment id."""
        self._storage.on_step("staged")
        records: list[ObjectRecord] = [item.record for item in staged]
        reserved = commits.stage_objects(self._storage.catalog, self.id, self.dataset.id, records, num_fragments)
        self._storage.on_step("registered")
        self._storage.objects.publish(staged)
        self._storage.on_step("linked")
        return reserved

    def commit(self, change: Change, gate: PublishGate) -> VersionRecord:
        """Judge the change and make it visible; a moved head is rebased onto where that is safe.

        Raises
        ------
        ConflictError
            When another writer changed what this one cannot be rebased onto.
        DuplicateKeyError
            When keys are not unique and no gate is set to judge that.
        """
        change = self._with_bounds(change)
        for _attempt in range(ATTEMPTS):
            decision = self._judge(change, gate)
            self._storage.on_step("judged")
            try:
                version = self._flip(change, decision)
            except ConflictError:
                self.head = self._rebase(change)
                continue
            self._committed = True
            self._storage.on_step("flipped")
            write_commit_object(self._storage, version)
            self._storage.on_step("recorded")
            return version
        raise ConflictError(
            f"{self.dataset.name!r} is changing too fast: {ATTEMPTS} attempts lost.",
            retry=True,
            hint="Try again, or append larger pieces less often.",
        )

    def _with_bounds(self, change: Change) -> Change:
        """Note the bounds of the key's columns in new fragments, so that later commits need not open them."""
        if change.replaces or not self.dataset.key:
            return change
        reader = self._reader(change.added, change)
        added = tuple(replace(f, bounds=reader.bounds(f, self.dataset.key)) for f in change.added)
        return replace(change, added=added)

    def _reader(self, fragments: Sequence[Fragment], change: Change) -> FragmentReader:
        return FragmentReader(self._storage, fragments, change.schema, f"the data for {self.dataset.name!r}")

    def _judge(self, change: Change, gate: PublishGate) -> Decision:
        added = self._reader(change.added, change)
        before = self._reader(() if change.replaces else self.head.fragments, change)
        basis = gate.find_basis(self.dataset)
        if not basis.is_set:
            if not change.replaces:
                _refuse_duplicates(self.dataset, added, before)
            return Decision(Status.PUBLISHED, basis)
        if not change.replaces and list_seals(self._storage.catalog, self.dataset.id):
            # Quarantined rows can be read: those that repeat sealed ones would show what is sealed.
            _refuse_duplicates(self.dataset, added, before, hint=_SEALED_HINT)
        candidate = Candidate(dataset=self.dataset, operation=change.operation, added=added, before=before)
        decision = gate.judge(candidate)
        if decision.status is Status.PUBLISHED:
            _refuse_lost_columns(self.dataset, self.head, change)
        return decision

    def _flip(self, change: Change, decision: Decision) -> VersionRecord:
        pages = cut_pages(change.added) if change.replaces else extend_pages(self.head.pages, change.added)
        inherited = {page.hash for page in self.head.pages}
        schema_id, encoded = encode_schema(change.schema)
        version = VersionRecord(
            id=new_id(),
            dataset_id=self.dataset.id,
            number=0,  # given by the flip
            parent_id=self.head.version.id if self.head.version else None,
            arrow_schema_id=schema_id,
            next_field=change.next_field,
            operation=change.operation,
            status=decision.status,
            author=self._options.author,
            message=self._options.message,
            properties=dict(self._options.properties),
            created_at=format_time(self._storage.clock()),
            num_rows=sum(fragment.num_rows for page in pages for fragment in page.fragments),
            rows_added=change.rows_added,
            bytes_added=change.bytes_added,
            transaction_id=self.id,
            idempotency_key=self._options.idempotency_key,
        )
        request = commits.Flip(
            version=version,
            encoded_schema=encoded,
            page_hashes=[page.hash for page in pages],
            new_pages=[encode_page(page) for page in pages if page.hash not in inherited],
            head=self.head.ref,
            report=decision.report,
            basis=decision.basis,
        )
        return self._flip_once(request)

    def _flip_once(self, request: commits.Flip) -> VersionRecord:
        try:
            return commits.flip(self._storage.catalog, self._storage.journal, request)
        except ConflictError:
            raise
        except Exception:
            # The database may have committed before the error reached us, or another writer with the same
            # idempotency key was first: ask by our own ids, assume nothing.
            done = commits.find_committed(self._storage.catalog, self.id) or self._find_same()
            if done is None:
                raise
            return done

    def _find_same(self) -> VersionRecord | None:
        key = self._options.idempotency_key
        return self._storage.catalog.find_version_by_idempotency_key(self.dataset.id, key) if key else None

    def _rebase(self, change: Change) -> Head:
        moved = load_head(self._storage, self.dataset)
        # Safe when the columns are those that the change was made for, or those that it makes itself.
        expected = {encode_schema(change.schema)[0]}
        if self.head.version is not None:
            expected.add(self.head.version.arrow_schema_id)
        same_columns = moved.version is not None and moved.version.arrow_schema_id in expected
        if change.operation is not Operation.APPEND or not same_columns:
            winner = moved.version
            raise ConflictError(
                f"Version {winner.number if winner else '?'} of {self.dataset.name!r} was committed by "
                f"{winner.author if winner else 'another writer'} ({winner.operation if winner else '?'}) meanwhile.",
                retry=True,
                hint="Do the same again: it will build on that version.",
                dataset=self.dataset.name,
            )
        return moved


def _refuse_lost_columns(dataset: DatasetRecord, head: Head, change: Change) -> None:
    """Refuse to publish a column under another type: the rows that are there would read as null."""
    if head.schema is None or not head.fragments:
        return
    kept = set(field_ids(change.schema))
    for column, field_id in zip(head.schema, field_ids(head.schema), strict=True):
        if field_id not in kept and not pa.types.is_null(column.type):
            raise SchemaMismatchError(
                f"Column {column.name!r} of {dataset.name!r} is {column.type}; the data and the schema say "
                f"{change.schema.field(column.name).type}.",
                hint="A column keeps its type: append it under a new name, or start a new dataset.",
                code="type-mismatch",
                column=column.name,
            )


def _refuse_duplicates(
    dataset: DatasetRecord, added: FragmentReader, before: FragmentReader, *, hint: str = _DUPLICATE_HINT
) -> None:
    if not dataset.key:
        return
    found = find_duplicate_keys(dataset.key, added, before, limit=1)
    if found.groups:
        first = ", ".join(f"{name}={found.examples[0][name]}" for name in dataset.key)
        raise DuplicateKeyError(
            f"{found.groups:,} key value{'s occur' if found.groups > 1 else ' occurs'} more than once "
            f"in {dataset.name!r}, e.g. {first}.",
            hint=hint,
            dataset=dataset.name,
            key=list(dataset.key),
            groups=found.groups,
        )


def begin(storage: Storage, dataset: DatasetRecord, options: CommitOptions) -> Transaction:
    """Start a commit on a dataset's main branch, after making good what an earlier crash left undone."""
    record_commits(storage)
    return Transaction(storage, dataset, load_head(storage, dataset), options)


def number_fragments(first_id: int, rows: Sequence[tuple[int, Any]]) -> tuple[Fragment, ...]:
    """Give new fragments their reserved ids."""
    return tuple(Fragment(first_id + offset, count, groups) for offset, (count, groups) in enumerate(rows))


def with_group(fragment: Fragment, group: Any) -> Fragment:
    """Return a fragment with one more column group."""
    return replace(fragment, groups=(*fragment.groups, group))
