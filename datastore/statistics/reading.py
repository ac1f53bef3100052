"""How the values of each Arrow type are read for statistics: as whole numbers, floats, text or bytes.

The reading depends on the type alone, never on the data, so that every cut of a column is read alike.
"""

import datetime as dt
import re
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.exact_cast import decoded

# What a person sees of a value.
Value: TypeAlias = (
    int | float | str | bytes | bool | Decimal | dt.date | dt.datetime | dt.time | dt.timedelta | np.generic
)
# What the statistics hold of it: ticks for times, 0 and 1 for booleans.
Raw: TypeAlias = int | float | str | bytes | Decimal

_ZONED: Final = re.compile(r"timestamp\[(s|ms|us|ns), tz=(.+)\]")
_DECIMAL: Final = re.compile(r"decimal(32|64|128|256)\((\d+), (-?\d+)\)")
_FIXED: Final = re.compile(r"fixed_size_binary\[(\d+)\]")


class Kind(StrEnum):
    """The reading of a column's values."""

    INTEGER = "integer"
    UNSIGNED = "unsigned"  # uint64: exact values, but a grid over float64
    BOOLEAN = "boolean"
    TEMPORAL = "temporal"  # ticks of the type's own unit
    FLOAT = "float"
    DECIMAL = "decimal"  # read as float64; the extremes stay exact
    TEXT = "text"
    BINARY = "binary"
    OPAQUE = "opaque"  # rows and nulls are counted, nothing else

    @property
    def is_numeric(self) -> bool:
        """Whether there is a reading as a number."""
        return self not in (Kind.TEXT, Kind.BINARY, Kind.OPAQUE)

    @property
    def has_integer_grid(self) -> bool:
        """Whether the values are int64 and so is the arithmetic of their grid."""
        return self in (Kind.INTEGER, Kind.BOOLEAN, Kind.TEMPORAL)


def value_type(kind: pa.DataType) -> pa.DataType:
    """Return the type behind dictionaries and extensions."""
    while True:
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        elif isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        else:
            return kind


def kind_of(kind: pa.DataType) -> Kind:
    """Return how values of an Arrow type are read.

    Examples
    --------
    >>> str(kind_of(pa.date32()))
    'temporal'
    """
    kind = value_type(kind)
    types = pa.types
    for test, reading in (
        (types.is_boolean, Kind.BOOLEAN),
        (types.is_uint64, Kind.UNSIGNED),
        (types.is_integer, Kind.INTEGER),
        (types.is_floating, Kind.FLOAT),
        (types.is_interval, Kind.OPAQUE),
        (types.is_temporal, Kind.TEMPORAL),
        (types.is_decimal, Kind.DECIMAL),
    ):
        if test(kind):
            return reading
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return Kind.TEXT
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return Kind.BINARY
    return Kind.BINARY if types.is_fixed_size_binary(kind) else Kind.OPAQUE


@lru_cache(maxsize=1_024)
def kind_of_text(text: str) -> Kind:
    """Return how values are read of an Arrow type that is given as text.

    Examples
    --------
    >>> str(kind_of_text("timestamp[us, tz=UTC]")), str(kind_of_text("list<item: int64>"))
    ('temporal', 'opaque')
    """
    kind = parse_type(text)
    return Kind.OPAQUE if kind is None else kind_of(kind)


def plain_array(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return one array of the value type: dictionaries decoded, chunks joined, views made plain."""
    if isinstance(array, pa.ChunkedArray):
        if is_half_dictionary(array.type):  # Arrow joins these as whole numbers (pyarrow 26)
            array = pa.chunked_array([plain_array(chunk) for chunk in array.chunks], value_type(array.type))
        array = array.combine_chunks() if array.num_chunks != 1 else array.chunk(0)
        if isinstance(array, pa.ChunkedArray):  # dictionaries that do not unify stay in chunks
            array = pa.concat_arrays([plain_array(chunk) for chunk in array.chunks])
    while isinstance(array, pa.ExtensionArray | pa.DictionaryArray):
        array = array.storage if isinstance(array, pa.ExtensionArray) else decoded(array)
    return array


def is_half_dictionary(kind: pa.DataType) -> bool:
    """Say whether a type is a dictionary of half floats."""
    return bool(pa.types.is_dictionary(kind) and pa.types.is_float16(kind.value_type))


def read_numbers(array: pa.Array, kind: Kind) -> NDArray[Any]:
    """Read the values that are not null as int64-compatible ints, uint64 or float64."""
    present = array.drop_null() if array.null_count else array
    if kind is Kind.TEMPORAL:
        present = present.view(pa.int32() if present.type.bit_width == 32 else pa.int64())
    elif kind is Kind.BOOLEAN:
        present = present.cast(pa.int8())
    elif kind in (Kind.FLOAT, Kind.DECIMAL):
        present = present.cast(pa.float64())
    return np.asarray(present.to_numpy(zero_copy_only=False))


def parse_type(text: str) -> pa.DataType | None:
    """Read the text form of an Arrow type; None for nested and unknown ones.

    Examples
    --------
    >>> parse_type("timestamp[us, tz=UTC]")
    TimestampType(timestamp[us, tz=UTC])
    """
    if zoned := _ZONED.fullmatch(text):
        return pa.timestamp(zoned[1], zoned[2])
    if decimal := _DECIMAL.fullmatch(text):
        try:
            made: pa.DataType = getattr(pa, f"decimal{decimal[1]}")(int(decimal[2]), int(decimal[3]))
        except (ValueError, pa.ArrowException):
            return None
        return made
    if fixed := _FIXED.fullmatch(text):
        return pa.binary(int(fixed[1]))
    try:
        return pa.type_for_alias(text)
    except ValueError:
        return None


def present(raw: Raw | None, type_text: str) -> Value | None:
    """Turn what the statistics hold into what a person sees: ticks into times, 0 and 1 into booleans.

    A time that Python cannot hold (nanoseconds, far years) comes as numpy's datetime64, or as ticks.
    """
    if raw is None or isinstance(raw, str | bytes | float | Decimal):
        return raw
    kind = parse_type(type_text)
    if kind is None or pa.types.is_integer(kind):
        return raw
    if pa.types.is_boolean(kind):
        return bool(raw)
    narrow = pa.int32() if kind.bit_width == 32 else pa.int64()
    try:
        seen: Value = pa.array([raw], narrow).view(kind)[0].as_py()
    except (ValueError, OverflowError, pa.ArrowException):
        return _numpy_time(raw, kind)
    return seen.to_pydatetime() if hasattr(seen, "to_pydatetime") and kind.unit != "ns" else seen


def _numpy_time(raw: int, kind: pa.DataType) -> Value:
    if pa.types.is_timestamp(kind):
        return np.datetime64(raw, kind.unit)
    if pa.types.is_duration(kind):
        return np.timedelta64(raw, kind.unit)
    return raw


def write_raw(raw: Raw | None) -> str | None:
    """Write a held value as text that `read_raw` reads back exactly."""
    if raw is None:
        return None
    if isinstance(raw, float):
        return repr(raw)
    return raw.hex() if isinstance(raw, bytes) else str(raw)


def read_raw(text: str | None, kind: Kind) -> Raw | None:
    """Read what `write_raw` wrote for a column of this kind."""
    if text is None or kind is Kind.TEXT:
        return text
    if kind is Kind.BINARY:
        return bytes.fromhex(text)
    if kind is Kind.FLOAT:
        return float(text)
    return Decimal(text) if kind is Kind.DECIMAL else int(text)
