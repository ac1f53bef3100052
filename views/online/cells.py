"""Single values straight out of an Arrow column's buffers, as plain Python; nothing is built around them.

Integers, floats, booleans and text are read from the buffers; any other type goes through Arrow's own conversion.
Nanosecond times become numpy's, for Python's hold microseconds; what Python cannot hold is text, or numpy's too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.views.values import value_reader

_FEW: Final = 24  # below this, reading one by one is faster than numpy
_CHOSEN: Final = 100
_FORMATS: Final = {
    pa.int8(): "b",
    pa.int16(): "h",
    pa.int32(): "i",
    pa.int64(): "q",
    pa.uint8(): "B",
    pa.uint16(): "H",
    pa.uint32(): "I",
    pa.uint64(): "Q",
    pa.float32(): "f",
    pa.float64(): "d",
}


@dataclass(frozen=True, slots=True)
class Cells:
    """A column's values.

    Attributes
    ----------
    type : pyarrow.DataType
        The column's type.
    one : callable
        Return the value of a row, None for null.
    nullable : bool
        Whether there is a null in the column.
    numbers : ndarray or None
        The same values as numpy sees them, for types that allow it.
    valid : ndarray or None
        The validity bits, a byte for eight rows; None when nothing is null.
    is_float32 : bool
        Whether the values are floats of 32 bits, which numpy sees.
    match : callable or None
        Say of rows and texts in UTF-8 which row has which text; for columns of text without null.
    """

    type: pa.DataType
    one: Callable[[int], Any]
    nullable: bool
    numbers: Any = None
    valid: Any = None
    is_float32: bool = False
    match: Callable[[NDArray[np.int64], Sequence[bytes]], list[bool]] | None = None

    def many(self, rows: Sequence[int]) -> list[Any]:
        """Return the values of rows; None for null and for row -1."""
        one = self.one
        if self.numbers is None or len(rows) < _FEW:
            return [one(row) if row >= 0 else None for row in rows]
        places = np.asarray(rows, dtype=np.int64)
        values: list[Any] = self.numbers[np.maximum(places, 0)].tolist() if len(self.numbers) else [None] * len(rows)
        absent = places < 0
        if self.valid is not None:
            safe = np.maximum(places, 0)
            absent |= (self.valid[safe >> 3] >> (safe & 7) & 1) == 0
        for place in np.flatnonzero(absent).tolist():
            values[place] = None
        return values

    def take(
        self, rows: NDArray[np.int64], known: NDArray[np.bool_] | None
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Return the numbers of rows, and which of them there are; None when all, `known` itself when no other is null.

        Parameters
        ----------
        rows : ndarray
            Rows, -1 for none.
        known : ndarray or None
            Which rows are no -1; None when all are.
        """
        if known is not None:
            if not len(self.numbers):
                return np.zeros(len(rows), self.numbers.dtype), known
            rows = np.maximum(rows, 0)
        if self.valid is None:
            return self.numbers[rows], known
        there = (self.valid[rows >> 3] >> (rows & 7) & 1).astype(np.bool_)
        if known is not None:
            there &= known
            return self.numbers[rows], known if np.array_equal(there, known) else there
        return self.numbers[rows], None if there.all() else there


class RowCells:
    """Some columns of one file, for reading whole rows.

    Parameters
    ----------
    cells : sequence of Cells
        The columns.

    Attributes
    ----------
    cells : tuple of Cells
        The columns.
    is_float32 : bool
        Whether all of them are floats of 32 bits.
    matrix : ndarray or None
        All of them as numpy sees them, a row for each column; None where there is a null, or another type.
    """

    __slots__ = ("_ones", "cells", "is_float32", "matrix")

    def __init__(self, cells: Sequence[Cells]) -> None:
        self.cells = tuple(cells)
        self.is_float32 = all(each.is_float32 for each in cells)
        self.matrix = _matrix(self.cells) if self.is_float32 else None
        self._ones = [each.one for each in cells]

    def values(self, row: int) -> list[Any]:
        """Return the values of a row, None for null."""
        return [one(row) for one in self._ones]


class FeatureCells(dict[str, Cells]):
    """The columns of a file, or of rows that were pushed, by feature."""

    def __init__(self, cells: Mapping[str, Cells]) -> None:
        super().__init__(cells)
        self._chosen: dict[tuple[str, ...], RowCells] = {}

    def choose(self, features: tuple[str, ...]) -> RowCells:
        """Return some of the columns; the same ones are found at once the next time."""
        found = self._chosen.get(features)
        if found is None:
            found = RowCells([self[feature] for feature in features])
            if len(self._chosen) < _CHOSEN:
                self._chosen[features] = found
        return found


def _matrix(cells: Sequence[Cells]) -> NDArray[np.float32] | None:
    """Return columns of one file as one array, where they lie in it at equal distances; nothing is copied."""
    if not cells or any(each.nullable or each.numbers.dtype != np.float32 for each in cells):
        return None
    places = [each.numbers.ctypes.data for each in cells]
    steps = {later - sooner for sooner, later in pairwise(places)}
    if len(steps) > 1 or len({len(each.numbers) for each in cells}) > 1:
        return None
    step = steps.pop() if steps else 0
    shape = len(cells), len(cells[0].numbers)
    # Each row is a column's own memory, which the columns keep alive.
    return np.lib.stride_tricks.as_strided(cells[0].numbers, shape, (step, 4), writeable=False)


def read_cells(array: pa.Array) -> Cells:
    """Open a column for reading single values."""
    kind = array.type
    if array.offset or not len(array):
        return Cells(kind, _converted(array), bool(array.null_count))
    bitmap = array.buffers()[0] if array.null_count else None  # a column of the null type has none
    valid = None if bitmap is None else memoryview(bitmap).cast("B")
    numbers = None
    if kind in _FORMATS:
        one, numbers = _fixed(array, _FORMATS[kind])
    elif pa.types.is_boolean(kind):
        one = _bits(memoryview(array.buffers()[1]).cast("B"))
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        one, match = _texts(array, "q" if pa.types.is_large_string(kind) else "i")
        if valid is None:
            return Cells(kind, one, nullable=False, match=match)
    else:
        return Cells(kind, _converted(array), bool(array.null_count))
    narrow = pa.types.is_float32(kind)
    if valid is None:
        return Cells(kind, one, nullable=False, numbers=numbers, is_float32=narrow)
    bits = np.frombuffer(valid, dtype=np.uint8) if numbers is not None else None
    return Cells(kind, _unless_null(one, valid), nullable=True, numbers=numbers, valid=bits, is_float32=narrow)


def _fixed(array: pa.Array, code: str) -> tuple[Callable[[int], Any], Any]:
    numbers = np.frombuffer(array.buffers()[1], dtype=code, count=len(array))
    return memoryview(numbers.data).__getitem__, numbers


def _bits(view: memoryview) -> Callable[[int], Any]:
    return lambda row: bool(view[row >> 3] >> (row & 7) & 1)


def _texts(
    array: pa.Array, code: str
) -> tuple[Callable[[int], Any], Callable[[NDArray[np.int64], Sequence[bytes]], list[bool]]]:
    _, bounds, data = array.buffers()
    places = np.frombuffer(bounds, dtype=code, count=len(array) + 1)
    starts = places.data
    text = (memoryview(data) if data is not None else memoryview(b"")).cast("B")

    def match(rows: NDArray[np.int64], texts: Sequence[bytes]) -> list[bool]:
        each = zip(places[rows].tolist(), places[rows + 1].tolist(), texts, strict=True)
        return [text[start:end] == wanted for start, end, wanted in each]

    return lambda row: str(text[starts[row] : starts[row + 1]], "utf-8"), match


def _unless_null(one: Callable[[int], Any], valid: memoryview) -> Callable[[int], Any]:
    return lambda row: one(row) if valid[row >> 3] >> (row & 7) & 1 else None


def _converted(array: pa.Array) -> Callable[[int], Any]:
    read = value_reader(array.type)
    return lambda row: read(array[row])
