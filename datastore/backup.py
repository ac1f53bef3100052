"""Backup of a live store: a snapshot of its catalog, then the immutable files that the snapshot names.

While files are copied, leases keep the collector from them. A backup into the same folder copies only what is new
there; files that are whole stay untouched. The manifest is written last: a backup that is killed leaves the
generations before it as they were.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from foldstore.datastore.backup_folder import (
    BackupFolder,
    Generation,
    KeptFile,
    copy_proven,
    describe_listing,
    is_whole,
)
from foldstore.datastore.canonical import is_content_hash
from foldstore.datastore.catalog import inspection
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.connection import sqlite_url
from foldstore.datastore.catalog.records import ObjectRecord
from foldstore.datastore.catalog.seals import list_seals
from foldstore.datastore.catalog.snapshot import Hold, holding_all, snapshot_catalog
from foldstore.datastore.commit_object import commit_object_path
from foldstore.datastore.files import hash_file
from foldstore.datastore.storage import Storage
from foldstore.errors import ConflictError, FoldstoreError, RefusedError, StoreError, UsageError
from foldstore.types import Progress, format_time

_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupOptions:
    """How a store is backed up.

    Attributes
    ----------
    include_sealed : bool
        Whether sealed cells are copied. Only their owner can; whoever has the backup then has them.
    check : bool
        Whether files that are in the backup already are read again, and replaced when they are damaged.
    keep : int
        How many generations of the catalog are kept.
    """

    include_sealed: bool = True
    check: bool = True
    keep: int = 10

    def __post_init__(self) -> None:
        if not isinstance(self.keep, int) or self.keep < 1:
            raise UsageError(f"keep={self.keep!r} is no number of generations.", hint="Keep at least one.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """What a backup did.

    Attributes
    ----------
    generation : int
        Its number.
    objects, versions : int
        How many it has.
    copied, bytes_copied : int
        How many files were new, and their size.
    damaged : tuple of str
        What could not be copied, because it is damaged in the store and no whole copy was in the backup.
    """

    folder: str
    generation: int
    objects: int
    versions: int
    copied: int
    bytes_copied: int
    damaged: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether everything that the catalog names is in the backup."""
        return not self.damaged

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**asdict(self), "damaged": list(self.damaged), "passed": self.passed}


def back_up(
    storage: Storage, target: Path, options: BackupOptions | None = None, progress: Progress | None = None
) -> Backup:
    """Back a store up into a folder; writers go on meanwhile.

    Parameters
    ----------
    target : pathlib.Path
        A new or empty folder, or the folder of an earlier backup of the same store.
    progress : callable, optional
        Told the bytes looked at and the bytes in all.

    Raises
    ------
    StoreError
        When the folder holds other things, or the backup of another store.
    RefusedError
        When sealed cells are another user's.
    """
    options = options or BackupOptions()
    folder = BackupFolder(target)
    with explained(target):
        store_id = _check_target(storage, folder)
        with folder.locked():
            return _Work(storage, folder, options, progress).run(store_id)


@contextmanager
def explained(target: Path) -> Iterator[None]:
    """Say in words why a folder could not be written.

    Raises
    ------
    StoreError
        In place of what the operating system raises.
    """
    try:
        yield
    except FoldstoreError:  # some of them are errors of the operating system, too
        raise
    except PermissionError as error:
        raise StoreError(
            f"{error.filename or target} may not be read or written.", hint="Check the permissions of both folders."
        ) from error
    except OSError as error:
        raise StoreError(
            f"The backup could not be written: {error.strerror or error}.",
            hint="Earlier generations are as they were. Check free space, then run it again.",
        ) from error


def _check_target(storage: Storage, folder: BackupFolder) -> str:
    root = folder.root.resolve()
    own = storage.root.resolve()
    if root == own or own in root.parents or root in own.parents:
        raise UsageError(f"{root} and the store lie in each other.", hint="Name a folder outside the store.")
    store_id = storage.catalog.ensure_fact("id", "")
    folder.refuse_other(store_id)
    return store_id


class _Work:
    """One backup while it is made."""

    def __init__(
        self, storage: Storage, folder: BackupFolder, options: BackupOptions, progress: Progress | None
    ) -> None:
        self._storage = storage
        self._folder = folder
        self._options = options
        self._progress = progress
        self._copied = 0
        self._bytes = 0
        self._whole: set[str] = set()

    def run(self, store_id: str) -> Backup:
        """Make a generation."""
        number = self._folder.begin(store_id)  # from now on the folder is known as a backup
        with holding_all(self._storage.catalog, "backup", self._storage.clock) as hold:
            self._storage.on_step("backup-held")
            generation, snapshot = self._copy_moment(number, hold)
            self._storage.on_step("backup-copied")
            self._folder.place(snapshot, self._folder.root / generation.catalog_name)
        self._folder.add(store_id, generation, self._options.keep)
        self._storage.on_step("backup-recorded")
        return Backup(
            folder=str(self._folder.root),
            generation=number,
            objects=generation.objects,
            versions=generation.versions,
            copied=self._copied,
            bytes_copied=self._bytes,
            damaged=generation.damaged,
        )

    def _copy_moment(self, number: int, hold: Hold) -> tuple[Generation, Path]:
        """Copy the store as it is at one moment; begin anew when a seal takes files away meanwhile."""
        for _attempt in range(_ATTEMPTS):
            path = self._folder.stage()
            snapshot_catalog(self._storage.catalog, path)
            self._storage.on_step("backup-snapshot")
            catalog = Catalog(sqlite_url(path), read_only=True)
            try:
                objects, lost = self._copy_objects(catalog, hold)
                live = inspection.find_object_states(self._storage.catalog, lost)
                if any(live.get(object_id) != "live" for object_id in lost):
                    continue
                generation = self._describe(catalog, path, number, objects, lost)
            finally:
                catalog.close()
            return generation, path
        raise ConflictError("Files of the store go away too fast.", retry=True, hint="Try again when nobody seals.")

    def _describe(self, catalog: Catalog, path: Path, number: int, objects: int, lost: list[str]) -> Generation:
        files, damaged = self._copy_files(catalog)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.chmod(0o444)
        name = f"files-{number}.json"
        self._folder.files.remove(self._folder.root / name)  # of a backup that was killed before its manifest
        return Generation(
            number=number,
            created_at=format_time(self._storage.clock()),
            catalog_hash=hash_file(path),
            files_hash=self._folder.write_text(name, describe_listing(files)),
            objects=objects,
            versions=len(inspection.list_version_rows(catalog)),
            sealed=self._options.include_sealed,
            damaged=(*lost, *damaged),
        )

    def _copy_objects(self, catalog: Catalog, hold: Hold) -> tuple[int, list[str]]:
        """Copy the objects that a catalog names; return how many there are, and which are damaged."""
        total, done, count = inspection.sum_object_bytes(catalog), 0, 0
        lost = []
        for row in inspection.iter_object_rows(catalog):
            count += 1
            if row.record is None or not is_content_hash(row.key) or not self._copy_object(row.record):
                lost.append(row.key)
                continue
            done += row.record.num_bytes
            hold.renew()
            if self._progress:
                self._progress(done, total)
        return count, lost

    def _copy_object(self, record: ObjectRecord) -> bool:
        if record.stored_hash in self._whole:
            return True  # seen by an attempt before this one
        source = self._storage.objects.stored_path(record)
        kept = KeptFile(path="", hash=record.stored_hash, num_bytes=record.stored_bytes)
        if not self._copy(kept, source, self._folder.object_path(record.id, cold=record.is_cold)):
            return False
        self._whole.add(record.stored_hash)
        return True

    def _copy(self, file: KeptFile, source: Path, target: Path) -> bool:
        """Copy a file unless it is there whole; False when it is damaged on both sides."""
        if is_whole(target, file.hash, file.num_bytes, read=self._options.check):
            return True
        staged = self._folder.stage()
        try:
            size = copy_proven(self._folder.files, source, staged, file.hash, sealed=file.is_sealed)
        except FileNotFoundError:
            return False
        if size is None:
            return False
        if file.is_sealed:
            self._make_private(target.parent)
        self._folder.place(staged, target)
        self._copied += 1
        self._bytes += size
        return True

    def _make_private(self, folder: Path) -> None:
        for each in (folder.parent, folder):
            if not each.is_dir():
                self._folder.files.make_folder(each)
                each.chmod(0o700)

    def _copy_files(self, catalog: Catalog) -> tuple[list[KeptFile], list[str]]:
        files, damaged = [], []
        for path, digest in [
            *commit_files(self._storage, catalog),
            *online_files(self._storage),
            *self._sealed(catalog),
        ]:
            try:
                found = digest or hash_file(path)
                file = KeptFile(
                    path=path.relative_to(self._storage.root).as_posix(), hash=found, num_bytes=path.stat().st_size
                )
                whole = self._copy(file, path, self._folder.path_of(file))
            except FileNotFoundError:
                whole = False
            except PermissionError as error:
                raise RefusedError(
                    f"Only the owner of the store may read {path.name!r} of the sealed area.",
                    hint="Ask the steward, or leave sealed cells out: include_sealed=False, --no-sealed.",
                ) from error
            if whole:
                files.append(file)
            elif digest:
                damaged.append(path.relative_to(self._storage.root).as_posix())
        return files, damaged

    def _sealed(self, catalog: Catalog) -> Iterator[tuple[Path, str]]:
        if not self._options.include_sealed:
            return
        for seal in list_seals(catalog):
            for name, file in seal.files.items() if seal.state != "open" else ():
                yield self._storage.root / "sealed" / seal.id / f"{name}.arrow", file.hash


def commit_files(storage: Storage, catalog: Catalog) -> Iterator[tuple[Path, str]]:
    """Yield the commit objects that are there, without a hash; one that is not is written again after a restore."""
    for row in inspection.list_version_rows(catalog):
        if row.record is not None:
            path = commit_object_path(storage, row.record)
            if path.is_file():
                yield path, ""


def online_files(storage: Storage) -> Iterator[tuple[Path, str]]:
    """Yield the files that lookups are answered from, and the hash of each."""
    folder = storage.root / "online"
    for path in sorted(folder.glob("b3-*.arrow")) if folder.is_dir() else ():
        if is_content_hash(path.stem):
            yield path, path.stem
