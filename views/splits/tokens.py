"""The tokens of `near/v1`: what two rows must have in common to be near duplicates.

A text gives its character trigrams, any other value one token, a null none. A token is 64 bits; the same text has the
same tokens on every machine. Golden vectors in the tests hold them still.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.memory_size import num_bytes
from foldstore.datastore.statistics.reading import Kind, kind_of, plain_array
from foldstore.views.splits.hashing import hash_keys
from foldstore.views.splits.sharing import NEAR
from foldstore.views.splits.xxh3 import Words

Rows: TypeAlias = NDArray[np.int64]

_GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)
_END: Final = "\0"
_SPACE: Final = 32
# What is white after NFKC; it makes a space of the others. Tab to carriage return, the separators of ASCII, the rest.
_WHITE: Final = np.array([*range(9, 14), *range(28, 32), 0x85, 0x1680, 0x2028, 0x2029], dtype=np.uint32)
_BLOCK_BYTES: Final = 1 << 21
_LETTER_BITS: Final = np.uint64(21)


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """The tokens of some rows, one after the other.

    Attributes
    ----------
    hashes : ndarray of uint64
        The tokens; one that a row has twice stands there twice.
    rows : ndarray of int64
        Which row each belongs to.
    count : int
        How many rows there are.
    """

    hashes: Words
    rows: Rows
    count: int


def mix(words: Words) -> Words:
    """Scramble 64 bits: one step of splitmix64 (Steele, Lea and Flood 2014).

    Examples
    --------
    >>> hex(int(mix(np.array([0], dtype=np.uint64))[0]))
    '0xe220a8397b1dcdaf'
    """
    mixed: Words = words + _GAMMA
    mixed ^= mixed >> np.uint64(30)
    mixed *= _MIX_1
    mixed ^= mixed >> np.uint64(27)
    mixed *= _MIX_2
    mixed ^= mixed >> np.uint64(31)
    return mixed


def read_tokens(columns: Sequence[pa.Array]) -> Tokens:
    """Return the tokens of rows, given as columns of one length.

    Texts are normalised to NFKC, case folded, runs of white space made one space, and taken with a space at both
    ends, as PostgreSQL's pg_trgm does, so that a text of one letter has a token. (Unicode never changes what these
    steps make of a character once it is assigned.)

    Raises
    ------
    UsageError
        For lists, structs and other types without a hash.

    Examples
    --------
    >>> read_tokens([pa.array(["Abc", None, " a  BC "])]).rows.tolist()
    [0, 0, 0, 2, 2, 2, 2]
    """
    count = len(columns[0])
    parts = [_column_tokens(column, place) for place, column in enumerate(columns)]
    hashes = np.concatenate([np.empty(0, np.uint64), *(hashes for hashes, _ in parts)])
    rows = np.concatenate([np.empty(0, np.int64), *(rows for _, rows in parts)])
    return Tokens(hashes, rows, count)


def iterate_blocks(columns: Sequence[pa.Array], rows: int) -> Iterator[list[pa.Array]]:
    """Yield some rows of all columns at a time: so many, or as many as have about two megabytes."""
    start = 0
    while start < len(columns[0]):
        count = rows
        block = [column.slice(start, count) for column in columns]
        while count > 1 and sum(map(num_bytes, block)) > _BLOCK_BYTES:
            count //= 2
            block = [column.slice(start, count) for column in columns]
        yield block
        start += count


def join_chunks(column: pa.ChunkedArray) -> pa.Array:
    """Return a column in one piece, texts with wide offsets: together they may be longer than narrow ones can say."""
    chunks = [plain_array(chunk) for chunk in column.chunks] or [plain_array(column)]
    if kind_of(column.type) is Kind.TEXT:
        chunks = [chunk.cast(pa.large_string()) for chunk in chunks]
    return pa.concat_arrays(chunks)


def _column_tokens(column: pa.Array, place: int) -> tuple[Words, Rows]:
    plain = plain_array(column)
    if kind_of(plain.type) is Kind.TEXT:
        packed, rows = _pack_trigrams(plain)
        with np.errstate(over="ignore"):
            return mix(packed + _GAMMA * np.uint64(place)), rows
    valid = plain.is_valid().to_numpy(zero_copy_only=False)
    return hash_keys([plain.filter(pa.array(valid))], f"{NEAR}/{place}"), np.flatnonzero(valid)


def _pack_trigrams(texts: pa.Array) -> tuple[Words, Rows]:
    """Return three letters in 63 bits, for each place in each text."""
    letters = _fold_white(_read_letters(texts))
    ends = letters == 0
    wide = letters.astype(np.uint64)
    packed = wide[:-2] | (wide[1:-1] << _LETTER_BITS)
    packed |= wide[2:] << np.uint64(2 * _LETTER_BITS)
    inside = ~(ends[:-2] | ends[1:-1] | ends[2:])
    return packed[inside], np.cumsum(ends[:-2], dtype=np.int64)[inside]


def _read_letters(texts: pa.Array) -> NDArray[np.uint8] | NDArray[np.uint32]:
    """Return the code points of all texts, normalised, with an end after each but the last, and spaces around ends.

    Joined, they are normalised at the speed of C; nothing composes or folds across a space.
    """
    values = [value or "" for value in texts.to_pylist()]
    text = f" {_END} ".join(values)
    if text.count(_END) != len(values) - 1:
        text = f" {_END} ".join(value.replace(_END, " ") for value in values)
    text = f" {text} "
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    text = text.casefold()
    if text.isascii():
        return np.frombuffer(text.encode(), dtype=np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint32, copy=False)


def _fold_white(
    letters: NDArray[np.uint8] | NDArray[np.uint32],
) -> NDArray[np.uint8] | NDArray[np.uint32]:
    # Of one byte, only controls are white beside the space itself.
    if letters.dtype == np.uint32 or ((letters >= 9) & (letters <= 31)).any():
        white = np.isin(letters, _WHITE)
        letters = np.where(white, letters.dtype.type(_SPACE), letters)
    is_space = letters == _SPACE
    kept = np.ones(len(letters), dtype=np.bool_)
    np.logical_and(is_space[1:], is_space[:-1], out=kept[1:])
    kept[1:] ^= True
    return letters[kept]
