"""The handle of a store's features: services applied, joined point in time, made into training sets, served."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.ingest.source import open_source
from foldstore.datastore.storage import Storage
from foldstore.errors import NotFoundError, RefusedError, UsageError, column_not_found, did_you_mean
from foldstore.lookup_log import Appended, LookupLogs
from foldstore.names import LATEST, parse_address
from foldstore.split import SplitPart
from foldstore.training_set import Inputs, TrainingSet
from foldstore.types import Status, format_time
from foldstore.version import Version
from foldstore.views.features.feature_service import SERVICE_KIND, FeatureService
from foldstore.views.features.feature_view import FeatureView, SqlSource
from foldstore.views.features.join import FeatureTable, index_view, point_in_time_join
from foldstore.views.online.catalog import OnlineCatalog
from foldstore.views.online.materialize import materialize_view
from foldstore.views.online.reader import OnlineReader
from foldstore.views.online.result import OnlineResult
from foldstore.views.online.service import OnlineHandle

_ONLINE: Final = "online"
_FOLDER: Final = "online"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """How features reach rows; `foldstore.store` supplies it.

    Attributes
    ----------
    version : callable
        The version at an address.
    view_rows : callable
        The rows at an address (a version, a view, a part of a split) as a table.
    sql : callable
        The answer to a query, given how its names become tables; sealed outcomes that may feed features do.
    create : callable
        Commit a training set: name, table, what is known of it.
    dataset : callable
        The dataset of logged lookups of a name, made when it is missing.
    """

    version: Callable[[str], Version]
    view_rows: Callable[[str], pa.Table]
    sql: Callable[[str, Callable[[str], str], str], pa.Table]
    create: Callable[..., TrainingSet]
    dataset: Callable[[str], Appended]


@dataclass(frozen=True, slots=True)
class _Source:
    table: pa.Table
    inputs: tuple[str, ...]


@dataclass(slots=True)
class _Pins:
    """Turns names into pinned addresses, and remembers which were used."""

    version: Callable[[str], Version]
    given: Mapping[str, str] = field(default_factory=dict)
    used: dict[str, str] = field(default_factory=dict)

    @property
    def versions(self) -> tuple[str, ...]:
        """The pinned versions, each once."""
        return tuple(dict.fromkeys(self.used.values()))

    def pin(self, text: str) -> str:
        address = parse_address(text)
        written = f"{address.name}@{address.ref}"
        pinned = self.given.get(written) or _published(self.version(written)).address
        self.used[written] = pinned
        suffix = f"#{address.split}.{address.part}" if address.split and address.part else ""
        return f"{pinned}{suffix}"


def _published(version: Version) -> Version:
    """Refuse a version that did not pass its gate: nothing is learnt or served from it until a person releases it."""
    if version.status in (Status.QUARANTINED, Status.DRAFT):
        raise RefusedError(
            f"{version.address} is {version.status}: features are not read from it.",
            hint=f"foldstore review release {version.address} publishes it; name a published version otherwise.",
            code="version-quarantined",
            address=version.address,
        )
    return version


class Features:
    """Feature services: one definition for training and serving.

    Examples
    --------
    >>> import datetime as dt
    >>> import foldstore
    >>> store = foldstore.connect(folder)
    >>> day = [dt.datetime(2024, 1, n, tzinfo=dt.timezone.utc) for n in range(1, 7)]
    >>> _ = store.create_dataset("rides").append({"driver": [1, 1], "ts": [day[0], day[2]], "trips": [10, 30]})
    >>> driver = foldstore.Entity("driver", keys={"driver": "int64"})
    >>> stats = foldstore.FeatureView("stats", entity=driver, source="rides", event_time="ts", features=["trips"])
    >>> store.features.apply(foldstore.FeatureService("trips", [stats]))
    'trips@1'
    >>> labels = {"driver": [1, 1, 2], "event_timestamp": [day[5], day[1], day[5]]}
    >>> store.features.get_historical_features(labels, "trips@1")["trips"].to_pylist()
    [30, 10, None]
    >>> store.features.materialize("trips@1")
    'trips@1'
    >>> store.features.get_online_features("trips@1", [{"driver": 1}], at=day[1]).to_dict()["trips"]
    [10]
    """

    def __init__(self, storage: Storage, rows: Rows, author: str) -> None:
        self._storage = storage
        self._rows = rows
        self._author = author
        self._services = Registry(storage.catalog, SERVICE_KIND)
        self._materialized = Registry(storage.catalog, _ONLINE)
        self.lookup_logs = LookupLogs(storage, rows.dataset, author)
        self._served = OnlineCatalog()
        self._loaded: dict[tuple[str, int], int] = {}

    def __repr__(self) -> str:
        return f"<Features: {', '.join(self.list_services()) or 'none applied'}>"

    def apply(self, service: FeatureService, *, message: str = "") -> str:
        """Keep a feature service as a new version; an equal one stays what it is. Return its address."""
        if not isinstance(service, FeatureService):
            raise UsageError(f"{type(service).__name__!r} is not a feature service.", hint="Apply a FeatureService.")
        for selection in service.selections:
            self._check_source(selection.view)
        document = self._services.put(
            service.name, service.to_dict(), author=self._author, message=message, created_at=self._now()
        )
        return f"{service.name}@{document.version}"

    def list_services(self) -> list[str]:
        """List the addresses of the services, every version."""
        names = self._services.list_names()
        return [f"{name}@{document.version}" for name in names for document in self._services.list_versions(name)]

    def service(self, address: str) -> FeatureService:
        """Return a service as it was applied.

        Raises
        ------
        NotFoundError
            When there is none.
        """
        return self._find(address)[1]

    def get_historical_features(
        self,
        labels: Any,
        service: str,
        *,
        event_timestamp: str | None = None,
        full_feature_names: bool = False,
        like: TrainingSet | None = None,
    ) -> pa.Table:
        """Join features to rows as they were known at each row's own time.

        Parameters
        ----------
        labels : object
            An address, anything that speaks Arrow, or a dict of lists: keys, a time, whatever else.
        service : str
            The address of a feature service.
        event_timestamp : str, optional
            The column of asking times: ``event_timestamp``, or the only column of times, unless given.
        full_feature_names : bool
            Name the features ``view__feature``.
        like : TrainingSet, optional
            Read the versions that it was made of; the newest published ones unless given.

        Returns
        -------
        pyarrow.Table
            The rows in their order, then the features; n rows in, n rows out.
        """
        _, definition, _ = self._find(service)
        pins = _Pins(self._rows.version, _given(like))
        tables = self._feature_tables(definition, pins)
        return point_in_time_join(
            self._read_labels(labels), tables, event_timestamp=event_timestamp, full_feature_names=full_feature_names
        )

    def create_training_set(
        self,
        name: str,
        *,
        labels: str,
        features: str,
        event_timestamp: str | None = None,
        full_feature_names: bool = False,
        message: str = "",
    ) -> TrainingSet:
        """Join features to the rows of a split and commit the result, its split and its lineage.

        The dataset of the training set is a new one: a training set of other inputs has another name.

        Parameters
        ----------
        name : str
            A new dataset for it.
        labels : str
            The address of a split: ``flights@5#by_month``.
        features : str
            The address of a feature service.
        """
        address, definition, version = self._find(features)
        asked = parse_address(labels)
        if asked.split is None or asked.part is not None:
            raise UsageError(f"{labels!r} is not the address of a split.", hint="Write name@version#split.")
        base = _published(self._rows.version(f"{asked.name}@{asked.ref}"))
        split = base.find_split(asked.split)
        pins = _Pins(self._rows.version)
        tables = self._feature_tables(definition, pins)
        parts = {part: split.part(part) for part in ("train", "validation", "test")}
        time = event_timestamp or base.dataset.event_time
        joined = {
            part: point_in_time_join(
                rows.to_arrow(), tables, event_timestamp=time, full_feature_names=full_feature_names
            )
            for part, rows in parts.items()
        }
        names = definition.output_names(full_feature_names=full_feature_names)
        inputs = Inputs(
            labels=f"{base.address}#{asked.split}",
            features=f"{address}@{version}",
            pins=dict(pins.used),
            names=tuple(names),
            sizes={part: rows.num_rows for part, rows in joined.items()},
        )
        return self._rows.create(name, base, joined, inputs, message)

    def materialize(self, service: str, *, like: TrainingSet | None = None) -> str:
        """Lay a service's features out for lookups; return the service's address.

        Parameters
        ----------
        service : str
            The address of a feature service.
        like : TrainingSet, optional
            Read the versions that it was made of; the newest published ones unless given.
        """
        name, definition, version = self._find(service)
        pins = _Pins(self._rows.version, _given(like))
        files = {}
        for view in {selection.view.name: selection.view for selection in definition.selections}.values():
            source = self._read_source(view, pins)
            file = materialize_view(
                source.table,
                view,
                self._storage.root / _FOLDER,
                sources=source.inputs,
                files=self._storage.objects.files,
            )
            files[view.name] = file.path.name
        address = f"{name}@{version}"
        body = {"files": files, "inputs": list(pins.versions)}
        self._materialized.put(address, body, author=self._author, created_at=self._now())
        self._load(name, version)
        return address

    def get_online_features(
        self, service: str, entities: Any, at: Any = None, *, full_feature_names: bool = False
    ) -> OnlineResult:
        """Look entities up as of an instant; now unless given.

        Raises
        ------
        NotFoundError
            When the service is not there, or not materialized.
        """
        ready = self._ready(service)
        found = self._served.get_online_features(ready, entities, at, full_feature_names=full_feature_names)
        self.lookup_logs.note(ready.partition("@")[0], found)
        return found

    def log_lookups(self, service: str, *, share: float = 1.0, dataset: str | None = None) -> str:
        """Keep what is served: from now on, in every process, a share of a service's lookups goes into a dataset.

        A row has the keys, the features as they were served, `served_at` and the service. Rows are committed in
        batches, and when the store is closed; a process that is killed loses those that wait, at most some thousand.
        Compare the dataset with the training data by a schema's `serving` and its columns' `skew`.

        Parameters
        ----------
        service : str
            The name of a feature service; all its versions.
        share : float
            Which share is kept; 0 for none.
        dataset : str, optional
            Where; ``<service>.served`` unless given.

        Returns
        -------
        str
            The name of the dataset.
        """
        name, _, _ = self._find(service)
        return self.lookup_logs.set(name, share=share, dataset=dataset)

    def get_features(
        self, features: Sequence[str], entities: Any, at: Any = None, *, full_feature_names: bool = False
    ) -> OnlineResult:
        """Look entities up in features named ``view:feature``, of whatever is materialized."""
        self._drop_forgotten()
        for address in self._materialized.list_names():
            with suppress(NotFoundError):  # one that was forgotten is none
                self._ready(address)
        return self._served.get_features(features, entities, at, full_feature_names=full_feature_names)

    def online(self, service: str) -> OnlineHandle:
        """Return a prepared handle for lookups of one entity in a hot loop."""
        return self._served.find(self._ready(service)).prepare()

    def forget_copies(self, dataset: str) -> None:
        """Remove what was laid out for lookups from a dataset; sealing calls this: the cells may lie in it."""
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
        name, _, version = self._find(service)
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
        self._served.add(self.service(address), version, readers)
        self._loaded[name, version] = document.version

    def _find(self, address: str) -> tuple[str, FeatureService, int]:
        parsed = parse_address(address)
        number = None if parsed.ref == LATEST else int(parsed.ref) if parsed.ref.isdigit() else 0
        document = self._services.find(parsed.name, number)
        if document is None or parsed.split is not None:
            raise NotFoundError(
                f"There is no feature service {address!r}.", hint=did_you_mean(address, self.list_services())
            )
        return parsed.name, FeatureService.from_dict(document.body), document.version

    def _check_source(self, view: FeatureView) -> None:
        """Refuse a view over what is not there now: a service cannot be mended once it is applied."""
        pins = _Pins(self._rows.version)
        if isinstance(view.source, SqlSource):
            for name in self._storage.engine.parse_query(view.source.query).tables:
                pins.pin(name)
            return
        names = self._rows.version(pins.pin(view.source)).arrow_schema.names
        for column in view.columns():
            if column not in names:
                raise column_not_found(column, names, where=f"{view.source!r}, the source of {view.name!r}")

    def _feature_tables(self, service: FeatureService, pins: _Pins) -> list[FeatureTable]:
        indexes = {}
        for selection in service.selections:
            view = selection.view
            if view.name not in indexes:
                indexes[view.name] = index_view(view, self._read_source(view, pins).table)
        return [FeatureTable(selection, indexes[selection.view.name]) for selection in service.selections]

    def _read_source(self, view: FeatureView, pins: _Pins) -> _Source:
        own = _Pins(pins.version, pins.given)
        if isinstance(view.source, SqlSource):
            table = self._rows.sql(view.source.query, own.pin, view.event_time)
        else:
            table = self._rows.view_rows(own.pin(view.source))
        pins.used.update(own.used)
        return _Source(table, own.versions)

    def _read_labels(self, labels: Any) -> pa.Table:
        if isinstance(labels, str):
            return self._rows.view_rows(labels)
        if isinstance(labels, SplitPart):
            return labels.to_arrow()
        source = open_source(labels)
        return pa.Table.from_batches(source.batches, source.schema)

    def _now(self) -> str:
        return format_time(self._storage.clock())


def forget_copies(storage: Storage, dataset: str, *, author: str, why: str) -> list[str]:
    """Remove what was laid out for lookups from a dataset; return the services that must be materialized anew."""
    materialized = Registry(storage.catalog, _ONLINE)
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


def _given(like: TrainingSet | None) -> Mapping[str, str]:
    if like is None:
        return {}
    if not isinstance(like, TrainingSet):
        raise UsageError(f"{type(like).__name__!r} is not a training set.", hint="Give what create_training_set gave.")
    return like.inputs.pins
