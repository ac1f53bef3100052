"""Rows that are written anew and stay who they are: a fragment that carries their row ids in a file of its own."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.commit import Transaction
from foldstore.datastore.fragment_writer import StagedFragment, write_column_group
from foldstore.datastore.manifest import ROW_ID_FIELD, ColumnGroup, Fragment

_ROW_ID_SCHEMA: Final = pa.schema([pa.field("row id", pa.uint64(), nullable=False)])


def publish_moved(
    transaction: Transaction, staged: Sequence[StagedFragment], written: pa.Schema, ids: NDArray[np.uint64]
) -> tuple[Fragment, ...]:
    """Register and name the files of new fragments, with the ids that their rows have had.

    Parameters
    ----------
    staged : sequence of StagedFragment
        The rows.
    written : pyarrow.Schema
        Their columns.
    ids : array of uint64
        Their row ids, in order.
    """
    files = transaction.storage.objects.files
    start, carried = 0, []
    for item in staged:
        rows = pa.RecordBatch.from_arrays([pa.array(ids[start : start + item.num_rows])], schema=_ROW_ID_SCHEMA)
        carried.append(write_column_group(files, transaction.new_path(), _ROW_ID_SCHEMA, [rows]))
        start += item.num_rows
    fragments = transaction.publish_fragments(staged, written)
    transaction.publish_files(carried)
    return tuple(
        replace(each, groups=(*each.groups, ColumnGroup(item.record.id, (ROW_ID_FIELD,))))
        for each, item in zip(fragments, carried, strict=True)
    )
