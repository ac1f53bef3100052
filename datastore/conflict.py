"""What a writer is told that lost: who won, with what, and whether doing the same again can succeed.

Which operations are applied again to the new head, and which are refused, says each step (`Step.replays`);
docs/storage.md has the whole matrix.
"""

from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.draft import Head
from foldstore.datastore.storage import Storage
from foldstore.errors import ConflictError
from foldstore.types import Operation

_MOST_SHOWN = 3


def lost_to(
    storage: Storage, dataset: DatasetRecord, operation: Operation, before: Head, now: Head, why: str = ""
) -> ConflictError:
    """Build the error for a commit that cannot be applied to what others committed since.

    Parameters
    ----------
    before, now : Head
        What the commit was built on, and what it met.
    why : str
        What does not fit, when that is known.
    """
    winners = _between(storage, before, now)
    shown = ", ".join(f"{dataset.name}@{v.number} ({v.operation} by {v.author})" for v in winners[:_MOST_SHOWN])
    more = f" and {len(winners) - _MOST_SHOWN} more" if len(winners) > _MOST_SHOWN else ""
    reason = f" {why}" if why else ""
    return ConflictError(
        f"Your {operation} on {dataset.name!r} lost to {shown or 'another writer'}{more}.{reason}",
        retry=True,
        hint="Nothing of yours was committed. Do the same again: it will build on that version. "
        "Look first whether you still want it.",
        dataset=dataset.name,
        branch=now.ref.name,
        operation=str(operation),
        winners=[f"{dataset.name}@{v.number}" for v in winners],
    )


def _between(storage: Storage, before: Head, now: Head) -> list[VersionRecord]:
    """Return the versions that were committed between two heads, newest first."""
    known = before.version.id if before.version else None
    found: list[VersionRecord] = []
    version = now.version
    while version is not None and version.id != known and len(found) < 100:
        found.append(version)
        version = storage.catalog.find_version_by_id(version.parent_id) if version.parent_id else None
    return found
