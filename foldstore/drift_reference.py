"""What a version is compared with: other rows, or a window of the versions before it."""

from typing import Any

from foldstore.datastore.catalog.records import VersionRecord
from foldstore.datastore.storage import Storage
from foldstore.errors import UsageError
from foldstore.validation.drift.windows import CHOICES, find_window, list_windows
from foldstore.validation.subject import StreamSubject, Subject
from foldstore.views.view import View


def find_reference(storage: Storage, record: VersionRecord, reference: Any, rows: str) -> tuple[Subject, str]:
    """Return the rows to compare a version with, and which rows of the version are compared.

    Raises
    ------
    UsageError
        When the reference is nothing of the kind, or there are not so many versions before.
    """
    if isinstance(reference, str):
        return find_window(storage, list_windows(storage, record), reference), "added"
    return read_subject(reference), rows


def read_subject(rows: Any) -> Subject:
    """Return a version, a view or a part of a split as rows to judge."""
    if isinstance(rows, View):
        if rows.is_endless:
            raise UsageError("The view has no end; it cannot be compared.", hint="Limit it.", code="endless-view")
        return StreamSubject(rows.arrow_schema, lambda names: rows.select(*names).to_batches(), repr(rows))
    if callable(subject := getattr(rows, "_subject", None)):  # a version: its profile is kept
        found: Subject = subject("all")
        return found
    if hasattr(rows, "arrow_schema") and hasattr(rows, "num_rows") and hasattr(rows, "address"):
        return StreamSubject(rows.arrow_schema, rows.to_batches, str(rows.address), rows.num_rows)
    raise UsageError(f"{type(rows).__name__!r} is no rows to compare with.", hint=CHOICES)
