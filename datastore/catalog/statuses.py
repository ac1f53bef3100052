"""The status of a version that is there: moved by a person, with a reason, and written down in the journal.

``published -> deprecated -> published``. Drafts and quarantined versions are the gate's.
"""

import json
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from foldstore.datastore.catalog import tables as t
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.decoding import to_version
from foldstore.datastore.catalog.journal import Journal
from foldstore.datastore.catalog.records import VersionRecord
from foldstore.errors import ConflictError, UsageError
from foldstore.types import Status

_ALLOWED: Final = {Status.DEPRECATED: Status.PUBLISHED, Status.PUBLISHED: Status.DEPRECATED}


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusMove:
    """One move of a version's status.

    Attributes
    ----------
    replacement : str or None
        The address of what to use in its place.
    """

    to: Status
    reason: str
    replacement: str | None = None
    actor: str
    created_at: str


def move_status(catalog: Catalog, journal: Journal, version: VersionRecord, move: StatusMove) -> VersionRecord:
    """Move the status of a version; its commit object says what it was when it was committed.

    Raises
    ------
    UsageError
        When there is no way from its status to that one.
    ConflictError
        When another writer moved it meanwhile.
    """
    if version.status != _ALLOWED.get(move.to):
        raise UsageError(
            f"Version {version.number} is {version.status}: it cannot become {move.to}.",
            hint="A published version can be deprecated, and a deprecated one published again.",
            code="invalid-status",
            status=str(version.status),
        )
    body = {"version": version.id, "number": version.number, "from": str(version.status), "to": str(move.to),
            "reason": move.reason, "replacement": move.replacement}  # fmt: skip
    this = (t.version.c.id == version.id, t.version.c.status == version.status)
    with catalog.write() as connection:
        moved = connection.execute(sa.update(t.version).where(*this).values(status=move.to))
        if moved.rowcount != 1:
            raise ConflictError(
                f"The status of version {version.number} was moved meanwhile.", retry=True, hint="Look at it again."
            )
        journal.append(connection, _stream(version.dataset_id), body, actor=move.actor, created_at=move.created_at)
        return to_version(connection.execute(sa.select(t.version).where(t.version.c.id == version.id)).one())


def find_last_move(journal: Journal, version: VersionRecord) -> StatusMove | None:
    """Return the last move of a version's status, or None when it never moved."""
    for entry in reversed(journal.list_entries(_stream(version.dataset_id))):
        body = json.loads(entry.body)
        if body["version"] == version.id:
            return StatusMove(
                to=Status(body["to"]),
                reason=body["reason"],
                replacement=body["replacement"],
                actor=entry.actor,
                created_at=entry.created_at,
            )
    return None


def find_published(catalog: Catalog, head_id: str) -> VersionRecord | None:
    """Return the newest published version on a branch: its head, or the first published one before it."""
    at: str | None = head_id
    while at is not None:
        version = catalog.find_version_by_id(at)
        if version is None:
            return None
        if version.status is Status.PUBLISHED and version.expired_at is None:
            return version
        at = version.parent_id
    return None


def _stream(dataset_id: str) -> str:
    return f"status/{dataset_id}"
