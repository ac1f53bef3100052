"""How the catalog's database is opened: pragmas, transactions that lock at once, migrations.

SQLite runs in WAL mode with synchronous=FULL: a commit that returned is on disk.
"""

import os
import sqlite3
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy as sa

from foldstore.errors import StoreError, StoreFormatError

# The revision that this code reads and writes; a test holds it equal to the newest migration.
REVISION: Final = "0002"
_LOCK_WAIT_SECONDS: Final = 60
_WAL_WAIT_SECONDS: Final = 10
# An arbitrary constant that all openers share, so that one of them migrates (PostgreSQL only).
_MIGRATION_LOCK: Final = 7_063_211_904

# What a process that is forked off must not use: its parent's connections. (SQLite, "How To Corrupt", 2.6.)
_open: weakref.WeakSet[sa.Engine] = weakref.WeakSet()


def _forget_connections() -> None:
    for engine in _open:
        engine.dispose(close=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_connections)


def open_database(url: str, *, read_only: bool = False) -> sa.Engine:
    """Open the catalog's database and bring it to this code's format.

    Parameters
    ----------
    url : str
        An SQLAlchemy URL; `sqlite_url` makes the one of a file.
    read_only : bool
        Whether nothing is written, not even beside a SQLite file; an older format is then refused.

    Raises
    ------
    StoreError
        When the database cannot be reached or is not a database.
    StoreFormatError
        When a newer Foldstore wrote it.
    """
    engine = _create_engine(url, read_only=read_only)
    _open.add(engine)
    try:
        _migrate(engine, read_only=read_only)
    except BaseException as error:
        engine.dispose()
        if not isinstance(error, sa.exc.DBAPIError):
            raise
        raise StoreError(
            f"The catalog cannot be opened: {str(error.orig).strip()}.",
            hint="Check that the folder or server exists, is a Foldstore catalog, and may be written; "
            "read_only=True opens what may only be read.",
            catalog=sa.engine.make_url(url).render_as_string(hide_password=True),
        ) from error
    return engine


def sqlite_url(path: Path) -> str:
    """Return the SQLAlchemy URL of a catalog file."""
    return str(sa.URL.create("sqlite", database=str(path)))


def _create_engine(url: str, *, read_only: bool) -> sa.Engine:
    try:
        parsed = sa.engine.make_url(url)
    except sa.exc.ArgumentError as error:
        raise StoreError("The catalog's address is not a database URL.", hint="Write postgresql+psycopg://…") from error
    if parsed.get_backend_name() == "sqlite":
        if read_only:
            parsed = _read_only_url(Path(parsed.database or ""))
        engine = sa.create_engine(parsed, connect_args={"timeout": _LOCK_WAIT_SECONDS, "check_same_thread": False})
        sa.event.listen(engine, "connect", _set_read_only if read_only else _set_pragmas)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    if parsed.get_backend_name() != "postgresql":
        raise StoreError(
            f"A catalog cannot lie in {parsed.get_backend_name()}.", hint="Use postgresql+psycopg://… or the default."
        )
    return sa.create_engine(parsed, isolation_level="READ COMMITTED", pool_pre_ping=True)


def _read_only_url(path: Path) -> sa.URL:
    """Return the URL of a file that is not written, nor anything beside it.

    A log beside the file holds commits that the file lacks: then SQLite must read both, and cannot where it may
    not make its index of the log. Without one, and where nobody can write, the file is as it stays.
    """
    if not path.is_file():
        raise StoreError(f"There is no catalog {path.name} in {path.parent}.", hint="Restore it, or rebuild it.")
    log = path.with_name(f"{path.name}-wal")
    still = not (log.is_file() and log.stat().st_size) and not os.access(path.parent, os.W_OK)
    name = quote(str(path), safe="/")
    return sa.URL.create(
        "sqlite", database=f"file:{name}", query={"mode": "ro", "uri": "true", **({"immutable": "1"} if still else {})}
    )


def _set_read_only(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA query_only=ON")
    cursor.close()


def _set_pragmas(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's begin event says when a transaction starts
    cursor = connection.cursor()
    _set_wal(cursor)
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _set_wal(cursor: Any) -> None:
    """Switch to write-ahead logging; of two openers of a new file at once SQLite fails one without waiting."""
    until = time.monotonic() + _WAL_WAIT_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: sa.Connection) -> None:
    # A writer takes the lock when it begins: upgrading a read lock later can fail with "database is locked".
    writes = connection.get_execution_options().get("foldstore_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def begin_write(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Run a transaction that writes; leaving the block commits it, an exception rolls it back."""
    with engine.connect().execution_options(foldstore_write=True) as connection, connection.begin():
        yield connection


def _migrate(engine: sa.Engine, *, read_only: bool) -> None:
    with engine.connect() as connection:
        found = _read_revision(connection)
    if found == REVISION:
        return  # alembic costs 300 ms to import: not paid on an ordinary open
    if found is not None and found > REVISION:
        raise StoreFormatError(
            f"This store's catalog has format {found}; this Foldstore knows formats up to {REVISION}.",
            hint="Install a newer Foldstore: pip install --upgrade foldstore.",
            found=found,
            known=REVISION,
        )
    if read_only:
        raise StoreError(
            f"This store's catalog has format {found}; to be read it has to become {REVISION}.",
            hint="Open it once for writing, on a copy when the folder is read-only.",
            code="read-only",
        )
    _upgrade(engine)


def _read_revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(engine: sa.Engine) -> None:
    from alembic import command
    from alembic.config import Config

    with begin_write(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        config = Config()
        config.set_main_option("script_location", "foldstore.datastore.catalog:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, REVISION)
