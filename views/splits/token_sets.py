"""Sets of tokens side by side: how much two rows have in common, exactly, for many pairs at once.

Rows of about one size are sorted as the lines of a matrix: numpy sorts many short lines fifty times as fast as one
long array.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.views.splits.tokens import Rows, iterate_blocks, read_tokens
from foldstore.views.splits.xxh3 import Words

_BLOCK_ROWS: Final = 2_048
_PAIRS_AT_ONCE: Final = 1 << 15
_TOKENS_AT_ONCE: Final = 1 << 22
_PAD: Final = np.uint64(2**64 - 1)


class TokenSets:
    """The token sets of some rows; they are read when pairs are compared.

    Parameters
    ----------
    columns : sequence of Array
        The columns whose tokens are meant.
    rows : ndarray of int64
        Which rows there are.

    Examples
    --------
    >>> sets = TokenSets([pa.array(["abcd", "abcde", "xyz"])], np.arange(3))
    >>> sets.similarities(np.array([[0, 1], [0, 2], [1, 1]])).tolist()
    [0.5, 0.0, 1.0]
    """

    def __init__(self, columns: Sequence[pa.Array], rows: Rows) -> None:
        self._columns = columns
        self._rows = rows

    def similarities(self, pairs: Rows) -> NDArray[np.float64]:
        """Return the Jaccard similarity of pairs of rows, ``|A & B| / |A | B|``; rows have at least a token."""
        found = np.empty(len(pairs), dtype=np.float64)
        start, step = 0, _PAIRS_AT_ONCE
        while start < len(pairs):
            piece = pairs[start : start + step]
            used, places = np.unique(piece, return_inverse=True)
            tokens, sizes = self._read(used)
            places = places.reshape(-1, 2)
            work = int(sizes[places].sum())
            if work > _TOKENS_AT_ONCE and step > 1:  # long texts: fewer of them at a time
                step = max(1, step * _TOKENS_AT_ONCE // (2 * work))
                continue
            found[start : start + len(piece)] = _compare(tokens, sizes, places)
            start += len(piece)
        return found

    def _read(self, used: Rows) -> tuple[Words, Rows]:
        """Return the distinct tokens of rows, one row after the other, and how many each has."""
        chosen = [column.take(pa.array(self._rows[used])) for column in self._columns]
        parts, counts = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
        for block in iterate_blocks(chosen, _BLOCK_ROWS):
            tokens = read_tokens(block)
            # Several columns: their tokens stand one column after the other.
            order = np.argsort(tokens.rows, kind="stable") if len(block) > 1 else slice(None)
            found, sizes = _distinct(tokens.hashes[order], np.bincount(tokens.rows, minlength=tokens.count))
            parts.append(found)
            counts.append(sizes)
        return np.concatenate(parts), np.concatenate(counts)


def _distinct(tokens: Words, sizes: Rows) -> tuple[Words, Rows]:
    """Drop what a row has twice; rows come back in their order, their tokens ascending."""
    found = tokens.copy()
    kept = np.zeros(len(tokens), dtype=np.bool_)
    for rows, places, lines in _lines(tokens, sizes, np.arange(len(sizes))):
        new = np.ones(lines.shape, dtype=np.bool_)
        np.not_equal(lines[:, 1:], lines[:, :-1], out=new[:, 1:])
        inside = np.arange(lines.shape[1]) < sizes[rows][:, None]
        found[places] = lines[inside]
        kept[places] = new[inside]
    ends = np.concatenate([[0], np.cumsum(kept)])[np.concatenate([[0], np.cumsum(sizes)])]
    return found[kept], np.diff(ends)


def _compare(tokens: Words, sizes: Rows, pairs: Rows) -> NDArray[np.float64]:
    both = sizes[pairs].sum(axis=1)
    common = np.zeros(len(pairs), dtype=np.int64)
    order = pairs.reshape(-1)
    values = tokens[_places(sizes, order)]
    for rows, _, lines in _lines(values, both, np.arange(len(pairs))):
        equal = (lines[:, 1:] == lines[:, :-1]) & (lines[:, 1:] != _PAD)
        common[rows] = np.count_nonzero(equal, axis=1)
    return np.asarray(common / (both - common))


def _lines(values: Words, sizes: Rows, rows: Rows) -> Iterator[tuple[Rows, Rows, NDArray[np.uint64]]]:
    """Yield the values of rows of about one size as sorted lines, padded, with their rows and places."""
    classes = np.frexp(np.maximum(sizes, 1) - 0.5)[1]
    for size_class in np.unique(classes).tolist():
        chosen = rows[classes == size_class]
        places = _places(sizes, chosen)
        lines = np.full((len(chosen), int(sizes[chosen].max(initial=1))), _PAD, dtype=np.uint64)
        lines[np.arange(lines.shape[1]) < sizes[chosen][:, None]] = values[places]
        lines.sort(axis=1)
        yield chosen, places, lines


def _places(sizes: Rows, rows: Rows) -> Rows:
    """Return the places of the values of rows, where all values stand one row after the other."""
    ends = np.cumsum(sizes)
    wanted = sizes[rows]
    behind = np.cumsum(wanted)
    count = int(behind[-1]) if len(behind) else 0
    places: Rows = np.arange(count) + np.repeat((ends - sizes)[rows] - (behind - wanted), wanted)
    return places
