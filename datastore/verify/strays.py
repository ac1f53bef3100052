"""Files that no version needs: known to the catalog as left over, or not known at all. Reported, never removed here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from foldstore.datastore import operation_folder
from foldstore.datastore.canonical import is_content_hash
from foldstore.datastore.catalog import inspection
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.catalog.seals import list_seals
from foldstore.datastore.commit_object import commit_object_path
from foldstore.datastore.storage import CATALOG_FILE, IDENTITY_FILE, Storage
from foldstore.datastore.verify.verification import Unreferenced
from foldstore.types import format_time

_IN_RUN: Final = 2_000
_KNOWN_AT_THE_TOP: Final = {
    IDENTITY_FILE,
    CATALOG_FILE,
    f"{CATALOG_FILE}-wal",
    f"{CATALOG_FILE}-shm",
    "objects",
    "staging",
    "commits",
    "online",
    "sealed",
    "indexes",
    "audit",
    "pushes",
    operation_folder.FOLDER,
}


def find_unreferenced(storage: Storage) -> list[Unreferenced]:
    """List what lies in the store's folder and no version needs; commits that are under way are left out."""
    return [
        *_idle_objects(storage),
        *_unknown_objects(storage),
        *_staging(storage),
        *_commits(storage),
        *_online(storage),
        *_sealed(storage),
        *_others(storage),
    ]


def find_dead_staging(storage: Storage) -> list[str]:
    """List the transactions that are over and left a folder in the staging area."""
    now = format_time(storage.clock())
    names = [path.name for path in _entries(storage.root / "staging")]
    known = inspection.find_transactions(storage.catalog, names)
    return [name for name, (state, lease_until) in known.items() if state == "aborted" or lease_until < now]


def _idle_objects(storage: Storage) -> Iterator[Unreferenced]:
    now = format_time(storage.clock())
    for idle in inspection.iter_idle_objects(storage.catalog):
        if idle.transaction == "open" and (idle.lease_until or "") >= now:
            continue  # a commit is at work
        for path in (storage.objects.path_of(idle.id), storage.objects.cold_path_of(idle.id)):
            if path.is_file():
                yield _item(storage, "object", path, num_rows=idle.num_rows, known=True)


def _unknown_objects(storage: Storage) -> Iterator[Unreferenced]:
    for shard in _entries(storage.root / "objects"):
        paths = _entries(shard) if shard.is_dir() else [shard]
        for start in range(0, len(paths), _IN_RUN):
            run = paths[start : start + _IN_RUN]
            states = inspection.find_object_states(storage.catalog, [path.stem for path in run])
            for path in run:
                if path.stem not in states or path.parent.name != path.stem[3:5]:
                    yield _item(storage, "object", path, num_rows=_count_rows(path))


def _count_rows(path: Path) -> int | None:
    try:
        with pa.OSFile(str(path)) as file:
            reader = pa.ipc.open_file(file)
            return sum(int(reader.get_batch(index).num_rows) for index in range(reader.num_record_batches))
    except Exception:  # noqa: BLE001  # it need not be ours
        return None


def _staging(storage: Storage) -> Iterator[Unreferenced]:
    now = format_time(storage.clock())
    paths = _entries(storage.root / "staging")
    known = inspection.find_transactions(storage.catalog, [path.name for path in paths])
    for path in paths:
        state, lease_until = known.get(path.name, ("", ""))
        if state == "open" and lease_until >= now:
            continue
        yield _item(storage, "staging", path, known=path.name in known)


def _commits(storage: Storage) -> Iterator[Unreferenced]:
    for folder in _entries(storage.root / "commits"):
        for path in _entries(folder) if folder.is_dir() else [folder]:
            version = storage.catalog.find_version_by_id(path.stem.rpartition("-")[2])
            if version is None or commit_object_path(storage, version) != path:
                yield _item(storage, "commit", path)


def _online(storage: Storage) -> Iterator[Unreferenced]:
    paths = _entries(storage.root / "online")
    if not paths:
        return
    documents = Registry(storage.catalog, "online")
    newest = [documents.find(name) for name in documents.list_names()]
    needed = {file for document in newest if document is not None for file in _files_of(document.body)}
    parts = Registry(storage.catalog, "online_part")  # finished, perhaps of no service yet: the next run takes them up
    noted = [parts.find(name) for name in parts.list_names()]
    needed |= {file for document in noted if document is not None for file in document.body["files"]}
    for path in paths:
        if path.name not in needed:
            yield _item(storage, "online", path, known=is_content_hash(path.stem))


def _files_of(body: Any) -> list[str]:
    files = body.get("files") if isinstance(body, dict) else None
    if not isinstance(files, dict):
        return []
    return [*files.values(), *(name for names in body.get("changes", {}).values() for name in names)]


def _sealed(storage: Storage) -> Iterator[Unreferenced]:
    known = {seal.id for seal in list_seals(storage.catalog)}
    for path in _entries(storage.root / "sealed"):
        if path.name != "lock" and path.name not in known:
            yield _item(storage, "sealed", path)


def _others(storage: Storage) -> Iterator[Unreferenced]:
    for path in _entries(storage.root):
        if path.name not in _KNOWN_AT_THE_TOP:
            yield _item(storage, "file", path)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # not there, or another user's
        return []


def _item(storage: Storage, what: str, path: Path, *, num_rows: int | None = None, known: bool = False) -> Unreferenced:
    name = str(path.relative_to(storage.root))
    return Unreferenced(what=what, name=name, num_bytes=_size(path), num_rows=num_rows, known=known)


def _size(path: Path) -> int:
    try:
        files = [path] if path.is_file() else [inside for inside in path.rglob("*") if inside.is_file()]
        return sum(file.stat().st_size for file in files)
    except OSError:  # it went away, or is another user's
        return 0
