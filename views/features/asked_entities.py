"""The entities that ask: their rows of every tile, gathered and sorted together.

What a window holds are rows of its entity alone. So functions that are not put together of what tiles give are
computed of a small tile, of the rows of those who ask: its cost goes with these rows, however many others there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.views.features.aggregation import Aggregation
from foldstore.views.features.removed_places import UNKNOWN_CREATED
from foldstore.views.features.sorted_index import Integers, SortedIndex
from foldstore.views.features.window_tiles import Tile, find_needs_of
from foldstore.views.features.window_values import ColumnTotals

_NANOSECONDS = pa.timestamp("ns", "UTC")


@dataclass(frozen=True, slots=True)
class AskedEntities:
    """Who asks, as numbers that hold for all tiles.

    Attributes
    ----------
    tiles : sequence of Tile
        Where rows are; tiles of earlier rows first.
    numbers : ndarray of int64
        The entity of each who asks, -1 where no tile has its key.
    entities : ndarray of int64
        Each entity once.
    ranges : sequence of pair of ndarray of int64
        Tile by tile, the first place of each entity and the one after its last.
    """

    tiles: Sequence[Tile]
    numbers: Integers
    entities: Integers
    ranges: Sequence[tuple[Integers, Integers]]

    @classmethod
    def of(cls, tiles: Sequence[Tile], codes: Sequence[Integers]) -> Self:
        """Number those who ask, of whom each tile knows the code; fastest where those of an entity stand together."""
        count = len(codes[0])
        new: NDArray[np.bool_] = np.zeros(count, dtype=np.bool_)
        new[:1] = True
        for each in codes:
            new[1:] |= each[1:] != each[:-1]
        askers = np.flatnonzero(new)
        numbers = np.zeros(len(askers), dtype=np.int64)
        for each in codes:
            # A code says of what entity it is, and none that another tile may know it: together they tell all apart.
            known, dense = np.unique(each[askers], return_inverse=True)
            numbers = np.unique(numbers * len(known) + dense, return_inverse=True)[1]
        entities, first = np.unique(numbers, return_index=True)
        own = [each[askers[first]] for each in codes]
        numbers = np.where(np.logical_and.reduce([each[askers] < 0 for each in codes]), -1, numbers)
        ranges = [tile.index.find_entities(each) for tile, each in zip(tiles, own, strict=True)]
        return cls(tiles, numbers[np.cumsum(new) - 1] if count else numbers, entities, ranges)

    @property
    def num_rows(self) -> int:
        """How many rows the entities have."""
        return sum(int(np.sum(past - first)) for first, past in self.ranges)

    def gather(self, aggregations: Sequence[Aggregation]) -> tuple[Tile, Integers]:
        """Return a tile of the entities' rows with what some aggregations need, and the code of each who asks."""
        places = [write_out(first, past) for first, past in self.ranges]
        owners = [np.repeat(self.entities, past - first) for first, past in self.ranges]
        pairs = list(zip(self.tiles, places, strict=True))
        created = [tile.index.created_at(at) for tile, at in pairs]
        known = [each for each in created if each is not None]
        columns = {
            "entity": pa.array(np.concatenate(owners)),
            "event": _instants(np.concatenate([tile.index.times_at(at) for tile, at in pairs])),
        }
        if len(known) == len(pairs):
            columns["created"] = _instants(np.concatenate(known))
        index = SortedIndex(
            pa.table(columns),
            keys={"entity": "int64"},
            event_time="event",
            created_time="created" if "created" in columns else None,
        )
        rows = index.rows_in_order()
        totals = {}
        for column, functions in find_needs_of(aggregations).items():
            values = pa.chunked_array([tile.totals[column].values_at(at) for tile, at in pairs])
            totals[column] = ColumnTotals.of(values, rows, functions)
        codes = index.encode([pa.chunked_array([pa.array(self.numbers)])], len(self.numbers))
        return Tile(index, totals), codes


def write_out(first: Integers, past: Integers) -> Integers:
    """Return the places of ranges, one range after the other."""
    length = past - first
    starts = np.cumsum(length) - length
    places: Integers = np.arange(int(length.sum())) + np.repeat(first - starts, length)
    return places


def _instants(nanoseconds: Integers) -> pa.Array:
    return pa.array(nanoseconds, mask=nanoseconds == UNKNOWN_CREATED).view(_NANOSECONDS)
