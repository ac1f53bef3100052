"""DuckDB databases in memory, locked: no files, no extensions, no Python objects, time zone UTC."""

import ctypes
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from foldstore.datastore.engine_errors import cut
from foldstore.datastore.expression import FunctionKind, classify_functions, read_tree
from foldstore.errors import UsageError

BATCH_ROWS: Final = 131_072
# What running a text may raise.
ENGINE_ERRORS: Final = (duckdb.Error, pa.ArrowException, OSError, RuntimeError)
# 200 levels keep both DuckDB's parser and Python's JSON reader far from the end of their stacks.
_MAX_DEPTH: Final = 200


@dataclass(frozen=True, slots=True)
class DatabaseOptions:
    """How a database is opened.

    Attributes
    ----------
    memory_limit : str or None
        What it may use; half of what DuckDB takes the machine to have unless given.
    threads : int or None
        How many threads a query may use; one per core unless given.
    temp_directory : Path or None
        Where a query that outgrows the memory may spill; without one it fails instead.
    """

    memory_limit: str | None = None
    threads: int | None = None
    temp_directory: Path | None = None


def open_database(options: DatabaseOptions) -> duckdb.DuckDBPyConnection:
    """Open a locked database; its connections are made with ``cursor()``."""
    config: dict[str, Any] = {
        "temp_directory": "" if options.temp_directory is None else str(options.temp_directory),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "python_enable_replacements": False,
        # DuckDB's own default is 80 %: a store shares its process with whoever opened it.
        "memory_limit": options.memory_limit or "50%",
    }
    if options.threads is not None:
        config["threads"] = options.threads
    try:
        database = duckdb.connect(":memory:", config=config)
    except duckdb.Error as error:
        raise UsageError(
            f"The SQL engine does not start with memory_limit={options.memory_limit!r}, "
            f"threads={options.threads!r}: {cut(str(error))}",
            hint="A limit is a number and MB, GB, MiB or GiB, such as 2GB.",
            code="invalid-setting",
        ) from error
    # GLOBAL: otherwise the connections that are opened from this one keep the defaults.
    for setting in (
        "TimeZone = 'UTC'",
        f"max_expression_depth = {_MAX_DEPTH}",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        database.execute(f"SET GLOBAL {setting}")
    return database


def leave_behind(database: duckdb.DuckDBPyConnection) -> None:
    """Let a forked process keep its parent's database for ever, unused: to close it would wait for dead threads."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(database))


def list_functions() -> list[str]:
    """List the functions that DuckDB has under a plain name; operators are functions, too."""
    return sorted(name for name in function_kinds() if name.isidentifier() and not name.startswith("_"))


@functools.cache
def function_kinds() -> Mapping[str, FunctionKind]:
    """Ask DuckDB which functions it has; they are the same for a whole process."""
    with duckdb.connect(":memory:") as connection:
        rows = connection.execute("SELECT function_name, function_type, stability FROM duckdb_functions()").fetchall()
    return classify_functions(rows)


def run_text(
    connection: duckdb.DuckDBPyConnection, sql: str, params: list[Any] | dict[str, Any] | None = None
) -> duckdb.DuckDBPyRelation:
    """Plan a query that was judged before; it runs when its rows are asked for."""
    return connection.sql(sql, params=params)


def parse_trees(connection: duckdb.DuckDBPyConnection, *texts: str) -> list[Mapping[str, Any]]:
    """Return the syntax trees of some texts; nothing of them is run."""
    (row,) = connection.execute(f"SELECT {', '.join(['json_serialize_sql(?)'] * len(texts))}", list(texts)).fetchall()
    return [read_tree(written) for written in row]
