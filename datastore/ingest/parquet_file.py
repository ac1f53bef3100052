"""Parquet as a source: page by page, so that memory does not grow with a file's row groups."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from foldstore.datastore.fragment_writer import ROWS_PER_BATCH
from foldstore.datastore.ingest.arrow_file import check_schema, guarded
from foldstore.datastore.ingest.batch_source import BatchSource

# With a buffer, pages are read as they are needed; without, pyarrow reads whole column chunks. Reading 300 MB in
# one row group took 175 MB of memory in place of 490 MB, and no longer.
_BUFFER_BYTES: Final = 1 << 20


def open_parquet(path: Path) -> BatchSource:
    """Open a Parquet file."""
    with _open(path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows

    def batches() -> Iterator[pa.RecordBatch]:
        with _open(path) as file:
            yield from file.iter_batches(ROWS_PER_BATCH)

    return BatchSource(
        schema=check_schema(path, schema),
        batches=guarded(path, batches),
        description={"file": path.name, "format": "parquet"},
        num_rows=rows,
    )


def _open(path: Path) -> pq.ParquetFile:
    return pq.ParquetFile(str(path), pre_buffer=False, buffer_size=_BUFFER_BYTES)
