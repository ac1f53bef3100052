"""The publish gate: a dataset with a schema publishes what passes it and quarantines what does not."""

from foldstore.datastore.catalog.records import DatasetRecord
from foldstore.datastore.gate import Candidate, Decision
from foldstore.datastore.storage import Storage
from foldstore.types import Operation, Status, format_time
from foldstore.validation.check import validate
from foldstore.validation.fragments import FragmentSubject
from foldstore.validation.schema_history import find_schema, has_schema


class SchemaGate:
    """Judges candidates by the dataset's newest schema; answers `foldstore.datastore.gate.PublishGate`.

    An append is judged by the rows that it adds: those before were judged when they came. Keys are
    compared with all rows.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def is_set(self, dataset: DatasetRecord) -> bool:
        """Say whether the dataset has a schema."""
        return has_schema(self._storage.catalog, dataset.name)

    def judge(self, candidate: Candidate) -> Decision:
        """Validate the candidate; its report is kept with the version whatever the outcome."""
        schema = find_schema(self._storage.catalog, candidate.dataset.name)
        appended = candidate.operation is Operation.APPEND
        subject = FragmentSubject(
            self._storage,
            candidate.added,
            f"{candidate.dataset.name} (candidate)",
            before=candidate.before if appended else None,
        )
        report = validate(subject, schema, created_at=format_time(self._storage.clock()))
        return Decision(Status.PUBLISHED if report.passed else Status.QUARANTINED, report.to_dict())
