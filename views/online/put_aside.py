"""Rows that wait on the disk: in a file without a name, which is gone with whoever wrote it."""

import mmap
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Self

import pyarrow as pa


class AsideFile:
    """Rows that are written once and mapped.

    Parameters
    ----------
    folder : pathlib.Path
        On which disk.

    Attributes
    ----------
    schema : pyarrow.Schema
        The columns.
    num_rows : int
        How many rows were written.
    size : int
        What they weigh, as it was told.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.schema = schema
        self.num_rows = 0
        self.size = 0
        self._file: Any = TemporaryFile(dir=folder)  # noqa: SIM115  # it is closed on exit
        self._writer: Any = pa.ipc.new_stream(pa.PythonFile(self._file, "w"), schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer = None
        self._file.close()

    def write(self, table: pa.Table, size: int = 0) -> None:
        """Put rows at the end."""
        if table.num_rows:
            self._writer.write_table(table)
            self.num_rows += table.num_rows
            self.size += size

    def read(self) -> pa.Table:
        """Return all rows, mapped; nothing can be written any more."""
        return pa.Table.from_batches(list(self.batches()), self.schema)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows as they were written, mapped; nothing can be written any more."""
        yield from pa.ipc.open_stream(self._map())

    def _map(self) -> pa.Buffer:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._file.flush()
        return pa.py_buffer(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ))
