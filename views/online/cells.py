"""Single values straight out of an Arrow column's buffers, as plain Python; nothing is built around them.

Integers, floats, booleans and text are read from the buffers; any other type goes through Arrow's own conversion.
Nanosecond times become numpy's, for Python's hold microseconds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_FEW: Final = 24  # below this, reading one by one is faster than numpy
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
    """

    type: pa.DataType
    one: Callable[[int], Any]
    nullable: bool
    numbers: Any = None
    valid: Any = None
    is_float32: bool = False

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
        one = _texts(array, "q" if pa.types.is_large_string(kind) else "i")
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


def _texts(array: pa.Array, code: str) -> Callable[[int], Any]:
    _, bounds, data = array.buffers()
    starts = np.frombuffer(bounds, dtype=code, count=len(array) + 1).data
    text = memoryview(data) if data is not None else memoryview(b"")
    return lambda row: str(text[starts[row] : starts[row + 1]], "utf-8")


def _unless_null(one: Callable[[int], Any], valid: memoryview) -> Callable[[int], Any]:
    return lambda row: one(row) if valid[row >> 3] >> (row & 7) & 1 else None


def _converted(array: pa.Array) -> Callable[[int], Any]:
    kind = array.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return lambda row: np.datetime64(array[row].value, "ns") if array[row].is_valid else None
    if pa.types.is_duration(kind) and kind.unit == "ns":
        return lambda row: np.timedelta64(array[row].value, "ns") if array[row].is_valid else None
    return lambda row: array[row].as_py()
