"""Finding whole numbers in a column: which of its rows hold one of some numbers.

A run that ascends is searched by halves. Elsewhere a table of bits, small enough for the processor's cache, answers
for most rows; the few that are left are looked up among the sorted numbers.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Places = NDArray[np.int64]

# 2**64 divided by the golden ratio: the upper bits of a product with it spread whatever the numbers are.
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)
_LEAST_BITS: Final = 12
_MOST_BITS: Final = 22
# Bits of the table for each number: one row in so many passes it by chance.
_ROOM_BITS: Final = 5


def whole_numbers(column: pa.Array | pa.ChunkedArray) -> Numbers | None:
    """Return a column as whole numbers, without a copy where they have 64 bits; None when it holds others or nulls."""
    kind, t = column.type, pa.types
    if column.null_count or t.is_uint64(kind):
        return None
    if t.is_date(kind) or t.is_time(kind) or t.is_timestamp(kind):
        column = column.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
    elif not t.is_integer(kind):
        return None
    numbers: Numbers = column.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    return numbers


@dataclass(frozen=True, slots=True)
class NumberSearch:
    """Numbers to look for, each once.

    Attributes
    ----------
    numbers : array of int64
        In ascending order.
    order : array of int64
        Where each was among those that were given.
    table : array of bool
        Whether a number with these upper bits of its product is among them.
    """

    numbers: Numbers
    order: Places
    table: NDArray[np.bool_]
    shift: np.uint64

    @classmethod
    def of(cls, wanted: Numbers) -> "NumberSearch | None":
        """Prepare a search; None when a number is wanted twice, or none is."""
        order = np.argsort(wanted, kind="stable")
        numbers = wanted[order]
        if not len(numbers) or (numbers[1:] == numbers[:-1]).any():
            return None
        bits = min(max(len(numbers).bit_length() + _ROOM_BITS, _LEAST_BITS), _MOST_BITS)
        shift = np.uint64(64 - bits)
        table = np.zeros(1 << bits, np.bool_)
        table[_spread(numbers, shift)] = True
        return cls(numbers, order, table, shift)

    def match(self, values: Numbers) -> tuple[Places, Places]:
        """Return the rows of a column that hold a wanted number, ascending, and which it is.

        Examples
        --------
        >>> search = NumberSearch.of(np.array([7, 5]))
        >>> [each.tolist() for each in search.match(np.array([5, 6, 5, 7]))]
        [[0, 2, 3], [1, 1, 0]]
        """
        if _ascends(values):
            return self._halve(values)
        rows = np.flatnonzero(self.table[_spread(values, self.shift)])
        held = values[rows]
        places = np.searchsorted(self.numbers, held)
        places[places == len(self.numbers)] = 0
        met = self.numbers[places] == held
        return rows[met], self.order[places[met]]

    def _halve(self, values: Numbers) -> tuple[Places, Places]:
        """Do what `match` does where each value is greater than the one before."""
        if not len(values):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        first = np.searchsorted(self.numbers, values[0], "left")
        last = np.searchsorted(self.numbers, values[-1], "right")
        within = self.numbers[first:last]
        rows = np.searchsorted(values, within)
        met = values[rows] == within
        return rows[met], self.order[first:last][met]


def _spread(numbers: Numbers, shift: np.uint64) -> NDArray[np.uint64]:
    spread: NDArray[np.uint64] = (numbers.view(np.uint64) * _SPREAD) >> shift
    return spread


def _ascends(values: Numbers) -> bool:
    """Say whether each value is greater than the one before; a look at a few says no for most columns."""
    few = values[:: max(len(values) // 16, 1)]
    return bool((few[1:] > few[:-1]).all() and (values[1:] > values[:-1]).all())
