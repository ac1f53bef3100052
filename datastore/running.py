"""Queries that are running, so that another thread can stop them."""

import weakref
from threading import RLock
from typing import Protocol


class Stoppable(Protocol):
    """A database connection."""

    def interrupt(self) -> None:
        """Stop what it is doing, from another thread."""

    def close(self) -> None:
        """Give it back."""


class RunningQuery:
    """The connection on which one query runs; whoever drops it gives the connection back."""

    def __init__(self, connection: Stoppable, running: "RunningQueries") -> None:
        self.connection = connection
        self._running = running

    def interrupt(self) -> None:
        """Stop the query, from another thread."""
        self._running.interrupt_one(self)

    def end(self) -> None:
        """Close the connection; once is enough."""
        self._running.end(self)


class RunningQueries:
    """The queries that run.

    A connection that is being closed must not be interrupted: DuckDB ends the process then. They are known weakly, so
    that a result nobody reads is no query that runs. A result may be dropped at any moment: the thread that holds the
    lock may take it again.
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._queries: weakref.WeakSet[RunningQuery] = weakref.WeakSet()

    def begin(self, connection: Stoppable) -> RunningQuery:
        """Take a connection that will run a query."""
        query = RunningQuery(connection, self)
        with self._lock:
            self._queries.add(query)
        return query

    def end(self, query: RunningQuery) -> None:
        """Close the connection of a query."""
        with self._lock:
            self._queries.discard(query)
            query.connection.close()

    def interrupt(self) -> None:
        """Stop every query that runs now."""
        with self._lock:
            for query in list(self._queries):
                self.interrupt_one(query)

    def interrupt_one(self, query: RunningQuery) -> None:
        """Stop one query, unless it has ended."""
        with self._lock:
            if query in self._queries:
                query.connection.interrupt()
