"""Keys and permutations of `order/v1`: the same seed gives the same order on every machine, for ever."""

from typing import Final, TypeAlias

import numpy as np
import xxhash
from numpy.typing import NDArray

Words: TypeAlias = NDArray[np.uint64]
Ranks: TypeAlias = NDArray[np.int64]

ALGORITHM: Final = "order/v1"
_GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


def derive_key(seed: int, purpose: str, *numbers: int) -> int:
    """Return the key of one use of a seed: XXH3-64 of ``order/v1``, the purpose, the seed and numbers, as text.

    Examples
    --------
    >>> derive_key(7, "rows", 0, 3)
    3443077213564529056
    """
    text = "/".join([ALGORITHM, purpose, str(seed), *map(str, numbers)])
    return xxhash.xxh3_64_intdigest(text.encode())


def mix(words: Words) -> Words:
    """Return the output function of SplitMix64 of each word; it maps different words to different ones.

    Steele, Lea and Flood, Fast splittable pseudorandom number generators (2014).
    """
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    return words ^ (words >> np.uint64(31))


def sequence(count: int, key: int) -> Words:
    """Return the first numbers of SplitMix64 seeded with a key; no two are equal."""
    return mix(np.arange(1, count + 1, dtype=np.uint64) * _GAMMA + np.uint64(key))


def scatter(words: Words, key: int) -> Words:
    """Return a keyed hash of identities, such as row ids; different identities stay different."""
    return mix(mix(words + np.uint64(key)) + _GAMMA)


def permutation(count: int, key: int) -> Ranks:
    """Return the numbers below `count` in a random order, each once.

    They are sorted by 32 bits each of a keyed sequence of words, those with equal bits by themselves.

    Examples
    --------
    >>> permutation(6, derive_key(7, "rows", 0)).tolist()
    [4, 5, 3, 0, 2, 1]
    """
    # Each word of 64 bits serves two numbers. Little-endian halves, whatever the machine.
    halves = sequence(count // 2 + 1, key).astype("<u8").view("<u2").reshape(-1, 2)[:count]
    # numpy sorts 16-bit integers by radix: two such sorts take a third of the time of one of 32 bits.
    order = np.argsort(halves[:, 0], kind="stable")
    return order[np.argsort(halves[:, 1][order], kind="stable")].astype(np.int64, copy=False)
