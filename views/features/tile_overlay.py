"""A tile of rows most of which another tile has: it answers for all entities but those of which rows went or came.

The rows of these are taken together into a tile of their own, which is sorted and added up as any: so every function of
windows gives what it gives of a tile that is made anew.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from foldstore.views.features.asked_entities import write_out
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.features.row_numbers import RowNumbers
from foldstore.views.features.sorted_index import Integers
from foldstore.views.features.tile_parts import TileParts
from foldstore.views.features.window_tiles import Tile


def lay_tile_over(
    base: TileParts, view: FeatureView, rows: pa.Table, changed: tuple[Sequence[pa.ChunkedArray], RowNumbers], most: int
) -> tuple[TileParts, TileParts] | None:
    """Return two tiles that together answer for rows.

    Parameters
    ----------
    base : TileParts
        Of other rows, from a file.
    rows : pyarrow.Table
        The rows.
    changed : tuple of (sequence of ChunkedArray, RowNumbers)
        The keys of what went from the rows of the base and of what came, in any order, and which rows these are.
    most : int
        How many rows the second tile may have.

    Returns
    -------
    tuple of TileParts or None
        The base without some entities, and a tile of these; None where they have more rows.
    """
    keys, numbers = changed
    parts: list[Tile] = []
    held = [np.empty(0, dtype=np.int64)]
    count = 0
    for part in base.parts:
        codes = np.unique(part.index.encode(keys, numbers.num_rows))
        codes = codes[codes >= 0]
        first, past = part.index.find_entities(codes)
        count += int(np.sum(past - first))
        if count > most:
            return None
        parts.append(Tile(part.index, part.totals, codes))
        held.append(part.index.rows_at(write_out(first, past)))
    kept = numbers.renumber(np.setdiff1d(np.concatenate(held), numbers.removed))
    own = np.union1d(kept, numbers.added)
    return TileParts(tuple(parts)), TileParts.of(_take(rows, own), view)


def _take(table: pa.Table, rows: Integers) -> pa.Table:
    """Return rows, which ascend, of a table; pieces without any are not looked at."""
    taken, start = [], 0
    for batch in table.to_batches():
        first, past = np.searchsorted(rows, [start, start + batch.num_rows])
        if first < past:
            taken.append(batch.take(pa.array(rows[first:past] - start)))
        start += batch.num_rows
    return pa.Table.from_batches(taken, table.schema)
