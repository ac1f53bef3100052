"""Append: fit the incoming columns to the dataset, derive what is derived, write, and commit."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from foldstore.datastore.arrow_schema import (
    assign_ids,
    check_columns,
    conform_batch,
    expressions_of,
    field_ids,
    plain_schema,
    storage_schema,
)
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.commit import Change, CommitOptions, Head, Transaction, begin, load_head, number_fragments
from foldstore.datastore.engine import Engine
from foldstore.datastore.exact_cast import can_cast, cast_exactly
from foldstore.datastore.expression import Expression
from foldstore.datastore.fragment_writer import write_fragments
from foldstore.datastore.gate import PublishGate
from foldstore.datastore.ingest.batch_source import BatchSource
from foldstore.datastore.manifest import ColumnGroup
from foldstore.datastore.storage import Storage
from foldstore.errors import SchemaMismatchError, column_not_found, did_you_mean
from foldstore.types import Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnPlan:
    """How incoming columns become the dataset's.

    Attributes
    ----------
    schema : pyarrow.Schema
        All columns of the new version, with field ids.
    next_field : int
        The next free field id.
    given : tuple of str
        Columns that the data brings, in the dataset's order.
    derived : mapping of str to Expression
        Columns that are computed from the incoming ones.
    missing : tuple of str
        Columns that the data came without; they read as null.
    """

    schema: pa.Schema
    next_field: int
    given: tuple[str, ...]
    derived: Mapping[str, Expression]
    missing: tuple[str, ...]

    @property
    def written(self) -> pa.Schema:
        """The columns that are written, with field ids."""
        return pa.schema([field for field in self.schema if field.name not in self.missing])


def append(
    storage: Storage,
    dataset: DatasetRecord,
    source: BatchSource,
    *,
    options: CommitOptions,
    gate: PublishGate,
    order_by: Sequence[str] = (),
) -> VersionRecord:
    """Commit the rows of a source behind those of the dataset's head.

    Raises
    ------
    SchemaMismatchError
        When columns do not fit and no gate is set to judge that.
    DuplicateKeyError
        When a key value occurs twice and no gate is set.
    ConflictError
        When another writer changed the dataset's columns meanwhile.
    """
    if options.idempotency_key is not None:
        done = storage.catalog.find_version_by_idempotency_key(dataset.id, options.idempotency_key)
        if done is not None:
            return done
    with begin(storage, dataset, options) as transaction:
        plan = plan_columns(storage.engine, dataset, transaction.head, source.schema, judged=gate.is_set(dataset))
        for name in order_by:
            if name not in plan.written.names:
                raise column_not_found(name, plan.written.names, where="the data")
        change = _write(storage, transaction, plan, source, order_by, options)
        return transaction.commit(change, gate)


def complete_table(storage: Storage, dataset: DatasetRecord, source: BatchSource) -> pa.Table:
    """Return the rows of a source as an append would write them, to be judged before anything is committed."""
    head = load_head(storage, dataset)
    plan = plan_columns(storage.engine, dataset, head, source.schema, judged=True)
    return pa.Table.from_batches(_complete(storage.engine, plan, source), plan.written).cast(plain_schema(plan.written))


def _write(
    storage: Storage,
    transaction: Transaction,
    plan: ColumnPlan,
    source: BatchSource,
    order_by: Sequence[str],
    options: CommitOptions,
) -> Change:
    batches = _complete(storage.engine, plan, source)
    if order_by:
        # Sorting holds the rows of one append in memory; pieces that are larger come in order or in parts.
        table = pa.Table.from_batches(batches, plan.written)
        batches = iter(table.sort_by([(name, "ascending") for name in order_by]).to_batches())
    progress = options.progress
    counted = (lambda done, _all: progress(done, source.num_rows)) if progress else None
    staged = write_fragments(storage.objects.files, transaction.folder, plan.written, batches, counted)
    new_bytes, first_id = transaction.publish_files([f for item in staged for f in item.files], len(staged))
    ids = field_ids(plan.written)
    rows = [(item.num_rows, tuple(ColumnGroup(f.record.id, ids) for f in item.files)) for item in staged]
    return Change(
        operation=Operation.APPEND,
        schema=plan.schema,
        next_field=plan.next_field,
        added=number_fragments(first_id, rows),
        replaces=False,
        bytes_added=new_bytes,
    )


def _complete(engine: Engine, plan: ColumnPlan, source: BatchSource) -> Iterator[pa.RecordBatch]:
    """Yield the written columns of each incoming batch: cast exactly, derived, in the dataset's order."""
    target = plan.written
    if not plan.derived:
        for batch in source.batches:
            yield conform_batch(batch, target)
        return
    given = pa.schema([target.field(name) for name in plan.given])
    kept: list[tuple[pa.RecordBatch, pa.RecordBatch]] = []

    def incoming() -> Iterator[pa.RecordBatch]:
        for batch in source.batches:
            conformed = conform_batch(batch, given)
            kept.append((batch, conformed))
            yield conformed

    for computed in engine.evaluate(plan.derived, given, incoming()):
        batch, conformed = kept.pop(0)
        yield _with_derived(batch, conformed, computed, target)


def _with_derived(
    batch: pa.RecordBatch, given: pa.RecordBatch, computed: pa.RecordBatch, target: pa.Schema
) -> pa.RecordBatch:
    columns = []
    for field in target:
        if field.name not in computed.schema.names:
            columns.append(given.column(field.name))
            continue
        column = cast_exactly(computed.column(field.name), field.type, name=field.name)
        if field.name in batch.schema.names and not _agree(batch.column(field.name), column):
            raise SchemaMismatchError(
                f"Column {field.name!r} is derived by the dataset, and the data brings other values for it.",
                hint="Leave the column out: it is computed.",
                column=field.name,
            )
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=target)


def _agree(given: pa.Array, computed: pa.Array) -> bool:
    return can_cast(given.type, computed.type) and bool(given.cast(computed.type, safe=False).equals(computed))


def plan_columns(
    engine: Engine, dataset: DatasetRecord, head: Head, incoming: pa.Schema, *, judged: bool
) -> ColumnPlan:
    """Decide how incoming columns become the dataset's.

    Parameters
    ----------
    judged : bool
        Whether a gate will judge the version: then missing, new and ill-typed columns are let through to it.
    """
    check_columns(incoming)
    plain = storage_schema(incoming)
    if head.schema is None:
        return _first_plan(engine, dataset, plain)
    return _next_plan(engine, dataset, head, plain, judged=judged)


def _first_plan(engine: Engine, dataset: DatasetRecord, incoming: pa.Schema) -> ColumnPlan:
    derived = _derive(engine, dataset.derive, incoming, dataset.name)
    given = tuple(name for name in incoming.names if name not in derived)
    fields = [incoming.field(name) for name in given]
    fields += [pa.field(name, expression.type) for name, expression in derived.items()]
    schema, next_field = assign_ids(pa.schema(fields), expressions=dataset.derive)
    for name in (*dataset.key, *([dataset.event_time] if dataset.event_time else [])):
        if name not in schema.names:
            raise column_not_found(name, schema.names, where=f"the data, but {dataset.name!r} needs it")
    return ColumnPlan(schema=schema, next_field=next_field, given=given, derived=derived, missing=())


def _next_plan(engine: Engine, dataset: DatasetRecord, head: Head, incoming: pa.Schema, *, judged: bool) -> ColumnPlan:
    assert head.schema is not None  # noqa: S101  # the caller looked
    assert head.version is not None  # noqa: S101  # a schema comes with a version
    expressions = expressions_of(head.schema)
    new = [name for name in incoming.names if name not in head.schema.names]
    absent = [name for name in head.schema.names if name not in incoming.names and name not in expressions]
    if not judged:
        _refuse_other_columns(dataset, head.schema, new, absent)
    fields = [_settle_type(dataset, field, incoming, judged=judged) for field in plain_schema(head.schema)]
    fields += [incoming.field(name) for name in new]
    settled = pa.schema(fields)
    present = pa.schema([f for f in settled if f.name in incoming.names and f.name not in expressions])
    computable = {n: e for n, e in expressions.items() if _inputs_there(engine, e, head.schema, present)}
    derived = _derive(engine, computable, present, dataset.name)
    schema, next_field = assign_ids(settled, known=head.schema, next_field=head.version.next_field)
    missing = tuple(n for n in schema.names if n not in present.names and n not in derived)
    return ColumnPlan(
        schema=schema, next_field=next_field, given=tuple(present.names), derived=derived, missing=missing
    )


def _refuse_other_columns(dataset: DatasetRecord, known: pa.Schema, new: list[str], absent: list[str]) -> None:
    if new:
        raise SchemaMismatchError(
            f"{dataset.name!r} has no column {new[0]!r}.",
            hint=f"{did_you_mean(new[0], known.names)} Drop it, or add it with add_columns().",
            code="column-new",
            columns=new,
        )
    if absent:
        raise SchemaMismatchError(
            f"The data has no column {absent[0]!r}, which {dataset.name!r} has.",
            hint="Bring every column (nulls are fine).",
            code="column-missing",
            columns=absent,
        )


def _settle_type(dataset: DatasetRecord, field: pa.Field, incoming: pa.Schema, *, judged: bool) -> pa.Field:
    if field.name not in incoming.names:
        return field
    found = incoming.field(field.name).type
    if pa.types.is_null(field.type):  # nothing but nulls so far: the first values decide
        return pa.field(field.name, found)
    if can_cast(found, field.type):
        return field
    if judged:
        return pa.field(field.name, found)
    raise SchemaMismatchError(
        f"Column {field.name!r} comes as {found}, {dataset.name!r} keeps {field.type}.",
        hint="Cast it before; with a schema set, such data is quarantined with a report.",
        code="type-mismatch",
        column=field.name,
        found=str(found),
        expected=str(field.type),
    )


def _derive(engine: Engine, expressions: Mapping[str, str], schema: pa.Schema, dataset: str) -> dict[str, Expression]:
    return {
        name: engine.parse_expression(text, schema, where=f"derived column {name!r} of {dataset!r}")
        for name, text in expressions.items()
    }


def _inputs_there(engine: Engine, text: str, known: pa.Schema, present: pa.Schema) -> bool:
    used = engine.parse_expression(text, plain_schema(known)).columns
    return all(name in present.names and present.field(name).type == known.field(name).type for name in used)


def with_source(options: CommitOptions, source: BatchSource) -> CommitOptions:
    """Return the options with the source's description among the version's properties."""
    return replace(options, properties={**options.properties, "source": dict(source.description)})
