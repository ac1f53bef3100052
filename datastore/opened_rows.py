"""Rows of a version with sealed cells in their places: what computes aggregates inside the store reads.

Never handed out: whoever calls this releases aggregates only (`outcomes_feed_features`).
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.sealing import ROW_ID, open_sealed
from foldstore.datastore.storage import Storage


def open_rows(storage: Storage, rows: FragmentReader, columns: Sequence[str], seal_ids: Sequence[str]) -> pa.Table:
    """Return rows as they were before some seals.

    Parameters
    ----------
    rows : FragmentReader
        The rows of a version.
    columns : sequence of str
        Which columns.
    seal_ids : sequence of str
        Whose cells are put back.
    """
    table = rows.to_table(columns)
    ids = _row_ids(rows)
    for seal_id in seal_ids:
        sealed = open_sealed(storage, seal_id)
        places = np.searchsorted(ids, sealed.column(ROW_ID).to_numpy())
        here = (places < len(ids)) & (ids[np.minimum(places, len(ids) - 1)] == sealed.column(ROW_ID).to_numpy())
        for name in [name for name in sealed.column_names if name in columns and name != ROW_ID]:
            values = sealed.column(name).filter(pa.array(here))
            table = _put_back(table, name, places[here], values)
    return table


def _row_ids(rows: FragmentReader) -> NDArray[np.uint64]:
    """Return the row ids, ascending as long as fragments come in the order of their ids."""
    parts = [
        (np.uint64(fragment.id) << np.uint64(32)) + np.arange(fragment.num_rows, dtype=np.uint64)
        for fragment in rows.fragments
    ]
    return np.concatenate([np.empty(0, np.uint64), *parts])


def _put_back(table: pa.Table, name: str, places: NDArray[np.intp], values: pa.ChunkedArray) -> pa.Table:
    column = table.column(name)
    index = np.arange(len(column), dtype=np.int64)
    index[places] = len(column) + np.arange(len(places))
    both = pa.chunked_array([*column.chunks, *values.cast(column.type).chunks], column.type)
    position = table.column_names.index(name)
    return table.set_column(position, name, both.take(pa.array(index)))
