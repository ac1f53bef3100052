"""What texts look like: their masks, and which of ten classes each belongs to.

Both depend on the text alone. A mask writes a run of capitals as A, of small letters as a, of digits
as 9, of white space as a blank, of characters outside ASCII as x, and of control characters as c;
other characters stand for themselves, a run of one as one. ``N12345`` has the mask ``A9``.
"""

import json
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.statistics.frequent import ValueCounts
from foldstore.datastore.statistics.grid import Ints

CLASSES: Final = ("uuid", "ipv4", "email", "url", "date", "number", "json", "free_text", "blank", "other")

# A mask is that of the first bytes, and no longer than this many runs: enough to tell forms apart.
MASK_BYTES: Final = 256
MASK_RUNS: Final = 32
# Longer texts are not addresses, and are not parsed.
_SHORT: Final = 4_096
_PARSED: Final = 65_536
_PIECE: Final = 16_384

_OCTET: Final = r"(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_MONTH: Final = r"(0?[1-9]|1[0-2])"
_DAY: Final = r"(0?[1-9]|[12]\d|3[01])"
_CLOCK: Final = r"([T ]\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?)? ?(Z|[+-]\d{2}(:?\d{2})?)?"
# Of each class: what its mask looks like ("" for any mask), and what a text of it looks like.
_FORMS: Final = {
    "uuid": ("", r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"),
    "ipv4": (r"^9\.9\.9\.9$", rf"^({_OCTET}\.){{3}}{_OCTET}$"),
    "email": ("", r"^[^\s@]+@[^\s@.]+(\.[^\s@.]+)+$"),
    "url": ("", r"^[A-Za-z][A-Za-z0-9+.-]*://\S+$"),
    "date": (
        r"^9[-/.]9[-/.]9",
        rf"^(\d{{4}}-{_MONTH}-{_DAY}|\d{{4}}/{_MONTH}/{_DAY}|\d{{1,2}}([-/.])\d{{1,2}}[-/.]\d{{4}}){_CLOCK}$",
    ),
    "number": (r"^[+-]?(9(\.9?)?|\.9)([aA][+-]?9)?$", r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$"),
}
# What the texts of a class contain: a search for it is far cheaper than the form.
_CONTAINED: Final = {"email": "@", "url": "://"}
_UUID_BYTES: Final = 36
_BLANK_MASK: Final = r"^ ?$"
_JSON_MASK: Final = r"^ ?[\[{]"
# Three words with a letter each.
_TEXT_MASK: Final = r"[aAx][^ ]* (.* )?[^ ]*[aAx][^ ]* (.* )?[^ ]*[aAx]"


def _symbols() -> NDArray[np.uint8]:
    table = np.arange(256, dtype=np.uint8)
    table[:32] = table[127] = ord("c")
    table[128:] = ord("x")
    for first, last, symbol in ("AZA", "aza", "099"):
        table[ord(first) : ord(last) + 1] = ord(symbol)
    table[[ord(space) for space in " \t\n\r\v\f"]] = ord(" ")
    return table


_SYMBOLS: Final = _symbols()


def shape_texts(values: pa.LargeStringArray, counts: Ints) -> tuple[ValueCounts, tuple[int, ...]]:
    """Return the masks of different texts with their counts, and how many values each class has.

    Examples
    --------
    >>> masks, classes = shape_texts(pa.array(["N12", "n1", "3.5"], pa.large_string()), np.array([5, 1, 2]))
    >>> masks.top(2), classes[CLASSES.index("number")]
    ([('A9', 5), ('9.9', 2)], 2)
    """
    encoded = mask_texts(values).dictionary_encode()
    masks, places = encoded.dictionary, encoded.indices.to_numpy()
    summed = np.zeros(len(masks), np.int64)
    np.add.at(summed, places, counts)
    order = pc.array_sort_indices(masks)
    classes = np.zeros(len(CLASSES), np.int64)
    np.add.at(classes, classify_texts(values, masks, places), counts)
    return ValueCounts.of(masks.take(order), summed[order.to_numpy()]), tuple(classes.tolist())


def mask_texts(values: pa.LargeStringArray) -> pa.LargeStringArray:
    """Return the mask of each text.

    Examples
    --------
    >>> mask_texts(pa.array(["2013-01-05", "LaGuardia", "é"], pa.large_string())).to_pylist()
    ['9-9-9', 'AaAa', 'x']
    """
    heads = pc.binary_slice(values.cast(pa.large_binary()), 0, MASK_BYTES) if _exceed(values, MASK_BYTES) else values
    pieces = [_mask_piece(heads.slice(start, _PIECE)) for start in range(0, len(heads), _PIECE)]
    return pa.concat_arrays(pieces) if pieces else pa.array([], pa.large_string())


def _exceed(values: pa.LargeStringArray, size: int) -> bool:
    longest = pc.max(pc.binary_length(values)).as_py()
    return longest is not None and longest > size


def _mask_piece(values: pa.Array) -> pa.LargeStringArray:
    _, bounds, data = values.buffers()
    offsets = np.frombuffer(bounds, np.int64)[values.offset : values.offset + len(values) + 1]
    begin, end = int(offsets[0]), int(offsets[-1])
    if begin == end:
        return pa.array([""] * len(values), pa.large_string())
    symbols = _SYMBOLS[np.frombuffer(data, np.uint8)[begin:end]]
    offsets = offsets - begin
    is_start = np.empty(len(symbols), bool)
    np.not_equal(symbols[1:], symbols[:-1], out=is_start[1:])
    is_start[offsets[:-1][np.diff(offsets) > 0]] = True
    starts = np.flatnonzero(is_start)
    ends = np.searchsorted(starts, offsets)
    runs = np.diff(ends)
    if runs.max() > MASK_RUNS:
        rank = np.arange(len(starts)) - np.repeat(ends[:-1], runs)
        starts = starts[rank < MASK_RUNS]
        ends = np.concatenate([[0], np.cumsum(np.minimum(runs, MASK_RUNS))])
    written = symbols[starts]
    buffers = [None, pa.py_buffer(ends.astype(np.int64)), pa.py_buffer(written)]
    return pa.LargeStringArray.from_buffers(len(values), *buffers[1:])


def classify_texts(values: pa.LargeStringArray, masks: pa.Array, places: NDArray[Any]) -> NDArray[np.int64]:
    """Return the class of each text as its place in `CLASSES`; the first that fits, and other if none does."""
    found = np.full(len(values), CLASSES.index("other"))
    lengths = pc.binary_length(values).to_numpy()
    for name, (mask, form) in _FORMS.items():
        candidates = _candidates(values, lengths, masks, places, (name, mask)) & (found == CLASSES.index("other"))
        if candidates.any():
            _assign(found, name, candidates, _matches(values, candidates, form))
    candidates = (found == CLASSES.index("other")) & (lengths <= _PARSED) & _by_mask(masks, places, _JSON_MASK)
    _assign(found, "json", candidates, [_is_json(text) for text in _chosen(values, candidates).to_pylist()])
    other = found == CLASSES.index("other")
    found[other & _by_mask(masks, places, _TEXT_MASK)] = CLASSES.index("free_text")
    found[other & _by_mask(masks, places, _BLANK_MASK)] = CLASSES.index("blank")
    return found


def _candidates(
    values: pa.Array, lengths: Ints, masks: pa.Array, places: NDArray[Any], form: tuple[str, str]
) -> NDArray[np.bool_]:
    name, mask = form
    if name == "uuid":
        return np.asarray(lengths == _UUID_BYTES)
    short = lengths <= _SHORT
    if mask:
        return np.asarray(short & _by_mask(masks, places, mask))
    return np.asarray(short & _flags(pc.match_substring(values, _CONTAINED[name])))


def _by_mask(masks: pa.Array, places: NDArray[Any], pattern: str) -> NDArray[np.bool_]:
    by_row: NDArray[np.bool_] = _flags(pc.match_substring_regex(masks, pattern))[places]
    return by_row


def _matches(values: pa.Array, candidates: NDArray[np.bool_], form: str) -> NDArray[np.bool_]:
    return _flags(pc.match_substring_regex(_chosen(values, candidates), form))


def _chosen(values: pa.Array, candidates: NDArray[np.bool_]) -> pa.Array:
    return values.take(pa.array(np.flatnonzero(candidates)))


def _assign(found: NDArray[np.int64], name: str, candidates: NDArray[np.bool_], fits: Any) -> None:
    found[np.flatnonzero(candidates)[np.asarray(fits, bool)]] = CLASSES.index(name)


def _flags(array: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(array.to_numpy(zero_copy_only=False), bool)


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_refuse, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> None:
    raise ValueError(constant)
