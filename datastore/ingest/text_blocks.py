"""Text files in blocks of whole records: decompressed, as UTF-8, each with the line on which it begins."""

import codecs
import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, NamedTuple, cast

import numpy as np
import pyarrow as pa

from foldstore.datastore.ingest.file_kind import is_packed
from foldstore.errors import IngestError, UsageError

# A record that is longer is more likely a quote that nobody closed; memory holds one.
MAX_RECORD_BYTES: Final = 64 << 20
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_HINT: Final = 'Declare the encoding, such as encoding="cp1252" or encoding="latin-1", or convert the file to UTF-8.'


class TextBlock(NamedTuple):
    """Some rows of a file: the line on which they begin, and whether the last of them ends."""

    line: int
    text: bytes
    is_whole: bool


class TextBlocks:
    """The blocks of a text file.

    Parameters
    ----------
    encoding : str, optional
        How the bytes are text; unless given, a byte order mark says it, and UTF-8 is meant without one.
    last_end : callable
        Given text that begins with a record, returns where its last whole record ends; 0 when there is none.

    Attributes
    ----------
    encoding : str
        The one that was declared or found.
    """

    def __init__(self, path: Path, *, encoding: str | None, block_bytes: int, last_end: Callable[[bytes], int]) -> None:
        self.path = path
        self._block_bytes = block_bytes
        self._last_end = last_end
        with self._reading(1), self._open() as file:
            head = file.read(4)
        mark, found = next(((mark, name) for mark, name in _BOMS if head.startswith(mark)), (b"", "utf-8"))
        self.encoding = _known(encoding) if encoding is not None else found
        self._skip = len(mark) if self.encoding == found else 0

    def __iter__(self) -> Iterator[TextBlock]:
        """Yield blocks of whole records; the last record of the last may lack its end."""
        carry, line = b"", 1
        for chunk in self._chunks():
            text = carry + chunk
            end = self._last_end(text)
            if end == 0 and len(text) > MAX_RECORD_BYTES:
                raise self._too_long(line)
            if end:
                yield TextBlock(line, self._checked(text[:end], line), is_whole=True)
                line += count_lines(text[:end])
            carry = text[end:]
        if carry:
            yield TextBlock(line, self._checked(carry, line), is_whole=False)

    def _chunks(self) -> Iterator[bytes]:
        line = 1
        decoder = None if self.encoding == "utf-8" else codecs.getincrementaldecoder(self.encoding)()
        with self._reading(line), self._open() as file:
            file.read(self._skip)
            while True:
                chunk = file.read(self._block_bytes)
                if decoder is None:
                    text = chunk
                else:
                    with self._reading(line):
                        text = decoder.decode(chunk, final=not chunk).encode()
                    line += count_lines(text)
                if text:
                    yield text
                if not chunk:
                    return

    def _checked(self, block: bytes, line: int) -> bytes:
        if not block.isascii() and not _is_utf8(block):
            try:
                block.decode()
            except UnicodeDecodeError as error:
                raise self._not_text(line + count_lines(block[: error.start])) from error
        return block

    def _open(self) -> IO[bytes]:
        return cast("IO[bytes]", gzip.open(self.path) if is_packed(self.path) else self.path.open("rb"))

    @contextmanager
    def _reading(self, line: int) -> Iterator[None]:
        try:
            yield
        except UnicodeError as error:
            raise self._not_text(line) from error
        except (OSError, EOFError, zlib.error) as error:
            raise IngestError(
                f"{self.path.name!r} cannot be read: {error}.",
                hint="Nothing was committed. Check that the file is whole.",
                path=str(self.path),
            ) from error

    def _not_text(self, line: int) -> IngestError:
        return IngestError(
            f"{self.path.name!r}, line {line}: this is not {self.encoding.upper()} text.",
            hint=f"Nothing was committed. {_HINT}",
            code="wrong-encoding",
            path=str(self.path),
            line=line,
            encoding=self.encoding,
        )

    def _too_long(self, line: int) -> IngestError:
        return IngestError(
            f"{self.path.name!r}, line {line}: a row that begins here does not end within {MAX_RECORD_BYTES >> 20} MB.",
            hint="Nothing was committed. Is a quote not closed, or is this one long line?",
            code="broken-row",
            path=str(self.path),
            line=line,
            column=None,
        )


def _known(encoding: object) -> str:
    try:
        "".encode(encoding)  # type: ignore[arg-type]  # refuses what is no text, and codecs of other things
        return codecs.lookup(str(encoding)).name
    except (LookupError, TypeError, ValueError) as error:
        raise UsageError(
            f"{encoding!r:.80} is no known encoding.", hint="Write utf-8, utf-16, cp1252, latin-1, shift_jis …"
        ) from error


def _is_utf8(block: bytes) -> bool:
    ends = pa.py_buffer(np.array([0, len(block)], np.int64))
    try:
        pa.LargeStringArray.from_buffers(1, ends, pa.py_buffer(block)).validate(full=True)
    except pa.ArrowException:
        return False
    return True


def count_lines(text: bytes) -> int:
    """Count the line ends of a text; one of carriage returns alone has those."""
    return text.count(b"\n") or text.count(b"\r")


def last_line_end(text: bytes) -> int:
    """Return where the last whole line ends."""
    return text.rfind(b"\n") + 1


def refuse_zero_bytes(path: Path, head: bytes) -> None:
    """Refuse a header with zero bytes: UTF-16 without a mark reads as that."""
    if b"\0" in head:
        raise IngestError(
            f"{path.name!r}, line 1: the first line holds zero bytes.",
            hint='Nothing was committed. If it is UTF-16, declare it: encoding="utf-16-le".',
            code="wrong-encoding",
            path=str(path),
            line=1,
        )
