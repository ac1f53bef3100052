"""What every act on a store needs, in one bundle: the catalog, the bytes, and the clock."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.connection import sqlite_url
from foldstore.datastore.catalog.facts import find_store_id, has_objects
from foldstore.datastore.catalog.journal import Journal
from foldstore.datastore.deletion import DeletionCache
from foldstore.datastore.engine import Engine
from foldstore.datastore.files import LocalFiles, ReadOnlyFiles
from foldstore.datastore.objects import ObjectArea
from foldstore.datastore.page_cache import PageCache
from foldstore.datastore.prefix_cache import PrefixCache
from foldstore.datastore.unchanged import Unchanged
from foldstore.errors import StoreError, StoreFormatError
from foldstore.types import Clock, utc_now

if TYPE_CHECKING:
    from foldstore.datastore.draft import Head
    from foldstore.datastore.guard import ReadGuard
    from foldstore.datastore.statistics.profile import Profile

CATALOG_FILE: Final = "catalog.db"
# What makes a folder a store: its id, which the catalog has too.
IDENTITY_FILE: Final = "store.json"
_FORMAT: Final = 1
_MOST_PROFILES: Final = 8
_MOST_HEADS: Final = 64


def _ignore_step(_name: str) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """An open catalog and object area.

    Attributes
    ----------
    guard : ReadGuard or None
        Asked by every handle of a version before it reads; without one, everything may be read.
    seal_key : bytes or None
        What sealed files are enciphered with; it is kept nowhere in the store.
    online_url : str or None
        The server that keeps pushed rows of features and copies of versions' rows; files in the folder unless set.
    on_step : callable
        Told the name of each step of a commit when it is done; tests end the process there.
    merged_profiles : PrefixCache of Profile
        The profiles of the versions that were looked at last. They are of files by content: a seal has other files.
    heads : Unchanged of Head
        The states of branches, by dataset and name.
    """

    root: Path
    catalog: Catalog
    objects: ObjectArea
    journal: Journal
    engine: Engine
    pages: PageCache
    deletions: DeletionCache
    clock: Clock = utc_now
    guard: "ReadGuard | None" = None
    seal_key: bytes | None = field(default=None, repr=False)
    online_url: str | None = field(default=None, repr=False)
    on_step: Callable[[str], None] = field(default=_ignore_step)
    merged_profiles: "PrefixCache[Profile]" = field(default_factory=lambda: PrefixCache(_MOST_PROFILES))
    heads: "Unchanged[Head]" = field(default_factory=lambda: Unchanged(_MOST_HEADS))

    def close(self) -> None:
        """Let go of every file and connection."""
        self.engine.close()
        self.objects.close()
        self.catalog.close()


def new_id() -> str:
    """Return a new random id of 128 bits; ids never depend on contents."""
    return uuid4().hex


def open_storage(
    root: Path,
    *,
    catalog_url: str | None = None,
    create: bool = True,
    engine: Engine | None = None,
    clock: Clock = utc_now,
    guard: "ReadGuard | None" = None,
    read_only: bool = False,
    seal_key: bytes | None = None,
) -> Storage:
    """Open the store in a folder.

    Parameters
    ----------
    root : pathlib.Path
        The store's folder.
    catalog_url : str, optional
        Another database for the catalog than ``catalog.db`` in the folder.
    engine : Engine, optional
        What runs expressions and queries; one with DuckDB's own limits unless given.
    guard : ReadGuard, optional
        Says what of a version may be read.
    create : bool
        Make an empty store when there is none; a folder with other things in it is refused.
    read_only : bool
        Write nothing, and refuse every change; the folder may be one that nobody can write to.
    seal_key : bytes, optional
        What sealed files are enciphered with.

    Raises
    ------
    StoreError
        When there is no store, or the folder cannot hold one.
    """
    root = root.absolute()
    files = LocalFiles(root)
    try:
        known = read_identity(root)
        if known is None:
            _check_room(root, create=create and not read_only)
            if catalog_url is not None:
                _check_unowned(root, catalog_url)
            known = _make_identity(root, files)
    except OSError as error:
        raise StoreError(
            f"No store can be made or read in {root}: {error.strerror}.", hint="Choose another folder."
        ) from error
    catalog = Catalog(catalog_url or sqlite_url(root / CATALOG_FILE), read_only=read_only)
    if catalog.ensure_fact("id", known) != known:
        catalog.close()
        raise StoreError(
            f"The catalog belongs to another store than the folder {root}.",
            hint="Open the folder with the catalog that it was made with; a PostgreSQL catalog serves one store.",
        )
    return Storage(
        root=root,
        catalog=catalog,
        objects=ObjectArea(root, ReadOnlyFiles() if read_only else files, partial(has_objects, catalog)),
        journal=Journal(catalog),
        pages=PageCache(catalog),
        deletions=DeletionCache(catalog),
        engine=engine or Engine(),
        clock=clock,
        guard=guard,
        seal_key=seal_key,
    )


def is_store(root: Path) -> bool:
    """Say whether a folder holds a store."""
    return (root / IDENTITY_FILE).is_file()


def read_identity(root: Path) -> str | None:
    """Return the id of the store in a folder; None when the folder holds none.

    Raises
    ------
    StoreError
        When the file that says so is damaged.
    StoreFormatError
        When a newer Foldstore wrote it.
    """
    try:
        kept = json.loads((root / IDENTITY_FILE).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise StoreError(f"{root / IDENTITY_FILE} is damaged.", hint="Restore it from a backup.") from error
    if not isinstance(kept, dict) or kept.get("format") != _FORMAT:
        raise StoreFormatError(
            f"{root} has another format than this Foldstore knows.", hint="Install a newer Foldstore."
        )
    return str(kept.get("id"))


def identity_text(store_id: str) -> str:
    """Return what the file says that makes a folder a store."""
    return json.dumps({"format": _FORMAT, "id": store_id})


def _make_identity(root: Path, files: LocalFiles) -> str:
    """Write the file that makes a folder a store; of two openers at once, both read what the first wrote."""
    files.make_folder(root / "objects")
    staging = root / "staging" / new_id()
    files.make_folder(staging)
    file = files.create(staging / IDENTITY_FILE)
    file.write(identity_text(new_id()).encode())
    file.finish()
    files.link(file.path, root / IDENTITY_FILE)
    files.sync_folders([root])
    files.remove_tree(staging)
    identity = read_identity(root)
    assert identity is not None  # noqa: S101  # it was written a moment ago
    return identity


def _check_unowned(root: Path, catalog_url: str) -> None:
    """Refuse to make a store in a new folder of a catalog that has another one.

    Raises
    ------
    StoreError
        With the code ``objects-elsewhere``.
    """
    catalog = Catalog(catalog_url)
    try:
        known = find_store_id(catalog)
    finally:
        catalog.close()
    if known is not None:
        raise StoreError(
            f"The catalog is that of the store {known}, and {root} is no store: its folder is elsewhere.",
            hint="Mount or copy the store's whole folder, the one that other machines write to; a new store needs a "
            "catalog of its own. Lookups from Redis need its store.json alone.",
            code="objects-elsewhere",
            path=str(root),
        )


def _check_room(root: Path, *, create: bool) -> None:
    if root.exists() and not root.is_dir():
        raise StoreError(f"{root} is not a folder.", hint="Name a folder for the store.")
    if not create:
        raise StoreError(f"There is no store in {root}.", hint="Make one with `foldstore init`.", path=str(root))
    if root.is_dir() and any(entry.name not in ("objects", "staging") for entry in root.iterdir()):
        raise StoreError(
            f"{root} holds other files and no store.", hint="Name an empty or a new folder.", path=str(root)
        )
