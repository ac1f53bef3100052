"""Values taken out of the columns of a feature table for whoever asked, piece by piece in the order of the table.

Rows at random places miss the cache, and in a mapped file the table of pages as well, once for each column. So they are
sorted once: each piece of a column is then walked through from its beginning to its end, and what was taken is put
into the order of those who asked while it is small enough to stay near.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Integers = NDArray[np.int64]

NOWHERE: Final = -1
_BITS: Final = 63


@dataclass(frozen=True, slots=True)
class FoundRows:
    """Which row of a table was found for whom.

    Attributes
    ----------
    rows : ndarray of int64
        A row of the table, -1 for none.
    askers : ndarray of int64
        For whom: each number below the number of rows once, in any order.
    """

    rows: Integers
    askers: Integers

    def in_order(self) -> Integers:
        """Return the rows in the order of those who asked."""
        answer = np.empty_like(self.rows)
        answer[self.askers] = self.rows
        return answer

    def sorted_by_row(self) -> "FoundRows":
        """Return the same, those first that found nothing, then by row."""
        if not len(self.rows):
            return self
        bits = len(self.rows).bit_length()
        if int(self.rows.max()).bit_length() + bits > _BITS:
            order = np.argsort(self.rows)
            return FoundRows(self.rows[order], self.askers[order])
        # Values alone are sorted in a third of the time that an order takes.
        both = self.rows << bits
        both |= self.askers
        both.sort()
        return FoundRows(both >> bits, both & ((1 << bits) - 1))


def order_nearly(numbers: Integers) -> Integers:
    """Return an order of numbers, none below -1, in which each is near to where it would be if they were sorted.

    Examples
    --------
    >>> order_nearly(np.array([30, -1, 20])).tolist()
    [1, 2, 0]
    """
    bits = len(numbers).bit_length()
    both = numbers >> _excess(numbers)
    both <<= bits
    both |= np.arange(len(numbers))
    both.sort()
    both &= (1 << bits) - 1
    return both


def order_exactly(numbers: Integers) -> tuple[Integers, Integers]:
    """Return an order that sorts numbers, none below -1, equal ones as they came; and the numbers in it.

    Examples
    --------
    >>> [each.tolist() for each in order_exactly(np.array([30, -1, 20, -1]))]
    [[1, 3, 2, 0], [-1, -1, 20, 30]]
    """
    order = order_nearly(numbers)
    walk = numbers[order]
    if bool(np.all(walk[1:] >= walk[:-1])):
        return order, walk
    # Those whose leading bits are alike stand together, and in the order in which they came.
    leading = walk >> _excess(numbers)
    open_ = places_of_ties(leading)
    among = np.argsort(walk[open_], kind="stable")
    order[open_], walk[open_] = order[open_][among], walk[open_][among]
    return order, walk


def places_of_ties(numbers: Integers) -> Integers:
    """Return the places of sorted numbers that occur more than once."""
    same = numbers[1:] == numbers[:-1]
    flags = np.zeros(len(numbers), dtype=np.bool_)
    flags[1:] |= same
    flags[:-1] |= same
    return np.flatnonzero(flags)


def _excess(numbers: Integers) -> int:
    """Return how many bits of numbers have no room beside the bits of a place."""
    return max(int(numbers.max(initial=0)).bit_length() + len(numbers).bit_length() - _BITS, 0)


def take_rows(columns: Sequence[pa.ChunkedArray], found: FoundRows) -> list[pa.ChunkedArray]:
    """Take values of columns for those who asked, null where nothing was found; types stay as they are.

    Where nothing was found a zero lies under the null: another row's value is in no file.

    Examples
    --------
    >>> column = pa.chunked_array([[1, 2], [None, 4]])
    >>> take_rows([column], FoundRows(np.array([3, 2, -1, 0]), np.array([0, 1, 2, 3])))[0].to_pylist()
    [4, None, None, 1]
    """
    plain = [column for column in columns if _width(column.type)]
    walk = _Walk(found) if plain else None
    places = pa.array(_as_places(found)) if len(plain) < len(columns) else None
    return [
        _chunked(column.take(places)) if walk is None or not _width(column.type) else walk.take(column)
        for column in columns
    ]


class _Walk:
    """A walk through the pieces of columns in the order of the rows that were found.

    Parameters
    ----------
    found : FoundRows
        What was found for whom.
    """

    def __init__(self, found: FoundRows) -> None:
        sorted_ = found.sorted_by_row()
        self._count = len(found.rows)
        missing = int(np.searchsorted(sorted_.rows, 0))
        self._rows = sorted_.rows[missing:]
        # Who found nothing takes what stands after all that was taken.
        self._back = np.full(self._count, len(self._rows), dtype=np.int64)
        self._back[sorted_.askers[missing:]] = np.arange(len(self._rows))
        self._valid = pa.py_buffer(np.packbits(self._back < len(self._rows), bitorder="little")) if missing else None
        self._pieces: dict[tuple[int, ...], list[tuple[int, slice, Integers]]] = {}

    def take(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Take a column of plain values."""
        width = _width(column.type)
        taken = np.empty(len(self._rows) + 1, dtype=f"u{width}")
        taken[-1] = 0
        valid = np.zeros(len(taken), dtype=np.bool_) if column.null_count else None
        for number, here, rows in self._cut(column):
            piece = column.chunk(number)
            bits, values = piece.buffers()
            np.take(_plain(values, piece, width), rows, out=taken[here], mode="clip")
            if valid is not None:
                valid[here] = True if bits is None else _read_bits(bits, rows + piece.offset)
        back = taken.take(self._back, mode="clip")
        known = self._valid
        if valid is not None:
            there = valid.take(self._back, mode="clip")
            back *= there
            known = pa.py_buffer(np.packbits(there, bitorder="little"))
        made = pa.Array.from_buffers(column.type, self._count, [known, pa.py_buffer(back)])
        return pa.chunked_array([made])

    def _cut(self, column: pa.ChunkedArray) -> Iterator[tuple[int, slice, Integers]]:
        """Give each piece that has some of the rows: its number, which of them, and where they are in it."""
        lengths = tuple(len(piece) for piece in column.iterchunks())
        if lengths not in self._pieces:
            ends = np.cumsum(np.array(lengths, dtype=np.int64))
            cuts = [0, *np.searchsorted(self._rows, ends).tolist()]
            starts = [0, *ends.tolist()]
            self._pieces[lengths] = [
                (number, slice(first, past), self._rows[first:past] - starts[number])
                for number, (first, past) in enumerate(pairwise(cuts))
                if first < past
            ]
        return iter(self._pieces[lengths])


def _plain(values: pa.Buffer, piece: pa.Array, width: int) -> NDArray[Any]:
    return np.frombuffer(values, dtype=f"u{width}", offset=piece.offset * width, count=len(piece))


def _read_bits(bits: pa.Buffer, places: Integers) -> NDArray[np.uint8]:
    held: NDArray[np.uint8] = np.frombuffer(bits, dtype=np.uint8)[places >> 3]
    held >>= (places & 7).astype(np.uint8)
    held &= 1
    return held


def _as_places(found: FoundRows) -> pa.Array:
    rows = found.in_order()
    return pa.array(rows, mask=rows < 0)


def _width(kind: pa.DataType) -> int:
    """Return how many bytes a plain value has; 0 for other types."""
    plain = pa.types.is_primitive(kind) and kind.bit_width in (8, 16, 32, 64)
    return int(kind.bit_width) // 8 if plain else 0


def _chunked(values: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
    return values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
