"""Add derived columns: each fragment gains one file with the new columns alone."""

from collections.abc import Mapping

import pyarrow as pa

from foldstore.datastore.arrow_schema import assign_ids, check_columns, field_ids, plain_schema
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.commit import Change, CommitOptions, Head, Transaction, begin, with_group
from foldstore.datastore.derivation import Derivation, plan_derivation
from foldstore.datastore.fragment_writer import write_column_group
from foldstore.datastore.gate import PublishGate
from foldstore.datastore.manifest import ColumnGroup
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.storage import Storage
from foldstore.errors import AlreadyExistsError, UsageError
from foldstore.types import Operation


def add_columns(
    storage: Storage,
    dataset: DatasetRecord,
    expressions: Mapping[str, str],
    *,
    options: CommitOptions,
    gate: PublishGate,
) -> VersionRecord:
    """Commit columns computed from those that are there; later appends compute them too.

    Raises
    ------
    InvalidExpressionError
        When an expression is not allowed or fails on a row.
    AlreadyExistsError
        When a column of that name is there.
    ConflictError
        When another writer committed meanwhile.
    """
    with begin(storage, dataset, options) as transaction:
        head = transaction.head
        if head.schema is None or head.version is None:
            raise UsageError(f"{dataset.name!r} has no version yet.", hint="Append rows first.")
        derivation = _plan(storage, dataset, head.schema, expressions)
        schema, next_field = _extend(head, derivation, expressions)
        return transaction.commit(_write(storage, transaction, derivation, schema, next_field, options), gate)


def _plan(storage: Storage, dataset: DatasetRecord, known: pa.Schema, expressions: Mapping[str, str]) -> Derivation:
    if not isinstance(expressions, Mapping):
        raise UsageError(
            f"Columns are added by a dict, not {type(expressions).__name__!r}.",
            hint='Write add_columns({"late": "arr_delay > 15"}).',
        )
    if not expressions:
        raise UsageError("There is no column to add.", hint='Write add_columns({"late": "arr_delay > 15"}).')
    for name in expressions:
        if name in known.names:
            raise AlreadyExistsError(f"{dataset.name!r} has a column {name!r} already.", hint="Choose another name.")
    plain = plain_schema(known)
    check_columns(pa.schema([*plain, *(pa.field(str(name), pa.null()) for name in expressions)]))
    return plan_derivation(storage.engine, expressions, plain, where=lambda name: f"column {name!r}")


def _extend(head: Head, derivation: Derivation, expressions: Mapping[str, str]) -> tuple[pa.Schema, int]:
    assert head.schema is not None  # noqa: S101  # the caller looked
    assert head.version is not None  # noqa: S101  # a schema comes with a version
    new = pa.schema([pa.field(name, derivation.types[name]) for name in expressions])
    fresh, next_field = assign_ids(new, next_field=head.version.next_field, expressions=expressions)
    check_columns(plain_schema(fresh))
    return pa.schema([*head.schema, *fresh]), next_field


def _write(
    storage: Storage,
    transaction: Transaction,
    derivation: Derivation,
    schema: pa.Schema,
    next_field: int,
    options: CommitOptions,
) -> Change:
    head = transaction.head
    assert head.schema is not None  # noqa: S101  # the caller looked
    fresh = pa.schema([field for field in schema if field.name not in head.schema.names])
    whole = FragmentReader(storage, head.fragments, head.schema, f"{transaction.dataset.name!r}")
    plain = plain_schema(head.schema)
    inputs = pa.schema([plain.field(name) for name in derivation.inputs(plain)])
    staged = []
    for position, fragment in enumerate(whole.fragments):
        batches = whole.restricted([fragment]).batches(inputs.names)
        computed = (
            pa.RecordBatch.from_arrays([batch.column(name) for name in fresh.names], schema=fresh)
            for batch in derivation.extend(storage.engine, inputs, batches)
        )
        path = transaction.folder / f"{position}.arrow"
        staged.append(write_column_group(storage.objects.files, path, fresh, computed))
        if options.progress:
            options.progress(sum(item.record.num_rows for item in staged), whole.num_rows)
    new_bytes, _ = transaction.publish_files(staged, 0)
    ids = field_ids(fresh)
    added = tuple(
        with_group(fragment, ColumnGroup(item.record.id, ids))
        for fragment, item in zip(whole.fragments, staged, strict=True)
    )
    return Change(
        operation=Operation.ADD_COLUMNS,
        schema=schema,
        next_field=next_field,
        added=added,
        replaces=True,
        bytes_added=new_bytes,
    )
