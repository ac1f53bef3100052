"""The cold form of a column-group file: Parquet (zstd), from which the very same Arrow file can be made again.

A row group is a record batch. Columns of dictionaries are written as their values, and the dictionaries go with the
file's metadata, as the Arrow schema does: order and unused values of a dictionary are part of the file's bytes.
"""

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.catalog.records import ObjectRecord
from foldstore.datastore.column_group import open_batches, to_buffer
from foldstore.errors import CorruptObjectError

_SCHEMA: Final = b"foldstore.schema"
_DICTIONARY: Final = b"foldstore.dictionary."


def write_cold(file: Any, batches: Sequence[pa.RecordBatch]) -> None:
    """Write record batches as Parquet.

    Raises
    ------
    pyarrow.ArrowException
        When Parquet has no such type.
    """
    import pyarrow.parquet as pq

    schema = batches[0].schema
    metadata = {_SCHEMA: base64.b64encode(schema.serialize())}
    for position, field in enumerate(schema):
        if pa.types.is_dictionary(field.type):
            values = batches[0].column(position).dictionary
            metadata[_DICTIONARY + str(position).encode()] = base64.b64encode(_pack(values))
    plain = pa.schema([pa.field(field.name, _plain_type(field.type)) for field in schema], metadata)
    with pq.ParquetWriter(file, plain, compression="zstd", use_content_defined_chunking=True) as writer:
        for batch in batches:
            columns = [_plain(column) for column in batch.columns]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=plain), row_group_size=batch.num_rows)


def read_cold(path: Path, record: ObjectRecord) -> list[pa.RecordBatch]:
    """Decode a cold file into memory: the record batches of the Arrow file, to the byte.

    Raises
    ------
    CorruptObjectError
        When the file is missing, has another size, or does not decode.
    """
    return open_batches(read_cold_buffer(path, record), record.id)


def read_cold_buffer(path: Path, record: ObjectRecord) -> pa.Buffer:
    """Decode a cold file into the bytes of the Arrow file that it was made from."""
    try:
        found = path.stat().st_size
    except OSError as error:
        raise CorruptObjectError(
            f"Object {record.id} is missing from the cold tier.", hint="Restore it from a backup.", object=record.id
        ) from error
    if found != record.cold_bytes:
        raise CorruptObjectError(
            f"The cold file of object {record.id} has {found} bytes, expected {record.cold_bytes}.",
            hint="Restore it from a backup; `foldstore verify` lists every such file.",
            object=record.id,
        )
    return decode_cold(path, record.id)


def decode_cold(path: Path, object_id: str) -> pa.Buffer:
    """Do what `read_cold_buffer` does, whatever the catalog says of the file."""
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            metadata = file.schema_arrow.metadata
            schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(metadata[_SCHEMA])))
            return to_buffer(schema, _decode(file, schema, metadata))
    except Exception as error:  # damage can fail in any way: as Arrow, as text, as a number
        raise CorruptObjectError(
            f"The cold file of object {object_id} is not readable as Parquet: {error}.",
            hint="Restore it from a backup; `foldstore verify` lists every such file.",
            object=object_id,
        ) from error


def _decode(file: Any, schema: pa.Schema, metadata: dict[bytes, bytes]) -> Iterator[pa.RecordBatch]:
    dictionaries = {
        position: _unpack(base64.b64decode(metadata[_DICTIONARY + str(position).encode()]))
        for position, field in enumerate(schema)
        if pa.types.is_dictionary(field.type)
    }
    for group in range(file.num_row_groups):
        table = file.read_row_group(group).combine_chunks()
        columns = []
        for position, field in enumerate(schema):
            column = table.column(position).chunk(0)
            if position in dictionaries:
                indices = _cleared(pc.index_in(column, dictionaries[position]).cast(field.type.index_type))
                column = pa.DictionaryArray.from_arrays(indices, dictionaries[position], ordered=field.type.ordered)
                columns.append(column)
            else:
                columns.append(_cleared(column if column.type == field.type else column.cast(field.type)))
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _cleared(array: pa.Array) -> pa.Array:
    """Return an array with zeros under its nulls, at every depth: Parquet leaves whatever was in memory there."""
    kind, t = array.type, pa.types
    if array.offset:
        array = array.take(pa.array(np.arange(len(array))))
    buffers = array.buffers()
    valid = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None
    kept = [None if valid is None else _bits(valid)]
    children: list[pa.Array] = []
    if t.is_list(kind) or t.is_large_list(kind):
        kept, children = [*kept, buffers[1]], [_cleared(array.values)]
    elif t.is_map(kind):
        entries = pa.StructArray.from_arrays([array.keys, array.items], fields=[kind.key_field, kind.item_field])
        kept, children = [*kept, buffers[1]], [_cleared(entries)]
    elif t.is_fixed_size_list(kind):
        children = [_cleared(array.values)]
    elif t.is_struct(kind):
        children = [_cleared(array.field(position)) for position in range(kind.num_fields)]
    elif valid is None or t.is_null(kind) or len(buffers) != 2:  # nothing is null, or texts, which have no slots
        return array if valid is None else pa.Array.from_buffers(kind, len(array), [*kept, *buffers[1:]])
    elif t.is_boolean(kind):
        kept.append(_bits(array.fill_null(pa.scalar(False)).to_numpy(zero_copy_only=False)))  # noqa: FBT003
    else:
        cells = np.frombuffer(buffers[1], np.uint8, len(array) * kind.bit_width // 8).reshape(len(array), -1).copy()
        cells[~valid] = 0
        kept.append(pa.py_buffer(cells.tobytes()))
    return pa.Array.from_buffers(kind, len(array), kept, array.null_count, children=children or None)


def _bits(values: NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(values, bitorder="little").tobytes())


def _plain_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _pack(values: pa.Array) -> bytes:
    batch = pa.RecordBatch.from_arrays([values], ["values"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def _unpack(encoded: bytes) -> pa.Array:
    return pa.ipc.open_stream(encoded).read_all().column(0).chunk(0)
