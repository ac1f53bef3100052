"""CSV as a source: types from the dataset or sniffed, declared NA tokens, faults by file, line and column."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Never

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from foldstore.datastore.ingest.batch_source import BatchSource
from foldstore.datastore.ingest.csv_text import CsvText
from foldstore.errors import FoldstoreError, IngestError, UsageError, column_not_found

# Quoted text is never null: "NA" in quotes is the two letters.
NULL_TOKENS: Final = ("", "NA")
CSV_OPTIONS: Final = ("types", "null_tokens")
# What the types of a new dataset are sniffed from; a later value that does not fit is an error that names it.
_BLOCK_BYTES: Final = 16 << 20
_ROW = re.compile(r"Row #(\d+)")
_COLUMN = re.compile(r"In CSV column #(\d+)")
_WHOLE: Final = r"^\s*[+-]?\d+\s*$"
_LEADING_ZERO: Final = r"^\s*[+-]?0\d+\s*$"
# From 16 digits on, a double does not hold every whole number.
_LONG: Final = r"\d{16}"


def open_csv(
    path: Path,
    target: pa.Schema | None,
    *,
    types: Mapping[str, str] | None = None,
    null_tokens: Sequence[str] = NULL_TOKENS,
) -> BatchSource:
    """Open a CSV file with a header.

    Columns that neither `types` nor `target` names get the type of their first 16 MB. Whole numbers that a
    number would not keep are text: those with leading zeros (``00123``), and those of a column that does not
    fit 64 bits. An empty line is a null in a file of one column, and nothing in others.

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
        When a row has too few or too many cells, a cell does not fit its column's type, or a quote is not closed.
    UsageError
        When an option is not what it should be.
    """
    declared = _read_types(types)
    file = _CsvFile(path, _wanted(target) | declared, _read_tokens(null_tokens), declared=frozenset(declared))
    reader = file.open()
    names = reader.names
    for name in declared:
        if name not in names:
            raise column_not_found(name, names, where=repr(path.name))
    texts = file.find_codes(reader.schema)
    if texts or len(names) == 1:
        reader.close()
        file.types.update(dict.fromkeys(texts, pa.string()))
        reader = file.open(keep_empty_lines=len(names) == 1)
    _refuse_other_encodings(path, reader.schema, file.types)
    shown = {f.name: str(f.type) for f in reader.schema}
    return BatchSource(
        schema=reader.schema,
        batches=reader.batches(),
        description={"file": path.name, "format": "csv", "null_tokens": list(null_tokens), "types": shown},
    )


def _wanted(target: pa.Schema | None) -> dict[str, pa.DataType]:
    """Return the types to read a dataset's columns as: those that Arrow reads from text, cast afterwards."""
    wanted = {}
    for field in target if target is not None else ():
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if not pa.types.is_null(kind):
            wanted[field.name] = pa.float32() if pa.types.is_float16(kind) else kind
    return wanted


def _read_types(types: object) -> dict[str, pa.DataType]:
    if types is None:
        return {}
    if not isinstance(types, Mapping) or not all(isinstance(name, str) for name in types):
        raise UsageError("types= is a dict of type names by column.", hint='Write types={"zip": "string"}.')
    return {name: _type_of(name, text) for name, text in types.items()}


def _type_of(column: str, text: object) -> pa.DataType:
    try:
        return pa.type_for_alias(text)
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{text!r} is not a type (for column {column!r}).",
            hint="Types are named as in Arrow: int32, int64, double, string, bool, date32, timestamp[us].",
        ) from error


def _read_tokens(tokens: object) -> list[str]:
    if not isinstance(tokens, list | tuple | set | frozenset) or not all(isinstance(each, str) for each in tokens):
        raise UsageError("null_tokens= is a list of texts.", hint='Write null_tokens=["", "NA"].')
    return list(tokens)


class _CsvFile:
    """A file and how it is to be read; it is opened once to see its columns, and again to read them."""

    def __init__(
        self, path: Path, types: dict[str, pa.DataType], null_tokens: list[str], *, declared: frozenset[str]
    ) -> None:
        self.path = path
        self.types = types
        self.null_tokens = null_tokens
        self.declared = declared

    def open(self, *, keep_empty_lines: bool = False, only: Sequence[str] = ()) -> "_CsvReader":
        """Open the file; `only` are read as text, without the others."""
        text = CsvText(self.path)
        try:
            reader = csv.open_csv(
                pa.PythonFile(text, mode="r"),
                # One thread: only then does the reader know which line a fault is on.
                read_options=csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
                parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=not keep_empty_lines),
                convert_options=csv.ConvertOptions(
                    column_types=dict.fromkeys(only, pa.string()) or self.types,
                    include_columns=list(only),
                    null_values=self.null_tokens,
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
            return _CsvReader(self, text, reader)
        except (pa.ArrowException, UnicodeDecodeError) as error:
            _refuse(self, text, list(self.types), error)

    def find_codes(self, schema: pa.Schema) -> list[str]:
        """Return the columns that look like numbers and would lose digits as such."""
        t = pa.types
        numbers = [f.name for f in schema if f.name not in self.types and (t.is_int64(f.type) or t.is_float64(f.type))]
        if not numbers or len(set(schema.names)) < len(schema):
            return []
        reader = self.open(only=numbers)
        batch = next(reader.batches(), None)
        reader.close()
        return [name for name in numbers if batch is not None and _is_code(batch.column(name))]


class _CsvReader:
    """An open file; failures come out as errors that name the place."""

    def __init__(self, file: _CsvFile, text: CsvText, reader: csv.CSVStreamingReader) -> None:
        self._file = file
        self._text = text
        self._reader = reader
        self.schema: pa.Schema = reader.schema
        self.names: list[str] = self.schema.names

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows."""
        try:
            for batch in self._reader:
                self._check_quotes()
                yield batch
            self._check_quotes()
        except (pa.ArrowException, UnicodeDecodeError) as error:
            _refuse(self._file, self._text, self.names, error)
        finally:
            self.close()

    def close(self) -> None:
        """Close the file."""
        self._reader.close()
        self._text.close()

    def _check_quotes(self) -> None:
        if self._text.unclosed is not None:
            raise _open_quote(self._file.path, self._text.unclosed)


def _is_code(column: pa.StringArray) -> bool:
    found = column.drop_null()
    if pc.any(pc.match_substring_regex(found, _LEADING_ZERO)).as_py():
        return True
    # Arrow sniffs an integer that is too long as a double, which rounds it.
    return bool(
        pc.all(pc.match_substring_regex(found, _WHOLE)).as_py()
        and pc.any(pc.match_substring_regex(found, _LONG)).as_py()
        and not _fits(found)
    )


def _fits(column: pa.StringArray) -> bool:
    try:
        column.cast(pa.int64())
    except pa.ArrowInvalid:
        return False
    return True


def _refuse_other_encodings(path: Path, schema: pa.Schema, wanted: Mapping[str, pa.DataType]) -> None:
    for field in schema:
        if pa.types.is_binary(field.type) and not pa.types.is_binary(wanted.get(field.name, pa.null())):
            raise _not_utf8(path, f"column {field.name!r}")


def _not_utf8(path: Path, what: str) -> IngestError:
    return IngestError(f"{path.name!r}: {what} is not UTF-8 text.", hint="Convert the file to UTF-8.", path=str(path))


def _open_quote(path: Path, line: int) -> IngestError:
    return IngestError(
        f"{path.name!r}, line {line}: a quote opens here and is never closed.",
        hint='Nothing was committed. Close the quote; inside a quoted cell, write a quote as "".',
        code="broken-row",
        path=str(path),
        line=line,
        column=None,
    )


def _refuse(file: _CsvFile, text: CsvText, columns: Sequence[str], error: BaseException) -> Never:
    """Say which file, line and column a fault is in, as far as the reader told."""
    opened = text.opened
    text.close()
    said = " ".join(str(error).split())
    if opened is not None and (text.ended or "straddling" in said):
        raise _open_quote(file.path, opened) from error
    raise _explained(file, columns, said, error) from error


def _explained(file: _CsvFile, columns: Sequence[str], said: str, error: BaseException) -> FoldstoreError:
    path = file.path
    if isinstance(error, UnicodeDecodeError):
        return _not_utf8(path, "the header")
    if "Empty CSV" in said:
        return IngestError(
            f"{path.name!r} is empty.", hint="A CSV file begins with a line of column names.", path=str(path)
        )
    if isinstance(error, pa.ArrowNotImplementedError):
        kind = UsageError if file.declared else IngestError
        return kind(
            f"{path.name!r}: {said}.",
            hint="A cell of text cannot hold this type: append a table instead.",
            path=str(path),
        )
    row, column = _ROW.search(said), _COLUMN.search(said)
    if row is None and column is None:
        return IngestError(f"{path.name!r}: {said[:200]}.", hint="Check that this is a CSV file.", path=str(path))
    position = int(column.group(1)) if column else None
    name = columns[position] if position is not None and position < len(columns) else None
    where = (f", line {row.group(1)}" if row else "") + (f", column {name!r}" if name else "")
    reason = said.rpartition("Row #")[2].partition(": ")[2] if row else said
    return IngestError(
        f"{path.name!r}{where}: {reason[:200]}.",
        hint="Nothing was committed. Mend the row, or declare the column's type with types={...}.",
        code="broken-row",
        path=str(path),
        line=int(row.group(1)) if row else None,
        column=name,
    )
