"""How often a pool may be asked: reuse policies, and the level that each answer may spend.

Whoever asks is a function of the answers so far, so every string of answers leads to one model that was
fixed before the labels were touched. If each of the N places in the tree of answers where a question can
stand has the level delta/N, the probability of any wrong answer, ever, is at most delta (union bound).
Shares need not be equal: any weights over the places that add up to at most 1 will do, which is how the policy
``universal`` makes expected answers cheap and needs no limit set beforehand.
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
    UNIVERSAL = "universal"


_COUNTED: Final = (ReusePolicy.MAX_PASSES, ReusePolicy.UNIVERSAL)
# The sum of 1/j^2 over all pools is pi^2/6; this is 6/pi^2, rounded down.
_LIFETIME_SHARE: Final = Fraction(6_079_271, 10_000_000)
# As ease.ml/ci writes them, in its paper and in its code.
_SPELLINGS: Final = {"firstChange": "first_change", "hybrid": "first_change"}
_HINT: Final = "Write max_passes:3, universal, universal:5, or one of none, first_change, full."


@dataclass(frozen=True, slots=True, kw_only=True)
class Reuse:
    """A reuse policy.

    Attributes
    ----------
    policy : ReusePolicy
        ``none``: answers are withheld until the pool retires. ``first_change``: it retires at its first pass.
        ``full``: any answer may lead anywhere. ``max_passes``: it retires at its k-th pass. ``universal``: it
        retires when its rows no longer support the next answer; an answer that is like those before is cheap.
    passes : int or None
        k of ``max_passes``; of ``universal``, how many passes the plan provides for, any number unless given.

    Examples
    --------
    >>> Reuse.parse("max_passes:3").passes
    3
    """

    policy: ReusePolicy
    passes: int | None = None

    def __post_init__(self) -> None:
        missing = self.policy is ReusePolicy.MAX_PASSES and self.passes is None
        needless = self.policy not in _COUNTED and self.passes is not None
        if missing or needless or (self.passes is not None and self.passes < 1):
            number = "no number of" if self.passes is None else str(self.passes)
            raise UsageError(
                f"The reuse policy {self.policy} does not go with {number} passes.", hint=_HINT, code="invalid-reuse"
            )

    def __str__(self) -> str:
        return str(self.policy) if self.passes is None else f"{self.policy}:{self.passes}"

    @classmethod
    def max_passes(cls, passes: int) -> "Reuse":
        """Retire at the k-th pass."""
        return cls(policy=ReusePolicy.MAX_PASSES, passes=passes)

    @classmethod
    def parse(cls, text: "str | Reuse") -> "Reuse":
        """Read ``none``, ``first_change``, ``full``, ``max_passes:3``, ``universal`` or ``universal:5``."""
        if isinstance(text, Reuse):
            return text
        name, colon, number = str(text).strip().partition(":")
        name = _SPELLINGS.get(name, name)
        if name not in set(ReusePolicy):
            raise UsageError(
                f"There is no reuse policy {name!a}.",
                hint=did_you_mean(name, [*map(str, ReusePolicy)]) or _HINT,
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
        if self.policy is ReusePolicy.FIRST_CHANGE:
            return 1
        return self.passes if self.policy is ReusePolicy.MAX_PASSES else None

    @property
    def shares_alike(self) -> bool:
        """Whether each place in the tree of answers has the same share of the error."""
        return self.policy is not ReusePolicy.UNIVERSAL

    def weight(self, steps: int, *, passes: int, fails: int, unanswered: int = 0) -> Fraction:
        """Return the share of the error that the next answer may spend, after so many answers.

        Parameters
        ----------
        steps : int
            How many answers are planned.
        passes, fails, unanswered : int
            What was answered so far; a charge whose answer nobody has seen takes its step and counts in neither.

        Notes
        -----
        ``universal``, at step t with P passes and F fails: KT(P, F) / (t (t+1)). KT is the probability that the
        coder of Krichevsky and Trofimov (IEEE Trans. Inf. Theory 27, 1981) gives a string of answers, so it adds
        up to 1 over the strings of one length, and 1/(t (t+1)) adds up to 1 over t. All else: 1/N.

        Examples
        --------
        >>> [str(Reuse.parse(name).weight(8, passes=0, fails=2)) for name in ("universal", "first_change")]
        ['1/32', '1/8']
        """
        if self.shares_alike:
            return Fraction(1, self.places(steps))
        step = passes + fails + unanswered + 1
        return answer_probability(passes, fails) / (step * (step + 1))

    def least_weight(self, steps: int) -> Fraction:
        """Return the smallest share that an answer of the plan may have to do with.

        KT falls with every further answer, and with every pass up to half of them.
        """
        if self.shares_alike:
            return Fraction(1, self.places(steps))
        check_steps(steps)
        passes = (steps - 1) // 2 if self.passes is None else min(self.passes, (steps - 1) // 2)
        return self.weight(steps, passes=passes, fails=steps - 1 - passes)

    def report_weight(self, steps: int, *, passes: int, fails: int) -> Fraction:
        """Return the share of a report's error that falls to the history at whose end it is written.

        The ends of a binary tree are one more than its inner places. A level that a report's intervals may err by,
        times this share, holds over whatever history led to the report. Where answers are withheld there is one
        history only.

        Examples
        --------
        >>> Reuse.max_passes(1).report_weight(7, passes=1, fails=3)
        Fraction(1, 8)
        """
        if self.withholds_answers:
            return Fraction(1)
        if not self.shares_alike:
            return answer_probability(passes, fails)
        return Fraction(1, self.places(steps) + (self.policy is not ReusePolicy.FULL))

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
            case ReusePolicy.UNIVERSAL:
                raise UsageError(
                    "The policy universal gives its places different shares.",
                    hint="Ask for the weight of a place.",
                    code="invalid-reuse",
                )
            case _:  # pragma: no cover
                assert_never(self.policy)


def answer_probability(passes: int, fails: int) -> Fraction:
    """Return the probability that the coder of Krichevsky and Trofimov gives one string of answers.

    B(P + 1/2, F + 1/2) / B(1/2, 1/2) = C(2P, P) C(2F, F) / (4^(P+F) C(P+F, P)), which depends on no order.

    Examples
    --------
    >>> sum(math.comb(5, k) * answer_probability(k, 5 - k) for k in range(6))
    Fraction(1, 1)
    """
    ways = math.comb(2 * passes, passes) * math.comb(2 * fails, fails)
    return Fraction(ways, 4 ** (passes + fails) * math.comb(passes + fails, passes))


def lifetime_share(pool: int) -> Fraction:
    """Return the share of the error of a line of pools that its j-th pool may spend: 6 / (pi^2 j^2), rounded down.

    Examples
    --------
    >>> float(lifetime_share(1)), sum(map(lifetime_share, range(1, 1000))) < 1
    (0.6079271, True)
    """
    if not isinstance(pool, int) or isinstance(pool, bool) or not 1 <= pool <= MOST_STEPS:
        raise UsageError(
            f"The number of a pool in its line is whole, from 1 to {MOST_STEPS:,}, not {ascii(pool)[:60]}.",
            hint="lifetime=1 plans the first pool of a line that keeps one reliability for good.",
            code="invalid-lifetime",
        )
    return _LIFETIME_SHARE / pool**2


def answer_level(reliability: Fraction, steps: int, reuse: Reuse, *, lifetime: int | None = None) -> Fraction:
    """Return the exact probability of error that each answer may have: (1 - reliability) / N.

    For the policy ``universal`` it is that of the answer with the smallest share.

    Examples
    --------
    >>> answer_level(Fraction("0.999"), 32, Reuse.parse("max_passes:3"))
    Fraction(1, 5488000)
    """
    spendable = 1 - reliability
    if lifetime is not None:
        spendable *= lifetime_share(lifetime)
    return spendable * reuse.least_weight(steps)


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
