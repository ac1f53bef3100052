"""Arrow tables as a DuckDB connection sees them: by the names of a query, without a copy."""

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from foldstore.datastore.engine_database import ENGINE_ERRORS, run_text
from foldstore.datastore.engine_errors import cut, refuse_case_twins, refuse_name_twins, unreadable_columns
from foldstore.datastore.engine_types import is_plain, is_watched, loses_digits, refuse_inexact
from foldstore.datastore.query import OWN_SCHEMA, ParsedQuery
from foldstore.errors import InvalidQueryError, NotFoundError, did_you_mean

if TYPE_CHECKING:
    import duckdb

_PROBE: Final = "foldstore_rows"


def choose_tables(query: ParsedQuery, tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """Return the tables that a query names.

    Raises
    ------
    NotFoundError
        When there is none of a name.
    InvalidQueryError
        When SQL would take two of the names, or two columns of a table, for one.
    """
    used = {name: _table_for(name, tables) for name in query.tables}
    refuse_name_twins(used)
    for name, table in used.items():
        refuse_case_twins(table.schema.names, f"table {name!r}", InvalidQueryError)
    return used


def readable_tables(
    connection: "duckdb.DuckDBPyConnection", query: ParsedQuery, tables: Mapping[str, pa.Table]
) -> tuple[dict[str, pa.Table], list[pa.Field]]:
    """Return the tables without the columns that SQL cannot read, and these.

    Raises
    ------
    InvalidQueryError
        When the query asks for such a column.
    """
    readable: dict[str, pa.Table] = {}
    left_out: list[pa.Field] = []
    for name, table in tables.items():
        readable[name], hidden = _readable(connection, name, table, query)
        left_out += hidden
    return readable, left_out


def show_tables(connection: "duckdb.DuckDBPyConnection", tables: Mapping[str, object], making: threading.Lock) -> None:
    """Let a connection see tables by their names, without a copy.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        What is to see them.
    tables : mapping of str to object
        Anything with ``__arrow_c_stream__``.
    making : threading.Lock
        One for the whole database: of two connections that make the same view at once, DuckDB refuses one.
    """
    for name, table in tables.items():
        connection.register(name, table)
        if name.lower().startswith(f"{OWN_SCHEMA}."):
            with making:
                _show_in_own_schema(connection, name)


def _table_for(name: str, tables: Mapping[str, pa.Table]) -> pa.Table:
    if name in tables:
        return tables[name]
    raise NotFoundError(f"There is no table {cut(name)!r}.", hint=did_you_mean(name, tables), name=name)


def _readable(
    connection: "duckdb.DuckDBPyConnection", name: str, table: pa.Table, query: ParsedQuery
) -> tuple[pa.Table, list[pa.Field]]:
    """Leave out columns that DuckDB cannot read exactly, unless the query asks for all columns."""
    left_out = [field for field in table.schema if not is_plain(field.type) and not _reads(connection, field)]
    if left_out and query.names is None:
        raise unreadable_columns(left_out, f"{cut(name)!r}, and the query asks for all columns")
    kept = table.drop_columns([field.name for field in left_out]) if left_out else table
    for field in kept.schema:
        if is_watched(field.type):
            for chunk in kept[field.name].chunks:
                refuse_inexact(chunk, field.name, f"{cut(name)!r}", InvalidQueryError)
    return kept, left_out


def _reads(connection: "duckdb.DuckDBPyConnection", field: pa.Field) -> bool:
    if loses_digits(field.type):
        return False
    try:
        connection.register(_PROBE, pa.schema([field]).empty_table())
        run_text(connection, f"SELECT * FROM {_PROBE}").to_arrow_table()
    except ENGINE_ERRORS:
        return False
    finally:
        connection.unregister(_PROBE)
    return True


def _show_in_own_schema(connection: "duckdb.DuckDBPyConnection", name: str) -> None:
    """Let ``foldstore.versions`` mean the table of that name, which each connection registers for itself.

    The view is looked up again by every query, with what the connection then has under the name.
    """
    short = name.partition(".")[2].lower().replace('"', '""')
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {OWN_SCHEMA}")
    connection.execute(f'CREATE VIEW IF NOT EXISTS {OWN_SCHEMA}."{short}" AS FROM "{OWN_SCHEMA}.{short}"')
