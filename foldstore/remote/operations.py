"""Long work on a server: watched while it lasts, left to it, called off."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Generic, TypeVar

from foldstore.errors import UsageError
from foldstore.remote.connection import LATER, Connection, Request, path_of
from foldstore.types import Progress
from foldstore.work import FOLLOWED

_FIRST_LOOK: Final = 0.05
_LONGEST_LOOK: Final = 2.0
_FINISHED: Final = frozenset({"succeeded", "failed", "cancelled"})
_PATH: Final = path_of("operations")
Made = TypeVar("Made")


class Watched:
    """Follows the operations that the requests of a thread begin.

    Parameters
    ----------
    connection : Connection
        The way to the server.
    progress : callable, optional
        Told what is done, and of how much.
    on_look : callable, optional
        Told all that the server says of the work.
    """

    def __init__(
        self,
        connection: Connection,
        progress: Progress | None = None,
        *,
        on_look: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        self._connection = connection
        self._progress = progress
        self._on_look = on_look
        self._place: str | None = None
        self._ends = threading.Event()

    def follow(self, place: str) -> None:
        """Wait until an operation is done; whoever interrupts the wait calls it off."""
        self._place = place
        pause = _FIRST_LOOK
        try:
            while True:
                if self._ends.is_set():
                    self.cancel()
                state = self.look()
                if self._on_look is not None:
                    self._on_look(state)
                if self._progress is not None:
                    self._progress(int(state["progress"]["done"]), state["progress"]["total"])
                if state["state"] in _FINISHED:
                    return
                self._ends.wait(pause) if not self._ends.is_set() else time.sleep(pause)
                pause = min(2 * pause, _LONGEST_LOOK)
        except KeyboardInterrupt:
            self.cancel()
            raise

    def cancel(self) -> None:
        """Call the work off: now, or when the server has begun with it."""
        self._ends.set()
        if self._place is not None:
            self._connection.ask_now(Request(method="DELETE", path=self._place))

    def look(self) -> dict[str, Any]:
        """Return what the server says of the work; nothing but ``queued`` before it has begun."""
        if self._place is None:
            return {"state": "queued", "progress": {"done": 0, "total": None, "words": "queued"}}
        found: dict[str, Any] = self._connection.ask_now(Request(method="GET", path=self._place))
        return found


@contextmanager
def followed(connection: Connection, progress: Progress | None = None) -> Iterator[None]:
    """Have what is asked within the block be an operation that is waited for, unless somebody follows already.

    Parameters
    ----------
    progress : callable, optional
        Told what is done, and of how much.
    """
    if LATER.get() is not None or (progress is None and FOLLOWED.get() is not None):
        yield
        return
    mark = LATER.set(Watched(connection, progress))
    try:
        yield
    finally:
        LATER.reset(mark)


class RemoteOperation(Generic[Made]):
    """Work that was begun and is not waited for; `RemoteOperations.start` makes one.

    Parameters
    ----------
    act : callable
        A verb of a remote handle, with its arguments.
    watched : Watched
        Follows it.
    """

    def __init__(self, act: Callable[[], Made], watched: Watched) -> None:
        self._watched = watched
        self._made: list[Made] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(act,), name="foldstore-waiting", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<Operation: {'done' if self.is_done else 'at work'}>"

    @property
    def is_done(self) -> bool:
        """Whether there is a result, or an error."""
        return not self._thread.is_alive()

    def status(self) -> dict[str, Any]:
        """Return what the server says: ``state``, and ``progress`` with ``done``, ``total`` and ``words``."""
        return self._watched.look()

    def wait(self, timeout: float | None = None) -> Made:
        """Return what the verb returns.

        Raises
        ------
        CancelledError
            When it was called off.
        TimeoutError
            When it is not done within so many seconds; it goes on.
        FoldstoreError
            Whatever the verb raises.
        """
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError("The operation is not done yet.")
        if self._error is not None:
            raise self._error
        return self._made[0]

    def cancel(self) -> None:
        """Call it off; what is not committed by then has changed nothing."""
        self._watched.cancel()

    def _run(self, act: Callable[[], Made]) -> None:
        mark = LATER.set(self._watched)
        try:
            self._made.append(act())
        except BaseException as error:  # noqa: BLE001  # it is raised where somebody waits
            self._error = error
        finally:
            LATER.reset(mark)


class RemoteOperations:
    """The operations of a server that this token began.

    Parameters
    ----------
    connection : Connection
        The way to the server.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __repr__(self) -> str:
        return f"<Operations of {self._connection.address.url}>"

    def start(self, verb: Callable[..., Made], *args: Any, **how: Any) -> RemoteOperation[Made]:
        """Begin with what a verb does, and do not wait for it.

        Parameters
        ----------
        verb : callable
            A verb of a remote handle: ``store.version("flights").validate``.
        *args, **how
            What it takes.

        Examples
        --------
        ::

            operation = store.operations.start(store.version("flights").drift, "previous")
            operation.status()["progress"]["words"]  # 'running: 1,204,331 rows read'
            drift = operation.wait()
        """
        if not callable(verb):
            raise UsageError(f"{verb!r} is no verb.", hint="Give it without calling it: start(version.validate).")
        return RemoteOperation(lambda: verb(*args, **how), Watched(self._connection))

    @contextmanager
    def watched(self, progress: Progress | None = None) -> Iterator[None]:
        """Have what is done within the block be operations, told of as they go; an interrupt calls them off.

        Parameters
        ----------
        progress : callable, optional
            Told what is done, and of how much.
        """
        mark = LATER.set(Watched(self._connection, progress))
        try:
            yield
        finally:
            LATER.reset(mark)

    def list(self, *, state: str = "any") -> list[Mapping[str, Any]]:
        """List operations as plain data, oldest first: all, or those of a state."""
        return [*self._connection.items(_PATH, {"state": state})]

    def get(self, operation_id: str) -> Mapping[str, Any]:
        """Return what is known of an operation as plain data.

        Raises
        ------
        NotFoundError
            When there is none, or it is somebody else's.
        """
        found: Mapping[str, Any] = self._connection.ask_now(
            Request(method="GET", path=path_of("operations", operation_id))
        )
        return found

    def cancel(self, operation_id: str) -> None:
        """Call an operation off.

        Raises
        ------
        NotFoundError
            When there is none, or it is somebody else's.
        """
        self._connection.ask_now(Request(method="DELETE", path=path_of("operations", operation_id)))
