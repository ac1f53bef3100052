"""Rows of an index that are there no more: a search that ends at one of them steps back to a row that is.

What is held goes with the rows that were removed, and a step goes past any number of them at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.views.time_column import Instants

Integers = NDArray[np.int64]

UNKNOWN_CREATED: Final = -(2**63)  # below every instant: the created time of a row that has none


@dataclass(frozen=True, slots=True)
class IndexedRows:
    """Rows, as an index knows them.

    Attributes
    ----------
    keys : sequence of ChunkedArray
        The entity's keys.
    events : Instants
        Event times.
    created : Instants or None
        Created times, where the index has them.
    rows : ndarray of int64
        Which rows they are.
    """

    keys: Sequence[pa.ChunkedArray]
    events: Instants
    created: Instants | None
    rows: Integers

    def take(self, places: Integers) -> "IndexedRows":
        """Return some of them."""
        return IndexedRows(
            [column.take(pa.array(places)) for column in self.keys],
            self.events.take(places),
            None if self.created is None else self.created.take(places),
            self.rows[places],
        )


class RemovedPlaces:
    """Places of an index whose rows are there no more.

    Parameters
    ----------
    places : ndarray of int64
        Which, each once and at least one, in any order.

    Examples
    --------
    >>> RemovedPlaces(np.array([0, 4, 3])).step_back(np.array([0, 1, 2, 3, 4, 5])).tolist()
    [-1, 1, 2, 2, 2, 5]
    """

    __slots__ = ("_before", "_places")

    def __init__(self, places: Integers) -> None:
        self._places = np.sort(places)
        begins: NDArray[np.bool_] = np.ones(len(places), dtype=np.bool_)
        begins[1:] = np.diff(self._places) > 1
        # The last place before the run that each is in.
        self._before = (self._places[begins] - 1)[np.cumsum(begins) - 1]

    def add(self, places: Integers) -> "RemovedPlaces":
        """Return these and others."""
        return RemovedPlaces(np.union1d(self._places, places))

    @property
    def nbytes(self) -> int:
        """How much memory they take."""
        return int(self._places.nbytes + self._before.nbytes)

    def step_back(self, places: Integers) -> Integers:
        """Return the last place at or before each one whose row is there; -1 for none."""
        at = np.searchsorted(self._places, places)
        at[at == len(self._places)] = 0
        return np.where(self._places[at] == places, self._before[at], places)


def with_unknown(created: Instants) -> Integers:
    """Return created times, below every instant where there is none."""
    return created.values if created.nulls is None else np.where(created.nulls, UNKNOWN_CREATED, created.values)


def find_among_ties(
    low: Integers,
    past: Integers,
    wanted: tuple[Integers | None, Integers],
    held: tuple[Integers | None, Integers | None],
) -> Integers:
    """Find places within ranges of places whose keys are equal: these are in the order of created time, then row.

    Parameters
    ----------
    low, past : ndarray of int64
        The first place of each range, and the one after its last.
    wanted : tuple of (ndarray of int64 or None, ndarray of int64)
        The created time of each row, where there are any, and which row it is.
    held : tuple of (ndarray of int64 or None, ndarray of int64 or None)
        The created times and the rows of all places; where there are no rows each place is one.

    Returns
    -------
    ndarray of int64
        The first place of each range that is not before what is wanted, or the one after its last.
    """
    (created, rows), (known, order) = wanted, held
    low, past = low.copy(), past.copy()
    while len(open_ := np.flatnonzero(low < past)):
        middle = (low[open_] + past[open_]) // 2
        row = middle if order is None else order[middle]
        before = row < rows[open_]
        if created is not None and known is not None:
            before = (known[middle] < created[open_]) | ((known[middle] == created[open_]) & before)
        low[open_[before]] = middle[before] + 1
        past[open_[~before]] = middle[~before]
    return low
