"""What every act on a store needs, in one bundle: the catalog, the bytes, and the clock."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import uuid4

from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.connection import sqlite_url
from foldstore.datastore.catalog.journal import Journal
from foldstore.datastore.engine import Engine
from foldstore.datastore.files import LocalFiles
from foldstore.datastore.objects import ObjectArea
from foldstore.errors import StoreError
from foldstore.types import Clock, utc_now

CATALOG_FILE: Final = "catalog.db"


def _ignore_step(_name: str) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """An open catalog and object area.

    Attributes
    ----------
    on_step : callable
        Told the name of each step of a commit when it is done; tests end the process there.
    """

    root: Path
    catalog: Catalog
    objects: ObjectArea
    journal: Journal
    engine: Engine
    clock: Clock = utc_now
    on_step: Callable[[str], None] = field(default=_ignore_step)

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
    create : bool
        Make an empty store when there is none; a folder with other things in it is refused.

    Raises
    ------
    StoreError
        When there is no store, or the folder cannot hold one.
    """
    root = root.absolute()
    files = LocalFiles()
    if not is_store(root, catalog_url):
        _check_room(root, create=create)
        try:
            files.make_folder(root / "objects")
        except OSError as error:
            raise StoreError(
                f"No store can be made in {root}: {error.strerror}.", hint="Choose another folder."
            ) from error
    catalog = Catalog(catalog_url or sqlite_url(root / CATALOG_FILE))
    catalog.ensure_fact("id", new_id())
    return Storage(
        root=root,
        catalog=catalog,
        objects=ObjectArea(root, files),
        journal=Journal(catalog),
        engine=engine or Engine(),
        clock=clock,
    )


def is_store(root: Path, catalog_url: str | None = None) -> bool:
    """Say whether a folder holds a store."""
    objects = root / "objects"
    if not objects.is_dir():
        return False
    # Making a store makes the folder first: an empty one without a catalog is a store that was not finished.
    return catalog_url is not None or (root / CATALOG_FILE).is_file() or not any(objects.iterdir())


def _check_room(root: Path, *, create: bool) -> None:
    if root.exists() and not root.is_dir():
        raise StoreError(f"{root} is not a folder.", hint="Name a folder for the store.")
    if not create:
        raise StoreError(f"There is no store in {root}.", hint="Make one with `foldstore init`.", path=str(root))
    if root.is_dir() and any(root.iterdir()):
        raise StoreError(
            f"{root} holds other files and no store.", hint="Name an empty or a new folder.", path=str(root)
        )
