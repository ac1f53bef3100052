"""Rows of the store as a relation of a DuckDB connection that is the caller's."""

from typing import Any

import duckdb
import pyarrow as pa

from foldstore.datastore.engine_database import ENGINE_ERRORS
from foldstore.datastore.engine_errors import cut, query_failed, refuse_case_twins
from foldstore.errors import InvalidQueryError, UsageError


def open_relation(table: pa.Table, connection: Any = None) -> Any:
    """Show a table to a DuckDB of the caller's, without a copy: the one way rows leave for SQL that is not judged.

    Parameters
    ----------
    table : pyarrow.Table
        Kept alive by the relation.
    connection : duckdb.DuckDBPyConnection, optional
        Where the relation lives; DuckDB's default connection unless given.

    Raises
    ------
    UsageError
        When the connection is none of DuckDB's, or is closed.
    InvalidQueryError
        When DuckDB has no type for a column.

    Examples
    --------
    >>> import pyarrow as pa
    >>> open_relation(pa.table({"x": [1, 2]})).sum("x").fetchall()
    [(3,)]
    """
    if not isinstance(connection, duckdb.DuckDBPyConnection | None):
        raise UsageError(
            f"connection is a DuckDB connection, not {type(connection).__name__}.", hint="Write duckdb.connect()."
        )
    refuse_case_twins(table.schema.names, "the view", InvalidQueryError)
    try:
        return duckdb.from_arrow(table) if connection is None else connection.from_arrow(table)
    except duckdb.ConnectionException as error:
        raise UsageError(f"The connection cannot be used: {cut(str(error))}", hint="Open a new one.") from error
    except ENGINE_ERRORS as error:
        raise query_failed(error, table.schema.names) from error
