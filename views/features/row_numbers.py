"""Numbers of rows in one table, turned into those that the rows have in another, which lacks some and has others."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from foldstore.views.features.time_scale import in_parts

Integers = NDArray[np.int64]

_BLOCKS: Final = 16  # for each number that is counted, unless blocks were smaller then than is worth it
_LEAST_BLOCK: Final = 32


class RowNumbers:
    """What number a row of one table has in another, where all but some rows are in both, in one order.

    Parameters
    ----------
    removed, added : ndarray of int64
        Numbers of the rows that only the first table has, and only the second, ascending.

    Examples
    --------
    >>> numbers = RowNumbers(np.array([1]), np.array([0, 3]))
    >>> numbers.renumber(np.array([0, 2, 3, -1])).tolist()
    [1, 2, 4, -1]
    """

    def __init__(self, removed: Integers, added: Integers) -> None:
        self.removed = removed
        self.added = added
        self._gone = _Counts(removed)
        # How many rows that both have stand before each that came.
        self._ahead = _Counts(added - np.arange(len(added)))

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return len(self.removed) + len(self.added)

    def renumber(self, rows: Integers) -> Integers:
        """Return the numbers that rows have in the second table; -1 for -1.

        Parameters
        ----------
        rows : ndarray of int64
            Numbers in the first table of rows that both have.
        """
        numbers = np.empty_like(rows)
        for here in in_parts(len(rows)):
            old = rows[here]
            shared = old - self._gone.count_below(old)
            shared += self._ahead.count_below(shared + 1)
            numbers[here] = np.where(old < 0, old, shared)
        return numbers


class _Counts:
    """Counts of sorted numbers below others: of most that are asked about, by the block of numbers that they are in."""

    def __init__(self, numbers: Integers) -> None:
        self._numbers = numbers
        span = int(numbers[-1]) + 1 if len(numbers) else 0
        self._bits = max(span // max(_BLOCKS * len(numbers), 1), _LEAST_BLOCK).bit_length()
        firsts = np.arange((span >> self._bits) + 2) << self._bits
        self._below = np.searchsorted(numbers, firsts)
        self._open = np.append(np.diff(self._below) > 0, False)

    def count_below(self, values: Integers) -> Integers:
        """Return how many numbers are below each value; whatever for -1."""
        if not len(self._numbers) or int(values.max(initial=0)) <= self._numbers[0]:
            return np.zeros(len(values), dtype=np.int64)
        blocks = np.minimum(values >> self._bits, len(self._below) - 1)
        counts: Integers = self._below[blocks]
        within = np.flatnonzero(self._open[blocks])
        counts[within] = np.searchsorted(self._numbers, values[within])
        return counts
