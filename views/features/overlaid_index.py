"""An index of an earlier version's rows with what changed since laid over it: rows that went, and rows that came.

Both are asked, and of two rows the later one counts by the rule of `SortedIndex`: the greatest event time, then the
greatest created time, then the row that was written last. So the answers are those of an index that is built anew.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.views.features.found_rows import NOWHERE, FoundRows, take_rows
from foldstore.views.features.index_file import BuiltIndex, IndexedColumns
from foldstore.views.features.removed_places import with_unknown
from foldstore.views.features.row_numbers import RowNumbers
from foldstore.views.features.sorted_index import Integers, Lookback, SortedIndex
from foldstore.views.time_column import Instants, to_nanoseconds

_CHANGED: Final = 24  # bytes for a row that went or came: its number, its place, and the one before


class OverlaidIndex:
    """An index of rows that are for the most part those of another one.

    Parameters
    ----------
    table : pyarrow.Table
        The feature table.
    columns : IndexedColumns
        What the index is made of.
    base : SortedIndex or PartitionedIndex
        Finds the rows of an earlier table, without those that the table has no more; the others have one order in
        both.
    numbers : RowNumbers
        Which rows the table has for rows of the earlier one.
    added : SortedIndex or None
        Finds the rows that only the table has.
    """

    __slots__ = ("_added", "_base", "_columns", "_numbers", "table")

    def __init__(
        self,
        table: pa.Table,
        columns: IndexedColumns,
        base: BuiltIndex,
        numbers: RowNumbers,
        added: SortedIndex | None,
    ) -> None:
        self.table = table
        self._columns = columns
        self._base = base
        self._numbers = numbers
        self._added = added

    @property
    def nbytes(self) -> int:
        """About how much memory it takes, the base and the table aside."""
        added = 0 if self._added is None else self._added.nbytes + self._added.table.nbytes
        return self._numbers.num_rows * _CHANGED + added

    def find_visible(
        self, columns: Sequence[pa.ChunkedArray], at: Instants, lookback: Lookback, order: Integers | None = None
    ) -> FoundRows:
        """Find the rows whose values may be given; see `SortedIndex.find_visible`."""
        found = self._base.find_visible(columns, at, lookback, order)
        rows = self._numbers.renumber(found.rows)
        asking, newer = self._find_added(columns, at, lookback)
        if len(asking):
            places = np.empty(len(rows), dtype=np.int64)
            places[found.askers] = np.arange(len(rows))
            places = places[asking]
            both = rows[places] != NOWHERE
            both[both] = ~self._is_later(newer[both], rows[places[both]])
            rows[places[~both]] = newer[~both]
        return FoundRows(rows, found.askers)

    def _find_added(
        self, columns: Sequence[pa.ChunkedArray], at: Instants, lookback: Lookback
    ) -> tuple[Integers, Integers]:
        """Return who finds one of the rows that came, and which."""
        nobody = np.empty(0, dtype=np.int64)
        if self._added is None:
            return nobody, nobody
        # Mostly few of those who ask are entities of which a row came.
        asking = np.flatnonzero(self._added.encode(columns, len(at.values)) >= 0)
        if not len(asking):
            return asking, nobody
        own = columns if len(asking) == len(at.values) else [column.take(pa.array(asking)) for column in columns]
        rows = self._added.find_visible(own, at.take(asking), lookback).in_order()
        return asking[rows != NOWHERE], rows[rows != NOWHERE]

    def _is_later(self, rows: Integers, others: Integers) -> NDArray[np.bool_]:
        """Say which rows count before others of the same entity."""
        later = rows > others
        for name in (self._columns.created_time, self._columns.event_time):
            if name is not None:
                mine, theirs = self._times(name, rows), self._times(name, others)
                later = (mine > theirs) | ((mine == theirs) & later)
        return later

    def _times(self, name: str, rows: Integers) -> Integers:
        (times,) = take_rows([self.table.column(name)], FoundRows(rows, np.arange(len(rows))))
        return with_unknown(to_nanoseconds(times, where=f"Time {name!r}"))
