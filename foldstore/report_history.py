"""Which versions a history of a dataset is told by."""

from typing import Final

from foldstore.datastore.catalog.records import VersionRecord
from foldstore.datastore.storage import Storage
from foldstore.errors import UsageError
from foldstore.types import Status
from foldstore.validation.drift.windows import has_own_rows, list_windows

_MOST: Final = 1_000


def list_history(storage: Storage, head: VersionRecord, rows: str, last: int) -> list[VersionRecord]:
    """Return the published versions back along first parents, oldest first: all, or appends and upserts.

    Raises
    ------
    UsageError
        When `rows` or `last` is no choice.
    """
    if isinstance(last, bool) or not isinstance(last, int) or not 0 < last <= _MOST:
        raise UsageError(f"last={last!r} is not a number of versions from 1 to {_MOST:,}.")
    if rows == "added":
        brought = list_windows(storage, head, last, own=True)
        return [each for each in brought if has_own_rows(each)][::-1]
    if rows != "all":
        raise UsageError(f"rows={rows!r} is not a choice.", hint="Write rows='all' or rows='added'.")
    found = [head]
    parent_id = head.parent_id
    while parent_id is not None and len(found) < last:
        parent = storage.catalog.find_version_by_id(parent_id)
        if parent is None:
            break
        if parent.status is Status.PUBLISHED and parent.num_rows:
            found.append(parent)
        parent_id = parent.parent_id
    return found[::-1]
