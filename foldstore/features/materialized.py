"""The part of the handle of features that lays them out for lookups: materialized, pushed over, looked up."""

from collections.abc import Sequence
from typing import Any

from foldstore.datastore.storage import Storage
from foldstore.features.definitions import Definitions
from foldstore.features.indexes import FeatureIndexes
from foldstore.features.layouts import Layouts
from foldstore.features.materializing import Inputs, Materializer, Progress
from foldstore.features.online_status import ServedView, list_served_views
from foldstore.features.push import Push, Pusher, Target
from foldstore.features.serving import FreshHandle, OnlineServing
from foldstore.features.sources import Rows
from foldstore.training_set import TrainingSet
from foldstore.views.online.result import OnlineResult
from foldstore.views.transforms.transform import Tally


class MaterializedFeatures:
    """What is laid out for lookups, and pushed over it."""

    _storage: Storage
    _rows: Rows
    _author: str
    _definitions: Definitions
    _indexes: FeatureIndexes
    _layouts: Layouts
    _online: OnlineServing

    @property
    def _pusher(self) -> Pusher:
        return Pusher(self._rows, self._definitions, self._layouts, self._storage.clock)

    def materialize(
        self,
        service: str,
        *,
        like: TrainingSet | None = None,
        full: bool = False,
        progress: Progress | None = None,
    ) -> str:
        """Lay a service's features out for lookups; return the service's address.

        Where a view reads a dataset, only what changed since the version that is served is laid over it: late and
        corrected rows too. Nothing is done when nothing changed. Lookups answer from what was there before until all
        views are finished; a run that was killed is taken up by the next one.

        Parameters
        ----------
        service : str
            The address of a feature service.
        like : TrainingSet, optional
            Read the versions that it was made of; the newest published ones unless given.
        full : bool
            Lay everything out anew.
        progress : callable, optional
            Told the views that are finished and the views in all.
        """
        made = Materializer(
            self._storage, Inputs(self._rows, self._definitions, self._indexes), self._layouts, self._author
        )
        return made.materialize(service, like, full=full, progress=progress).address

    def push(self, view: str, rows: Any, *, to: Target = "online", message: str = "") -> Push:
        """Push rows to a feature view: they are looked up from now on, or kept in its dataset, or both.

        Of an entity the row with the greatest event time counts, then created time, then what was written last: a late
        row never takes the place of a newer one. Every row is checked before one is written. Rows that were pushed
        online stay until a materialized version is as new as they are.

        Parameters
        ----------
        view : str
            The name of a feature view: of every service that is materialized with it, each gets the rows.
        rows : object
            Keys, event time, created time if the view has one, features: a table, a DataFrame, a dict of lists or a
            list of dicts.
        to : {'online', 'offline', 'online_and_offline'}
            Looked up at once; or a new version of the dataset that the view reads, judged by its schema; or both.
        message : str
            Kept with the version.

        Raises
        ------
        SchemaMismatchError
            When a column is missing or unknown, a value does not fit its type, or a key is null.
        RefusedError
            With the code ``version-quarantined`` when the dataset's schema refuses the rows, and
            ``push-not-offline`` when the view reads no dataset of its own.

        Examples
        --------
        >>> import datetime as dt
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> _ = store.create_dataset("rides").append({"driver": [1], "ts": [dt.datetime(2024, 1, 1)], "trips": [10]})
        >>> driver = foldstore.Entity("driver", keys={"driver": "int64"})
        >>> stats = foldstore.FeatureView("stats", entity=driver, source="rides", event_time="ts", features=["trips"])
        >>> store.features.materialize(store.features.apply(foldstore.FeatureService("model", [stats])))
        'model@1'
        >>> store.features.push("stats", [{"driver": 1, "ts": "2024-01-02T00:00:00Z", "trips": 11}]).services
        ('model@1',)
        >>> store.features.push("stats", [{"driver": 1, "ts": "2023-12-31T00:00:00Z", "trips": 9}]).rows
        1
        >>> store.features.get_online_features("model", [{"driver": 1}]).to_dict()["trips"]
        [11]
        """
        return self._pusher.push(view, rows, to, message=message)

    def delete_online(self, view: str, entities: Any, *, at: Any = None) -> Push:
        """Answer nothing for entities from an instant on, until a newer row of theirs comes.

        The dataset keeps its rows; `Dataset.delete` removes them there.

        Parameters
        ----------
        view : str
            The name of a feature view.
        entities : list of dict, or dict of list
            Their keys.
        at : str, datetime or int, optional
            The instant; now unless given.
        """
        return self._pusher.delete(view, entities, at)

    def online_status(self, service: str | None = None) -> list[ServedView]:
        """List what is served, view by view: the versions, the rows, what was pushed since."""
        return list_served_views(self._layouts, service)

    def get_features(
        self, features: Sequence[str], entities: Any, at: Any = None, *, full_feature_names: bool = False
    ) -> OnlineResult:
        """Look entities up in features named ``view:feature``, of whatever is materialized."""
        return self._online.look_up_features(features, entities, at, full_feature_names=full_feature_names)

    def transform_counts(self, service: str) -> list[Tally]:
        """Return what a service's transform imputed, clipped or did not know, of what this process served."""
        return self._online.transform_counts(service)

    def online(self, service: str) -> FreshHandle:
        """Return a prepared handle for lookups of one entity in a hot loop."""
        return self._online.open_handle(service)

    def forget_copies(self, dataset: str) -> None:
        """Remove what was laid out for lookups from a dataset; sealing calls this: the cells may lie in it."""
        self._online.forget_copies(dataset)
