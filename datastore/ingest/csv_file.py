"""CSV as a source: types from the dataset or sniffed, declared NA tokens, faults by file, line and column."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv as pc

from foldstore.datastore.ingest.batch_source import BatchSource
from foldstore.errors import IngestError, UsageError, column_not_found

# Quoted text is never null: "NA" in quotes is the two letters.
NULL_TOKENS: Final = ("", "NA")
# What the types of a new dataset are sniffed from; a later value that does not fit is an error that names it.
_BLOCK_BYTES: Final = 16 << 20
_ROW = re.compile(r"Row #(\d+)")
_COLUMN = re.compile(r"In CSV column #(\d+)")


def open_csv(
    path: Path,
    target: pa.Schema | None,
    *,
    types: Mapping[str, str] | None = None,
    null_tokens: Sequence[str] = NULL_TOKENS,
) -> BatchSource:
    """Open a CSV file with a header.

    Parameters
    ----------
    path : pathlib.Path
        The file, UTF-8, comma-separated.
    target : pyarrow.Schema, optional
        Columns found here are read as these types.
    types : mapping, optional
        Type by column (``{"zip": "string"}``), before `target` and sniffing.
    null_tokens : sequence of str
        Unquoted cells that mean null.

    Raises
    ------
    IngestError
        When a row has too few or too many cells, or a cell does not fit its column's type.
    """
    wanted = {f.name: f.type for f in target} if target is not None else {}
    wanted.update({name: _type_of(name, text) for name, text in (types or {}).items()})
    columns: list[str] = []
    try:
        reader = _open(path, wanted, null_tokens)
        columns = reader.schema.names
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise _broken(path, columns or list(wanted), error) from error
    for name in types or {}:
        if name not in columns:
            raise column_not_found(name, columns, where=repr(path.name))
    binary = [
        f.name
        for f in reader.schema
        if pa.types.is_binary(f.type) and not pa.types.is_binary(wanted.get(f.name, pa.null()))
    ]
    if binary:
        raise IngestError(
            f"{path.name!r}: column {binary[0]!r} is not UTF-8 text.", hint="Convert the file to UTF-8.", path=str(path)
        )
    shown = {f.name: str(f.type) for f in reader.schema}
    return BatchSource(
        schema=reader.schema,
        batches=_guarded(path, reader),
        description={"file": path.name, "format": "csv", "null_tokens": list(null_tokens), "types": shown},
    )


def _open(path: Path, types: Mapping[str, pa.DataType], null_tokens: Sequence[str]) -> pc.CSVStreamingReader:
    return pc.open_csv(
        path,
        # One thread: only then does the reader know which line a fault is on.
        read_options=pc.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
        parse_options=pc.ParseOptions(newlines_in_values=True),
        convert_options=pc.ConvertOptions(
            column_types=dict(types),
            null_values=list(null_tokens),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def _type_of(column: str, text: str) -> pa.DataType:
    try:
        return pa.type_for_alias(text)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is not a type (for column {column!r}).",
            hint="Types are named as in Arrow: int32, int64, double, string, bool, date32, timestamp[us, tz=UTC].",
        ) from error


def _guarded(path: Path, reader: pc.CSVStreamingReader) -> Iterator[pa.RecordBatch]:
    columns = reader.schema.names
    try:
        yield from reader
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise _broken(path, columns, error) from error


def _broken(path: Path, columns: Sequence[str], error: BaseException) -> IngestError:
    """Say which file, line and column a fault is in, as far as the reader told."""
    text = " ".join(str(error).split())
    row, column = _ROW.search(text), _COLUMN.search(text)
    position = int(column.group(1)) if column else None
    name = columns[position] if position is not None and position < len(columns) else None
    where = f", line {row.group(1)}" if row else ""
    where += f", column {name!r}" if name else ""
    reason = text.rpartition("Row #")[2].partition(": ")[2] if row else text
    facts: dict[str, Any] = {"path": str(path), "line": int(row.group(1)) if row else None, "column": name}
    return IngestError(
        f"{path.name!r}{where}: {reason[:200]}.",
        hint="Nothing was committed. Mend the row, or declare the column's type with types={...}.",
        code="broken-row",
        **facts,
    )
