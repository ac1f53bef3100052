"""One row of features as bytes and back, to the bit: what a push keeps, whatever types the features have.

A row is a bitmap of its nulls, the values of fixed width one after another as they lie in memory (little-endian,
zeros under nulls), then the others, each after its length in four bytes: text and bytes as they are, any other type
as an Arrow IPC stream of one value.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.views.online.cells import read_cells

_LENGTH: Final = struct.Struct("<I")
_PLAIN: Final = {
    pa.bool_(): "?",
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
_WIDTHS: Final = (8, 16, 32, 64, 128, 256)


class RowCodec:
    """Writes and reads rows of one schema.

    Parameters
    ----------
    schema : pyarrow.Schema
        The features, in order.

    Examples
    --------
    >>> codec = RowCodec(pa.schema({"trips": pa.int64(), "city": pa.string()}))
    >>> rows = codec.encode(pa.table({"trips": [7, None], "city": ["Oslo", None]}))
    >>> codec.values(rows[0]), codec.table(rows).column("trips").to_pylist()
    ([7, 'Oslo'], [7, None])
    """

    __slots__ = ("_fixed", "_nulls", "_others", "_plain", "_record", "schema")

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self._nulls = (len(schema) + 7) // 8
        self._fixed = [place for place, field in enumerate(schema) if _is_fixed(field.type)]
        self._others = [place for place, field in enumerate(schema) if not _is_fixed(field.type)]
        self._record = np.dtype([(str(place), f"V{_width(schema.field(place).type)}") for place in self._fixed])
        kinds = [field.type for field in schema]
        quick = all(kind in _PLAIN or _is_text(kind) for kind in kinds)
        self._plain = struct.Struct("<" + "".join(_PLAIN[kinds[place]] for place in self._fixed)) if quick else None

    def encode(self, table: pa.Table) -> list[bytes]:
        """Write the rows of a table; it has the schema's columns, perhaps among others."""
        columns = [_whole(table.column(field.name).cast(field.type)) for field in self.schema]
        count = table.num_rows
        absent = np.zeros((count, self._nulls * 8), np.bool_)
        for place, column in enumerate(columns):
            absent[:, place] = column.is_null().to_numpy(zero_copy_only=False)
        nulls = np.packbits(absent, axis=1, bitorder="little")
        fixed = np.zeros(count, self._record)
        for place in self._fixed:
            fixed[str(place)] = _raw(columns[place], absent[:, place])
        others = [_writer(columns[place]) for place in self._others]
        return [
            nulls[row].tobytes() + fixed[row].tobytes() + b"".join(_framed(write(row)) for write in others)
            for row in range(count)
        ]

    def values(self, row: bytes) -> list[Any]:
        """Read one row as plain Python, as the cells of a file are read."""
        if self._plain is None:
            return [read_cells(_whole(column)).one(0) for column in self.table([row]).columns]
        values: list[Any] = [None] * len(self.schema)
        for place, value in zip(self._fixed, self._plain.unpack_from(row, self._nulls), strict=True):
            values[place] = value
        start = self._nulls + self._plain.size
        for place in self._others:
            raw, start = _next(row, start)
            values[place] = raw if _is_bytes(self.schema.field(place).type) else str(raw, "utf-8")
        if any(row[: self._nulls]):
            return [None if row[place >> 3] >> (place & 7) & 1 else value for place, value in enumerate(values)]
        return values

    def table(self, rows: Sequence[bytes]) -> pa.Table:
        """Read rows as a table of the schema."""
        count, size = len(rows), self._record.itemsize
        bits = np.frombuffer(b"".join(row[: self._nulls] for row in rows), np.uint8).reshape(count, self._nulls)
        absent = np.unpackbits(bits, axis=1, bitorder="little").view(np.bool_)
        raw = b"".join(row[self._nulls : self._nulls + size] for row in rows)
        fixed = np.frombuffer(raw, self._record) if size else np.empty(count, self._record)  # no byte holds no number
        columns: list[Any] = [None] * len(self.schema)
        for place in self._fixed:
            columns[place] = _array(self.schema.field(place).type, fixed[str(place)], absent[:, place])
        starts = [self._nulls + size] * count
        for place in self._others:
            taken = [_next(row, start) for row, start in zip(rows, starts, strict=True)]
            starts = [end for _, end in taken]
            columns[place] = _others(self.schema.field(place).type, [value for value, _ in taken], absent[:, place])
        return pa.Table.from_arrays(columns, schema=self.schema)


def _is_fixed(kind: pa.DataType) -> bool:
    return kind == pa.bool_() or (pa.types.is_primitive(kind) and kind.bit_width in _WIDTHS) or _is_decimal(kind)


def _is_decimal(kind: pa.DataType) -> bool:
    return pa.types.is_decimal(kind) and kind.bit_width in _WIDTHS


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(kind in (pa.binary(), pa.large_binary()))


def _is_text(kind: pa.DataType) -> bool:
    return bool(kind in (pa.string(), pa.large_string())) or _is_bytes(kind)


def _width(kind: pa.DataType) -> int:
    return 1 if kind == pa.bool_() else int(kind.bit_width) // 8


def _whole(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0) if whole.num_chunks else pa.array([], whole.type)
    return pa.concat_arrays([whole]) if not whole.offset else _moved(whole)


def _moved(array: pa.Array) -> pa.Array:
    """Return an array that starts at the start of its buffers."""
    return array.take(pa.array(np.arange(len(array))))


def _raw(column: pa.Array, absent: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the values as bytes of their width, zeros under nulls."""
    width = _width(column.type)
    if column.type == pa.bool_():
        values = column.fill_null(fill_value=False).to_numpy(zero_copy_only=False).astype(np.uint8).view("V1")
    elif not len(column):
        return np.empty(0, f"V{width}")
    else:
        values = np.frombuffer(column.buffers()[1], f"V{width}", count=len(column)).copy()
    values[absent] = np.zeros(1, f"V{width}")[0]
    raw: NDArray[Any] = values
    return raw


def _array(kind: pa.DataType, values: NDArray[Any], absent: NDArray[np.bool_]) -> pa.Array:
    packed = np.ascontiguousarray(values)
    if kind == pa.bool_():
        return pa.array(packed.view(np.uint8).astype(np.bool_), kind, mask=absent)
    valid = pa.py_buffer(np.packbits(~absent, bitorder="little").tobytes()) if absent.any() else None
    return pa.Array.from_buffers(kind, len(packed), [valid, pa.py_buffer(packed.tobytes())])


def _writer(column: pa.Array) -> Callable[[int], bytes]:
    """Return what writes the value of a row; nothing for a null."""
    if _is_text(column.type):
        held = column.cast(pa.large_binary()).to_pylist()
        return lambda row: held[row] or b""
    return lambda row: _stream(column.slice(row, 1)) if column[row].is_valid else b""


def _stream(one: pa.Array) -> bytes:
    sink = pa.BufferOutputStream()
    batch = pa.record_batch([one], ["value"])
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def _others(kind: pa.DataType, raws: Sequence[bytes], absent: NDArray[np.bool_]) -> pa.Array:
    if _is_text(kind):
        held = [None if none else raw for raw, none in zip(raws, absent.tolist(), strict=True)]
        return pa.array(
            held, pa.large_binary() if kind in (pa.large_string(), pa.large_binary()) else pa.binary()
        ).cast(kind)
    parts = [
        pa.nulls(1, kind) if none else _whole(pa.ipc.open_stream(raw).read_all().column(0))
        for raw, none in zip(raws, absent.tolist(), strict=True)
    ]
    return _whole(pa.chunked_array(parts, kind))


def _framed(raw: bytes) -> bytes:
    return _LENGTH.pack(len(raw)) + raw


def _next(row: bytes, start: int) -> tuple[bytes, int]:
    (size,) = _LENGTH.unpack_from(row, start)
    first = start + _LENGTH.size
    return row[first : first + size], first + size
