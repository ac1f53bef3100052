"""The question that a commit asks before it publishes, and who may answer it.

The layer above answers (see `foldstore.validation.gate`); without a gate everything is published.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from foldstore.datastore.catalog.records import DatasetRecord
from foldstore.datastore.reader import FragmentReader
from foldstore.types import Operation, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A version that is about to become visible.

    Attributes
    ----------
    added : FragmentReader
        The rows that the commit adds (for new columns: all rows).
    before : FragmentReader
        The rows that stay as they are; none when the commit touches all.
    """

    dataset: DatasetRecord
    operation: Operation
    added: FragmentReader
    before: FragmentReader


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate says: the status that the version gets, and the report to keep with it."""

    status: Status
    report: dict[str, Any] | None = None


class PublishGate(Protocol):
    """Judges candidates."""

    def is_set(self, dataset: DatasetRecord) -> bool:
        """Whether candidates of this dataset are judged; then ill-fitting data is quarantined, not refused."""

    def judge(self, candidate: Candidate) -> Decision:
        """Decide about a candidate."""


class OpenGate:
    """Publishes everything."""

    def is_set(self, dataset: DatasetRecord) -> bool:  # noqa: ARG002  # the Protocol names it
        """Return False."""
        return False

    def judge(self, candidate: Candidate) -> Decision:  # noqa: ARG002  # the Protocol names it
        """Publish."""
        return Decision(Status.PUBLISHED)
