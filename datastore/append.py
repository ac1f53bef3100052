"""Append: fit the incoming columns to the dataset, derive what is derived, write, and commit."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from foldstore.datastore.arrow_schema import conform_batch, field_ids, plain_schema
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.column_plan import ColumnPlan, plan_columns
from foldstore.datastore.commit import Change, CommitOptions, Head, Transaction, begin, load_head, number_fragments
from foldstore.datastore.engine import Engine
from foldstore.datastore.exact_cast import cast_exactly, same_values
from foldstore.datastore.fragment_writer import write_fragments
from foldstore.datastore.gate import PublishGate
from foldstore.datastore.ingest.batch_source import BatchSource
from foldstore.datastore.manifest import ColumnGroup
from foldstore.datastore.row_order import check_order, sort_batches
from foldstore.datastore.spool import may_not_fit, spool
from foldstore.datastore.storage import Storage
from foldstore.errors import SchemaMismatchError
from foldstore.types import Operation


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
        judged = gate.find_basis(dataset).is_set
        aside = transaction.folder / "spool.arrows"
        plan, source = _plan(storage.engine, dataset, transaction.head, source, judged=judged, aside=aside)
        check_order(order_by, plan.written)
        change = _write(storage, transaction, plan, source, order_by, options)
        return transaction.commit(change, gate)


def complete_table(storage: Storage, dataset: DatasetRecord, source: BatchSource) -> pa.Table:
    """Return the rows of a source as an append would write them, to be judged before anything is committed."""
    head = load_head(storage, dataset)
    plan, source = _plan(storage.engine, dataset, head, source, judged=True, aside=None)
    return pa.Table.from_batches(_complete(storage.engine, plan, source), plan.written).cast(plain_schema(plan.written))


def _plan(
    engine: Engine, dataset: DatasetRecord, head: Head, source: BatchSource, *, judged: bool, aside: Path | None
) -> tuple[ColumnPlan, BatchSource]:
    """Plan the columns; where a gate judges, look first which values fit the dataset's types.

    Types alone do not say whether a double fits an integer. The rows are put aside while that is looked at,
    so that a column that does not fit reaches the gate as what it is; a source is read once.
    """
    plan = plan_columns(engine, dataset, head, source.schema, judged=judged)
    wanted = {n: plan.schema.field(n).type for n in plan.given} if judged and head.schema is not None else {}
    doubtful = {n: kind for n, kind in wanted.items() if may_not_fit(source.schema.field(n).type, kind)}
    if not doubtful:
        return plan, source
    source, unfit = spool(source, doubtful, aside)
    if not unfit:
        return plan, source
    return plan_columns(engine, dataset, head, source.schema, judged=judged, unfit=unfit), source


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
        batches = sort_batches(batches, plan.written, order_by)
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
    if not plan.derivation.waves:
        for batch in source.batches:
            yield conform_batch(batch, target)
        return
    given = pa.schema([target.field(name) for name in plan.given])
    brought = [name for name in plan.derivation.types if name in source.schema.names]
    under_way: deque[pa.RecordBatch] = deque()

    def incoming() -> Iterator[pa.RecordBatch]:
        for batch in source.batches:
            under_way.append(batch.select(brought))
            yield conform_batch(batch, given)

    for batch in plan.derivation.extend(engine, plain_schema(given), incoming()):
        _refuse_other_values(under_way.popleft(), batch)
        yield pa.RecordBatch.from_arrays([batch.column(name) for name in target.names], schema=target)


def _refuse_other_values(brought: pa.RecordBatch, computed: pa.RecordBatch) -> None:
    for name in brought.schema.names:
        if not _agree(brought.column(name), computed.column(name)):
            raise SchemaMismatchError(
                f"Column {name!r} is derived by the dataset, and the data brings other values for it.",
                hint="Leave the column out: it is computed.",
                column=name,
            )


def _agree(given: pa.Array, computed: pa.Array) -> bool:
    try:
        return same_values(cast_exactly(given, computed.type, name=""), computed)
    except SchemaMismatchError:
        return False


def with_source(options: CommitOptions, source: BatchSource) -> CommitOptions:
    """Return the options with the source's description among the version's properties."""
    return replace(options, properties={**options.properties, "source": dict(source.description)})
