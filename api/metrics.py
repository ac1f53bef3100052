"""What Prometheus asks a server: how many requests, how long they took, what lookups missed, what is left of pools.

Labels are routes, statuses, services and pools: never keys, names of rows or tokens.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

from foldstore.api.lookup import OnlineFeatures
from foldstore.api.request_record import RequestRecord
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
        self._seconds = Histogram(
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
        self._known: dict[tuple[str, str, int], Callable[[float], None]] = {}

    def note(self, record: RequestRecord) -> None:
        """Count a request."""
        known = self._known.get((record.method, record.route, record.status))
        if known is None:
            count = self._requests.labels(record.method, record.route, str(record.status))
            histogram = self._seconds.labels(record.route)

            def known(seconds: float) -> None:
                count.inc()
                histogram.observe(seconds)

            self._known[record.method, record.route, record.status] = known
        known(record.seconds)

    def note_lookup(self, result: OnlineResult) -> None:
        """Count what a lookup found; each feature view of the service counts for itself."""
        service = result.service or "features"
        for group in result.groups:
            statuses = group.found.statuses
            for status in statuses if len(statuses) == 1 else set(statuses):
                self._count_of(service, status).inc(statuses.count(status))
        now = time.time()
        if abs(now - result.at / 1e9) < _NOW_SECONDS:
            newest = max(
                (at for group in result.groups for at in group.found.event_times if at is not None), default=None
            )
            if newest is not None:
                self._age_of(service).set(now - newest / 1e9)

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
