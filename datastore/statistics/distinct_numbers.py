"""Which different numbers there are among many, where these are few, without a search for each."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

# Among so many of the first numbers the first different ones are searched for.
_FIRST: Final = 4_096
# While so few are known, numbers are held against each.
_FEW: Final = 4
# While so many are known, they are looked up in a table that has so many places for each, and at most so many.
_MANY: Final = 4_096
_PLACES_EACH: Final = 512
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
    kind : numpy.dtype
        Of the numbers.
    bits : int
        How many bits of each number count, the lower ones; whatever stands above them is no part of it.
    longest : int
        How many numbers a piece has at most.

    Notes
    -----
    What is kept and compared is each number times an odd factor, shifted so far up that nothing is left of the bits
    above it. Modulo a power of two that is one to one, its upper bits are the place, and one step does all of it.

    Examples
    --------
    >>> known = DistinctNumbers(np.dtype(np.uint16), 16, 5)
    >>> known.add(np.array([7, 7, 8, 9, 7], np.uint16))
    >>> known.found
    array([7, 8, 9], dtype=uint16)
    """

    def __init__(self, kind: np.dtype[Any], bits: int, longest: int) -> None:
        self._kind = kind
        self._size = 8 * kind.itemsize
        self._unused = self._size - bits
        self._factor = 1
        self._known: NDArray[Any] = np.empty(0, kind)
        self._table: _Table | None = None
        self._room = np.empty(longest, kind)
        self._places = np.empty(longest, kind)
        self._is_other = np.empty(longest, np.bool_)
        self._differs = np.empty(longest, np.bool_)

    def __len__(self) -> int:
        return len(self._known)

    @property
    def found(self) -> NDArray[Any]:
        """The different numbers so far, in no order that means something."""
        back = self._known * self._kind.type(pow(self._factor, -1, 2**self._size))
        found: NDArray[Any] = np.right_shift(back, self._kind.type(self._unused))
        return found

    def add(self, numbers: NDArray[Any]) -> None:
        """Look at a piece."""
        if not len(numbers):
            return
        if not len(self._known):
            self._learn(self._keep(numbers[:_FIRST]), len(numbers))
        others = self._others(numbers)
        if len(others):
            self._learn(others, len(numbers))

    def _keep(self, numbers: NDArray[Any]) -> NDArray[Any]:
        """Return numbers as they are kept."""
        times = (self._factor << self._unused) % 2**self._size
        if times == 1:
            return numbers
        kept: NDArray[Any] = np.multiply(numbers, self._kind.type(times), out=self._room[: len(numbers)])
        return kept

    def _others(self, numbers: NDArray[Any]) -> NDArray[Any]:
        """Return numbers, as they are kept, among which all are that are not known."""
        kept, is_other = self._keep(numbers), self._is_other[: len(numbers)]
        if len(self._known) <= _FEW:
            self._hold_against_each(kept, is_other)
        elif self._table is not None:
            self._table.look_up(kept, self._places[: len(kept)], is_other)
        else:
            return kept
        return kept[is_other] if is_other.any() else kept[:0]

    def _hold_against_each(self, numbers: NDArray[Any], is_other: NDArray[np.bool_]) -> None:
        differs = self._differs[: len(numbers)]
        np.not_equal(numbers, self._known[0], out=is_other)
        for each in self._known[1:]:
            np.not_equal(numbers, each, out=differs)
            np.logical_and(is_other, differs, out=is_other)

    def _learn(self, others: NDArray[Any], looked_at: int) -> None:
        known, found = len(self._known), pc.unique(pa.array(others))
        if known:
            found = pc.unique(pa.chunked_array([pa.array(self._known), found]))
        self._known = np.asarray(found)
        if len(found) > known and (self._table is None or len(others) * _RARE > looked_at):
            self._make_table()

    def _make_table(self) -> None:
        """Choose the factor by which fewest known numbers get the place of another one."""
        self._table = None
        if not _FEW < len(self._known) <= _MANY:
            return
        plain = self.found
        factors = [each >> (64 - self._size) | 1 for each in _FACTORS] if self._size > _MOST_BITS else [1]
        for factor in factors:
            kept = plain * self._kind.type((factor << self._unused) % 2**self._size)
            table = _Table(kept, self._size)
            if self._table is None or table.displaced < self._table.displaced:
                self._factor, self._known, self._table = factor, kept, table
            if not table.displaced:
                break


class _Table:
    """Known numbers, each in the place that its upper bits say; of those that have one place the first is there."""

    def __init__(self, known: NDArray[Any], size: int) -> None:
        bits = size if size <= _MOST_BITS else min(_MOST_BITS, (len(known) * _PLACES_EACH - 1).bit_length())
        self._shift = known.dtype.type(size - bits)
        places = np.right_shift(known, self._shift)
        # What is in no number's place is another number's, so it equals nothing that is looked up there.
        numbers = np.full(2**bits, known[0])
        numbers[places[::-1]] = known[::-1]
        self._numbers = pa.array(numbers)
        self.displaced = len(known) - len(np.unique(places))

    def look_up(self, numbers: NDArray[Any], places: NDArray[Any], is_other: NDArray[np.bool_]) -> None:
        """Say which numbers are not in their places; `places` is room for as many."""
        if self._shift:
            np.right_shift(numbers, self._shift, out=places)
        else:
            places = numbers
        there = pc.take(self._numbers, pa.array(places), boundscheck=False)  # no place is outside
        np.not_equal(there.to_numpy(), numbers, out=is_other)
