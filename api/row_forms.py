"""The forms in which rows leave: JSON, JSON lines, CSV, an Arrow stream; written piece by piece."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import pyarrow as pa

from foldstore.datastore.export.arrow_form import ArrowForm
from foldstore.datastore.export.csv_form import CsvForm
from foldstore.datastore.export.form import Form
from foldstore.datastore.export.json_form import JsonForm

ARROW: Final = "application/vnd.apache.arrow.stream"
JSON: Final = "application/json"
CSV: Final = "text/csv"
LINES: Final = "application/x-ndjson"
MEDIA: Final = (JSON, ARROW, CSV, LINES)
_FORMS: Final[Mapping[str, Form]] = {
    JSON: JsonForm(),
    LINES: JsonForm(),
    ARROW: ArrowForm(stream=True, compression=None),
    CSV: CsvForm(),
}
Piece: TypeAlias = bytes | memoryview
_CHUNK_ROWS: Final = 65_536
_LARGE: Final = 1 << 16
_MOST_JSON_ROWS: Final = 100_000
_JSON_ROWS: Final = 1_000


def write_rows(
    media: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], *, limit: int | None
) -> Iterator[Piece]:
    """Yield rows in a form, in pieces; one JSON document is one piece.

    Parameters
    ----------
    media : str
        One of `MEDIA`.
    schema : pyarrow.Schema
        The columns.
    batches : iterable of pyarrow.RecordBatch
        The rows.
    limit : int or None
        How many rows at most; one JSON document has 1,000 unless given, and never more than 100,000.

    Raises
    ------
    UsageError
        When the form cannot hold the columns.
    """
    form = _FORMS[media]
    form.check(schema)
    if media == JSON:
        yield _document(form, schema, batches, min(_JSON_ROWS if limit is None else limit, _MOST_JSON_ROWS))
    else:
        yield from _stream(form, schema, batches if limit is None else _first_rows(batches, limit))


def _document(form: Form, schema: pa.Schema, batches: Iterable[pa.RecordBatch], limit: int) -> bytes:
    table = pa.Table.from_batches(_first_rows(batches, limit + 1), schema)
    lines = b"".join(_stream(form, schema, table.slice(0, limit).to_batches())).splitlines()
    columns = json.dumps([{"name": field.name, "type": str(field.type)} for field in schema], ensure_ascii=False)
    truncated = b"true" if table.num_rows > limit else b"false"
    return b'{"columns":%b,"rows":[%b],"truncated":%b}' % (columns.encode(), b",".join(lines), truncated)


def _first_rows(batches: Iterable[pa.RecordBatch], limit: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if batch.num_rows >= limit:
            yield batch.slice(0, limit)
            return
        limit -= batch.num_rows
        yield batch


def _stream(form: Form, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[Piece]:
    sink = _Sink(lasting=isinstance(form, ArrowForm))
    writer = form.open(sink, schema)
    for batch in batches:
        for start in range(0, batch.num_rows, _CHUNK_ROWS):
            writer.write(batch.slice(start, _CHUNK_ROWS))
            yield from sink.taken()
    writer.finish()
    yield from sink.taken()


class _Sink:
    """A file whose bytes are taken away as they come.

    Large buffers that are `lasting` are passed on as they are, mapped ones too. Those of Arrow's writer are the columns
    themselves; that of CSV writes each block over the one before, so its blocks are copied.
    """

    def __init__(self, *, lasting: bool) -> None:
        self._lasting = lasting
        self._parts: list[Piece] = []
        self._size = 0
        self.closed = False

    def write(self, data: Any) -> int:
        part = memoryview(data) if self._lasting and len(data) >= _LARGE else bytes(data)
        self._parts.append(part)
        self._size += len(part)
        return len(part)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """Do nothing: the bytes are there."""

    def close(self) -> None:
        self.closed = True

    def taken(self) -> Iterator[Piece]:
        """Give what came: large parts one by one, small ones together."""
        small: list[Piece] = []
        for part in self._parts:
            if isinstance(part, memoryview):
                if small:
                    yield b"".join(small)
                    small = []
                yield part
            else:
                small.append(part)
        self._parts = []
        if small:
            yield b"".join(small)
