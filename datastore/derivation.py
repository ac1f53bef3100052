"""Derived columns: in which order they are computed, and their computation over batches.

A derived column may use others. They are computed in waves: each wave uses what was given and what the waves
before it gave.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from foldstore.datastore.arrow_schema import storage_type
from foldstore.datastore.engine import Engine
from foldstore.datastore.exact_cast import can_cast, cast_exactly
from foldstore.datastore.expression import Expression
from foldstore.errors import ColumnNotFoundError, FoldstoreError, InvalidExpressionError, SchemaMismatchError


@dataclass(frozen=True, slots=True)
class Derivation:
    """Derived columns in the order in which they can be computed.

    Attributes
    ----------
    waves : tuple of mapping of str to Expression
        The expressions by column; those of a wave do not use each other.
    types : mapping of str to pyarrow.DataType
        What each column is kept as.
    """

    waves: tuple[Mapping[str, Expression], ...]
    types: Mapping[str, pa.DataType]

    def inputs(self, schema: pa.Schema) -> list[str]:
        """Return the columns of a schema that are used; one in any case, which carries the rows."""
        used = {name for wave in self.waves for expression in wave.values() for name in expression.columns}
        return [name for name in schema.names if name in used] or schema.names[:1]

    def extend(self, engine: Engine, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield each batch with the derived columns behind its own.

        Raises
        ------
        InvalidExpressionError
            When a value does not allow a computation.
        """
        for wave in self.waves:
            fields = [pa.field(name, self.types[name]) for name in wave]
            batches = _extend(engine, wave, schema, pa.schema([*schema, *fields]), batches)
            schema = pa.schema([*schema, *fields])
        return batches


def _extend(
    engine: Engine,
    wave: Mapping[str, Expression],
    schema: pa.Schema,
    extended: pa.Schema,
    batches: Iterator[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    under_way: deque[pa.RecordBatch] = deque()

    def remember() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            under_way.append(batch)
            yield batch

    for computed in engine.evaluate(wave, schema, remember()):
        columns = [cast_exactly(computed.column(name), extended.field(name).type, name=name) for name in wave]
        yield pa.RecordBatch.from_arrays([*under_way.popleft().columns, *columns], schema=extended)


def plan_derivation(
    engine: Engine,
    texts: Mapping[str, str],
    given: pa.Schema,
    *,
    kept: Mapping[str, pa.DataType] | None = None,
    lenient: bool = False,
    where: Callable[[str], str],
) -> Derivation:
    """Put derived columns in order.

    Parameters
    ----------
    texts : mapping of str to str
        The expressions by column.
    given : pyarrow.Schema
        The columns that are there before.
    kept : mapping of str to pyarrow.DataType, optional
        The types of columns that the dataset has.
    lenient : bool
        Leave out what cannot be computed of the given columns, instead of refusing.
    where : callable
        Says what the expression of a column is called in messages.

    Raises
    ------
    InvalidExpressionError
        When columns are derived from each other in a circle, or an expression is not allowed.
    ColumnNotFoundError
        When an expression names a column that is neither given nor derived.
    SchemaMismatchError
        When an expression gives another type than the dataset keeps.
    """
    types = dict(kept or {})
    waves: list[Mapping[str, Expression]] = []
    waiting: dict[str, str] = {}  # a column, and the derived one that it was found to need
    ready = list(texts)
    while ready:
        wave: dict[str, Expression] = {}
        for name in ready:
            try:
                wave[name] = engine.parse_expression(texts[name], given, where=where(name))
                types[name] = _kept_type(name, wave[name], types.get(name))
            except FoldstoreError as error:
                wave.pop(name, None)
                needed = error.facts["column"] if isinstance(error, ColumnNotFoundError) else None
                if needed in texts:
                    waiting[name] = str(needed)
                elif not lenient:
                    raise
        given = pa.schema([*given, *(pa.field(name, types[name]) for name in wave)])
        waves += [wave] if wave else []
        ready = [name for name, needed in waiting.items() if needed in wave]
        waiting = {name: needed for name, needed in waiting.items() if needed not in wave}
    if waiting and not lenient:
        raise _circle(waiting)
    return Derivation(tuple(waves), {name: types[name] for wave in waves for name in wave})


def _kept_type(name: str, expression: Expression, kept: pa.DataType | None) -> pa.DataType:
    found = storage_type(expression.type)
    if kept is None or pa.types.is_null(kept):  # nothing but nulls so far: the first values decide
        return found
    if not can_cast(found, kept):
        raise SchemaMismatchError(
            f"Derived column {name!r} is kept as {kept}; of this data it would be {found}.",
            hint="Cast the columns that it is computed from, or the expression, to one type.",
            code="type-mismatch",
            column=name,
            found=str(found),
            expected=str(kept),
        )
    return kept


def _circle(waiting: Mapping[str, str]) -> InvalidExpressionError:
    path = [next(iter(waiting))]
    while path[-1] not in path[:-1]:
        path.append(waiting[path[-1]])
    circle = path[path.index(path[-1]) :]
    shown = " -> ".join(map(repr, circle))
    return InvalidExpressionError(
        f"Derived columns use each other in a circle: {shown}.",
        hint="Write one of them with columns that the data brings.",
        columns=circle,
    )
