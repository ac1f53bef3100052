"""Quick looks at many short texts, such as codes: by their bytes where they lie, without a look at each as a text."""

from collections.abc import Sequence
from functools import cache
from itertools import count
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.statistics.distinct_numbers import DistinctNumbers

# Whole numbers that are made of bytes.
_KINDS: Final = tuple(map(np.dtype, ("<u1", "<u2", "<u4", "<u8")))
_WIDEST: Final = 8
# So many rows are read at a time: what is made of them stays near the processor.
_RUN: Final = 2**15
# Texts of so many bytes on average are searched as a whole.
_SHORT: Final = 16


def distinct_texts(texts: pa.ChunkedArray) -> pa.Array:
    """Return the different texts that are not null, in no order that means something.

    Where all have one small width they are told apart as whole numbers, some times faster.

    Examples
    --------
    >>> distinct_texts(pa.chunked_array([["JFK", None, "EWR"], ["JFK"]])).to_pylist()
    ['JFK', 'EWR']
    """
    found = _of_one_width(texts)
    if found is not None:
        return found
    return pc.unique(_plain(texts)).drop_null()


def encode_texts(texts: pa.Array) -> pa.DictionaryArray:
    """Return texts as places in a dictionary; quicker than Arrow where they have one small width.

    Examples
    --------
    >>> encode_texts(pa.array(["JFK", "EWR", "JFK"])).indices.to_pylist()
    [0, 1, 0]
    """
    cells = None if texts.null_count else _cells(texts)
    if cells is None:
        return texts.dictionary_encode()
    width = cells.shape[1]
    numbers = np.empty(len(cells), next(each for each in _KINDS if width <= each.itemsize))
    _read_numbers(cells, numbers)
    encoded = pa.array(numbers).dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices, _as_texts(np.asarray(encoded.dictionary), width))


def has_text(texts: pa.Array, wanted: Sequence[str]) -> bool:
    """Whether one of some texts is there; only those that are as long as one of them are compared.

    Bytes of short texts are searched for a # first: those that have one are looked for where there is one.

    Examples
    --------
    >>> has_text(pa.array(["N1", "", None]), ["NA", "?"]), has_text(pa.array(["N1", "NA"]), ["NA", "?"])
    (False, True)
    """
    places = _places(texts)
    if places is not None:
        offsets, data = places
        begin, end = int(offsets[0]), int(offsets[-1])
        if end - begin <= _SHORT * len(texts) and b"#" not in data[begin:end].tobytes():
            wanted = [each for each in wanted if "#" not in each]
        may_be = _as_long_as(np.diff(offsets), wanted)
        if texts.null_count and may_be.any():
            may_be &= _is_there(texts)
        if not may_be.any():
            return False
        texts = texts.filter(pa.array(may_be))
    texts = _plain(texts)
    return bool(pc.any(pc.is_in(texts, value_set=pa.array(wanted, texts.type))).as_py())


def longest_text(texts: pa.ChunkedArray) -> int:
    """Return a bound of the length of the texts in characters: the bytes of the longest."""
    return int(pc.max(pc.binary_length(texts)).as_py() or 0)


def _as_long_as(lengths: NDArray[Any], wanted: Sequence[str]) -> NDArray[np.bool_]:
    """Say which lengths in bytes some of the texts have."""
    known = _lengths(tuple(wanted))
    greatest = int(lengths.max())
    found = np.zeros(len(lengths), np.bool_)
    for begin in (each for each in known if each <= greatest and each - 1 not in known):
        end = next(each for each in count(begin) if each + 1 not in known)
        found |= (lengths <= end) & (lengths >= begin) if begin else lengths <= end
    return found


@cache
def _lengths(wanted: tuple[str, ...]) -> frozenset[int]:
    return frozenset(len(each.encode()) for each in wanted)


def _is_there(texts: pa.Array) -> NDArray[np.bool_]:
    """Say which texts are not null."""
    bits = texts.buffers()[0]
    if bits is None:
        return np.ones(len(texts), np.bool_)
    begin, end = texts.offset, texts.offset + len(texts)
    whole = np.frombuffer(bits, np.uint8)[begin // 8 : -(-end // 8)]
    return np.unpackbits(whole, bitorder="little")[begin % 8 :][: len(texts)].view(np.bool_)


def _plain(texts: Any) -> Any:
    return texts if pa.types.is_large_string(texts.type) else texts.cast(pa.large_string())


def _places(texts: pa.Array) -> tuple[NDArray[Any], NDArray[np.uint8]] | None:
    """Return where each text begins and the last ends, and the bytes; None where they do not lie in a row."""
    large = pa.types.is_large_string(texts.type)
    if not large and not pa.types.is_string(texts.type):
        return None
    _, bounds, data = texts.buffers()
    if bounds is None or data is None or not len(texts):
        return None
    offsets = np.frombuffer(bounds, np.int64 if large else np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return offsets, np.frombuffer(data, np.uint8)


def _of_one_width(texts: pa.ChunkedArray) -> pa.Array | None:
    """Return the different texts where all have one width of few bytes, and nulls none; else None.

    Runs of rows are read into the same memory: to get new memory takes longer than to read it.
    """
    known: DistinctNumbers | None = None
    room, width = np.empty(0, np.uint8), 0
    for chunk in (chunk for chunk in texts.chunks if len(chunk) > chunk.null_count):
        cells = _cells(chunk)
        if cells is None or width not in (0, cells.shape[1]):
            return None
        if known is None:
            width = cells.shape[1]
            room = np.empty(_RUN, next(each for each in _KINDS if width <= each.itemsize))
        for start in range(0, len(cells), _RUN):
            run = cells[start : start + _RUN]
            numbers = room[: len(run)]
            _read_numbers(run, numbers)
            if known is None:
                known = DistinctNumbers(numbers, _RUN)
            else:
                known.add(numbers)
    return None if known is None else _as_texts(known.found, width)


def _as_texts(numbers: NDArray[Any], width: int) -> pa.Array:
    """Return the texts that numbers were read from."""
    body = numbers.view(np.uint8).reshape(len(numbers), numbers.itemsize)[:, :width].tobytes()
    starts = np.arange(0, len(body) + 1, width, dtype=np.int64)
    return pa.Array.from_buffers(pa.large_string(), len(numbers), [None, pa.py_buffer(starts), pa.py_buffer(body)])


def _read_numbers(cells: NDArray[np.uint8], into: NDArray[Any]) -> None:
    """Read each row of bytes as a little-endian number, where it begins, with what follows it masked."""
    rows, width = cells.shape
    size = into.itemsize
    if width == size:
        into[:] = cells.reshape(-1).view(into.dtype)
        return
    mask = into.dtype.type((1 << 8 * width) - 1)
    begun = max(0, rows - size // width)  # behind the last ones there may be no bytes
    tail = np.zeros((rows - begun) * width + size, np.uint8)
    tail[: (rows - begun) * width] = cells[begun:].reshape(-1)
    for data, part in ((cells, into[:begun]), (tail, into[begun:])):
        read: NDArray[Any] = np.ndarray((len(part),), into.dtype, buffer=data, strides=(width,))
        np.bitwise_and(read, mask, out=part)


def _cells(texts: pa.Array) -> NDArray[np.uint8] | None:
    """Return a row of bytes for each text that is not null; None where widths differ, are great, or a null has some."""
    places = _places(texts)
    if places is None:
        return None
    offsets, data = places
    begin, end, held = int(offsets[0]), int(offsets[-1]), len(texts) - texts.null_count
    width, rest = divmod(end - begin, held)
    if rest or not 0 < width <= _WIDEST:
        return None
    widths = _is_there(texts).astype(offsets.dtype) * width if texts.null_count else width
    if not np.equal(np.diff(offsets), widths).all():
        return None
    return data[begin:end].reshape(held, width)
