"""Features looked up: what is materialized is loaded when it is asked for, and let go of when it is forgotten."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeVar

from foldstore.datastore import index_area
from foldstore.datastore.catalog.change_mark import Mark
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.operation_folder import forget_results
from foldstore.datastore.storage import Storage
from foldstore.errors import FoldstoreError, NotFoundError, StoreError
from foldstore.features.definitions import Definitions
from foldstore.features.layouts import MATERIALIZED_KIND, PART_KIND, Layouts, files_of_body
from foldstore.features.online_store import open_online_store
from foldstore.names import parse_address
from foldstore.types import format_time
from foldstore.views.features.feature_service import FeatureService
from foldstore.views.online.catalog import OnlineCatalog
from foldstore.views.online.plain import PlainService
from foldstore.views.online.pushed_rows import OutdatedError, identify
from foldstore.views.online.result import OnlineResult, OnlineRow
from foldstore.views.online.service import Instant, OnlineHandle, OnlineService
from foldstore.views.online.staged_files import FOLDER
from foldstore.views.online.stored_reader import file_id
from foldstore.views.online.transformed import TransformedHandle
from foldstore.views.transforms.transform import Tally

_TRIES: Final = 5
Answer = TypeVar("Answer")


def changes_too_fast() -> StoreError:
    """Build the error for what is replaced whenever it was opened."""
    return StoreError("What is materialized changes faster than it can be read.", hint="Ask again.")


class FreshHandle:
    """A prepared handle that is opened again when something newer was materialized over what was pushed.

    Parameters
    ----------
    open_handle : callable
        Opens it, of what is materialized now; told True when even that does not answer, and all must be opened anew.
    """

    __slots__ = ("_get", "_open")

    def __init__(self, open_handle: Callable[[bool], OnlineHandle | TransformedHandle]) -> None:
        self._open = open_handle
        self._get = open_handle(False).get  # noqa: FBT003

    def get(self, entity: Mapping[str, Any], at: Instant = None) -> OnlineRow:
        """Look one entity up; see `OnlineHandle.get`."""
        try:
            return self._get(entity, at)
        except OutdatedError:
            pass
        for again in (False, True):
            with suppress(OutdatedError):
                self._get = self._open(again).get
                return self._get(entity, at)
        raise changes_too_fast()


class OnlineServing:
    """Answers lookups from what is laid out.

    Parameters
    ----------
    storage : Storage
        The open store.
    definitions : Definitions
        The services.
    layouts : Layouts
        What is laid out.
    author : str
        Who seals, when copies are forgotten.
    """

    def __init__(self, storage: Storage, definitions: Definitions, layouts: Layouts, author: str) -> None:
        self._storage = storage
        self._definitions = definitions
        self._layouts = layouts
        self._author = author
        self._served = OnlineCatalog()
        self._loaded: dict[tuple[str, int], int] = {}
        self._seen: tuple[Mark, dict[str, str]] = (None, {})

    def look_up(
        self, service: str, entities: Any, at: Any, *, full_feature_names: bool
    ) -> tuple[str, OnlineResult, Mark]:
        """Look entities up in a service; return its name too, and the catalog's mark when that was known."""

        def ask() -> tuple[str, OnlineResult, Mark]:
            mark = self._storage.catalog.change_mark.read()
            ready = self._ready(service, mark)
            found = self._served.get_online_features(ready, entities, at, full_feature_names=full_feature_names)
            return ready.partition("@")[0], found, mark

        return self._current(ask)

    def find_plain(self, service: str, mark: Mark) -> PlainService | None:
        """Return what answers the commonest lookups in a service as of a mark of the catalog, if anything does."""
        found = self._served.find(self._ready(service, mark))
        return PlainService.of(found) if isinstance(found, OnlineService) else None

    def serves(self, service: OnlineService) -> bool:
        """Say whether lookups are still answered by a service that was found here."""
        return service.address is not None and self._served.find(service.address) is service

    def look_up_features(
        self, features: Sequence[str], entities: Any, at: Any, *, full_feature_names: bool
    ) -> OnlineResult:
        """Look entities up in features named ``view:feature``, of whatever is materialized."""

        def ask() -> OnlineResult:
            self._drop_forgotten()
            for address in self._layouts.materialized.list_names():
                with suppress(NotFoundError):  # one that was forgotten is none
                    self._ready(address, self._storage.catalog.change_mark.read())
            return self._served.get_features(features, entities, at, full_feature_names=full_feature_names)

        return self._current(ask)

    def is_materialized(self, address: str) -> bool:
        """Say whether a numbered version of a service can be looked up."""
        return self._layouts.find(address) is not None

    def join_keys(self, service: str) -> tuple[str, ...]:
        """Return what a lookup in a service must give, and all that it may."""
        ready = self._ready(service, self._storage.catalog.change_mark.read())
        return tuple(self._served.find(ready).join_keys)

    def open_handle(self, service: str) -> FreshHandle:
        """Return a prepared handle for lookups of one entity in a hot loop."""

        def open_one(again: bool) -> OnlineHandle | TransformedHandle:  # noqa: FBT001
            if again:
                self._drop_loaded()
            return self._served.find(self._ready_now(service)).prepare()

        return FreshHandle(open_one)

    def transform_counts(self, service: str) -> list[Tally]:
        """Return what a service's transform counted of what this process served."""
        transform = self._definitions.find_transform(self._definitions.get(service)[1])
        return [] if transform is None else transform.served_counts()

    def forget_copies(self, dataset: str) -> None:
        """Remove what was laid out from a dataset."""
        forget_copies(self._storage, dataset, author=self._author, why="sealed")
        self._drop_loaded()

    def _current(self, ask: Callable[[], Answer]) -> Answer:
        """Ask again when what is loaded was replaced meanwhile."""
        for number in range(_TRIES):
            try:
                return ask()
            except OutdatedError:
                self._seen = None, {}
                if number:  # nothing newer is materialized: what is loaded is gone from where it was
                    self._drop_loaded()
        raise changes_too_fast()

    def _drop_loaded(self) -> None:
        self._served, self._loaded = OnlineCatalog(), {}
        self._seen = None, {}

    def _drop_forgotten(self) -> None:
        """Let go of everything when another process has taken away what is loaded here."""
        for name, version in self._loaded:
            document = self._layouts.materialized.find(f"{name}@{version}")
            if document is None or not document.body["files"]:
                self._drop_loaded()
                return

    def _ready(self, service: str, mark: Mark) -> str:
        """Load what was materialized last, when it is not loaded; return the full address.

        While the catalog has not changed, neither has the answer.
        """
        known = self._seen[1] if mark is not None and self._seen[0] == mark else {}
        found = known.get(service)
        if found is None:
            found = known[service] = self._ready_now(service)
            self._seen = mark, known
        return found

    def _ready_now(self, service: str) -> str:
        name, definition, version = self._definitions.get(service)
        self.load(name, version, definition)
        return f"{name}@{version}"

    def load(self, name: str, version: int, definition: FeatureService) -> None:
        """Open what was materialized last for a service, unless it is open already."""
        address = f"{name}@{version}"
        served = self._layouts.find(address)
        if served is None:
            self._drop_forgotten()
            raise NotFoundError(
                f"{address} is not materialized.",
                hint=f"Lay it out first: foldstore materialize {address}.",
                service=address,
            )
        number = served.document.version
        if self._loaded.get((name, version)) == number:
            return
        try:
            readers = [self._layouts.open(served, view) for view in served.document.body["files"]]
        except FoldstoreError:
            newer = self._layouts.find(address)
            if newer is None or newer.document.version == number:
                raise
            raise OutdatedError from None  # its files were replaced while they were opened
        transform = self._definitions.find_transform(definition)
        self._served.add(definition, version, readers, transform=transform, materialization=number)
        self._loaded[name, version] = number


def forget_copies(storage: Storage, dataset: str, *, author: str, why: str) -> list[str]:
    """Remove what was laid out of a dataset, for lookups and joins; return the services to be materialized anew.

    What was pushed to views of the dataset goes too: it may be what is sealed or erased.
    """
    forget_results(storage.root)
    record = storage.catalog.find_dataset(dataset)
    if record is not None:
        index_area.forget(storage, record.id)
    materialized, parts = Registry(storage.catalog, MATERIALIZED_KIND), Registry(storage.catalog, PART_KIND)
    now = format_time(storage.clock())
    made, others = _sort_out(materialized, dataset)
    noted, other_parts = _sort_out(parts, dataset)
    gone = {file for document in chain(*made.values()) for file in files_of_body(document.body)}
    gone |= {file for document in chain(*noted.values()) for file in document.body["files"]}
    kept = {file for document in others for file in files_of_body(document.body)}
    kept |= {file for document in other_parts for file in document.body["files"]}
    _remove(storage, gone - kept)  # a view of another dataset may be of services that have nothing of this one
    for address in made:
        materialized.put(address, {"files": {}, "inputs": []}, author=author, message=why, created_at=now)
    for name in noted:  # the files of views that were finished and are of no service yet are gone, too
        parts.put(name, {"files": [], "inputs": []}, author=author, message=why, created_at=now)
    _forget_pushes(storage, made, {document.name for document in others})
    return list(made)


def _sort_out(registry: Registry, dataset: str) -> tuple[dict[str, list[Any]], list[Any]]:
    """Return the documents of what was made of a dataset, by their names, and those of names that never read it."""
    made, others = dict[str, list[Any]](), list[Any]()
    for name in registry.list_names():
        documents = registry.list_versions(name)
        reading = [document for document in documents if _reads(document.body, dataset)]
        if reading:
            made[name] = reading
        else:
            others += documents
    return made, others


def _reads(body: Mapping[str, Any], dataset: str) -> bool:
    return dataset in {parse_address(name).name for name in body["inputs"]}


def _remove(storage: Storage, names: Collection[str]) -> None:
    """Remove files, and their rows in the online store."""
    store = open_online_store(storage) if names else None
    try:
        for name in names:
            if store is not None and store.base is not None:
                store.base.remove(file_id(Path(name).stem))
            storage.objects.files.remove(storage.root / FOLDER / name)
    finally:
        if store is not None:
            store.close()


def _forget_pushes(storage: Storage, addresses: Collection[str], others: Collection[str]) -> None:
    """Remove what was pushed to the views of some services, but for views that other ones have, too."""
    store = open_online_store(storage) if addresses else None
    if store is None:
        return
    try:
        for view_id in {*_view_ids(storage, addresses)} - {*_view_ids(storage, others)}:
            store.clear(view_id)
    finally:
        store.close()


def _view_ids(storage: Storage, addresses: Collection[str]) -> Iterator[bytes]:
    services = Registry(storage.catalog, "feature_service")
    for address in addresses:
        name, _, number = address.partition("@")
        document = services.find(name, int(number))
        if document is not None:
            for selection in FeatureService.from_dict(document.body).selections:
                yield identify(selection.view)
