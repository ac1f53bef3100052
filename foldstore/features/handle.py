"""The handle of a store's features: services applied, joined point in time, made into training sets, served."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from foldstore.datastore.storage import Storage
from foldstore.errors import UsageError
from foldstore.features.definition_file import read_definitions
from foldstore.features.definitions import Definitions
from foldstore.features.indexes import FeatureIndexes
from foldstore.features.joins import HistoricalJoins
from foldstore.features.layouts import Layouts
from foldstore.features.materialized import MaterializedFeatures
from foldstore.features.plan import ApplyPlan, Planner
from foldstore.features.reproduce import Reproduction, reproduce
from foldstore.features.served import ServedFeatures
from foldstore.features.serving import OnlineServing
from foldstore.features.sources import Rows
from foldstore.features.training_sets import TrainingSets
from foldstore.training_set import TrainingSet, read_training_set
from foldstore.views.features.definition_set import DefinitionSet
from foldstore.views.features.feature_service import FeatureService
from foldstore.views.features.join import JoinOptions
from foldstore.views.features.service_diff import ServiceChange
from foldstore.views.online.result import OnlineResult


class Features(MaterializedFeatures, ServedFeatures):
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

    def __init__(self, storage: Storage, rows: Rows, author: str, *, kept_by: "Features | None" = None) -> None:
        self._kept_by = kept_by
        self._storage = storage
        self._rows = rows
        self._author = author
        self._definitions = Definitions(storage, rows, author)
        self._planner = Planner(storage, self._definitions, self._definitions.find_types)
        self._indexes = FeatureIndexes(storage, rows)
        self._joins = HistoricalJoins(rows, self._definitions, self._indexes)
        self._training_sets = TrainingSets(storage, rows, self._joins)
        self._layouts = Layouts(storage, self._definitions)
        self._online = OnlineServing(storage, self._definitions, self._layouts, author)

    def __repr__(self) -> str:
        return f"<Features: {', '.join(self.list_services()) or 'none applied'}>"

    def apply(self, service: FeatureService, *, message: str = "", allow_breaking: bool = False) -> str:
        """Keep a feature service as a new version; an equal one stays what it is. Return its address.

        Parameters
        ----------
        service : FeatureService
            The definition.
        message : str
            Why.
        allow_breaking : bool
            Whether a change is applied that breaks who uses an earlier version.

        Raises
        ------
        RefusedError
            With the code ``breaks-consumers``, when somebody would not find in it what it uses; see `plan`.
        """
        if not isinstance(service, FeatureService):
            raise UsageError(f"{type(service).__name__!r} is not a feature service.", hint="Apply a FeatureService.")
        return self._apply(DefinitionSet.of([service]), message, allow_breaking=allow_breaking)[0]

    def apply_file(
        self, definitions: str | Path | DefinitionSet, *, message: str = "", allow_breaking: bool = False
    ) -> list[str]:
        """Apply the services of a file, all or none; return their addresses.

        Parameters
        ----------
        definitions : str, pathlib.Path or DefinitionSet
            A file in YAML, JSON or Python, which is read and not run; or what `read_definitions` gave.

        Raises
        ------
        InvalidDefinitionError
            When the file says what cannot be.
        RefusedError
            With the code ``breaks-consumers``.
        """
        return self._apply(_definitions(definitions), message, allow_breaking=allow_breaking)

    def plan(self, definitions: FeatureService | str | Path | DefinitionSet) -> ApplyPlan:
        """Say what applying a service or a file would do, and whom it would break; nothing is done.

        Examples
        --------
        >>> import datetime as dt
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> _ = store.create_dataset("rides").append({"ts": [dt.datetime(2024, 1, 1)], "trips": [10], "tips": [1.5]})
        >>> rides = foldstore.FeatureView("rides", source="rides", event_time="ts", features=["trips", "tips"])
        >>> store.features.apply(foldstore.FeatureService("model", [rides]))
        'model@1'
        >>> store.features.materialize("model@1")
        'model@1'
        >>> print(store.features.plan(foldstore.FeatureService("model", [rides[["trips"]]])))
        ~ model@2
            ! rides__tips is removed
            breaks materialized model@1 (of model@1): rides__tips is removed
        """
        return self._planner.plan(_definitions(definitions))

    def diff(self, before: str, after: str) -> tuple[ServiceChange, ...]:
        """List what changed from one applied service to another, and what of it breaks whoever uses the first."""
        return self._planner.compare(before, after)

    def _apply(self, definitions: DefinitionSet, message: str, *, allow_breaking: bool) -> list[str]:
        plan = self._planner.plan(definitions)
        if not allow_breaking:
            plan.refuse_breaking()
        after = {each.name: each.before for each in plan.services}
        return self._definitions.apply(definitions.services, after, message)

    def list_services(self) -> list[str]:
        """List the addresses of the services, every version."""
        return self._definitions.list_services()

    def service(self, address: str) -> FeatureService:
        """Return a service as it was applied.

        Raises
        ------
        NotFoundError
            When there is none.
        """
        return self._definitions.get(address)[1]

    def get_historical_features(  # noqa: PLR0913  # one name for each thing that may be asked
        self,
        labels: Any = None,
        service: str | None = None,
        *,
        event_timestamp: str | None = None,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        allow_exact_match: bool = True,
        start: Any = None,
        end: Any = None,
        like: TrainingSet | None = None,
    ) -> pa.Table:
        """Join features to rows as they were known at each row's own time.

        Parameters
        ----------
        labels : object, optional
            Keys, a time, whatever else: an address, a query, a DataFrame, anything that speaks Arrow, or a dict of
            lists. Without any, every entity asks at every instant at which something new was known of it.
        service : str
            The address of a feature service.
        event_timestamp : str, optional
            The column of asking times: ``event_timestamp``, or the only column of times, unless given.
        full_feature_names : bool
            Name the features ``view__feature``.
        filter_by_created_timestamp : bool
            Only join what had been written down by each row's time: a correction that came later is not seen.
        allow_exact_match : bool
            Whether a row stamped exactly at the asking time is seen; it must not be where labels and features come of
            the same events.
        start, end : str, datetime or int, optional
            Without labels: the first and the last instant of their history.
        like : TrainingSet, optional
            Read the versions that it was made of; the newest published ones unless given.

        Returns
        -------
        pyarrow.Table
            The rows in their order and types, times in UTC, then the features; n rows in, n rows out.

        Examples
        --------
        >>> import datetime as dt
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> days = [dt.datetime(2024, 1, n) for n in (1, 3)]
        >>> _ = store.create_dataset("rides").append({"driver": [1, 1], "ts": days, "trips": [10, 30]})
        >>> driver = foldstore.Entity("driver", keys={"driver": "int64"})
        >>> stats = foldstore.FeatureView("stats", entity=driver, source="rides", event_time="ts", features=["trips"])
        >>> _ = store.features.apply(foldstore.FeatureService("model", [stats]))
        >>> labels = "SELECT 1::BIGINT AS driver, TIMESTAMP '2024-01-03' AS event_timestamp"
        >>> store.features.get_historical_features(labels, "model")["trips"].to_pylist()
        [30]
        >>> store.features.get_historical_features(labels, "model", allow_exact_match=False)["trips"].to_pylist()
        [10]
        >>> store.features.get_historical_features(service="model", end="2024-01-02")["trips"].to_pylist()
        [10]
        """
        if service is None:
            raise UsageError("No feature service is named.", hint='get_historical_features(labels, "arrival@1")')
        options = JoinOptions(
            event_timestamp=event_timestamp,
            full_feature_names=full_feature_names,
            filter_by_created_timestamp=filter_by_created_timestamp,
            allow_exact_match=allow_exact_match,
        )
        return self._joins.join(labels, service, options, start=start, end=end, like=like)

    def create_training_set(
        self,
        name: str,
        *,
        labels: str,
        features: str,
        event_timestamp: str | None = None,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        allow_exact_match: bool = True,
        message: str = "",
    ) -> TrainingSet:
        """Join features to the rows of a split and commit the result, its split and its lineage.

        A training set is a dataset. Made again of newer labels, features or sources, under the same name, it is its
        next version, and the rows that are there still are in the same part. Made again of the very same, it is the
        version that was made of that.

        Parameters
        ----------
        name : str
            Its dataset, new or that of the versions before.
        labels : str
            The address of a split: ``flights@5#by_month``.
        features : str
            The address of a feature service.
        event_timestamp, full_feature_names, filter_by_created_timestamp, allow_exact_match
            As for `get_historical_features`; the time is the event time of the labels unless named.

        Raises
        ------
        AlreadyExistsError
            When the name is that of another dataset; or, with the code ``other-training-set``, of a training set of
            another split, or of another service.

        Examples
        --------
        >>> import datetime as dt
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> days = [dt.datetime(2024, 1, n, tzinfo=dt.timezone.utc) for n in (1, 2, 3)]
        >>> rides = store.create_dataset("rides")
        >>> _ = rides.append({"driver": [1], "ts": days[:1], "trips": [10]})
        >>> driver = foldstore.Entity("driver", keys={"driver": "int64"})
        >>> stats = foldstore.FeatureView("stats", entity=driver, source="rides", event_time="ts", features=["trips"])
        >>> _ = store.features.apply(foldstore.FeatureService("model", [stats]))
        >>> asks = store.create_dataset("asks", key=["id"], event_time="asked")
        >>> _ = asks.append({"id": [1, 2], "driver": [1, 1], "asked": days[1:]}).split("s", train=0.5, test=0.5)
        >>> make = lambda: store.features.create_training_set("training", labels="asks#s", features="model")
        >>> make().address, make().address
        ('training@1', 'training@1')
        >>> _ = rides.append({"driver": [1], "ts": days[1:2], "trips": [30]})
        >>> make().address, make().inputs.versions
        ('training@2', ('rides@2',))
        """
        options = JoinOptions(
            event_timestamp=event_timestamp,
            full_feature_names=full_feature_names,
            filter_by_created_timestamp=filter_by_created_timestamp,
            allow_exact_match=allow_exact_match,
        )
        return self._training_sets.create(name, labels=labels, features=features, options=options, message=message)

    def reproduce(self, training: TrainingSet | str) -> Reproduction:
        """Make a training set again from its definition and pinned inputs, and compare it with what was kept.

        Nothing is written. What its inputs have become since does not matter: they are pinned.

        Parameters
        ----------
        training : TrainingSet or str
            It, or its address.

        Raises
        ------
        UnreadableError
            When rows of an input are gone, by retention (code ``inputs-expired``) or by right (``inputs-erased``).

        Examples
        --------
        >>> import datetime as dt
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> days = [dt.datetime(2024, 1, n, tzinfo=dt.timezone.utc) for n in (1, 2, 3)]
        >>> rides = store.create_dataset("rides")
        >>> _ = rides.append({"driver": [1, 1], "ts": days[:2], "trips": [10, 30]})
        >>> driver = foldstore.Entity("driver", keys={"driver": "int64"})
        >>> stats = foldstore.FeatureView("stats", entity=driver, source="rides", event_time="ts", features=["trips"])
        >>> _ = store.features.apply(foldstore.FeatureService("model", [stats]))
        >>> asks = store.create_dataset("asks", key=["id"], event_time="asked")
        >>> split = asks.append({"id": [1, 2], "driver": [1, 1], "asked": days[1:]}).split("s", train=0.5, test=0.5)
        >>> training = store.features.create_training_set("training", labels="asks@1#s", features="model@1")
        >>> _ = rides.append({"driver": [1], "ts": days[:1], "trips": [99]})  # it came too late for the training set
        >>> store.features.reproduce("training@1").equal
        True
        """
        if isinstance(training, str):
            training = read_training_set(self._rows.version(training))
        return reproduce(self._storage, self._joins, training, self._rows.version)

    def get_online_features(
        self,
        service: str,
        entities: Any,
        at: Any = None,
        *,
        full_feature_names: bool = False,
        request_id: str | None = None,
    ) -> OnlineResult:
        """Look entities up as of an instant; now unless given.

        Parameters
        ----------
        service : str
            The address of a feature service: a version, ``arrival`` for the newest, or an alias, ``arrival@live``.
        entities : list of dict, or dict of list
            The keys, and what the request brings along.
        at : str, datetime or int, optional
            The instant.
        full_feature_names : bool
            Name the features ``view__feature``.
        request_id : str, optional
            What the caller names this request by. Where lookups are logged it is kept with them, and predictions and
            outcomes that name it come back as labels; see `feedback`.

        Returns
        -------
        OnlineResult
            Its `service` is the version that answered.

        Raises
        ------
        NotFoundError
            When the service is not there, or not materialized.
        """
        name, found, mark = self._online.look_up(service, entities, at, full_feature_names=full_feature_names)
        self._note(name, found, request_id, mark, full_feature_names=full_feature_names)
        return found

    def close(self) -> None:
        """Commit what waits: lookups that are logged, and what shadows found; let go of pushed rows."""
        try:
            ServedFeatures.close(self)
        finally:
            self._layouts.close()


def _definitions(given: FeatureService | str | Path | DefinitionSet) -> DefinitionSet:
    if isinstance(given, FeatureService):
        return DefinitionSet.of([given])
    if isinstance(given, DefinitionSet):
        return given
    if not isinstance(given, str | Path):
        raise UsageError(f"{type(given).__name__!r} is no file of definitions.", hint="Give the path of one.")
    return read_definitions(given)
