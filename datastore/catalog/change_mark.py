"""A mark of the catalog's state: equal marks mean that nothing was committed in between, by anybody."""

import os
import sqlite3
from threading import Lock

import sqlalchemy as sa


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
        self._lock = Lock()
        self._connection: sa.PoolProxiedConnection | None = None
        self._process = 0
        self._num_opened = 0

    def read(self) -> tuple[int, int] | None:
        """Return the mark; None where the database has none (PostgreSQL), or cannot be read."""
        if self._engine.dialect.name != "sqlite":
            return None
        with self._lock:
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
        with self._lock:
            self._drop()

    def _open(self) -> sa.PoolProxiedConnection:
        if self._process != os.getpid():
            self._connection = None  # what was opened before a fork is the parent's
        if self._connection is None:
            self._connection = self._engine.raw_connection()
            self._connection.detach()  # it is no other's
            self._process = os.getpid()
            self._num_opened += 1  # what another connection counted says nothing here
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None and self._process == os.getpid():
            self._connection.close()
        self._connection = None
