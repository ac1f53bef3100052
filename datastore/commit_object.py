"""Commit objects: one immutable JSON file per version, from which a lost catalog can be made again.

``commits/<dataset id>/<number>-<version id>.json``. Written after the catalog has committed (the catalog
is the truth) and before the commit is acknowledged; a crash in between is made good by the next commit.
"""

import base64
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from foldstore.datastore.canonical import canonical_json
from foldstore.datastore.catalog.commits import list_unrecorded, mark_recorded
from foldstore.datastore.catalog.deletions import read_deletions
from foldstore.datastore.catalog.records import VersionRecord
from foldstore.datastore.manifest import fragment_to_dict
from foldstore.datastore.storage import Storage, new_id
from foldstore.errors import CorruptObjectError, StoreError
from foldstore.names import MAIN_BRANCH
from foldstore.types import Status

_FORMAT: Final = 1
_COMMITS: Final = "commits"
# What an object that lacks these keys of its version means.
_VERSION_DEFAULTS: Final = {"merge_parent_id": None, "branch": MAIN_BRANCH, "expired_at": None}


def record_commits(storage: Storage) -> None:
    """Write the commit objects that are missing or say something else than the catalog, and say so there."""
    pending = list_unrecorded(storage.catalog)
    for version in pending:
        target = commit_object_path(storage, version)
        if not target.is_file():
            _write(storage, version, target)
        elif _read(target) != _as_kept(storage, version):  # its rows expired, or those of its parent
            _write(storage, version, target, over=True)
    if pending:
        # One that was there may have been named by a process that died before the name was on disk.
        storage.objects.files.sync_folders({commit_object_path(storage, version).parent for version in pending})
        mark_recorded(storage.catalog, [version.id for version in pending])


def write_commit_object(storage: Storage, version: VersionRecord, folder: Path | None = None) -> Path:
    """Write the commit object of a version, durably; one that is there already is left alone.

    It is staged in a folder of its own, or in one that the caller will remove.
    """
    target = commit_object_path(storage, version)
    if not target.is_file():
        with _committed(version):
            _write(storage, version, target, folder=folder)
    return target


def rewrite_commit_object(storage: Storage, version: VersionRecord) -> None:
    """Write the commit object of a version anew, in place of one that names files which are gone."""
    with _committed(version):
        _write(storage, version, commit_object_path(storage, version), over=True)


@contextmanager
def _committed(version: VersionRecord) -> Iterator[None]:
    """Say of an error of the disk that the version is there all the same."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"Version {version.number} is committed, but its commit object could not be written: {error.strerror}.",
            hint="Free some space; the next commit writes it.",
            version=version.id,
        ) from error


def _write(
    storage: Storage, version: VersionRecord, target: Path, *, over: bool = False, folder: Path | None = None
) -> None:
    name, text = new_id(), canonical_json(_describe(storage, version)) + "\n"
    files = storage.objects.files
    files.make_folder(target.parent)
    try:
        staging = folder or storage.objects.stage(name)
        file = files.create(staging / target.name)
        with closing(file):
            file.write(text.encode())
            file.finish()
        (files.replace if over else files.link)(file.path, target)
        files.sync_folders([target.parent])
    finally:
        if folder is None:
            storage.objects.unstage(name)


def commit_object_path(storage: Storage, version: VersionRecord) -> Path:
    """Return where the commit object of a version lies."""
    return storage.root / _COMMITS / version.dataset_id / f"{version.number:010d}-{version.id}.json"


def check_commit_object(storage: Storage, version: VersionRecord) -> None:
    """Compare a commit object with the catalog.

    One of an older format lacks keys that came later: it agrees when the catalog has their defaults.

    Raises
    ------
    CorruptObjectError
        When it is missing or says something else.
    """
    kept = _read(commit_object_path(storage, version))
    if kept is None:
        raise CorruptObjectError(
            f"The commit object of version {version.number} is missing or damaged.", version=version.id
        )
    if kept != _as_kept(storage, version):
        raise CorruptObjectError(
            f"The commit object of version {version.number} says something else than the catalog.", version=version.id
        )


def _read(path: Path) -> Any:
    try:
        return _with_defaults(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _as_kept(storage: Storage, version: VersionRecord) -> Any:
    return _with_defaults(json.loads(canonical_json(_describe(storage, version))))


def _with_defaults(body: dict[str, Any]) -> dict[str, Any]:
    """Fill in what a commit object may lack, and leave out what may change after the commit."""
    version = {**_VERSION_DEFAULTS, **body["version"]}
    if version["status"] == Status.DEPRECATED:
        version["status"] = str(Status.PUBLISHED)  # what it was when it was committed
    dataset = {key: value for key, value in body["dataset"].items() if key != "key_policy"}
    return {"deletions": {}, **body, "version": version, "dataset": dataset}


def _describe(storage: Storage, version: VersionRecord) -> dict[str, Any]:
    catalog = storage.catalog
    dataset = catalog.find_dataset_by_id(version.dataset_id)
    assert dataset is not None  # noqa: S101  # versions refer to their dataset
    known = set(catalog.list_page_hashes(version.parent_id)) if version.parent_id else set()
    # A version that gave its rows up names no page; its children then name all of theirs.
    pages = storage.pages.read(version) if version.expired_at is None else ()
    fresh = [page for page in pages if page.hash not in known]
    bitmaps = sorted({each.deleted.hash for page in fresh for each in page.fragments if each.deleted})
    described = {
        "format": _FORMAT,
        "dataset": _without_defaults({**asdict(dataset), "derive": list(dataset.derive.items())}),
        "version": _without_defaults(asdict(version)),
        "arrow_schema": base64.b64encode(catalog.read_arrow_schema(version.arrow_schema_id)).decode(),
        "pages": [page.hash for page in pages],
        "new_pages": {page.hash: [fragment_to_dict(fragment) for fragment in page.fragments] for page in fresh},
    }
    if version.expired_at is not None:
        described["expired_at"] = version.expired_at
    if bitmaps:
        encoded = read_deletions(catalog, bitmaps)
        described["deletions"] = {name: base64.b64encode(each).decode() for name, each in encoded.items()}
    return described


# What a format before did not say, or what is not a fact about the commit.
_DEFAULTS: Final = {"merge_parent_id": None, "branch": MAIN_BRANCH, "key_policy": "error"}
_NOT_KEPT: Final = ("recorded", "expired_at")


def _without_defaults(body: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in body.items()
        if name not in _NOT_KEPT and not (name in _DEFAULTS and value == _DEFAULTS[name])
    }
