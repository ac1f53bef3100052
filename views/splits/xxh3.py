"""XXH3-64 of many short messages at once, in numpy, equal to the xxhash package bit for bit.

The messages of one call have one length (9 to 240 bytes) and share a template; rows differ in *regions* of it.
Whatever does not differ is computed once, in Python integers. The algorithm: Collet, "XXH3", xxHash 0.8,
functions ``XXH3_len_9to16_64b``, ``XXH3_len_17to128_64b`` and ``XXH3_len_129to240_64b`` with seed 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Words: TypeAlias = NDArray[np.uint64]

SHORTEST: Final = 9
LONGEST: Final = 240

_SECRET: Final = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb"
    "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)
_PRIME: Final = 0x9E3779B185EBCA87
_AVALANCHE: Final = np.uint64(0x165667919E3779F9)
_MASK: Final = 2**64 - 1
_LOW: Final = np.uint64(2**32 - 1)
_HALF: Final = np.uint64(32)


@dataclass(frozen=True, slots=True)
class Region:
    """Bytes of the template that differ between messages.

    Attributes
    ----------
    start, length : int
        Where the bytes stand; the template holds zeros there.
    window : callable
        Given p < length, each message's 8 bytes from the region's byte p on, as little-endian words, with
        zeros for what lies behind the region's end.
    """

    start: int
    length: int
    window: Callable[[int], Words]


def digest_messages(template: bytes, regions: Sequence[Region]) -> Words:
    """Return XXH3-64 (seed 0) of each message: the template with each row's bytes in its regions.

    Examples
    --------
    >>> values = np.array([7], dtype=np.uint64)
    >>> region = Region(1, 8, lambda place: values >> np.uint64(8 * place))
    >>> import xxhash
    >>> message = b"i" + (7).to_bytes(8, "little") + b"salt"
    >>> int(digest_messages(b"i" + bytes(8) + b"salt", [region])[0]) == xxhash.xxh3_64_intdigest(message)
    True
    """
    message = _Message(template, regions)
    size = len(template)
    if size <= 16:
        return _digest_to_16(message, size)
    if size <= 128:
        return _digest_to_128(message, size)
    return _digest_to_240(message, size)


class _Message:
    """Reads words of the messages: an int where all agree, an array where they differ."""

    def __init__(self, template: bytes, regions: Sequence[Region]) -> None:
        self._template = template
        self._regions = regions

    def word(self, offset: int) -> int | Words:
        constant = _word(self._template, offset)
        varying: Words | None = None
        for region in self._regions:
            place = offset - region.start
            if -8 < place < region.length:
                part = region.window(place) if place >= 0 else region.window(0) << np.uint64(-8 * place)
                varying = part if varying is None else varying | part
        if varying is None:
            return constant
        return varying | np.uint64(constant) if constant else varying

    def mixed(self, offset: int, secret: int) -> int | Words:
        """Return ``XXH3_mix16B``: 16 bytes against 16 bytes of the secret, folded."""
        low = _xor(self.word(offset), _word(_SECRET, secret))
        high = _xor(self.word(offset + 8), _word(_SECRET, secret + 8))
        return _fold(low, high)


class _Sum:
    """A sum modulo 2**64 of constants and arrays."""

    def __init__(self, start: int) -> None:
        self._constant = start & _MASK
        self._varying: Words | None = None

    def add(self, term: int | Words) -> None:
        if isinstance(term, int):
            self._constant = (self._constant + term) & _MASK
        else:
            self._varying = term if self._varying is None else self._varying + term

    def total(self) -> Words:
        if self._varying is None:
            return np.array([self._constant], dtype=np.uint64)
        return self._varying + np.uint64(self._constant)


def _digest_to_16(message: _Message, size: int) -> Words:
    low = _xor(message.word(0), _word(_SECRET, 24) ^ _word(_SECRET, 32))
    high = _xor(message.word(size - 8), _word(_SECRET, 40) ^ _word(_SECRET, 48))
    total = _Sum(size)
    total.add(int.from_bytes(low.to_bytes(8, "little"), "big") if isinstance(low, int) else low.byteswap())
    total.add(high)
    total.add(_fold(low, high))
    return _avalanche(total.total())


def _digest_to_128(message: _Message, size: int) -> Words:
    total = _Sum(size * _PRIME)
    for pair in range((size + 31) // 32):
        total.add(message.mixed(16 * pair, 32 * pair))
        total.add(message.mixed(size - 16 * (pair + 1), 32 * pair + 16))
    return _avalanche(total.total())


def _digest_to_240(message: _Message, size: int) -> Words:
    total = _Sum(size * _PRIME)
    for place in range(8):
        total.add(message.mixed(16 * place, 16 * place))
    start = _avalanche(total.total())
    rest = _Sum(0)
    for place in range(8, size // 16):
        rest.add(message.mixed(16 * place, 16 * (place - 8) + 3))
    rest.add(message.mixed(size - 16, 136 - 17))
    return _avalanche(start + rest.total())


def _word(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 8], "little")


def _xor(word: int | Words, secret: int) -> int | Words:
    return word ^ secret if isinstance(word, int) else word ^ np.uint64(secret)


def _fold(left: int | Words, right: int | Words) -> int | Words:
    """Multiply to 128 bits and xor the halves (``XXH3_mul128_fold64``)."""
    if isinstance(left, int):
        if isinstance(right, int):
            product = left * right
            return (product & _MASK) ^ (product >> 64)
        return _fold_arrays(right, np.uint64(left))
    return _fold_arrays(left, np.uint64(right) if isinstance(right, int) else right)


def _fold_arrays(left: Words, right: Words | np.uint64) -> Words:
    left_low, left_high = left & _LOW, left >> _HALF
    right_low, right_high = right & _LOW, right >> _HALF
    middle = left_high * right_low
    cross = left_low * right_low
    cross >>= _HALF
    cross += middle & _LOW
    left_low *= right_high
    cross += left_low
    cross >>= _HALF
    middle >>= _HALF
    cross += middle
    left_high *= right_high
    cross += left_high
    cross ^= left * right
    return cross


def _avalanche(words: Words) -> Words:
    mixed = words ^ (words >> np.uint64(37))
    mixed *= _AVALANCHE
    mixed ^= mixed >> _HALF
    return mixed
