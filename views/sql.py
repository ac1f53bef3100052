"""SQL over versions and views: names are resolved by the store, rows stream out of the engine."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from foldstore.datastore.engine import Engine, ParsedQuery, QueryResult
from foldstore.datastore.export.file import write_file
from foldstore.datastore.query_limits import NO_LIMITS, Countdown, QueryLimits
from foldstore.datastore.query_parameters import Params, bind_parameters
from foldstore.errors import InvalidQueryError
from foldstore.views.display import MAX_ROWS, html_table, shorten
from foldstore.views.sql_tables import QueryTables, Resolve, open_tables
from foldstore.views.values import NO_VALUE, first_without_python_value, python_values

if TYPE_CHECKING:
    import polars as pl


def run_sql(
    query: str, params: Params | None, resolve: Resolve, *, engine: Engine, limits: QueryLimits = NO_LIMITS
) -> "SqlResult":
    """Run a query over the versions and views that it names.

    Parameters
    ----------
    query : str
        One query that only reads. Names with ``@``, ``#`` or ``.`` are quoted: ``FROM "flights@3"``.
        Case does not matter.
    params : sequence or mapping, optional
        Values for ``?`` or ``$name``, bound and never formatted into the text.
    resolve : callable
        Turns each name that the query uses into a table, a pinned version or a view.
    engine : Engine
        Runs it.
    limits : QueryLimits
        What it may take.

    Raises
    ------
    InvalidQueryError
        When the text is not one query that only reads, or does not fit the tables.
    NotFoundError
        From `resolve`, for a name that it does not know.
    """
    parsed = engine.parse_query(query)
    bound = bind_parameters(parsed.parameters, params)
    countdown = Countdown(limits.check().timeout)
    tables = open_tables(parsed, resolve, _by_name(bound), countdown)
    return SqlResult(engine, parsed, tables, bound, limits, countdown)


def open_query(
    query: str, params: Params | None, resolve: Resolve, *, engine: Engine, timeout: float | None = None
) -> QueryTables:
    """Read the tables that a query needs, and run nothing: for whoever runs it elsewhere.

    Parameters
    ----------
    query, params, resolve
        As in `run_sql`.
    engine : Engine
        Parses the query.
    timeout : float, optional
        How many seconds the reading may take.
    """
    parsed = engine.parse_query(query)
    bound = bind_parameters(parsed.parameters, params)
    return open_tables(parsed, resolve, _by_name(bound), Countdown(timeout))


def _by_name(bound: list[Any] | dict[str, Any] | None) -> dict[str, Any]:
    return {str(n): value for n, value in enumerate(bound, 1)} if isinstance(bound, list) else bound or {}


class SqlResult:
    """The answer to a query over pinned versions.

    The query starts at once, so that errors show where it was written, and streams. Asking for the rows a
    second time runs it again.
    """

    __slots__ = ("_engine", "_limits", "_opened", "_params", "_query", "_started", "arrow_schema")

    def __init__(
        self,
        engine: Engine,
        query: ParsedQuery,
        opened: QueryTables,
        params: Params | None,
        limits: QueryLimits,
        countdown: Countdown,
    ) -> None:
        self._engine = engine
        self._query = query
        self._opened = opened
        self._params = params
        self._limits = limits
        self._started: QueryResult | None = self._start(limits, countdown)
        self.arrow_schema: pa.Schema = self._started.schema

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows as record batches."""
        return self._run().to_batches()

    def to_reader(self) -> pa.RecordBatchReader:
        """Return the rows as a reader, for whatever takes an Arrow stream."""
        return self._run().to_reader()

    def export(self, path: str | Path, **how: Any) -> list[Path]:
        """Write the rows to a file: ``format=, overwrite=, rows_per_file=, progress=`` as in `View.export`."""
        return write_file(self.arrow_schema, self.to_batches(), path, **how)

    def to_arrow(self) -> pa.Table:
        """Return the rows as a table."""
        return self._run().to_arrow()

    def to_polars(self) -> "pl.DataFrame":
        """Return the rows as a polars DataFrame."""
        from foldstore.views import frames

        return frames.to_polars(self.to_arrow())

    def to_pandas(self) -> Any:
        """Return the rows as a pandas DataFrame; pandas is an extra."""
        from foldstore.views import frames

        return frames.to_pandas(self.to_arrow())

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the rows as tuples of Python values.

        Raises
        ------
        InvalidQueryError
            When Python has no such value: dates outside the years 1 to 9999, parts of a microsecond.
        """
        table = self.to_arrow()
        try:
            return list(zip(*map(python_values, table.columns), strict=True))
        except NO_VALUE as error:
            raise _no_python_value(table, error) from error

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.to_reader().__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        names = ", ".join(f"{field.name}: {field.type}" for field in self.arrow_schema)
        return shorten(f"<SqlResult ({names}) of {' '.join(self._query.text.split())}>", 200)

    def _repr_html_(self) -> str:
        batches, found = [], 0
        result = self._start(replace(self._limits, progress=None))
        for batch in result.to_batches():
            batches.append(batch.slice(0, MAX_ROWS))
            found += batch.num_rows
            if found >= MAX_ROWS:
                break
        result.close()
        head = pa.Table.from_batches(batches, self.arrow_schema).slice(0, MAX_ROWS)
        return html_table(head, f"{head.num_rows} rows shown: {self!r}")

    def _run(self) -> QueryResult:
        started, self._started = self._started, None
        return started or self._start(self._limits)

    def _start(self, limits: QueryLimits, countdown: Countdown | None = None) -> QueryResult:
        opened = self._opened
        return self._engine.run_query(
            self._query, opened.tables, self._params, limits=limits, countdown=countdown, columns=opened.columns
        )


def _no_python_value(table: pa.Table, error: BaseException) -> InvalidQueryError:
    found = first_without_python_value(zip(table.schema.names, table.columns, strict=True))
    name, shown = found or ("?", str(error))
    return InvalidQueryError(
        f"Python has no value for {shown} in column {name!r}.",
        hint="Read it with to_arrow(), or as text: SELECT x::VARCHAR.",
        code="no-python-value",
        column=name,
    )
