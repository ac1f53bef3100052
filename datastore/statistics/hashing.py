"""Stable 64-bit hashes of values and rows, the algorithm `key/v1`.

The same value has the same hash on every machine, in every cut of the data and at every width
of its type (int32 and int64, float and double). Golden vectors in the tests hold it still.
Not cryptographic, and not for splits, which have an algorithm of their own.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from foldstore.errors import UsageError

Hashes: TypeAlias = NDArray[np.uint64]

ALGORITHM: Final = "key/v1"
# Fractional digits of pi: nothing up the sleeve, and no small integer's image under the mixer.
_NULL: Final = np.uint64(0x243F6A8885A308D3)
_SEED: Final = np.uint64(0x13198A2E03707344)
_NAN_BITS: Final = np.uint64(0x7FF8000000000000)
_GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)


def hash_column(array: pa.Array | pa.ChunkedArray) -> Hashes:
    """Hash each value of a column.

    Integers, booleans, dates, times, timestamps and durations: the splitmix64 finalizer of the
    int64 value (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators").
    Floats: the same of their float64 bits, with -0.0 read as 0.0 and every NaN as one. Strings
    and binary: XXH3-64 of the bytes. Decimals: XXH3-64 of their decimal text. Null: a constant.

    Parameters
    ----------
    array : pa.Array or pa.ChunkedArray
        Any type with a reading as number, text or bytes.

    Raises
    ------
    UsageError
        For lists, structs and other types without such a reading.

    Examples
    --------
    >>> [hex(value) for value in hash_column(pa.array([1, None])).tolist()]
    ['0x910a2dec89025cc1', '0x243f6a8885a308d3']
    """
    if isinstance(array, pa.ChunkedArray):
        parts = [_hash_array(chunk) for chunk in array.chunks]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)
    return _hash_array(array)


def hash_rows(columns: Sequence[pa.ChunkedArray | pa.Array]) -> Hashes:
    """Hash each row over several columns, which matter in the order given.

    Examples
    --------
    >>> rows = hash_rows([pa.array([1, 1]), pa.array(["a", "b"])])
    >>> bool(rows[0] == rows[1])
    False
    """
    if not columns:
        raise UsageError("There are no columns to hash.", hint="Name at least one.")
    return combine([hash_column(column) for column in columns])


def combine(hashes: Sequence[Hashes]) -> Hashes:
    """Join the hashes of several columns into one a row: ``h = mix(h + next)``, column by column."""
    combined = np.full(len(hashes[0]), _SEED)
    for column in hashes:
        combined = _mix(combined + column)
    return combined


def hash_numbers(values: NDArray[Any]) -> Hashes:
    """Hash numbers that hold no null: integers and booleans as int64, floats as float64."""
    if values.dtype.kind == "f":
        canonical = values.astype(np.float64) + 0.0  # adding zero turns -0.0 into 0.0
        bits = canonical.view(np.uint64)
        bits[np.isnan(canonical)] = _NAN_BITS
        return _mix(bits)
    if values.dtype.kind == "u":
        return _mix(values.astype(np.uint64))
    return _mix(values.astype(np.int64).view(np.uint64))


def _hash_array(array: pa.Array) -> Hashes:
    if isinstance(array, pa.ExtensionArray):
        return _hash_array(array.storage)
    kind = array.type
    if pa.types.is_null(kind):
        return np.full(len(array), _NULL)
    if pa.types.is_dictionary(kind):
        return _gather(_hash_array(array.dictionary), array.indices)
    if _is_bytes_like(kind) or pa.types.is_decimal(kind):
        return _hash_text(array)
    return _hash_nullable_numbers(array)


def _hash_nullable_numbers(array: pa.Array) -> Hashes:
    numbers = _as_numbers(array)
    if not array.null_count:
        return hash_numbers(numbers.to_numpy(zero_copy_only=False))
    hashes = hash_numbers(numbers.fill_null(0).to_numpy(zero_copy_only=False))
    hashes[array.is_null(nan_is_null=False).to_numpy(zero_copy_only=False)] = _NULL
    return hashes


def _mix(values: Hashes) -> Hashes:
    mixed = values + _GAMMA
    mixed ^= mixed >> np.uint64(30)
    mixed *= _MIX_1
    mixed ^= mixed >> np.uint64(27)
    mixed *= _MIX_2
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _hash_text(array: pa.Array) -> Hashes:
    """Hash each distinct value once and hand the result to the rows."""
    encoded = array.dictionary_encode()
    return _gather(_hash_bytes(encoded.dictionary), encoded.indices)


def _hash_bytes(distinct: pa.Array) -> Hashes:
    if pa.types.is_decimal(distinct.type):
        distinct = distinct.cast(pa.string())
    wide = distinct.cast(pa.large_binary())
    if not len(wide):
        return np.empty(0, dtype=np.uint64)
    _, offsets, data = wide.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)[wide.offset : wide.offset + len(wide) + 1].tolist()
    view = memoryview(data if data is not None else b"")
    pieces = map(view.__getitem__, map(slice, bounds[:-1], bounds[1:]))
    return np.fromiter(map(xxhash.xxh3_64_intdigest, pieces), dtype=np.uint64, count=len(wide))


def _gather(hashes: Hashes, indices: pa.Array) -> Hashes:
    """Look up each row's hash; a null index, and a null behind an index, is null."""
    if not indices.null_count:
        places = indices.to_numpy(zero_copy_only=False)
    else:
        places = indices.cast(pa.int64()).fill_null(len(hashes)).to_numpy(zero_copy_only=False)
    rows: Hashes = np.append(hashes, _NULL)[places]
    return rows


def _as_numbers(array: pa.Array) -> pa.Array:
    """Read as float64, or as whole numbers that can be filled with 0."""
    kind = array.type
    if pa.types.is_floating(kind):
        return array.cast(pa.float64())
    if pa.types.is_boolean(kind):
        return array.cast(pa.uint8())
    if pa.types.is_integer(kind):
        return array
    if not pa.types.is_temporal(kind) or pa.types.is_interval(kind):
        raise UsageError(
            f"Values of type {kind} have no stable hash.",
            hint="Numbers, text, bytes, booleans, dates and times have one.",
            type=str(kind),
        )
    return array.view(pa.int32() if kind.bit_width == 32 else pa.int64())


def _is_bytes_like(kind: pa.DataType) -> bool:
    tests = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_binary_view,
        pa.types.is_fixed_size_binary,
    )
    return any(test(kind) for test in tests)
