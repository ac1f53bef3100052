"""Which Arrow types and values come through DuckDB unchanged; the others are refused, never rounded.

DuckDB's INTERVAL counts microseconds, and goes back to Arrow as 64 bits of nanoseconds; its DATE has
32 bits of days. Each was measured on every Arrow type: see ``tests/datastore/test_engine_types.py``.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.exact_cast import struct_fields
from foldstore.errors import FoldstoreError, InvalidExpressionError

_MAX_INT64: Final = 2**63 - 1
_NANOSECONDS: Final = {"s": 10**9, "ms": 10**6, "us": 10**3}
_DAY_MS: Final = 86_400_000
# DuckDB takes the last two for infinity.
_MAX_DAYS: Final = 2**31 - 2
_INTERVAL: Final = np.dtype([("months", "<i4"), ("days", "<i4"), ("nanoseconds", "<i8")])


def inner_types(kind: pa.DataType) -> Iterator[pa.DataType]:
    """Yield a type and all types inside it."""
    yield kind
    types = pa.types
    if types.is_map(kind):
        inner = [kind.key_type, kind.item_type]
    elif types.is_struct(kind) or types.is_union(kind):
        inner = [kind.field(index).type for index in range(kind.num_fields)]
    elif isinstance(kind, pa.BaseExtensionType):
        inner = [kind.storage_type]
    else:
        value = getattr(kind, "value_type", None)
        inner = [] if value is None else [value]
    for each in inner:
        yield from inner_types(each)


def is_plain(kind: pa.DataType) -> bool:
    """Say whether DuckDB certainly reads the type, without asking it."""
    types = pa.types
    return any(
        test(kind)
        for test in (
            types.is_integer, types.is_boolean, types.is_float32, types.is_float64, types.is_string, types.is_timestamp,
            types.is_large_string, types.is_date, types.is_time, types.is_binary, types.is_null,
        )
    ) or (types.is_dictionary(kind) and types.is_string(kind.value_type))  # fmt: skip


def loses_digits(kind: pa.DataType) -> bool:
    """Say whether values of the type lose digits in DuckDB: durations of nanoseconds, at any depth."""
    return any(pa.types.is_duration(each) and each.unit == "ns" for each in inner_types(kind))


def is_watched(kind: pa.DataType) -> bool:
    """Say whether some values of the type, and only some, are exact in DuckDB."""
    return any(
        pa.types.is_interval(each) or pa.types.is_duration(each) or pa.types.is_date64(each)
        for each in inner_types(kind)
    )


def refuse_inexact(array: pa.Array, column: str, where: str, kind: type[FoldstoreError]) -> None:
    """Refuse a column that holds a value which DuckDB would change."""
    found = inexact_value(array)
    if found is not None:
        raise kind(
            f"{where}: column {column!r} ({array.type}) holds {found}, which SQL would change.",
            hint="Read it with to_arrow(), or keep it in a type that SQL reads exactly, such as int64.",
            column=column,
        )


def watched(batches: Iterable[pa.RecordBatch], schema: pa.Schema, where: str) -> Iterable[pa.RecordBatch]:
    """Look at the values of watched types on their way to an expression."""
    names = [field.name for field in schema if is_watched(field.type)]
    return _checked(batches, names, where) if names else batches


def _checked(batches: Iterable[pa.RecordBatch], names: Sequence[str], where: str) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for name in names:
            refuse_inexact(batch.column(name), name, where, InvalidExpressionError)
        yield batch


def inexact_value(array: pa.Array) -> str | None:
    """Say what DuckDB would change in a column of a watched type; None when it changes nothing."""
    if not is_watched(array.type) or not len(array):
        return None
    found = _inexact_here(array)
    if found is not None:
        return found
    return next((found for part in _parts(array) if (found := inexact_value(part)) is not None), None)


def _inexact_here(array: pa.Array) -> str | None:
    kind = array.type
    if pa.types.is_interval(kind):
        values = np.frombuffer(array.buffers()[1], _INTERVAL, count=len(array), offset=array.offset * 16)
        held = array.is_valid().to_numpy(zero_copy_only=False)
        return "an interval with nanoseconds" if (values["nanoseconds"][held] % 1_000).any() else None
    if pa.types.is_duration(kind) and kind.unit in _NANOSECONDS:
        limit = _MAX_INT64 // _NANOSECONDS[kind.unit]
        return "a duration of more than 292 years" if _exceeds(array, limit) else None
    if pa.types.is_date64(kind):
        ticks = array.cast(pa.int64()).drop_null().to_numpy()
        return (
            "a date that is no whole day or too far"
            if _exceeds(array, _MAX_DAYS * _DAY_MS) or (ticks % _DAY_MS).any()
            else None
        )
    return None


def _exceeds(array: pa.Array, limit: int) -> bool:
    ends = pc.min_max(array.cast(pa.int64())).as_py()
    return ends["min"] is not None and not -limit <= ends["min"] <= ends["max"] <= limit


def _parts(array: pa.Array) -> list[pa.Array]:
    """Return the columns inside a nested one; null slots may be among them."""
    types = pa.types
    kind = array.type
    if types.is_dictionary(kind):
        return [array.dictionary]
    if types.is_map(kind):
        return [array.keys, array.items]
    if types.is_struct(kind):
        return struct_fields(array)
    if types.is_union(kind):
        return [array.field(index) for index in range(kind.num_fields)]
    return [array.flatten()] if hasattr(array, "flatten") and hasattr(kind, "value_type") else []
