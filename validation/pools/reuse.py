"""How often a pool may be asked: reuse policies, and the level that each answer may spend.

Whoever asks is a function of the answers so far, so every string of answers leads to one model that was
fixed before the labels were touched. If each of the N places in the tree of answers where a question can
stand has the level delta/N, the probability of any wrong answer, ever, is at most delta (union bound).
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final, assert_never

from foldstore.errors import UsageError, did_you_mean

MOST_STEPS: Final = 100_000
# Rounding in two logarithms of whole numbers; the level used is never above the exact one.
_LOG_SLACK: Final = 1e-12


class ReusePolicy(StrEnum):
    """When a pool retires, and who sees its answers."""

    NONE = "none"
    FIRST_CHANGE = "first_change"
    FULL = "full"
    MAX_PASSES = "max_passes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reuse:
    """A reuse policy.

    Attributes
    ----------
    policy : ReusePolicy
        ``none``: answers are withheld until the pool retires. ``first_change``: it retires at its first pass.
        ``full``: any answer may lead anywhere. ``max_passes``: it retires at its k-th pass.
    passes : int or None
        k of ``max_passes``.

    Examples
    --------
    >>> Reuse.parse("max_passes:3").passes
    3
    """

    policy: ReusePolicy
    passes: int | None = None

    def __post_init__(self) -> None:
        counted = self.policy is ReusePolicy.MAX_PASSES
        if counted is not (self.passes is not None) or (self.passes is not None and self.passes < 1):
            raise UsageError(
                f"The reuse policy {self.policy} does not go with {self.passes} passes.",
                hint="Write max_passes:3, or one of none, first_change, full.",
                code="invalid-reuse",
            )

    def __str__(self) -> str:
        return str(self.policy) if self.passes is None else f"{self.policy}:{self.passes}"

    @classmethod
    def max_passes(cls, passes: int) -> "Reuse":
        """Retire at the k-th pass."""
        return cls(policy=ReusePolicy.MAX_PASSES, passes=passes)

    @classmethod
    def parse(cls, text: "str | Reuse") -> "Reuse":
        """Read ``none``, ``first_change``, ``full`` or ``max_passes:3``."""
        if isinstance(text, Reuse):
            return text
        name, colon, number = str(text).strip().partition(":")
        if name not in set(ReusePolicy):
            raise UsageError(
                f"There is no reuse policy {name!a}.",
                hint=did_you_mean(name, [*map(str, ReusePolicy)]),
                code="invalid-reuse",
            )
        if colon and not (number.isascii() and number.isdigit() and len(number) <= 6):
            raise UsageError(
                f"{text!a} does not say how many passes.", hint="Write max_passes:3.", code="invalid-reuse"
            )
        return cls(policy=ReusePolicy(name), passes=int(number) if colon else None)

    @property
    def withholds_answers(self) -> bool:
        """Whether nobody who asks may see an answer before the pool retires."""
        return self.policy is ReusePolicy.NONE

    @property
    def pass_limit(self) -> int | None:
        """At which pass the pool retires, if at any."""
        return 1 if self.policy is ReusePolicy.FIRST_CHANGE else self.passes

    def places(self, steps: int) -> int:
        """Return N, the number of places in the tree of answers over which the error is shared out.

        Notes
        -----
        ``none`` and ``first_change``: H, as only one history goes on. ``max_passes:k``: the histories shorter
        than H with fewer than k passes, sum over i < H and j < k of C(i, j), which is
        C(H, 1) + ... + C(H, k). ``full``: 2^H, the count of ease.ml/ci, one more than there are.

        Examples
        --------
        >>> Reuse.parse("full").places(3), Reuse.max_passes(2).places(3), Reuse.parse("none").places(3)
        (8, 6, 3)
        """
        check_steps(steps)
        match self.policy:
            case ReusePolicy.NONE | ReusePolicy.FIRST_CHANGE:
                return steps
            case ReusePolicy.FULL:
                return int(2**steps)
            case ReusePolicy.MAX_PASSES:
                return _short_histories(steps, self.passes or 0)
            case _:  # pragma: no cover
                assert_never(self.policy)


def answer_level(reliability: Fraction, steps: int, reuse: Reuse) -> Fraction:
    """Return the exact probability of error that each answer may have: (1 - reliability) / N.

    Examples
    --------
    >>> answer_level(Fraction("0.999"), 32, Reuse.parse("max_passes:3"))
    Fraction(1, 5488000)
    """
    return (1 - reliability) / reuse.places(steps)


def log_of_level(level: Fraction) -> float:
    """Return ln of a level, rounded down; levels far below the smallest float keep their logarithm.

    Examples
    --------
    >>> round(log_of_level(Fraction(1, 2**4000)), 3)
    -2772.589
    """
    value = math.log(level.numerator) - math.log(level.denominator)
    return value - _LOG_SLACK * max(1.0, math.log(level.denominator))


def read_reliability(value: object) -> Fraction:
    """Return a reliability as the decimal that was written.

    Raises
    ------
    UsageError
        Unless it is a number greater than 0 and smaller than 1.
    """
    exact = None
    # int is no reliability either, but deserves the same message.
    if isinstance(value, float | int | str | Fraction) and not isinstance(value, bool) and len(str(value)) <= 40:
        try:
            exact = Fraction(str(value))
        except (ValueError, ZeroDivisionError):
            exact = None
    if exact is None or not 0 < exact < 1:
        raise UsageError(
            f"A reliability lies between 0 and 1, both excluded, not {ascii(value)[:60]}.",
            hint="0.999 allows one wrong answer in a thousand pools, over all answers together.",
            code="invalid-reliability",
        )
    return exact


def _short_histories(steps: int, passes: int) -> int:
    if passes >= steps:
        return int(2**steps - 1)
    total, term = 0, 1
    for j in range(1, passes + 1):
        term = term * (steps - j + 1) // j
        total += term
    return total


def check_steps(steps: int) -> None:
    """Refuse a number of steps that is not whole and positive."""
    if not isinstance(steps, int) or isinstance(steps, bool) or not 1 <= steps <= MOST_STEPS:
        raise UsageError(
            f"The number of steps is whole, from 1 to {MOST_STEPS:,}, not {ascii(steps)[:60]}.",
            hint="A step is one answer from the pool.",
            code="invalid-steps",
        )
