"""CSV: texts in quotes, null as nothing at all, so that an empty text and ``NA`` stay texts."""

from typing import Any, Final

import pyarrow as pa
from pyarrow import csv

from foldstore.datastore.exact_cast import is_text
from foldstore.datastore.export.form import Writer, refusal, to_batch, unfit_value
from foldstore.datastore.plain_text import to_text

_NAME: Final = "CSV"


class CsvForm:
    """CSV with a header, UTF-8."""

    def __init__(self, delimiter: str = ",") -> None:
        self._delimiter = delimiter

    def check(self, schema: pa.Schema) -> None:
        """Refuse nested and binary columns, and others that a cell of text cannot hold."""
        for field in schema:
            if not _has_text(field.type):
                raise refusal(
                    field.name, field.type, _NAME, hint="Export as JSON lines, Parquet or Arrow, or leave it out."
                )

    def open(self, file: Any, schema: pa.Schema) -> Writer:
        """Begin a file."""
        return _CsvWriter(file, schema, self._delimiter)


def _has_text(kind: pa.DataType) -> bool:
    t = pa.types
    if t.is_dictionary(kind):
        return _has_text(kind.value_type)
    numbers = t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind) or t.is_boolean(kind)
    times = t.is_date(kind) or t.is_time(kind) or t.is_timestamp(kind) or t.is_duration(kind)
    return bool(numbers or times or is_text(kind) or t.is_null(kind))


class _CsvWriter:
    """Writes batches as rows."""

    def __init__(self, file: Any, schema: pa.Schema, delimiter: str) -> None:
        self._schema = schema
        self._target = pa.schema([pa.field(f.name, _cell_type(f.type)) for f in schema])
        options = csv.WriteOptions(quoting_style="needed", delimiter=delimiter)
        self._writer = csv.CSVWriter(file, self._target, write_options=options)

    def write(self, batch: pa.RecordBatch) -> None:
        """Write rows."""
        columns = []
        for field, column in zip(self._schema, batch.columns, strict=True):
            try:
                columns.append(_cells(column, field.type))
            except pa.ArrowException as error:
                raise unfit_value(field.name, field.type, _NAME, error) from error
        self._writer.write_batch(to_batch(columns, self._target))

    def finish(self) -> None:
        """Write what is still held."""
        self._writer.close()


def _cell_type(kind: pa.DataType) -> pa.DataType:
    """Return a type that Arrow writes without quotes, but for text."""
    t = pa.types
    if t.is_dictionary(kind):
        return _cell_type(kind.value_type)
    if t.is_duration(kind):
        return pa.int64()
    if t.is_float16(kind):
        return pa.float32()
    if t.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp(kind.unit, "UTC")
    return pa.string() if is_text(kind) or t.is_decimal256(kind) else kind


def _cells(column: pa.Array, kind: pa.DataType) -> pa.Array:
    t = pa.types
    if t.is_dictionary(kind):
        return _cells(column.dictionary_decode(), kind.value_type)
    if t.is_decimal256(kind):
        return to_text(column)
    if (t.is_temporal(kind) and not t.is_duration(kind)) or t.is_decimal(kind):
        to_text(column)  # raises for a value whose text would not read back as it
    return column.cast(_cell_type(kind))
