"""JSON lines as a source: an object a line; types from the dataset, declared or sniffed; nothing changed in silence."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from foldstore.datastore.arrow_schema import check_names
from foldstore.datastore.ingest.batch_source import BatchSource
from foldstore.datastore.ingest.broken_rows import BrokenRow, described, read_policy
from foldstore.datastore.ingest.json_columns import JsonNumber, UnfitValueError, check_json_type, json_column
from foldstore.datastore.ingest.python_values import to_array
from foldstore.datastore.ingest.text_blocks import TextBlock, TextBlocks, last_line_end
from foldstore.datastore.ingest.type_name import read_types
from foldstore.errors import FoldstoreError, IngestError, column_not_found

JSON_OPTIONS: Final = ("types", "encoding", "on_broken_row", "quarantine_to")
# Python's values take some ten times the memory of their text.
_BLOCK_BYTES: Final = 4 << 20


def open_json_lines(path: Path, target: pa.Schema | None, **options: Any) -> BatchSource:
    """Open a file of JSON objects, one a line.

    Columns that neither ``types`` nor `target` names get the type of their values in the first 4 MB: whole
    numbers int64, other numbers double, objects structs, arrays lists; texts stay text. A name that a line lacks
    is null.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    target : pyarrow.Schema, optional
        Columns found here are read as these types.
    **options
        ``types``, ``encoding``, ``on_broken_row``, ``quarantine_to``, as for CSV.

    Raises
    ------
    IngestError
        When a line is no JSON object, names a column twice, or holds a value that does not fit its column.
    """
    file = _JsonFile(path, target, **options)
    schema = file.find_schema()
    return BatchSource(
        schema=schema,
        batches=file.batches(schema),
        description={
            "file": path.name,
            "format": "json lines",
            "encoding": file.blocks.encoding,
            "types": {field.name: str(field.type) for field in schema},
            **described(file.broken),
        },
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """A line and the object that it holds."""

    line: int
    text: bytes
    values: dict[str, Any]


class _JsonFile:
    """A file of objects; it is opened once to see its columns, and again to read them."""

    def __init__(self, path: Path, target: pa.Schema | None, **options: Any) -> None:
        self.path = path
        self.broken = read_policy(options.get("on_broken_row", "error"), options.get("quarantine_to"))
        self.blocks = TextBlocks(
            path, encoding=options.get("encoding"), block_bytes=_BLOCK_BYTES, last_end=last_line_end
        )
        self._declared = read_types(options.get("types"))
        known = {f.name: f.type for f in target} if target is not None else {}
        self._known = {n: k for n, k in (known | self._declared).items() if not pa.types.is_null(k)}
        self._decode = _decoder(exact=any(_has_decimal(kind) for kind in self._known.values()))

    def find_schema(self) -> pa.Schema:
        """Return the columns: known types, and what the first block says of the others."""
        rows: list[_Row] = []
        for block in self.blocks:
            rows = list(self._rows(block, counted=False))
            if rows:
                break
        names = list(dict.fromkeys(name for row in rows for name in row.values))
        if not names:
            raise IngestError(
                f"{self.path.name!r} is empty.", hint="Each line holds a JSON object.", path=str(self.path)
            )
        check_names(names)
        for name in self._declared:
            if name not in names:
                raise column_not_found(name, names, where=repr(self.path.name))
        for name in names:
            if name in self._known:
                check_json_type(self.path, name, self._known[name])
        fields = [pa.field(name, self._known.get(name) or self._sniff(name, rows)) for name in names]
        return pa.schema(fields)

    def batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the rows, block by block."""
        names = frozenset(schema.names)
        for block in self.blocks:
            rows = [row for row in self._rows(block) if self._names_known(row, names)]
            try:
                batch = _to_batch(rows, schema)
            except UnfitValueError:
                # One by one: the whole says that a value does not fit, not which.
                rows = [row for row in rows if self._fits(row, schema)]
                batch = _to_batch(rows, schema)
            yield batch

    def _rows(self, block: TextBlock, *, counted: bool = True) -> Iterator[_Row]:
        for number, text in enumerate(block.text.split(b"\n"), block.line):
            if not text.strip():
                continue
            try:
                yield _Row(number, text, self._decode(text))
            except UnfitValueError as error:
                if counted or not self.broken.set_aside:
                    self._take(number, text, None, str(error))

    def _names_known(self, row: _Row, names: frozenset[str]) -> bool:
        if row.values.keys() <= names:
            return True
        new = next(name for name in row.values if name not in names)
        self._take(row.line, row.text, new[:80], "no line of the first 4 MB has this name, so it has no column")
        return False

    def _fits(self, row: _Row, schema: pa.Schema) -> bool:
        for field in schema:
            try:
                json_column([row.values.get(field.name)], field.type)
            except UnfitValueError as error:
                self._take(row.line, row.text, field.name, str(error))
                return False
        return True

    def _sniff(self, name: str, rows: Sequence[_Row]) -> pa.DataType:
        values = [_plain(row.values.get(name)) for row in rows]
        try:
            kind: pa.DataType = to_array(name, values, None).type
        except IngestError as error:
            return self._sniff_first(name, rows, error)
        return kind

    def _sniff_first(self, name: str, rows: Sequence[_Row], error: IngestError) -> pa.DataType:
        """Name the first line whose value does not go with those before it."""
        low, high = 1, len(rows)
        while low < high:  # the shortest beginning that has no common type
            middle = (low + high) // 2
            low, high = (middle + 1, high) if _common_type(name, rows[:middle]) is not None else (low, middle)
        before = _common_type(name, rows[: low - 1])
        if self.broken.set_aside and before is not None:
            return before
        row = rows[low - 1]
        self._take(row.line, row.text, name, _beside(row.values.get(name), before))
        raise error

    def _take(self, line: int, text: bytes, column: str | None, reason: str) -> None:
        shown = text.decode(errors="replace").rstrip("\r")
        self.broken.take(BrokenRow(file=self.path.name, line=line, column=column, reason=reason, text=shown))


def _common_type(name: str, rows: Sequence[_Row]) -> pa.DataType | None:
    try:
        return to_array(name, [_plain(row.values.get(name)) for row in rows], None).type
    except FoldstoreError:
        return None


def _beside(value: Any, before: pa.DataType | None) -> str:
    shown = repr(_plain(value))[:80]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return f"{shown} does not fit 64 bits; declare the column as decimal128(38, 0)"
    if before is None or pa.types.is_null(before):
        return f"{shown} holds values that have no type in common"
    return f"{shown} is no {before}, as the lines before have"


def _plain(value: Any) -> Any:
    """Return a value with its numbers as floats, to see what type it has."""
    if isinstance(value, JsonNumber):
        return float(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {name: _plain(item) for name, item in value.items()} if isinstance(value, dict) else value


def _to_batch(rows: Sequence[_Row], schema: pa.Schema) -> pa.RecordBatch:
    columns = [json_column([row.values.get(field.name) for row in rows], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _has_decimal(kind: pa.DataType) -> bool:
    return "decimal" in str(kind)


def _decoder(*, exact: bool) -> Callable[[bytes], dict[str, Any]]:
    """Return a reader of lines.

    Parameters
    ----------
    exact : bool
        Keep the digits of numbers with a point, for decimals.
    """
    decoder = json.JSONDecoder(object_pairs_hook=_object, parse_float=JsonNumber if exact else None)

    def decode(text: bytes) -> dict[str, Any]:
        try:
            found = decoder.decode(text.decode().strip())
        except json.JSONDecodeError as error:
            raise UnfitValueError(f"character {error.pos + 1}: {error.msg}") from error
        except RecursionError as error:
            raise UnfitValueError("it is nested too deeply") from error
        except ValueError as error:  # an integer of thousands of digits
            raise UnfitValueError(str(error).partition(";")[0]) from error
        if not isinstance(found, dict):
            raise UnfitValueError(f"this is no JSON object, but {type(found).__name__}")
        return found

    return decode


def _object(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise UnfitValueError(f"the name {twice[:80]!r} occurs twice in one object")
    return found
