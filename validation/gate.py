"""The publish gate: a dataset with a schema publishes what passes it and quarantines what does not."""

from foldstore.datastore.catalog.records import Basis, DatasetRecord
from foldstore.datastore.gate import Candidate, Decision
from foldstore.datastore.storage import Storage
from foldstore.types import Status, format_time
from foldstore.validation.check import validate
from foldstore.validation.fragments import FragmentSubject
from foldstore.validation.schema_history import find_basis, read_schema


class SchemaGate:
    """Judges candidates by the dataset's newest schema; answers `foldstore.datastore.gate.PublishGate`.

    An append is judged by the rows that it adds: those before were judged when they came. Keys are
    compared with all rows.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def find_basis(self, dataset: DatasetRecord) -> Basis:
        """Return the dataset's newest schema as what candidates are judged by."""
        return find_basis(self._storage.catalog, dataset.name)

    def judge(self, candidate: Candidate) -> Decision:
        """Validate the candidate; its report is kept with the version whatever the outcome."""
        basis = self.find_basis(candidate.dataset)
        schema = read_schema(self._storage.catalog, basis)
        subject = FragmentSubject(
            self._storage,
            candidate.added,
            f"{candidate.dataset.name} (candidate)",
            before=candidate.before,
        )
        report = validate(subject, schema, created_at=format_time(self._storage.clock()))
        return Decision(Status.PUBLISHED if report.passed else Status.QUARANTINED, basis, report.to_dict())
