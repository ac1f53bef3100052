"""Queries that are running, so that another thread can stop them."""

from threading import Lock
from typing import Protocol


class Stoppable(Protocol):
    """A database connection."""

    def interrupt(self) -> None:
        """Stop what it is doing, from another thread."""

    def close(self) -> None:
        """Give it back."""


class RunningQueries:
    """The connections on which queries run.

    A connection that is being closed must not be interrupted: DuckDB ends the process then.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._connections: dict[int, Stoppable] = {}

    def begin(self, connection: Stoppable) -> None:
        """Take a connection that will run a query."""
        with self._lock:
            self._connections[id(connection)] = connection

    def end(self, connection: Stoppable) -> None:
        """Close a connection; once is enough."""
        with self._lock:
            self._connections.pop(id(connection), None)
            connection.close()

    def interrupt(self) -> None:
        """Stop every query that runs now."""
        with self._lock:
            for connection in self._connections.values():
                connection.interrupt()
