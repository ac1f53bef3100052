"""Which different numbers there are among many, where these are few, without a search for each."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

# While so few are known, numbers are held against each.
_FEW: Final = 4
# While so many are known, they are looked up in a table that has so many places for each, and at most so many.
_MANY: Final = 4_096
_PLACES_EACH: Final = 64
_MOST_BITS: Final = 16
# A table is made anew where it lacks more than one in so many of the numbers that are looked up.
_RARE: Final = 256
# Multipliers of which the upper bits look random; another one is tried where two numbers get one place.
_FACTORS: Final = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F, 0xE7037ED1A0B428DB)


class DistinctNumbers:
    """The different ones of whole numbers without a sign, gathered piece by piece.

    Numbers that are known are told from others by a table of places: each number has one place, and there stands one
    of the known numbers that have it. Those that find another number there are few, and are searched for.

    Parameters
    ----------
    first : ndarray
        The first piece.
    longest : int
        How many numbers a piece has at most.

    Examples
    --------
    >>> known = DistinctNumbers(np.array([7, 7], np.uint8), 5)
    >>> known.add(np.array([7, 7, 8, 9, 7], np.uint8))
    >>> known.found
    array([7, 8, 9], dtype=uint8)
    """

    def __init__(self, first: NDArray[Any], longest: int) -> None:
        self.found: NDArray[Any] = np.asarray(pc.unique(pa.array(first)))
        self._is_other = np.empty(longest, np.bool_)
        self._differs = np.empty(longest, np.bool_)
        self._there = np.empty(longest, first.dtype)
        self._places = np.empty(longest, np.intp)
        self._table = self._make_table()

    def add(self, numbers: NDArray[Any]) -> None:
        """Look at a piece."""
        others = self._others(numbers)
        if not len(others):
            return
        known = len(self.found)
        self.found = np.asarray(pc.unique(pa.chunked_array([pa.array(self.found), pc.unique(pa.array(others))])))
        if len(self.found) > known and (self._table is None or len(others) * _RARE > len(numbers)):
            self._table = self._make_table()

    def _others(self, numbers: NDArray[Any]) -> NDArray[Any]:
        """Return numbers among which all are that are not known."""
        is_other = self._is_other[: len(numbers)]
        if len(self.found) <= _FEW:
            self._hold_against_each(numbers, is_other)
        elif self._table is not None:
            self._look_up(numbers, self._table, is_other)
        else:
            return numbers
        return numbers[is_other] if is_other.any() else numbers[:0]

    def _hold_against_each(self, numbers: NDArray[Any], is_other: NDArray[np.bool_]) -> None:
        differs = self._differs[: len(numbers)]
        is_other[:] = True
        for each in self.found:
            np.not_equal(numbers, each, out=differs)
            np.logical_and(is_other, differs, out=is_other)

    def _look_up(self, numbers: NDArray[Any], table: "_Table", is_other: NDArray[np.bool_]) -> None:
        there, places = self._there[: len(numbers)], self._places[: len(numbers)]
        table.find_places(numbers, there, places)
        np.take(table.numbers, places, out=there, mode="wrap")  # the quickest mode; no place is outside
        np.not_equal(there, numbers, out=is_other)

    def _make_table(self) -> "_Table | None":
        if not _FEW < len(self.found) <= _MANY:
            return None
        best = None
        for factor in _FACTORS:
            table = _Table(self.found, factor)
            if best is None or table.displaced < best.displaced:
                best = table
            if not best.displaced:
                break
        return best


class _Table:
    """Known numbers, each in its place; of those that have one place the first is there."""

    def __init__(self, known: NDArray[Any], factor: int) -> None:
        bits = 8 * known.itemsize
        table_bits = min(_MOST_BITS, (len(known) * _PLACES_EACH - 1).bit_length())
        self._is_direct = bits <= _MOST_BITS
        self._factor = known.dtype.type(factor >> (64 - bits) | 1)
        self._shift = known.dtype.type(0 if self._is_direct else bits - table_bits)
        places = np.empty(len(known), np.intp)
        self.find_places(known, np.empty_like(known), places)
        # What is in no number's place is another number's, so it equals nothing that is looked up there.
        self.numbers = np.full(2 ** (bits if self._is_direct else table_bits), known[0])
        self.numbers[places[::-1]] = known[::-1]
        self.displaced = len(known) - len(np.unique(places))

    def find_places(self, numbers: NDArray[Any], room: NDArray[Any], places: NDArray[np.intp]) -> None:
        """Write the place of each number."""
        if self._is_direct:
            places[:] = numbers
        else:
            np.multiply(numbers, self._factor, out=room)
            np.right_shift(room, self._shift, out=room)
            places[:] = room
