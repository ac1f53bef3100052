"""The free grid: a sparse histogram whose bins depend on the values alone, not on how they were cut.

Two readings share one state of (level, bins, counts) and one merge: dyadic bins of width 2^level,
and logarithmic bins of the leading bits of a double. One level up joins bins 2i and 2i+1, so a
coarser grid follows exactly from a finer one.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]

MAX_BINS: Final = 8_192
# For the smallest subnormal: exponent -1074, less the 52 bits that keep every index inside int64.
_FLOAT_FLOOR: Final = -1_126
_SUBNORMAL: Final = -1_074
# 52 - 6: six mantissa bits, a relative width of 1.6 %, at first.
_LOG_FLOOR: Final = 46


class Scale(StrEnum):
    """What a bin's index means."""

    INTEGER = "integer"  # [i 2^level, (i+1) 2^level) of int64 values, level >= 0
    FLOAT = "float"  # the same of float64 values, any level
    LOG = "log"  # the bits of a double shifted right by level, negatives mirrored


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Counts in sparse bins.

    For values S the level is the smallest one, at or above a floor that grows with max|S|, at which
    at most 8,192 bins are non-empty. Both the floor and the number of bins at a level can only grow
    with S; so no part of S ends above the level of S, and merging (take the greater level, coarsen,
    then coarsen on) reaches the same state from every cut.

    Attributes
    ----------
    scale : Scale
    level : int
    bins : ndarray of int64
        Indices of the non-empty bins, ascending.
    counts : ndarray of int64
    """

    scale: Scale
    level: int
    bins: Ints
    counts: Ints

    @classmethod
    def empty(cls, scale: Scale) -> "Grid":
        """Return the grid of no values, which changes nothing it is merged with."""
        floor = {Scale.INTEGER: 0, Scale.FLOAT: _FLOAT_FLOOR, Scale.LOG: _LOG_FLOOR}[scale]
        return cls(scale, floor, np.empty(0, np.int64), np.empty(0, np.int64))

    @classmethod
    def of_integers(cls, values: NDArray[Any], counts: Ints) -> "Grid":
        """Bin ascending whole numbers that fit in int64."""
        return _settle(Scale.INTEGER, 0, values.astype(np.int64), counts)

    @classmethod
    def of_floats(cls, values: NDArray[np.float64], counts: Ints) -> "Grid":
        """Bin ascending finite doubles by dyadic width."""
        if not len(values):
            return cls.empty(Scale.FLOAT)
        greatest = max(abs(float(values[0])), abs(float(values[-1])))
        level = math.frexp(greatest)[1] - 53 if greatest else _FLOAT_FLOOR
        with np.errstate(under="ignore"):
            bins = np.floor(np.ldexp(values, -level)).astype(np.int64)
        # A tiny negative that underflows to -0.0 when scaled still lies below zero.
        bins[(values < 0) & (bins == 0)] = -1
        return _settle(Scale.FLOAT, level, bins, counts)

    @classmethod
    def of_logarithms(cls, values: NDArray[np.float64], counts: Ints) -> "Grid":
        """Bin ascending finite doubles by sign, exponent and leading mantissa bits."""
        bits = np.abs(values).view(np.int64) >> _LOG_FLOOR
        return _settle(Scale.LOG, _LOG_FLOOR, np.where(values < 0, ~bits, bits), counts)

    def merge(self, other: "Grid") -> "Grid":
        """Join two grids of the same scale."""
        level = max(self.level, other.level)
        bins = np.concatenate([self.bins >> (level - self.level), other.bins >> (level - other.level)])
        order = np.argsort(bins, kind="stable")
        return _settle(self.scale, level, bins[order], np.concatenate([self.counts, other.counts])[order])

    @property
    def total(self) -> int:
        """How many values were counted."""
        return int(self.counts.sum())

    def lower_bounds(self) -> NDArray[np.float64]:
        """Return the least value of each bin."""
        return self._bounds(self.bins)

    def upper_bounds(self) -> NDArray[np.float64]:
        """Return the least value above each bin."""
        return self._bounds(self.bins + 1)

    def last_values(self) -> NDArray[Any]:
        """Return the greatest value that each bin can hold: int64 for whole numbers, else float64.

        A bin ``[a, b)`` holds what is at most the predecessor of b, so that a count up to a bin's end
        is a count of values ``<= edge`` for an edge that can be written down. Not for logarithmic bins.
        """
        if self.scale is Scale.INTEGER:
            return ((self.bins + 1) << self.level) - 1
        if self.level < _SUBNORMAL:  # bins finer than the spacing of doubles near zero
            return np.ldexp((self.bins >> (_SUBNORMAL - self.level)).astype(np.float64), _SUBNORMAL)
        return np.nextafter(self.upper_bounds(), -np.inf)

    def quantile_span(self, q: float) -> tuple[float, float]:
        """Return the width of the bin that holds a quantile, and the value interpolated in it."""
        cumulated = np.cumsum(self.counts)
        rank = q * float(cumulated[-1])
        place = min(int(np.searchsorted(cumulated, rank)), len(cumulated) - 1)
        low, high = float(self.lower_bounds()[place]), float(self.upper_bounds()[place])
        inside = (rank - float(cumulated[place] - self.counts[place])) / float(self.counts[place])
        # Two halves, since the bounds of the widest bins are farther apart than a double can say.
        return high / 2 - low / 2, low * (1 - inside) + min(high, float(np.finfo(np.float64).max)) * inside

    def _bounds(self, bins: Ints) -> NDArray[np.float64]:
        with np.errstate(over="ignore", under="ignore"):
            if self.scale is not Scale.LOG:
                return np.ldexp(bins.astype(np.float64), self.level)
            # The bins of negatives are mirrored: bin ~i spans (-upper_i, -lower_i].
            magnitude = np.where(bins < 0, -bins, bins) << self.level
            return np.where(bins < 0, -magnitude.view(np.float64), magnitude.view(np.float64))


def _settle(scale: Scale, level: int, bins: Ints, counts: Ints) -> Grid:
    """Join equal neighbours, and coarsen until at most 8,192 bins remain."""
    bins, counts = join_equal(bins, counts)
    if len(bins) > MAX_BINS:
        # Neighbours stay apart after a shift by s exactly when they differ above bit s, so the
        # 8,192nd greatest difference says how far to shift.
        differences = (bins[1:] ^ bins[:-1]).view(np.uint64)
        place = len(differences) - MAX_BINS
        shift = int(np.partition(differences, place)[place]).bit_length()
        level += shift
        bins, counts = join_equal(bins >> shift, counts)
    return Grid(scale, level, bins, counts)


def join_equal(keys: NDArray[Any], counts: Ints) -> tuple[NDArray[Any], Ints]:
    """Sum the counts of equal neighbours."""
    if len(keys) < 2:
        return keys, counts
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    if len(starts) == len(keys):
        return keys, counts
    return keys[starts], np.add.reduceat(counts, starts)
