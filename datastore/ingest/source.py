"""What can be ingested, told apart by kind: Arrow speakers, tables of lists, batch iterators, files."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from foldstore.datastore.ingest.batch_source import BatchSource
from foldstore.datastore.ingest.file import open_file
from foldstore.errors import IngestError, UsageError


def open_source(data: Any, target: pa.Schema | None = None, **options: Any) -> BatchSource:
    """Open anything that can be ingested.

    Parameters
    ----------
    data : object
        A path of a Parquet, CSV, Arrow or Feather file; anything with ``__arrow_c_stream__`` or
        ``__arrow_c_array__`` (pyarrow, polars, pandas, DuckDB relations); a dict of lists; an iterable of
        record batches.
    target : pyarrow.Schema, optional
        The columns that the dataset has: untyped files are read as these types.
    **options
        Passed to the reader of the file's format; see `foldstore.datastore.ingest.csv_file`.

    Raises
    ------
    UsageError
        When the data is nothing that can be ingested.
    IngestError
        When a file is missing or cannot be read.
    """
    if isinstance(data, str | Path):
        return open_file(Path(data), target, **options)
    if options:
        raise UsageError(f"{', '.join(sorted(options))}: these say how to read a file, and this is not a path.")
    if isinstance(data, Mapping):
        return _from_mapping(data, target)
    if hasattr(data, "__arrow_c_stream__"):
        return _from_reader(pa.RecordBatchReader.from_stream(data), _name(data), getattr(data, "num_rows", None))
    if hasattr(data, "__arrow_c_array__"):
        batch = pa.record_batch(data)
        return BatchSource(schema=batch.schema, batches=iter([batch]), num_rows=batch.num_rows)
    if isinstance(data, Iterable) and not isinstance(data, bytes | bytearray):
        return _from_batches(iter(data))
    raise UsageError(
        f"{type(data).__name__!r} cannot be ingested.",
        hint="Give a path, an Arrow, polars or pandas table, a dict of lists, or an iterable of record batches.",
    )


def _name(data: object) -> str:
    return f"{type(data).__module__.partition('.')[0]}.{type(data).__qualname__}"


def _from_mapping(data: Mapping[Any, Any], target: pa.Schema | None) -> BatchSource:
    known = {f.name: f.type for f in target} if target is not None else {}
    try:
        # Lists have no types of their own: where the dataset has the column, its type is meant.
        arrays = {str(name): _to_array(values, known.get(str(name))) for name, values in data.items()}
        table = pa.table(arrays)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise IngestError(f"The dict is not a table: {error}.", hint="Give a list of values per column.") from error
    return BatchSource(
        schema=table.schema, batches=iter(table.to_batches()), description={"from": "dict"}, num_rows=table.num_rows
    )


def _to_array(values: Any, wanted: pa.DataType | None) -> Any:
    if isinstance(values, pa.Array | pa.ChunkedArray) or wanted is None:
        return values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
    try:
        return pa.array(values, wanted)
    except (pa.ArrowException, TypeError, ValueError):
        return pa.array(values)  # judged as what it is


def _from_reader(reader: pa.RecordBatchReader, origin: str, num_rows: Any) -> BatchSource:
    rows = num_rows if isinstance(num_rows, int) else None
    return BatchSource(schema=reader.schema, batches=_guarded(reader), description={"from": origin}, num_rows=rows)


def _from_batches(batches: Iterator[Any]) -> BatchSource:
    first = next(batches, None)
    if first is None:
        raise UsageError("The iterator gave no record batch.", hint="An empty table says what its columns are.")
    if not isinstance(first, pa.RecordBatch):
        raise UsageError(
            f"The iterable holds {type(first).__name__!r}, not record batches.",
            hint="Give a dict of lists, or a table.",
        )

    def chain() -> Iterator[pa.RecordBatch]:
        yield first
        for batch in batches:
            if not isinstance(batch, pa.RecordBatch) or batch.schema != first.schema:
                raise IngestError("A later record batch has another schema than the first.", hint="Cast it before.")
            yield batch

    return BatchSource(schema=first.schema, batches=_guarded(chain()), description={"from": "batches"})


def _guarded(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Pass batches on; a foreign reader's failure becomes an error of ours."""
    try:
        yield from batches
    except pa.ArrowException as error:
        raise IngestError(f"The data could not be read: {error}.", hint="Nothing was committed.") from error
