"""The tables that a query is given: of what its names stand for, the columns and the record batches it may need."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

import pyarrow as pa

from foldstore.datastore.comparison import Comparison
from foldstore.datastore.engine import ParsedQuery
from foldstore.datastore.query_limits import Countdown
from foldstore.errors import InvalidNameError, NotFoundError
from foldstore.views.rows.chain_rows import ChainRows
from foldstore.views.rows.rows import endless, project
from foldstore.views.rows.source_rows import SourceRows
from foldstore.views.view import View

# Below, to ask where rows may lie takes longer than to look at them.
_FEW_ROWS: Final = 131_072


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


Named: TypeAlias = "pa.Table | Tabular | View"
# Turns a name of the query (an address) into rows; raises NotFoundError, with what exists, for any other.
Resolve = Callable[[str], Named]


@dataclass(frozen=True, slots=True)
class QueryTables:
    """The tables of a query by the names it uses, and all columns that what it names has."""

    tables: Mapping[str, pa.Table]
    columns: tuple[str, ...]


def open_tables(query: ParsedQuery, resolve: Resolve, values: Mapping[str, Any], countdown: Countdown) -> QueryTables:
    """Look the names of a query up, and read what it may need of each; nothing else is opened.

    Parameters
    ----------
    query : ParsedQuery
        What is asked.
    resolve : callable
        Turns each name into a table, a pinned version or a view.
    values : mapping of str to object
        What is bound to the parameters.
    countdown : Countdown
        The time that is left.
    """
    found = {name: _restrict(_resolve(name, resolve), query.wanted_of(name, values)) for name in query.tables}
    schemas = {name: _schema_of(each) for name, each in found.items()}
    columns = tuple(column for schema in schemas.values() for column in schema.names)
    tables = {}
    for name, each in found.items():
        comparisons = query.conditions.comparisons(name, schemas[name], columns, values)
        tables[name] = _read(name, each, query.columns_of(schemas[name].names), comparisons, countdown)
    return QueryTables(tables, columns)


def _read(
    name: str, found: Named, columns: Sequence[str], comparisons: Sequence[Comparison], countdown: Countdown
) -> pa.Table:
    if isinstance(found, pa.Table):
        return found.select(columns)
    if not isinstance(found, View):
        return found.to_table(columns)
    if found.is_endless:
        raise endless(f"{name!r} cannot be queried")
    rows = found.rows
    if isinstance(rows, SourceRows) and not _leaves_out(rows, comparisons):
        with countdown:
            return rows.source.to_table(columns)
    batches = _in_time(_scan(found, columns, comparisons), countdown)
    return pa.Table.from_batches(batches, project(found.arrow_schema, columns))


def _leaves_out(rows: SourceRows, comparisons: Sequence[Comparison]) -> bool:
    """Say whether some record batches need not be read."""
    if not comparisons or rows.source.num_rows <= _FEW_ROWS:
        return False
    return len(rows.finder.likely(comparisons)) < rows.finder.num_batches


def _scan(view: View, columns: Sequence[str], comparisons: Sequence[Comparison]) -> Iterator[pa.RecordBatch]:
    rows = view.rows
    if (
        comparisons
        and isinstance(rows, SourceRows | ChainRows)
        and sum(pinned.source.num_rows for pinned in view.sources()) > _FEW_ROWS
    ):
        batches = rows.scan(columns, comparisons)
    else:
        batches = rows.stream(columns)
    return (batch if batch.schema.names == list(columns) else batch.select(columns) for batch in batches)


def _in_time(batches: Iterator[pa.RecordBatch], countdown: Countdown) -> Iterator[pa.RecordBatch]:
    with countdown:
        for batch in batches:
            countdown.check()
            yield batch


def _restrict(found: Named, wanted: Mapping[str, frozenset[str]]) -> Named:
    return found.restricted(wanted) if wanted and isinstance(found, Restrictable) else found


def _schema_of(found: Named) -> pa.Schema:
    return found.schema if isinstance(found, pa.Table) else found.arrow_schema


def _resolve(name: str, resolve: Resolve) -> Named:
    """Look a name up as written, then in lower case: SQL ignores case, and stored names have none."""
    try:
        return resolve(name)
    except (NotFoundError, InvalidNameError):
        if name == name.lower():
            raise
    return resolve(name.lower())
