"""Near duplicates, `near/v1`: which rows are alike, by the Jaccard similarity of their tokens.

Signatures are cut into bands; rows that agree in a band are candidates (locality-sensitive hashing: Indyk and Motwani
1998; Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", 3.4). Candidates are compared by their signatures,
and those that may be alike by their tokens, exactly. So what is tied is alike for certain; what is as alike as asked is
found with a probability of 99 %, what is more alike nearly always.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.views.splits.hashing import hash_keys
from foldstore.views.splits.memory import number_hashes
from foldstore.views.splits.minhash import BINS, Signatures, sign
from foldstore.views.splits.sharing import NEAR
from foldstore.views.splits.token_sets import TokenSets
from foldstore.views.splits.tokens import iterate_blocks, join_chunks, mix, read_tokens
from foldstore.views.splits.xxh3 import Words

Labels: TypeAlias = NDArray[np.int64]
Pairs: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

NOTHING: Final = -1

_BLOCK_ROWS: Final = 2_048
_RECALL: Final = 0.99
# In a crowded bucket each row is compared with the next eight and the first: the components are the same, or nearly.
_NEIGHBOURS: Final = 8
_PAIRS_AT_ONCE: Final = 1 << 17
_CHANCE: Final = 1 / 256  # two bytes of different bins agree
_DEVIATIONS: Final = 4.0
_ROW_BITS: Final = np.uint64(24)


@dataclass(frozen=True, slots=True, eq=False)
class Alike:
    """Which rows are near duplicates.

    Attributes
    ----------
    labels : ndarray of int64
        For each row the number of its content: rows of one number have the same tokens; -1 for a row without any.
    pairs : ndarray of int64, shape (n, 2)
        Contents that are alike, the smaller number first.
    """

    labels: Labels
    pairs: Pairs

    @property
    def count(self) -> int:
        """How many contents there are."""
        return int(self.labels.max(initial=NOTHING)) + 1


def find_near(columns: Sequence[pa.ChunkedArray], similarity: float, *, new: Mask | None = None) -> Alike:
    """Find rows whose tokens have at least a Jaccard similarity.

    Parameters
    ----------
    columns : sequence of ChunkedArray
        The columns that are compared, together.
    similarity : float
        From 0.5 to 1.
    new : ndarray of bool, optional
        Which rows matter: pairs of two others are left out. All unless given.

    Raises
    ------
    UsageError
        For lists, structs and other types without a hash.

    Examples
    --------
    >>> texts = pa.chunked_array([["A short title", "a  short Title", "a short title!", "something else", None]])
    >>> alike = find_near([texts], 0.8)
    >>> alike.labels.tolist()[0] == alike.labels.tolist()[1], alike.labels.tolist()[4], len(alike.pairs)
    (True, -1, 1)
    """
    arrays, rows = _distinct_rows([join_chunks(column) for column in columns])
    signed = _sign_all(arrays)
    present = np.flatnonzero(signed.full)
    # Contents are numbered by their sums, not by the order of rows: what is found depends on the rows alone.
    _, first, inverse = np.unique(signed.contents[present], return_index=True, return_inverse=True)
    numbers = np.full(len(signed.full), NOTHING, dtype=np.int64)
    numbers[present] = inverse
    labels = numbers[rows]
    examples = present[first]
    matters: Mask | None = None
    if new is not None:
        matters = np.zeros(len(examples) + 1, dtype=np.bool_)
        matters[labels[new]] = True  # -1 marks the last, which is nobody
    bins, full = signed.bins[examples], signed.full[examples]
    likely = [_likely(found, bins, full, similarity) for found in _candidates(bins, similarity, matters)]
    pairs = _distinct(np.concatenate([np.empty((0, 2), np.int64), *likely]))
    contents = TokenSets(arrays, examples)
    return Alike(labels, pairs[contents.similarities(pairs) >= similarity])


def bands(similarity: float) -> tuple[int, int]:
    """Return how many bands there are, and how many bins each has.

    The longest bands with ``1 - (1 - s^r)^(64 // r) >= 0.99`` at the similarity s.

    Examples
    --------
    >>> bands(0.8), bands(0.5)
    ((12, 5), (32, 2))
    """
    lengths = [size for size in range(1, BINS + 1) if 1 - (1 - similarity**size) ** (BINS // size) >= _RECALL]
    size = max(lengths, default=1)
    return BINS // size, size


def _distinct_rows(columns: Sequence[pa.Array]) -> tuple[list[pa.Array], Labels]:
    """Return columns with each row once, and for each row which of these it is: equal rows are looked at once."""
    hashes = np.zeros(len(columns[0]), dtype=np.uint64)
    for place, column in enumerate(columns):
        hashes = mix(hashes + hash_keys([column], f"{NEAR}/row/{place}"))
    distinct, rows = number_hashes(hashes)
    if len(distinct) == len(hashes):
        return list(columns), np.arange(len(hashes))
    examples = np.empty(len(distinct), dtype=np.int64)
    examples[rows] = np.arange(len(rows))
    return [column.take(pa.array(examples)) for column in columns], rows


def _sign_all(arrays: Sequence[pa.Array]) -> Signatures:
    parts = [sign(read_tokens(block)) for block in iterate_blocks(arrays, _BLOCK_ROWS)]
    if not parts:
        return Signatures(np.empty((0, BINS), np.uint8), np.empty(0, np.uint8), np.empty(0, np.uint64))
    bins, full, contents = ([getattr(part, name) for part in parts] for name in ("bins", "full", "contents"))
    return Signatures(np.concatenate(bins), np.concatenate(full), np.concatenate(contents))


def _candidates(bins: NDArray[np.uint8], similarity: float, matters: Mask | None) -> Iterator[Pairs]:
    """Yield pairs of rows that agree in a band, some at a time."""
    count, size = bands(similarity)
    for band in range(count):
        ordered, order = _sort_keys(_band_keys(bins[:, band * size : (band + 1) * size]))
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        firsts = np.repeat(starts, np.diff(starts, append=len(ordered)))
        places = np.arange(len(ordered))
        for distance in range(1, _NEIGHBOURS + 1):
            near = np.flatnonzero(ordered[distance:] == ordered[:-distance])
            if not len(near):
                break
            yield from _kept(order[near], order[near + distance], matters)
        else:
            far = np.flatnonzero(places - firsts > _NEIGHBOURS)
            yield from _kept(order[firsts[far]], order[far], matters)


def _band_keys(part: NDArray[np.uint8]) -> Words:
    keys = np.zeros(len(part), dtype=np.uint64)
    for place in range(part.shape[1]):
        if place >= 5:
            keys = mix(keys)
        keys = (keys << np.uint64(8)) | part[:, place]
    return keys


def _sort_keys(keys: Words) -> tuple[Words, Labels]:
    """Return keys in order, and whose they are; equal ones in the order of the rows."""
    if len(keys) >> int(_ROW_BITS):
        order: Labels = np.argsort(keys, kind="stable")
        return keys[order], order
    # To sort keys that carry their rows takes a tenth of the time. Keys of more than five bytes are cut to 40 bits:
    # two that meet by chance make a candidate that is refused later.
    packed = (keys << _ROW_BITS) | np.arange(len(keys), dtype=np.uint64)
    packed.sort()
    return packed >> _ROW_BITS, (packed & np.uint64((1 << int(_ROW_BITS)) - 1)).astype(np.int64)


def _kept(left: Labels, right: Labels, matters: Mask | None) -> Iterator[Pairs]:
    if matters is not None:
        chosen = matters[left] | matters[right]
        left, right = left[chosen], right[chosen]
    for start in range(0, len(left), _PAIRS_AT_ONCE):
        a, b = left[start : start + _PAIRS_AT_ONCE], right[start : start + _PAIRS_AT_ONCE]
        yield np.stack([np.minimum(a, b), np.maximum(a, b)], axis=1)


def _likely(pairs: Pairs, bins: NDArray[np.uint8], full: NDArray[np.uint8], similarity: float) -> Pairs:
    """Leave out pairs whose signatures say that they are far less alike."""
    agree = (bins[pairs[:, 0]] == bins[pairs[:, 1]]).mean(axis=1)
    estimate = (agree - _CHANCE) / (1 - _CHANCE)
    # The estimate varies by at most sqrt(s (1 - s) / n), n the bins that were not filled from others.
    spread = np.sqrt(similarity * (1 - similarity) / np.minimum(full[pairs[:, 0]], full[pairs[:, 1]]))
    likely: Pairs = pairs[estimate >= similarity - _DEVIATIONS * spread - 1 / BINS]
    return likely


def _distinct(pairs: Pairs) -> Pairs:
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    ordered = pairs[order]
    new = np.ones(len(pairs), dtype=np.bool_)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    found: Pairs = ordered[new]
    return found
