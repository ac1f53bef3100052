"""Quick looks at many short texts, such as codes: by their bytes where they lie, without a look at each as a text."""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import count
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.statistics.distinct_numbers import DistinctNumbers
from foldstore.datastore.text_cells import present_texts, text_cells, text_places, text_widths

# Whole numbers that are made of bytes.
_KINDS: Final = tuple(map(np.dtype, ("<u1", "<u2", "<u4", "<u8")))
# So many rows are read at a time: what is made of them stays near the processor, and the steps are few.
_RUN: Final = 2**16
# Texts of so many bytes on average are searched as a whole.
_SHORT: Final = 16
# So few texts are sooner looked at one by one.
_FEW: Final = 256


def distinct_texts(texts: pa.ChunkedArray, doubtful: int = 0) -> pa.Array | None:
    """Return the different texts that are not null, in no order that means something.

    Where all have one small width they are told apart as whole numbers, some times faster.

    Parameters
    ----------
    texts : pyarrow.ChunkedArray
    doubtful : int
        Where more than half of so many first texts differ, all are not told apart: None is returned.

    Examples
    --------
    >>> distinct_texts(pa.chunked_array([["JFK", None, "EWR"], ["JFK"]])).to_pylist()
    ['JFK', 'EWR']
    >>> distinct_texts(pa.chunked_array([["JFK", "EWR", "LGA"]]), doubtful=100) is None
    True
    """
    cells = _cells_of_one_width(texts)
    if cells:
        return _distinct_cells(cells, doubtful)
    first = texts.slice(0, doubtful)
    if len(pc.unique(_plain(first)).drop_null()) > len(first) // 2:
        return None
    return pc.unique(_plain(texts)).drop_null()


def encode_texts(texts: pa.Array) -> pa.DictionaryArray:
    """Return texts as places in a dictionary; quicker than Arrow where they have one small width.

    Examples
    --------
    >>> encode_texts(pa.array(["JFK", "EWR", "JFK"])).indices.to_pylist()
    [0, 1, 0]
    """
    cells = None if texts.null_count else text_cells(texts)
    if cells is None:
        return texts.dictionary_encode()
    width = cells.shape[1]
    (read,) = _read_numbers([cells], len(cells))
    numbers = np.bitwise_and(read, read.dtype.type(2 ** (8 * width) - 1))
    encoded = pa.array(numbers).dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices, _as_texts(np.asarray(encoded.dictionary), width))


def has_text(texts: pa.Array, wanted: Sequence[str], widths: NDArray[Any] | None = None) -> bool:
    """Whether one of some texts is there; only those that are as long as one of them are compared.

    Bytes of short texts are searched for a # first: those that have one are looked for where there is one.

    Parameters
    ----------
    texts : pyarrow.Array
    wanted : sequence of str
    widths : ndarray, optional
        How many bytes each text has, if that was asked before.

    Examples
    --------
    >>> has_text(pa.array(["N1", "", None]), ["NA", "?"]), has_text(pa.array(["N1", "NA"]), ["NA", "?"])
    (False, True)
    """
    if len(texts) <= _FEW:
        return not _few(texts).isdisjoint(each.encode() for each in wanted)
    places = text_places(texts)
    if places is not None:
        offsets, data = places
        begin, end = int(offsets[0]), int(offsets[-1])
        if end - begin <= _SHORT * len(texts) and b"#" not in data[begin:end].tobytes():
            wanted = [each for each in wanted if "#" not in each]
        may_be = _as_long_as(text_widths(offsets) if widths is None else widths, wanted)
        if texts.null_count and may_be.any():
            may_be &= present_texts(texts)
        if not may_be.any():
            return False
        texts = texts.filter(pa.array(may_be))
    texts = _plain(texts)
    return bool(pc.any(pc.is_in(texts, value_set=pa.array(wanted, texts.type))).as_py())


def are_few_among(texts: pa.Array | pa.ChunkedArray, known: Sequence[str]) -> bool:
    """Whether texts are so few that it is quick to see that all are among known ones, and it is so.

    Examples
    --------
    >>> are_few_among(pa.array(["JFK", "EWR"]), ["EWR", "JFK", "LGA"]), are_few_among(pa.array(["JFC"]), ["JFK"])
    (True, False)
    """
    return len(texts) <= _FEW and _few(texts) <= {each.encode() for each in known}


def _few(texts: pa.Array | pa.ChunkedArray) -> frozenset[bytes]:
    """Return texts as bytes: what is no UTF-8 is somebody else's to say."""
    return frozenset(_plain(texts).cast(pa.large_binary()).to_pylist())


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


def _plain(texts: Any) -> Any:
    return texts if pa.types.is_large_string(texts.type) else texts.cast(pa.large_string())


def _cells_of_one_width(texts: pa.ChunkedArray) -> list[NDArray[np.uint8]]:
    """Return the bytes of the texts that are not null where all have one width of few bytes, else none."""
    cells: list[NDArray[np.uint8]] = []
    for chunk in (chunk for chunk in texts.chunks if len(chunk) > chunk.null_count):
        found = text_cells(chunk)
        if found is None or (cells and found.shape[1] != cells[0].shape[1]):
            return []
        cells.append(found)
    return cells


def _distinct_cells(cells: Sequence[NDArray[np.uint8]], doubtful: int) -> pa.Array | None:
    width = cells[0].shape[1]
    known: DistinctNumbers | None = None
    for numbers in _read_numbers(cells, _RUN):
        if known is None:
            known = DistinctNumbers(numbers.dtype, 8 * width, len(numbers))
            first = numbers[:doubtful]
            known.add(first)
            if len(known) > len(first) // 2:
                return None
        known.add(numbers)
    return None if known is None else _as_texts(known.found, width)


def _read_numbers(cells: Sequence[NDArray[np.uint8]], most: int) -> Iterator[NDArray[Any]]:
    """Yield rows of bytes as little-endian numbers, at most so many at a time, and all in the same memory.

    A number is read where a text begins: its upper bytes, where the text has fewer, are those of what follows it.
    """
    width, rows = cells[0].shape[1], min(most, sum(map(len, cells)))
    kind = next(each for each in _KINDS if width <= each.itemsize)
    room = np.empty(rows * width + kind.itemsize, np.uint8)
    held: list[NDArray[np.uint8]] = []
    free = rows
    for each in cells:
        for piece in (each[:free], *(each[start : start + rows] for start in range(free, len(each), rows))):
            held.append(piece)
            free -= len(piece)
            if not free:
                yield _join_cells(held, room, kind)
                held, free = [], rows
    if held:
        yield _join_cells(held, room, kind)


def _join_cells(cells: Sequence[NDArray[np.uint8]], room: NDArray[np.uint8], kind: np.dtype[Any]) -> NDArray[Any]:
    width, rows = cells[0].shape[1], sum(map(len, cells))
    np.concatenate(cells, out=room[: rows * width].reshape(rows, width))
    if width == kind.itemsize:
        return room[: rows * width].view(kind)
    return np.ndarray((rows,), kind, buffer=room, strides=(width,))


def _as_texts(numbers: NDArray[Any], width: int) -> pa.Array:
    """Return the texts that numbers were read from."""
    body = numbers.view(np.uint8).reshape(len(numbers), numbers.itemsize)[:, :width].tobytes()
    starts = np.arange(0, len(body) + 1, width, dtype=np.int64)
    return pa.Array.from_buffers(pa.large_string(), len(numbers), [None, pa.py_buffer(starts), pa.py_buffer(body)])
