"""A column of every Arrow type, with values at the ends of what it holds and a null."""

from decimal import Decimal
from typing import Any

import pyarrow as pa

_I64 = 2**63 - 1


def _union(mode: str) -> pa.Array:
    types = pa.array([0, 1, 0], pa.int8())
    if mode == "sparse":
        return pa.UnionArray.from_sparse(types, [pa.array([1, 2, 3]), pa.array(["a", "b", "c"])])
    return pa.UnionArray.from_dense(types, pa.array([0, 0, 1], pa.int32()), [pa.array([1, 3]), pa.array(["b"])])


def _instants(kind: pa.DataType, values: list[int | None]) -> pa.Array:
    return pa.array(values, pa.int64()).cast(kind)


def _numbers() -> dict[str, pa.Array]:
    arrays = {"null": pa.nulls(3), "bool": pa.array([True, False, None])}
    for bits in (8, 16, 32, 64):
        signed, unsigned = getattr(pa, f"int{bits}")(), getattr(pa, f"uint{bits}")()
        arrays[str(signed)] = pa.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, None], signed)
        arrays[str(unsigned)] = pa.array([0, 2**bits - 1, None], unsigned)
    for kind in (pa.float16(), pa.float32(), pa.float64()):
        arrays[str(kind)] = pa.array([1.5, float("inf"), None], kind)
    arrays |= {
        "decimal32": pa.array([Decimal("-1.23"), Decimal("9999999.99"), None], pa.decimal32(9, 2)),
        "decimal64": pa.array([Decimal("-1.23"), Decimal("9999999999999999.99"), None], pa.decimal64(18, 2)),
        "decimal128": pa.array([Decimal("-1.23"), Decimal(10**36 - 1), None], pa.decimal128(38, 2)),
        "decimal128_whole": pa.array([-1, 10**38 - 1, None], pa.decimal128(38, 0)),
        "decimal128_negative": pa.array([Decimal(1200), Decimal(-300), None], pa.decimal128(10, -2)),
        "decimal256": pa.array([Decimal("-1.23"), Decimal(10**60), None], pa.decimal256(76, 2)),
        "decimal256_short": pa.array([Decimal("-1.23"), Decimal("4.5"), None], pa.decimal256(20, 2)),
    }
    return arrays


def _texts() -> dict[str, pa.Array]:
    kinds = (pa.string(), pa.large_string(), pa.string_view())
    arrays = {str(kind): pa.array(["", "a\0b \U0001f600 long enough for views", None], kind) for kind in kinds}
    for kind in (pa.binary(), pa.large_binary(), pa.binary_view()):
        arrays[str(kind)] = pa.array([b"", b"\0\xff binary long enough for views", None], kind)
    arrays["fixed_binary"] = pa.array([b"abcd", b"\0\0\0\0", None], pa.binary(4))
    return arrays


def _times() -> dict[str, pa.Array]:
    arrays = {
        "date32": pa.array([0, -719_162, None], pa.int32()).cast(pa.date32()),
        "date32_far": pa.array([2**31 - 2, -(2**31) + 2, None], pa.int32()).cast(pa.date32()),
        "date64": pa.array([0, 86_400_000, None], pa.int64()).cast(pa.date64()),
        "date64_far": pa.array([86_400_000 * 10**11, -86_400_000, None], pa.int64()).cast(pa.date64()),
        "time32_s": pa.array([0, 86_399, None], pa.time32("s")),
        "time32_ms": pa.array([1, 86_399_999, None], pa.time32("ms")),
        "time64_us": pa.array([1, 86_399_999_999, None], pa.time64("us")),
        "time64_ns": pa.array([1, 86_399_999_999_999, None], pa.time64("ns")),
        "interval": pa.array([(1, 2, 3_000), (-1, 0, 86_400_000_000_000), None], pa.month_day_nano_interval()),
        "interval_ns": pa.array([(1, 2, 3), (0, 0, 1_999), None], pa.month_day_nano_interval()),
    }
    for unit in ("s", "ms", "us", "ns"):
        for zone in (None, "UTC", "Europe/Berlin", "+05:30", "America/New_York"):
            suffix = f"_{zone}" if zone else ""
            arrays[f"timestamp_{unit}{suffix}"] = _instants(pa.timestamp(unit, zone), [1_500, -1_999_999_999, None])
        arrays[f"timestamp_{unit}_far"] = _instants(pa.timestamp(unit), [_I64 // 2, -_I64 // 2, None])
        arrays[f"duration_{unit}"] = _instants(pa.duration(unit), [1_500, 1_999_999_999, None])
        arrays[f"duration_{unit}_far"] = _instants(pa.duration(unit), [_I64 // 2, -_I64 // 2, None])
    return arrays


def _nested() -> dict[str, pa.Array]:
    ints = [[1, None], [], None]
    arrays = {
        "list": pa.array(ints, pa.list_(pa.int64())),
        "large_list": pa.array(ints, pa.large_list(pa.int64())),
        "list_view": pa.array(ints, pa.list_view(pa.int64())),
        "large_list_view": pa.array(ints, pa.large_list_view(pa.int64())),
        "fixed_list": pa.array([[1, 2], [3, None], None], pa.list_(pa.int64(), 2)),
        "struct": pa.array([{"a": 1, "b": "x"}, {"a": None, "b": None}, None]),
        "map": pa.array([[("a", 1)], [], None], pa.map_(pa.string(), pa.int64())),
        "sparse_union": _union("sparse"),
        "dense_union": _union("dense"),
        "run_end": pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array([7, None])),
        "list_of_duration": pa.array([[1_500], [], None], pa.list_(pa.duration("ns"))),
        "list_of_interval": pa.array([[(1, 2, 3)], [], None], pa.list_(pa.month_day_nano_interval())),
        "struct_of_half": pa.array([{"h": 1.5}, {"h": None}, None], pa.struct({"h": pa.float16()})),
        "list_of_time": pa.array([[1_501], [], None], pa.list_(pa.time64("ns"))),
        "list_of_zone": pa.array([[1_501], [], None], pa.list_(pa.timestamp("ns", "+05:30"))),
        "map_of_duration": pa.array([[("a", 1_501)], [], None], pa.map_(pa.string(), pa.duration("ns"))),
    }
    values = (pa.array(["x", "y"]), pa.array([1, 2]), pa.array([1_500, 1], pa.duration("ns")), pa.array([b"x", b"y"]))
    for each in values:
        codes = pa.array([0, 1, None], pa.int8())
        arrays[f"dictionary_of_{each.type}"] = pa.DictionaryArray.from_arrays(codes, each)
    arrays["dictionary_of_null"] = pa.DictionaryArray.from_arrays(
        pa.array([0, 1, None], pa.int8()), pa.array(["x", None])
    )
    return arrays


def _extensions() -> dict[str, pa.Array]:
    return {
        "uuid": pa.array([b"0123456789abcdef", b"\0" * 16, None], pa.uuid()),
        "json": pa.array(['{"a": 1}', "null", None], pa.json_()),
        "bool8": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0, None], pa.int8())),
        "tensor": pa.ExtensionArray.from_storage(
            pa.fixed_shape_tensor(pa.int32(), [2]), pa.array([[1, 2], [3, 4], None], pa.list_(pa.int32(), 2))
        ),
    }


ARRAYS = {**_numbers(), **_texts(), **_times(), **_nested(), **_extensions()}
NAMES = sorted(ARRAYS)


def table_of(name: str) -> pa.Table:
    """Return a table whose column ``x`` is of the type, ``i`` beside it."""
    return pa.table({"x": ARRAYS[name], "i": pa.array(range(len(ARRAYS[name])))})


_TICKS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


def readable(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Return the values in one form for all layouts: instants, times and durations as nanoseconds."""
    return [plain(scalar) for scalar in column]


def plain(scalar: pa.Scalar) -> Any:
    """Return one value in the form of `readable`."""
    kind, types = scalar.type, pa.types
    if isinstance(kind, pa.BaseExtensionType) and scalar.is_valid:
        # An identifier is written as text by SQL: the same value in another form.
        return str(scalar.as_py()) if str(kind).endswith("uuid>") and scalar.is_valid else plain(scalar.value)
    if not scalar.is_valid:
        return None
    if types.is_interval(kind):
        months, days, nanoseconds = scalar.as_py()
        return nanoseconds if not months and not days else (months, days, nanoseconds)
    if types.is_date(kind):
        return scalar.value if types.is_date32(kind) else scalar.value / 86_400_000
    if types.is_timestamp(kind) or types.is_time(kind) or types.is_duration(kind):
        return scalar.value * _TICKS[kind.unit]
    if types.is_map(kind) or types.is_dictionary(kind) or types.is_run_end_encoded(kind) or types.is_union(kind):
        return [(k, plain(v)) for k, v in _pairs(scalar)] if types.is_map(kind) else plain(scalar.value)
    if types.is_struct(kind):
        return {name: plain(value) for name, value in scalar.items()}
    return [plain(value) for value in scalar.values] if hasattr(kind, "value_type") else scalar.as_py()


def _pairs(scalar: pa.Scalar) -> list[tuple[Any, pa.Scalar]]:
    return [(entry["key"].as_py(), entry["value"]) for entry in scalar.values]
