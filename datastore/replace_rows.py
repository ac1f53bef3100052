"""Replace rows in place of themselves: the same rows, by row id, with other values in some columns.

What is written is the changed rows alone. They lie behind the others then, as after an upsert, and keep their ids,
so that splits and folds hold them where they were.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.append import fitted_batches
from foldstore.datastore.arrow_schema import expressions_of, plain_schema
from foldstore.datastore.commit import Transaction
from foldstore.datastore.delete import delete_rows
from foldstore.datastore.draft import Draft
from foldstore.datastore.fragment_writer import write_fragments
from foldstore.datastore.ingest.batch_source import BatchSource
from foldstore.datastore.manifest import Fragment
from foldstore.datastore.moved_rows import publish_moved
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.row_set import Part, RowSet

_Positions = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ChangedRows:
    """What becomes of rows of one fragment.

    Attributes
    ----------
    fragment : Fragment
    positions : array of int64
        Where the changed rows lie in the fragment's files, ascending.
    cells : pyarrow.Table
        The columns that change, with one row for each position.
    dropped : array of int64
        Where rows lie that are deleted.
    """

    fragment: Fragment
    positions: _Positions
    cells: pa.Table
    dropped: _Positions


def replace_rows(draft: Draft, transaction: Transaction, changes: Iterable[ChangedRows], *, act: str) -> Draft:
    """Return a draft with some rows changed and some deleted; columns that are derived are computed anew.

    Memory holds the changed rows of one fragment.

    Raises
    ------
    RefusedError
        When a row belongs to a test pool.
    """
    reader = draft.reader(transaction.storage, transaction.dataset)
    known = draft.known_schema(transaction.dataset.name)
    given = plain_schema(pa.schema([field for field in known if field.name not in expressions_of(known)]))
    hits: dict[int, _Positions] = {}
    ids: list[NDArray[np.uint64]] = [np.empty(0, np.uint64)]

    def rows() -> Iterator[pa.RecordBatch]:
        for each in changes:
            both = np.union1d(each.positions, each.dropped)
            if len(both):
                hits[each.fragment.id] = both
            if len(each.positions):
                whole = reader.with_deleted([each.fragment])
                ids.append(whole.row_ids()[each.positions])
                yield from _whole_rows(reader, each, given).to_batches()

    plan, batches = fitted_batches(transaction, draft, BatchSource(schema=given, batches=rows()))
    staged = write_fragments(transaction.storage.objects.files, transaction.new_path, plan.written, batches)
    fragments = publish_moved(transaction, staged, plan.written, np.concatenate(ids))
    return delete_rows(draft, transaction, hits, act=act).with_fragments(*fragments)


def _whole_rows(reader: FragmentReader, changed: ChangedRows, given: pa.Schema) -> pa.Table:
    mask = np.zeros(changed.fragment.num_rows, np.bool_)
    mask[changed.positions] = True
    others = [name for name in given.names if name not in changed.cells.column_names]
    rest = RowSet(reader, [Part(changed.fragment, mask)]).to_table(others) if others else None
    columns = [
        changed.cells.column(name) if rest is None or name in changed.cells.column_names else rest.column(name)
        for name in given.names
    ]
    return pa.table(columns, schema=given).combine_chunks()
