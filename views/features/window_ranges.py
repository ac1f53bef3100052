"""Questions about ranges of a sequence, many at once: the least and the greatest, the nth, how many differ.

Few ranges are written out; for many there are structures whose cost goes with the sequence and the number of ranges,
however long these are. Both give the same.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Numbers = NDArray[Any]

_AT_ONCE: Final = 8_000_000  # so many places are written out at a time


def find_extremes(numbers: Numbers, first: Integers, past: Integers, *, greatest: bool) -> Numbers:
    """Return the least or the greatest number of each range, 0 for an empty one; NaN only where there is nothing else.

    Examples
    --------
    >>> find_extremes(np.array([3, 1, 2]), np.array([0, 2]), np.array([2, 3]), greatest=False)
    array([1, 2])
    """
    pick = np.fmax if greatest else np.fmin
    answer = np.zeros(len(first), dtype=numbers.dtype)
    length = past - first
    asked = np.flatnonzero(length > 0)
    if not len(asked):
        return answer
    first, past, length = first[asked], past[asked], length[asked]
    levels = int(length.max()).bit_length()
    if int(length.sum()) <= levels * len(numbers) + 4 * len(asked):
        for chosen, places, starts in _written_out(first, length):
            answer[asked[chosen]] = pick.reduceat(numbers[places], starts)
        return answer
    # Of each power of two the extreme of so many numbers from each place on: two of them cover a range.
    level = np.frexp(length.astype(np.float64))[1] - 1
    whole = numbers
    for step in range(levels):
        here = np.flatnonzero(level == step)
        answer[asked[here]] = pick(whole[first[here]], whole[past[here] - (1 << step)])
        if len(whole) > 1 << step:
            whole = pick(whole[: -(1 << step)], whole[1 << step :])
    return answer


def find_nth(numbers: Numbers, first: Integers, past: Integers, nth: Integers) -> Numbers:
    """Return the number that is the nth of its range when the range is sorted, counted from 0; NaN is the greatest.

    Every range holds more than n numbers, or is empty, of which the answer is 0.

    Examples
    --------
    >>> find_nth(np.array([3, 1, 2]), np.array([0, 0]), np.array([3, 2]), np.array([1, 0]))
    array([2, 1])
    """
    answer = np.zeros(len(first), dtype=numbers.dtype)
    length = past - first
    asked = np.flatnonzero(length > 0)
    if not len(asked):
        return answer
    first, past, nth, length = first[asked], past[asked], nth[asked], length[asked]
    if int(length.sum()) <= 4 * (len(numbers) + len(asked)):
        for chosen, places, starts in _written_out(first, length):
            group = np.repeat(np.arange(len(starts)), length[chosen])
            sorted_ = numbers[places][np.lexsort((numbers[places], group))]
            answer[asked[chosen]] = sorted_[starts + nth[chosen]]
        return answer
    distinct, ranks = np.unique(numbers, return_inverse=True)
    answer[asked] = distinct[_nth_rank(ranks.astype(np.int64), max(len(distinct) - 1, 1), first, past, nth)]
    return answer


def _nth_rank(ranks: Integers, most: int, first: Integers, past: Integers, nth: Integers) -> Integers:
    """Walk down the bits of ranks: a wavelet matrix (Claude and Navarro 2012), one level in memory at a time."""
    found = np.zeros(len(first), dtype=np.int64)
    for bit in reversed(range(int(most).bit_length())):
        ones = (ranks >> bit) & 1 == 1
        zeros = np.zeros(len(ranks) + 1, dtype=np.int64)
        np.cumsum(~ones, out=zeros[1:])
        low, high = zeros[first], zeros[past]
        right = nth >= high - low
        nth = np.where(right, nth - (high - low), nth)
        first = np.where(right, zeros[-1] + first - low, low)
        past = np.where(right, zeros[-1] + past - high, high)
        found[right] |= 1 << bit
        ranks = np.concatenate([ranks[~ones], ranks[ones]])
    return found


def find_next_equal(numbers: Numbers, groups: Integers) -> Integers:
    """Return for each place the next one with the same number in the same group, -1 for none.

    Examples
    --------
    >>> find_next_equal(np.array([7, 8, 7, 7]), np.array([0, 0, 0, 1]))
    array([ 2, -1, -1, -1])
    """
    _, ranks = np.unique(numbers, return_inverse=True)
    order = np.lexsort((ranks, groups))
    same = (groups[order][1:] == groups[order][:-1]) & (ranks[order][1:] == ranks[order][:-1])
    following = np.full(len(numbers), -1, dtype=np.int64)
    following[order[:-1][same]] = order[1:][same]
    return following


def _written_out(first: Integers, length: Integers) -> Iterator[tuple[slice, Integers, Integers]]:
    """Give ranges, some at a time: which, their places one after the other, and where each begins among these."""
    ends = np.cumsum(length)
    done = 0
    while done < len(first):
        before = int(ends[done - 1]) if done else 0
        until = max(int(np.searchsorted(ends, before + _AT_ONCE, side="right")), done + 1)
        chosen = slice(done, until)
        starts = ends[chosen] - length[chosen] - before
        places = np.arange(int(ends[until - 1]) - before) + np.repeat(first[chosen] - starts, length[chosen])
        yield chosen, places, starts
        done = until
