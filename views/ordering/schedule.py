"""Schedules: how many rows of each part of a view fill the shuffle buffer, filling after filling, and in which order.

Each filling holds the parts in their proportions, as nearly as whole rows allow, and what it holds depends on nothing
but numbers. So an epoch can be begun anywhere.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from foldstore.views.ordering.keys import Ranks, derive_key, permutation

# Products of counts must fit 64-bit integers; beyond that Python's own are used.
_LARGEST = 2**62


@dataclass(frozen=True, slots=True)
class Filling:
    """One filling of the shuffle buffer.

    Attributes
    ----------
    number : int
        Which filling of the epoch it is.
    start : int
        The position of its first row in the epoch.
    parts : tuple of (int, int)
        From where to where it takes each part's rows, counted from the part's first row of the epoch.
    """

    number: int
    start: int
    parts: tuple[tuple[int, int], ...]

    @property
    def num_rows(self) -> int:
        """How many rows it has."""
        return sum(last - first for first, last in self.parts)


class Schedule:
    """The fillings of one epoch.

    Parameters
    ----------
    counts : sequence of int
        How many rows of each part an epoch has.
    buffer_rows : int
        How many rows the buffer holds.

    Examples
    --------
    >>> Schedule([10, 2], buffer_rows=6).filling(1)
    Filling(number=1, start=6, parts=((5, 10), (1, 2)))
    """

    def __init__(self, counts: Sequence[int], buffer_rows: int) -> None:
        self.num_rows = sum(counts)
        self._buffer_rows = buffer_rows
        # After a cycle all shares are whole where a filling begins, and everything comes again.
        divisor = math.gcd(*counts) or 1
        self._shares = tuple(count // divisor for count in counts)
        cycle_rows = math.lcm(sum(self._shares) or 1, buffer_rows)
        self._cycle = cycle_rows // buffer_rows
        self._cycle_takes = tuple(share * (cycle_rows // (sum(self._shares) or 1)) for share in self._shares)
        # Fillings are found one after the other, as far as they are asked for; never changed, since threads read it.
        self._taken = np.zeros((1, len(self._shares)), np.int64)

    @property
    def num_fillings(self) -> int:
        """How many fillings an epoch has."""
        return -(-self.num_rows // self._buffer_rows)

    def find(self, position: int) -> int:
        """Return the number of the filling that has the row at a position."""
        return position // self._buffer_rows

    def filling(self, number: int) -> Filling:
        """Return a filling."""
        before, after = self._taken_at(number), self._taken_at(number + 1)
        return Filling(number, number * self._buffer_rows, tuple(zip(before, after, strict=True)))

    def _taken_at(self, number: int) -> list[int]:
        """Return how many rows of each part are taken when a filling begins."""
        if number >= self.num_fillings:
            return [share * (self.num_rows // (sum(self._shares) or 1)) for share in self._shares]
        cycles, inside = divmod(number, self._cycle)
        taken = self._taken
        if inside >= len(taken):
            wanted = min(max(inside + 1, 2 * len(taken)), self._cycle, self.num_fillings)
            taken = _take_evenly(self._shares, self._buffer_rows, taken, wanted)
            self._taken = taken
        return [row + cycles * each for row, each in zip(taken[inside].tolist(), self._cycle_takes, strict=True)]


def _take_evenly(shares: Sequence[int], buffer_rows: int, known: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
    """Return how many rows of each part are taken when each of so many fillings begins, given the first of them.

    No part is ever a whole row ahead of its share, or behind it: each takes what is missing to its share rounded down,
    and of the parts that may round up those do which have to before the others (Tijdeman, The chairman assignment
    problem, 1980).
    """
    total = sum(shares)
    fits = total * max(shares, default=0) < _LARGEST and wanted * buffer_rows * max(shares, default=0) < _LARGEST
    parts = np.array(shares, dtype=np.int64 if fits else object)
    rows = list(known)
    taken = rows[-1].astype(parts.dtype)
    for done in range(len(known) * buffer_rows, wanted * buffer_rows, buffer_rows):
        more = np.maximum(parts * done // total - taken, 0)
        rest = done - int((taken + more).sum())
        open_ = np.flatnonzero(taken + more < -(-parts * done // total))
        deadlines = ((taken + more + 1)[open_] / parts[open_]).astype(np.float64)
        more[open_[np.argsort(deadlines, kind="stable")[:rest]]] += 1
        taken = taken + more
        rows.append(taken.astype(np.int64))
    return np.array(rows)


def arrange(filling: Filling, seed: int | None, epoch: int) -> Ranks:
    """Return in which order the rows of a filling, part after part, are handed out.

    With a seed each row once, at random; without one the parts are interleaved evenly.
    """
    if seed is not None:
        return permutation(filling.num_rows, derive_key(seed, "rows", epoch, filling.number))
    if len(filling.parts) == 1:
        return np.arange(filling.num_rows, dtype=np.int64)
    places = [(2 * np.arange(last - first) + 1) / (2 * (last - first)) for first, last in filling.parts if last > first]
    return np.argsort(np.concatenate(places), kind="stable").astype(np.int64, copy=False)


def share_out(total: int, weights: Sequence[Fraction]) -> list[int]:
    """Share a number of rows out by weights that add up to one: largest remainders, the first part on a tie.

    Examples
    --------
    >>> share_out(10, [Fraction(1, 3), Fraction(2, 3)])
    [3, 7]
    """
    exact = [total * weight for weight in weights]
    shares = [int(each) for each in exact]
    by_rest = sorted(range(len(weights)), key=lambda part: (shares[part] - exact[part], part))
    for part in by_rest[: total - sum(shares)]:
        shares[part] += 1
    return shares
