"""Add columns by a table that is joined on the key: each row gets the values of the table's row with its key."""

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pyarrow as pa

from foldstore.datastore.add_columns import Place, add_fields, place_of, with_groups, write_groups
from foldstore.datastore.arrow_schema import storage_type
from foldstore.datastore.commit import Transaction
from foldstore.datastore.draft import Draft
from foldstore.datastore.exact_cast import cast_exactly
from foldstore.datastore.key_search import KeySet, read_keys
from foldstore.datastore.manifest import ColumnGroup, Fragment
from foldstore.datastore.reader import FragmentReader
from foldstore.errors import ConflictError, NotFoundError, UsageError
from foldstore.types import Operation


class JoinColumns:
    """The step that adds the columns of a table beside the rows that have its keys; other rows get null.

    Parameters
    ----------
    table : pyarrow.Table
        The key columns and the new ones; it is held in memory.
    """

    operation: ClassVar = Operation.ADD_COLUMNS
    replays: ClassVar = True

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self._for_schema: str | None = None
        self._groups: dict[Place, ColumnGroup] = {}

    def apply(self, draft: Draft, transaction: Transaction) -> Draft:
        """Write the columns of the fragments that have none yet.

        Raises
        ------
        UsageError
            When the dataset has no key, or the table brings nothing else.
        NotFoundError
            When the table has a key that no row has.
        AlreadyExistsError
            When a column of that name is there.
        """
        name = transaction.dataset.name
        known = draft.known_schema(name)
        if self._for_schema not in (None, draft.schema_id):
            raise ConflictError("The columns were changed meanwhile.", retry=True)
        self._for_schema = draft.schema_id
        reader = draft.reader(transaction.storage, transaction.dataset)
        keys = read_keys(transaction.dataset.key, reader.arrow_schema, self._table, name)
        new = [field for field in self._table.schema if field.name not in transaction.dataset.key]
        if not new:
            raise UsageError("The table brings no column beside the key.", hint="Add some, or give expressions.")
        plain = pa.schema([pa.field(field.name, storage_type(field.type)) for field in new])
        fresh, next_field = add_fields(known, plain, draft.next_field)
        values = pa.table([_plain(self._table, field) for field in fresh], schema=fresh)
        waiting = [fragment for fragment in reader.fragments if place_of(fragment) not in self._groups]
        matched = _match(reader.with_deleted().restricted([replace(each, deleted=None) for each in waiting]), keys)
        _refuse_unknown(keys, matched, name, complete=len(waiting) == len(reader.fragments))
        parts = ((each, _cells(values, matched, each, reader)) for each in waiting)
        self._groups |= write_groups(transaction, parts, fresh)
        added = with_groups(draft.fragments, self._groups, fresh)
        return replace(draft.with_changed(added), schema=pa.schema([*known, *fresh]), next_field=next_field)


def _plain(table: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    column = table.column(field.name)
    return pa.chunked_array([cast_exactly(chunk, field.type, name=field.name) for chunk in column.chunks], field.type)


def _match(reader: FragmentReader, keys: KeySet) -> dict[int, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Return for each fragment which row of the table belongs to each of its rows, -1 for none."""
    places = {each.id: np.full(each.num_rows, -1, np.int64) for each in reader.fragments}
    for found in keys.find(reader):
        places[found.fragment.id][found.positions] = found.wanted
    return places


def _refuse_unknown(
    keys: KeySet, matched: dict[int, np.ndarray[tuple[int], np.dtype[np.int64]]], name: str, *, complete: bool
) -> None:
    met = np.zeros(keys.num_rows, np.bool_)
    for places in matched.values():
        met[places[places >= 0]] = True
    if not complete or met.all():
        return
    first = {column: keys.rows.column(column)[int(np.flatnonzero(~met)[0])].as_py() for column in keys.key}
    raise NotFoundError(
        f"{int((~met).sum()):,} keys of the table are no rows of {name!r}, e.g. {first}.",
        hint="Leave them out, or upsert() whole rows.",
        code="key-not-found",
        count=int((~met).sum()),
    )


def _cells(
    values: pa.Table,
    matched: dict[int, np.ndarray[tuple[int], np.dtype[np.int64]]],
    fragment: Fragment,
    reader: FragmentReader,
) -> Iterator[pa.RecordBatch]:
    """Yield the new columns of a fragment, cut as its other files are."""
    whole = values.unify_dictionaries().combine_chunks()
    places, start = matched[fragment.id], 0
    for batch in reader.open_group(fragment.groups[0].object_id).batches:
        here = places[start : start + batch.num_rows]
        start += batch.num_rows
        taken = whole.take(pa.array(here, mask=here < 0)).combine_chunks()
        columns = [column.chunk(0) if column.num_chunks else pa.nulls(0, column.type) for column in taken.columns]
        yield pa.RecordBatch.from_arrays(columns, schema=values.schema)
