"""Where the bytes of texts lie, and whether all texts have one width: asked of their offsets, not of each text."""

from functools import cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

# Texts of more bytes are not looked at as cells.
WIDEST: Final = 8
# So many rows are held against rising numbers that were written once; longer columns are looked at in runs of as many.
_RUN: Final = 2**16


def text_places(texts: pa.Array) -> tuple[NDArray[Any], NDArray[np.uint8]] | None:
    """Return where each text begins and the last ends, and the bytes; None where they do not lie in a row.

    Examples
    --------
    >>> offsets, data = text_places(pa.array(["JFK", "LGA"]))
    >>> offsets.tolist(), data[3:6].tobytes()
    ([0, 3, 6], b'LGA')
    """
    large = pa.types.is_large_string(texts.type)
    if not large and not pa.types.is_string(texts.type):
        return None
    _, bounds, data = texts.buffers()
    if bounds is None or data is None or not len(texts):
        return None
    offsets = np.frombuffer(bounds, np.int64 if large else np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return offsets, np.frombuffer(data, np.uint8)


def text_widths(offsets: NDArray[Any]) -> NDArray[Any]:
    """Return how many bytes lie between each offset and the next.

    Examples
    --------
    >>> text_widths(np.array([0, 3, 5])).tolist()
    [3, 2]
    """
    widths: NDArray[Any] = np.subtract(offsets[1:], offsets[:-1])
    return widths


def text_cells(texts: pa.Array) -> NDArray[np.uint8] | None:
    """Return a row of bytes for each text that is not null; None where widths differ, are great, or a null has some.

    Examples
    --------
    >>> text_cells(pa.array(["UA", None, "AA"])).tolist(), text_cells(pa.array(["UA", "AAL"]))
    ([[85, 65], [65, 65]], None)
    """
    places = text_places(texts)
    if places is None:
        return None
    offsets, data = places
    begin, end, held = int(offsets[0]), int(offsets[-1]), len(texts) - texts.null_count
    width, rest = divmod(end - begin, held) if held else (0, 0)
    if rest or not 0 < width <= WIDEST:
        return None
    if texts.null_count:
        is_even = np.equal(text_widths(offsets), present_texts(texts) * offsets.dtype.type(width)).all()
    else:
        is_even = is_one_width(offsets, width)
    return data[begin:end].reshape(held, width) if is_even else None


def is_one_width(offsets: NDArray[Any], width: int) -> bool:
    """Whether all texts between offsets have a width.

    Examples
    --------
    >>> is_one_width(np.array([0, 3, 6]), 3), is_one_width(np.array([0, 2, 6]), 3)
    (True, False)
    """
    count = len(offsets) - 1
    place, rest = divmod(int(offsets[0]), width)
    if not rest and 0 <= place <= _RUN - count:
        size = offsets.itemsize
        written = _rising(width, offsets.dtype, _RUN).slice(place * size, (count + 1) * size)
        return bool(pa.py_buffer(offsets).equals(written))
    return all(np.equal(text_widths(offsets[start : start + _RUN + 1]), width).all() for start in range(0, count, _RUN))


@cache
def _rising(width: int, kind: np.dtype[Any], rows: int) -> pa.Buffer:
    """Return the offsets of texts of one width."""
    return pa.py_buffer(np.arange(0, (rows + 1) * width, width, dtype=kind))


def present_texts(texts: pa.Array) -> NDArray[np.bool_]:
    """Say which texts are not null.

    Examples
    --------
    >>> present_texts(pa.array(["a", None, "b"]).slice(1)).tolist()
    [False, True]
    """
    bits = texts.buffers()[0]
    if bits is None:
        return np.ones(len(texts), np.bool_)
    begin, end = texts.offset, texts.offset + len(texts)
    whole = np.frombuffer(bits, np.uint8)[begin // 8 : -(-end // 8)]
    return np.unpackbits(whole, bitorder="little")[begin % 8 :][: len(texts)].view(np.bool_)
