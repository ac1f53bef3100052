"""Tiles: rows of a feature table by entity and time with the running totals of the columns that windows look at.

A tile is made of some rows, once. A window is the sum of what it holds of each tile; sums are exact, so that it does
not matter how rows were cut into tiles: new rows are a new tile beside the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa

from foldstore.views.features.aggregation import Aggregation
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.features.sorted_index import IndexParts, Integers, SortedIndex
from foldstore.views.features.window import Window
from foldstore.views.features.window_values import ColumnTotals

FORMAT: Final = 2
# In words a row.
_SORTED: Final = 5
_KEY: Final = 3
_VALUE: Final = 2
_ADDED: Final = 10
_SQUARED: Final = 14
_BYTE: Final = 8


@dataclass(frozen=True, slots=True)
class Tile:
    """Rows of a feature table, sorted and added up.

    Attributes
    ----------
    index : SortedIndex
        Where the rows of an entity and a time are.
    totals : mapping of str to ColumnTotals
        By column.
    hidden : ndarray of int64 or None
        Codes of entities that another tile answers for, ascending.
    """

    index: SortedIndex
    totals: Mapping[str, ColumnTotals]
    hidden: Integers | None = None

    @classmethod
    def of(cls, table: pa.Table, view: FeatureView, rows: Integers | None = None) -> Self:
        """Sort and add up the rows of a windowed feature view's source.

        Parameters
        ----------
        rows : ndarray of int64, optional
            The rows of a larger table that these are.
        """
        index = SortedIndex(table, keys=view.keys, event_time=view.event_time, created_time=view.created_time)
        order = index.rows_in_order()
        totals = {
            column: ColumnTotals.of(table.column(column), order, functions)
            for column, functions in find_needs(view).items()
        }
        return cls(index if rows is None else index.of_rows(rows), totals)

    def encode(self, keys: Sequence[pa.ChunkedArray], count: int) -> Integers:
        """Return the code of each key, -1 for one that the tile does not answer for."""
        codes = self.index.encode(keys, count)
        if self.hidden is None or not len(self.hidden):
            return codes
        places = np.searchsorted(self.hidden, codes)
        places[places == len(self.hidden)] = 0
        return np.where(self.hidden[places] == codes, -1, codes)

    def ranges(self, codes: Integers, window: Window, at: Integers) -> tuple[Integers, Integers, Integers]:
        """Return the first place of each window, the one after its last, and the first of the entity at any time."""
        first, past, lowest = self.index.find_range(codes, *window.bounds(at))
        if window.kind == "session":
            began = self.session_starts(window.length)
            first = np.where(past > first, began[np.maximum(past - 1, 0)], past) if len(began) else past
        return first, past, lowest

    def session_starts(self, gap: int) -> Integers:
        """Return for each place where its session began: the last place that comes more than the gap after another."""
        places = np.arange(self.index.num_rows)
        times, entities = self.index.times_at(places), self.index.entities_in_order()
        begins = np.ones(len(places), dtype=np.bool_)
        # Times lie within int64, their differences need not.
        begins[1:] = (entities[1:] != entities[:-1]) | (times[1:] > np.minimum(times[:-1], _LAST - gap) + gap)
        return np.maximum.accumulate(np.where(begins, places, 0)) if len(places) else places

    def to_parts(self) -> IndexParts:
        """Return the tile as plain data and arrays; `from_parts` makes the same of them."""
        held = self.index.to_parts()
        arrays = {name: array for name, array in held.arrays.items() if name != "earliest"}
        plain: dict[str, Any] = {}
        for number, (column, totals) in enumerate(self.totals.items()):
            plain[column], own = totals.to_parts(f"column{number}")
            arrays |= own
        return IndexParts({**held.plain, "columns": plain, "tile": FORMAT}, arrays)

    @classmethod
    def from_parts(cls, view: FeatureView, parts: IndexParts) -> Self:
        """Make a tile of what `to_parts` gave; arrays stay where they are."""
        index = SortedIndex.from_parts(pa.table({}), view.keys, parts)
        columns = enumerate(find_needs(view))
        return cls(
            index,
            {
                column: ColumnTotals.from_parts(f"column{number}", parts.plain["columns"][column], parts.arrays)
                for number, column in columns
            },
        )


_LAST: Final = 2**63 - 1


def find_needs(view: FeatureView) -> dict[str, frozenset[str]]:
    """Return the columns that a view's windows look at, and what is computed of each."""
    return find_needs_of(view.aggregations)


def find_needs_of(aggregations: Sequence[Aggregation]) -> dict[str, frozenset[str]]:
    """Return the columns that windows look at, and what is computed of each."""
    needs: dict[str, frozenset[str]] = {}
    for each in aggregations:
        if each.column is not None:
            needs[each.column] = needs.get(each.column, frozenset()) | {each.function}
    return needs


def weigh_tile(view: FeatureView, rows: int) -> int:
    """Return about how many bytes it takes to sort and add up so many rows, as measured."""
    words = _SORTED + _KEY * len(view.keys)
    for functions in find_needs(view).values():
        words += (
            _VALUE + (_ADDED if functions & {"sum", "mean", "std"} else 0) + (_SQUARED if "std" in functions else 0)
        )
    return rows * words * _BYTE


def may_be_cut(aggregations: Sequence[Aggregation]) -> bool:
    """Say whether windows over several tiles are put together of what each gives; else each entity is in one tile."""
    return all(each.window != "session" and each.function not in ("distinct", "quantile") for each in aggregations)
