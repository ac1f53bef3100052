"""The part of the handle of features that speaks of what is served: aliases, logged lookups, what they tell."""

from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

from foldstore.datastore.catalog.change_mark import Mark
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.free_text import check_text
from foldstore.datastore.storage import Storage
from foldstore.errors import FoldstoreError
from foldstore.features.alias_registry import AliasRegistry
from foldstore.features.aliases import ServiceAliases
from foldstore.features.audit import Audit, Auditor
from foldstore.features.definitions import Definitions
from foldstore.features.feedback import Feedback
from foldstore.features.joins import HistoricalJoins
from foldstore.features.layouts import MATERIALIZED_KIND
from foldstore.features.plain_services import PlainServices
from foldstore.features.serving import OnlineServing
from foldstore.features.shadow_runner import ShadowRunner
from foldstore.features.shadows import Shadows
from foldstore.features.skew import Skew, choose_served, find_skew
from foldstore.features.sources import Rows
from foldstore.features.usage import Usage, UsageFinder, UsageQuestion
from foldstore.lookup_log import MAX_REQUEST_ID, LookupLogs
from foldstore.names import LATEST, parse_address
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.drift.adjustment import Adjustment
from foldstore.views.online.result import OnlineResult


class ServedFeatures:
    """What was served, and by which version: moved by aliases, logged, compared with training."""

    _storage: Storage
    _rows: Rows
    _author: str
    _definitions: Definitions
    _joins: HistoricalJoins
    _online: OnlineServing
    # The handle that keeps what waits, where this one is made for a single request.
    _kept_by: "ServedFeatures | None"

    @cached_property
    def lookup_logs(self) -> LookupLogs:
        """The lookups that wait to be committed."""
        if self._kept_by is not None:
            return self._kept_by.lookup_logs
        return LookupLogs(self._storage, self._rows.dataset, self._author)

    @cached_property
    def plain_services(self) -> PlainServices:
        """What answers the commonest lookups."""
        return PlainServices(self._storage.catalog.change_mark, self._online, self._is_noted)

    @cached_property
    def aliases(self) -> ServiceAliases:
        """Aliases of services: ``arrival@live`` stands for a version, and moving it moves traffic."""
        registry = AliasRegistry(self._storage, self._author)
        return ServiceAliases(registry, self._definitions, self._online.is_materialized)

    @cached_property
    def feedback(self) -> Feedback:
        """Predictions and outcomes by the ids of requests, and the labels that they make."""
        return Feedback(self._storage, self._rows, self._definitions, self.lookup_logs, self._author)

    @cached_property
    def shadows(self) -> Shadows:
        """Shadows: a version that is asked what the live one is asked, before traffic is moved to it."""
        return Shadows(
            self._storage, self._author, self._definitions, self._online.is_materialized, self._shadow_runner
        )

    @cached_property
    def _shadow_runner(self) -> ShadowRunner:
        if self._kept_by is not None:
            return self._kept_by._shadow_runner  # noqa: SLF001  # of its own class
        return ShadowRunner(self._storage, self._author, self._ask_candidate)

    @cached_property
    def _candidate_keys(self) -> dict[str, tuple[str, ...]]:
        return {}

    def _ask_candidate(
        self,
        candidate: str,
        entities: Mapping[str, list[Any]],
        live: OnlineResult,
        full_names: bool,  # noqa: FBT001
    ) -> OnlineResult:
        keys = self._candidate_keys.get(candidate)
        if keys is None:  # a numbered version keeps its keys
            keys = self._candidate_keys[candidate] = self._online.join_keys(candidate)
        asked: Any = {name: values for name, values in entities.items() if name in keys} or [{}] * len(live)
        return self._online.look_up(candidate, asked, live.at, full_feature_names=full_names)[1]

    def close(self) -> None:
        """Commit what waits: lookups that are logged, and what shadows found."""
        with suppress(FoldstoreError):  # a shadow stands in nobody's way
            self._shadow_runner.flush()
        self.lookup_logs.flush()

    def _note(
        self, name: str, found: OnlineResult, request_id: str | None, mark: Mark, *, full_feature_names: bool
    ) -> None:
        """Note a lookup where that is asked for as of a mark of the catalog; the answer is settled."""
        if request_id is not None:
            check_text(request_id, "The request id", MAX_REQUEST_ID, line=True)
        self.lookup_logs.note(name, found, mark, request_id)
        self._shadow_runner.consider(found, mark, full_feature_names=full_feature_names, request_id=request_id)

    def _is_noted(self, address: str, mark: Mark) -> bool:
        """Say whether lookups in a version of a service are noted, as of a mark of the catalog or later."""
        name = address.partition("@")[0]
        return self.lookup_logs.is_logged(name, mark) or self._shadow_runner.has_shadow(address, mark)

    def log_lookups(self, service: str, *, share: float = 1.0, dataset: str | None = None) -> str:
        """Keep what is served: from now on, in every process, a share of a service's lookups goes into a dataset.

        A row has the keys, the features as they were served, `served_at`, the service and the request's id. Rows
        are committed in batches, and when the store is closed; a process that is killed loses those that wait, at most
        some thousand. Compare the dataset with the training data by a schema's `serving` and its columns' `skew`.

        Parameters
        ----------
        service : str
            The name of a feature service; all its versions.
        share : float
            Which share is kept; 0 for none. Of requests with an id the same ones in every process, and those that a
            shadow of this share is asked; of others any.
        dataset : str, optional
            Where; ``<service>.served`` unless given.

        Returns
        -------
        str
            The name of the dataset.
        """
        name, _, _ = self._definitions.get(service)
        return self.lookup_logs.set(name, share=share, dataset=dataset)

    def usage(
        self,
        *,
        feature: str | None = None,
        dataset: str | None = None,
        column: str | None = None,
        since: Any = None,
    ) -> Usage:
        """Say which services, models, runs and lookups consume which features, and which features nobody does.

        A feature is used by whoever uses a version of a service that has it: aliases, training sets and what was made
        of them (views, runs, models that registered), materialized files, logged lookups, logged predictions. Lookups
        that were not logged, and such of features by themselves, leave no trace.

        Parameters
        ----------
        feature : str, optional
            One feature alone, ``view:feature``.
        dataset, column : str, optional
            Only features that are read from a dataset, or may be from a column of it: whom a change of it breaks.
        since : str or datetime, optional
            What was done before is no use any more: aliases and registered consumers count, whenever they were set.

        Raises
        ------
        NotFoundError
            When no service has the feature.

        Examples
        --------
        >>> import datetime as dt
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> day = dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)
        >>> _ = store.create_dataset("rides").append({"ts": [day], "trips": [10], "tips": [3]})
        >>> rides = foldstore.FeatureView("rides", source="rides", event_time="ts", features=["trips", "tips"])
        >>> _ = store.features.apply(foldstore.FeatureService("model", [rides]))
        >>> _ = store.features.apply(foldstore.FeatureService("model", [rides[["trips"]]]))
        >>> _ = store.features.materialize("model@2")
        >>> [each.feature for each in store.features.usage().unused]
        ['rides:tips']
        >>> [str(each) for each in store.features.usage(dataset="rides", column="trips").consumers]
        ['materialized model@2']
        """
        if self.lookup_logs.num_waiting:
            self.lookup_logs.flush()
        finder = UsageFinder(self._storage, self._rows, self._definitions)
        return finder.find(UsageQuestion.of(since, feature, dataset, column))

    def skew(  # one name for each thing that may be asked
        self,
        service: str,
        training: Any,
        *,
        since: Any = None,
        until: Any = None,
        policy: DriftPolicy | None = None,
        adjustment: Adjustment = "bh",
    ) -> Skew:
        """Compare what a model learnt from with what was served, feature by feature.

        A feature is flagged as a drifted column is: when the change is significant and large. Nulls are compared too:
        a lookup that found nothing is one.

        Parameters
        ----------
        service : str
            The feature service; with a version, as in ``arrival@1``, lookups of that version alone.
        training : TrainingSet, Version, View, part of a split, or str
            The reference; of a training set its train part. As text the address of a version.
        since, until : str or datetime, optional
            Only what was served in between, the first instant included.
        policy : DriftPolicy, optional
            Limits, level and metric; the defaults unless given.
        adjustment : {'bh', 'by', 'holm'}
            How p-values are adjusted for the number of features.

        Raises
        ------
        NotFoundError
            When the service's lookups are not logged, or none was.

        Examples
        --------
        >>> import datetime as dt
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> day = dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)
        >>> rides = {"driver": list(range(500)), "ts": [day] * 500, "trips": [each % 50 for each in range(500)]}
        >>> learnt = store.create_dataset("rides").append(rides)
        >>> driver = foldstore.Entity("driver", keys={"driver": "int64"})
        >>> stats = foldstore.FeatureView("stats", entity=driver, source="rides", event_time="ts", features=["trips"])
        >>> store.features.apply(foldstore.FeatureService("model", [stats]))
        'model@1'
        >>> store.features.materialize("model")
        'model@1'
        >>> store.features.log_lookups("model")
        'model.served'
        >>> asked = [{"driver": each} for each in range(500) if each % 50 < 20]  # drivers with few trips ask alone
        >>> _ = store.features.get_online_features("model", asked, at=dt.datetime(2024, 1, 2))
        >>> store.features.skew("model", learnt).skewed
        ('trips',)
        """
        name, _, _ = self._definitions.get(service)
        log = self.lookup_logs.find(name)
        self.lookup_logs.flush()
        learnt = self._rows.version(training) if isinstance(training, str) else training
        return find_skew(
            self._definitions,
            self._rows.version(log),
            service,
            learnt,
            since=since,
            until=until,
            policy=policy,
            adjustment=adjustment,
        )

    def audit(self, service: str, *, since: Any = None, until: Any = None) -> Audit:
        """Compute logged lookups again by the training join, from the versions that they were served from.

        What was served must be what the join gives for its instant, to the bit; whatever is not is shown.

        Parameters
        ----------
        service : str
            The feature service; with a version, as in ``arrival@1``, lookups of that version alone.
        since, until : str or datetime, optional
            Only what was served in between, the first instant included.

        Raises
        ------
        NotFoundError
            When the service's lookups are not logged, or none was.

        Examples
        --------
        >>> import datetime as dt
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> day = [dt.datetime(2024, 1, n, tzinfo=dt.timezone.utc) for n in range(1, 7)]
        >>> _ = store.create_dataset("rides").append({"driver": [1, 1], "ts": [day[0], day[2]], "trips": [10, 30]})
        >>> driver = foldstore.Entity("driver", keys={"driver": "int64"})
        >>> stats = foldstore.FeatureView("stats", entity=driver, source="rides", event_time="ts", features=["trips"])
        >>> store.features.apply(foldstore.FeatureService("model", [stats]))
        'model@1'
        >>> store.features.materialize("model")
        'model@1'
        >>> store.features.log_lookups("model")
        'model.served'
        >>> _ = store.features.get_online_features("model", [{"driver": 1}, {"driver": 2}], at=day[5])
        >>> print(store.features.audit("model"))
        model: 2 of 2 lookups of model.served@1 computed again, equal
        """
        name, _, number = self._definitions.get(service)
        log = self.lookup_logs.find(name)
        self.lookup_logs.flush()
        version = self._rows.version(log)
        auditor = Auditor(self._definitions, self._joins, Registry(self._storage.catalog, MATERIALIZED_KIND))
        pinned = f"{name}@{number}" if parse_address(service).ref != LATEST else None
        lookups = choose_served(version, pinned, since, until).to_arrow()
        return auditor.audit(pinned or name, version.address, lookups)
