"""A column-group file: some columns of a fragment as an uncompressed Arrow IPC file.

Written once, then only ever mapped into memory, so a read copies nothing. Slots of float columns that
are null hold NaN: numpy can then use the mapped buffer as it is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.catalog.records import ObjectRecord
from foldstore.datastore.files import Files
from foldstore.datastore.zones import measure_zones
from foldstore.errors import CorruptObjectError

KIND = "arrow"
_UNCOMPRESSED = pa.ipc.IpcWriteOptions(compression=None, unify_dictionaries=False)


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A finished file in the staging folder, and what the catalog will say of it."""

    path: Path
    record: ObjectRecord


class ColumnGroupWriter:
    """Writes one column-group file batch by batch.

    Parameters
    ----------
    files : Files
        The file system.
    path : pathlib.Path
        A new file in a staging folder.
    schema : pyarrow.Schema
        The columns; no dictionary may change between batches (the IPC file format has one per column).
    """

    def __init__(self, files: Files, path: Path, schema: pa.Schema) -> None:
        self._file = files.create(path)
        self._writer = pa.ipc.new_file(self._file, schema, options=_UNCOMPRESSED)
        self.num_rows = 0

    @property
    def num_bytes(self) -> int:
        """Bytes written so far."""
        return self._file.num_bytes

    def write(self, batch: pa.RecordBatch) -> None:
        """Append a record batch."""
        self._writer.write_batch(fill_null_floats(batch))
        self.num_rows += batch.num_rows

    def finish(self) -> StagedFile:
        """Close the file, bring it to the disk, and read it back to see that it is whole."""
        try:
            self._writer.close()
            object_id = self._file.finish()
        finally:
            self._file.close()
        path, num_bytes = self._file.path, self._file.num_bytes
        batches = map_batches(path, num_bytes, object_id)
        if sum(batch.num_rows for batch in batches) != self.num_rows:
            raise CorruptObjectError(f"{object_id} reads back with other rows than were written.", object=object_id)
        record = ObjectRecord(
            id=object_id, kind=KIND, num_bytes=num_bytes, num_rows=self.num_rows, zones=measure_zones(batches)
        )
        return StagedFile(path, record)

    def abandon(self) -> None:
        """Close the file without a promise; its staging folder will be removed."""
        self._file.close()


def to_buffer(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> pa.Buffer:
    """Return the bytes that a `ColumnGroupWriter` writes of record batches."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema, options=_UNCOMPRESSED) as writer:
        for batch in batches:
            writer.write_batch(fill_null_floats(batch))
    return sink.getvalue()


def map_batches(path: Path, num_bytes: int, object_id: str) -> list[pa.RecordBatch]:
    """Map a column-group file into memory; the batches share its pages and hold no file descriptor.

    Raises
    ------
    CorruptObjectError
        When the file is missing, has another size, or is not Arrow.
    """
    try:
        found = path.stat().st_size
    except OSError as error:
        raise CorruptObjectError(
            f"Object {object_id} is missing from the store.", hint="Restore it from a backup.", object=object_id
        ) from error
    if found != num_bytes:  # mapping a file that was cut short would end the process on the first touch
        raise CorruptObjectError(
            f"Object {object_id} has {found} bytes, expected {num_bytes}.",
            hint="Restore it from a backup; `foldstore verify` lists every such file.",
            object=object_id,
        )
    try:
        mapped = pa.memory_map(str(path))
        buffer = mapped.read_buffer()
        mapped.close()  # the buffer keeps the mapping; closing frees the descriptor
    except OSError as error:
        raise _unreadable(object_id, error) from error
    return open_batches(buffer, object_id)


def open_batches(buffer: pa.Buffer, object_id: str) -> list[pa.RecordBatch]:
    """Open the bytes of a column-group file; the batches share them.

    Raises
    ------
    CorruptObjectError
        When they are not Arrow.
    """
    try:
        reader = pa.ipc.open_file(buffer)
        return [reader.get_batch(i) for i in range(reader.num_record_batches)]
    except Exception as error:  # damaged metadata can fail in any way: as Arrow, as text, as a number
        raise _unreadable(object_id, error) from error


def _unreadable(object_id: str, error: Exception) -> CorruptObjectError:
    return CorruptObjectError(
        f"Object {object_id} is not readable as Arrow: {error}.",
        hint="Restore it from a backup; `foldstore verify` lists every such file.",
        object=object_id,
    )


def fill_null_floats(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Put NaN under the nulls of float columns; values and nulls stay what they were."""
    columns = [_fill(column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _fill(array: pa.Array) -> pa.Array:
    if not (pa.types.is_float64(array.type) or pa.types.is_float32(array.type)) or array.null_count == 0:
        return array
    filled = pc.fill_null(array, pa.scalar(np.nan, array.type))
    validity = pc.is_valid(array).buffers()[1]
    return pa.Array.from_buffers(array.type, len(array), [validity, filled.buffers()[1]], array.null_count)


def concat_columns(groups: Sequence[list[pa.RecordBatch]]) -> list[pa.RecordBatch]:
    """Set the batches of column groups of the same rows side by side; nothing is copied.

    Raises
    ------
    CorruptObjectError
        When the groups are cut at different rows.
    """
    if len(groups) == 1:
        return groups[0]
    joined = []
    for parts in zip(*groups, strict=True):
        if len({part.num_rows for part in parts}) != 1:
            raise CorruptObjectError("Column groups of one fragment are cut at different rows.", hint="Restore it.")
        arrays = [column for part in parts for column in part.columns]
        fields = [field for part in parts for field in part.schema]
        joined.append(pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields)))
    return joined
