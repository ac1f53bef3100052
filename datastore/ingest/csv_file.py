"""CSV as a source: types from the dataset, declared or sniffed; faults by file, line and column."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.arrow_schema import check_names
from foldstore.datastore.ingest.batch_source import BatchSource
from foldstore.datastore.ingest.broken_rows import BrokenRow, described, read_policy
from foldstore.datastore.ingest.csv_reading import Broken, CsvReading
from foldstore.datastore.ingest.csv_sniff import find_delimiter
from foldstore.datastore.ingest.csv_text import CsvText
from foldstore.datastore.ingest.text_blocks import TextBlock, TextBlocks, count_lines, refuse_zero_bytes
from foldstore.datastore.ingest.type_name import read_types
from foldstore.errors import IngestError, UsageError, column_not_found

# Quoted text is never null: "NA" in quotes is the two letters.
NULL_TOKENS: Final = ("", "NA")
CSV_OPTIONS: Final = (
    "types",
    "null_tokens",
    "true_tokens",
    "false_tokens",
    "delimiter",
    "quote",
    "encoding",
    "columns",
    "on_broken_row",
    "quarantine_to",
)
# What the types of a new dataset are sniffed from; a later value that does not fit is an error that names it.
BLOCK_BYTES: Final = 16 << 20
_WHOLE: Final = r"^\s*[+-]?\d+\s*$"
_LEADING_ZERO: Final = r"^\s*[+-]?0\d+\s*$"
# From 16 digits on, a double does not hold every whole number.
_LONG: Final = r"\d{16}"


def open_csv(path: Path, target: pa.Schema | None, **options: Any) -> BatchSource:
    """Open a CSV file.

    Columns that neither `types` nor `target` names get the type of their first 16 MB. Whole numbers that a
    number would not keep are text: those with leading zeros (``00123``), and those of a column that does not
    fit 64 bits. An empty line is a null in a file of one column, and nothing in others.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    target : pyarrow.Schema, optional
        Columns found here are read as these types.
    **options
        ``types``: type by column (``{"zip": "string"}``), before `target` and sniffing. ``null_tokens``:
        unquoted cells that mean null. ``true_tokens``, ``false_tokens``: cells of columns of booleans.
        ``delimiter``: sniffed among comma, semicolon, tab and bar unless given. ``quote``: ``'"'`` unless
        given, None for none. ``encoding``: by the byte order mark, else UTF-8, unless given. ``columns``: the
        names of a file without a header. ``on_broken_row``: ``"error"`` or ``"quarantine"``;
        ``quarantine_to``: a new file for the rows that are set aside.

    Raises
    ------
    IngestError
        When a row has too few or too many cells, a cell does not fit its column's type, or a quote is not closed.
    UsageError
        When an option is not what it should be.
    """
    file = _CsvFile(path, **options)
    declared = read_types(options.get("types"))
    for name in declared:
        if name not in file.names:
            raise column_not_found(name, file.names, where=repr(path.name))
    schema = file.find_types(_wanted(target) | declared, declared=frozenset(declared))
    return BatchSource(
        schema=schema,
        batches=file.batches(schema),
        description={
            "file": path.name,
            "format": "csv",
            "delimiter": file.text.delimiter.decode(),
            "quote": file.text.quote.decode() if file.text.quote else None,
            "encoding": file.blocks.encoding,
            "header": file.has_header,
            "null_tokens": file.null_tokens,
            "types": {field.name: str(field.type) for field in schema},
            **described(file.broken),
        },
    )


def _wanted(target: pa.Schema | None) -> dict[str, pa.DataType]:
    """Return the types to read a dataset's columns as; dictionaries are made afterwards, nulls take any."""
    wanted = {}
    for field in target if target is not None else ():
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if not pa.types.is_null(kind):
            wanted[field.name] = kind
    return wanted


class _CsvFile:
    """A file and how its text is cut; it is opened once to see its columns, and again to read them."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        self.null_tokens = _tokens("null_tokens", options.get("null_tokens", NULL_TOKENS))
        self._true = _tokens("true_tokens", options.get("true_tokens", ()))
        self._false = _tokens("false_tokens", options.get("false_tokens", ()))
        self.broken = read_policy(options.get("on_broken_row", "error"), options.get("quarantine_to"))
        quote = _one_byte("quote", options.get("quote", '"'), optional=True)
        delimiter = _one_byte("delimiter", options.get("delimiter"), optional=True)
        # Rows end where they end, whatever stands between cells, but for quotes in the middle of one.
        self.text = CsvText(delimiter or b",", quote)
        self.blocks = TextBlocks(
            path,
            encoding=options.get("encoding"),
            block_bytes=BLOCK_BYTES,
            last_end=self._last_end,
        )
        if delimiter is None:
            self.text = CsvText(find_delimiter(path, self._first().text, quote), quote)
        self._read_header(self._first(), options.get("columns"))

    def _last_end(self, text: bytes) -> int:
        return self.text.last_end(text)

    def _first(self) -> TextBlock:
        return next(iter(self.blocks), TextBlock(1, b"", is_whole=True))

    def _read_header(self, block: TextBlock, columns: object) -> None:
        self.has_header = columns is None
        first = block.text
        blank = len(first) - len(first.lstrip(b"\r\n"))
        self._refuse_open(block)
        header = first[blank : blank + self.text.first_end(first[blank:])] if self.has_header else b""
        if self.has_header and not header:
            raise IngestError(
                f"{self.path.name!r} is empty.",
                hint="A CSV file begins with a line of column names; columns=[...] names those of a file without.",
                path=str(self.path),
            )
        self._behind_header = blank + len(header) if self.has_header else 0
        if self.has_header:
            refuse_zero_bytes(self.path, header[:4096])
            self.names = self._reading([]).read_header(header)
        else:
            self.names = _column_names(columns)
        check_names(self.names)

    def find_types(self, wanted: Mapping[str, pa.DataType], *, declared: frozenset[str]) -> pa.Schema:
        """Return the columns: the wanted types, and what the first block says of the others."""
        known = {name: kind for name, kind in wanted.items() if name in self.names}
        line, first = next(self._data(), (1, b""))
        reading = self._reading(self.names)
        reading.check_types(self.path, known, declared)
        try:
            sniffed = reading.sniff(first, known, skip_broken=self.broken.set_aside)
        except pa.ArrowInvalid:
            self._set_aside(reading.find_broken(first, known, first_only=True), first, line)
            raise
        found = {name: known.get(name, sniffed.schema.field(name).type) for name in self.names}
        numbers = [n for n, k in found.items() if n not in known and (k == pa.int64() or k == pa.float64())]
        if numbers:
            texts = reading.sniff(first, dict.fromkeys(numbers, pa.string()), skip_broken=self.broken.set_aside)
            found |= {name: pa.string() for name in numbers if _is_code(texts.column(name))}
        return pa.schema(list(found.items()))

    def batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the rows, block by block."""
        reading = self._reading(self.names)
        types = {field.name: field.type for field in schema}
        for line, block in self._data():
            try:
                table = reading.read(block, types)
            except pa.ArrowInvalid:
                broken = reading.find_broken(block, types, first_only=not self.broken.set_aside)
                self._set_aside(broken, block, line)
                table = reading.read(reading.without(block, broken), types)
            yield from table.cast(schema).to_batches()

    def _data(self) -> Iterator[tuple[int, bytes]]:
        """Yield blocks behind the header, each with its line."""
        skip = self._behind_header
        for block in self.blocks:
            self._refuse_open(block)
            if len(block.text) > skip:
                yield block.line + count_lines(block.text[:skip]), block.text[skip:]
            skip = 0

    def _refuse_open(self, block: TextBlock) -> None:
        place = None if block.is_whole else self.text.open_quote(block.text)
        if place is not None:
            line = block.line + count_lines(block.text[:place])
            raise IngestError(
                f"{self.path.name!r}, line {line}: a quote opens here and is never closed.",
                hint='Nothing was committed. Close the quote; inside a quoted cell, write a quote as "".',
                code="broken-row",
                path=str(self.path),
                line=line,
                column=None,
            )

    def _reading(self, names: Sequence[str]) -> CsvReading:
        return CsvReading(
            names=names, text=self.text, null_tokens=self.null_tokens, true_tokens=self._true, false_tokens=self._false
        )

    def _set_aside(self, broken: Sequence[Broken], block: bytes, line: int) -> None:
        counted, at = 0, line
        for each in broken:
            at += count_lines(block[counted : each.start])
            counted = each.start
            text = block[each.start : each.end].decode(errors="replace").rstrip("\r\n")
            self.broken.take(BrokenRow(file=self.path.name, line=at, column=each.column, reason=each.reason, text=text))


def _is_code(column: pa.ChunkedArray) -> bool:
    found = column.drop_null()
    if pc.any(pc.match_substring_regex(found, _LEADING_ZERO)).as_py():
        return True
    # Arrow sniffs an integer that is too long as a double, which rounds it.
    return bool(
        pc.all(pc.match_substring_regex(found, _WHOLE)).as_py()
        and pc.any(pc.match_substring_regex(found, _LONG)).as_py()
        and not _fits(found)
    )


def _fits(column: pa.ChunkedArray) -> bool:
    try:
        column.cast(pa.int64())
    except pa.ArrowInvalid:
        return False
    return True


def _tokens(option: str, tokens: object) -> list[str]:
    if not isinstance(tokens, list | tuple | set | frozenset) or not all(isinstance(each, str) for each in tokens):
        raise UsageError(f"{option}= is a list of texts.", hint=f'Write {option}=["", "NA"].')
    return list(tokens)


def _one_byte(option: str, text: object, *, optional: bool) -> bytes | None:
    if optional and text is None:
        return None
    if isinstance(text, str) and len(text) == 1 and text.isascii() and text not in "\r\n\0":
        return text.encode()
    raise UsageError(f"{option}={text!r} is not one ASCII character.", hint=f'Write {option}=";", or "\\t" for a tab.')


def _column_names(columns: object) -> list[str]:
    if not isinstance(columns, list | tuple) or not columns or not all(isinstance(each, str) for each in columns):
        raise UsageError("columns= is a list of names.", hint='Write columns=["id", "name"] for a file without header.')
    return list(columns)
