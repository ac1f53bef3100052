"""The handle of a cleaning plan: chosen, previewed, committed as a version that says what was done, undone."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.chosen_actions import ChosenActions
from foldstore.datastore.append import Append, Fit
from foldstore.datastore.arrow_schema import expressions_of
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.commit import CommitOptions, begin, commit_steps
from foldstore.datastore.ingest.batch_source import BatchSource
from foldstore.datastore.lineage.recording import note_output
from foldstore.datastore.overwrite import Restore
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.seal_guard import sealed_places
from foldstore.datastore.storage import Storage, new_id
from foldstore.datastore.take import take_ids
from foldstore.errors import AlreadyExistsError, ConflictError, UsageError
from foldstore.names import check_name
from foldstore.types import Operation, Progress, format_time
from foldstore.validation.cleaning.action import CleaningAction
from foldstore.validation.cleaning.pipeline import Pipeline, refuse_columns
from foldstore.validation.cleaning.plan_document import PlanDocument
from foldstore.validation.cleaning.preview import CleaningPreview, make_preview
from foldstore.validation.cleaning.row_source import RowSource
from foldstore.validation.cleaning.step import make_steps
from foldstore.validation.gate import SchemaGate

if TYPE_CHECKING:
    from foldstore.version import Version

_TAKEN: Final = 65_536
_ADDED: Final = (("cleaning_row_id", pa.uint64()), ("cleaning_version", pa.string()), ("cleaning_reason", pa.string()))
RowIds = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CleaningSubject:
    """The version that a plan is for, and what a plan needs of it."""

    storage: Storage
    dataset: DatasetRecord
    version: VersionRecord
    rows: FragmentReader
    author: str
    train_ids: Callable[[str], RowIds]
    to_version: "Callable[[VersionRecord], Version]"
    splits: Sequence[str] = ()

    @property
    def address(self) -> str:
        """The version's address."""
        return f"{self.dataset.name}@{self.version.number}"

    def read(self, progress: Progress | None = None) -> RowSource:
        """Return what reads the rows, those of test pools marked."""
        return RowSource(self.rows, sealed_places(self.storage, self.dataset), progress)


class CleaningPlan(ChosenActions):
    """Actions for one version, in order: nothing is done before `commit`.

    Examples
    --------
    >>> import foldstore
    >>> people = foldstore.connect(folder).create_dataset("people", key=["id"])
    >>> version = people.append({"id": [1, 2, 3], "city": ["Ulm ", "Ulm", "ZÃ¼rich"], "age": [34, -999, 7]})
    >>> plan = version.cleaning_plan([
    ...     {"op": "normalise", "column": "city"},
    ...     {"op": "fix_mojibake", "column": "city"},
    ...     {"op": "set_null", "column": "age", "params": {"values": [-999]}},
    ... ])
    >>> plan.preview().rows_changed
    3
    >>> cleaned = plan.commit(message="spring cleaning")
    >>> cleaned.to_arrow(["id", "city", "age"]).sort_by("id").to_pydict()
    {'id': [1, 2, 3], 'city': ['Ulm', 'Ulm', 'Zürich'], 'age': [34, None, 7]}
    >>> cleaned.undo_cleaning().to_arrow() == version.to_arrow()
    True
    """

    def __init__(self, subject: CleaningSubject, document: PlanDocument) -> None:
        self._subject = subject
        self._document = document

    @property
    def subject(self) -> CleaningSubject:
        """What the plan is for."""
        return self._subject

    def preview(self, *, progress: Progress | None = None) -> CleaningPreview:
        """Say what a commit would do; nothing is written.

        Raises
        ------
        UsageError
            When an action does not fit the columns.
        """
        found = make_preview(self._pipeline(), self._subject.read(progress), self._subject.address, self._schema)
        fitted = any(each.operation.fitted for each in self.actions)
        if fitted and self.split is None and self._subject.splits:
            named = self._subject.splits[0]
            note = f"rules are learnt from all rows, those of test parts too: name split={named!r} [fitted_on_all]"
            return replace(found, notes=(*found.notes, note))
        return found

    def touched_rows(self, action: CleaningAction) -> RowIds:
        """Return the ids of the rows that one of the actions would touch, done alone."""
        pipeline = Pipeline([action], self._schema, self._subject.storage.engine, self._train())
        read = self._subject.read()
        pipeline.fit(read)
        touched = [each.chunk.ids[each.changed | ~each.alive] for each in pipeline.run(read)]
        return np.concatenate([np.empty(0, np.uint64), *touched])

    def commit(
        self,
        *,
        message: str = "",
        author: str | None = None,
        branch: str | None = None,
        progress: Progress | None = None,
    ) -> "Version":
        """Do it: one version, whose properties hold the plan, what it did and what it learnt.

        Rows that change are written anew and keep their row ids, so that splits hold them; the others are not
        touched. When nothing would change nothing is committed, and the version itself is returned.

        Parameters
        ----------
        message, author : str, optional
            Kept with the version.
        branch : str, optional
            The branch to commit to; that of the version unless given.
        progress : callable, optional
            Told the rows done and the rows in all, in each pass.

        Raises
        ------
        ConflictError
            When the branch has moved on since the version: make the plan for what is there now.
        UsageError
            When an action does not fit the columns.
        RefusedError
            When a cast would touch rows of a test pool.
        """
        subject = self._subject
        options = CommitOptions(
            author=author or subject.author,
            message=message or f"clean: {len(self)} actions",
            branch=branch or subject.version.branch,
            progress=progress,
        )
        if not self.actions:
            return subject.to_version(subject.version)
        self._quarantine(options)
        with begin(subject.storage, subject.dataset, options, SchemaGate(subject.storage)) as transaction:
            self._refuse_moved(transaction.head.version, options.branch)
            before = transaction.draft
            steps = make_steps(self.actions, self._train())
            for step in steps:
                transaction.add(step)
            if transaction.draft == before:
                return subject.to_version(subject.version)
            counts = [count for step in steps for count in step.counts]
            fitted = [each for step in steps for each in step.fitted]
            transaction.note("cleaning", {**self._document.to_dict(), "changed": counts, "fitted": fitted})
            record = transaction.commit()
        note_output(subject.storage, record)
        return subject.to_version(record)

    @property
    def _schema(self) -> pa.Schema:
        return self._subject.rows.arrow_schema

    def _with(self, actions: Iterable[CleaningAction]) -> Self:
        return type(self)(self._subject, replace(self._document, actions=tuple(actions)))

    def _train(self) -> RowIds | None:
        return None if self.split is None else np.sort(self._subject.train_ids(self.split))

    def _pipeline(self) -> Pipeline:
        subject = self._subject
        derived = expressions_of(subject.rows.stored_schema)
        refuse_columns(self.actions, key=subject.dataset.key, derived=derived)
        return Pipeline(self.actions, self._schema, subject.storage.engine, self._train())

    def _refuse_moved(self, head: VersionRecord | None, branch: str) -> None:
        if head is None or head.id != self._subject.version.id:
            now = f"{self._subject.dataset.name}@{head.number}" if head else "nothing"
            raise ConflictError(
                f"The plan is for {self._subject.address}, and the head of {branch!r} is {now}.",
                retry=False,
                hint="Make the plan for the newest version: version.cleaning_plan(plan.document), and preview it.",
            )

    def _quarantine(self, options: CommitOptions) -> None:
        """Put rows aside before they go; doing it again puts nothing aside twice."""
        if not any(each.op == "quarantine_rows" for each in self.actions):
            return
        pipeline = self._pipeline()
        read = self._subject.read(options.progress)
        pipeline.fit(read)
        taken: dict[str, dict[str, list[RowIds]]] = {}
        for working in pipeline.run(read):
            for action, gone in working.taken:
                if action.op == "quarantine_rows" and gone.any():
                    into = action.params.get("into", f"{self._subject.dataset.name}.quarantine")
                    taken.setdefault(into, {}).setdefault(action.reason or action.code, []).append(
                        working.chunk.ids[gone]
                    )
        for into, reasons in taken.items():
            self._put_aside(into, {reason: np.concatenate(ids) for reason, ids in reasons.items()}, options)

    def _put_aside(self, into: str, reasons: dict[str, RowIds], options: CommitOptions) -> None:
        subject = self._subject
        schema = pa.schema([*self._schema, *(pa.field(name, kind) for name, kind in _ADDED)])

        def rows() -> Iterator[pa.RecordBatch]:
            for reason, ids in reasons.items():
                for start in range(0, len(ids), _TAKEN):
                    some = ids[start : start + _TAKEN]
                    found = take_ids(subject.rows, some).combine_chunks()
                    told = [pa.array(some), pa.repeat(subject.address, len(some)), pa.repeat(reason, len(some))]
                    yield from pa.table([*found.columns, *told], schema=schema).to_batches()

        key = f"clean:{subject.version.id}:{self._document.id}"
        kept = CommitOptions(author=options.author, message=f"from {subject.address}", idempotency_key=key)
        step = Append(BatchSource(schema=schema, batches=rows()), Fit(evolve=True))
        target = _find_or_create(subject, into)
        note_output(
            subject.storage,
            commit_steps(subject.storage, target, [step], options=kept, gate=SchemaGate(subject.storage)),
        )


def undo_cleaning(subject: CleaningSubject, *, message: str = "") -> "Version":
    """Commit the version before a cleaning as the newest: the same fragments, so the same bytes.

    Parameters
    ----------
    subject : CleaningSubject
        A version that a cleaning made, at the head of its branch.

    Raises
    ------
    UsageError
        With code ``no-cleaning``, when no cleaning made the version.
    ConflictError
        When the branch has moved on since: what came later would be undone unseen.
    """
    record = subject.version
    parent = subject.storage.catalog.find_version_by_id(record.parent_id) if record.parent_id else None
    if record.operation is not Operation.CLEAN or parent is None:
        raise UsageError(
            f"{subject.address} was made by {record.operation}, not by a cleaning.",
            hint="dataset.restore(version) brings any version back.",
            code="no-cleaning",
        )
    options = CommitOptions(
        author=subject.author, message=message or f"undo the cleaning {subject.address}", branch=record.branch
    )
    with begin(subject.storage, subject.dataset, options, SchemaGate(subject.storage)) as transaction:
        head = transaction.head.version
        if head is None or head.id != record.id:
            raise ConflictError(
                f"{subject.address} is not the head of {record.branch!r} any more.",
                retry=False,
                hint=f"dataset.restore({parent.number}) undoes what came later, too.",
            )
        transaction.add(Restore(parent))
        transaction.note("undone", record.id)
        done = transaction.commit()
    note_output(subject.storage, done)
    return subject.to_version(done)


def _find_or_create(subject: CleaningSubject, name: str) -> DatasetRecord:
    catalog = subject.storage.catalog
    known = catalog.find_dataset(check_name(name))
    if known is not None:
        return known
    if Registry(catalog, "view").find(name) is not None:
        raise AlreadyExistsError(f"There is already a view {name!r}.", hint="Datasets and views share their names.")
    record = DatasetRecord(
        id=new_id(), name=name, key=(), event_time=None, derive={},
        created_at=format_time(subject.storage.clock()), key_policy="off",
    )  # fmt: skip
    catalog.create_dataset(record)
    return record
