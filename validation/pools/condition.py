"""What a test pool is asked: a conjunction of clauses, each a bound on a score of the models.

Two spellings of one condition are one `Condition`, with one text: that text is what a ledger stores.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from math import gcd, lcm
from typing import Final

from foldstore.errors import UsageError
from foldstore.validation.pools.grammar import Atom, ParsedClause, parse_clauses
from foldstore.validation.pools.registered import registered_templates
from foldstore.validation.pools.scores import (
    VARIABLES,
    LinearScore,
    MeanScore,
    Model,
    Rate,
    RateScore,
    Score,
    Slice,
    decimal_text,
)


class Mode(StrEnum):
    """Which error an answer guards against: a wrong pass or a wrong fail."""

    FP_FREE = "fp-free"
    FN_FREE = "fn-free"


_RATE_NAMES: Final = frozenset(map(str, Rate))


class Sense(StrEnum):
    """On which side of its bound a clause holds."""

    ABOVE = ">"
    BELOW = "<"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """A bound on a score, with the tolerance within which either answer is right.

    Attributes
    ----------
    score : LinearScore, RateScore or MeanScore
    sense : Sense
    bound : Fraction
    tolerance : Fraction or None
    """

    score: Score
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
    def needs_old(self) -> bool:
        """Whether any clause compares with an old model."""
        return any(each.score.needs_old for each in self.clauses)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that slices name."""
        return tuple(sorted({part.column for each in self.clauses for part in each.score.where}))

    @property
    def registered(self) -> tuple[MeanScore, ...]:
        """The registered scores that it names, each once."""
        means = {each.score.name: each.score for each in self.clauses if isinstance(each.score, MeanScore)}
        return tuple(replace(each, new=1, old=0, where=()) for each in means.values())

    def difference_clause(self, where: Slice = ()) -> Clause | None:
        """Return the clause ``d < D`` on a slice with the smallest D, if there is one."""
        score = LinearScore(differing=1, where=where)
        bounds = [each for each in self.clauses if each.score == score and each.sense is Sense.BELOW]
        return min(bounds, key=lambda each: each.bound, default=None)


def parse_condition(text: str, scores: Iterable[MeanScore] | None = None) -> Condition:
    """Read a condition such as ``n - o > 0.02 +/- 0.01 /\\ d < 0.1 +/- 0.01``.

    Parameters
    ----------
    text : str
        Clauses joined by ``/\\``, ``&`` or ``and``. Variables: n, the accuracy of the new model; o, of the
        old one; d, the fraction of rows on which their predictions differ; ``precision(n)``, ``recall(n)``,
        ``f1(n = 'cat')``, ratios such as ``n/o``, slices such as ``n[carrier = 'UA']``.
    scores : iterable of MeanScore
        The scores that it may name; all that are registered unless given.

    Raises
    ------
    UsageError
        With code ``invalid-condition``: it does not parse, or a clause always or never holds.

    Examples
    --------
    >>> parse_condition("n > 0.8 +/- 0.05").clauses[0].bound
    Fraction(4, 5)
    """
    registered = {each.name: each for each in (registered_templates() if scores is None else scores)}
    clauses = [_normal(each, registered) for each in parse_clauses(text, registered)]
    for clause in clauses:
        _refuse_constant(clause)
    return Condition(tuple(clauses))


def _normal(parsed: ParsedClause, registered: dict[str, MeanScore]) -> Clause:
    """Scale to whole factors without a common divisor, the first one positive."""
    factors = _factors(parsed)
    scale = Fraction(lcm(*(each.denominator for each in factors)), 1)
    scale /= gcd(*(int(each * scale) for each in factors))
    flipped = next(each for each in factors if each) < 0
    if flipped:
        scale = -scale
    whole = [int(each * scale) for each in factors]
    above = (parsed.comparison == ">") is not flipped
    return Clause(
        score=_score(next(iter(parsed.terms)), whole, registered),
        sense=Sense.ABOVE if above else Sense.BELOW,
        bound=parsed.bound * scale,
        tolerance=None if parsed.tolerance is None else parsed.tolerance * abs(scale),
    )


def _factors(parsed: ParsedClause) -> list[Fraction]:
    """Return the factors of n, o and d, of a score of the new and of the old model, or of a rate alone."""
    named = {_place(atom): factor for atom, factor in parsed.terms.items()}
    places = VARIABLES if next(iter(parsed.terms)).name in VARIABLES else (*Model,)
    if any(atom.name in _RATE_NAMES for atom in parsed.terms):
        return [*named.values()]
    return [named.get(str(each), Fraction(0)) for each in places]


def _place(atom: Atom) -> str:
    return atom.name if atom.model is None else str(atom.model)


def _score(atom: Atom, factors: list[int], registered: dict[str, MeanScore]) -> Score:
    if atom.name in VARIABLES:
        new, old, differing = factors
        return LinearScore(new=new, old=old, differing=differing, where=atom.where)
    if atom.name in _RATE_NAMES:
        assert atom.model is not None  # noqa: S101  # a metric names its model
        return RateScore(rate=Rate(atom.name), model=atom.model, positive=atom.positive, where=atom.where)
    template = registered[atom.name]
    if template.given and factors[1]:
        raise UsageError(
            f"The values of {atom.name!r} come with the predictions, and there are none of the old model.",
            hint=f"Write {atom.name}(n), or register a function.",
            code="invalid-condition",
        )
    return replace(template, new=factors[0], old=factors[1], where=atom.where)


def _refuse_constant(clause: Clause) -> None:
    low, high = clause.score.range
    above = clause.sense is Sense.ABOVE
    always = clause.bound < low if above else clause.bound > high
    never = clause.bound >= high if above else clause.bound <= low
    if always or never:
        raise UsageError(
            f"{clause} {'always' if always else 'never'} holds: {clause.score} lies between "
            f"{decimal_text(Fraction(low))} and {decimal_text(Fraction(high))}.",
            hint="Choose a bound inside that range, or leave the clause out.",
            code="invalid-condition",
            clause=str(clause),
            range=[float(low), float(high)],
        )


def _order(clause: Clause) -> tuple[object, ...]:
    """Clauses about n first, then o, then d, then metrics: the order in which people write them."""
    tolerance = Fraction(-1) if clause.tolerance is None else clause.tolerance
    factors = clause.score.factors if isinstance(clause.score, LinearScore) else ()
    absent = tuple(factor == 0 for factor in factors)
    last = not factors
    return (last, absent, factors, str(clause.score), str(clause.sense), clause.bound, tolerance)
