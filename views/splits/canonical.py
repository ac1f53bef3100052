"""Canonical bytes of key values: what `split/v1` hashes, and how a column is read to get there.

Each value is a tag byte and a payload whose layout `hashing` writes down. A column is read once, as words or as
places in a buffer; bytes of single values are built only where the vectorised hash does not reach.
"""

from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.errors import UsageError
from foldstore.views.splits.xxh3 import Words
from foldstore.views.time_column import to_nanoseconds

Rows: TypeAlias = NDArray[np.int64]
Shapes: TypeAlias = NDArray[np.int64]

NULL: Final = -1
_BEYOND: Final = -2  # unsigned integers that a signed 64-bit integer cannot hold
_FIXED: Final = 8

_TAG_NULL: Final = b"\x00"
_TAG_BOOLEAN: Final = b"\x01"
_TAG_INTEGER: Final = b"\x02"
_TAG_UNSIGNED: Final = b"\x03"
_TAG_FLOAT: Final = b"\x04"
_TAG_TEXT: Final = b"\x05"
_TAG_BYTES: Final = b"\x06"
_TAG_TIMESTAMP: Final = b"\x07"
_TAG_DATE: Final = b"\x08"
_TAG_TIME: Final = b"\x09"
_TAG_DURATION: Final = b"\x0a"
_TAG_DECIMAL: Final = b"\x0b"

_NAN_BITS: Final = np.uint64(0x7FF8000000000000)
_SIGN: Final = np.uint64(2**63)


class CanonicalColumn(Protocol):
    """A column as canonical bytes; values of one shape have bytes of one length that differ in one place."""

    @property
    def shapes(self) -> Shapes | int:
        """The shape of each value, or the one shape of all."""

    def frame(self, shape: int) -> tuple[bytes, int, int]:
        """Return the bytes of a shape, zeros where values differ, and where that place starts and its length."""

    def window(self, rows: Rows | slice, length: int, place: int) -> Words:
        """Return 8 bytes of the differing place from `place` on, zeros behind its end."""

    def value_bytes(self, row: int) -> bytes:
        """Return the canonical bytes of one value."""


@dataclass(frozen=True, slots=True)
class FixedColumn:
    """Values of eight bytes each: numbers, booleans, dates and times."""

    tag: bytes
    words: Words
    shapes: Shapes | int

    def frame(self, shape: int) -> tuple[bytes, int, int]:
        """See `CanonicalColumn`."""
        if shape == NULL:
            return _TAG_NULL, 1, 0
        return (_TAG_UNSIGNED if shape == _BEYOND else self.tag) + bytes(_FIXED), 1, _FIXED

    def window(self, rows: Rows | slice, length: int, place: int) -> Words:  # noqa: ARG002 - it is always eight
        """See `CanonicalColumn`."""
        words = self.words[rows]
        return words >> np.uint64(8 * place) if place else words

    def value_bytes(self, row: int) -> bytes:
        """See `CanonicalColumn`."""
        shape = self.shapes if isinstance(self.shapes, int) else int(self.shapes[row])
        frame, start, _ = self.frame(shape)
        return frame[:start] + (b"" if shape == NULL else int(self.words[row]).to_bytes(_FIXED, "little"))


@dataclass(frozen=True, slots=True)
class TextColumn:
    """Values of any length: texts, bytes, decimals."""

    tag: bytes
    data: bytes  # padded, so that eight bytes can be read from any place inside
    starts: Rows
    shapes: Shapes

    def frame(self, shape: int) -> tuple[bytes, int, int]:
        """See `CanonicalColumn`."""
        if shape == NULL:
            return _TAG_NULL, 1, 0
        head = self.tag + shape.to_bytes(8, "little")
        return head + bytes(shape), len(head), shape

    def window(self, rows: Rows | slice, length: int, place: int) -> Words:
        """See `CanonicalColumn`."""
        # One overlapping word a byte: values begin anywhere, and numpy reads unaligned words.
        words: Words = np.ndarray((len(self.data) - 7,), dtype="<u8", buffer=self.data, strides=(1,))
        window: Words = words[self.starts[rows] + place]
        left = length - place
        return window & np.uint64(2 ** (8 * left) - 1) if left < 8 else window

    def value_bytes(self, row: int) -> bytes:
        """See `CanonicalColumn`."""
        shape = int(self.shapes[row])
        frame, start, length = self.frame(shape)
        first = int(self.starts[row])
        return frame[:start] + self.data[first : first + length]


def read_canonical(array: pa.Array) -> CanonicalColumn:
    """Read a column as canonical bytes.

    Raises
    ------
    UsageError
        For lists, structs and other types without canonical bytes.
    """
    while isinstance(array, pa.ExtensionArray):
        array = array.storage
    kind = array.type
    if pa.types.is_dictionary(kind):
        return read_canonical(array.dictionary_decode())
    if pa.types.is_null(kind):
        return FixedColumn(_TAG_NULL, np.zeros(len(array), dtype=np.uint64), NULL)
    if pa.types.is_decimal(kind):
        return _read_text(_TAG_DECIMAL, array.cast(pa.string()))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _read_text(_TAG_TEXT, array)
    if _is_binary(kind):
        return _read_text(_TAG_BYTES, array)
    return _read_fixed(array)


def _read_text(tag: bytes, array: pa.Array) -> TextColumn:
    wide = array.cast(pa.large_binary())
    _, offsets, data = wide.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)[wide.offset : wide.offset + len(wide) + 1]
    first, last = int(bounds[0]), int(bounds[-1])
    piece = bytes(memoryview(data)[first:last]) if data is not None else b""
    shapes = np.diff(bounds)
    if wide.null_count:
        shapes[_nulls(wide)] = NULL
    return TextColumn(tag, piece + bytes(8), bounds[:-1] - first, shapes)


def _read_fixed(array: pa.Array) -> FixedColumn:
    kind = array.type
    if pa.types.is_floating(kind):
        tag, words = _TAG_FLOAT, _float_words(array)
    elif pa.types.is_boolean(kind):
        tag, words = _TAG_BOOLEAN, _integer_words(array.cast(pa.int8()))
    elif pa.types.is_integer(kind):
        tag, words = _TAG_INTEGER, _integer_words(array)
    else:
        tag, words = _temporal_words(array)
    shapes: Shapes | int = _FIXED
    if array.null_count or kind == pa.uint64():
        shapes = np.full(len(array), _FIXED)
        if kind == pa.uint64():
            shapes[words >= _SIGN] = _BEYOND
        if array.null_count:
            shapes[_nulls(array)] = NULL
    return FixedColumn(tag, words, shapes)


def _float_words(array: pa.Array) -> Words:
    values = _filled(array.cast(pa.float64()), 0.0) + 0.0  # adding zero turns -0.0 into 0.0
    words: Words = values.view(np.uint64)
    words[np.isnan(values)] = _NAN_BITS
    return words


def _integer_words(array: pa.Array) -> Words:
    values = _filled(array, 0)
    return values if values.dtype == np.uint64 else values.astype(np.int64, copy=False).view(np.uint64)


def _temporal_words(array: pa.Array) -> tuple[bytes, Words]:
    kind = array.type
    if pa.types.is_timestamp(kind):
        return _TAG_TIMESTAMP, to_nanoseconds(array).values.view(np.uint64)
    if pa.types.is_date(kind):
        return _TAG_DATE, _integer_words(array.cast(pa.date32()).view(pa.int32()))
    if pa.types.is_time(kind):
        return _TAG_TIME, _integer_words(array.cast(pa.time64("ns")).view(pa.int64()))
    if pa.types.is_duration(kind):
        return _TAG_DURATION, _integer_words(array.cast(pa.duration("ns")).view(pa.int64()))
    raise UsageError(
        f"Values of type {kind} cannot be a key of a split.",
        hint="Numbers, text, bytes, booleans, dates and times can.",
        type=str(kind),
    )


def _filled(array: pa.Array, value: float) -> NDArray[Any]:
    if array.null_count:
        array = pc.fill_null(array, pa.scalar(value).cast(array.type))
    numbers: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return numbers


def _nulls(array: pa.Array) -> NDArray[np.bool_]:
    flags: NDArray[np.bool_] = array.is_null(nan_is_null=False).to_numpy(zero_copy_only=False)
    return flags


def _is_binary(kind: pa.DataType) -> bool:
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return any(test(kind) for test in tests)
