"""Windows of the versions before one: the rows that the last few brought, or that of a season ago."""

import re
from collections.abc import Sequence
from typing import Final

from foldstore.datastore.arrow_schema import decode_schema
from foldstore.datastore.catalog.records import VersionRecord
from foldstore.datastore.catalog.seals import list_seals
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.storage import Storage
from foldstore.errors import UsageError
from foldstore.types import Operation, Status
from foldstore.validation.fragments import FragmentSubject
from foldstore.validation.subject import JoinedSubject, Subject

_WINDOW: Final = re.compile(r"(previous)|(rolling|seasonal)\(([1-9][0-9]{0,3})\)", re.ASCII)
CHOICES: Final = (
    'Give a version, a view or a part of a split, opened by its address: store.view("flights@2"); or "previous", '
    '"rolling(5)" or "seasonal(12)".'
)

# What brings rows, each version its own; other operations change what is there.
BRINGING: Final = frozenset({Operation.APPEND, Operation.UPSERT, Operation.MERGE})
# A property of the merges by which a person released a version.
RELEASED: Final = "released"


def has_own_rows(record: VersionRecord) -> bool:
    """Whether the rows that a version has and its parent has not came with it.

    What a merge brings came with the versions of the branch that it is from; a version that is released was on none.
    """
    if record.operation is Operation.MERGE:
        return RELEASED in record.properties
    return record.operation in BRINGING


def window_size(text: str) -> int:
    """Return how many versions back a window reaches.

    Raises
    ------
    UsageError
        When the text names none.

    Examples
    --------
    >>> window_size("previous"), window_size("rolling(5)")
    (1, 5)
    """
    found = _WINDOW.fullmatch(text.strip()) if isinstance(text, str) else None
    if not found:
        raise UsageError(f"{str(text)[:80]!r} is no reference.", hint=CHOICES)
    return int(found[3] or 1)


def list_windows(
    storage: Storage, record: VersionRecord, most: int | None = None, *, own: bool = False
) -> list[VersionRecord]:
    """Return the versions that brought rows, from the newest before a version back along first parents.

    Parameters
    ----------
    most : int, optional
        How many at most.
    own : bool
        Whether the version itself may be the first.
    """
    found: list[VersionRecord] = []
    at: VersionRecord | None = record if own else _parent(storage, record)
    while at is not None and (most is None or len(found) < most):
        if at.operation in BRINGING and at.status is Status.PUBLISHED:
            found.append(at)
        at = _parent(storage, at)
    return found


def find_window(storage: Storage, before: Sequence[VersionRecord], text: str) -> Subject:
    """Return the rows of a window over versions that brought rows, the newest first.

    Raises
    ------
    UsageError
        When the text names no window, or there are not so many versions.
    """
    count = window_size(text)
    if len(before) < count:
        raise UsageError(
            f"There are {len(before)} published versions with rows before it, not {count}.",
            hint="Take a smaller window, or name a version.",
            code="too-few-versions",
        )
    dataset = storage.catalog.find_dataset_by_id(before[0].dataset_id)
    name = dataset.name if dataset else ""
    seals = [seal.columns for seal in list_seals(storage.catalog, before[0].dataset_id)]
    if not text.strip().startswith("rolling"):
        return rows_added(storage, before[count - 1], name, seals)
    parts = [rows_added(storage, each, name, seals) for each in reversed(before[:count])]
    return JoinedSubject(parts, f"the {count} versions up to {name}@{before[0].number}")


def window_before(storage: Storage, record: VersionRecord, text: str, *, own: bool = False) -> Subject | int:
    """Return the rows of a window before a version; where there are too few versions, how many there are."""
    count = window_size(text)
    before = list_windows(storage, record, count, own=own)
    return find_window(storage, before, text) if len(before) == count else len(before)


def count_added(storage: Storage, record: VersionRecord, *, own: bool = False) -> int | None:
    """Count the rows that the newest version before one brought; None where there is no such version."""
    before = list_windows(storage, record, 1, own=own)
    if not before:
        return None
    return rows_added(storage, before[0], "").num_rows


def rows_added(
    storage: Storage, record: VersionRecord, name: str, seals: Sequence[Sequence[str]] = ()
) -> FragmentSubject:
    """Return the rows that a version added to its parent."""
    fragments = list(storage.pages.fragments(record))
    parent = _parent(storage, record)
    if parent is not None:
        known = frozenset(fragment.id for fragment in storage.pages.fragments(parent))
        fragments = [fragment for fragment in fragments if fragment.id not in known]
    schema = decode_schema(storage.catalog.read_arrow_schema(record.arrow_schema_id))
    address = f"{name}@{record.number}"
    reader = FragmentReader(storage, record.dataset_id, fragments, schema, address)
    return FragmentSubject(storage, reader, address, seals=seals)


def _parent(storage: Storage, record: VersionRecord) -> VersionRecord | None:
    return storage.catalog.find_version_by_id(record.parent_id) if record.parent_id is not None else None
