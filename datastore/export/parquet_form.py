"""Parquet: what it lacks a unit for is written in the next finer one, exactly or not at all."""

import io
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from foldstore.datastore.arrow_schema import inner_fields
from foldstore.datastore.exact_cast import cast_exactly, is_list, is_text, same_values
from foldstore.datastore.exact_cast import is_binary as is_bytes
from foldstore.datastore.export.form import Writer, refusal, to_batch, unfit_value
from foldstore.errors import SchemaMismatchError

_NAME: Final = "Parquet"
# Chunks that follow contents, so that two exports that differ little share most of their bytes.
_OPTIONS: Final = {"compression": "zstd", "use_content_defined_chunking": True}


class ParquetForm:
    """Parquet with Zstandard pages."""

    def check(self, schema: pa.Schema) -> None:
        """Refuse columns that pyarrow does not write, or reads back as something else."""
        for field in schema:
            kind = parquet_type(field.type)
            try:
                found = _written_and_read(pa.field(field.name, kind))
            except (pa.ArrowException, OSError) as error:
                raise refusal(field.name, field.type, _NAME, " ".join(str(error).split())[:200].rstrip(".")) from error
            if found != kind:
                raise refusal(field.name, field.type, _NAME, f"it would come back as {found}")

    def open(self, file: Any, schema: pa.Schema) -> Writer:
        """Begin a file."""
        return _ParquetWriter(file, schema)


def _written_and_read(field: pa.Field) -> pa.DataType:
    memory = io.BytesIO()
    pq.write_table(pa.schema([field]).empty_table(), memory, **_OPTIONS)
    memory.seek(0)
    return pq.read_schema(memory).field(0).type


class _ParquetWriter:
    """Writes batches as row groups."""

    def __init__(self, file: Any, schema: pa.Schema) -> None:
        self._schema = schema
        self._target = pa.schema([pa.field(f.name, parquet_type(f.type)) for f in schema])
        self._writer = pq.ParquetWriter(file, self._target, **_OPTIONS)

    def write(self, batch: pa.RecordBatch) -> None:
        """Write rows as a row group."""
        pairs = zip(self._schema, self._target, batch.columns, strict=True)
        columns = [_exactly(column, old, new.type) for old, new, column in pairs]
        self._writer.write_batch(to_batch(columns, self._target))

    def finish(self) -> None:
        """Write the footer."""
        self._writer.close()


def _exactly(column: pa.Array, field: pa.Field, kind: pa.DataType) -> pa.Array:
    """Cast before pyarrow does: it ends the process where an instant does not fit, and wraps far dates."""
    if column.type == kind:
        return column
    try:
        found = cast_exactly(column, kind, name=field.name)
        same = same_values(cast_exactly(found, field.type, name=field.name), column)
    except SchemaMismatchError as error:
        why = error.message.partition("the dataset keeps ")[2].partition(": ")[2]
        raise unfit_value(field.name, field.type, _NAME, ValueError(why)) from error
    if not same:
        raise unfit_value(field.name, field.type, _NAME, ValueError(f"a value does not fit {kind}"))
    return found


def parquet_type(kind: pa.DataType) -> pa.DataType:
    """Return the type that a column is written as: seconds become milliseconds, date64 becomes date32."""
    t = pa.types
    if t.is_timestamp(kind) and kind.unit == "s":
        return pa.timestamp("ms", kind.tz)
    if t.is_time32(kind):
        return pa.time32("ms")
    if t.is_date64(kind):
        return pa.date32()
    if t.is_dictionary(kind):
        text = is_text(kind.value_type) or is_bytes(kind.value_type)
        return kind if text else parquet_type(kind.value_type)
    return _nested(kind) if t.is_struct(kind) or t.is_map(kind) or is_list(kind) else kind


def _nested(kind: pa.DataType) -> pa.DataType:
    t = pa.types
    inner = [pa.field(f.name, parquet_type(f.type), nullable=f.nullable) for f in inner_fields(kind)]
    if [f.type for f in inner] == [f.type for f in inner_fields(kind)]:
        return kind
    if t.is_struct(kind):
        return pa.struct(inner)
    if t.is_map(kind):
        return pa.map_(inner[0], inner[1], keys_sorted=kind.keys_sorted)
    if t.is_fixed_size_list(kind):
        return pa.list_(inner[0], kind.list_size)
    return pa.large_list(inner[0]) if t.is_large_list(kind) or t.is_large_list_view(kind) else pa.list_(inner[0])
