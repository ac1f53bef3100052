"""What texts look like: their masks, and which of ten classes each belongs to.

Both depend on the text alone. A mask writes a run of capitals as A, of small letters as a, of digits
as 9, of white space as a blank, of characters outside ASCII as x, and of control characters as c;
other characters stand for themselves, a run of one as one. ``N12345`` has the mask ``A9``.
"""

import json
import re
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
_FEW: Final = 256

# Whole texts, in RE2; each follows the grammar that is named, without its rare corners.
ADDRESSES: Final = {
    "uuid": r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",  # RFC 9562
    "email": r"[A-Za-z0-9._%+'-]{1,64}@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}",  # RFC 5321
    "url": r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#]+[^\s]*",  # RFC 3986, with an authority
    "ipv4": r"((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])",
}
_MONTH: Final = r"(0?[1-9]|1[0-2])"
_DAY: Final = r"(0?[1-9]|[12]\d|3[01])"
_CLOCK: Final = r"([T ]\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?)? ?(Z|[+-]\d{2}(:?\d{2})?)?"


def _whole(name: str) -> str:
    return rf"\A(?:{ADDRESSES[name]})\z"


# Of each class: what its mask looks like, which is quick to tell, and what a text of it looks like.
# A mask of 32 runs is cut off: what tells an address may stand behind.
_FORMS: Final = {
    "uuid": ("", _whole("uuid")),
    "ipv4": (r"^9\.9\.9\.9$", _whole("ipv4")),
    "email": (r"@|^.{32}", _whole("email")),
    "url": (r":/|^.{32}", _whole("url")),
    "date": (
        r"^9[-/.]9[-/.]9",
        rf"^(\d{{4}}-{_MONTH}-{_DAY}|\d{{4}}/{_MONTH}/{_DAY}|\d{{1,2}}([-/.])\d{{1,2}}[-/.]\d{{4}}){_CLOCK}$",
    ),
    "number": (r"^[+-]?(9(\.9?)?|\.9)([aA][+-]?9)?$", r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$"),
}
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


def shape_texts(values: pa.LargeStringArray, counts: Ints, lengths: Ints) -> tuple[ValueCounts, tuple[int, ...]]:
    """Return the masks of different texts with their counts, and how many values each class has.

    `lengths` are those of the texts in bytes.

    Examples
    --------
    >>> masks, classes = shape_texts(
    ...     pa.array(["N12", "n1", "3.5"], pa.large_string()), np.array([5, 1, 2]), np.array([3, 2, 3])
    ... )
    >>> masks.top(2), classes[CLASSES.index("number")]
    ([('A9', 5), ('9.9', 2)], 2)
    """
    encoded = mask_texts(values, longest=int(lengths.max(initial=0))).dictionary_encode()
    masks, places = encoded.dictionary, encoded.indices.to_numpy()
    summed = np.zeros(len(masks), np.int64)
    np.add.at(summed, places, counts)
    order = pc.array_sort_indices(masks)
    classes = np.zeros(len(CLASSES), np.int64)
    np.add.at(classes, classify_texts(values, lengths, masks, places), counts)
    return ValueCounts.of(masks.take(order), summed[order.to_numpy()]), tuple(classes.tolist())


def mask_texts(values: pa.LargeStringArray, *, longest: int = MASK_BYTES + 1) -> pa.LargeStringArray:
    """Return the mask of each text, none of which has more bytes than `longest`.

    Examples
    --------
    >>> mask_texts(pa.array(["2013-01-05", "LaGuardia", "é"], pa.large_string())).to_pylist()
    ['9-9-9', 'AaAa', 'x']
    """
    heads = values if longest <= MASK_BYTES else pc.binary_slice(values.cast(pa.large_binary()), 0, MASK_BYTES)
    pieces = [_mask_piece(heads.slice(start, _PIECE)) for start in range(0, len(heads), _PIECE)]
    return pa.concat_arrays(pieces) if pieces else pa.array([], pa.large_string())


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


def classify_texts(
    values: pa.LargeStringArray, lengths: Ints, masks: pa.Array, places: NDArray[Any]
) -> NDArray[np.int64]:
    """Return the class of each text as its place in `CLASSES`; the first that fits, and other if none does.

    `masks` are the different masks, and `places` says which of them each text has.
    """
    other = CLASSES.index("other")
    found = np.full(len(values), other)
    by_mask = _Masks(masks, places)
    short = lengths <= _SHORT
    for name, (mask, form) in _FORMS.items():
        candidates = (lengths == _UUID_BYTES) if name == "uuid" else by_mask.match(mask)
        candidates = candidates & short & (found == other)
        if candidates.any():
            _assign(found, name, candidates, _matches(values, candidates, form))
    candidates = by_mask.match(_JSON_MASK) & (lengths <= _PARSED) & (found == other)
    if candidates.any():
        _assign(found, "json", candidates, [_is_json(text) for text in _chosen(values, candidates).to_pylist()])
    found[by_mask.match(_TEXT_MASK) & (found == other)] = CLASSES.index("free_text")
    found[by_mask.match(_BLANK_MASK) & (found == other)] = CLASSES.index("blank")
    return found


class _Masks:
    """The different masks of texts, asked by a pattern."""

    def __init__(self, masks: pa.Array, places: NDArray[Any]) -> None:
        self._masks, self._places = masks, places
        # To compile a pattern for Arrow takes longer than to ask Python about a few masks.
        self._few: list[str] | None = masks.to_pylist() if len(masks) <= _FEW else None

    def match(self, pattern: str) -> NDArray[np.bool_]:
        """Return which texts have a mask that the pattern finds something in."""
        if self._few is None:
            flags = _flags(pc.match_substring_regex(self._masks, pattern))
        else:
            find = re.compile(pattern).search
            flags = np.fromiter((find(mask) is not None for mask in self._few), bool, len(self._few))
        by_text: NDArray[np.bool_] = flags[self._places]
        return by_text


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
