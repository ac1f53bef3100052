"""The handle of a remote store's monitors: the server looks at versions, whoever asks tells of them."""

from collections.abc import Iterator, Sequence
from time import monotonic, sleep
from typing import Any, ClassVar, Final

from foldstore.errors import UsageError
from foldstore.monitor import Monitor, MonitorResult
from foldstore.names import check_name
from foldstore.notify import Notify
from foldstore.remote.connection import path_of
from foldstore.remote.local_only import RemoteHandle
from foldstore.remote.server import Server, pick
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.document import read_record

_MONITORS: Final = path_of("monitors")
# Seconds between two questions whether something waits, and after which a run is due all the same: as a folder's.
_LOOK: Final = 1.0
_DUE: Final = 60.0
_RESULT: Final = ("monitor", "address", "status", "checked_at", "findings", "told")


class RemoteMonitors(RemoteHandle):
    """The monitors of a store on a server; its verbs are those of `foldstore.monitor.Monitors`.

    The server is told of nobody to tell: `notify` works here, on what the server found, and is noted there.
    """

    NOUN: ClassVar[str] = "monitors"

    def __init__(self, server: Server) -> None:
        self._server = server

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
        """Keep a monitor under a name; it begins with the datasets' first versions."""
        if isinstance(datasets, str):
            raise UsageError(f"datasets={datasets!r} is not a list.", hint=f"Write [{datasets!r}].")
        body: dict[str, Any] = {"datasets": list(datasets), "trends": trends, "message": message}
        if drift is not None:
            body["drift"] = drift
        if limits is not None:
            body["limits"] = limits.to_dict()
        return _read_monitor(self._server.change(_path(name), body, method="PUT"))

    def list_names(self) -> list[str]:
        """List the names of the monitors."""
        return [str(each["name"]) for each in self._server.connection.items(_MONITORS)]

    def find(self, name: str) -> Monitor:
        """Return a monitor."""
        return _read_monitor(self._server.get(_path(name)))

    def waiting(self, name: str) -> list[str]:
        """List the addresses of the versions that a monitor has not looked at: what its next run looks at."""
        return list(self._server.get(f"{_path(name)}/waiting")["items"])

    def run(self, name: str | None = None, *, notify: Notify | None = None) -> list[MonitorResult]:
        """Let the server look at the versions that came since; tell here who is to be told, and note that there.

        Parameters
        ----------
        name : str, optional
            One monitor; all of them unless given.
        notify : Notify, optional
            Whom to tell, from here, and of what. What is not told, were it that this process dies, is told by the
            next run, of whomever.
        """
        found = []
        for each in [name] if name is not None else self.list_names():
            if notify is not None:
                self._tell_again(each, notify)
            body = {} if notify is None else {"tell": notify.on}
            results = map(_read_result, self._server.change(_path(each, verb="run"), body)["items"])
            found += [result if notify is None else self._told(result, notify) for result in results]
        return found

    def follow(self, name: str | None = None, *, notify: Notify | None = None) -> Iterator[MonitorResult]:
        """Yield what is found of versions as they are committed, by whatever process, for ever.

        Whether something waits is asked each second, which reads alone; only then the server is asked to run. Who
        could not be told is told again within a minute.

        Raises
        ------
        StoreError
            When the server went away; what nobody looked at meanwhile is looked at by the next run.
        """
        while True:
            began = monotonic()
            yield from self.run(name, notify=notify)
            while monotonic() - began < _DUE and not self._is_due(name):
                sleep(_LOOK)

    def history(self, name: str) -> list[MonitorResult]:
        """Return what a monitor has found, the oldest first."""
        return [_read_result(each) for each in self._server.connection.items(f"{_path(name)}/history")]

    def note_told(self, name: str, address: str, told: Sequence[str]) -> MonitorResult:
        """Note who was told of what was found at a version; see `foldstore.monitor.Monitors.note_told`."""
        body = {"address": address, "told": list(told)}
        return _read_result(self._server.change(_path(name, verb="note-told"), body))

    def _is_due(self, name: str | None) -> bool:
        return any(self.waiting(each) for each in ([name] if name is not None else self.list_names()))

    def _tell_again(self, name: str, notify: Notify) -> None:
        for result in self.history(name):
            if result.was_not_told:
                self._told(result, notify)

    def _told(self, result: MonitorResult, notify: Notify) -> MonitorResult:
        if not notify.wants(passed=result.passed):
            return result
        return self.note_told(result.monitor, result.address, notify.tell(result.to_dict()))


def _path(name: str, *, verb: str = "") -> str:
    return path_of("monitors", check_name(name, "monitor"), verb=verb)


def _read_monitor(data: Any) -> Monitor:
    kept = pick(data, ("datasets", "drift", "limits", "trends"))
    limits = read_record(DriftPolicy, kept.pop("limits"), "limits")
    return Monitor(name=str(data["name"]), limits=limits, **{**kept, "datasets": tuple(kept["datasets"])})


def _read_result(data: Any) -> MonitorResult:
    return MonitorResult.from_dict(pick(data, _RESULT))
