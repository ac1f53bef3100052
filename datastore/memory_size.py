"""How many bytes Arrow data takes."""

from typing import TypeAlias

import pyarrow as pa

from foldstore.datastore.arrow_schema import inner_fields

Sized: TypeAlias = pa.Array | pa.ChunkedArray | pa.RecordBatch | pa.Table


def num_bytes(data: Sized) -> int:
    """Return the bytes of the rows; of a slice, those of its own rows.

    Arrow's own `nbytes` reads outside its memory where a union has no rows (pyarrow 26): where there is one, all
    that its buffers hold counts.

    Examples
    --------
    >>> num_bytes(pa.table({"x": pa.array([1, 2, 3, 4], pa.int16())}).slice(1, 2))
    4
    """
    types = data.schema.types if isinstance(data, pa.RecordBatch | pa.Table) else [data.type]
    if any(map(_holds_union, types)):
        columns = data.columns if isinstance(data, pa.RecordBatch | pa.Table) else [data]
        return sum(each.get_total_buffer_size() if _holds_union(each.type) else each.nbytes for each in columns)
    return int(data.nbytes)


def _holds_union(kind: pa.DataType) -> bool:
    if pa.types.is_primitive(kind):
        return False
    return bool(pa.types.is_union(kind) or any(_holds_union(each.type) for each in inner_fields(kind)))
