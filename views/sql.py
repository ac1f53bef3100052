"""SQL over versions and views: names are resolved by the store, rows stream out of the engine."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pyarrow as pa

from foldstore.datastore.engine import Engine, ParsedQuery, QueryResult
from foldstore.datastore.export.file import write_file
from foldstore.errors import InvalidNameError, InvalidQueryError, NotFoundError
from foldstore.views.display import MAX_ROWS, html_table, shorten
from foldstore.views.values import NO_VALUE, first_without_python_value, python_values
from foldstore.views.view import View

if TYPE_CHECKING:
    import polars as pl

Params = Sequence[Any] | Mapping[str, Any]
# Turns a name of the query (an address) into rows; raises NotFoundError, with what exists, for any other.
Resolve = Callable[[str], "pa.Table | Tabular | View"]


class Tabular(Protocol):
    """What has columns, and makes a table of some of them: a pinned version, a table about the store itself."""

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns."""

    def to_table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows, of some columns."""


@runtime_checkable
class Restrictable(Tabular, Protocol):
    """A table that may leave rows out before they are made."""

    def restricted(self, wanted: Mapping[str, frozenset[str]]) -> "Tabular":
        """Return the table with all rows whose columns have these values, and perhaps with others."""


def run_sql(query: str, params: Params | None, resolve: Resolve, *, engine: Engine) -> "SqlResult":
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

    Raises
    ------
    InvalidQueryError
        When the text is not one query that only reads, or does not fit the tables.
    NotFoundError
        From `resolve`, for a name that it does not know.
    """
    parsed = engine.parse_query(query)
    found = {name: _restricted(_resolved(name, resolve), parsed.wanted_of(name, params)) for name in parsed.tables}
    tables = {name: _table(each, parsed.columns_of(_names(each))) for name, each in found.items()}
    try:
        return SqlResult(engine, parsed, tables, params)
    except InvalidQueryError as error:
        if error.code == "query-stopped":
            raise
        # All columns this time: the message can then say what else there is.
        whole = {name: _table(each, _names(each)) for name, each in found.items()}
        return SqlResult(engine, parsed, whole, params)


def _restricted(
    found: "pa.Table | Tabular | View", wanted: Mapping[str, frozenset[str]]
) -> "pa.Table | Tabular | View":
    return found.restricted(wanted) if wanted and isinstance(found, Restrictable) else found


def _table(found: "pa.Table | Tabular | View", columns: list[str]) -> pa.Table:
    """Read only the columns that a query may use: the others are neither mapped nor verified."""
    if isinstance(found, View):
        return found.select(*columns).to_arrow()
    return found.select(columns) if isinstance(found, pa.Table) else found.to_table(columns)


def _names(found: "pa.Table | Tabular | View") -> list[str]:
    schema: pa.Schema = found.schema if isinstance(found, pa.Table) else found.arrow_schema
    return list(schema.names)


class SqlResult:
    """The answer to a query over pinned versions.

    The query starts at once, so that errors show where it was written, and streams. Asking for the rows a
    second time runs it again.
    """

    __slots__ = ("_engine", "_params", "_query", "_started", "_tables", "arrow_schema")

    def __init__(
        self, engine: Engine, query: ParsedQuery, tables: Mapping[str, pa.Table], params: Params | None
    ) -> None:
        self._engine = engine
        self._query = query
        self._tables = tables
        self._params = params
        self._started: QueryResult | None = engine.run_query(query, tables, params)
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
        result = self._engine.run_query(self._query, self._tables, self._params)
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
        return started or self._engine.run_query(self._query, self._tables, self._params)


def _no_python_value(table: pa.Table, error: BaseException) -> InvalidQueryError:
    found = first_without_python_value(zip(table.schema.names, table.columns, strict=True))
    name, shown = found or ("?", str(error))
    return InvalidQueryError(
        f"Python has no value for {shown} in column {name!r}.",
        hint="Read it with to_arrow(), or as text: SELECT x::VARCHAR.",
        code="no-python-value",
        column=name,
    )


def _resolved(name: str, resolve: Resolve) -> "pa.Table | Tabular | View":
    """Look a name up as written, then in lower case: SQL ignores case, and stored names have none."""
    try:
        return resolve(name)
    except (NotFoundError, InvalidNameError):
        if name == name.lower():
            raise
    return resolve(name.lower())
