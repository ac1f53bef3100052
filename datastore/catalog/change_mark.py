"""A mark of the catalog's state: equal marks mean that nothing was committed in between, by anybody."""

import os
import sqlite3
from collections.abc import Callable
from threading import Lock, local
from typing import TypeAlias, TypeVar

import sqlalchemy as sa

Mark: TypeAlias = tuple[int, int] | None  # None: whether something was committed cannot be known
Answer = TypeVar("Answer")


class _Assumed(local):
    """What a thread takes for the mark, instead of a look at it."""

    mark: Mark = None


class ChangeMark:
    """Reads SQLite's ``data_version`` on a connection of its own, which takes a few microseconds.

    The number differs when another connection, of this process or of another one, committed between two
    reads (SQLite, "PRAGMA data_version"); this connection never writes, so every commit is another's.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The catalog's database.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._num_opened = 0
        self._is_closed = False
        self._assumed = _Assumed()
        self._start_anew()

    def _start_anew(self) -> None:
        """Forget what was opened before a fork: it is the parent's, and so are threads that held the lock."""
        self._process = os.getpid()
        self._lock = Lock()
        self._connection: sa.PoolProxiedConnection | None = None

    def read(self) -> Mark:
        """Return the mark; None where the database has none (PostgreSQL), or cannot be read.

        While it stays the same, everything that the catalog said before holds.
        """
        assumed = self._assumed.mark
        return self.look() if assumed is None else assumed

    def assume(self, mark: Mark, ask: Callable[..., Answer], *given: object) -> Answer:
        """Return what a call returns when `read` returns a mark to it that was looked at before, unless that is None.

        Whoever calls knows that what is asked needs nothing that was committed since. Other threads look themselves.
        """
        self._assumed.mark = mark
        try:
            return ask(*given)
        finally:
            self._assumed.mark = None

    def look(self) -> Mark:
        """Return the mark as it is now, whatever is assumed."""
        if self._engine.dialect.name != "sqlite":
            return None
        if self._process != os.getpid():
            self._start_anew()
        with self._lock:
            if self._is_closed:
                return None
            try:
                cursor = self._open().cursor()
                try:
                    (version,) = cursor.execute("PRAGMA data_version").fetchone()
                finally:
                    cursor.close()
            except (sqlite3.Error, sa.exc.DBAPIError):  # whoever reads next is told
                self._drop()
                return None
            return self._num_opened, int(version)

    def close(self) -> None:
        """Let go of the connection."""
        if self._process != os.getpid():
            self._start_anew()
        with self._lock:
            self._is_closed = True
            self._drop()

    def _open(self) -> sa.PoolProxiedConnection:
        if self._connection is None:
            self._connection = self._engine.raw_connection()
            self._connection.detach()  # it is no other's
            self._num_opened += 1  # what another connection counted says nothing here
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
