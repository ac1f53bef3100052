"""Add columns: each fragment gains one file with the new columns alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, TypeAlias

import pyarrow as pa

from foldstore.datastore.arrow_schema import assign_ids, check_columns, field_ids, plain_schema
from foldstore.datastore.catalog.records import DatasetRecord
from foldstore.datastore.commit import Transaction
from foldstore.datastore.derivation import Derivation, plan_derivation
from foldstore.datastore.draft import Draft
from foldstore.datastore.fragment_writer import write_column_group
from foldstore.datastore.manifest import ColumnGroup, Fragment
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.storage import Storage
from foldstore.errors import AlreadyExistsError, ConflictError, UsageError
from foldstore.types import Operation

# What a file of new columns was computed from.
Place: TypeAlias = tuple[int, tuple[ColumnGroup, ...]]


class AddColumns:
    """The step that adds columns computed by SQL expressions; later appends compute them too.

    A fragment's new file has a row for each of its rows, the deleted ones too, so that deletions that another
    writer commits meanwhile leave it valid; fragments that others append get files of their own.
    """

    operation: ClassVar = Operation.ADD_COLUMNS
    replays: ClassVar = True

    def __init__(self, expressions: Mapping[str, str]) -> None:
        self._expressions = expressions
        self._fresh: pa.Schema | None = None
        self._for_schema: str | None = None
        self._groups: dict[Place, ColumnGroup] = {}

    def apply(self, draft: Draft, transaction: Transaction) -> Draft:
        """Write the columns of the fragments that have none yet.

        Raises
        ------
        InvalidExpressionError
            When an expression is not allowed or fails on a row.
        AlreadyExistsError
            When a column of that name is there.
        ConflictError
            When the columns were changed since the first files were written.
        """
        known = draft.known_schema(transaction.dataset.name)
        if self._for_schema not in (None, draft.schema_id):
            raise ConflictError("The columns were changed meanwhile.", retry=True)
        derivation = _plan(transaction.storage, transaction.dataset, known, self._expressions)
        new = pa.schema([pa.field(name, derivation.types[name]) for name in self._expressions])
        fresh, next_field = add_fields(known, new, draft.next_field, self._expressions)
        self._for_schema, self._fresh = draft.schema_id, fresh
        self._write(draft, transaction, derivation, fresh)
        added = with_groups(draft.fragments, self._groups, fresh)
        return replace(draft.with_changed(added), schema=pa.schema([*known, *fresh]), next_field=next_field)

    def _write(self, draft: Draft, transaction: Transaction, derivation: Derivation, fresh: pa.Schema) -> None:
        whole = draft.reader(transaction.storage, transaction.dataset).with_deleted()
        plain = whole.arrow_schema
        inputs = pa.schema([plain.field(name) for name in derivation.inputs(plain)])
        waiting = [fragment for fragment in whole.fragments if place_of(fragment) not in self._groups]
        engine = transaction.storage.engine

        def compute(rows: FragmentReader) -> Iterator[pa.RecordBatch]:
            for batch in derivation.extend(engine, inputs, rows.batches(inputs.names)):
                yield pa.RecordBatch.from_arrays([batch.column(name) for name in fresh.names], schema=fresh)

        parts = ((fragment, compute(whole.restricted([fragment]))) for fragment in waiting)
        self._groups |= write_groups(transaction, parts, fresh)


def write_groups(
    transaction: Transaction, parts: Iterator[tuple[Fragment, Iterator[pa.RecordBatch]]], fresh: pa.Schema
) -> dict[Place, ColumnGroup]:
    """Write and publish a file of new columns for each of some fragments; return them by fragment and files."""
    files, progress = transaction.storage.objects.files, transaction.options.progress
    staged = {}
    done = 0
    for fragment, batches in parts:
        staged[place_of(fragment)] = write_column_group(files, transaction.new_path(), fresh, batches)
        done += fragment.num_rows
        if progress:
            progress(done, None)
    transaction.publish_files(list(staged.values()))
    ids = field_ids(fresh)
    return {place: ColumnGroup(item.record.id, ids) for place, item in staged.items()}


def place_of(fragment: Fragment) -> Place:
    """Return a fragment's id and files: a seal or an erasure puts other files in their place."""
    return fragment.id, fragment.groups


def with_group(fragment: Fragment, group: ColumnGroup) -> Fragment:
    """Return a fragment with one more column group."""
    return replace(fragment, groups=(*fragment.groups, group))


def with_groups(
    fragments: Sequence[Fragment], groups: Mapping[Place, ColumnGroup], fresh: pa.Schema
) -> dict[int, Fragment]:
    """Return fragments with the files of their new columns, by fragment id.

    The columns have the ids that are free now: others may have used up those that were free when a file was written.
    """
    ids = field_ids(fresh)
    return {each.id: with_group(each, replace(groups[place_of(each)], fields=ids)) for each in fragments}


def add_fields(
    known: pa.Schema, new: pa.Schema, next_field: int, expressions: Mapping[str, str] | None = None
) -> tuple[pa.Schema, int]:
    """Return new columns with ids, and the next free id.

    Raises
    ------
    AlreadyExistsError
        When a column of that name is there.
    SchemaMismatchError
        When a name or a type cannot be kept.
    """
    for name in new.names:
        if name in known.names:
            raise AlreadyExistsError(f"There is a column {name!r} already.", hint="Choose another name.", column=name)
    check_columns(pa.schema([*plain_schema(known), *new]))
    return assign_ids(new, next_field=next_field, expressions=expressions)


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
