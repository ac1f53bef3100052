"""Who consumes which feature: services, models, runs, lookups; which nobody does, since when; whom a change breaks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.lineage.recording import unrecorded
from foldstore.datastore.storage import Storage
from foldstore.errors import NotFoundError, UsageError, did_you_mean
from foldstore.features.alias_registry import AliasRegistry
from foldstore.features.definitions import Definitions
from foldstore.features.feedback import MODEL, PREDICTED_AT, quoted
from foldstore.features.service_consumers import ServiceConsumer, list_service_consumers
from foldstore.features.sources import Rows
from foldstore.lookup_log import SERVED_AT, SERVICE
from foldstore.names import parse_address
from foldstore.training_set import find_view_text
from foldstore.types import format_time
from foldstore.views.features.feature_service import FEEDBACK_KIND, LOOKUP_LOG_KIND, SERVICE_KIND, FeatureService
from foldstore.views.features.feature_view import FeatureView, SqlSource
from foldstore.views.instant import parse_instant

# What was done once; whatever else there is depends on a feature until somebody says otherwise.
_EVENTS: Final = frozenset({"training_set", "run", "materialized", "lookups", "predictions"})
# A setting alone is no use of anything: what it brings about is.
_SETTINGS: Final = frozenset({"lookup_log"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureUsage:
    """A feature, and who consumes it.

    Attributes
    ----------
    feature : str
        ``view:feature``.
    services : tuple of str
        The versions of services that have it.
    consumers : tuple of ServiceConsumer
        Who uses one of these, and when last.
    lookups : int
        How many logged lookups it was served to.
    applied_at : str
        When a service first had it.
    last_used_at : str or None
        When it was last looked up, joined, laid out or predicted from, as far as that is known.
    unused_since : str or None
        Since when nobody uses it; None where somebody does.
    """

    feature: str
    services: tuple[str, ...]
    consumers: tuple[ServiceConsumer, ...]
    lookups: int
    applied_at: str
    last_used_at: str | None
    unused_since: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name not in ("services", "consumers")}
        return {**plain, "services": list(self.services), "consumers": [each.to_dict() for each in self.consumers]}


@dataclass(frozen=True, slots=True)
class Usage:
    """Who consumes which feature.

    Attributes
    ----------
    features : tuple of FeatureUsage
        By name.
    """

    features: tuple[FeatureUsage, ...]

    @property
    def unused(self) -> tuple[FeatureUsage, ...]:
        """The features that nobody uses."""
        return tuple(each for each in self.features if each.unused_since is not None)

    @property
    def consumers(self) -> tuple[ServiceConsumer, ...]:
        """Everybody who uses one of the features: whom a change of them may break."""
        return tuple(dict.fromkeys(consumer for each in self.features for consumer in each.consumers))

    def __getitem__(self, feature: str) -> FeatureUsage:
        for each in self.features:
            if each.feature == feature:
                return each
        raise NotFoundError(
            f"No service has a feature {feature!r}.", hint=did_you_mean(feature, [e.feature for e in self.features])
        )

    def __repr__(self) -> str:
        return f"<Usage: {len(self.features)} features, {len(self.unused)} unused>"

    def __str__(self) -> str:
        lines = []
        for each in self.features:
            lines.append(f"{each.feature} in {', '.join(each.services)}: {each.lookups:,} logged lookups")
            lines += [f"  {consumer} of {consumer.service}" for consumer in each.consumers]
            lines += [f"  unused since {each.unused_since}"] if each.unused_since is not None else []
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        return {"features": [each.to_dict() for each in self.features]}


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuestion:
    """What is asked about.

    Attributes
    ----------
    since : str or None
        What was done before this instant is no use any more; in the form of `format_time`.
    feature : str or None
        One feature alone.
    dataset, column : str or None
        Only features that are read from a dataset, or from a column of it.
    """

    since: str | None = None
    feature: str | None = None
    dataset: str | None = None
    column: str | None = None

    @classmethod
    def of(cls, since: Any, feature: str | None, dataset: str | None, column: str | None) -> "UsageQuestion":
        """Check what is asked."""
        if column is not None and dataset is None:
            raise UsageError(f"Of which dataset is {column!r} a column?", hint="Name the dataset, too.")
        written = None if since is None else _text_of(parse_instant(since))
        return cls(since=written, feature=feature, dataset=dataset, column=column)


class UsageFinder:
    """Finds out who consumes which feature.

    Parameters
    ----------
    storage : Storage
        The open store.
    rows : Rows
        How the logs are read.
    definitions : Definitions
        The services.
    """

    def __init__(self, storage: Storage, rows: Rows, definitions: Definitions) -> None:
        self._storage = storage
        self._rows = rows
        self._definitions = definitions

    def find(self, question: UsageQuestion) -> Usage:
        """Answer a question; see `foldstore.features.served.ServedFeatures.usage`."""
        found: dict[str, list[tuple[str, str]]] = {}
        consumers: dict[str, list[ServiceConsumer]] = {}
        for document in Registry(self._storage.catalog, SERVICE_KIND).list_documents():
            service = FeatureService.from_dict(document.body)
            address = f"{document.name}@{document.version}"
            for feature in self._features(service, question):
                found.setdefault(feature, []).append((address, document.created_at))
        for name in {address.partition("@")[0] for places in found.values() for address, _ in places}:
            for each in self._consumers(name, question.since):
                consumers.setdefault(each.service, []).append(each)
        features = tuple(_usage_of(name, found[name], consumers, question.since) for name in sorted(found))
        if question.feature is not None and not features:
            every = self.find(UsageQuestion()).features
            raise NotFoundError(
                f"No service has a feature {question.feature!r}.",
                hint=did_you_mean(question.feature, [each.feature for each in every]),
            )
        return Usage(features)

    def _features(self, service: FeatureService, question: UsageQuestion) -> Iterator[str]:
        for selection in service.selections:
            view = selection.view
            for feature in selection.features:
                name = f"{view.name}:{feature}"
                if question.feature in (None, name) and self._reads(view, feature, question):
                    yield name

    def _reads(self, view: FeatureView, feature: str, question: UsageQuestion) -> bool:
        """Say whether a feature is read from the dataset, and may be from the column, that is asked about."""
        dataset, column = question.dataset, question.column
        if dataset is None:
            return True
        keys = {*view.columns()} - {*view.features}
        if isinstance(view.source, SqlSource):
            query = self._storage.engine.parse_query(view.source.query)
            read = query.names
            named = column is None or read is None or column.lower() in read
            return named and dataset in {parse_address(table.lower()).name for table in query.tables}
        if parse_address(view.source).name == dataset:
            return column is None or column == feature or column in keys
        text = find_view_text(self._storage, view.source)
        if text is None or not self._view_reads(view.source, dataset):
            return False
        return column is None or column == feature or column in keys or column in text

    def _view_reads(self, address: str, dataset: str) -> bool:
        with unrecorded():
            pinned = self._rows.saved_view(address)
        return pinned is not None and dataset in {parse_address(each).name for each in pinned.versions}

    def _consumers(self, name: str, since: str | None) -> Iterator[ServiceConsumer]:
        newest = max(self._definitions.list_versions(name), default=0)
        for each in list_service_consumers(self._storage, name, newest):
            if each.kind not in _SETTINGS:
                yield each
        for alias, number in AliasRegistry(self._storage, "").list(name).items():
            yield ServiceConsumer(f"{name}@{number}", "alias", alias)
        yield from self._logged(name, LOOKUP_LOG_KIND, "dataset", _Log("lookups", SERVED_AT, None), since)
        yield from self._logged(name, FEEDBACK_KIND, "predictions", _Log("predictions", PREDICTED_AT, MODEL), since)

    def _logged(self, name: str, kind: str, member: str, log: "_Log", since: str | None) -> Iterator[ServiceConsumer]:
        document = Registry(self._storage.catalog, kind).find(name)
        if document is None:
            return
        dataset = str(document.body[member])
        with unrecorded():
            try:
                self._rows.version(dataset)
            except NotFoundError:
                return
            rows = self._rows.query(log.query(dataset, since)).to_pylist()
        for row in rows:
            who = dataset if row["who"] is None else row["who"]
            yield ServiceConsumer(row["service"], log.kind, who, format_time(row["last"]), row["count"])


@dataclass(frozen=True, slots=True)
class _Log:
    """A dataset whose rows are uses, the column that says when, and the one that says by whom."""

    kind: str
    time: str
    who: str | None

    def query(self, dataset: str, since: str | None) -> str:
        who = "NULL::VARCHAR" if self.who is None else self.who
        where = "" if since is None else f"WHERE CAST({self.time} AS TIMESTAMPTZ) >= TIMESTAMPTZ '{since}'"
        return (
            f"SELECT {SERVICE} AS service, {who} AS who, count(*) AS count, "
            f"CAST(max({self.time}) AS TIMESTAMPTZ) AS last FROM {quoted(dataset)} {where} GROUP BY 1, 2 ORDER BY 1, 2"
        )


def _usage_of(
    name: str,
    places: Sequence[tuple[str, str]],
    consumers: Mapping[str, Sequence[ServiceConsumer]],
    since: str | None,
) -> FeatureUsage:
    of_it = [consumer for address, _ in places for consumer in consumers.get(address, ())]
    applied = min(created for _, created in places)
    events = [consumer.at for consumer in of_it if consumer.kind in _EVENTS and consumer.at]
    used = [consumer for consumer in of_it if consumer.kind not in _EVENTS or since is None or consumer.at >= since]
    last = max(events, default=None)
    return FeatureUsage(
        feature=name,
        services=tuple(address for address, _ in places),
        consumers=tuple(sorted(used)),
        lookups=sum(consumer.count for consumer in used if consumer.kind == "lookups"),
        applied_at=applied,
        last_used_at=last,
        unused_since=None if used else (last or applied),
    )


def _text_of(instant: int) -> str:
    """Write an instant as the catalog writes times, so that texts compare as instants do."""
    return f"{np.datetime64(instant, 'ns').astype('datetime64[us]')}Z"
