"""The writer of a stream whose log is on a server: each write is a request, and lies there when it is answered.

The writer counts the rows of the stream. A write says behind which row it comes, so that one whose answer was lost is
sent again and taken once.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self
from uuid import uuid4

import pyarrow as pa

from foldstore.datastore.stream.columns import are_records, read_rows
from foldstore.datastore.stream.limits import StreamLimits
from foldstore.datastore.stream.writer import StreamStatus
from foldstore.errors import FoldstoreError, NotFoundError, StoreError, UsageError
from foldstore.names import MAIN_BRANCH, check_name
from foldstore.remote.connection import ARROW, Request, path_of
from foldstore.remote.local_only import FITTED, SEAM, RemoteHandle, refuse
from foldstore.remote.records import DatasetFacts
from foldstore.remote.server import Server, pick, spooled
from foldstore.stream import StreamOptions
from foldstore.types import Status

if TYPE_CHECKING:
    from foldstore.remote.version import RemoteVersion

_TOLD: Final = ("rows", "pending_rows", "lag_seconds", "failure")
_LEAST_WAIT: Final = 0.05
_WAIT_AFTER_FAILURE: Final = 1.0
_LONGEST_SECONDS: Final = 999_999_999


class RemoteStreamWriter(RemoteHandle):
    """Takes rows without end for a dataset on a server; its verbs are those of `foldstore.stream.StreamWriter`.

    The name is not held between two requests: who writes to it meanwhile is noticed by the count of rows, and the next
    write raises `ConflictError` with the code ``stream-moved``. A thread of the writer asks the server to cut what has
    waited for `every_seconds`; when the writer is gone, rows wait for the next write, flush or question.
    """

    NOUN = "stream"
    LOCAL_ONLY: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("write_once", "find_last"), SEAM),
        "arrow_schema": FITTED,
    }

    def __init__(
        self,
        server: Server,
        dataset: DatasetFacts,
        branch: str,
        options: StreamOptions,
        *,
        known: pa.Schema | None,
        opens: "Callable[[Mapping[str, Any]], RemoteVersion]",
    ) -> None:
        if options.monotonic is not time.monotonic:
            refuse("monotonic=", "The server's clock says how old rows are.")
        self._server, self._dataset, self._branch = server, dataset, branch
        self.name = check_name(options.name, "stream")
        self._options = options
        self._limits = options.limits()
        self._known = known
        self._opens = opens
        self._changed = threading.Condition(threading.RLock())
        self._told: dict[str, Any] = {"rows": 0, "pending_rows": 0, "lag_seconds": 0.0, "failure": None}
        self._heard_at = time.monotonic()
        self._due_at: float | None = None
        self._closed = False
        self._last: RemoteVersion | None = None
        self._committed_rows = self._versions = self._quarantined = 0
        self._thread: threading.Thread | None = None
        with self._changed:
            self._look()
        self._recovered_rows = int(self._told["pending_rows"])

    def __repr__(self) -> str:
        state = self.status()
        return (
            f"<StreamWriter {self.name!r} into {self._dataset.name!r}: {state.rows:,} rows, "
            f"{state.pending_rows:,} pending>"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except Exception:
            if error is None:  # the block's own error is the one to show; the log keeps the rows
                raise

    @property
    def quarantined(self) -> int:
        """How many of the versions that this writer was told of a gate refused."""
        return self._quarantined

    @property
    def last_version(self) -> "RemoteVersion | None":
        """The newest version that was cut for this writer."""
        return self._last

    def write(self, rows: Any, *, block: bool = True, timeout: float | None = None) -> None:  # noqa: ARG002
        """Send rows, which are taken all or none; when this returns they are on the server's disk.

        The server makes room itself: `block` and `timeout` change nothing. After an error of the connection the same
        rows may be written again: they are taken once.

        Raises
        ------
        SchemaMismatchError
            When the columns are not those of the stream, or values do not fit them.
        ConflictError
            With code ``stream-moved`` when somebody else wrote to the stream, ``stream-busy`` when its log is open in
            another writer.
        StoreError
            With code ``stream-stalled`` when versions cannot be cut any more.
        """
        with self._changed:
            self._check_open()
            table = read_rows(rows, self._known)
            if not table.num_rows:
                return
            query = {"first_row": self._told["rows"], "fill": True if are_records(rows) else None, **self._query()}
            with spooled(table.schema, iter(table.to_batches())) as file:
                request = Request(method="POST", path=self._path("write"), query=query, rows=file, is_numbered=True)
                try:
                    cut = self._hear(self._server.connection.ask(request))
                except StoreError as error:
                    if error.code == "stream-stalled":
                        self._look()  # with durability="version" they may be in the log all the same
                    raise
        self._tell(cut)

    def flush(self, timeout: float | None = None) -> "RemoteVersion | None":  # noqa: ARG002
        """Have a version cut of what is pending, and return the newest one of this writer.

        `timeout` changes nothing: the connection has its own.

        Raises
        ------
        StoreError
            With code ``stream-stalled`` when it cannot be committed. The rows stay in the log.
        """
        self._cut()
        return self._last

    def cut_when_due(self) -> None:
        """Have a version cut when rows have waited for `every_seconds`; the writer's own thread asks by itself."""
        self._cut(when_due=True)

    def take_failed(self) -> pa.Table:
        """Take out of the log the rows of a version that cannot be committed; see `StreamWriter.take_failed`."""
        with self._changed:
            self._check_open()
            path, query = self._path("take-failed"), {"branch": self._query()["branch"]}
            try:
                rows = self._server.table(Request(method="POST", path=path, query=query, accept=ARROW, key=uuid4().hex))
            except NotFoundError:
                if self._told["rows"]:
                    raise
                raise UsageError("Every version could be cut so far.", hint="There is nothing to take out.") from None
            self._look()
            return rows

    def status(self) -> StreamStatus:
        """Say where the stream stood when the server last answered, and what was cut for this writer."""
        with self._changed:
            waited = time.monotonic() - self._heard_at if self._told["pending_rows"] else 0.0
            return StreamStatus(
                rows=self._told["rows"],
                pending_rows=self._told["pending_rows"],
                recovered_rows=self._recovered_rows,
                committed_rows=self._committed_rows,
                versions=self._versions,
                quarantined=self._quarantined,
                last_version=None if self._last is None else self._last.number,
                lag_seconds=self._told["lag_seconds"] + waited,
                failure=self._told["failure"],
            )

    def close(self) -> None:
        """Have what is pending cut, unless writers take turns, and end.

        Raises
        ------
        StoreError
            With code ``stream-stalled`` when it cannot be committed: the rows stay in the log.
        """
        if self._closed:
            return
        try:
            if not self._options.in_turns and self._told["pending_rows"]:
                self._cut()
        finally:
            with self._changed:
                self._closed = True
                self._changed.notify_all()
            if self._thread is not None and self._thread is not threading.current_thread():
                self._thread.join()

    def _cut(self, *, when_due: bool = False) -> None:
        with self._changed:
            self._check_open()
            query = {**self._query(), "when_due": True if when_due else None}
            request = Request(method="POST", path=self._path("flush"), query=query, is_numbered=True)
            try:
                cut = self._hear(self._server.connection.ask(request))
            except NotFoundError:
                if self._told["rows"]:
                    raise
                cut = []  # nothing was ever written to it
        self._tell(cut)

    def _look(self) -> None:
        try:
            self._hear(self._server.get(self._path(), branch=self._query()["branch"]))
        except NotFoundError:
            if self._told["rows"]:
                raise

    def _hear(self, answer: Mapping[str, Any]) -> "list[RemoteVersion]":
        """Take in where the stream stands; return the versions that were not told of yet."""
        self._told = pick(answer, _TOLD)
        self._heard_at = time.monotonic()
        cut = []
        for data in answer.get("cut", ()):
            version = self._opens(data)
            if self._last is not None and version.number <= self._last.number:
                continue
            cut.append(version)
            self._last = version
            self._versions += 1
            self._committed_rows += int(version.record.properties["stream"]["rows"])
            self._quarantined += version.status == Status.QUARANTINED
        every = self._limits.every_seconds
        self._due_at = None
        if every is not None and self._told["pending_rows"]:
            self._due_at = self._heard_at + max(every - self._told["lag_seconds"], _LEAST_WAIT)
            self._begin_to_mind()
        self._changed.notify_all()
        return cut

    def _tell(self, cut: "list[RemoteVersion]") -> None:
        for version in cut:
            if self._options.on_cut is not None:
                self._options.on_cut(version)  # type: ignore[arg-type]  # it has the verbs of a Version

    def _begin_to_mind(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._mind, name="foldstore-remote-stream", daemon=True)
            self._thread.start()

    def _mind(self) -> None:
        """Ask the server to cut what is due, until the writer is closed."""
        while True:
            with self._changed:
                if self._closed:
                    return
                left = None if self._due_at is None else self._due_at - time.monotonic()
                if left is None or left > 0:
                    self._changed.wait(left)
                    continue
            try:
                self._cut(when_due=True)
            except FoldstoreError as error:
                self._note(error)
            except Exception as error:  # noqa: BLE001  # of on_cut: the thread goes on, and the status says so
                self._note(error)

    def _note(self, error: Exception) -> None:
        with self._changed:
            self._told["failure"] = str(error)
            self._due_at = time.monotonic() + max(self._limits.every_seconds or 0.0, _WAIT_AFTER_FAILURE)

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("The stream is closed.", hint="dataset.stream() opens it again.", code="stream-closed")

    def _query(self) -> dict[str, Any]:
        limits = self._limits
        age = limits.keep_age
        return {
            "branch": None if self._branch == MAIN_BRANCH else self._branch,
            "every_rows": limits.every_rows,
            "every_seconds": _seconds(limits),
            "keep_age": None if age is None else f"{math.ceil(age.total_seconds())}s",
            "keep_bytes": limits.keep_bytes,
            "max_pending_rows": limits.max_pending_rows,
            "durability": limits.durability,
            "message": self._options.message or None,
        }

    def _path(self, verb: str = "") -> str:
        return path_of("datasets", self._dataset.name, "streams", self.name, verb=verb)


def _seconds(limits: StreamLimits) -> str:
    if limits.every_seconds is None:
        return "never"
    return f"{min(limits.every_seconds, _LONGEST_SECONDS):.9f}"
