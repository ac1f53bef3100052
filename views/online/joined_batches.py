"""Record batches put together into one that is mapped: column after column, a small part in memory at once.

The buffers are those that the batches would have had as one: for each column a bitmap of what is not null where
anything is, offsets from zero, values end to end.
"""

import mmap
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.errors import UsageError
from foldstore.views.online.put_aside import AsideFile

_ALIGNED: Final = 64
_BYTE: Final = 8
_LAST_OFFSET: Final = 2**31 - 1
_Place = tuple[int, int]  # where a buffer begins, and how long it is


def join_batches(aside: AsideFile, folder: Path, stack: ExitStack) -> pa.RecordBatch:
    """Put the batches of a file together; `stack` closes what lies below the answer.

    Raises
    ------
    UsageError
        When a column of text is too large for one array.
    """
    batches = list(aside.batches()) or [_nothing(aside.schema)]
    if len(batches) == 1:
        return batches[0]
    sink = _Buffers(stack.enter_context(TemporaryFile(dir=folder)))  # noqa: SIM115  # the stack is the context
    schema = aside.schema
    columns = [
        _write_column(sink, field.name, [batch.column(place) for batch in batches], field.type)
        for place, field in enumerate(schema)
    ]
    whole = sink.map()
    return pa.RecordBatch.from_arrays([column.of(whole, aside.num_rows) for column in columns], schema=schema)


def _nothing(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], kind) for kind in schema.types], schema=schema)


@dataclass(frozen=True, slots=True)
class _Column:
    """Where a column's buffers lie; of a type that is not told apart here, a stream with the whole array."""

    kind: pa.DataType
    nulls: int
    places: list[_Place | None] = field(default_factory=list)
    stream: _Place | None = None

    def of(self, whole: pa.Buffer, length: int) -> pa.Array:
        """Return the column over what was written."""
        if self.stream is not None:
            batch = pa.ipc.open_stream(whole.slice(*self.stream)).read_next_batch()
            return batch.column(0)
        buffers = [None if place is None else whole.slice(*place) for place in self.places]
        return pa.Array.from_buffers(self.kind, length, buffers, self.nulls)


class _Buffers:
    """Buffers end to end in a file."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._end = 0

    def write(self, parts: Iterator[Any]) -> _Place:
        """Write one buffer of several parts; return where it lies."""
        start = self._end
        for part in parts:
            self._file.write(part)
            self._end += memoryview(part).nbytes
        size = self._end - start
        padding = -self._end % _ALIGNED
        self._file.write(bytes(padding))
        self._end += padding
        return start, size

    def map(self) -> pa.Buffer:
        """Map everything that was written."""
        self._file.write(bytes(_ALIGNED))  # nothing cannot be mapped
        self._file.flush()
        return pa.py_buffer(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ))


def _write_column(sink: _Buffers, name: str, parts: Sequence[pa.Array], kind: pa.DataType) -> _Column:
    nulls = sum(part.null_count for part in parts)
    is_text, is_large = _is_text(kind)
    if not (is_text or pa.types.is_boolean(kind) or _width(kind)):
        return _Column(kind, nulls, stream=sink.write(iter([_as_stream(name, parts)])))
    valid = sink.write(_pack(_valid_bits(part) for part in parts)) if nulls else None
    if is_text:
        offsets = np.dtype(np.int64 if is_large else np.int32)
        ends = sink.write(_shift_offsets(name, parts, offsets))
        return _Column(kind, nulls, [valid, ends, sink.write(_text(part, offsets) for part in parts)])
    if pa.types.is_boolean(kind):
        values = sink.write(_pack(_bits(part.buffers()[1], part.offset, len(part)) for part in parts))
    else:
        values = sink.write(_fixed(part, _width(kind)) for part in parts)
    return _Column(kind, nulls, [valid, values])


def _is_text(kind: pa.DataType) -> tuple[bool, bool]:
    t = pa.types
    is_large = t.is_large_string(kind) or t.is_large_binary(kind)
    return is_large or t.is_string(kind) or t.is_binary(kind), is_large


def _width(kind: pa.DataType) -> int:
    """Return how many bytes a value takes, where all take the same; 0 for others."""
    t = pa.types
    if t.is_boolean(kind) or not (t.is_primitive(kind) or t.is_decimal(kind) or t.is_fixed_size_binary(kind)):
        return 0
    return int(kind.bit_width // _BYTE)


def _as_stream(name: str, parts: Sequence[pa.Array]) -> pa.Buffer:
    chunked = pa.chunked_array(parts)
    if pa.types.is_dictionary(chunked.type):
        chunked = chunked.unify_dictionaries()
    batch = pa.RecordBatch.from_arrays([pa.concat_arrays(chunked.chunks)], [name])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def _fixed(part: pa.Array, width: int) -> Any:
    data = memoryview(part.buffers()[1] or b"")
    return data[part.offset * width : (part.offset + len(part)) * width]


def _bits(buffer: pa.Buffer | None, offset: int, length: int) -> NDArray[np.uint8]:
    if buffer is None:
        return np.ones(length, dtype=np.uint8)
    first = offset // _BYTE
    held = np.frombuffer(buffer, dtype=np.uint8)[first : -(-(offset + length) // _BYTE)]
    return np.unpackbits(held, bitorder="little")[offset - first * _BYTE :][:length]


def _valid_bits(part: pa.Array) -> NDArray[np.uint8]:
    return _bits(part.buffers()[0] if part.null_count else None, part.offset, len(part))


def _pack(parts: Iterator[NDArray[np.uint8]]) -> Iterator[bytes]:
    """Pack bits of several parts end to end: what does not fill a byte waits for the next part."""
    left = np.empty(0, dtype=np.uint8)
    for part in parts:
        bits = np.concatenate([left, part])
        full = len(bits) // _BYTE * _BYTE
        left = bits[full:]
        yield np.packbits(bits[:full], bitorder="little").tobytes()
    yield np.packbits(left, bitorder="little").tobytes()


def _offsets(part: pa.Array, kind: "np.dtype[Any]") -> NDArray[Any]:
    return np.frombuffer(part.buffers()[1], dtype=kind, count=part.offset + len(part) + 1)[part.offset :]


def _shift_offsets(name: str, parts: Sequence[pa.Array], kind: "np.dtype[Any]") -> Iterator[bytes]:
    yield bytes(kind.itemsize)
    end = 0
    for part in parts:
        if len(part):
            own = _offsets(part, kind)
            shifted = own[1:].astype(np.int64) - int(own[0]) + end
            end = int(shifted[-1])
            if kind.itemsize < _BYTE and end > _LAST_OFFSET:
                raise too_much_text(name)
            yield shifted.astype(kind).tobytes()


def _text(part: pa.Array, kind: "np.dtype[Any]") -> Any:
    if not len(part):
        return b""
    own = _offsets(part, kind)
    return memoryview(part.buffers()[2] or b"")[int(own[0]) : int(own[-1])]


def too_much_text(name: str) -> UsageError:
    """Build the error for a feature whose text is too large for one array."""
    return UsageError(
        f"Feature {name!r} holds more than 2 GB of text.",
        hint="Store it as large_string, or give since= to keep less history.",
        column=name,
    )
