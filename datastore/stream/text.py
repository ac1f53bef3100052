"""Rows out of a pipe: JSON lines, CSV and Arrow, in the pieces in which they arrive."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn, Protocol

import pyarrow as pa
import pyarrow.csv

from foldstore.errors import IngestError

_PIECE_BYTES: Final = 1 << 20
_LONGEST_LINE: Final = 64 << 20
_NULLS: Final = ["", "NA"]


class Pipe(Protocol):
    """Bytes as they arrive."""

    def read1(self, size: int) -> bytes:
        """Return what has arrived, at least a byte and at most so many; nothing at the end."""

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer at the end."""


def read_json_lines(pipe: Pipe) -> Iterator[list[dict[str, Any]]]:
    """Yield the objects of the lines that have arrived, as soon as they have.

    Raises
    ------
    IngestError
        For a line that is no JSON object; those before it were yielded.
    """
    line = 0
    for piece in _whole_lines(pipe):
        records: list[dict[str, Any]] = []
        for text in piece.splitlines():
            line += 1
            if not text.strip():
                continue
            try:
                records.append(_to_object(text))
            except ValueError as error:
                if records:
                    yield records
                raise _broken(line, str(error)) from error
        if records:
            yield records


def read_csv_text(pipe: Pipe, known: Callable[[], pa.Schema | None]) -> Iterator[pa.Table]:
    """Yield the rows of the lines that have arrived; the first line names the columns.

    An unquoted cell that is empty or ``NA`` is null. Without columns of the stream, the first piece decides types.

    Parameters
    ----------
    known : callable
        Gives the columns that the stream has by now.

    Raises
    ------
    IngestError
        When a row has too few cells, too many, or one that is not of its column's type.
    """
    names: list[str] | None = None
    line = 1
    for piece in _whole_lines(pipe, quotes=True):
        head, body = (b"", piece) if names is not None else _cut_head(piece)
        if names is None:
            names = _read_names(head)
        if body.strip():
            yield _parse_csv(body, names, known(), line)
        line += piece.count(b"\n")


def read_arrow(pipe: Pipe) -> Iterator[pa.Table]:
    """Yield the record batches of an Arrow IPC stream.

    Raises
    ------
    IngestError
        When the bytes are none.
    """
    try:
        with pa.ipc.open_stream(pa.PythonFile(pipe, mode="r")) as reader:
            for batch in reader:
                yield pa.Table.from_batches([batch])
    except pa.ArrowException as error:
        raise IngestError(
            f"Standard input is no Arrow stream: {error}.",
            hint="Write the Arrow IPC stream format, not the file format.",
        ) from error


def _whole_lines(pipe: Pipe, *, quotes: bool = False) -> Iterator[bytes]:
    """Yield what has arrived up to the last line's end; with quotes, a line may go on inside them."""
    rest = b""
    while piece := pipe.read1(_PIECE_BYTES):
        rest += piece
        if len(rest) > _LONGEST_LINE:
            raise IngestError(f"A line is longer than {_LONGEST_LINE >> 20} MB.", hint="Is this the right format?")
        end = _last_end(rest, quotes=quotes)
        if end:
            yield rest[:end]
            rest = rest[end:]
    if rest.strip():
        yield rest + b"\n"


def _last_end(text: bytes, *, quotes: bool) -> int:
    end = text.rfind(b"\n") + 1
    while quotes and end and text.count(b'"', 0, end) % 2:
        end = text.rfind(b"\n", 0, end - 1) + 1
    return end


def _to_object(text: bytes) -> dict[str, Any]:
    found = json.loads(text, parse_constant=_refuse_constant)
    if not isinstance(found, dict):
        raise ValueError(f"{type(found).__name__!r} is not an object")  # noqa: TRY004  # becomes an error of ours above
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _cut_head(piece: bytes) -> tuple[bytes, bytes]:
    head, _, body = piece.partition(b"\n")
    return head, body


def _read_names(head: bytes) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(head.decode("utf-8-sig").rstrip("\r"))), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise _broken(1, str(error)) from error


def _parse_csv(piece: bytes, names: list[str], known: pa.Schema | None, line: int) -> pa.Table:
    types = {name: known.field(name).type for name in names if known is not None and name in known.names}
    # A column of no type yet takes one from the values.
    types = {name: kind for name, kind in types.items() if not pa.types.is_null(kind)}
    try:
        return pa.csv.read_csv(
            pa.py_buffer(piece),
            read_options=pa.csv.ReadOptions(
                column_names=names, use_threads=False, block_size=max(len(piece) + 1, 1024)
            ),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                column_types=types, null_values=_NULLS, strings_can_be_null=True, quoted_strings_can_be_null=False
            ),
        )
    except pa.ArrowException as error:
        raise _broken(line, str(error), behind=True) from error


def _broken(line: int, why: str, *, behind: bool = False) -> IngestError:
    where = f"at line {line} or behind it" if behind else f"line {line}"
    return IngestError(
        f"Standard input, {where}: {' '.join(why.split())[:300]}.",
        hint="The rows before were taken. Mend the line and send it again with those behind it.",
        code="broken-row",
        line=line,
    )
