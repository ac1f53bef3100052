"""The whole catalog at one moment, as a SQLite file: copied out of a live one, and put back into an empty one.

SQLite copies itself (its online backup); from PostgreSQL every table is read in one REPEATABLE READ transaction.
So a backup is restored without a server, whatever the catalog lay in.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import sqlalchemy as sa

from foldstore.datastore.catalog import tables as t
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.commits import LEASE
from foldstore.datastore.catalog.connection import begin_write, open_database, sqlite_url
from foldstore.errors import StoreError
from foldstore.types import Clock, format_time

_IN_RUN: Final = 500
# Rows of these tables refer to rows of the same table: those come first.
_ORDERS: Final = {
    "version": (t.version.c.dataset_id, t.version.c.number),
    "run": (t.run.c.started_at, t.run.c.id),
}


def snapshot_catalog(catalog: Catalog, target: Path) -> None:
    """Write the catalog as it is now into a new SQLite file; writers go on meanwhile."""
    with catalog.read() as connection:
        engine = connection.engine
    try:
        if engine.dialect.name == "sqlite":
            _copy_file(engine, target)
        else:
            _dump(engine, target)
    except (sqlite3.Error, sa.exc.DBAPIError) as error:
        raise StoreError(
            f"The catalog could not be copied: {str(getattr(error, 'orig', error)).strip()}.",
            hint="Check free space and permissions in the backup's folder.",
        ) from error


def _copy_file(engine: sa.Engine, target: Path) -> None:
    raw = engine.raw_connection()
    try:
        with closing(sqlite3.connect(target)) as copy:
            source = raw.driver_connection
            assert isinstance(source, sqlite3.Connection)  # noqa: S101  # the dialect says so
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
            copy.execute("VACUUM")  # pages are copied as they are: with what rows left that were deleted, or withheld
    finally:
        raw.close()


def _dump(engine: sa.Engine, target: Path) -> None:
    copy = open_database(sqlite_url(target))
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    try:
        with engine.connect().execution_options(**options) as source, source.begin(), begin_write(copy) as connection:
            _copy_tables(source, connection)
        with copy.connect() as connection:
            _fold_log(connection)
    finally:
        copy.dispose()


def _fold_log(connection: sa.Connection) -> None:
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)  # noqa: S101  # the dialect says so
    connection.rollback()
    raw.execute("PRAGMA journal_mode=DELETE")


def load_snapshot(source: Path, url: str) -> None:
    """Put a snapshot into an empty database, all of it or nothing.

    Raises
    ------
    StoreError
        When a store's catalog is there already.
    """
    taken, target = open_database(sqlite_url(source)), open_database(url)
    try:
        with taken.connect() as rows, rows.begin(), begin_write(target) as connection:
            refuse_used(connection)
            _copy_tables(rows, connection)
    finally:
        taken.dispose()
        target.dispose()


def refuse_used(connection: sa.Connection) -> None:
    """Refuse to fill a database that has the catalog of a store."""
    if connection.execute(sa.select(t.store.c.key).limit(1)).first() is not None:
        raise StoreError(
            "The database holds the catalog of a store.", hint="Name an empty one; nothing is written over."
        )


def _copy_tables(source: sa.Connection, target: sa.Connection) -> None:
    for table in t.metadata.sorted_tables:
        query = sa.select(table).order_by(*_ORDERS.get(table.name, table.primary_key.columns))
        result = source.execution_options(yield_per=_IN_RUN).execute(query)
        for rows in result.mappings().partitions():
            target.execute(sa.insert(table), [dict(row) for row in rows])


def settle_restored(catalog: Catalog) -> None:
    """Say in a restored catalog that nobody is at work in it: commits that were under way are over, leases too."""
    with catalog.write() as connection:
        connection.execute(sa.update(t.transaction).where(t.transaction.c.state == "open").values(state="aborted"))
        connection.execute(sa.delete(t.lease))


@contextmanager
def holding_all(catalog: Catalog, holder: str, clock: Clock) -> Iterator["Hold"]:
    """Keep the rows of every version while they are copied."""
    hold = Hold(catalog, holder, clock)
    hold.take()
    try:
        yield hold
    finally:
        hold.release()


class Hold:
    """Leases on every version that has its rows."""

    def __init__(self, catalog: Catalog, holder: str, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock
        self.holder = f"{holder} {uuid4().hex}"
        self._renewed = clock()

    def take(self) -> None:
        """Take the leases; a store that may only be read is left as it is."""
        if self._catalog.read_only:
            return
        with self._catalog.write() as connection:
            query = sa.select(t.version.c.id).where(t.version.c.expired_at.is_(None))
            rows = [self._row(row.id) for row in connection.execute(query)]
            if rows:
                connection.execute(sa.insert(t.lease), rows)

    def _row(self, version_id: str) -> dict[str, Any]:
        now = self._clock()
        return {
            "id": uuid4().hex,
            "version_id": version_id,
            "holder": self.holder,
            "lease_until": format_time(now + LEASE),
            "created_at": format_time(now),
        }

    def renew(self) -> None:
        """Make the leases longer, once a quarter of their time is over."""
        now = self._clock()
        if self._catalog.read_only or now - self._renewed < LEASE / 4:
            return
        self._renewed = now
        mine = sa.update(t.lease).where(t.lease.c.holder == self.holder)
        with self._catalog.write() as connection:
            connection.execute(mine.values(lease_until=format_time(now + LEASE)))

    def release(self) -> None:
        """Let go of them."""
        if self._catalog.read_only:
            return
        with self._catalog.write() as connection:
            connection.execute(sa.delete(t.lease).where(t.lease.c.holder == self.holder))
