"""Features laid out for lookups, and looked up: what is materialized, loaded, and forgotten."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from foldstore.datastore import index_area
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.storage import Storage
from foldstore.errors import NotFoundError
from foldstore.features.definitions import Definitions
from foldstore.features.indexes import FeatureIndexes
from foldstore.features.joins import given_pins
from foldstore.features.sources import Pins, Rows, read_source
from foldstore.names import parse_address
from foldstore.training_set import TrainingSet
from foldstore.types import format_time
from foldstore.views.online.catalog import OnlineCatalog
from foldstore.views.online.materialize import materialize_view
from foldstore.views.online.reader import OnlineReader
from foldstore.views.online.result import OnlineResult
from foldstore.views.online.service import OnlineHandle
from foldstore.views.online.transformed import TransformedHandle
from foldstore.views.transforms.transform import Tally

MATERIALIZED_KIND: Final = "online"
_FOLDER: Final = "online"


class OnlineServing:
    """Lays services out for lookups, and answers them.

    Parameters
    ----------
    storage : Storage
        The open store.
    rows : Rows
        How sources are read.
    definitions : Definitions
        The services.
    indexes : FeatureIndexes
        Where windows are added up.
    author : str
        Who materializes.
    """

    def __init__(
        self, storage: Storage, rows: Rows, definitions: Definitions, indexes: FeatureIndexes, author: str
    ) -> None:
        self._storage = storage
        self._rows = rows
        self._definitions = definitions
        self._indexes = indexes
        self._author = author
        self._materialized = Registry(storage.catalog, MATERIALIZED_KIND)
        self._served = OnlineCatalog()
        self._loaded: dict[tuple[str, int], int] = {}

    def materialize(self, service: str, like: TrainingSet | None) -> str:
        """Lay a service's features out for lookups; return the service's address."""
        name, definition, version = self._definitions.get(service)
        pins = Pins(self._rows, given_pins(like))
        files = {}
        for view in {selection.view.name: selection.view for selection in definition.selections}.values():
            source = read_source(self._rows, view, pins)
            file = materialize_view(
                self._indexes.windows(view, source).to_steps() if view.aggregations else source.table,
                view,
                self._storage.root / _FOLDER,
                sources=source.inputs,
                files=self._storage.objects.files,
            )
            files[view.name] = file.path.name
        address = f"{name}@{version}"
        body = {"files": files, "inputs": list(pins.inputs), "pins": {**pins.used, **pins.views}}
        now = format_time(self._storage.clock())
        self._materialized.put(address, body, author=self._author, created_at=now)
        self._load(name, version)
        return address

    def look_up(self, service: str, entities: Any, at: Any, *, full_feature_names: bool) -> tuple[str, OnlineResult]:
        """Look entities up in a service; return its name too."""
        ready = self._ready(service)
        found = self._served.get_online_features(ready, entities, at, full_feature_names=full_feature_names)
        return ready.partition("@")[0], found

    def look_up_features(
        self, features: Sequence[str], entities: Any, at: Any, *, full_feature_names: bool
    ) -> OnlineResult:
        """Look entities up in features named ``view:feature``, of whatever is materialized."""
        self._drop_forgotten()
        for address in self._materialized.list_names():
            with suppress(NotFoundError):  # one that was forgotten is none
                self._ready(address)
        return self._served.get_features(features, entities, at, full_feature_names=full_feature_names)

    def is_materialized(self, address: str) -> bool:
        """Say whether a numbered version of a service can be looked up."""
        document = self._materialized.find(address)
        return document is not None and bool(document.body["files"])

    def join_keys(self, service: str) -> tuple[str, ...]:
        """Return what a lookup in a service must give, and all that it may."""
        return tuple(self._served.find(self._ready(service)).join_keys)

    def open_handle(self, service: str) -> OnlineHandle | TransformedHandle:
        """Return a prepared handle for lookups of one entity in a hot loop."""
        return self._served.find(self._ready(service)).prepare()

    def transform_counts(self, service: str) -> list[Tally]:
        """Return what a service's transform counted of what this process served."""
        transform = self._definitions.find_transform(self._definitions.get(service)[1])
        return [] if transform is None else transform.served_counts()

    def forget_copies(self, dataset: str) -> None:
        """Remove what was laid out from a dataset."""
        forget_copies(self._storage, dataset, author=self._author, why="sealed")
        self._drop_loaded()

    def _drop_loaded(self) -> None:
        self._served, self._loaded = OnlineCatalog(), {}

    def _drop_forgotten(self) -> None:
        """Let go of everything when another process has taken away what is loaded here."""
        for name, version in self._loaded:
            document = self._materialized.find(f"{name}@{version}")
            if document is None or not document.body["files"]:
                self._drop_loaded()
                return

    def _ready(self, service: str) -> str:
        """Load what was materialized last, when it is not loaded; return the full address."""
        name, _, version = self._definitions.get(service)
        self._load(name, version)
        return f"{name}@{version}"

    def _load(self, name: str, version: int) -> None:
        address = f"{name}@{version}"
        document = self._materialized.find(address)
        if document is None or not document.body["files"]:
            self._drop_forgotten()
            raise NotFoundError(
                f"{address} is not materialized.",
                hint=f"Lay it out first: foldstore materialize {address}.",
                service=address,
            )
        if self._loaded.get((name, version)) == document.version:
            return
        folder = self._storage.root / _FOLDER
        readers = [OnlineReader(folder / file) for file in document.body["files"].values()]
        definition = self._definitions.get(address)[1]
        transform = self._definitions.find_transform(definition)
        self._served.add(definition, version, readers, transform=transform, materialization=document.version)
        self._loaded[name, version] = document.version


def forget_copies(storage: Storage, dataset: str, *, author: str, why: str) -> list[str]:
    """Remove what was laid out of a dataset, for lookups and joins; return the services to be materialized anew."""
    record = storage.catalog.find_dataset(dataset)
    if record is not None:
        index_area.forget(storage, record.id)
    materialized = Registry(storage.catalog, MATERIALIZED_KIND)
    forgotten = []
    for address in materialized.list_names():
        made = [
            document
            for document in materialized.list_versions(address)
            if dataset in {parse_address(name).name for name in document.body["inputs"]}
        ]
        for file in {file for document in made for file in document.body["files"].values()}:
            storage.objects.files.remove(storage.root / _FOLDER / file)
        if made:
            body: dict[str, Any] = {"files": {}, "inputs": []}
            materialized.put(address, body, author=author, message=why, created_at=format_time(storage.clock()))
            forgotten.append(address)
    return forgotten
