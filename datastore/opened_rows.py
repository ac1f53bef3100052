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
    for seal_id in seal_ids:
        sealed = open_sealed(storage, seal_id)
        places, here = _places(rows, sealed)
        for name in [name for name in sealed.column_names if name in columns and name != ROW_ID]:
            table = _put_back(table, name, places, sealed.column(name).filter(pa.array(here)))
    return table


def sealed_mask(storage: Storage, rows: FragmentReader, seal_id: str) -> NDArray[np.bool_]:
    """Return which rows a seal covers."""
    places, _ = _places(rows, open_sealed(storage, seal_id, []))
    mask = np.zeros(rows.num_rows, np.bool_)
    mask[places] = True
    return mask


def _places(rows: FragmentReader, sealed: pa.Table) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return where sealed rows lie among the rows, and which of them do."""
    ids, wanted = rows.places(), sealed.column(ROW_ID).to_numpy()
    order = np.argsort(ids, kind="stable")
    found = np.searchsorted(ids[order], wanted)
    here = found < len(ids)
    here[here] = ids[order][found[here]] == wanted[here]
    return order[found[here]], here


def _put_back(table: pa.Table, name: str, places: NDArray[np.intp], values: pa.ChunkedArray) -> pa.Table:
    column = table.column(name)
    index = np.arange(len(column), dtype=np.int64)
    index[places] = len(column) + np.arange(len(places))
    both = pa.chunked_array([*column.chunks, *values.cast(column.type).chunks], column.type)
    position = table.column_names.index(name)
    return table.set_column(position, name, both.take(pa.array(index)))
