"""How much memory compressed Arrow IPC and Parquet say they will take, before anything is decompressed.

A few kilobytes of zstd can hold gigabytes of zeros. Each compressed buffer of Arrow begins with its length; where the
buffers lie is in the metadata of the message that holds them (flatbuffers, ``Message.fbs`` and ``File.fbs`` of Arrow).
Arrow decompresses into that many bytes and no more, so what is said bounds what is taken.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from foldstore.datastore.ingest.arrow_file import UNREADABLE, unreadable

_MAGIC: Final = b"ARROW1"
_DICTIONARY, _BATCH = 2, 3


def declared_sizes(path: Path) -> Iterator[int]:
    """Yield the bytes that each message of an Arrow file, or each row group of a Parquet file, says it takes.

    Parameters
    ----------
    path : Path
        A file; of any other kind nothing is yielded.

    Raises
    ------
    IngestError
        When it is damaged.
    """
    try:
        if path.suffix == ".parquet":
            found = pq.read_metadata(path)
            yield from (found.row_group(place).total_byte_size for place in range(found.num_row_groups))
        elif path.suffix == ".arrow":
            with pa.OSFile(str(path)) as file:
                yield from (_size_of(message) for message in _messages(file))
    except (*UNREADABLE, struct.error, ValueError) as error:
        raise unreadable(path, error) from error


def _messages(file: pa.NativeFile) -> Iterator[pa.ipc.Message]:
    if file.read(len(_MAGIC)) == _MAGIC:
        for place in _blocks(file):
            file.seek(place)
            yield pa.ipc.read_message(file)
        return
    file.seek(0)
    while True:
        try:
            yield pa.ipc.read_message(file)
        except EOFError:
            return


def _blocks(file: pa.NativeFile) -> list[int]:
    """Return where the messages of a file lie, by its footer."""
    file.seek(file.size() - 10)
    (size,) = struct.unpack("<i", file.read(4))
    if not 0 < size < file.size():
        raise ValueError("the footer is longer than the file")
    file.seek(file.size() - 10 - size)
    footer = _Flat(file.read(size))
    return [
        place
        for number in (2, 3)
        for start, count in [footer.vector(footer.root(), number)]
        for place in (footer.long(start + 24 * each) for each in range(count))
    ]


def _size_of(message: pa.ipc.Message) -> int:
    flat = _Flat(message.metadata.to_pybytes())
    root = flat.root()
    kind, header = flat.byte(root, 1), flat.table(root, 2)
    if kind == _DICTIONARY and header is not None:
        header = flat.table(header, 1)
    body = message.body
    if kind not in (_DICTIONARY, _BATCH) or header is None or body is None:
        return 0
    if flat.table(header, 3) is None:  # not compressed
        return int(body.size)
    start, count = flat.vector(header, 2)
    lengths = [_length(body, *flat.longs(start + 16 * each)) for each in range(count)]
    return sum(lengths)


def _length(body: pa.Buffer, offset: int, size: int) -> int:
    if size < 8:
        return 0
    if not 0 <= offset <= body.size - size:
        raise ValueError("a buffer lies outside of its message")
    (declared,) = struct.unpack("<q", body.slice(offset, 8).to_pybytes())
    if declared < -1:
        raise ValueError("a buffer says that its length is negative")
    return max(size, int(declared))


class _Flat:
    """Reads tables of a flatbuffer; a place outside of it raises."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def root(self) -> int:
        return self._uint(0)

    def byte(self, table: int, number: int) -> int:
        place = self._field(table, number)
        return 0 if place is None else self._data[place]

    def table(self, table: int, number: int) -> int | None:
        place = self._field(table, number)
        return None if place is None else place + self._uint(place)

    def vector(self, table: int, number: int) -> tuple[int, int]:
        """Return where the members of a vector begin, and how many there are."""
        start = self.table(table, number)
        if start is None:
            return 0, 0
        count = self._uint(start)
        if count > len(self._data):
            raise ValueError("a list is longer than what it is in")
        return start + 4, count

    def long(self, place: int) -> int:
        return self.longs(place)[0]

    def longs(self, place: int) -> tuple[int, int]:
        first, second = struct.unpack_from("<qq", self._data, place)
        return first, second

    def _field(self, table: int, number: int) -> int | None:
        (back,) = struct.unpack_from("<i", self._data, table)
        names = table - back
        if names < 0:
            raise ValueError("a table lies outside of its message")
        (size,) = struct.unpack_from("<H", self._data, names)
        if 4 + 2 * number + 2 > size:
            return None
        (offset,) = struct.unpack_from("<H", self._data, names + 4 + 2 * number)
        return table + offset if offset else None

    def _uint(self, place: int) -> int:
        (found,) = struct.unpack_from("<I", self._data, place)
        return int(found)
