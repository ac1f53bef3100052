"""What Prometheus asks a server: how many requests, how long they took, what lookups missed, what is left of pools.

Labels are routes, statuses, services and pools: never keys, names of rows or tokens.
"""

import os
import time
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

from foldstore.api.lookup import OnlineFeatures
from foldstore.api.request_record import RequestRecord
from foldstore.views.online.reader import Found
from foldstore.views.online.result import OnlineResult
from foldstore.views.online.status import FeatureStatus

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
# Where the processes of one server write what they counted; prometheus_client reads the name when it is imported.
SHARED_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
_NOW_SECONDS: Final = 60.0  # a lookup further from now says nothing of how old the newest values are
_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counts what a server does.

    Parameters
    ----------
    budgets : callable, optional
        Gives the steps that are left of each pool, when asked.
    """

    def __init__(self, budgets: Callable[[], Mapping[str, int]] | None = None) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "foldstore_requests", "Requests answered.", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = _Seconds(
            "foldstore_request_seconds",
            "Until the answer was sent.",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._values = Counter(
            "foldstore_lookup_entities", "Entities of lookups, by what was found.", ["service", "status"],
            registry=self._registry,
        )  # fmt: skip
        self._age = Gauge(
            "foldstore_lookup_age_seconds", "How old the newest value of the last answer of now was.", ["service"],
            registry=self._registry, multiprocess_mode="mostrecent",
        )  # fmt: skip
        self._budgets = budgets
        # A look into a dict takes less than to ask for labels.
        self._counts: dict[tuple[str, FeatureStatus], Counter] = {}
        self._ages: dict[str, Gauge] = {}
        self._known: dict[tuple[str, str, int], tuple[Counter, _Seconds]] = {}
        # What `settle` has to count: entities that were found, and how new the newest value of the last answer was.
        self._found: dict[tuple[str, FeatureStatus], int] = {}
        self._newest: dict[str, int] = {}

    def note(self, record: RequestRecord) -> None:
        """Count a request."""
        count, histogram = self._counted(record.method, record.route, record.status)
        count.inc()
        histogram.observe(record.seconds)

    def note_all(self, method: str, route: str, status: int, seconds: Sequence[float]) -> None:
        """Count requests that were answered alike, each after so many seconds."""
        count, histogram = self._counted(method, route, status)
        count.inc(len(seconds))
        histogram.observe_all(seconds)

    def note_found(self, service: str, found: Sequence[Found], at: int) -> None:
        """Count what a lookup of one entity found, as `note_lookup` does, when `settle` is called."""
        newest = None
        for _, event, status in found:
            kind = service, status
            self._found[kind] = self._found.get(kind, 0) + 1
            if event is not None and (newest is None or event > newest):
                newest = event
        if newest is not None and _is_of_now(at):
            self._newest[service] = newest

    def settle(self) -> None:
        """Count what was found."""
        found, self._found = self._found, {}
        newest, self._newest = self._newest, {}
        for (service, status), count in found.items():
            self._count_of(service, status).inc(count)
        for service, event in newest.items():
            self._note_age(service, event)

    def _counted(self, method: str, route: str, status: int) -> tuple[Counter, "_Seconds"]:
        known = self._known.get((method, route, status))
        if known is None:
            known = self._requests.labels(method, route, str(status)), self._seconds.labels(route)
            self._known[method, route, status] = known
        return known

    def note_lookup(self, result: OnlineResult) -> None:
        """Count what a lookup found; each feature view of the service counts for itself."""
        service = result.service or "features"
        for group in result.groups:
            statuses = group.found.statuses
            for status in statuses if len(statuses) == 1 else set(statuses):
                self._count_of(service, status).inc(statuses.count(status))
        if _is_of_now(result.at):
            newest = max(
                (at for group in result.groups for at in group.found.event_times if at is not None), default=None
            )
            if newest is not None:
                self._note_age(service, newest)

    def _note_age(self, service: str, event: int) -> None:
        self._age_of(service).set(time.time() - event / 1e9)

    def _count_of(self, service: str, status: FeatureStatus) -> Counter:
        known = self._counts.get((service, status))
        if known is None:
            known = self._counts[service, status] = self._values.labels(service, str(status))
        return known

    def _age_of(self, service: str) -> Gauge:
        known = self._ages.get(service)
        if known is None:
            known = self._ages[service] = self._age.labels(service)
        return known

    def write(self) -> bytes:
        """Return everything in Prometheus's text form."""
        registry = self._registry
        if SHARED_FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry) + self._write_budgets()

    def _write_budgets(self) -> bytes:
        if self._budgets is None:
            return b""
        family = GaugeMetricFamily("foldstore_pool_steps_left", "How often a pool may still be asked.", labels=["pool"])
        for pool, left in self._budgets().items():
            family.add_metric([pool], left)
        registry = CollectorRegistry()
        registry.register(_Family(family))
        return generate_latest(registry)


class _Seconds(Histogram):
    """A histogram that takes several observations at once."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        """Observe each of some amounts."""
        self._sum.inc(sum(amounts))
        for place, count in Tally(bisect_left(self._upper_bounds, amount) for amount in amounts).items():
            self._buckets[place].inc(count)


def _is_of_now(at: int) -> bool:
    """Say whether a lookup is of an instant that says something of how old the newest values are."""
    return abs(time.time() - at / 1e9) < _NOW_SECONDS


class _Family:
    """What was measured already, as a registry asks for it."""

    def __init__(self, family: Any) -> None:
        self._family = family

    def collect(self) -> Iterable[Any]:
        return [self._family]


class CountedFeatures:
    """Looks features up, and counts what was found.

    Parameters
    ----------
    features : OnlineFeatures
        What looks up.
    metrics : Metrics
        Counts.
    """

    def __init__(self, features: OnlineFeatures, metrics: Metrics) -> None:
        self._features = features
        self._metrics = metrics

    def get_online_features(self, service: str, entities: Any, at: int | None = None, **how: Any) -> OnlineResult:
        """Look entities up in a feature service."""
        result = self._features.get_online_features(service, entities, at, **how)
        self._metrics.note_lookup(result)
        return result

    def get_features(self, features: Sequence[str], entities: Any, at: int | None = None, **how: Any) -> OnlineResult:
        """Look entities up in features by name."""
        result = self._features.get_features(features, entities, at, **how)
        self._metrics.note_lookup(result)
        return result


def forget_process(folder: Path, pid: int) -> None:
    """Leave gauges of a process out that has ended."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
