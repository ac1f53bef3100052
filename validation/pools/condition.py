"""What a test pool is asked: a conjunction of linear clauses over the accuracies n and o and the difference d.

Two spellings of one condition are one `Condition`, with one text: that text is what a ledger stores.
"""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from math import gcd, lcm
from typing import Final

from foldstore.errors import UsageError
from foldstore.validation.pools.grammar import VARIABLES, ParsedClause, parse_clauses


class Mode(StrEnum):
    """Which error an answer guards against: a wrong pass or a wrong fail."""

    FP_FREE = "fp-free"
    FN_FREE = "fn-free"


class Sense(StrEnum):
    """On which side of its bound a clause holds."""

    ABOVE = ">"
    BELOW = "<"


# What one row can show of (n, o, d): two right or two wrong answers need not differ, one of each must,
# and two wrong answers may differ where there are more than two classes.
ROW_OUTCOMES: Final = ((1, 1, 0), (1, 0, 1), (0, 1, 1), (0, 0, 0), (0, 0, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearScore:
    """A whole-numbered combination of n, o and d; its mean over the rows is what a clause bounds.

    Attributes
    ----------
    new, old, differing : int
        The factors of n, o and d: without a common divisor, the first of them that is not 0 positive.
    """

    new: int = 0
    old: int = 0
    differing: int = 0

    def __str__(self) -> str:
        parts = [
            f"{'-' if factor < 0 else '+'} {'' if abs(factor) == 1 else f'{abs(factor)}*'}{name}"
            for name, factor in zip(VARIABLES, self.factors, strict=True)
            if factor
        ]
        return " ".join(parts).removeprefix("+ ")

    @property
    def factors(self) -> tuple[int, int, int]:
        """The factors of n, o and d."""
        return (self.new, self.old, self.differing)

    @property
    def needs_labels(self) -> bool:
        """Whether accuracy matters; how many predictions differ can be counted without labels."""
        return bool(self.new or self.old)

    @property
    def range(self) -> tuple[int, int]:
        """The smallest and the largest value that a row can have, and so a mean."""
        values = [sum(f * x for f, x in zip(self.factors, row, strict=True)) for row in ROW_OUTCOMES]
        return min(values), max(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """A bound on the mean of a score, with the tolerance within which either answer is right.

    Attributes
    ----------
    score : LinearScore
    sense : Sense
    bound : Fraction
    tolerance : Fraction or None
    """

    score: LinearScore
    sense: Sense
    bound: Fraction
    tolerance: Fraction | None = None

    def __str__(self) -> str:
        tolerance = "" if self.tolerance is None else f" +/- {decimal_text(self.tolerance)}"
        return f"{self.score} {self.sense} {decimal_text(self.bound)}{tolerance}"


@dataclass(frozen=True, slots=True)
class Condition:
    """A conjunction of clauses, in canonical order and without repetition.

    Examples
    --------
    >>> parse_condition("0.1 > d and 2*n > 2*o + 0.04") == parse_condition("n - o > 0.02 /\\\\ d < 0.1")
    True
    >>> str(parse_condition("d<.12 ± .010 & o - n < 0 ± 1e-2"))
    'n - o > 0 +/- 0.01 /\\\\ d < 0.12 +/- 0.01'
    """

    clauses: tuple[Clause, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "clauses", tuple(sorted(set(self.clauses), key=_order)))

    def __str__(self) -> str:
        return " /\\ ".join(map(str, self.clauses))

    @property
    def needs_labels(self) -> bool:
        """Whether any clause is about accuracy."""
        return any(each.score.needs_labels for each in self.clauses)

    @property
    def difference_clause(self) -> Clause | None:
        """The clause ``d < D`` with the smallest D, if there is one."""
        bounds = [each for each in self.clauses if each.score == LinearScore(differing=1) and each.sense is Sense.BELOW]
        return min(bounds, key=lambda each: each.bound, default=None)


def parse_condition(text: str) -> Condition:
    """Read a condition such as ``n - o > 0.02 +/- 0.01 /\\ d < 0.1 +/- 0.01``.

    Parameters
    ----------
    text : str
        Clauses joined by ``/\\``, ``&`` or ``and``. Variables: n, the accuracy of the new model; o, of the
        old one; d, the fraction of rows on which their predictions differ.

    Raises
    ------
    UsageError
        With code ``invalid-condition``: it does not parse, or a clause always or never holds.

    Examples
    --------
    >>> parse_condition("n > 0.8 +/- 0.05").clauses[0].bound
    Fraction(4, 5)
    """
    clauses = [_normal(each) for each in parse_clauses(text)]
    for clause in clauses:
        _refuse_constant(clause)
    return Condition(tuple(clauses))


def decimal_text(value: Fraction) -> str:
    """Write a number without loss: as a decimal where one is exact, as a fraction otherwise.

    Examples
    --------
    >>> decimal_text(Fraction(1, 8)), decimal_text(Fraction(-1, 3))
    ('0.125', '-1/3')
    """
    places = _decimal_places(value.denominator)
    if places is None:
        return str(value)
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    text = f"{digits[:-places]}.{digits[-places:]}" if places else digits
    return f"-{text}" if value < 0 else text


def _decimal_places(denominator: int) -> int | None:
    twos, fives = 0, 0
    while denominator % 2 == 0:
        denominator, twos = denominator // 2, twos + 1
    while denominator % 5 == 0:
        denominator, fives = denominator // 5, fives + 1
    return max(twos, fives) if denominator == 1 else None


def _normal(parsed: ParsedClause) -> Clause:
    """Scale to whole factors without a common divisor, the first one positive."""
    factors = [parsed.coefficients[name] for name in VARIABLES]
    scale = Fraction(lcm(*(each.denominator for each in factors)), 1)
    scale /= gcd(*(int(each * scale) for each in factors))
    flipped = next(each for each in factors if each) < 0
    if flipped:
        scale = -scale
    new, old, differing = (int(each * scale) for each in factors)
    above = (parsed.comparison == ">") is not flipped
    return Clause(
        score=LinearScore(new=new, old=old, differing=differing),
        sense=Sense.ABOVE if above else Sense.BELOW,
        bound=parsed.bound * scale,
        tolerance=None if parsed.tolerance is None else parsed.tolerance * abs(scale),
    )


def _refuse_constant(clause: Clause) -> None:
    low, high = clause.score.range
    above = clause.sense is Sense.ABOVE
    always = clause.bound < low if above else clause.bound > high
    never = clause.bound >= high if above else clause.bound <= low
    if always or never:
        raise UsageError(
            f"{clause} {'always' if always else 'never'} holds: {clause.score} lies between {low} and {high}.",
            hint="Choose a bound inside that range, or leave the clause out.",
            code="invalid-condition",
            clause=str(clause),
            range=[low, high],
        )


def _order(clause: Clause) -> tuple[object, ...]:
    """Clauses about n first, then o, then d: the order in which people write them."""
    absent = tuple(factor == 0 for factor in clause.score.factors)
    tolerance = Fraction(-1) if clause.tolerance is None else clause.tolerance
    return (absent, clause.score.factors, str(clause.sense), clause.bound, tolerance)
