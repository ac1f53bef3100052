"""What a server's catalog says of datasets and versions; the names are those of the local records."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from foldstore.remote.server import pick
from foldstore.types import Operation, Status

_OF_VERSION = ("rows_added", "bytes_added", "author", "message", "created_at", "id", "properties")
_OF_DATASET = ("name", "event_time", "derive", "created_at", "key_policy")


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionFacts:
    """What is known of a version; `foldstore.datastore.catalog.records.VersionRecord` has more, for the inside."""

    id: str
    number: int
    operation: Operation
    status: Status
    author: str
    message: str
    properties: Mapping[str, Any]
    created_at: str
    num_rows: int
    rows_added: int
    bytes_added: int

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "VersionFacts":
        """Read what a route says of a version."""
        facts = pick(data, (*_OF_VERSION, "version", "rows", "operation", "status"))
        number, rows, operation, status = (facts.pop(name) for name in ("version", "rows", "operation", "status"))
        return cls(number=number, num_rows=rows, operation=Operation(operation), status=Status(status), **facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFacts:
    """What is known of a dataset."""

    name: str
    key: tuple[str, ...]
    event_time: str | None
    derive: Mapping[str, str]
    created_at: str
    key_policy: str

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "DatasetFacts":
        """Read what a route says of a dataset."""
        return cls(key=tuple(pick(data, ("key",))["key"]), **pick(data, _OF_DATASET))
