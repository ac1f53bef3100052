"""Commit objects read with suspicion, as a rebuild must: what does not match its own hashes is left out and said."""

import base64
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from foldstore.datastore.canonical import canonical_json, content_hash
from foldstore.datastore.catalog.records import DatasetRecord, DeletionRecord, PageRecord, VersionRecord
from foldstore.datastore.deletion import count_deleted
from foldstore.datastore.manifest import encode_page, fragment_from_dict, name_page
from foldstore.errors import CorruptObjectError, FoldstoreError, StoreFormatError
from foldstore.types import Operation, Status

_FORMAT: Final = 1
_NAME: Final = re.compile(r"(?P<number>[0-9]{10,19})-(?P<version>[0-9a-f]{32})\.json", re.ASCII)
_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class CommitFile:
    """A commit object by its name: which dataset's, and which number."""

    path: Path
    dataset_id: str
    number: int
    version_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What a commit object says, as far as it proves itself.

    Attributes
    ----------
    pages : tuple of str
        The hashes of the version's pages, in order.
    new_pages : tuple of PageRecord
        The pages that it holds.
    fragment_rows : mapping of str to int
        How many rows each object has.
    last_fragment : int
        The largest id of a fragment in it.
    damaged : tuple of str
        Pages and bitmaps that do not match their names.
    """

    dataset: DatasetRecord
    version: VersionRecord
    encoded_schema: bytes
    pages: tuple[str, ...]
    new_pages: tuple[PageRecord, ...]
    deletions: tuple[DeletionRecord, ...]
    object_rows: Mapping[str, int] = field(repr=False)
    last_fragment: int
    damaged: tuple[str, ...]


def list_commit_files(folder: Path) -> Iterator[CommitFile]:
    """Yield the commit objects of a store by dataset and number; whatever else lies there is passed over."""
    for dataset in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not _ID.fullmatch(dataset.name) or not dataset.is_dir():
            continue
        for path in sorted(dataset.iterdir()):
            name = _NAME.fullmatch(path.name)
            if name:
                yield CommitFile(path, dataset.name, int(name["number"]), name["version"])


def read_commit(file: CommitFile) -> Commit:
    """Read a commit object.

    Raises
    ------
    CorruptObjectError
        When it is damaged, or says another version than its name.
    StoreFormatError
        When a newer Foldstore wrote it.
    """
    try:
        body = json.loads(file.path.read_bytes())
        if body["format"] > _FORMAT:
            raise _too_new(file, body["format"])
        found = _to_commit(body)
    except StoreFormatError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, FoldstoreError) as error:
        raise _damaged(file) from error
    version = found.version
    if (version.dataset_id, version.number, version.id) != (file.dataset_id, file.number, file.version_id):
        raise _damaged(file)
    return found


def _too_new(file: CommitFile, found: object) -> StoreFormatError:
    return StoreFormatError(
        f"The commit object {file.path.name} has format {found}; this Foldstore knows formats up to {_FORMAT}.",
        hint="Install a newer Foldstore: pip install --upgrade foldstore.",
    )


def _damaged(file: CommitFile) -> CorruptObjectError:
    return CorruptObjectError(f"The commit object {file.path.name} is damaged.", hint="Restore it from a backup.")


def _to_commit(body: Mapping[str, Any]) -> Commit:
    version = _to_version(body)
    encoded = base64.b64decode(body["arrow_schema"], validate=True)
    if content_hash(encoded) != version.arrow_schema_id:
        raise CorruptObjectError("The arrow schema does not match its name.")
    pages, damaged, rows, last = _to_pages(body["new_pages"])
    deletions, damaged_bitmaps = _to_deletions(body.get("deletions", {}))
    known = {each.hash for each in deletions}
    return Commit(
        dataset=_to_dataset(body["dataset"]),
        version=version,
        encoded_schema=encoded,
        pages=tuple(str(name) for name in body["pages"]),
        new_pages=tuple(pages),
        deletions=tuple(deletions),
        object_rows=rows,
        last_fragment=last,
        damaged=(*damaged, *(name for name in damaged_bitmaps if name not in known)),
    )


def _to_version(body: Mapping[str, Any]) -> VersionRecord:
    given = {**body["version"], "recorded": True}
    given["expired_at"] = body.get("expired_at", given.get("expired_at"))
    given["operation"] = Operation(given["operation"])
    given["status"] = Status(given["status"])
    known = {each.name for each in fields(VersionRecord)}
    return VersionRecord(**{name: value for name, value in given.items() if name in known})


def _to_dataset(given: Mapping[str, Any]) -> DatasetRecord:
    return DatasetRecord(
        id=given["id"],
        name=given["name"],
        key=tuple(given["key"]),
        event_time=given["event_time"],
        derive=dict(given["derive"]),
        created_at=given["created_at"],
        key_policy=given.get("key_policy", "error"),
    )


def _to_pages(given: Mapping[str, Any]) -> tuple[list[PageRecord], list[str], dict[str, int], int]:
    pages, damaged, rows, last = [], [], {}, 0
    for name, items in given.items():
        try:
            page = name_page([fragment_from_dict(item) for item in items])
            whole = page.hash == name == content_hash(canonical_json(items).encode())
        except (ValueError, TypeError, KeyError):
            whole = False
        if not whole:
            damaged.append(name)
            continue
        pages.append(encode_page(page))
        for fragment in page.fragments:
            last = max(last, fragment.id)
            rows.update({group.object_id: fragment.num_rows for group in fragment.groups})
    return pages, damaged, rows, last


def _to_deletions(given: Mapping[str, str]) -> tuple[list[DeletionRecord], list[str]]:
    found, damaged = [], []
    for name, text in given.items():
        try:
            encoded = base64.b64decode(text, validate=True)
            if content_hash(encoded) == name:  # the bits as they are
                encoded = zlib.compress(encoded, 6)
            found.append(DeletionRecord(hash=name, encoded=encoded, num_deleted=count_deleted(name, encoded)))
        except (ValueError, TypeError, FoldstoreError):
            damaged.append(name)
    return found, damaged
