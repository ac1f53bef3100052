"""Columns as numbers and back: float64 beside a mask of nulls; and texts mapped once for each distinct value."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def is_number(kind: pa.DataType) -> bool:
    """Whether values are whole numbers or floats (booleans and decimals are not)."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def is_text(kind: pa.DataType) -> bool:
    """Whether values are texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def to_floats(array: pa.Array) -> tuple[Floats, Mask]:
    """Return numbers as float64 (nulls as 0) and where the nulls are; whole numbers are rounded to the nearest even."""
    nulls = np.zeros(len(array), np.bool_)
    if array.null_count:
        nulls = pc.is_null(array).to_numpy(zero_copy_only=False)
        array = pc.fill_null(array, pa.scalar(0, array.type))
    return array.to_numpy(zero_copy_only=False).astype(np.float64), nulls


def from_floats(values: Floats, nulls: Mask) -> pa.Array:
    """Return a column of floats; NaN stays NaN."""
    return pa.array(values, pa.float64(), mask=nulls if nulls.any() else None)


def known_numbers(array: pa.Array) -> NDArray[Any]:
    """Return the finite numbers of a column in their order; whole numbers stay whole."""
    values = pc.drop_null(array).to_numpy(zero_copy_only=False)
    known: NDArray[Any] = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    return known


def is_missing(array: pa.Array) -> Mask:
    """Say where there is null or NaN."""
    nulls: Mask = pc.is_null(array, nan_is_null=True).to_numpy(zero_copy_only=False)
    return nulls


def map_distinct(array: pa.Array, function: Callable[[Any], Any], kind: pa.DataType) -> pa.Array:
    """Return a function of each value; it is asked once for each distinct one, and never for null."""
    if not len(array):
        return pa.array([], kind)
    encoded = array.dictionary_encode()
    mapped = pa.array([function(value) for value in encoded.dictionary.to_pylist()], kind)
    return mapped.take(encoded.indices)


def count_distinct(array: pa.Array) -> list[tuple[Any, int]]:
    """Return each value with how often it occurs, the most frequent first, of equals the lesser; nulls aside."""
    found = pc.value_counts(pc.drop_null(array))
    pairs = zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True)
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))


def lower_quantiles(values: NDArray[Any], levels: Sequence[float]) -> list[Any]:
    """Return quantiles that are values: the least with at least so much of the rows at or below it."""
    ordered = np.sort(values)
    places = [max(math.ceil(level * len(ordered)) - 1, 0) for level in levels]
    return [ordered[place].item() for place in places]


def plain_values(column: pa.ChunkedArray) -> list[Any]:
    """Return a column's values as online lookups give them: nanosecond times as numpy's, for Python's are coarser."""
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        return [None if tick is None else np.datetime64(tick, "ns") for tick in column.cast(pa.int64()).to_pylist()]
    try:
        return list(column.to_pylist())
    except (OverflowError, ValueError):
        return [read_value(each) for each in column]


def read_value(scalar: pa.Scalar) -> Any:
    """Return a plain value; of a time that Python cannot hold, numpy's."""
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):
        kind = scalar.type
        if pa.types.is_date(kind):
            days = scalar.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
            return np.datetime64(days.as_py(), "D" if kind.bit_width == 32 else "ms")
        return np.datetime64(scalar.cast(pa.int64()).as_py(), kind.unit)
