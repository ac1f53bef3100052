"""The handle of a store; `foldstore.connect` opens one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import pyarrow as pa

from foldstore import split_address
from foldstore.catalog_tables import CatalogTable, is_catalog_table, open_catalog_table
from foldstore.consumers import Consumer, list_all_consumers, register_own
from foldstore.dataset import Dataset, check_declared
from foldstore.datastore.arrow_schema import check_columns
from foldstore.datastore.catalog.commits import discard_empty
from foldstore.datastore.catalog.records import DatasetRecord
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.key_policy import check_key_policy
from foldstore.datastore.lineage.recording import unrecorded
from foldstore.datastore.query_limits import QueryLimits
from foldstore.datastore.storage import Storage, new_id
from foldstore.datastore.verify.run import VerifyOptions, verify_storage
from foldstore.datastore.verify.verification import Verification
from foldstore.description import check_search
from foldstore.errors import AlreadyExistsError, NotFoundError, RefusedError, UsageError, did_you_mean
from foldstore.features.handle import Features
from foldstore.features.sources import Rows
from foldstore.lineage import Lineage, open_lineage
from foldstore.lookup_log import SERVED_AT
from foldstore.monitor import Monitors
from foldstore.names import Address, check_name, parse_address
from foldstore.open_run import OpenRun, Readers
from foldstore.outcomes import OutcomeReader
from foldstore.pools import Pools
from foldstore.run import Runs
from foldstore.store_backup import StoreBackup
from foldstore.store_tiers import StoreTiers
from foldstore.store_views import StoreViews
from foldstore.training_set import PROPERTY, Inputs, TrainingSet, read_training_set
from foldstore.transforms import Transforms
from foldstore.types import Clock, Progress, format_time
from foldstore.upkeep import StoreUpkeep
from foldstore.version import Version
from foldstore.views.sql import SqlResult, run_sql
from foldstore.views.view import View

if TYPE_CHECKING:
    from foldstore.datastore.guard import ReadGuard


class Store(StoreBackup, StoreTiers, StoreUpkeep, StoreViews):
    """One catalog and one object area; `connect` opens it.

    Examples
    --------
    >>> import foldstore
    >>> store = foldstore.connect(folder)
    >>> _ = store.create_dataset("cities").append({"city": ["Oslo", "Bern"], "people": [709_000, 134_000]})
    >>> store.sql("SELECT city FROM cities WHERE people > 500000").rows()
    [('Oslo',)]
    """

    def __init__(self, storage: Storage, author: str, *, role: Literal["steward"] | None = None) -> None:
        self._storage = storage
        self._author = author
        self._role = role
        self._kept_by: Callable[[], Features] | None = None

    def __repr__(self) -> str:
        return f"<Store {str(self._storage.root)!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Commit the lookups that wait to be logged; close files and connections. Tables that were read stay valid."""
        try:
            if "features" in self.__dict__:
                self.features.close()
        finally:
            self._storage.close()

    @property
    def root(self) -> Path:
        """The store's folder."""
        return self._storage.root

    @property
    def author(self) -> str:
        """Who commits."""
        return self._author

    @property
    def clock(self) -> Clock:
        """What time it is, for whatever asks."""
        return self._storage.clock

    def registry(self, kind: str) -> Registry:
        """Return the documents of a kind, for the layers above: tokens, roles."""
        return Registry(self._storage.catalog, kind)

    def create_dataset(
        self,
        name: str,
        *,
        key: Sequence[str] = (),
        event_time: str | None = None,
        derive: Mapping[str, str] | None = None,
        key_policy: str = "error",
    ) -> Dataset:
        """Make an empty dataset.

        Parameters
        ----------
        name : str
            1 to 100 of ``a-z 0-9 _ . -``, beginning with a letter or a digit.
        key : sequence of str
            Columns whose values are unique together in every version.
        event_time : str, optional
            The column that says when a row's event happened; it may be derived.
        derive : mapping of str to str
            Columns that are computed by SQL expressions whenever rows are appended.
        key_policy : {'error', 'warn', 'off'}
            What a commit does about key values that occur twice; a schema that is set judges them in any case.

        Raises
        ------
        InvalidNameError
            When the name is outside the grammar.
        AlreadyExistsError
            When a dataset or a view has the name.
        """
        check_name(name)
        columns = check_declared(key, event_time, derive)
        if self.saved_views.has(name):
            raise AlreadyExistsError(f"There is already a view {name!r}.", hint="Datasets and views share their names.")
        check_columns(pa.schema([pa.field(column, pa.null()) for column in columns] or [pa.field("any", pa.null())]))
        record = DatasetRecord(
            id=new_id(),
            name=name,
            key=tuple(key),
            event_time=event_time,
            derive=dict(derive or {}),
            created_at=format_time(self._storage.clock()),
            key_policy=check_key_policy(key_policy),
        )
        self._storage.catalog.create_dataset(record)
        return Dataset(self._storage, record, self._author, views=self)

    def dataset(self, name: str) -> Dataset:
        """Return a dataset by name.

        Raises
        ------
        NotFoundError
            When there is none; the error says which there are.
        """
        record = self._storage.catalog.find_dataset(check_name(name))
        if record is None:
            raise self._not_found(name)
        return Dataset(self._storage, record, self._author, views=self)

    def remove_empty_dataset(self, name: str) -> None:
        """Remove a dataset that never had a version; one that had any is left alone.

        Raises
        ------
        UsageError
            When it has a version.
        """
        dataset = self.dataset(name)
        if not discard_empty(self._storage.catalog, dataset.record.id):
            raise UsageError(f"{name!r} has versions: it is not removed.", hint="Versions are kept for ever.")

    def datasets(self, *, search: str | None = None, tag: str | None = None) -> list[Dataset]:
        """List the datasets by name.

        Parameters
        ----------
        search : str, optional
            Those with this text, as it is, in their name, description, owner, tags or columns; case does not matter.
        tag : str, optional
            Those that have a tag.
        """
        check_search(search, tag)
        records = self._storage.catalog.list_datasets()
        found = [Dataset(self._storage, record, self._author, views=self) for record in records]
        return [dataset for dataset in found if dataset.matches(search, tag)]

    def version(self, address: str) -> Version:
        """Return the version at an address, such as ``flights@3`` or ``flights``.

        Raises
        ------
        NotFoundError
            When there is none.
        """
        parsed = _without_split(parse_address(address))
        return self.dataset(parsed.name).version(parsed.ref)

    def split(self, address: str) -> Any:
        """Return the split, the folds or the fold at an address: ``flights@5#by_month``, ``flights@5#cv-3``.

        Returns
        -------
        Split or Folds
            `foldstore.folds.Folds` for folds.

        Raises
        ------
        NotFoundError
            When there is none.
        """
        return split_address.find_sharing(address, self._version_at)

    def sql(
        self,
        query: str,
        params: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        memory_limit: str | None = None,
        threads: int | None = None,
        timeout: float | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> SqlResult:
        """Ask SQL over the versions and views that the query names.

        Parameters
        ----------
        query : str
            One query that only reads. ``flights`` is the newest published version; addresses are quoted:
            ``"flights@3"``.
        params : sequence or mapping, optional
            Values for ``?`` or ``$name``.
        memory_limit : str, optional
            What this query may use, such as ``2GB``; as the store is set unless given.
        threads : int, optional
            How many threads it may use.
        timeout : float, optional
            How many seconds it may work; then it is stopped.
        progress : callable, optional
            Told the share of the rows that were read, from 0 to 1, while the query runs.

        Raises
        ------
        InvalidQueryError
            When it does not parse, is no query, or does not fit the tables; with the code ``query-timeout`` or
            ``out-of-memory`` when it met a limit.
        NotFoundError
            When it names what does not exist.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> _ = store.create_dataset("cities").append({"city": ["Oslo", "Bern"], "people": [709_000, 134_000]})
        >>> store.sql('SELECT city FROM "cities@1" WHERE people < $most', {"most": 500_000}, timeout=10).rows()
        [('Bern',)]
        """
        limits = QueryLimits(memory_limit, threads, timeout, progress)
        return run_sql(query, params, self.open_table, engine=self._storage.engine, limits=limits)

    def acting_as(
        self, author: str, *, guard: "ReadGuard | None" = None, role: Literal["steward"] | None = None
    ) -> "Store":
        """Return a handle of the same store for somebody else, who reads what a guard permits.

        It shares files, connections and the lookups that wait to be logged with this one, and ends with it.
        """
        made = Store(replace(self._storage, guard=guard or self._storage.guard), author, role=role)
        made._kept_by = lambda: self.features
        return made

    def interrupt(self) -> None:
        """Stop the queries that are running in other threads; each of them raises an error."""
        self._storage.engine.interrupt()

    def open_table(self, address: str) -> View | CatalogTable:
        """Open what SQL names; a version that is quarantined is read by whoever names it."""
        if is_catalog_table(address):
            if self._storage.guard is not None:
                raise RefusedError(
                    f"{address!r} tells of everything in the store; not all of it may be read here.",
                    hint="Ask who administers the store for a token of all names.",
                )
            return open_catalog_table(self._storage, address)
        return self.view(address, quarantined=True)

    @cached_property
    def pools(self) -> Pools:
        """Test pools: sealed rows that answer pass or fail."""
        return Pools(self._storage, self._author, self.features.forget_copies, steward=self._role is not None)

    @cached_property
    def features(self) -> Features:
        """Feature services: applied, joined point in time, served."""
        outcomes = OutcomeReader(self._storage, self.version, self.view)
        rows = Rows(
            version=self.version,
            view_rows=self._read_rows,
            stream=self._stream_rows,
            sql=outcomes.ask,
            query=lambda query: self.sql(query).to_arrow(),
            schema=lambda address: self.view(address).arrow_schema,
            saved_view=self._pin_saved_view,
            create=self._keep_training_set,
            dataset=self._served_dataset,
            append=lambda name, table, message: self.dataset(name).append(table, message=message),
        )
        return Features(self._storage, rows, self._author, kept_by=None if self._kept_by is None else self._kept_by())

    @cached_property
    def transforms(self) -> Transforms:
        """Transforms of features: fitted on a train part, kept, judged, applied."""
        return Transforms(self._storage, self._version_at, self.view, self._author)

    @cached_property
    def monitors(self) -> Monitors:
        """Monitors: what looks at new versions as they come."""
        return Monitors(self._storage, self._author, self.version)

    def run(
        self,
        name: str,
        *,
        params: Mapping[str, Any] | None = None,
        message: str = "",
        repeats: str | None = None,
    ) -> OpenRun:
        """Return a run to enter: what the block looks up and commits is its lineage; see `foldstore.run.Runs.start`."""
        return self.runs.start(name, params=params, message=message, repeats=repeats)

    @cached_property
    def runs(self) -> Runs:
        """The runs: listed, repeated, recorded by a decorator."""
        return Runs(self._storage, self._author, Readers(self.version, self.view, self.training_set))

    def lineage(self, address: str) -> Lineage:
        """Return what a version, a view or a run came from, and what came from it.

        Raises
        ------
        NotFoundError
            When there is no such thing.
        """
        return open_lineage(self._storage, address, self.version)

    def consumers(self, kind: str | None = None, name: str | None = None) -> list[Consumer]:
        """List who depends on versions: all, or those of a kind or a name; `Version.consumers` registers them."""
        return list_all_consumers(self._storage, kind, name)

    def training_set(self, address: str) -> TrainingSet:
        """Return the training set at an address."""
        return read_training_set(self.version(address))

    def _read_rows(self, address: str) -> pa.Table:
        return self.view(address).to_arrow()

    def _stream_rows(self, address: str) -> pa.RecordBatchReader:
        view = self.view(address)
        return view.to_arrow().to_reader() if view.is_endless else view.to_reader()  # a table refuses to be endless

    def _served_dataset(self, name: str, key: Sequence[str] = (), event_time: str = SERVED_AT) -> Dataset:
        if self._storage.catalog.find_dataset(name) is None:
            return self.create_dataset(name, key=key, event_time=event_time)
        return self.dataset(name)

    def _dataset_like(self, base: Version, name: str) -> Dataset:
        """Return the dataset of a name, with the key and event time of another one; made when it is missing."""
        key, event_time = base.dataset.key, base.dataset.event_time
        there = self._storage.catalog.find_dataset(name)
        if there is None:
            return self.create_dataset(name, key=key, event_time=event_time)
        if (there.key, there.event_time) != (key, event_time):
            raise AlreadyExistsError(
                f"There is already a dataset {name!r}, with another key or event time than {base.dataset.name!r}.",
                hint="Choose another name for the training set.",
                name=name,
            )
        return self.dataset(name)

    def _keep_training_set(
        self, name: str, base: Version, joined: Mapping[str, pa.Table], inputs: Inputs, message: str
    ) -> TrainingSet:
        # An overwrite is refused where somebody else was faster, an append would add to what they made.
        version = self._dataset_like(base, name).overwrite(
            pa.concat_tables(joined.values()),
            message=message or f"{inputs.features} at {inputs.labels}",
            properties={PROPERTY: inputs.to_dict()},
        )
        with unrecorded():  # they were noted when the features were read
            read = [self.version(each).version_id for each in inputs.versions]
        register_own(self._storage, [base.version_id, *read], PROPERTY, version.address, self._author)
        return read_training_set(version)

    def verify(
        self,
        progress: Progress | None = None,
        *,
        objects: bool | float = True,
        repair: bool = False,
        repair_from: str | Path | None = None,
    ) -> Verification:
        """Compare everything that is kept with what was written; changes nothing unless asked to repair.

        Parameters
        ----------
        progress : callable, optional
            Told the bytes read and the bytes in all.
        objects : bool or float
            Whether objects are read: all of them, none (presence and size alone), or this share, drawn anew.
        repair : bool
            Do what cannot lose anything: write commit objects anew from a whole catalog, clear what dead commits
            staged, measure objects again whose bytes are proven by their hash.
        repair_from : str or pathlib.Path, optional
            Repair, and take damaged objects from this backup when they have the right hash there.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> _ = store.create_dataset("cities").append({"city": ["Oslo", "Bern"]})
        >>> store.verify().whole
        ('cities@1',)
        """
        source = Path(repair_from) if repair_from is not None else None
        options = VerifyOptions(
            objects=objects, repair=repair or source is not None, repair_from=source, actor=self._author
        )
        return verify_storage(self._storage, progress, options)

    def _not_found(self, name: str) -> NotFoundError:
        if self.saved_views.has(name):
            return NotFoundError(
                f"{name!r} is a saved view, not a dataset.", hint=f"store.view({name!r}) opens it.", name=name
            )
        names = [dataset.name for dataset in self._storage.catalog.list_datasets()] + self.views()
        return NotFoundError(f"There is no dataset or view {name!r}.", hint=did_you_mean(name, names), name=name)


def _without_split(address: Address) -> Address:
    if address.split is not None:
        raise UsageError(f"{address} is a part of a version.", hint="store.split() and store.view() take it.")
    return address
