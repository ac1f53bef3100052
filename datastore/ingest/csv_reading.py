"""Blocks of CSV rows as tables, by Arrow's reader; and which rows it is that cannot be read."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import csv

from foldstore.datastore.arrow_schema import MAX_COLUMNS, check_names
from foldstore.datastore.ingest.csv_text import CsvText, join_rows
from foldstore.datastore.plain_text import from_text
from foldstore.errors import IngestError, UsageError

_COLUMN: Final = re.compile(r"In CSV column #(\d+)")
_ROW: Final = re.compile(r"Row #(\d+): ")
# So few rows are read again for each that is broken; more are halved.
_FEW: Final = 256
# Pieces that Arrow parses side by side.
_PIECE_BYTES: Final = 2 << 20


@dataclass(frozen=True, slots=True)
class Broken:
    """A row of a block that cannot be read: where it stands, its column if it is one cell, and why."""

    start: int
    end: int
    column: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvReading:
    """How rows are read; `names` are those of their columns."""

    names: Sequence[str]
    text: CsvText
    null_tokens: Sequence[str]
    true_tokens: Sequence[str]
    false_tokens: Sequence[str]

    def read_header(self, header: bytes) -> list[str]:
        """Return the cells of the first row."""
        self._refuse_wide(header)
        generated = csv.read_csv(
            pa.py_buffer(header + b"\n"),
            read_options=csv.ReadOptions(autogenerate_column_names=True, block_size=len(header) + 2, use_threads=False),
            parse_options=self._parse_options(),
        ).column_names
        check_names(generated)  # too many would take seconds more
        cells = replace(self, names=generated, null_tokens=())
        table = cells.sniff(header + b"\n", dict.fromkeys(generated, pa.string()), skip_broken=False)
        return [str(column[0].as_py()) for column in table.columns]

    def _refuse_wide(self, header: bytes) -> None:
        """Refuse far too many columns before Arrow's reader counts them: it takes the square of their number."""
        cells = header.count(self.text.delimiter) + 1
        if cells > MAX_COLUMNS and self.text.quote is not None:
            quote = re.escape(self.text.quote)
            cells = re.sub(quote + b"[^" + quote + b"]*" + quote, b"", header).count(self.text.delimiter) + 1
        if cells > MAX_COLUMNS:
            check_names([str(number) for number in range(cells)])

    def read(self, block: bytes, types: Mapping[str, pa.DataType]) -> pa.Table:
        """Return the rows of a block as these types.

        Raises
        ------
        pyarrow.ArrowInvalid
            When a row cannot be read.
        """
        if not block:
            return pa.schema(list(types.items())).empty_table()
        read = {name: _as_read(kind) for name, kind in types.items()}
        try:
            table = self._read(block, read, piece=_PIECE_BYTES)
        except pa.ArrowInvalid as error:
            if "straddling" not in str(error):
                raise
            table = self._read(block, read, piece=len(block) + 1)  # a row is longer than a piece
        return self._converted(table, types)

    def sniff(self, block: bytes, types: Mapping[str, pa.DataType], *, skip_broken: bool) -> pa.Table:
        """Return the rows with the types that their values look like, those that are given apart."""
        if not block:
            return pa.schema([(name, types.get(name, pa.null())) for name in self.names]).empty_table()
        # Types are for `read` to check, which says where a value does not fit.
        wanted = {name: kind if kind == pa.string() else pa.string() for name, kind in types.items()}
        return self._read(block, wanted, piece=len(block) + 1, skip_broken=skip_broken)

    def check_types(self, path: Path, types: Mapping[str, pa.DataType], declared: frozenset[str]) -> None:
        """Refuse types that a cell of text cannot hold."""
        for name, kind in types.items():
            try:
                self._converted(self._one_null(name, _as_read(kind)), {name: kind})
            except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
                family = UsageError if name in declared else IngestError
                raise family(
                    f"{path.name!r}: column {name!r} is {kind}, which is not supported in CSV.",
                    hint="A cell of text cannot hold this type: append a table or JSON lines instead.",
                    path=str(path),
                    column=name,
                ) from error

    def _one_null(self, name: str, kind: pa.DataType) -> pa.Table:
        options = csv.ConvertOptions(column_types={"c": kind}, null_values=[""], strings_can_be_null=True)
        read = csv.ReadOptions(column_names=["c", "d"], use_threads=False)
        table = csv.read_csv(pa.py_buffer(b",\n"), read_options=read, convert_options=options)
        return table.select(["c"]).rename_columns([name])

    def find_broken(self, block: bytes, types: Mapping[str, pa.DataType], *, first_only: bool) -> list[Broken]:
        """Return the rows that cannot be read, in order, or the first one."""
        spans = self.text.rows(block, keep_empty=len(self.names) == 1)
        wrong = {place: reason for place, reason in self._count_cells(block) if place < len(spans)}
        found = [Broken(*spans[place], None, reason) for place, reason in wrong.items()]
        end = min(wrong, default=len(spans)) if first_only else len(spans)
        failing = self._failing(block, [spans[place] for place in range(end) if place not in wrong], types)
        found += list(islice(failing, 1)) if first_only else list(failing)
        found.sort(key=lambda each: each.start)
        return found[:1] if first_only else found

    def without(self, block: bytes, broken: Sequence[Broken]) -> bytes:
        """Return a block without its broken rows."""
        kept, place = [], 0
        for each in broken:
            kept.append(block[place : each.start])
            place = each.end
        return b"".join([*kept, block[place:]])

    def _failing(
        self, block: bytes, spans: Sequence[tuple[int, int]], types: Mapping[str, pa.DataType]
    ) -> Iterator[Broken]:
        """Halve what cannot be read until few rows are left, then take out the row that Arrow names; in order."""
        waiting: list[Sequence[tuple[int, int]] | Broken] = [spans]
        while waiting:
            part = waiting.pop()
            if isinstance(part, Broken):
                yield part
                continue
            try:
                self.read(join_rows(block, part), types)
            except pa.ArrowInvalid as error:
                named = _ROW.search(str(error)) if len(part) <= _FEW else None
                place = int(named.group(1)) - 1 if named else 0
                if named or len(part) == 1:
                    waiting += [part[place + 1 :], self._explained(part[place], error), part[:place]]
                else:
                    waiting += [part[len(part) // 2 :], part[: len(part) // 2]]

    def _explained(self, span: tuple[int, int], error: BaseException) -> Broken:
        said = " ".join(str(error).split())
        column = _COLUMN.search(said)
        name = self.names[int(column.group(1))] if column else None
        reason = said.partition(": ")[2] if column else said
        return Broken(*span, name, _ROW.sub("", reason, count=1)[:200])

    def _count_cells(self, block: bytes) -> list[tuple[int, str]]:
        """Return which rows have too few or too many cells."""
        found: list[tuple[int, str]] = []

        def handle(row: Any) -> str:
            said = f"Expected {row.expected_columns} columns, got {row.actual_columns}: {row.text}"
            found.append((row.number - 1, " ".join(said.split())[:200]))
            return "skip"

        texts = dict.fromkeys(self.names, pa.string())
        self._read(block, texts, piece=len(block) + 1, handler=handle)
        return found

    def _converted(self, table: pa.Table, types: Mapping[str, pa.DataType]) -> pa.Table:
        for place, name in enumerate(table.column_names):
            kind = types.get(name, table.schema.field(name).type)
            if table.schema.field(name).type != kind:
                try:
                    column = [from_text(chunk, kind) for chunk in table.column(name).chunks]
                except pa.ArrowInvalid as error:
                    raise pa.ArrowInvalid(f"In CSV column #{place}: {error}") from error
                table = table.set_column(place, name, pa.chunked_array(column, kind))
        return table

    def _read(
        self,
        block: bytes,
        types: Mapping[str, pa.DataType],
        *,
        piece: int,
        skip_broken: bool = False,
        handler: Any = None,
    ) -> pa.Table:
        if skip_broken:
            handler = _skip
        return csv.read_csv(
            pa.py_buffer(block),
            # One thread where rows are counted: only then does Arrow know their numbers.
            read_options=csv.ReadOptions(
                column_names=list(self.names), block_size=piece, use_threads=handler is None and piece < len(block)
            ),
            parse_options=self._parse_options(handler),
            convert_options=csv.ConvertOptions(
                column_types=dict(types),
                null_values=list(self.null_tokens),
                true_values=list(self.true_tokens) or None,
                false_values=list(self.false_tokens) or None,
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )

    def _parse_options(self, handler: Any = None) -> csv.ParseOptions:
        return csv.ParseOptions(
            delimiter=self.text.delimiter.decode(),
            quote_char=self.text.quote.decode() if self.text.quote else False,
            newlines_in_values=self.text.quote is not None,
            ignore_empty_lines=len(self.names) != 1,
            invalid_row_handler=handler,
        )


def _skip(_row: Any) -> str:
    return "skip"


def _as_read(kind: pa.DataType) -> pa.DataType:
    """Return what Arrow's reader reads a type as; it has no decimals of 256 bits and no half floats."""
    return pa.string() if pa.types.is_float16(kind) or pa.types.is_decimal256(kind) else kind
