"""Signatures of token sets: rows that have much in common have much of their signatures in common.

One-permutation MinHash: each token falls into one of 64 bins by its first bits, and a bin keeps its smallest token
(Broder 1997, "On the resemblance and containment of documents"; Li, Owen and Zhang 2012, "One Permutation Hashing").
An empty bin takes the content of another, which a fixed sequence chooses (Shrivastava 2017, "Optimal Densification for
Fast and Accurate Minwise Hashing"), or after 32 attempts that of the next full bin (Shrivastava and Li 2014). Of each
bin 8 bits are kept (Li and König 2010, "b-Bit Minwise Hashing"). Part of `near/v1`.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from foldstore.views.splits.tokens import Tokens, mix
from foldstore.views.splits.xxh3 import Words

Bins: TypeAlias = NDArray[np.uint8]

BINS: Final = 64
_BIN_BITS: Final = 6
_EMPTY: Final = np.uint32(0xFFFFFFFF)
_ATTEMPTS: Final = 32


@dataclass(frozen=True, slots=True, eq=False)
class Signatures:
    """What is kept of each row's tokens.

    Attributes
    ----------
    bins : ndarray of uint8, shape (rows, 64)
        The signature.
    full : ndarray of uint8
        How many bins had a token of their own; 0 for a row without tokens.
    contents : ndarray of uint64
        The sum of the row's tokens: equal tokens have equal sums.
    """

    bins: Bins
    full: NDArray[np.uint8]
    contents: Words


def sign(tokens: Tokens) -> Signatures:
    """Return the signatures of rows.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from foldstore.views.splits.tokens import read_tokens
    >>> signed = sign(read_tokens([pa.array(["the same words", "The same  words", "other", None])]))
    >>> bool((signed.bins[0] == signed.bins[1]).all()), int((signed.bins[0] == signed.bins[2]).sum()) < 8
    (True, True)
    >>> signed.full.tolist()[3]
    0
    """
    table = np.full(tokens.count * BINS, _EMPTY, dtype=np.uint32)
    places = (tokens.hashes >> np.uint64(64 - _BIN_BITS)).astype(np.int64)
    places += tokens.rows << _BIN_BITS
    # The 32 bits behind those of the bin; the one value that means 'empty' is lowered.
    behind = (tokens.hashes >> np.uint64(64 - _BIN_BITS - 32)).astype(np.uint32)
    np.minimum.at(table, places, np.minimum(behind, _EMPTY - np.uint32(1)))
    full = np.count_nonzero(table.reshape(-1, BINS) != _EMPTY, axis=1).astype(np.uint8)
    contents = np.zeros(tokens.count, dtype=np.uint64)
    np.add.at(contents, tokens.rows, tokens.hashes)
    return Signatures((_densify(table) & np.uint32(0xFF)).astype(np.uint8).reshape(-1, BINS), full, contents)


def _densify(table: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Fill the empty bins of rows that have a full one."""
    filled = table.copy()
    empty = np.flatnonzero(table == _EMPTY)
    for step in _STEPS:
        if not len(empty):
            return filled
        found = table[empty + step[empty & (BINS - 1)]]
        there = found != _EMPTY
        filled[empty[there]] = found[there]
        empty = empty[~there]
    return _rotate(filled, np.unique(empty >> _BIN_BITS), table)


def _rotate(filled: NDArray[np.uint32], rows: NDArray[np.int64], table: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Fill what is still empty in some rows from the next full bin, going round."""
    before, after = table.reshape(-1, BINS)[rows], filled.reshape(-1, BINS)[rows]
    for step in range(1, BINS):
        shifted = np.roll(before, -step, axis=1)
        takes = (after == _EMPTY) & (shifted != _EMPTY)
        if not takes.any():
            continue
        after[takes] = shifted[takes]
    filled.reshape(-1, BINS)[rows] = after
    return filled


def _steps() -> NDArray[np.int64]:
    """Return for each attempt how far from each bin the bin lies that it asks."""
    own = np.arange(BINS)
    asked = mix(np.arange(BINS, BINS * (_ATTEMPTS + 1), dtype=np.uint64)) >> np.uint64(64 - _BIN_BITS)
    return asked.astype(np.int64).reshape(_ATTEMPTS, BINS) - own


_STEPS: Final = _steps()
