"""What is known of each column chunk (one column of one record batch) without reading it.

Smallest and largest value, counts of null and NaN (for pruning), and the XXH3-64 of its buffers (for
verification). Kept per file as one small Arrow table: a row per record batch, a struct per column.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import xxhash

# Longer bounds would make the table large; a chunk without bounds is simply never pruned.
_LONGEST_BOUND_BYTES = 64
_ROWS = "rows"
_MOST_PLAIN_ROWS = 16


def measure_zones(batches: Sequence[pa.RecordBatch]) -> bytes:
    """Compute the zones of a file's record batches, encoded.

    Parameters
    ----------
    batches : sequence of pyarrow.RecordBatch
        The batches as they lie in the file.
    """
    columns: dict[str, pa.Array] = {_ROWS: pa.array([batch.num_rows for batch in batches], pa.int64())}
    for position, field in enumerate(batches[0].schema if batches else ()):
        chunks = [batch.column(position) for batch in batches]
        columns[str(position)] = _measure_column(field.type, chunks)
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    # A compressed buffer has a head of its own, and takes far longer to open: of few rows it is the larger one.
    compression = "zstd" if len(batches) > _MOST_PLAIN_ROWS else None
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def read_zones(encoded: bytes) -> pa.Table:
    """Decode zones: column ``rows``, then ``"0"``, ``"1"`` ... by position in the file."""
    return pa.ipc.open_stream(encoded).read_all()


def fold_bounds(zones: pa.Table, position: int) -> tuple[Any, Any] | None:
    """Return the smallest and the largest value of a column over all its chunks, as JSON has them.

    Times are the whole numbers that are stored. None when a chunk's bounds are not known, or hold for a
    part of its values alone (NaN is in no order), or JSON has no such number.
    """
    column = zones.column(str(position)).combine_chunks()
    low, high = _plain_numbers(column.field("min")), _plain_numbers(column.field("max"))
    if (
        not len(column)
        or low.null_count
        or pa.types.is_decimal(low.type)
        or pc.any(pc.greater(column.field("nan"), 0)).as_py()
    ):
        return None
    ends = pc.min(low).as_py(), pc.max(high).as_py()
    return None if any(isinstance(end, float) and not math.isfinite(end) for end in ends) else ends


def _plain_numbers(bounds: pa.Array) -> pa.Array:
    if not pa.types.is_temporal(bounds.type):
        return bounds
    return bounds.view(pa.int32() if bounds.type.bit_width == 32 else pa.int64())


def checksum_chunk(chunk: pa.Array) -> int:
    """Return the XXH3-64 over a column chunk: types, lengths, null counts and buffers, nested ones included.

    Every buffer goes in with its length before it, so that bytes cannot move between buffers unseen. The
    lengths and counts stand in the file beside the buffers and can be damaged like them.
    """
    digest = xxhash.xxh3_64()
    for array in _nested(chunk):
        digest.update(f"{array.type}|{len(array)}|{array.null_count}".encode())
    for array in (chunk, *(each.dictionary for each in _nested(chunk) if pa.types.is_dictionary(each.type))):
        for buffer in array.buffers():
            digest.update((buffer.size if buffer else 0).to_bytes(8, "little"))
            if buffer:
                digest.update(buffer)
    return digest.intdigest()


def _nested(array: pa.Array) -> Iterator[pa.Array]:
    """Yield an array and all arrays inside it, dictionaries too."""
    yield array
    t, kind = pa.types, array.type
    inside: list[pa.Array] = []
    if t.is_dictionary(kind):
        inside = [array.dictionary]
    elif t.is_map(kind):
        inside = [array.keys, array.items]
    elif t.is_struct(kind) or t.is_union(kind):
        inside = [array.field(position) for position in range(kind.num_fields)]
    elif t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind):
        inside = [array.values]
    for each in inside:
        yield from _nested(each)


def _measure_column(arrow_type: pa.DataType, chunks: Sequence[pa.Array]) -> pa.StructArray:
    bounds = [_bounds(chunk) for chunk in chunks]
    bound_type = _bound_type(arrow_type)
    return pa.StructArray.from_arrays(
        [
            pa.array([low for low, _ in bounds], bound_type),
            pa.array([high for _, high in bounds], bound_type),
            pa.array([chunk.null_count for chunk in chunks], pa.int64()),
            pa.array([_count_nan(chunk) for chunk in chunks], pa.int64()),
            pa.array([checksum_chunk(chunk) for chunk in chunks], pa.uint64()),
        ],
        ["min", "max", "nulls", "nan", "xxh3"],
    )


def _bound_type(arrow_type: pa.DataType) -> pa.DataType:
    value_type = arrow_type.value_type if pa.types.is_dictionary(arrow_type) else arrow_type
    return value_type if _has_order(value_type) else pa.null()


def _has_order(arrow_type: pa.DataType) -> bool:
    """Say whether Arrow has a min_max for the type (pyarrow 26: not for durations, intervals and half floats)."""
    t = pa.types
    return bool(
        t.is_integer(arrow_type)
        or t.is_float32(arrow_type)
        or t.is_float64(arrow_type)
        or t.is_boolean(arrow_type)
        or t.is_timestamp(arrow_type)
        or t.is_date(arrow_type)
        or t.is_time(arrow_type)
        or t.is_decimal(arrow_type)
        or t.is_string(arrow_type)
        or t.is_large_string(arrow_type)
    )


def _bounds(chunk: pa.Array) -> tuple[pa.Scalar | None, pa.Scalar | None]:
    values = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
    if not _has_order(values.type) or not len(chunk):
        return None, None
    low, high = _ends(values)
    if not low.is_valid or (low.type in (pa.string(), pa.large_string()) and _is_long(low, high)):
        return None, None
    return low, high


def _ends(values: pa.Array) -> tuple[pa.Scalar, pa.Scalar]:
    """Return the smallest and the largest value; nulls and NaN are no values."""
    if not values.null_count and (pa.types.is_integer(values.type) or pa.types.is_float64(values.type)):
        numbers = values.to_numpy()  # ten times as fast, and NaN where there is one
        low, high = numbers.min(), numbers.max()
        if low == low:  # noqa: PLR0124  # NaN is not
            return pa.scalar(low, values.type), pa.scalar(high, values.type)
    ends = pc.min_max(values)
    return ends["min"], ends["max"]


def _is_long(low: pa.Scalar, high: pa.Scalar) -> bool:
    return bool(max(low.as_buffer().size, high.as_buffer().size) > _LONGEST_BOUND_BYTES)


def _count_nan(chunk: pa.Array) -> int:
    if not pa.types.is_floating(chunk.type):
        return 0
    return pc.sum(pc.is_nan(chunk)).as_py() or 0
