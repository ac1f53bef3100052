"""Arrow IPC as a source: files and streams, told apart by their first bytes, checked before any use."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa

from foldstore.datastore.ingest.batch_source import BatchSource
from foldstore.datastore.ingest.soundness import check_names_inside
from foldstore.errors import IngestError

# What pyarrow raises for bytes that are no Arrow, measured by flipping bits of files: names that are not UTF-8
# come out when they are looked at.
UNREADABLE: Final = (pa.ArrowException, OSError, EOFError, UnicodeDecodeError, OverflowError)


def open_arrow(path: Path, *, stream: bool) -> BatchSource:
    """Open an Arrow IPC file or stream.

    The bytes are read, never mapped: a file that somebody shortens meanwhile would end the process. Callers
    validate each batch before they use it.
    """
    read = _stream_batches if stream else _file_batches
    schema, batches = read(path)
    return BatchSource(
        schema=check_schema(path, schema),
        batches=guarded(path, batches),
        description={"file": path.name, "format": "arrow stream" if stream else "arrow"},
    )


def _file_batches(path: Path) -> tuple[pa.Schema, Callable[[], Iterator[pa.RecordBatch]]]:
    with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
        schema = reader.schema

    def batches() -> Iterator[pa.RecordBatch]:
        with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
            for index in range(reader.num_record_batches):
                yield reader.get_batch(index)

    return schema, batches


def _stream_batches(path: Path) -> tuple[pa.Schema, Callable[[], Iterator[pa.RecordBatch]]]:
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as reader:
        schema = reader.schema

    def batches() -> Iterator[pa.RecordBatch]:
        with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as reader:
            yield from reader

    return schema, batches


def check_schema(path: Path, schema: pa.Schema) -> pa.Schema:
    """Look at every name and type once: damaged ones are not text."""
    try:
        for field in schema:
            check_names_inside(field)
    except UnicodeDecodeError as error:
        raise unreadable(path, error) from error
    return schema


def guarded(path: Path, batches: Callable[[], Iterator[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """Yield batches; what fails below becomes an error of ours that names the file."""
    try:
        yield from batches()
    except UNREADABLE as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: BaseException) -> IngestError:
    """Build the error for a file that is damaged."""
    return IngestError(
        f"{str(path)!r} cannot be read: {' '.join(str(error).split())[:300].rstrip('.')}.",
        hint="Nothing was committed. Check that the file is whole and of the format that its ending says.",
        path=str(path),
    )
