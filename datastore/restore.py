"""Restore: a backup becomes a store again, in an empty folder, and is verified. The store's id stays."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foldstore.datastore.backup_folder import BackupFolder, Generation, KeptFile, copy_proven
from foldstore.datastore.catalog import inspection
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.connection import sqlite_url
from foldstore.datastore.catalog.snapshot import load_snapshot, settle_restored
from foldstore.datastore.files import LocalFiles
from foldstore.datastore.storage import CATALOG_FILE, IDENTITY_FILE, identity_text, new_id, open_storage
from foldstore.datastore.verify.run import VerifyOptions, verify_storage
from foldstore.datastore.verify.verification import Verification
from foldstore.errors import NotFoundError, StoreError
from foldstore.types import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore made.

    Attributes
    ----------
    generation : int
        Which generation of the backup it was.
    missing : tuple of str
        Files that the backup lacks, or has damaged.
    sealed : bool
        Whether sealed cells are among what was restored.
    verification : Verification
        What verifying the store found.
    """

    folder: str
    generation: int
    created_at: str
    missing: tuple[str, ...]
    sealed: bool
    verification: Verification

    @property
    def passed(self) -> bool:
        """Whether every version reads whole."""
        return not self.missing and self.verification.passed

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "folder": self.folder,
            "generation": self.generation,
            "created_at": self.created_at,
            "passed": self.passed,
            "sealed": self.sealed,
            "missing": list(self.missing),
            "verification": self.verification.to_dict(),
        }


def restore_backup(
    backup: str | Path,
    target: str | Path,
    *,
    catalog_url: str | None = None,
    generation: int | None = None,
    progress: Progress | None = None,
) -> Restored:
    """Make a store out of a backup.

    Parameters
    ----------
    backup : str or pathlib.Path
        The backup's folder.
    target : str or pathlib.Path
        A new or an empty folder.
    catalog_url : str, optional
        An empty PostgreSQL database for the catalog; ``catalog.db`` in the folder unless given.
    generation : int, optional
        Which one; the newest unless given.
    progress : callable, optional
        Told the bytes copied and the bytes in all.

    Raises
    ------
    StoreError
        When the folder is not empty, there is no backup, or its catalog is damaged.
    NotFoundError
        When there is no such generation.
    """
    folder = BackupFolder(Path(backup))
    store_id, chosen = _choose(folder, generation)
    root = Path(target).absolute()
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise StoreError(f"{root} is not empty.", hint="Restore into a new or an empty folder.", path=str(root))
    try:
        missing = _Work(folder, chosen, root, progress).run(store_id, catalog_url)
    except OSError as error:
        raise StoreError(
            f"The store could not be restored: {error.strerror or error}.",
            hint="Remove the folder that was begun, check free space and permissions, and try again.",
        ) from error
    storage = open_storage(root, catalog_url=catalog_url, create=False)
    try:
        settle_restored(storage.catalog)
        # Objects were proven when they were copied; commit objects that are missing are written again.
        options = VerifyOptions(objects=False, repair=True, actor="restore")
        verification = verify_storage(storage, options=options)
    finally:
        storage.close()
    return Restored(
        folder=str(root),
        generation=chosen.number,
        created_at=chosen.created_at,
        missing=tuple(missing),
        sealed=chosen.sealed,
        verification=verification,
    )


def _choose(folder: BackupFolder, number: int | None) -> tuple[str, Generation]:
    known = folder.read_manifest()
    if known is None:
        raise StoreError(f"There is no backup in {folder.root}.", hint="Make one with `foldstore backup`.")
    store_id, generations = known
    if not generations:
        raise StoreError(f"The backup in {folder.root} was never finished.", hint="Make it: `foldstore backup`.")
    chosen = generations[-1] if number is None else next((g for g in generations if g.number == number), None)
    if chosen is None:
        numbers = ", ".join(str(each.number) for each in generations)
        raise NotFoundError(f"The backup has no generation {number}.", hint=f"It has: {numbers}.")
    return store_id, chosen


class _Work:
    """One restore while it is made; `store.json` comes last, so that half a store is none."""

    def __init__(self, folder: BackupFolder, generation: Generation, root: Path, progress: Progress | None) -> None:
        self._folder = folder
        self._generation = generation
        self._root = root
        self._progress = progress
        self._files = LocalFiles()

    def run(self, store_id: str, catalog_url: str | None) -> list[str]:
        """Make the store; return which files the backup lacks."""
        listing = self._folder.read_listing(self._generation)
        staging = self._root / "staging" / new_id()
        self._files.make_folder(staging)
        catalog_file = staging / CATALOG_FILE
        source = self._folder.root / self._generation.catalog_name
        if not source.is_file() or self._copy(source, catalog_file, self._generation.catalog_hash) is None:
            raise StoreError(f"{source} is missing or damaged.", hint="Restore an earlier generation: --generation.")
        catalog_file.chmod(0o644)
        missing = self._copy_objects(catalog_file, staging)
        missing += [file.path for file in listing if not self._copy_file(file, staging)]
        if catalog_url is None:
            self._files.replace(catalog_file, self._root / CATALOG_FILE)
        else:
            load_snapshot(catalog_file, catalog_url)
        self._write_identity(store_id, staging)
        self._files.remove_tree(staging)
        return missing

    def _copy(self, source: Path, target: Path, digest: str, *, sealed: bool = False) -> int | None:
        return copy_proven(self._files, source, target, digest, sealed=sealed)

    def _copy_objects(self, catalog_file: Path, staging: Path) -> list[str]:
        missing = []
        catalog = Catalog(sqlite_url(catalog_file))  # migrates a backup of an older format
        try:
            total, done = inspection.sum_object_bytes(catalog), 0
            for row in inspection.iter_object_rows(catalog):
                cold = row.record is not None and row.record.is_cold
                source = self._folder.object_path(row.key, cold=cold)
                target = self._root / source.relative_to(self._folder.root)
                digest = row.record.stored_hash if row.record is not None else row.key
                size = self._place(source, target, digest, staging)
                if size is None:
                    missing.append(row.key)
                    continue
                done += size
                if self._progress:
                    self._progress(done, total)
        finally:
            catalog.close()
        return missing

    def _copy_file(self, file: KeptFile, staging: Path) -> bool:
        target = self._root / file.path
        if file.is_sealed:
            for each in (target.parent.parent, target.parent):
                if not each.is_dir():
                    self._files.make_folder(each)
                    each.chmod(0o700)
        return self._place(self._folder.path_of(file), target, file.hash, staging, sealed=file.is_sealed) is not None

    def _place(self, source: Path, target: Path, digest: str, staging: Path, *, sealed: bool = False) -> int | None:
        staged = staging / new_id()
        try:
            size = self._copy(source, staged, digest, sealed=sealed)
        except FileNotFoundError:
            size = None
        if size is not None:
            self._files.make_folder(target.parent)
            self._files.replace(staged, target)
            self._files.sync_folders([target.parent])
        return size

    def _write_identity(self, store_id: str, staging: Path) -> None:
        self._files.make_folder(self._root / "objects")
        file = self._files.create(staging / IDENTITY_FILE)
        file.write(identity_text(store_id).encode())
        file.finish()
        self._files.link(file.path, self._root / IDENTITY_FILE)
        self._files.sync_folders([self._root])
