"""What a version is compared with: other rows, or a window of the versions before it."""

import re
from typing import Any, Final

from foldstore.datastore.arrow_schema import decode_schema
from foldstore.datastore.catalog.records import VersionRecord
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.storage import Storage
from foldstore.errors import UsageError
from foldstore.types import Operation, Status
from foldstore.validation.fragments import FragmentSubject
from foldstore.validation.subject import JoinedSubject, StreamSubject, Subject
from foldstore.views.view import View

_WINDOW: Final = re.compile(r"(previous)|(rolling|seasonal)\(([1-9][0-9]{0,3})\)", re.ASCII)
_HINT: Final = 'Give a version, a view, a part of a split, or "previous", "rolling(5)" or "seasonal(12)".'


def find_reference(storage: Storage, record: VersionRecord, reference: Any, rows: str) -> tuple[Subject, str]:
    """Return the rows to compare a version with, and which rows of the version are compared.

    Raises
    ------
    UsageError
        When the reference is nothing of the kind, or there are not so many versions before.
    """
    if isinstance(reference, str):
        return _find_window(storage, record, reference), "added"
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
    raise UsageError(f"{type(rows).__name__!r} is no rows to compare with.", hint=_HINT)


def list_windows(storage: Storage, record: VersionRecord, most: int | None = None) -> list[VersionRecord]:
    """Return the versions that brought rows, from the newest before a version back along first parents."""
    found: list[VersionRecord] = []
    parent_id = record.parent_id
    while parent_id is not None and (most is None or len(found) < most):
        parent = storage.catalog.find_version_by_id(parent_id)
        if parent is None:
            break
        if parent.operation in (Operation.APPEND, Operation.UPSERT) and parent.status is Status.PUBLISHED:
            found.append(parent)
        parent_id = parent.parent_id
    return found


def rows_added(storage: Storage, record: VersionRecord, name: str) -> FragmentSubject:
    """Return the rows that a version added to its parent."""
    fragments = list(storage.pages.fragments(record))
    if record.parent_id is not None and record.operation in (Operation.APPEND, Operation.UPSERT):
        parent = storage.catalog.find_version_by_id(record.parent_id)
        known = frozenset(fragment.id for fragment in storage.pages.fragments(parent)) if parent else frozenset()
        fragments = [fragment for fragment in fragments if fragment.id not in known]
    schema = decode_schema(storage.catalog.read_arrow_schema(record.arrow_schema_id))
    address = f"{name}@{record.number}"
    return FragmentSubject(storage, FragmentReader(storage, fragments, schema, address), address)


def _find_window(storage: Storage, record: VersionRecord, text: str) -> Subject:
    found = _WINDOW.fullmatch(text.strip())
    if not found:
        raise UsageError(f"{text[:80]!r} is no reference.", hint=_HINT)
    count = int(found[3] or 1)
    windows = list_windows(storage, record, count)
    if len(windows) < count:
        raise UsageError(
            f"Version {record.number} has {len(windows)} published versions with rows before it, not {count}.",
            hint="Take a smaller window, or name a version.",
        )
    dataset = storage.catalog.find_dataset_by_id(record.dataset_id)
    name = dataset.name if dataset else ""
    if found[2] != "rolling":
        return rows_added(storage, windows[-1], name)
    parts = [rows_added(storage, each, name) for each in reversed(windows)]
    return JoinedSubject(parts, f"{text} of {name}@{record.number}")
