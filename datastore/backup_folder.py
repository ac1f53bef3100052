"""A backup's folder: ``backup.json`` with its generations, a catalog for each, and the files under their hashes.

::

    backup.json                    format, the store's id, the generations; written last, at once
    catalog-<n>.db                 the catalog of generation n, a SQLite file
    files-<n>.json                 path, hash and size of the other files of generation n
    objects/<2 hex>/<hash>.arrow   objects, as in the store
    files/<2 hex>/<hash>           commit objects and online files
    sealed/<2 hex>/<hash>          sealed cells: folders 0700, files 0400
    staging/                       being copied; never read
"""

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from foldstore.datastore.canonical import HASH_PREFIX, canonical_json, is_content_hash
from foldstore.datastore.files import LocalFiles, hash_file
from foldstore.datastore.storage import new_id
from foldstore.errors import ConflictError, StoreError, StoreFormatError

MANIFEST: Final = "backup.json"
_FORMAT: Final = 1
_PIECE: Final = 4 << 20
# What a listing may name: nothing of it becomes a path that was not looked at.
_PATH: Final = re.compile(
    r"commits/[0-9a-f]{32}/[0-9]{10,19}-[0-9a-f]{32}\.json"
    r"|online/b3-[0-9a-f]{64}\.arrow"
    r"|sealed/[0-9a-z_]{1,64}/[0-9a-z_]{1,64}\.arrow",
    re.ASCII,
)
_STORE_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One backup of the store: its catalog and the listing of its files, by hash.

    Attributes
    ----------
    damaged : tuple of str
        What could not be copied, because it was damaged in the store.
    """

    number: int
    created_at: str
    catalog_hash: str
    files_hash: str
    objects: int
    versions: int
    sealed: bool
    damaged: tuple[str, ...] = ()

    @property
    def catalog_name(self) -> str:
        """The name of its catalog."""
        return f"catalog-{self.number}.db"

    @property
    def files_name(self) -> str:
        """The name of its listing."""
        return f"files-{self.number}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFile:
    """A file beside the objects: where it lies in the store, and the hash under which it lies here."""

    path: str
    hash: str
    num_bytes: int

    @property
    def is_sealed(self) -> bool:
        """Whether it holds sealed cells."""
        return self.path.startswith("sealed/")


class BackupFolder:
    """The folder of a backup, opened to be read or, under `locked`, to be written."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.files = LocalFiles()

    def read_manifest(self) -> tuple[str, list[Generation]] | None:
        """Return the store's id and the generations, oldest first; None when there is no backup.

        Raises
        ------
        StoreFormatError
            When a newer Foldstore wrote it.
        StoreError
            When it is damaged.
        """
        try:
            return parse_manifest((self.root / MANIFEST).read_bytes(), f"The backup in {self.root}")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StoreError(
                f"{self.root / MANIFEST} is damaged.", hint="Begin a new backup in another folder."
            ) from error

    def write_manifest(self, store_id: str, generations: list[Generation]) -> None:
        """Write the manifest at once: before it the backup is what it was, after it there is one more."""
        self.write_text(MANIFEST, describe_manifest(store_id, generations), over=True)

    def refuse_other(self, store_id: str | None) -> None:
        """Refuse a folder that holds other things, or the backup of another store; None stands for any store.

        Raises
        ------
        StoreError
            When it does.
        """
        known = self.read_manifest()
        if known is not None and store_id not in (None, known[0]):
            raise StoreError(f"{self.root.resolve()} holds the backup of another store.", hint="Name another folder.")
        names = {entry.name for entry in self.root.iterdir()} if known is None and self.root.exists() else set()
        if names - {"lock", "staging"}:
            raise StoreError(
                f"{self.root.resolve()} holds other files and no backup.", hint="Name an empty or a new folder."
            )

    def begin(self, store_id: str) -> int:
        """Make the folder known as a backup of a store, if it is not; return the number of the next generation."""
        known = self.read_manifest()
        if known is None:
            self.write_manifest(store_id, [])
            return 1
        return max((each.number for each in known[1]), default=0) + 1

    def add(self, store_id: str, generation: Generation, keep: int) -> None:
        """Write the manifest with one generation more, and remove the oldest ones beyond so many."""
        known = self.read_manifest()
        every = [*(known[1] if known else []), generation]
        self.write_manifest(store_id, every[-keep:])
        for old in every[:-keep]:
            for name in (old.catalog_name, old.files_name):
                self.files.remove(self.root / name)

    def write_text(self, name: str, text: str, *, over: bool = False) -> str:
        """Write a file at the top, durably, and return its hash."""
        staged = self.stage()
        file = self.files.create(staged)
        file.write((text + "\n").encode())
        digest = file.finish()
        self.place(staged, self.root / name, over=over)
        return digest

    def stage(self) -> Path:
        """Return a new path in the staging folder."""
        folder = self.root / "staging"
        self.files.make_folder(folder)
        return folder / new_id()

    def place(self, staged: Path, target: Path, *, over: bool = True) -> None:
        """Give a finished file its name, durably."""
        self.files.make_folder(target.parent)
        if over:
            self.files.replace(staged, target)
        elif not self.files.link(staged, target):
            raise StoreError(f"{target} is there already.", hint="Another backup is at work in this folder.")
        else:
            self.files.remove(staged)
        self.files.sync_folders([target.parent])

    def read_listing(self, generation: Generation) -> list[KeptFile]:
        """Return the other files of a generation.

        Raises
        ------
        StoreError
            When the listing is not the one that was written, or names what no store has.
        """
        path = self.root / generation.files_name
        try:
            whole = hash_file(path) == generation.files_hash
            found = parse_listing(path.read_bytes()) if whole else []
        except (OSError, ValueError, TypeError):
            whole = False
        if not whole:
            raise StoreError(f"{path} is missing or damaged.", hint="Restore an earlier generation: --generation.")
        if found is None:
            raise StoreError(f"{path} names files that no store has.", hint="Restore another backup.")
        return found

    def path_of(self, file: KeptFile) -> Path:
        """Return where a file lies in the backup."""
        area = "sealed" if file.is_sealed else "files"
        return self.root / area / file.hash[len(HASH_PREFIX) :][:2] / file.hash

    def object_path(self, object_id: str, *, cold: bool = False) -> Path:
        """Return where an object lies in the backup, in the form of the cold tier if asked for."""
        if not is_content_hash(object_id):
            raise StoreError(f"{object_id!r} names no object.", hint="The catalog is damaged: `foldstore verify`.")
        return (
            self.root / "objects" / object_id[len(HASH_PREFIX) :][:2] / f"{object_id}.{'parquet' if cold else 'arrow'}"
        )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other backups out of the folder; the operating system lets go when the process dies.

        Raises
        ------
        ConflictError
            When another backup is at work in it.
        """
        self.files.make_folder(self.root)
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConflictError(
                    f"Another backup is at work in {self.root}.", retry=True, hint="Try again in a while."
                ) from error
            self.files.remove_tree(self.root / "staging")  # what a killed backup left
            yield
        finally:
            self.files.remove_tree(self.root / "staging")
            os.close(descriptor)


def describe_manifest(store_id: str, generations: Sequence[Generation]) -> str:
    """Return a manifest as text."""
    return canonical_json({"format": _FORMAT, "store": store_id, "generations": [asdict(each) for each in generations]})


def parse_manifest(text: bytes, what: str) -> tuple[str, list[Generation]]:
    """Return the store's id and the generations that a manifest names, oldest first.

    Raises
    ------
    StoreFormatError
        When a newer Foldstore wrote it.
    ValueError, TypeError, KeyError
        When it is none.
    """
    kept = json.loads(text)
    if isinstance(kept, dict) and isinstance(kept.get("format"), int) and kept["format"] > _FORMAT:
        raise StoreFormatError(
            f"{what} has format {kept['format']}; this Foldstore knows formats up to {_FORMAT}.",
            hint="Install a newer Foldstore: pip install --upgrade foldstore.",
        )
    found = [Generation(**{**item, "damaged": tuple(item["damaged"])}) for item in kept["generations"]]
    if not _STORE_ID.fullmatch(kept["store"]) or not all(isinstance(each.number, int) for each in found):
        raise ValueError("not a manifest")
    return kept["store"], sorted(found, key=lambda each: each.number)


def is_kept_path(path: str) -> bool:
    """Say whether a store has a file beside its objects under a path."""
    return _PATH.fullmatch(path) is not None


def parse_listing(text: bytes) -> list[KeptFile] | None:
    """Return the files that a listing names; None when no store has one of them.

    Raises
    ------
    ValueError, TypeError
        When it is no listing.
    """
    found = [KeptFile(**item) for item in json.loads(text)]
    return found if all(is_kept_path(file.path) and is_content_hash(file.hash) for file in found) else None


def copy_proven(files: LocalFiles, source: Path, staged: Path, digest: str, *, sealed: bool = False) -> int | None:
    """Copy a file and bring it to the disk; return its size, or None when its bytes are not those of the hash."""
    file = files.create(staged)
    if sealed:
        os.chmod(staged, 0o600)  # noqa: PTH101  # before a byte is in it
    try:
        with source.open("rb") as opened:
            while piece := opened.read(_PIECE):
                file.write(piece)
        found = file.finish()
    finally:
        file.close()
    if found != digest:
        files.remove(staged)
        return None
    if sealed:
        staged.chmod(0o400)
    return file.num_bytes


def is_whole(path: Path, digest: str, num_bytes: int, *, read: bool) -> bool:
    """Say whether a file is there with its size and, when it is to be read, its hash."""
    try:
        return path.stat().st_size == num_bytes and (not read or hash_file(path) == digest)
    except OSError:
        return False


def describe_listing(files: list[KeptFile]) -> str:
    """Return a listing as text."""
    plain: list[Mapping[str, Any]] = [asdict(file) for file in files]
    return canonical_json(plain)
