"""Passes: how the rows of one part of a view are gone through again and again, block by block.

A block is a run of rows that lie together, so that reading it is reading forwards. A pass takes each row once.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator

import numpy as np

from foldstore.views.ordering.keys import derive_key, permutation

Range = tuple[int, int]


class BlockPass:
    """One pass over some rows: blocks in a random order, or all rows as they come.

    Parameters
    ----------
    num_rows : int
        How many rows there are.
    block_rows : int
        How many of them a block has; the first and the last may be shorter.
    key : int, optional
        Of the order; without one the rows come as they are.
    """

    def __init__(self, num_rows: int, block_rows: int, key: int | None) -> None:
        if key is None or num_rows <= block_rows:
            starts, stops = np.array([0]), np.array([num_rows])
        else:
            # Blocks begin elsewhere in each pass: rows that shared a block in one need not in the next.
            bounds = np.arange(key % block_rows, num_rows, block_rows, dtype=np.int64)
            bounds = np.unique(np.concatenate([[0], bounds, [num_rows]]))
            order = permutation(len(bounds) - 1, key)
            starts, stops = bounds[:-1][order], bounds[1:][order]
        self._starts: list[int] = starts.tolist()
        self._ends: list[int] = np.cumsum(stops - starts, dtype=np.int64).tolist()

    def ranges(self, start: int, stop: int) -> Iterator[Range]:
        """Yield the runs of rows that take the places from `start` to `stop` of the pass."""
        block = bisect_right(self._ends, start)
        while start < stop:
            end = min(stop, self._ends[block])
            # The place of the pass that row 0 would have, if its block went on to both sides.
            origin = (self._ends[block - 1] if block else 0) - self._starts[block]
            yield start - origin, end - origin
            start, block = end, block + 1


class Passes:
    """Pass after pass over the rows of one part, as one endless line.

    Parameters
    ----------
    num_rows : int or callable
        How many rows the part has, in every pass or in that of a number.
    block_rows : int
        How many rows a block has.
    seed : int, optional
        Of the order; without one every pass is the rows as they come.
    part : int
        Which part it is, so that parts of one size are not ordered alike.

    Examples
    --------
    >>> list(Passes(4, 2, None, 0).ranges(2, 9))
    [(0, 2, 4), (1, 0, 4), (2, 0, 1)]
    """

    def __init__(self, num_rows: int | Callable[[int], int], block_rows: int, seed: int | None, part: int) -> None:
        self._num_rows = num_rows
        self._block_rows = block_rows
        self._seed = seed
        self._part = part
        self._made: tuple[int, BlockPass] | None = None
        # Where passes of different sizes begin, as far as that was asked.
        self._starts = [0]

    def start(self, turn: int) -> int:
        """Return the place at which a pass begins."""
        if isinstance(self._num_rows, int):
            return turn * self._num_rows
        while len(self._starts) <= turn:
            self._starts.append(self._starts[-1] + self._num_rows(len(self._starts) - 1))
        return self._starts[turn]

    def ranges(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Yield the runs of rows that take the places from `start` to `stop` of the line: pass, first and last."""
        while start < stop:
            turn = self._find(start)
            begin, end = self.start(turn), min(stop, self.start(turn + 1))
            blocks = self._pass(turn, self.start(turn + 1) - begin)
            yield from ((turn, *run) for run in blocks.ranges(start - begin, end - begin))
            start = end

    def _find(self, place: int) -> int:
        """Return the pass that has a place."""
        if isinstance(self._num_rows, int):
            return place // self._num_rows
        while self._starts[-1] <= place:
            self.start(len(self._starts))
        return bisect_right(self._starts, place) - 1

    def _pass(self, turn: int, num_rows: int) -> BlockPass:
        if self._made is None or self._made[0] != turn:
            key = None if self._seed is None else derive_key(self._seed, "blocks", self._part, turn)
            self._made = turn, BlockPass(num_rows, self._block_rows, key)
        return self._made[1]
