"""The publish gate: a dataset with a schema or a policy publishes what passes and quarantines what does not."""

from collections.abc import Iterator
from dataclasses import replace

from foldstore.datastore.catalog.records import Basis, DatasetRecord
from foldstore.datastore.gate import Candidate, Decision
from foldstore.datastore.key_policy import check_keys
from foldstore.datastore.storage import Storage
from foldstore.types import Operation, Severity, Status, format_time
from foldstore.validation.anomaly import CODES, Anomaly
from foldstore.validation.check import drift_between, validate
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.drift.windows import (
    BRINGING,
    count_added,
    find_window,
    list_windows,
    window_size,
)
from foldstore.validation.drift_checks import check_result, code_of_shift, for_label
from foldstore.validation.finding import Finding, settle
from foldstore.validation.fragments import FragmentSubject
from foldstore.validation.gate_policy import GatePolicy, find_policy_basis, read_policy
from foldstore.validation.history import history_for
from foldstore.validation.other_datasets import OtherDatasets
from foldstore.validation.report import Report
from foldstore.validation.schema import DataSchema
from foldstore.validation.schema_history import NO_SCHEMA, find_basis, read_schema
from foldstore.validation.surroundings import Surroundings
from foldstore.views.transforms.registry import TransformRegistry


class SchemaGate:
    """Judges candidates by the dataset's newest schema and policy; answers `foldstore.datastore.gate.PublishGate`.

    An append is judged by the rows that it adds: those before were judged when they came. Keys are
    compared with all rows.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def find_basis(self, dataset: DatasetRecord) -> Basis:
        """Return the dataset's newest schema and policy as what candidates are judged by."""
        return _find_basis(self._storage, dataset)

    def judge(self, candidate: Candidate) -> Decision:
        """Validate the candidate; its report is kept with the version whatever the outcome."""
        catalog, basis = self._storage.catalog, self.find_basis(candidate.dataset)
        schema = read_schema(catalog, basis) if basis.is_set else NO_SCHEMA  # keys are checked by the commit
        policy = read_policy(catalog, basis.besides) if basis.besides is not None else GatePolicy()
        subject = FragmentSubject(
            self._storage,
            candidate.added,
            f"{candidate.dataset.name} (candidate)",
            before=candidate.before,
            follows=candidate.operation is Operation.APPEND,
        )
        rows = None if schema.rows_vs_previous is None else self._count_previous(candidate)
        now, others = format_time(self._storage.clock()), OtherDatasets(self._storage)

        report = validate(
            subject,
            schema,
            Surroundings(
                created_at=now,
                environment=policy.environment if basis.is_set else None,
                previous_rows=rows,
                others=others,
                transforms=TransformRegistry(self._storage).load,
                history=history_for(self._storage, candidate.head, candidate.dataset.name, subject),
                engine=self._storage.engine,
            ),
        )
        if policy.drift is not None and report.rows:
            found = settle(self._compare(candidate, policy, policy.drift, subject, schema), schema, subject, ())
            report = replace(report, anomalies=_gravest_first((*report.anomalies, *found)))
        failed = any(policy.fails(anomaly.severity) for anomaly in report.anomalies)
        if policy.review:
            report = replace(report, anomalies=_gravest_first((*report.anomalies, _needs_review())))
        status = Status.QUARANTINED if failed or policy.review else Status.PUBLISHED
        return Decision(status, basis, report.to_dict())

    def _count_previous(self, candidate: Candidate) -> int | None:
        """Count the rows to compare with: what was added by what was added before, all rows by all rows."""
        if candidate.head is None:
            return None
        if candidate.operation in BRINGING:
            return count_added(self._storage, candidate.head, own=True)
        return candidate.head.num_rows

    def _compare(
        self, candidate: Candidate, policy: GatePolicy, window: str, subject: FragmentSubject, schema: DataSchema
    ) -> Iterator[Finding]:
        """Yield what moved from the versions before; where there are too few of them, say so."""
        count = window_size(window)
        head = candidate.head
        before = list_windows(self._storage, head, count, own=True) if head is not None else []
        if len(before) < count:
            yield Finding(
                code="comparator_missing_reference",
                facts={"reference": window, "versions": len(before)},
                observed=len(before),
                expected=count,
            )
            return
        reference = find_window(self._storage, before, window)
        found = drift_between(reference, subject, policy=policy.limits, adjustment="holm", label=schema.label)

        def limits(name: str) -> DriftPolicy:
            return for_label(policy.limits) if name == schema.label else policy.limits

        for each in check_result(found, limits, lambda name: code_of_shift(schema, name)):
            # The schema's limits are not what failed.
            yield replace(each, evidence={**each.evidence, "reference": reference.address}, fix=None)


class ReleaseGate:
    """Publishes what a person released, with the report that it had; keys stay unique all the same."""

    def __init__(self, storage: Storage, report: Report | None) -> None:
        self._storage = storage
        self._report = report

    def find_basis(self, dataset: DatasetRecord) -> Basis:
        """Return what the dataset is judged by: a schema that is set meanwhile makes the release ask again."""
        return _find_basis(self._storage, dataset)

    def judge(self, candidate: Candidate) -> Decision:
        """Publish the candidate.

        Raises
        ------
        DuplicateKeyError
            When a key value would occur twice.
        """
        check_keys(candidate.dataset, candidate.added, candidate.before)
        report = None if self._report is None else self._report.to_dict()
        return Decision(Status.PUBLISHED, self.find_basis(candidate.dataset), report)


def _find_basis(storage: Storage, dataset: DatasetRecord) -> Basis:
    schema = find_basis(storage.catalog, dataset.name)
    return replace(schema, besides=find_policy_basis(storage.catalog, dataset.name))


def _needs_review() -> Anomaly:
    return Anomaly(code="review_needed", severity=Severity.INFO, column=None, message=CODES["review_needed"].template)


def _gravest_first(anomalies: tuple[Anomaly, ...]) -> tuple[Anomaly, ...]:
    order = [Severity.ERROR, Severity.WARN, Severity.INFO]
    return tuple(sorted(anomalies, key=lambda each: order.index(each.severity)))
