"""A prepared handle for lookups over the network in a hot loop: one kept connection, a body that is mostly written."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from foldstore.errors import UsageError
from foldstore.remote.connection import ARROW, Request, path_of, write_json
from foldstore.remote.lookups import RemoteOnlineResult, read_lookup
from foldstore.remote.server import Server, no_answer
from foldstore.views.instant import format_instant, parse_instant
from foldstore.views.online.result import OnlineRow
from foldstore.views.online.service import Instant
from foldstore.views.online.status import FeatureStatus

_GET: Final = path_of("features", verb="get")
_LOOK_UP: Final = path_of("features", verb="look-up")
_STATUSES: Final = {str(status): status for status in FeatureStatus}
# Reads a value of JSON as a lookup gives it; raises ValueError where JSON does not say which it is.
Reader = Callable[[Any], Any]


class RemoteOnlineHandle:
    """Looks up one entity at a time; its verb is that of `foldstore.views.online.service.OnlineHandle`.

    Features whose values JSON holds exactly (whole numbers, floats, texts, booleans) are asked for as JSON, which a
    server answers fastest; a service with any others is asked for as Arrow. The values are the same.

    Parameters
    ----------
    server : Server
        Who answers.
    service : str
        The address of a feature service.
    """

    __slots__ = ("_answered_by", "_head", "_readers", "_server", "_service")

    def __init__(self, server: Server, service: str) -> None:
        self._server = server
        self._service = service
        self._head = b'{"service":%b,"entities":[' % write_json(service)
        self._answered_by: str | None = None
        self._readers: dict[str, Reader] | None = None
        self._check()

    def get(self, entity: Mapping[str, Any], at: Instant = None) -> OnlineRow:
        """Look one entity up.

        Parameters
        ----------
        entity : mapping
            A value for each key.
        at : str, datetime or int, optional
            The instant (an int is nanoseconds since 1970); the server's now unless given.
        """
        if not isinstance(entity, Mapping):
            raise UsageError(f"{ascii(entity)[:80]} is not one entity.", hint='Write {"carrier": "UA"}.')
        moment = b"" if at is None else b',"at":%b' % write_json(format_instant(parse_instant(at)))
        body = b"%b%b]%b}" % (self._head, write_json(dict(entity)), moment)
        if self._readers is not None:
            said = self._server.connection.ask(Request(method="POST", path=_GET, text=body, only_reads=True))
            # Another version answers when an alias was moved, or a newer one was materialized.
            row = _read_row(said["features"], self._readers) if said["service"] == self._answered_by else None
            if row is not None:
                return row
        found = self._look_up(body)
        if found.service != self._answered_by:
            self._learn(found)
        return _row_of(found)

    def _check(self) -> None:
        """Ask for nobody: a service that is there, and materialized, says that nobody was named."""
        try:
            self._look_up(self._head + b"]}")
        except UsageError as error:
            if error.code != UsageError.code:
                raise

    def _learn(self, found: RemoteOnlineResult) -> None:
        """Note which version answers, with which features of which types."""
        self._answered_by = found.service
        readers = {column.name: _reader_of(column.type) for column in found.columns()}
        known = {name: reader for name, reader in readers.items() if reader is not None}
        self._readers = known if len(known) == len(readers) else None

    def _look_up(self, body: bytes) -> RemoteOnlineResult:
        request = Request(method="POST", path=_LOOK_UP, text=body, accept=ARROW, only_reads=True)
        return read_lookup(self._server.table(request))


def _reader_of(kind: pa.DataType) -> Reader | None:
    """Return what reads values of a type from JSON; None of a type whose values JSON does not hold."""
    types = pa.types
    if types.is_integer(kind) or types.is_boolean(kind) or types.is_string(kind) or types.is_large_string(kind):
        return _read_plain
    if types.is_float64(kind):
        return float
    return _read_single if types.is_float32(kind) else None


def _read_plain(value: Any) -> Any:
    return value


def _read_single(value: Any) -> float:
    """Read a float32, which JSON has as the shortest text that reads back as it; NaN and infinities are texts."""
    single = np.float32(value)
    # By way of a double the last bit may be another one, in the rarest cases: its own text is another one then.
    if not isinstance(value, str) and float(str(single)) != value:
        raise ValueError(value)
    return float(single)


def _read_row(features: Mapping[str, Any], readers: Mapping[str, Reader]) -> OnlineRow | None:
    """Read an answer in JSON; None where it has other features, or a value that JSON does not settle."""
    if list(features) != list(readers):
        return None
    values, statuses, times, instants = dict[str, Any](), [], [], dict[str | None, int | None]({None: None})
    try:
        for name, read in readers.items():
            said = features[name]
            value, status, time = said["values"][0], said["statuses"][0], said["event_timestamps"][0]
            if time not in instants:
                instants[time] = parse_instant(time)
            values[name] = None if value is None else read(value)
            statuses.append(_STATUSES[status])
            times.append(instants[time])
    except ValueError:
        return None
    return OnlineRow(values, tuple(statuses), tuple(times))


def _row_of(found: RemoteOnlineResult) -> OnlineRow:
    """Return the only row of an answer."""
    if len(found) != 1:
        raise no_answer("the row of the entity")
    columns = list(found.columns())
    return OnlineRow(
        {column.name: column.values[0] for column in columns},
        tuple(column.statuses[0] for column in columns),
        tuple(column.event_times[0] for column in columns),
    )
