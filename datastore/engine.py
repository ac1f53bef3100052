"""What asks DuckDB: expressions over batches, queries over tables.

Every connection is in memory, locked (no files, no extensions, no Python objects, time zone UTC) and closed
by whoever opened it. Text reaches DuckDB only after its syntax tree has been judged.
"""

import os
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.comparison import filter_compared, keep_held, read_comparisons
from foldstore.datastore.engine_database import (
    BATCH_ROWS,
    ENGINE_ERRORS,
    DatabaseOptions,
    function_kinds,
    leave_behind,
    open_database,
    parse_trees,
    run_text,
)
from foldstore.datastore.engine_errors import (
    cut,
    does_not_parse,
    expression_failed,
    is_interrupt,
    pointer,
    position,
    query_failed,
    refuse_case_twins,
    unreadable_columns,
)
from foldstore.datastore.engine_relation import open_relation
from foldstore.datastore.engine_tables import choose_tables, readable_tables, show_tables
from foldstore.datastore.engine_types import loses_digits, watched
from foldstore.datastore.expression import (
    Expression,
    FunctionKind,
    check_text,
    columns_used,
    single_item,
)
from foldstore.datastore.feed import Feed, narrow, recut
from foldstore.datastore.parsed import Parsed
from foldstore.datastore.query import ParsedQuery, check_query_text, judge_query, not_a_query, without_explain
from foldstore.datastore.query_limits import NO_LIMITS, Countdown, QueryLimits
from foldstore.datastore.query_parameters import Params, bind_parameters
from foldstore.datastore.query_result import QueryResult
from foldstore.datastore.query_watch import QueryWatch
from foldstore.datastore.running import RunningQueries
from foldstore.errors import FoldstoreError, InvalidExpressionError, InvalidQueryError

if TYPE_CHECKING:
    import duckdb

__all__ = [
    "Engine",
    "Expression",
    "ParsedQuery",
    "QueryResult",
    "evaluate",
    "filter_table",
    "mask",
    "open_relation",
    "parse_expression",
    "parse_predicate",
    "parse_query",
    "run_query",
]

_ROWS: Final = "foldstore_rows"
_FALSE: Final = pa.scalar(False)  # noqa: FBT003 - the only parameter
_OPENING: Final = "SELECT (\n"
_MOST_KEPT: Final = 4_000

_engines: "weakref.WeakSet[Engine]" = weakref.WeakSet()


def _leave_databases() -> None:
    for engine in _engines:
        engine.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_databases)


class Engine:
    """A locked DuckDB database in memory; each use gets a connection of its own.

    Parameters
    ----------
    memory_limit : str, optional
        What DuckDB may use, such as "2GB"; half of what DuckDB takes the machine to have unless given.
    threads : int, optional
        How many threads one query may use; one per core unless given.
    temp_directory : Path, optional
        Where a query that outgrows the memory may spill; unless given it fails instead.

    Examples
    --------
    >>> import pyarrow as pa
    >>> with Engine() as engine:
    ...     engine.run_query("SELECT sum(x) AS total FROM t", {"t": pa.table({"x": [1, 2]})}).to_arrow().to_pydict()
    {'total': [Decimal('3')]}
    """

    def __init__(
        self, *, memory_limit: str | None = None, threads: int | None = None, temp_directory: Path | None = None
    ) -> None:
        self._options = DatabaseOptions(memory_limit, threads, temp_directory)
        self._database: duckdb.DuckDBPyConnection | None = open_database(self._options)
        self._is_closed = False
        self._start_anew()
        _engines.add(self)

    def _start_anew(self) -> None:
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._parsed: Parsed[tuple[str, pa.Schema], Expression] = Parsed()
        self._queries: Parsed[str, ParsedQuery] = Parsed()
        self._running = RunningQueries()

    def interrupt(self) -> None:
        """Stop the queries that are running, from another thread; each ends with an error."""
        self._running.interrupt()

    def close(self) -> None:
        """Take no more work; what is being read may be read to its end."""
        with self._lock:
            self._is_closed = True
            if self._database is not None:
                self._database.close()
                self._database, self._parsed, self._queries = None, Parsed(), Parsed()

    def after_fork(self) -> None:
        """Go on in a process that was forked off: with a database of its own, opened when it is needed.

        The threads of the parent's are not there, and locks of theirs may be held for ever.
        """
        if self._database is not None:
            leave_behind(self._database)
        self._database = None
        self._start_anew()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def connection(self) -> "duckdb.DuckDBPyConnection":
        """Open a connection to the same locked database; tables registered on it are its own."""
        with self._lock:
            if self._is_closed:
                raise InvalidQueryError("The store is closed.", hint="Open it again: foldstore.connect(...).")
            if self._database is None:
                self._database = open_database(self._options)
            return self._database.cursor()

    @contextmanager
    def _borrowed(self) -> "Iterator[duckdb.DuckDBPyConnection]":
        connection = self.connection()
        try:
            yield connection
        finally:
            connection.close()

    def parse_expression(self, text: str, schema: pa.Schema, *, where: str = "the expression") -> Expression:
        """Check an expression against the columns it may see.

        Parameters
        ----------
        text : str
            One SQL expression, with DuckDB's semantics of NULL and NaN (NaN equals NaN and is the greatest).
        schema : pyarrow.Schema
            The columns; they are spelled as there.
        where : str
            What the expression belongs to, for messages.

        Raises
        ------
        InvalidExpressionError
            When it does not parse, does not fit the types, or looks at anything but its row.
        ColumnNotFoundError
            When it names a column that is not there.
        """
        check_text(text, where=where)
        return self._parsed.find((text, schema)) or self._parsed.keep((text, schema), self._parse(text, schema, where))

    def _parse(self, text: str, schema: pa.Schema, where: str) -> Expression:
        with self._borrowed() as connection:
            tree = _expression_tree(connection, text, where)
            columns = columns_used(tree, schema, function_kinds(), where=where)
            refuse_case_twins(columns, where, InvalidExpressionError)
            lost = [schema.field(name) for name in columns if loses_digits(schema.field(name).type)]
            if lost:
                raise unreadable_columns(lost, where, InvalidExpressionError)
            sql = f"(\n{text}\n)"
            try:
                connection.register(_ROWS, narrow(schema, columns).empty_table())
                result = run_text(connection, f"SELECT {sql} AS x FROM {_ROWS}").to_arrow_reader(1).schema.field(0).type
            except ENGINE_ERRORS as error:
                raise expression_failed(error, text, where) from error
        return Expression(text, sql, columns, result, *read_comparisons(tree, schema))

    def parse_predicate(self, text: str, schema: pa.Schema, *, where: str = "the predicate") -> Expression:
        """Check an expression that must be true, false or null for each row; see `parse_expression`."""
        predicate = self.parse_expression(text, schema, where=where)
        if not pa.types.is_boolean(predicate.type):
            raise InvalidExpressionError(
                f"{where} gives {predicate.type}, not true or false: {cut(text)}.",
                hint="Compare it with something, such as x > 0.",
                where=where,
                type=str(predicate.type),
            )
        return predicate

    def evaluate(
        self, expressions: Mapping[str, Expression], schema: pa.Schema, batches: Iterable[pa.RecordBatch]
    ) -> Iterator[pa.RecordBatch]:
        """Compute expressions over batches: one batch out for each batch in, same rows, same order.

        Memory is bounded by a few batches, whatever their number.

        Raises
        ------
        InvalidExpressionError
            When a value does not allow the computation (a cast of 'abc', a division by zero).
        """
        if not expressions:
            raise InvalidExpressionError("There is no expression to evaluate.", hint="Name at least one.")
        columns = _columns_of(expressions.values(), schema)
        shown = narrow(schema, columns)
        feed = Feed(shown, watched(batches, shown, ", ".join(expressions)))
        with self._borrowed() as connection:
            try:
                connection.register(_ROWS, feed.reader())
                reader = run_text(connection, _projection(expressions)).to_arrow_reader(BATCH_ROWS)
                yield from recut(reader, feed, _result_schema(expressions))
            except ENGINE_ERRORS as error:
                if feed.failure is not None:
                    raise feed.failure from error
                if isinstance(error, FoldstoreError):
                    raise
                if is_interrupt(error):
                    raise KeyboardInterrupt from None
                raise self._name_culprit(error, expressions, feed) from error
            finally:
                feed.stop()

    def mask(
        self, predicate: Expression, schema: pa.Schema, batches: Iterable[pa.RecordBatch]
    ) -> Iterator[pa.BooleanArray]:
        """Say for each row of each batch whether the predicate holds; null counts as false."""
        for batch in self.evaluate({"the predicate": predicate}, schema, batches):
            column = batch.column(0)
            yield pc.fill_null(column, _FALSE) if column.null_count else column

    def filter_batches(
        self,
        predicate: Expression,
        schema: pa.Schema,
        batches: Iterable[pa.RecordBatch],
        *,
        keep: Sequence[str] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Keep the rows for which the predicate holds; a batch that keeps all of them passes uncopied."""
        if predicate.is_simple:
            yield from filter_compared(predicate.comparisons, batches, keep)
            return
        waiting: deque[pa.RecordBatch] = deque()

        def remember() -> Iterator[pa.RecordBatch]:
            for batch in batches:
                waiting.append(batch if keep is None else batch.select(keep))
                yield batch

        for held in self.mask(predicate, schema, remember()):
            yield from keep_held(waiting.popleft(), held)

    def filter_table(self, table: pa.Table, predicate: Expression) -> pa.Table:
        """Keep the rows of a table for which the predicate holds, batch by batch, in order."""
        kept = self.filter_batches(predicate, table.schema, table.to_batches())
        return pa.Table.from_batches(kept, table.schema)

    def parse_query(self, text: str) -> ParsedQuery:
        """Check that a text is one query that only reads, and say which tables it names.

        Raises
        ------
        InvalidQueryError
            When it is not; nothing was run.
        """
        check_query_text(text)
        found = self._queries.find(text) or self._parse_query(text)
        # The tree of a long text is many times as long.
        return self._queries.keep(text, found) if len(text) <= _MOST_KEPT else found

    def is_repeatable(self, text: str) -> bool:
        """Say whether a query gives the same rows of the same tables whenever it runs: no clock, no chance.

        Their order may be another one where the query does not say it.
        """
        kinds = function_kinds()
        called = self.parse_query(text).functions
        return all(kinds.get(name, FunctionKind.IMPURE) is not FunctionKind.IMPURE for name in called)

    def _parse_query(self, text: str) -> ParsedQuery:
        with self._borrowed() as connection:
            (tree,) = parse_trees(connection, without_explain(text))
        if tree.get("error"):
            message = str(tree.get("error_message", ""))
            if tree.get("error_type") == "not implemented" and "Only SELECT" in message:
                raise not_a_query(text)
            start = len(text.encode()) - len(without_explain(text).encode())
            raise does_not_parse(text, tree, start)
        return judge_query(text, tree)

    def run_query(
        self,
        query: str | ParsedQuery,
        tables: Mapping[str, pa.Table],
        params: Params | None = None,
        *,
        limits: QueryLimits = NO_LIMITS,
        countdown: Countdown | None = None,
        columns: Iterable[str] | None = None,
        owned: bool = False,
    ) -> QueryResult:
        """Run a query over Arrow tables; only those that it names are shown to DuckDB, without a copy.

        Parameters
        ----------
        query : str or ParsedQuery
            One query that only reads.
        tables : mapping of str to pyarrow.Table
            The tables by the names that the query uses.
        params : sequence or mapping, optional
            Values for ``?`` and ``$1``, or for ``$name``; they are bound, never formatted into the text.
        limits : QueryLimits
            What it may take.
        countdown : Countdown, optional
            The seconds that are left of its time, when some are spent already.
        columns : iterable of str, optional
            The columns there are, for messages; those of the tables unless given.
        owned : bool
            Close this engine together with the result.

        Raises
        ------
        InvalidQueryError
            When it is not allowed, does not fit the tables, or fails on a value.
        NotFoundError
            When it names a table that is not among `tables`.
        """
        if limits.needs_own_database:
            return self._run_limited(query, tables, params, limits, countdown, columns)
        parsed = self.parse_query(query) if isinstance(query, str) else query
        bound = bind_parameters(parsed.parameters, params)
        used = choose_tables(parsed, tables)
        known = [name for table in used.values() for name in table.schema.names] if columns is None else list(columns)
        connection = self.connection()
        running = self._running.begin(connection)
        watch = QueryWatch(running, limits, countdown or Countdown(limits.timeout))
        left_out: list[pa.Field] = []
        try:
            readable, left_out = readable_tables(connection, parsed, used)
            show_tables(connection, watch.meter(readable), self._making)
            return QueryResult(running, watch, known, self if owned else None).start(parsed.text, bound)
        except BaseException as error:
            running.end()
            if isinstance(error, FoldstoreError) or not isinstance(error, ENGINE_ERRORS):
                raise
            raise query_failed(error, known, left_out) from error

    def _run_limited(
        self,
        query: str | ParsedQuery,
        tables: Mapping[str, pa.Table],
        params: Params | None,
        limits: QueryLimits,
        countdown: Countdown | None,
        columns: Iterable[str] | None,
    ) -> QueryResult:
        """Run a query in a database of its own, which ends with its result: DuckDB's limits are a database's."""
        given = self._options
        own = Engine(
            memory_limit=limits.memory_limit or given.memory_limit,
            threads=limits.threads or given.threads,
            temp_directory=given.temp_directory,
        )
        own._running = self._running  # so that `interrupt` reaches it
        watched = QueryLimits(timeout=limits.timeout, progress=limits.progress)
        try:
            return own.run_query(
                query, tables, params, limits=watched, countdown=countdown, columns=columns, owned=True
            )
        except BaseException:
            own.close()
            raise

    def _name_culprit(
        self, error: Exception, expressions: Mapping[str, Expression], feed: "Feed"
    ) -> InvalidExpressionError:
        """Find which of several expressions failed, on the batches that were under way."""
        for name, expression in expressions.items():
            with self._borrowed() as connection:
                connection.register(_ROWS, pa.Table.from_batches(feed.under_way, feed.schema))
                try:
                    run_text(connection, _projection({name: expression})).to_arrow_table()
                except ENGINE_ERRORS as found:
                    return expression_failed(found, expression.text, name)
        return expression_failed(error, "", ", ".join(expressions))


@contextmanager
def lend_engine(engine: Engine | None) -> Iterator[Engine]:
    """Lend the engine, or open one for this use."""
    if engine is not None:
        yield engine
        return
    with Engine() as own:
        yield own


def parse_expression(
    text: str, schema: pa.Schema, *, where: str = "the expression", engine: Engine | None = None
) -> Expression:
    """Check an expression against the columns it may see; see `Engine.parse_expression`.

    Examples
    --------
    >>> import pyarrow as pa
    >>> late = parse_expression("arr_delay > 15", pa.schema({"arr_delay": pa.float64()}))
    >>> late.columns, late.type
    (('arr_delay',), DataType(bool))
    """
    with lend_engine(engine) as lent:
        return lent.parse_expression(text, schema, where=where)


def parse_predicate(
    text: str, schema: pa.Schema, *, where: str = "the predicate", engine: Engine | None = None
) -> Expression:
    """Check an expression that must be boolean; see `Engine.parse_predicate`."""
    with lend_engine(engine) as lent:
        return lent.parse_predicate(text, schema, where=where)


def evaluate(
    expressions: Mapping[str, Expression],
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    *,
    engine: Engine | None = None,
) -> Iterator[pa.RecordBatch]:
    """Compute expressions over batches, one out for each in; see `Engine.evaluate`."""
    with lend_engine(engine) as lent:
        yield from lent.evaluate(expressions, schema, batches)


def mask(
    predicate: Expression, schema: pa.Schema, batches: Iterable[pa.RecordBatch], *, engine: Engine | None = None
) -> Iterator[pa.BooleanArray]:
    """Say for each row whether the predicate holds; see `Engine.mask`."""
    with lend_engine(engine) as lent:
        yield from lent.mask(predicate, schema, batches)


def filter_table(table: pa.Table, predicate: Expression, *, engine: Engine | None = None) -> pa.Table:
    """Keep the rows of a table for which the predicate holds; see `Engine.filter_table`."""
    with lend_engine(engine) as lent:
        return lent.filter_table(table, predicate)


def parse_query(text: str, *, engine: Engine | None = None) -> ParsedQuery:
    """Check a query and say which tables it names; see `Engine.parse_query`.

    Examples
    --------
    >>> parse_query('SELECT count(*) FROM "flights@3#by_month.train"').tables
    ('flights@3#by_month.train',)
    """
    with lend_engine(engine) as lent:
        return lent.parse_query(text)


def run_query(
    query: str | ParsedQuery,
    tables: Mapping[str, pa.Table],
    params: Params | None = None,
    *,
    engine: Engine | None = None,
) -> QueryResult:
    """Run a query over Arrow tables; see `Engine.run_query`.

    Without an engine of the caller's, one is opened for this query and freed with its result.
    """
    if engine is not None:
        return engine.run_query(query, tables, params)
    own = Engine()
    try:
        return own.run_query(query, tables, params, owned=True)
    except BaseException:
        own.close()
        raise


def _expression_tree(connection: "duckdb.DuckDBPyConnection", text: str, where: str) -> Mapping[str, Any]:
    # Without parentheses too: `a) OR (b` is an expression only inside them.
    bare, wrapped = parse_trees(connection, f"SELECT\n{text}\nFROM t", f"{_OPENING}{text}\n) FROM t")
    if wrapped.get("error"):
        message = cut(str(wrapped.get("error_message", "")), 300)
        raise InvalidExpressionError(
            f"{where} does not parse: {message}{pointer(text, wrapped, -len(_OPENING))}",
            hint="Write one SQL expression, such as dep_delay > 15 AND origin = 'JFK'.",
            where=where,
            position=position(wrapped, -len(_OPENING)),
        )
    item = single_item(wrapped)
    if item is None or bare.get("error") or single_item(bare) is None:
        raise InvalidExpressionError(
            f"{where} is not one expression: {cut(text)}.",
            hint="Write one value or condition over the columns of a row.",
            where=where,
        )
    return item


def _projection(expressions: Mapping[str, Expression]) -> str:
    items = ", ".join(f"{expression.sql} AS c{index}" for index, expression in enumerate(expressions.values()))
    return f"SELECT {items} FROM {_ROWS}"


def _result_schema(expressions: Mapping[str, Expression]) -> pa.Schema:
    return pa.schema([pa.field(name, expression.type) for name, expression in expressions.items()])


def _columns_of(expressions: Iterable[Expression], schema: pa.Schema) -> tuple[str, ...]:
    used = {column for expression in expressions for column in expression.columns}
    return tuple(name for name in schema.names if name in used)
