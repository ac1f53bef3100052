"""The steps of a view: where, select and limit, each checked against the columns that reach it.

A step is plain data plus the expressions that DuckDB has checked. Running them streams: each step takes
record batches and gives record batches, and holds no more than the few that are under way.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa

from foldstore.datastore.engine import Engine, Expression
from foldstore.errors import UsageError, column_not_found

MAX_STEPS: Final = 200
_MAX_LIMIT: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Where:
    """Keep the rows for which a predicate holds."""

    predicate: Expression
    arrow_schema: pa.Schema

    def spec(self) -> dict[str, Any]:
        """Return the step as plain data."""
        return {"where": self.predicate.text}


@dataclass(frozen=True, slots=True)
class Select:
    """Keep some columns and compute others."""

    columns: tuple[str, ...]
    expressions: Mapping[str, Expression]
    arrow_schema: pa.Schema

    def spec(self) -> dict[str, Any]:
        """Return the step as plain data: names, then one object for each computed column."""
        computed = [{name: expression.text} for name, expression in self.expressions.items()]
        return {"select": [*self.columns, *computed]}


@dataclass(frozen=True, slots=True)
class Limit:
    """Keep the first rows."""

    rows: int
    arrow_schema: pa.Schema

    def spec(self) -> dict[str, Any]:
        """Return the step as plain data."""
        return {"limit": self.rows}


Step = Where | Select | Limit


def make_where(engine: Engine, predicate: str, schema: pa.Schema, address: str) -> Where:
    """Check a predicate against the columns that reach it."""
    return Where(engine.parse_predicate(predicate, schema, where=f"where() of the view of {address}"), schema)


def make_select(
    engine: Engine, columns: Sequence[str], expressions: Mapping[str, str], schema: pa.Schema, address: str
) -> Select:
    """Check names and expressions against the columns that reach them."""
    names = [*columns, *expressions]
    if not names:
        raise UsageError("select() needs at least one column.", hint="Name columns, or give name='expression'.")
    for name in names:
        if not isinstance(name, str):
            raise UsageError(f"A column is named by a str, not {type(name).__name__}.", hint="select('a', b='x + 1')")
        if not name or not name.isprintable():
            raise UsageError(f"{ascii(name)[:80]} cannot name a column.", hint="select('a', b='x + 1')")
        if names.count(name) > 1:
            raise UsageError(f"select() names {name!r} twice.", hint="Give each column a name of its own.", column=name)
    for name in columns:
        if name not in schema.names:
            raise column_not_found(name, schema.names, where=f"the view of {address}")
    checked = {
        name: engine.parse_expression(text, schema, where=f"{name!r} in the view of {address}")
        for name, text in expressions.items()
    }
    fields = [schema.field(name) for name in columns]
    fields += [pa.field(name, expression.type) for name, expression in checked.items()]
    return Select(tuple(columns), checked, pa.schema(fields))


def make_limit(rows: object, schema: pa.Schema) -> Limit:
    """Check a number of rows."""
    if not isinstance(rows, int) or isinstance(rows, bool) or not 0 <= rows <= _MAX_LIMIT:
        raise UsageError(f"limit() takes a number of rows from 0, not {str(rows)[:40]!r}.", hint="Such as limit(100).")
    return Limit(rows, schema)


def prune(steps: Sequence[Step], wanted: Sequence[str], schema: pa.Schema) -> tuple[tuple[Step, ...], list[str]]:
    """Drop what no later step reads; return the steps and the columns to read from the source.

    A step's arrow schema becomes what it hands on, so that a filter does not copy columns that only its
    condition reads. A column is always kept, so that batches keep their row counts.
    """
    needed = set(wanted)
    kept: list[Step] = []
    for index in range(len(steps) - 1, -1, -1):
        before = steps[index - 1].arrow_schema if index else schema
        kept.append(_pruned(steps[index], needed, before))
        needed = _needed_by(kept[-1])
    return tuple(reversed(kept)), [name for name in schema.names if name in needed] or schema.names[:1]


def _pruned(step: Step, needed: set[str], before: pa.Schema) -> Step:
    if isinstance(step, Select):
        columns = tuple(name for name in step.columns if name in needed)
        expressions = {name: each for name, each in step.expressions.items() if name in needed}
        if not columns and not expressions:
            columns = (before.names[0],)
        fields = [before.field(name) for name in columns]
        fields += [pa.field(name, each.type) for name, each in expressions.items()]
        return Select(columns, expressions, pa.schema(fields))
    read = step.predicate.columns if isinstance(step, Where) else ()
    names = [name for name in before.names if name in needed] or [*read[:1], *before.names[:1]][:1]
    return replace(step, arrow_schema=pa.schema([before.field(name) for name in names]))


def _needed_by(step: Step) -> set[str]:
    if isinstance(step, Select):
        return {*step.columns, *(name for each in step.expressions.values() for name in each.columns)}
    return {*step.arrow_schema.names, *(step.predicate.columns if isinstance(step, Where) else ())}


def run_steps(
    engine: Engine, steps: Iterable[Step], schema: pa.Schema, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Chain pruned steps over batches; nothing runs before the first batch is asked for."""
    for step in steps:
        if isinstance(step, Where):
            batches = engine.filter_batches(step.predicate, schema, batches, keep=step.arrow_schema.names)
        elif isinstance(step, Limit):
            batches = _limited(batches, step)
        else:
            batches = _selected(engine, step, schema, batches)
        schema = step.arrow_schema
    return batches


def _limited(batches: Iterator[pa.RecordBatch], step: Limit) -> Iterator[pa.RecordBatch]:
    rows = step.rows
    while rows > 0:
        batch = next(batches, None)
        if batch is None:
            return
        yield batch.slice(0, rows).select(step.arrow_schema.names)
        rows -= batch.num_rows


def _selected(
    engine: Engine, step: Select, schema: pa.Schema, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    if not step.expressions:
        for batch in batches:
            yield batch.select(step.columns)
        return
    waiting: deque[pa.RecordBatch] = deque()

    def remember() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            waiting.append(batch.select(step.columns))
            yield batch

    for computed in engine.evaluate(step.expressions, schema, remember()):
        columns = [*waiting.popleft().columns, *computed.columns]
        yield pa.RecordBatch.from_arrays(columns, schema=step.arrow_schema)
