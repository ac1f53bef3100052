"""The question that a commit asks before it publishes, and who may answer it.

The layer above answers (see `foldstore.validation.gate`); without a gate everything is published.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from foldstore.datastore.catalog.records import Basis, DatasetRecord, VersionRecord
from foldstore.datastore.reader import FragmentReader
from foldstore.types import Operation, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A version that is about to become visible.

    Attributes
    ----------
    added : FragmentReader
        The rows that are judged: those that the commit adds, or all when it does more than add.
    before : FragmentReader
        The other rows, which were judged when they came; keys are compared with them.
    head : VersionRecord or None
        The newest published version of the branch.
    """

    dataset: DatasetRecord
    operation: Operation
    added: FragmentReader
    before: FragmentReader
    head: VersionRecord | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate says: the status that the version gets, on what basis, and the report to keep with it."""

    status: Status
    basis: Basis
    report: dict[str, Any] | None = None


class PublishGate(Protocol):
    """Judges candidates."""

    def find_basis(self, dataset: DatasetRecord) -> Basis:
        """Return what a candidate of this dataset would be judged by.

        When it is set, ill-fitting data is quarantined instead of refused.
        """

    def judge(self, candidate: Candidate) -> Decision:
        """Decide about a candidate."""


class OpenGate:
    """Publishes everything."""

    def find_basis(self, dataset: DatasetRecord) -> Basis:
        """Return a basis that is not set."""
        return Basis("schema", dataset.name, 0)

    def judge(self, candidate: Candidate) -> Decision:
        """Publish."""
        return Decision(Status.PUBLISHED, self.find_basis(candidate.dataset))
