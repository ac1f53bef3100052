"""A segment: the file that holds the rows of one future version, written so that a torn end can be told from damage.

A segment is a row of frames. The first is a header (canonical JSON), each further one holds the rows of one write as
an Arrow IPC stream. A frame is 40 bytes and its payload::

    8 bytes   magic "FSFRAME1"
    8 bytes   the frame's number in the file, from 0
    8 bytes   length of the payload
    8 bytes   XXH3-64 of the payload
    8 bytes   XXH3-64 of the 32 bytes before, with the stream's id as it is in the header (none in frame 0)

All numbers are little-endian. A frame is written only when the one before it is on the disk. So a broken frame with
nothing whole behind it is a write that was never acknowledged; with a whole frame behind it, it is damage.
"""

import json
import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import xxhash

from foldstore.datastore.canonical import canonical_json
from foldstore.datastore.files import Files, LogFile
from foldstore.errors import CorruptObjectError, StoreFormatError

FORMAT: Final = 1
# What the note beside the rows of a write says: when they came, and what the writer marked them with.
AT: Final = "foldstore:at"
MARK: Final = "foldstore:mark"
_MAGIC: Final = b"FSFRAME1"
_HEAD: Final = struct.Struct("<8sQQQQ")
_HINT: Final = "Restore the file from a backup. Nothing was removed."


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentHeader:
    """What a segment says of itself.

    Attributes
    ----------
    log : str
        A random id of the log, made with its folder: numbers of segments are unique within it.
    number : int
        Its number; numbers are never used again.
    position : int
        How many rows the log had taken before this segment.
    mark : str
        What the last write before this segment was marked with; empty when it was not.
    """

    log: str
    number: int
    position: int
    mark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A segment as it lies on the disk.

    Attributes
    ----------
    num_rows : int
        The rows of its whole frames.
    end : int
        Where its last whole frame ends.
    num_frames : int
        How many whole frames it has, the header included.
    began_at : str
        When its first rows came; empty when it has none, or an earlier release wrote them.
    mark : str
        What the last write of the log up to its end was marked with; empty when it was not.
    """

    path: Path
    header: SegmentHeader
    num_rows: int
    end: int
    num_frames: int
    began_at: str = ""
    mark: str = ""


def create_segment(files: Files, path: Path, header: SegmentHeader) -> tuple[LogFile, int]:
    """Create a segment with its header, durably, but for the name: the caller syncs the folder."""
    plain = {"format": FORMAT, "log": header.log, "segment": header.number, "position": header.position}
    if header.mark:
        plain["mark"] = header.mark
    frame = encode_frame(canonical_json(plain).encode(), 0, "")
    file = files.create_log(path)
    try:
        file.write(frame)
        file.sync()
    except BaseException:
        file.close()
        raise
    return file, len(frame)


def encode_rows(rows: pa.Table, number: int, log: str, note: Mapping[str, str] | None = None) -> bytes:
    """Return the frame of one write; a note is kept beside each of its batches."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        for batch in rows.to_batches():
            writer.write_batch(batch, custom_metadata=note or None)
    return encode_frame(sink.getvalue().to_pybytes(), number, log)


def encode_frame(payload: bytes, number: int, log: str) -> bytes:
    """Return a payload with what tells whether it is whole."""
    numbers = struct.pack("<8sQQQ", _MAGIC, number, len(payload), xxhash.xxh3_64_intdigest(payload))
    return numbers + struct.pack("<Q", _checksum(numbers, log)) + payload


def read_segment(path: Path, *, last: bool) -> Segment | None:
    """Look a segment through; None when its making was interrupted, before any row.

    Parameters
    ----------
    last : bool
        Whether it is the newest of its log: only there a broken end can be a write that was never acknowledged.

    Raises
    ------
    CorruptObjectError
        When rows that were acknowledged are damaged.
    StoreFormatError
        When a newer Foldstore wrote it.
    """
    header: SegmentHeader | None = None
    num_rows, frames, end = 0, 0, 0
    began_at, mark = "", ""
    data = _map(path)
    for payload, after in _whole_frames(data):
        if header is None:
            header = _read_header(path, bytes(payload))
            mark = header.mark
        else:
            more, note = _count(payload)
            mark = note.get(MARK, "")
            began_at = began_at if num_rows else note.get(AT, "")
            num_rows += more
        frames, end = frames + 1, after
    _check_rest(path, data, end, last=last)
    if header is None:
        return None
    return Segment(
        path=path, header=header, num_rows=num_rows, end=end, num_frames=frames, began_at=began_at, mark=mark
    )


def read_batches(segment: Segment) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a segment, one write at a time, up to where it is known to be whole.

    Raises
    ------
    CorruptObjectError
        When they are damaged.
    """
    data = _map(segment.path)[: segment.end]
    seen = 0
    for payload, _after in _whole_frames(data):
        if seen:
            yield from _open(payload)
        seen += 1
    if seen != segment.num_frames:
        raise _damaged(segment.path, seen)


def read_schema(segment: Segment) -> pa.Schema:
    """Return the columns of a segment that has rows; all its writes have the same."""
    frames = _whole_frames(_map(segment.path)[: segment.end])
    next(frames)
    return _open(next(frames)[0]).schema


def _map(path: Path) -> memoryview:
    if not path.stat().st_size:  # an empty file cannot be mapped
        return memoryview(b"")
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _open(payload: memoryview) -> pa.RecordBatchStreamReader:
    return pa.ipc.open_stream(pa.py_buffer(payload))


def _count(payload: memoryview) -> tuple[int, dict[str, str]]:
    """Return how many rows a write has, and the note beside them."""
    rows, note = 0, {}
    for each in _open(payload).iter_batches_with_custom_metadata():
        rows += each.batch.num_rows
        if each.custom_metadata is not None:
            note = {name.decode(): value.decode() for name, value in each.custom_metadata.items()}
    return rows, note


def _whole_frames(data: memoryview) -> Iterator[tuple[memoryview, int]]:
    """Yield each payload with where it ends, up to the first frame that is not whole."""
    start, number, log = 0, 0, ""
    while (found := _read_frame(data, start, number, log)) is not None:
        yield found
        if number == 0:
            log = str(json.loads(bytes(found[0])).get("log", ""))
        start, number = found[1], number + 1


def _read_frame(data: memoryview, start: int, number: int | None, log: str) -> tuple[memoryview, int] | None:
    if start + _HEAD.size > len(data):
        return None
    magic, found, length, payload_sum, head_sum = _HEAD.unpack_from(data, start)
    begin = start + _HEAD.size
    if magic != _MAGIC or head_sum != _checksum(data[start : begin - 8], log) or length > len(data) - begin:
        return None
    payload = data[begin : begin + length]
    if (number is not None and found != number) or xxhash.xxh3_64_intdigest(payload) != payload_sum:
        return None
    return payload, begin + length


def _checksum(numbers: bytes | memoryview, log: str) -> int:
    return xxhash.xxh3_64_intdigest(bytes(numbers) + log.encode())


def _read_header(path: Path, payload: bytes) -> SegmentHeader:
    plain = json.loads(payload)
    if plain.get("format") != FORMAT:
        raise StoreFormatError(
            f"{path.name} has another format than this Foldstore knows.",
            hint="Install a newer Foldstore.",
            path=str(path),
        )
    return SegmentHeader(
        log=plain["log"], number=plain["segment"], position=plain["position"], mark=plain.get("mark", "")
    )


def _check_rest(path: Path, data: memoryview, end: int, *, last: bool) -> None:
    """Refuse to take damage for a write that was cut off: what was acknowledged is not dropped in silence."""
    rest = bytes(data[end:])
    if not rest:
        return
    # The id of the log is unknown when the header itself is broken: any magic behind it is then enough.
    at = rest.find(_MAGIC, 1)
    while at >= 0:
        if end == 0 or _is_whole(data, end + at):
            raise _damaged(path, end)
        at = rest.find(_MAGIC, at + 1)
    if not last:
        raise _damaged(path, end)


def _is_whole(data: memoryview, start: int) -> bool:
    first = next(_whole_frames(data))[0]
    return _read_frame(data, start, None, str(json.loads(bytes(first))["log"])) is not None


def _damaged(path: Path, at: int) -> CorruptObjectError:
    return CorruptObjectError(
        f"Rows that a stream acknowledged are damaged: {path.name}, from byte {at}.",
        hint=_HINT,
        code="stream-damaged",
        path=str(path),
        at=at,
    )
