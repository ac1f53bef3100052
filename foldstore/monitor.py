"""Monitors: new versions are looked at as they come, what is found is kept, and somebody is told."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import monotonic, sleep
from typing import Any, Final

from foldstore.datastore.canonical import canonical_json
from foldstore.datastore.catalog.page_switch import MONITORED
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.storage import Storage
from foldstore.errors import NotFoundError, UsageError, did_you_mean
from foldstore.names import check_name
from foldstore.notify import Notify, TellLater, check_told
from foldstore.types import Severity, Status, format_time
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.document import check_keys
from foldstore.validation.drift.version_trends import trends_over_versions
from foldstore.validation.drift.windows import list_windows, window_size
from foldstore.validation.drift_checks import check_result
from foldstore.validation.finding import settle
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import Subject
from foldstore.version import Version

_KIND: Final = "monitor"
# How far back changes of level are looked for: work by version stays the same as the history grows.
_TREND_VERSIONS: Final = 200
# Seconds between looks whether something was committed; after which a run is due all the same; and where none can tell.
_GLANCE: Final = 0.1
_DUE: Final = 60.0
_BLIND: Final = 1.0
_NO_SCHEMA: Final = DataSchema(columns={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """What is looked at when a version comes.

    Attributes
    ----------
    name : str
    datasets : tuple of str
    drift : str or None
        The window that new rows are compared with: ``"previous"``, ``"rolling(5)"``, ``"seasonal(12)"``.
    limits : DriftPolicy
    trends : bool
        Whether a change of level that is certain with this version is noted.

    Notes
    -----
    The gate's report is taken where there is one; else the newest schema, if any, judges the rows that came.
    """

    name: str
    datasets: tuple[str, ...]
    drift: str | None = None
    limits: DriftPolicy = DriftPolicy()  # noqa: RUF009  (immutable)
    trends: bool = True

    def __post_init__(self) -> None:
        check_name(self.name, "monitor")
        if not self.datasets:
            raise UsageError("A monitor looks at one dataset or more.", hint="Name them.")
        for name in self.datasets:
            check_name(name)
        if self.drift is not None:
            window_size(self.drift)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "datasets": list(self.datasets),
            "drift": self.drift,
            "limits": self.limits.to_dict(),
            "trends": self.trends,
        }

    @classmethod
    def from_dict(cls, name: str, data: dict[str, Any]) -> "Monitor":
        """Read what `to_dict` gave."""
        check_keys(data, ("datasets", "drift", "limits", "trends"), "the monitor")
        limits = DriftPolicy(**data["limits"])
        return cls(
            name=name, datasets=tuple(data["datasets"]), drift=data["drift"], limits=limits, trends=data["trends"]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorResult:
    """What a monitor found when it looked at a version.

    Attributes
    ----------
    monitor, address : str
    status : str
        The version's.
    checked_at : str
    findings : tuple of dict
        Each with ``code``, ``severity``, ``column``, ``message``; the gravest first.
    told : tuple of str
        Who was told; what could not be told begins with ``failed:``.
    """

    monitor: str
    address: str
    status: str
    checked_at: str
    findings: tuple[dict[str, Any], ...] = ()
    told: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing found is an error, and the version is not quarantined."""
        errors = any(each["severity"] == "error" for each in self.findings)
        return not errors and self.status != str(Status.QUARANTINED)

    @property
    def was_not_told(self) -> bool:
        """Whether somebody was to be told, and that failed."""
        return any(each.startswith("failed:") for each in self.told)

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        plain: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        return plain | {
            "findings": [dict(each) for each in self.findings],
            "told": list(self.told),
            "passed": self.passed,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "MonitorResult":
        """Read what `to_dict` gave."""
        kept = {name: value for name, value in data.items() if name not in ("passed", "messages")}
        return cls(**{**kept, "findings": tuple(data["findings"]), "told": tuple(data["told"])})


class Monitors:
    """The monitors of a store: set, run, looked back at.

    Examples
    --------
    >>> import foldstore
    >>> store = foldstore.connect(folder)
    >>> trips = store.create_dataset("trips")
    >>> _ = store.monitors.set("daily", ["trips"], drift="previous")
    >>> for more in (0, 0, 60):
    ...     _ = trips.append({"km": [each % 97 + more for each in range(2000)]})
    >>> [(result.address, result.passed) for result in store.monitors.run("daily")]
    [('trips@1', True), ('trips@2', True), ('trips@3', False)]
    >>> store.monitors.run("daily")
    []
    """

    def __init__(self, storage: Storage, author: str, version: Callable[[str], Version]) -> None:
        self._storage = storage
        self._author = author
        self._version = version
        self._documents = Registry(storage.catalog, _KIND)
        self._messages = Registry(storage.catalog, MONITORED)

    def __repr__(self) -> str:
        return f"<Monitors: {', '.join(self.list_names()) or 'none'}>"

    def set(
        self,
        name: str,
        datasets: Sequence[str],
        *,
        drift: str | None = None,
        limits: DriftPolicy | None = None,
        trends: bool = True,
        message: str = "",
    ) -> Monitor:
        """Keep a monitor under a name; it begins with the datasets' first versions.

        Parameters
        ----------
        name : str
        datasets : sequence of str
            The datasets to look at; they may come later.
        drift : str, optional
            The window that new rows are compared with.
        limits : DriftPolicy, optional
            When a change counts.
        trends : bool
            Whether changes of level are looked for.
        """
        if isinstance(datasets, str):
            raise UsageError(f"datasets={datasets!r} is not a list.", hint=f"Write [{datasets!r}].")
        monitor = Monitor(
            name=name, datasets=tuple(datasets), drift=drift, limits=limits or DriftPolicy(), trends=trends
        )
        now = format_time(self._storage.clock())
        self._documents.put(name, monitor.to_dict(), author=self._author, message=message, created_at=now)
        return monitor

    def list_names(self) -> list[str]:
        """List the names of the monitors."""
        return self._documents.list_names()

    def find(self, name: str) -> Monitor:
        """Return a monitor.

        Raises
        ------
        NotFoundError
            When there is none of the name.
        """
        document = self._documents.find(name)
        if document is None:
            raise NotFoundError(f"There is no monitor {name!r}.", hint=did_you_mean(name, self.list_names()), name=name)
        return Monitor.from_dict(name, document.body)

    def waiting(self, name: str) -> list[str]:
        """List the addresses of the versions that a monitor has not looked at: what its next run looks at.

        Raises
        ------
        NotFoundError
            When there is none of the name.
        """
        return [address for dataset in self.find(name).datasets for address in self._waiting(name, dataset)]

    def run(self, name: str | None = None, *, notify: Notify | TellLater | None = None) -> list[MonitorResult]:
        """Look at the versions that came since, the oldest first; keep what is found, tell who is to be told.

        Parameters
        ----------
        name : str, optional
            One monitor; all of them unless given.
        notify : Notify or TellLater, optional
            Whom to tell, and of what; where that fails it is tried again with the next run. Of what a `TellLater`
            wants it is noted that nobody was told yet: see `note_told`.
        """
        found = []
        for each in [name] if name is not None else self.list_names():
            monitor = self.find(each)
            if isinstance(notify, Notify):
                self._tell_again(monitor, notify)
            for dataset in monitor.datasets:
                found += list(self._look(monitor, dataset, notify))
        return found

    def follow(self, name: str | None = None, *, notify: Notify | None = None) -> Iterator[MonitorResult]:
        """Yield what is found of versions as they are committed, by whatever process, for ever.

        Whether something was committed is looked at ten times a second, for some microseconds each; on PostgreSQL,
        which does not tell, each second a run asks. Who could not be told is told again within a minute.

        Parameters
        ----------
        name, notify
            As in `run`.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> _ = store.monitors.set("always", ["rides"])
        >>> found = store.monitors.follow("always")
        >>> _ = store.create_dataset("rides").append({"km": [1, 2]})
        >>> next(found).address
        'rides@1'
        """
        mark_of = self._storage.catalog.change_mark.look
        while True:
            mark, began = mark_of(), monotonic()
            yield from self.run(name, notify=notify)
            if mark is None:
                sleep(_BLIND)
            while mark is not None and mark_of() == mark and monotonic() - began < _DUE:
                sleep(_GLANCE)

    def history(self, name: str) -> list[MonitorResult]:
        """Return what a monitor has found, the oldest first.

        Raises
        ------
        NotFoundError
            When there is none of the name.
        """
        self.find(name)
        return list(self._entries(name).values())

    def note_told(self, name: str, address: str, told: Sequence[str]) -> MonitorResult:
        """Note who was told of what was found at a version, where somebody else than `run` told it.

        Parameters
        ----------
        name : str
            The monitor.
        address : str
            The version that it looked at.
        told : sequence of str
            ``"webhook"``, ``"command"``, or ``"failed: "`` and why: then a run with `notify` tells it again.

        Raises
        ------
        NotFoundError
            When there is no such monitor, or it has not looked at the version.
        """
        said = check_told(told)
        self.find(name)
        entries = self._entries(name)
        if address not in entries:
            raise NotFoundError(
                f"The monitor {name!r} has not looked at {ascii(address)[:120]}.",
                hint="Its history says what it has looked at.",
            )
        noted = replace(entries[address], told=said, checked_at=format_time(self._storage.clock()))
        self._keep(noted)
        return noted

    def _entries(self, name: str) -> dict[str, MonitorResult]:
        """Return the last entry of each version; messages as they may be told now."""
        entries = [json.loads(entry.body) for entry in self._storage.journal.list_entries(_stream(name))]
        messages = {
            (each.name, each.version): [found["message"] for found in each.body["anomalies"]]
            for each in self._messages.list_documents()
        }
        found: dict[str, MonitorResult] = {}
        for body in entries:
            said = messages[tuple(body["messages"])]  # in the order of the findings
            findings = [{**each, "message": text} for each, text in zip(body["findings"], said, strict=True)]
            found[body["address"]] = MonitorResult.from_dict({**body, "findings": findings})
        return found

    def _waiting(self, name: str, dataset: str) -> list[str]:
        record = self._storage.catalog.find_dataset(dataset)
        if record is None:
            return []
        seen = {json.loads(entry.body)["address"] for entry in self._storage.journal.list_entries(_stream(name))}
        kept = [each for each in self._storage.catalog.list_versions(record.id) if each.expired_at is None]
        return [address for each in kept if (address := f"{dataset}@{each.number}") not in seen]

    def _look(self, monitor: Monitor, dataset: str, notify: Notify | TellLater | None) -> Iterator[MonitorResult]:
        for address in self._waiting(monitor.name, dataset):
            result = self._check(monitor, self._version(address))
            if notify is not None and notify.wants(passed=result.passed):
                result = replace(result, told=notify.tell(result.to_dict()))
            self._keep(result)
            yield result

    def _keep(self, result: MonitorResult) -> None:
        """Keep a result in the journal; its messages quote the data, and stand where they can be withheld."""
        quotes = {"anomalies": [dict(each) for each in result.findings], "drift": {"columns": {}}}
        findings = [{key: each[key] for key in ("code", "severity", "column")} for each in result.findings]
        at, stream = result.checked_at, _stream(result.monitor)
        version = self._version(result.address).version_id
        with self._storage.catalog.write() as connection:
            kept = self._messages.insert(connection, version, quotes, author=self._author, created_at=at)
            place = [kept.name, kept.version]
            body = json.loads(canonical_json({**result.to_dict(), "findings": findings, "messages": place}))
            self._storage.journal.append(connection, stream, body, actor=self._author, created_at=at)

    def _tell_again(self, monitor: Monitor, notify: Notify) -> None:
        for result in self._entries(monitor.name).values():
            if result.was_not_told and notify.wants(passed=result.passed):
                told = notify.tell(result.to_dict())
                self._keep(replace(result, told=told, checked_at=format_time(self._storage.clock())))

    def _check(self, monitor: Monitor, version: Version) -> MonitorResult:
        findings = [*self._judged(version), *self._drifted(monitor, version), *self._turned(monitor, version)]
        order = [str(each) for each in (Severity.ERROR, Severity.WARN, Severity.INFO)]
        findings.sort(key=lambda each: order.index(each["severity"]))
        return MonitorResult(
            monitor=monitor.name,
            address=version.address,
            status=str(version.status),
            checked_at=format_time(self._storage.clock()),
            findings=tuple(findings),
        )

    def _judged(self, version: Version) -> Iterator[dict[str, Any]]:
        try:
            report = version.report or version.validate(rows="added")
        except NotFoundError:  # there is no schema
            if version.num_rows == 0:
                yield _finding("no_data", str(Severity.ERROR), None, f"{version.address} has no rows")
            return
        for anomaly in report.anomalies:
            yield _finding(anomaly.code, str(anomaly.severity), anomaly.column, anomaly.message)

    def _drifted(self, monitor: Monitor, version: Version) -> Iterator[dict[str, Any]]:
        if monitor.drift is None:
            return
        before = list_windows(self._storage, version.record, window_size(monitor.drift))
        if len(before) < window_size(monitor.drift):
            return
        found = version.drift(monitor.drift, policy=monitor.limits)
        subject: Subject = version._subject("added")  # noqa: SLF001  # its own kind
        for anomaly in settle(check_result(found, lambda _: monitor.limits), _NO_SCHEMA, subject, ()):
            message = f"{anomaly.message} (against {monitor.drift})"
            yield _finding(anomaly.code, str(anomaly.severity), anomaly.column, message)

    def _turned(self, monitor: Monitor, version: Version) -> Iterator[dict[str, Any]]:
        if not monitor.trends or version.status is not Status.PUBLISHED:
            return
        dataset = version.address.partition("@")[0]
        trends = trends_over_versions(self._storage, version.record, dataset, None, _TREND_VERSIONS, 1)
        for trend in trends.trends:
            for change in trend.changes:
                if change.alarm == version.address:
                    row = "" if change.row is None else f", row {change.row:,}"
                    what = f"{trend.statistic} went from {change.before:.6g} to {change.after:.6g} at {change.at}{row}"
                    yield _finding("trend", str(Severity.WARN), trend.column, what)


def _finding(code: str, severity: str, column: str | None, message: str) -> dict[str, Any]:
    return {"code": code, "severity": severity, "column": column, "message": message}


def _stream(name: str) -> str:
    return f"monitor/{name}"
