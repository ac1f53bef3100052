"""Arrow IPC, files and streams: every type, every value."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.exact_cast import is_binary, is_text
from foldstore.datastore.export.form import Writer, to_batch, unfit_value


class ArrowForm:
    """Arrow IPC: a file (Feather) or a stream, with Zstandard buffers unless told otherwise."""

    def __init__(self, *, stream: bool, compression: str | None = "zstd") -> None:
        self._stream = stream
        self._compression = compression

    def check(self, schema: pa.Schema) -> None:
        """Refuse nothing."""

    def open(self, file: Any, schema: pa.Schema) -> Writer:
        """Begin a file."""
        return _ArrowWriter(file, schema, stream=self._stream, compression=self._compression)


class _ArrowWriter:
    """Writes batches; in a file, dictionaries only grow: it may hold several, each an extension of the last."""

    def __init__(self, file: Any, schema: pa.Schema, *, stream: bool, compression: str | None) -> None:
        options = pa.ipc.IpcWriteOptions(compression=compression, emit_dictionary_deltas=True)
        make = pa.ipc.new_stream if stream else pa.ipc.new_file
        self._writer = make(file, schema, options=options)
        self._schema = schema
        self._grown = {f.name: _Dictionary(f.type) for f in schema if pa.types.is_dictionary(f.type)}

    def write(self, batch: pa.RecordBatch) -> None:
        """Write rows."""
        if not batch.num_rows:
            return
        columns = []
        for field, column in zip(self._schema, batch.columns, strict=True):
            try:
                columns.append(self._grown[field.name].encode(column) if field.name in self._grown else column)
            except pa.ArrowInvalid as error:
                raise unfit_value(field.name, field.type, "Arrow", error) from error
        self._writer.write_batch(to_batch(columns, self._schema))

    def finish(self) -> None:
        """Write the end."""
        self._writer.close()


class _Dictionary:
    """The values of a column so far; a batch's indices are written anew for them."""

    def __init__(self, kind: pa.DataType) -> None:
        self._kind = kind
        self._values = pa.array([], kind.value_type)

    def encode(self, column: pa.DictionaryArray) -> pa.DictionaryArray:
        """Return the same values with indices into the grown dictionary."""
        brought = column.dictionary
        known = pc.index_in(brought, self._values)
        new = brought.filter(known.is_null()).unique()
        if not len(new) and not len(self._values):
            # Arrow takes no values, and then some, for two dictionaries: only one with values may grow.
            new = _any_value(self._kind.value_type)
        if len(new):
            self._values = pa.concat_arrays([self._values, new])
            known = pc.index_in(brought, self._values)
        indices = known.take(column.indices).cast(self._kind.index_type)
        return pa.DictionaryArray.from_arrays(indices, self._values, ordered=self._kind.ordered)


def _any_value(kind: pa.DataType) -> pa.Array:
    return pa.array([b""], pa.binary()).cast(kind) if is_text(kind) or is_binary(kind) else pa.nulls(1, kind)
