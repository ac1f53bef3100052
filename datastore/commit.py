"""Commits: steps on a draft, from staged files to one flip in the catalog.

What happens, each told to ``storage.on_step``: ``begun`` (transaction row), ``staged`` (files finished and
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
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.column_group import StagedFile
from foldstore.datastore.commit_object import record_commits, write_commit_object
from foldstore.datastore.conflict import lost_to
from foldstore.datastore.draft import Draft, Head, Step
from foldstore.datastore.fragment_writer import StagedFragment
from foldstore.datastore.gate import Candidate, Decision, PublishGate
from foldstore.datastore.heartbeat import Heartbeat
from foldstore.datastore.key_policy import check_keys
from foldstore.datastore.manifest import ColumnGroup, Fragment, encode_page, replace_in_pages
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.seal_guard import refuse_sealed_keys
from foldstore.datastore.storage import Storage, new_id
from foldstore.errors import ConflictError, FoldstoreError, NotFoundError, SchemaMismatchError, StoreError, UsageError
from foldstore.names import MAIN_BRANCH
from foldstore.types import Operation, Progress, Status, format_time
from foldstore.work import settle

# A writer that loses the flip builds on the new head and tries again this often.
ATTEMPTS: Final = 20
_LONGEST_TEXT: Final = 10_000
# These add rows to those that are there: what they add is judged, not what was judged before.
_ADDING: Final = frozenset({Operation.APPEND, Operation.UPSERT})
# The rows stay what they were: there is nothing to judge.
_NEUTRAL: Final = frozenset({Operation.COMPACT})


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitOptions:
    """What a person says about a commit."""

    author: str
    message: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None
    progress: Progress | None = None
    branch: str = MAIN_BRANCH

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


def load_head(storage: Storage, dataset: DatasetRecord, branch: str = MAIN_BRANCH) -> Head:
    """Read the head of a branch; while nothing is committed, the one that was read before.

    Raises
    ------
    NotFoundError
        When the dataset has no such branch.
    """
    mark = storage.catalog.change_mark.read()
    return storage.heads.find(mark, (dataset.id, branch), lambda: _read_head(storage, dataset, branch))


def _read_head(storage: Storage, dataset: DatasetRecord, branch: str) -> Head:
    ref = storage.catalog.find_ref(dataset.id, branch)
    if ref is None or ref.kind != "branch":
        raise NotFoundError(
            f"{dataset.name!r} has no branch {branch!r}.", hint="create_branch() makes one.", ref=branch
        )
    version = storage.catalog.find_version_by_id(ref.version_id) if ref.version_id else None
    if version is None:
        return Head(ref=ref, version=None, pages=(), schema=None)
    schema = decode_schema(storage.catalog.read_arrow_schema(version.arrow_schema_id))
    return Head(ref=ref, version=version, pages=storage.pages.read(version), schema=schema)


def load_former(storage: Storage, dataset: DatasetRecord, head: Head, number: int) -> Head:
    """Read the state of a branch at a version that it has left behind.

    Parameters
    ----------
    head : Head
        The branch as it is now.
    number : int
        The version's; 0 for the time before the first.

    Raises
    ------
    NotFoundError
        When there is no such version, or none any more.
    """
    if number == 0:
        return Head(ref=replace(head.ref, version_id=None), version=None, pages=(), schema=None)
    version = storage.catalog.find_version(dataset.id, number)
    if version is None or version.expired_at is not None:
        raise NotFoundError(
            f"There is no version {dataset.name}@{number} that a transaction could begin at.",
            hint="Look at the newest version, and begin there.",
            address=f"{dataset.name}@{number}",
        )
    schema = decode_schema(storage.catalog.read_arrow_schema(version.arrow_schema_id))
    ref = replace(head.ref, version_id=version.id)
    return Head(ref=ref, version=version, pages=storage.pages.read(version), schema=schema)


def commit_steps(
    storage: Storage, dataset: DatasetRecord, steps: Sequence[Step], *, options: CommitOptions, gate: PublishGate
) -> VersionRecord:
    """Make one version of some steps.

    Raises
    ------
    ConflictError
        When another writer changed what a step cannot be applied to again.
    """
    with begin(storage, dataset, options, gate) as transaction:
        if transaction.done is not None:
            return transaction.done
        for step in steps:
            transaction.add(step)
        return transaction.commit()


def begin(
    storage: Storage, dataset: DatasetRecord, options: CommitOptions, gate: PublishGate, *, parent: int | None = None
) -> "Transaction":
    """Start a commit on a branch, after making good what an earlier crash left undone.

    Parameters
    ----------
    parent : int, optional
        The number of the version that the steps were thought out for, 0 for none; the head unless given. What others
        committed since counts as if they had committed during the transaction.
    """
    storage.objects.refuse_elsewhere()
    try:
        record_commits(storage)
    except FoldstoreError:
        raise  # refusals are errors of permission as well
    except OSError as error:
        raise _unwritten(error) from error
    return Transaction(storage, dataset, options, gate, parent)


class Transaction:
    """One commit: steps stage files into `folder`; `commit` judges what they make and flips the branch to it.

    Use it as a context manager; leaving the block without `commit` removes every trace that a reader
    could meet. Files that already had their names stay as garbage that the catalog knows of.

    Attributes
    ----------
    draft : Draft
        What the steps so far make of the head.
    done : VersionRecord or None
        The version that an earlier commit with the same idempotency key made.
    """

    def __init__(
        self,
        storage: Storage,
        dataset: DatasetRecord,
        options: CommitOptions,
        gate: PublishGate,
        parent: int | None = None,
    ) -> None:
        self.id = new_id()
        self.dataset = dataset
        self.storage = storage
        self.options = options
        self.head = load_head(storage, dataset, options.branch)
        self._is_behind = False
        self.basis = gate.find_basis(dataset)
        self.draft: Draft = self.head.draft
        self.done = self._find_same()
        if parent is not None and self.done is None:
            self._go_back(parent)
        self.bytes_added = 0
        self.merge_parent_id: str | None = None
        self._gate = gate
        self._steps: list[Step] = []
        self._committed = False
        self._files = 0
        self._notes: dict[str, Any] = {}

    def __enter__(self) -> Self:
        base = self.head.version.id if self.head.version else None
        commits.begin(self.storage.catalog, self.id, self.dataset.id, base, self.storage.clock)
        try:
            self.folder: Path = self.storage.objects.stage(self.id)
        except OSError as error:
            self._give_up()
            if isinstance(error, FoldstoreError):
                raise
            raise _unwritten(error) from error
        self.heartbeat = Heartbeat.of_transaction(self.storage, self.id)
        self.storage.on_step("begun")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.storage.deletions.forget(self.draft.bitmaps)
        self._give_up()
        if isinstance(error, OSError) and not isinstance(error, FoldstoreError):
            raise _unwritten(error) from error

    def _go_back(self, parent: int) -> None:
        """Begin at a version that was the head."""
        current = self.head.version.number if self.head.version else 0
        if parent == current:
            return
        self.head = load_former(self.storage, self.dataset, self.head, parent)
        self.draft = self.head.draft
        self._is_behind = True

    def _give_up(self) -> None:
        """Remove what was staged; a transaction that has committed stays so."""
        self.storage.objects.unstage(self.id)
        if not self._committed:
            with suppress(Exception):  # the transaction's own error is the one to show
                commits.abort(self.storage.catalog, self.id)

    @property
    def judged(self) -> bool:
        """Whether a gate will judge the version."""
        return self.basis.is_set

    @property
    def operation(self) -> Operation:
        """What the commit does: its one step, or several."""
        operations = {step.operation for step in self._steps}
        return operations.pop() if len(operations) == 1 else Operation.TRANSACTION

    @property
    def _adds_only(self) -> bool:
        return {step.operation for step in self._steps} <= _ADDING

    def add(self, step: Step) -> None:
        """Do one more step."""
        self._take(step.apply(self.draft, self))
        self._steps.append(step)

    def _take(self, draft: Draft) -> None:
        """Go on with a draft; bitmaps that it does not name any more are not kept for it."""
        self.storage.deletions.forget(self.draft.bitmaps - draft.bitmaps)
        self.draft = draft

    def note(self, name: str, value: Any) -> None:
        """Keep a fact about what was done among the version's properties."""
        self._notes[name] = value

    def new_path(self) -> Path:
        """Return the name of a new file in the staging folder."""
        self._files += 1
        return self.folder / f"{self._files}.arrow"

    def publish_files(self, staged: Sequence[StagedFile], num_fragments: int = 0) -> int:
        """Register and name finished files; return the first of the fragment ids that were reserved for them."""
        self.heartbeat.beat()
        self.storage.on_step("staged")
        records = [item.record for item in staged]
        new_bytes, first = commits.stage_objects(self.storage.catalog, self.id, self.dataset.id, records, num_fragments)
        self.bytes_added += new_bytes
        self.storage.on_step("registered")
        self.storage.objects.publish(staged)
        self.storage.on_step("linked")
        return first

    def publish_fragments(self, staged: Sequence[StagedFragment], schema: pa.Schema) -> tuple[Fragment, ...]:
        """Register and name the files of new fragments; return these, with the bounds of the key's columns."""
        first = self.publish_files([file for item in staged for file in item.files], len(staged))
        ids = field_ids(schema)
        fragments = tuple(
            Fragment(first + offset, item.num_rows, tuple(ColumnGroup(file.record.id, ids) for file in item.files))
            for offset, item in enumerate(staged)
        )
        if not self.dataset.key:
            return fragments
        reader = FragmentReader(self.storage, self.dataset.id, fragments, schema, f"the data for {self.dataset.name!r}")
        return tuple(replace(each, bounds=reader.bounds(each, self.dataset.key)) for each in fragments)

    def commit(self) -> VersionRecord:
        """Judge the draft and make it visible; when the head has moved, the steps are applied to the new one.

        Raises
        ------
        ConflictError
            When another writer changed what a step cannot be applied to again.
        DuplicateKeyError
            When keys are not unique and no gate is set to judge that.
        """
        if self._is_behind:
            self._rebase()
        for _attempt in range(ATTEMPTS):
            decision = self._judge()
            self.storage.on_step("judged")
            settle()
            try:
                version = self._flip(decision)
            except ConflictError:
                self._rebase()
                continue
            self._committed = True
            self.storage.on_step("flipped")
            write_commit_object(self.storage, version, self.folder)
            self.storage.on_step("recorded")
            return version
        raise ConflictError(
            f"{self.dataset.name!r} is changing too fast: {ATTEMPTS} attempts lost.",
            retry=True,
            hint="Try again, or append larger pieces less often.",
        )

    def _rebase(self) -> None:
        """Apply the steps to the head as it is now, where they allow that."""
        before, self.head = self.head, load_head(self.storage, self.dataset, self.options.branch)
        self.basis = self._gate.find_basis(self.dataset)
        moved = self.head.ref != before.ref
        if moved and not all(step.replays for step in self._steps):
            raise lost_to(self.storage, self.dataset, self.operation, before, self.head)
        self._take(self.head.draft)
        try:
            for step in self._steps:
                self._take(step.apply(self.draft, self))
        except ConflictError as error:
            raise lost_to(self.storage, self.dataset, self.operation, before, self.head, why=error.message) from error

    def _judge(self) -> Decision:
        self.heartbeat.beat()
        if self.operation in _NEUTRAL:
            return Decision(Status.PUBLISHED, self.basis)
        new = self._new_rows()
        # An upsert has looked for its keys among the old rows already, and taken those out.
        old = self._reader(()) if self.operation is Operation.UPSERT else self._old_rows()
        # Quarantined rows can be read: those that repeat sealed ones would show what is sealed.
        refuse_sealed_keys(self.storage, self.dataset, new)
        if not self.basis.is_set:
            if self.operation is not Operation.RESTORE:
                check_keys(self.dataset, new, old)
            if self.basis.besides is None or not self.basis.besides.is_set:
                return Decision(Status.PUBLISHED, self.basis)
        if not self._adds_only:
            new, old = self._reader(self.draft.fragments), self._reader(())
        candidate = Candidate(
            dataset=self.dataset, operation=self.operation, added=new, before=old, head=self.head.version
        )
        decision = self._gate.judge(candidate)
        if decision.status is Status.PUBLISHED and self._adds_only:
            _refuse_lost_columns(self.dataset, self.head, self.draft)
        return decision

    def _new_rows(self) -> FragmentReader:
        return self._reader(self._split()[0])

    def _old_rows(self) -> FragmentReader:
        return self._reader(self._split()[1])

    def _split(self) -> tuple[Sequence[Fragment], Sequence[Fragment]]:
        """Return the fragments of the draft that the head does not have, and those that it has."""
        known, drafted = self.head.fragments, self.draft.fragments
        if drafted[: len(known)] == known:  # an append: the very same tuple of the very same fragments, then more
            return drafted[len(known) :], known
        ids = {fragment.id for fragment in known}
        return [each for each in drafted if each.id not in ids], [each for each in drafted if each.id in ids]

    def _reader(self, fragments: Sequence[Fragment]) -> FragmentReader:
        schema = self.draft.known_schema(self.dataset.name)
        return FragmentReader(self.storage, self.dataset.id, fragments, schema, f"the data for {self.dataset.name!r}")

    def _flip(self, decision: Decision) -> VersionRecord:
        schema = self.draft.known_schema(self.dataset.name)
        pages = replace_in_pages(self.head.pages, self.draft.fragments)
        inherited = {page.hash for page in self.head.pages}
        new_pages = [encode_page(page) for page in pages if page.hash not in inherited]
        schema_id, encoded = encode_schema(schema)
        request = commits.Flip(
            version=self._describe(decision.status, schema_id),
            encoded_schema=encoded,
            page_hashes=[page.hash for page in pages],
            new_pages=new_pages,
            deletions=self.storage.deletions.waiting({name for page in new_pages for name in page.deletions}),
            head=self.head.ref,
            report=decision.report,
            basis=decision.basis,
        )
        return self._flip_once(request)

    def _describe(self, status: Status, schema_id: str) -> VersionRecord:
        properties = {**self.options.properties, **self._notes}
        if self.operation is Operation.TRANSACTION:
            properties["operations"] = [str(step.operation) for step in self._steps]
        return VersionRecord(
            id=new_id(),
            dataset_id=self.dataset.id,
            number=0,  # given by the flip
            parent_id=self.head.version.id if self.head.version else None,
            merge_parent_id=self.merge_parent_id,
            branch=self.options.branch,
            arrow_schema_id=schema_id,
            next_field=self.draft.next_field,
            operation=self.operation,
            status=status,
            author=self.options.author,
            message=self.options.message,
            properties=properties,
            created_at=format_time(self.storage.clock()),
            num_rows=sum(fragment.live_rows for fragment in self.draft.fragments),
            rows_added=0 if self.operation in _NEUTRAL else self._new_rows().num_rows,
            bytes_added=self.bytes_added,
            transaction_id=self.id,
            idempotency_key=self.options.idempotency_key,
        )

    def _flip_once(self, request: commits.Flip) -> VersionRecord:
        try:
            return commits.flip(self.storage.catalog, self.storage.journal, request)
        except ConflictError:
            raise
        except Exception as error:
            done = self._find_done(error)
            if done is None:
                raise
            return done

    def _find_done(self, error: Exception) -> VersionRecord | None:
        """Return what was committed in spite of an error: our own version, or that of our idempotency key.

        The database may have committed before the error reached us: it is asked, nothing is assumed.
        """
        try:
            # A flip that a server is still at holds the transaction's row: giving it up waits for that, after
            # which the answer stands. SQLite lives in this process, and has ended when it has raised.
            if self.storage.catalog.dialect != "sqlite":
                commits.abort(self.storage.catalog, self.id)
            return commits.find_committed(self.storage.catalog, self.id) or self._find_same()
        except Exception as unknown:
            raise StoreError(
                f"It is not known whether the {self.operation} on {self.dataset.name!r} was committed: the catalog "
                f"failed ({error}) and cannot be asked.",
                hint="No file was removed. Look at versions() when it can be reached again; with an idempotency_key, "
                "doing the same again is safe.",
                code="commit-unknown",
                transaction=self.id,
            ) from unknown

    def _find_same(self) -> VersionRecord | None:
        key = self.options.idempotency_key
        return self.storage.catalog.find_version_by_idempotency_key(self.dataset.id, key) if key else None


def _unwritten(error: OSError) -> StoreError:
    return StoreError(
        f"The store could not be written: {error.strerror or error}.",
        hint="Nothing was committed. Check free space and permissions.",
        path=error.filename,
    )


def _refuse_lost_columns(dataset: DatasetRecord, head: Head, draft: Draft) -> None:
    """Refuse to publish a column under another type: the rows that are there would read as null."""
    if head.schema is None or draft.schema is None or not head.fragments:
        return
    kept = set(field_ids(draft.schema))
    for column, field_id in zip(head.schema, field_ids(head.schema), strict=True):
        if field_id not in kept and not pa.types.is_null(column.type):
            raise SchemaMismatchError(
                f"Column {column.name!r} of {dataset.name!r} is {column.type}; the data and the schema say "
                f"{draft.schema.field(column.name).type}.",
                hint="A column keeps its type: widen it with widen_columns(), or append it under a new name.",
                code="type-mismatch",
                column=column.name,
            )
