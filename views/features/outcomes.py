"""Aggregates of sealed outcomes: a query reads them inside the store and gets groups of several rows, no single one.

A cell is null unless at least `minimum` rows with a value are behind it, counts included, and also when a join
lets one row count twice in its group. Nulls are not counted; NaN is a value, and the mean of a group with one is
NaN. Where an outcome decides which groups there are (an inner join on the time of landing), groups of fewer than
`minimum` rows are left out; a LEFT JOIN keeps them, with nulls.

So no cell shows a single row, no table of members chooses the rows of a cell, and no row weighs more than another.
What this does not protect against is differencing: windows that differ by one row give that row away to whoever
subtracts them (their counts tell when it landed), as do groups that sum up to a larger one, versions that differ
by few rows, and rows appended by an adversary; a value far from all others shows through its mean. Whoever seals
with ``outcomes_feed_features=True`` accepts that. Where some rows alone are sealed, the others are known, and would
leave a single sealed one bare: only sealed ones count towards `minimum`.

A query that mentions no sealed column runs as it is, over tables without the sealed columns. One that does is
a single ``SELECT ... FROM ... JOIN ... WHERE ... GROUP BY`` whose table of outcomes stands in the outermost FROM.

- It selects columns of GROUP BY, ``count(*)``, and avg, sum, count, stddev or variance of one sealed column.
- Its conditions are linked by AND; each compares a column, or a sum of columns, of the table of outcomes with
  columns of GROUP BY and constants. One equality may escape GROUP BY, ``f.departs::DATE = asked.day``: it
  makes a join by time fast.
- One of the conditions keeps outcomes in the past of their group: ``f.departs + ... <= asked.ts``, or ``<``. On
  the one side stands the event time of the table of outcomes, alone or with columns and constants added; on the
  other the column of GROUP BY that is the answer's event time, alone. Added columns may hold negative numbers,
  such as a delay, and then let a row in before its event time: that is accepted.
- Nested queries see the tables without their sealed columns.
"""

import json
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from foldstore.datastore.aggregate_query import (
    Disguise,
    OutcomeQuery,
    judge_outcome_query,
    mentions_sealed,
    strip_places,
    template_text,
)
from foldstore.datastore.engine import Engine
from foldstore.datastore.outcome_conditions import Moments
from foldstore.errors import FoldstoreError, InvalidQueryError, NotFoundError, UsageError, column_not_found

MINIMUM_ROWS = 5


def run_outcome_aggregates(
    query: str,
    resolve_open: Callable[[str], pa.Table],
    sealed: Callable[[str], Collection[str]],
    *,
    engine: Engine,
    event_time: str,
    outcome_time: Callable[[str], str | None],
    minimum: int = MINIMUM_ROWS,
    sealed_rows: Callable[[str], pa.Array | pa.ChunkedArray | None] | None = None,
) -> pa.Table:
    """Run a query that aggregates sealed outcomes, in no other way: what it may do is said at the top of this module.

    Parameters
    ----------
    query : str
        One query.
    resolve_open : callable
        Turns each name in the query into rows, sealed cells filled in; raises NotFoundError for any other name.
    sealed : callable
        Names the sealed columns of each such table; none for a table without.
    engine : Engine
        Runs the query.
    event_time : str
        The column of the answer that says when its row is asked for, such as ``ts``.
    outcome_time : callable
        Names the event-time column of a table with sealed columns; None for one without, which cannot be read.
    minimum : int
        How many rows must be behind a cell; at least 2.
    sealed_rows : callable, optional
        Says which rows of a table are sealed, as bool, or None for all: a cell then needs `minimum` of them, or none.

    Returns
    -------
    pyarrow.Table
        Names and types as the query gives them, the rows in no particular order.

    Raises
    ------
    InvalidQueryError
        With code ``outcome-query-refused`` when it could show more; with code ``outcome-query-failed`` when a
        value of the outcomes stops it, without saying which; with the code of any query when it does not fit.
    NotFoundError
        From `resolve_open`.
    """
    _check_minimum(minimum)
    parsed = engine.parse_query(query)
    tables = {name: _resolved(name, resolve_open) for name in parsed.tables}
    hidden = {name: frozenset(_resolved(name, sealed)) for name in tables}
    if not any(hidden.values()):
        return engine.run_query(parsed, tables).to_arrow()
    tree = _tree(engine, query)
    if not mentions_sealed(tree, hidden):
        return engine.run_query(parsed, _without_sealed(tables, hidden)).to_arrow()
    disguise = Disguise.of(secrets.token_hex(8))
    template = _tree(engine, template_text(disguise, minimum, marks_rows=sealed_rows is not None))
    moments = Moments(event_time, lambda name: _resolved(name, outcome_time))
    judged = judge_outcome_query(tree, hidden, moments, disguise, template)
    return _run_judged(engine, judged, tables, hidden, disguise, sealed_rows)


def _run_judged(
    engine: Engine,
    judged: OutcomeQuery,
    tables: Mapping[str, pa.Table],
    hidden: Mapping[str, frozenset[str]],
    disguise: Disguise,
    sealed_rows: Callable[[str], pa.Array | pa.ChunkedArray | None] | None,
) -> pa.Table:
    """Run a query that was found to aggregate only, over the one table of outcomes and the others without theirs."""
    marks = None if sealed_rows is None else _resolved(judged.table, sealed_rows)
    outcomes = _disguised(tables[judged.table], judged, disguise, marks)
    return _run(engine, _text(engine, judged.tree), _Inputs(_without_sealed(tables, hidden), outcomes, disguise))


def _without_sealed(tables: Mapping[str, pa.Table], hidden: Mapping[str, frozenset[str]]) -> dict[str, pa.Table]:
    return {name: _without(table, hidden[name]) for name, table in tables.items()}


def _check_minimum(minimum: int) -> None:
    if isinstance(minimum, bool) or not isinstance(minimum, int) or minimum < 2:
        raise UsageError(f"minimum is {minimum!r}.", hint="At least 2 rows: one row is no aggregate.")


@dataclass(frozen=True, slots=True)
class _Inputs:
    """The tables of a rewritten query: those without sealed columns, and the one of outcomes."""

    bare: Mapping[str, pa.Table]
    outcomes: pa.Table
    disguise: Disguise

    def tables(self) -> dict[str, pa.Table]:
        return {**self.bare, self.disguise.table: self.outcomes}

    def empty(self) -> dict[str, pa.Table]:
        return {name: table.slice(0, 0) for name, table in self.tables().items()}


def _run(engine: Engine, text: str, inputs: _Inputs) -> pa.Table:
    """Run over no rows first: what is wrong with the query shows there, and cannot depend on a value."""
    try:
        engine.run_query(text, inputs.empty()).to_arrow()
    except InvalidQueryError as error:
        problem = _plainly(error, inputs.disguise)
    else:
        try:
            return engine.run_query(text, inputs.tables()).to_arrow()
        except FoldstoreError as error:
            memory = error.hint if error.hint and "memory" in error.hint else None
            problem = InvalidQueryError(
                "The query over sealed outcomes does not finish.",
                hint=memory or "A value does not allow it; which one is not said. Look at the types in the conditions.",
                code="outcome-query-failed",
            )
    # Raised here, so that the engine's own error, which may show values, is not its context.
    raise problem


def _plainly(error: InvalidQueryError, disguise: Disguise) -> InvalidQueryError:
    """Return the error of a query in the names that the user knows."""
    message = error.message.split("\n")[0].replace(f"{disguise.prefix}_", "").replace(disguise.alias, "outcomes")
    return InvalidQueryError(message.replace(disguise.table, "outcomes"), hint="Check the columns and their types.")


def _disguised(
    table: pa.Table, judged: OutcomeQuery, disguise: Disguise, marks: pa.Array | pa.ChunkedArray | None
) -> pa.Table:
    """Return the columns that the query uses under their other names, with a number for each row."""
    spelled = {name.lower(): name for name in table.column_names}
    columns = {}
    for name in judged.columns:
        if name not in spelled:
            raise column_not_found(name, table.column_names, where=repr(judged.table))
        columns[disguise.column(name)] = table[spelled[name]]
    columns[disguise.row] = pa.array(np.arange(table.num_rows, dtype=np.int64))
    every = pa.array(np.ones(table.num_rows, dtype=np.bool_))
    columns[disguise.sealed_row] = every if marks is None else marks
    if len(columns[disguise.sealed_row]) != table.num_rows:
        raise UsageError(f"sealed_rows has not one value for each of the {table.num_rows:,} rows of {judged.table!r}.")
    return pa.table(columns)


def _without(table: pa.Table, columns: Collection[str]) -> pa.Table:
    hidden = {column.lower() for column in columns}
    return table.drop_columns([name for name in table.column_names if name.lower() in hidden])


def _resolved(name: str, resolve: Callable[[str], Any]) -> Any:
    """Look a name up as written, then in lower case, as every query does."""
    try:
        return resolve(name)
    except NotFoundError:
        if name == name.lower():
            raise
    return resolve(name.lower())


def _tree(engine: Engine, query: str) -> Mapping[str, Any]:
    answer = engine.run_query("SELECT json_serialize_sql($text::VARCHAR) AS tree", {}, {"text": query}).to_arrow()
    tree: Mapping[str, Any] = json.loads(answer["tree"][0].as_py())
    if tree.get("error") or "statements" not in tree:
        raise InvalidQueryError(
            "A query over sealed outcomes is one SELECT.", hint="No EXPLAIN, no SHOW.", code="outcome-query-refused"
        )
    return tree


def _text(engine: Engine, tree: Mapping[str, Any]) -> str:
    """Write a tree as text, and make sure that the text reads as that very tree."""
    written = json.dumps(tree)
    answer = engine.run_query("SELECT json_deserialize_sql($tree::JSON) AS text", {}, {"tree": written}).to_arrow()
    text: str = answer["text"][0].as_py()
    if strip_places(_tree(engine, text)) != strip_places(tree):
        raise InvalidQueryError(
            "The query cannot be rewritten exactly.", hint="Write it in simpler terms.", code="outcome-query-refused"
        )
    return text
