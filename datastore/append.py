"""Append: fit the incoming columns to the dataset, derive what is derived, write, and commit."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Final

import pyarrow as pa

from foldstore.datastore.arrow_schema import conform_batch, conforms, encode_schema, plain_schema
from foldstore.datastore.catalog.records import DatasetRecord
from foldstore.datastore.column_plan import ColumnPlan, plan_columns
from foldstore.datastore.commit import Transaction
from foldstore.datastore.draft import Draft, Head
from foldstore.datastore.engine import Engine
from foldstore.datastore.exact_cast import cast_exactly, same_values
from foldstore.datastore.fragment_writer import write_fragments
from foldstore.datastore.ingest.batch_source import BatchSource
from foldstore.datastore.manifest import Fragment
from foldstore.datastore.row_order import check_order, sort_batches
from foldstore.datastore.spool import may_not_fit, spool
from foldstore.errors import ConflictError, SchemaMismatchError
from foldstore.types import Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How incoming rows are fitted to a dataset's columns.

    Attributes
    ----------
    order_by : sequence of str
        Columns to sort the rows by first.
    evolve : bool
        Whether new columns are added, and missing ones read as null.
    replaces : bool
        Whether the rows take the place of all others: the columns are then those that they bring.
    """

    order_by: Sequence[str] = ()
    evolve: bool = False
    replaces: bool = False


# Rows that must bring every column, as they come.
AS_THEY_COME: Final = Fit()


class Append:
    """The step that puts the rows of a source behind those that are there.

    Parameters
    ----------
    source : BatchSource
        The rows; they are read once.
    fit : Fit
        How they become the dataset's.
    """

    operation: ClassVar = Operation.APPEND
    replays: ClassVar = True

    def __init__(self, source: BatchSource, fit: Fit = AS_THEY_COME) -> None:
        self._source = source
        self._fit = fit
        self._written: WrittenRows | None = None

    def apply(self, draft: Draft, transaction: Transaction) -> Draft:
        """Write the rows, once, and list them behind the others.

        Raises
        ------
        SchemaMismatchError
            When columns do not fit and no gate is set to judge that.
        ConflictError
            When they were written for other columns than there are now.
        """
        if self._written is None:
            self._written = write_rows(transaction, draft, self._source, self._fit)
        return self._written.put_on(draft).with_fragments(*self._written.fragments)


@dataclass(frozen=True, slots=True)
class WrittenRows:
    """Rows that were written for a dataset's columns, waiting for their commit.

    Attributes
    ----------
    for_schema : str or None
        The identity of the columns that they were fitted to.
    for_field : int
        The next free field id then.
    schema : pyarrow.Schema
        The columns with theirs.
    next_field : int
        The next free field id after theirs.
    """

    for_schema: str | None
    for_field: int
    schema: pa.Schema
    next_field: int
    fragments: tuple[Fragment, ...]

    def put_on(self, draft: Draft) -> Draft:
        """Give a draft the columns of the rows.

        Raises
        ------
        ConflictError
            When the draft has other columns than the rows were fitted to, or than they make.
        """
        # What another writer made of the columns is fine when it is what these rows make of them as well.
        if not self._fits(draft) and draft.schema_id != encode_schema(self.schema)[0]:
            raise ConflictError("The columns were changed meanwhile.", retry=True)
        return replace(draft, schema=self.schema, next_field=max(self.next_field, draft.next_field))

    def _fits(self, draft: Draft) -> bool:
        """Say whether a draft has the columns that were there, and the ids of new ones are still free."""
        adds = self.next_field != self.for_field
        return draft.schema_id == self.for_schema and not (adds and draft.next_field != self.for_field)


def write_rows(transaction: Transaction, draft: Draft, source: BatchSource, fit: Fit = AS_THEY_COME) -> WrittenRows:
    """Fit rows to the columns of a draft, write and publish them as fragments that no version lists yet."""
    storage, progress = transaction.storage, transaction.options.progress
    plan, batches = fitted_batches(transaction, draft, source, fit)
    counted = (lambda done, _all: progress(done, source.num_rows)) if progress else None
    staged = write_fragments(storage.objects.files, transaction.new_path, plan.written, batches, counted)
    fragments = transaction.publish_fragments(staged, plan.written)
    # Whatever replaces all rows has the columns that it brings; a gate is shown those that are missing.
    schema = plan.written if fit.replaces and not transaction.judged else plan.schema
    return WrittenRows(draft.schema_id, draft.next_field, schema, plan.next_field, fragments)


def fitted_batches(
    transaction: Transaction, draft: Draft, source: BatchSource, fit: Fit = AS_THEY_COME
) -> tuple[ColumnPlan, Iterator[pa.RecordBatch]]:
    """Return how a source's columns become the dataset's, and its rows as they will be written."""
    engine = transaction.storage.engine
    aside = transaction.new_path().with_suffix(".arrows")
    judged = transaction.judged or fit.replaces
    plan, source = _plan(engine, transaction.dataset, draft, source, judged=judged, aside=aside, evolve=fit.evolve)
    check_order(fit.order_by, plan.written)
    batches = transaction.heartbeat.through(_complete(engine, plan, source))
    if fit.order_by:
        batches = transaction.heartbeat.through(sort_batches(batches, plan.written, fit.order_by))
    return plan, batches


def complete_table(engine: Engine, dataset: DatasetRecord, head: Head, source: BatchSource) -> pa.Table:
    """Return the rows of a source as an append to a head would write them, to be judged before that."""
    plan, source = _plan(engine, dataset, head.draft, source, judged=True, aside=None)
    plain = plain_schema(plan.written)
    if not plan.derivation.waves and conforms(source.schema, plain):
        return pa.Table.from_batches(source.batches, plain)
    return pa.Table.from_batches(_complete(engine, plan, source), plan.written).cast(plain)


def _plan(
    engine: Engine,
    dataset: DatasetRecord,
    draft: Draft,
    source: BatchSource,
    *,
    judged: bool,
    aside: Path | None,
    evolve: bool = False,
) -> tuple[ColumnPlan, BatchSource]:
    """Plan the columns; where a gate judges, look first which values fit the dataset's types.

    Types alone do not say whether a double fits an integer. The rows are put aside while that is looked at,
    so that a column that does not fit reaches the gate as what it is; a source is read once.
    """
    plan = plan_columns(engine, dataset, draft, source.schema, judged=judged, evolve=evolve)
    wanted = {n: plan.schema.field(n).type for n in plan.given} if judged and draft.schema is not None else {}
    doubtful = {n: kind for n, kind in wanted.items() if may_not_fit(source.schema.field(n).type, kind)}
    if not doubtful:
        return plan, source
    source, unfit = spool(source, doubtful, aside)
    if not unfit:
        return plan, source
    return plan_columns(engine, dataset, draft, source.schema, judged=judged, evolve=evolve, unfit=unfit), source


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
