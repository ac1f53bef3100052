"""What is known of each column chunk (one column of one record batch) without reading it.

Smallest and largest value, counts of null and NaN (for pruning), and the XXH3-64 of its buffers (for
verification). Kept per file as one small Arrow table: a row per record batch, a struct per column.
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import xxhash

# Longer bounds would make the table large; a chunk without bounds is simply never pruned.
_LONGEST_BOUND_BYTES = 64
_ROWS = "rows"


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
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def read_zones(encoded: bytes) -> pa.Table:
    """Decode zones: column ``rows``, then ``"0"``, ``"1"`` ... by position in the file."""
    return pa.ipc.open_stream(encoded).read_all()


def checksum_chunk(chunk: pa.Array) -> int:
    """Return the XXH3-64 over the buffers of a column chunk, dictionary included.

    Every buffer goes in with its length before it, so that bytes cannot move between buffers unseen.
    """
    digest = xxhash.xxh3_64()
    _feed(digest, chunk)
    return digest.intdigest()


def _feed(digest: Any, array: pa.Array) -> None:
    for buffer in array.buffers():
        digest.update((buffer.size if buffer else 0).to_bytes(8, "little"))
        if buffer:
            digest.update(buffer)
    if pa.types.is_dictionary(array.type):
        _feed(digest, array.dictionary)


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
    ends = pc.min_max(values)  # skips nulls and NaN
    low, high = ends["min"], ends["max"]
    if not low.is_valid or (low.type in (pa.string(), pa.large_string()) and _is_long(low, high)):
        return None, None
    return low, high


def _is_long(low: pa.Scalar, high: pa.Scalar) -> bool:
    return bool(max(low.as_buffer().size, high.as_buffer().size) > _LONGEST_BOUND_BYTES)


def _count_nan(chunk: pa.Array) -> int:
    if not pa.types.is_floating(chunk.type):
        return 0
    return pc.sum(pc.is_nan(chunk)).as_py() or 0
