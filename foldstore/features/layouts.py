"""Where the values of services lie: files of versions, changes over them, and what was pushed since."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from foldstore.datastore.catalog.records import Document
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.storage import Storage
from foldstore.errors import FoldstoreError, NotFoundError
from foldstore.features.definitions import Definitions
from foldstore.features.online_store import open_online_store
from foldstore.views.features.feature_service import FeatureService
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.online.layered import LayeredReader
from foldstore.views.online.pushed_rows import PushedRows
from foldstore.views.online.reader import OnlineReader
from foldstore.views.online.staged_files import FOLDER
from foldstore.views.online.store import OnlineStore
from foldstore.views.online.stored_reader import StoredReader, copy_file, file_id, find_stored_file

MATERIALIZED_KIND: Final = "online"
PART_KIND: Final = "online_part"
_LEFT_AFTER: Final = 3600  # seconds
Base = LayeredReader | StoredReader


@dataclass(frozen=True, slots=True)
class Served:
    """A service that is materialized.

    Attributes
    ----------
    address : str
        ``arrival@3``.
    views : mapping of str to FeatureView
        Its views by name.
    document : Document
        What was laid out for it.
    """

    address: str
    views: Mapping[str, FeatureView]
    document: Document

    @classmethod
    def of(cls, address: str, service: FeatureService, document: Document) -> "Served":
        """Say what a document lays out for a service."""
        return cls(address, {each.view.name: each.view for each in service.selections}, document)

    def files_of(self, view: str) -> list[str]:
        """Return the names of a view's files: the version's, then the changes."""
        body = self.document.body
        return [body["files"][view], *body.get("changes", {}).get(view, [])]

    def known(self, store: OnlineStore | None) -> int:
        """Return the newest push that the versions knew of when they were read; 0 for another store's."""
        held = self.document.body.get("pushes")
        return held["mark"] if held is not None and store is not None and held["store"] == store.id else 0


class Layouts:
    """Knows what is materialized, and opens it.

    Parameters
    ----------
    storage : Storage
        The open store.
    definitions : Definitions
        The services.
    """

    def __init__(self, storage: Storage, definitions: Definitions) -> None:
        self._storage = storage
        self._definitions = definitions
        self.materialized = Registry(storage.catalog, MATERIALIZED_KIND)
        self.parts = Registry(storage.catalog, PART_KIND)
        self.folder = storage.root / FOLDER
        self._pushes: OnlineStore | None = None

    @property
    def pushes(self) -> OnlineStore | None:
        """Where pushed rows are; None in a store that is only read and has none."""
        if self._pushes is None:
            self._pushes = open_online_store(self._storage)
        return self._pushes

    @property
    def read_only(self) -> bool:
        """Whether the store is opened to be read only."""
        return self._storage.catalog.read_only

    def close(self) -> None:
        """Let go of the pushed rows."""
        if self._pushes is not None:
            self._pushes.close()
            self._pushes = None

    def find(self, address: str) -> Served | None:
        """Return what is laid out for a service, ``arrival@3``; None for nothing."""
        document = self.materialized.find(address)
        if document is None or not document.body["files"]:
            return None
        return Served.of(address, self._definitions.get(address)[1], document)

    def list_served(self) -> Iterator[Served]:
        """Yield every service that is materialized."""
        for address in self.materialized.list_names():
            with suppress(NotFoundError):
                served = self.find(address)
                if served is not None:
                    yield served

    def list_needed(self) -> set[str]:
        """Return the files that somebody may open: of what is served, of what was before it, of what is finished."""
        needed: set[str] = set()
        for address in self.materialized.list_names():
            newest = self.materialized.find(address)
            before = None if newest is None else self.materialized.find(address, newest.version - 1)
            needed |= {name for each in (newest, before) if each is not None for name in files_of_body(each.body)}
        for part in self.parts.list_names():
            noted = self.parts.find(part)
            needed |= set() if noted is None else set(noted.body["files"])
        return needed

    def open(self, served: Served, view: str) -> Base:
        """Open a view of a service."""
        base = self.open_base(served.files_of(view), verify=True)
        store = self.pushes
        if store is None:
            return base
        return base.over(PushedRows(store, served.views[view], base.schema, served.known(store)))

    def open_base(self, names: list[str], *, verify: bool = False) -> Base:
        """Open what lies below pushed rows: files, or their rows in the online store where the folder lacks them."""
        store = self.pushes
        if store is None or store.base is None or all((self.folder / name).exists() for name in names):
            return self.open_files(names, verify=verify)
        base = store.base
        return StoredReader(store, tuple(find_stored_file(base, Path(name).stem) for name in names))

    def copy_to_store(self, names: Iterable[str]) -> int:
        """Copy the rows of files into the online store, where it keeps them; return how many files were not there."""
        store = self.pushes
        if store is None or store.base is None:
            return 0
        base = store.base
        return sum(copy_file(OnlineReader(self.folder / name, verify=False), base) for name in names)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, and their rows in the online store."""
        base = None if self.pushes is None else self.pushes.base
        for name in names:
            if base is not None:
                base.remove(file_id(Path(name).stem))
            self._storage.objects.files.remove(self.folder / name)

    @property
    def may_have_leftovers(self) -> bool:
        """Whether a killed run may have left rows in the online store: whether it keeps those of versions."""
        return self.pushes is not None and self.pushes.base is not None

    def remove_leftovers(self, needed: Iterable[str]) -> None:
        """Remove what killed runs left in the online store; what was written to lately may be another's who runs."""
        base = None if self.pushes is None else self.pushes.base
        if base is not None:
            kept = {file_id(Path(name).stem) for name in needed}
            for file, idle in base.files().items():
                if file not in kept and idle > _LEFT_AFTER:
                    base.remove(file)

    def open_files(self, names: list[str], *, verify: bool = False) -> LayeredReader:
        """Open files that lie over one another; their bytes are read whole only to be verified."""
        return LayeredReader(tuple(OnlineReader(self.folder / name, verify=verify) for name in names))

    def try_open(self, names: list[str], *, verify: bool = False) -> LayeredReader | None:
        """Open files that may be gone, or broken."""
        try:
            return self.open_files(names, verify=verify)
        except FoldstoreError:
            return None


def files_of_body(body: Mapping[str, Any]) -> set[str]:
    """Return the names of all files that a document of what is materialized names."""
    over = body.get("changes", {})
    return {*body["files"].values(), *(name for names in over.values() for name in names)}
