"""What can be ingested, told apart by kind: Arrow speakers, tables of lists, batch iterators, files."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from foldstore.datastore.ingest.batch_source import BatchSource
from foldstore.datastore.ingest.file import open_path
from foldstore.datastore.ingest.python_values import to_array
from foldstore.datastore.ingest.soundness import checked
from foldstore.errors import FoldstoreError, IngestError, SchemaMismatchError, UsageError


def open_source(data: Any, target: pa.Schema | None = None, **options: Any) -> BatchSource:
    """Open anything that can be ingested.

    Parameters
    ----------
    data : object
        A path of a Parquet, CSV, JSON lines, Arrow or Feather file, of a folder of such, or a pattern such as
        ``data/*.parquet``; anything with ``__arrow_c_stream__`` or
        ``__arrow_c_array__`` (pyarrow, polars, pandas, DuckDB relations); a dict of lists; an iterable of
        record batches.
    target : pyarrow.Schema, optional
        The columns that the dataset has: untyped files are read as these types.
    **options
        Passed to the reader of the file's format; see `foldstore.datastore.ingest.csv_file`
        and `foldstore.datastore.ingest.json_lines`.

    Raises
    ------
    UsageError
        When the data is nothing that can be ingested.
    IngestError
        When a file is missing or cannot be read.
    """
    if isinstance(data, str | Path):
        return open_path(Path(data), target, **options)
    if options:
        raise UsageError(f"{', '.join(sorted(options))}: these say how to read a file, and this is not a path.")
    return checked(_open_object(data, target))


def key_table(data: Any, columns: pa.Schema, key: Sequence[str]) -> pa.Table:
    """Return the table of some keys: anything that can be ingested, or a list of dicts.

    Raises
    ------
    UsageError
        When it is no table.
    """
    kinds = pa.schema([columns.field(name) for name in key if name in columns.names])
    if isinstance(data, list | tuple) and all(isinstance(row, Mapping) for row in data):
        names = dict.fromkeys(str(name) for row in data for name in row)
        data = {name: [row.get(name) for row in data] for name in names}
    source = open_source(data, kinds)
    return pa.Table.from_batches(source.batches, source.schema)


def _open_object(data: Any, target: pa.Schema | None) -> BatchSource:
    if isinstance(data, Mapping):
        return _from_mapping(data, target)
    if isinstance(data, pa.RecordBatchReader):
        return _from_reader(data, data)  # as it is: through the C interface, an error would be a text
    if isinstance(data, pa.Table):
        return _from_reader(data, data.to_reader())
    if hasattr(data, "__arrow_c_stream__"):
        _refuse_objects(data)
        with _foreign(_name(data)):
            return _from_reader(data, pa.RecordBatchReader.from_stream(data))
    if hasattr(data, "__arrow_c_array__"):
        with _foreign(_name(data)):
            batch = pa.record_batch(data)
        return BatchSource(schema=batch.schema, batches=iter([batch]), num_rows=batch.num_rows)
    if isinstance(data, Iterable) and not isinstance(data, bytes | bytearray):
        return _from_batches(data)
    raise UsageError(
        f"{type(data).__name__!r} cannot be ingested.",
        hint="Give a path, an Arrow, polars or pandas table, a dict of lists, or an iterable of record batches.",
    )


def _refuse_objects(data: Any) -> None:
    """Refuse polars' columns of Python objects: it hands out their addresses as if they were binary values."""
    if _name(data) != "polars.DataFrame":
        return
    for name, kind in data.schema.items():
        if str(kind) == "Object":
            raise SchemaMismatchError(
                f"Column {name!r} holds Python objects, which are not kept.", hint="Cast it first.", column=name
            )


def _name(data: object) -> str:
    return f"{type(data).__module__.partition('.')[0]}.{type(data).__qualname__}"


def _from_mapping(data: Mapping[Any, Any], target: pa.Schema | None) -> BatchSource:
    known = {f.name: f.type for f in target} if target is not None else {}
    arrays = [to_array(str(name), values, known.get(str(name))) for name, values in data.items()]
    try:
        table = pa.Table.from_arrays(arrays, names=[str(name) for name in data])
        table.validate()
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise IngestError(f"The dict is not a table: {error}.", hint="Give lists of one length.") from error
    return BatchSource(
        schema=table.schema, batches=iter(table.to_batches()), description={"from": "dict"}, num_rows=table.num_rows
    )


def _from_reader(data: Any, reader: pa.RecordBatchReader) -> BatchSource:
    rows = getattr(data, "num_rows", None)
    return BatchSource(
        schema=reader.schema,
        batches=_guarded(reader, _name(data)),
        description={"from": _name(data)},
        num_rows=rows if isinstance(rows, int) else None,
    )


def _from_batches(data: Iterable[Any]) -> BatchSource:
    with _foreign(_name(data)):
        batches = iter(data)
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

    return BatchSource(schema=first.schema, batches=_guarded(chain(), _name(data)), description={"from": "batches"})


def _guarded(batches: Iterable[pa.RecordBatch], origin: str) -> Iterator[pa.RecordBatch]:
    """Pass batches on; whatever a foreign reader raises becomes an error of ours."""
    with _foreign(origin):
        yield from batches


@contextmanager
def _foreign(origin: str) -> Iterator[None]:
    try:
        yield
    except (FoldstoreError, MemoryError):
        raise
    except BaseException as error:
        # A panic of polars is no Exception, and interrupts are none either; those pass.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        said = " ".join(str(error).split())[:300]
        raise IngestError(
            f"The data could not be read from {origin!r}: {type(error).__name__}: {said}.",
            hint="Nothing was committed. The fault is in what makes the data.",
            origin=origin,
        ) from error
