"""Ways out that must be shut, each tried in a process that is locked as for a query.

They go around the check of the query's text, which would refuse most of them: what is asked is whether the walls
behind it stand. A new release of DuckDB may change a default; then SQL is not offered.
"""

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Final

from foldstore.datastore.engine_database import ENGINE_ERRORS

if TYPE_CHECKING:
    import duckdb

_FILE: Final = "/proc/self/environ"  # a file that is there, and that only this user may read
_OUT: Final = str(Path(gettempdir()) / f"foldstore-escape-{os.getpid()}")
_STATEMENTS: Final[Mapping[str, str]] = {
    "read a file as text": f"SELECT content FROM read_text('{_FILE}')",
    "read a file as bytes": f"SELECT content FROM read_blob('{_FILE}')",
    "read a file as CSV": f"SELECT * FROM read_csv('{_FILE}', header=false, columns={{'a': 'VARCHAR'}}, delim='\x01')",
    "look at a file": f"SELECT * FROM sniff_csv('{_FILE}')",
    "list a folder": "SELECT * FROM glob('/*')",
    "name a file as a table": "SELECT * FROM '/etc/passwd.csv'",
    "write a file": f"COPY (SELECT 1) TO '{_OUT}.csv'",
    "write a database": f"EXPORT DATABASE '{_OUT}'",
    "attach a file": f"ATTACH '{_OUT}.db'",
    "install an extension": "INSTALL httpfs",
    "load an extension": "LOAD httpfs",
    "allow files again": "SET enable_external_access = true",
    "allow Python's variables": "SET python_enable_replacements = true",
    "raise the limit of memory": "SET memory_limit = '1TB'",
    "use more threads": "SET threads = 64",
    "unlock the settings": "SET lock_configuration = false",
    "spill to a folder": f"SET temp_directory = '{gettempdir()}'",
    "read the environment": "SELECT getenv('PATH')",
    "make a secret": "CREATE SECRET s (TYPE s3)",
    "write a log": "CALL enable_logging()",
    "take more memory than there is for it": "SELECT length(repeat('x', 3_000_000_000))",
}


def find_escapes(connection: "duckdb.DuckDBPyConnection") -> list[str]:
    """Try every way out; return the names of those that are open.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        As a query gets it.
    """
    attempts: dict[str, Callable[[], object]] = {
        "open a file": lambda: Path("/dev/null").read_bytes(),
        "open a socket": lambda: socket.socket().close(),
        "open a pipe": _open_pipe,
        "start a program": _start_program,
        "name a variable as a table": partial(_ask_for_variable, connection),
    }
    for name, statement in _STATEMENTS.items():
        attempts[name] = partial(_run, connection, statement)
    return [name for name, attempt in attempts.items() if _succeeds(attempt)]


def _succeeds(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except (*ENGINE_ERRORS, MemoryError):
        return False
    return True


def _run(connection: "duckdb.DuckDBPyConnection", statement: str) -> None:
    connection.execute(statement).fetchall()


def _ask_for_variable(connection: "duckdb.DuckDBPyConnection") -> None:
    import pyarrow as pa

    hidden = pa.table({"x": [1]})
    with suppress(NameError):
        _run(connection, "SELECT x FROM hidden")
        return
    raise OSError(hidden.num_rows)


def _open_pipe() -> None:
    for end in os.pipe():
        os.close(end)


def _start_program() -> None:
    """A program needs a pipe to hear of its start, and files to be read from."""
    import subprocess

    subprocess.run(["/bin/true"], check=True, capture_output=True)
