"""Sums that do not depend on the order of what is added, nor on how it was cut: exact, and rounded once.

A number is cut into digits of 32 bits at places that are the same for all numbers. Digits are added as integers, so
that running totals, differences of them, and sums of differences are exact; the sum is rounded to the nearest double
when it is asked for. It is what Python's `math.fsum` gives of the same numbers. The idea is Kulisch's long
accumulator; see Neal, "Fast exact summation using small and large superaccumulators", arXiv:1505.05571.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Digits = Mapping[int, Integers]

BITS: Final = 32
_MASK: Final = 2**BITS - 1
_MANTISSA: Final = 62
_AT_ONCE: Final = 16_384


def split_floats(values: Floats) -> Iterator[tuple[int, Integers]]:
    """Cut finite numbers into digits: of each place that any of them needs, the place and every number's digit."""
    rest = values.astype(np.float64, copy=True)
    most = float(np.max(np.abs(rest), initial=0.0))
    while most:
        place = (int(np.frexp(most)[1]) - 1) // BITS
        digits = np.rint(np.ldexp(rest, -place * BITS))
        rest -= np.ldexp(digits, place * BITS)
        yield place, digits.astype(np.int64)
        most = float(np.max(np.abs(rest), initial=0.0))


def split_integers(values: Integers | NDArray[np.uint64]) -> Iterator[tuple[int, Integers]]:
    """Cut integers into two digits, or one where all are short."""
    if not len(values) or (int(values.max()) <= _MASK and int(values.min()) >= -_MASK):
        yield 0, values.astype(np.int64)
        return
    yield 0, (values & values.dtype.type(_MASK)).astype(np.int64)
    yield 1, (values >> values.dtype.type(BITS)).astype(np.int64)


def add(totals: dict[int, Integers], more: Digits) -> None:
    """Add digits to digits, in place."""
    for place, digits in more.items():
        totals[place] = totals[place] + digits if place in totals else digits


def round_sum(digits: Digits, count: int) -> Floats:
    """Return the doubles that are nearest to exact sums, ties to even; beyond all doubles they are infinite."""
    answer = np.zeros(count)
    for start in range(0, count if digits else 0, _AT_ONCE):  # what stays in the cache is worked on ten times
        part = {place: each[start : start + _AT_ONCE] for place, each in digits.items()}
        answer[start : start + _AT_ONCE] = _round_part(part, min(_AT_ONCE, count - start))
    return answer


def _round_part(digits: Digits, count: int) -> Floats:
    low, held, negative = _normalised(digits, count)
    top = np.full(count, -1, dtype=np.int64)
    for number, each in enumerate(held):
        top[each != 0] = number
    at = np.arange(count)
    stacked = np.stack([np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros(count, np.int64), *held])
    here = np.maximum(top, 0) + 3
    first, second, third, fourth = (stacked[here - back, at] for back in (0, 1, 2, 3))
    below = np.zeros(count, dtype=np.bool_)
    seen = np.zeros(count, dtype=np.bool_)
    for number, each in enumerate(held):
        seen = below | ((each != 0) & (number < top - 3))
        below = seen
    # The leading 62 bits as an integer, its last bit set when anything is left: one conversion rounds rightly.
    length = np.frexp(first.astype(np.float64))[1].astype(np.int64)  # 1 to 32 for what is not 0
    shift = BITS - length
    head = (first << shift) | (second >> length)
    middle = ((second << shift) & _MASK) | (third >> length)
    last = ((third << shift) & _MASK) | (fourth >> length)
    sticky = below | (((fourth << shift) & _MASK) != 0) | (last != 0) | ((middle & 3) != 0)
    mantissa = (head << (_MANTISSA - BITS)) | (middle >> (2 * BITS - _MANTISSA)) | sticky
    exponent = (low + top) * BITS + length - _MANTISSA
    with np.errstate(over="ignore"):
        answer = np.ldexp(mantissa.astype(np.float64), exponent)
    answer[top < 0] = 0.0
    signed: Floats = np.where(negative, -answer, answer)
    return signed


def round_pair(digits: Digits, count: int) -> tuple[Floats, Floats]:
    """Return sums as a double and the double nearest to what that leaves out."""
    whole = round_sum(digits, count)
    finite = np.where(np.isfinite(whole), whole, 0.0)
    rest = dict(digits)
    add(rest, {place: -part for place, part in split_floats(finite)})
    return whole, round_sum(rest, count)


def to_int64(digits: Digits, count: int) -> tuple[Integers, NDArray[np.bool_]]:
    """Return exact sums of integers, and where they are beyond 64 bits."""
    low, high = (digits.get(place, np.zeros(count, np.int64)) for place in (0, 1))
    high = high + (low >> BITS)
    beyond = (high < -(2**31)) | (high >= 2**31)
    return (np.where(beyond, 0, high) << BITS) | (low & _MASK), beyond


def _normalised(digits: Digits, count: int) -> tuple[int, list[Integers], NDArray[np.bool_]]:
    """Return the lowest place, magnitudes with digits of 32 bits from there on, and where the sign is minus."""
    low, high = min(digits), max(digits)
    nothing = np.zeros(count, dtype=np.int64)
    held, carry = _carried([digits.get(place, nothing) for place in range(low, high + 1)])
    negative = carry < 0
    if negative.any():
        # What is below nothing is the digits of its opposite.
        held, carry = _carried([np.where(negative, -each, each) for each in held], np.where(negative, -carry, carry))
    return low, [*held, carry & _MASK, carry >> BITS], negative


def _carried(digits: list[Integers], top: Integers | None = None) -> tuple[list[Integers], Integers]:
    held = []
    carry = np.zeros_like(digits[0])
    for each in digits:
        whole = each + carry
        carry = whole >> BITS
        held.append(whole & _MASK)
    return held, carry if top is None else carry + top
