"""A selection: which rows are chosen among rows that lie in chunks, and the way from a rank to a place.

The *place* of a row is its position among all rows, chunk after chunk; its *rank* is its number among those that are
chosen. A chunk that is chosen as a whole costs nothing, another at most a bit a row.
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from threading import Lock
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Mask: TypeAlias = NDArray[np.bool_]
Offsets: TypeAlias = NDArray[np.int64]
# Chosen rows of one chunk: all of them, packed bits, or offsets where there are few.
_Kept: TypeAlias = NDArray[np.uint8] | NDArray[np.uint32] | None

_CHUNK_ROWS: Final = 131_072
_MOST_UNPACKED: Final = 64
# Rows that lie in runs are handed out as slices, without a copy, when a run has as many as this on average; many small
# slices would cost more than a copy.
_ROWS_PER_SLICE: Final = 2_048
# An offset takes 32 bits, so below one row in 32 offsets are smaller than a bit for each row.
_SPARSE: Final = 32


class Selection:
    """Chosen rows of a sequence of chunks.

    Parameters
    ----------
    sizes : sequence of int
        How many rows each chunk has.
    masks : sequence of ndarray of bool or None
        Which rows of each chunk are chosen; None for all of them.

    Examples
    --------
    >>> chosen = Selection([3, 2], [np.array([True, False, True]), None])
    >>> chosen.num_rows, chosen.places(1, 4).tolist()
    (4, [2, 3, 4])
    """

    def __init__(self, sizes: Sequence[int], masks: Iterable[Mask | None]) -> None:
        self.starts = np.cumsum([0, *sizes], dtype=np.int64)
        self._kept: list[_Kept] = []
        counts = [0]
        for size, mask in zip(sizes, masks, strict=True):
            self._kept.append(_pack(mask))
            counts.append(size if mask is None else int(np.count_nonzero(mask)))
        self._ends = np.cumsum(counts, dtype=np.int64)
        self._unpacked: OrderedDict[int, Offsets] = OrderedDict()
        self._lock = Lock()

    @classmethod
    def from_places(cls, num_rows: int, places: Iterable[Offsets]) -> "Selection":
        """Return the selection of places that ascend from one array to the next; they are read as they come."""
        sizes = [min(_CHUNK_ROWS, num_rows - first) for first in range(0, num_rows, _CHUNK_ROWS)]
        return cls(sizes, _chunk_masks(sizes, places))

    @property
    def num_rows(self) -> int:
        """How many rows are chosen."""
        return int(self._ends[-1])

    @property
    def num_chunks(self) -> int:
        """How many chunks there are."""
        return len(self._kept)

    @property
    def num_bytes(self) -> int:
        """How much memory the choice takes."""
        return sum(kept.nbytes for kept in self._kept if kept is not None)

    def is_whole(self, chunk: int) -> bool:
        """Say whether all rows of a chunk are chosen."""
        return self._kept[chunk] is None

    def first_rank(self, chunk: int) -> int:
        """Return the rank of the first chosen row of a chunk, or of the next one behind it."""
        return int(self._ends[chunk])

    def offsets(self, chunk: int) -> Offsets:
        """Return the chosen rows of a chunk as positions in it, ascending."""
        kept = self._kept[chunk]
        size = int(self.starts[chunk + 1] - self.starts[chunk])
        if kept is None:
            return np.arange(size, dtype=np.int64)
        if kept.dtype == np.uint32:
            return kept.astype(np.int64)
        with self._lock:
            found = self._unpacked.get(chunk)
            if found is not None:
                self._unpacked.move_to_end(chunk)
                return found
        found = np.flatnonzero(np.unpackbits(kept.view(np.uint8), count=size, bitorder="little"))
        with self._lock:
            self._unpacked[chunk] = found
            while len(self._unpacked) > _MOST_UNPACKED:
                self._unpacked.popitem(last=False)
        return found

    def mask(self, chunk: int) -> Mask | None:
        """Return which rows of a chunk are chosen; None for all of them."""
        if self._kept[chunk] is None:
            return None
        mask = np.zeros(int(self.starts[chunk + 1] - self.starts[chunk]), np.bool_)
        mask[self.offsets(chunk)] = True
        return mask

    def locate(self, ranks: Offsets) -> Iterator[tuple[int, Offsets]]:
        """Yield (chunk, positions in it) of ranks that ascend; a rank may be there more than once."""
        chunks = np.searchsorted(self._ends, ranks, side="right") - 1
        bounds = np.flatnonzero(np.diff(chunks, prepend=-1, append=-1))
        for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            chunk = int(chunks[first])
            inside = ranks[first:last] - self._ends[chunk]
            yield chunk, inside if self._kept[chunk] is None else self.offsets(chunk)[inside]

    def runs(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Yield (chunk, first, last) of the ranks of a range, counted among the chosen rows of each chunk."""
        # One number is found sooner by Python's own search, which does not hand the interpreter to other threads.
        chunk = bisect_right(self._ends, start) - 1
        while start < stop:
            end = min(stop, int(self._ends[chunk + 1]))
            if end > start:
                base = int(self._ends[chunk])
                yield chunk, start - base, end - base
            start, chunk = max(start, end), chunk + 1

    def places(self, start: int, stop: int) -> Offsets:
        """Return the places of the ranks of a range."""
        parts = [np.empty(0, np.int64)]
        for chunk, first, last in self.runs(start, stop):
            parts.append(self.offsets(chunk)[first:last] + self.starts[chunk])
        return np.concatenate(parts)

    def narrowed(self, masks: Sequence[Mask | None]) -> "Selection":
        """Return the rows that are chosen here and by other masks over the same chunks."""
        both = [
            mine if other is None else other if mine is None else mine & other
            for mine, other in zip((self.mask(chunk) for chunk in range(self.num_chunks)), masks, strict=True)
        ]
        return Selection(np.diff(self.starts).tolist(), both)


def _chunk_masks(sizes: Sequence[int], places: Iterable[Offsets]) -> Iterator[Mask]:
    """Yield the mask of each chunk; no more than one is held."""
    coming = iter(places)
    waiting = np.empty(0, np.int64)
    for chunk, size in enumerate(sizes):
        mask, end = np.zeros(size, np.bool_), chunk * _CHUNK_ROWS + size
        while True:
            here = int(np.searchsorted(waiting, end))
            mask[waiting[:here] - chunk * _CHUNK_ROWS] = True
            waiting = waiting[here:]
            if len(waiting):
                break
            found = next(coming, None)
            if found is None:
                break
            waiting = found
        yield mask


def _pack(mask: Mask | None) -> _Kept:
    if mask is None or mask.all():
        return None
    if np.count_nonzero(mask) * _SPARSE < len(mask):
        return np.flatnonzero(mask).astype(np.uint32)
    return np.packbits(mask, bitorder="little")


def pick_rows(batch: pa.RecordBatch, offsets: Offsets) -> Iterator[pa.RecordBatch]:
    """Yield rows of a batch by ascending positions: as slices where they lie in few runs, else as a copy."""
    if not len(offsets):
        return
    breaks = np.flatnonzero(np.diff(offsets) != 1) + 1
    if len(breaks) and (len(breaks) + 1) * _ROWS_PER_SLICE > len(offsets):
        yield batch.take(pa.array(offsets))
        return
    for first, last in pairwise([0, *breaks.tolist(), len(offsets)]):
        yield batch.slice(int(offsets[first]), last - first)
