"""What a clause bounds: a mean over rows, or a share of some of the rows.

Each score says which rows count for it (`counted`), what one of them can show (`range`), and how a bound on
the score reads as a bound on the mean of those rows (`image`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any, Final

# What one row can show of (n, o, d): two right or two wrong answers need not differ, one of each must,
# and two wrong answers may differ where there are more than two classes.
ROW_OUTCOMES: Final = ((1, 1, 0), (1, 0, 1), (0, 1, 1), (0, 0, 0), (0, 0, 1))
VARIABLES: Final = ("n", "o", "d")

Literal = str | bool | Fraction
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z_0-9]*\Z")
_WORDS: Final = frozenset({"and", "true", "false"})


class Model(StrEnum):
    """Whose predictions."""

    NEW = "n"
    OLD = "o"


class Rate(StrEnum):
    """A share of some of the rows."""

    PRECISION = "precision"
    RECALL = "recall"
    F1 = "f1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One comparison of a column with a value; a slice is a conjunction of them.

    Attributes
    ----------
    column : str
    sign : str
        One of = != < <= > >=.
    value : str, bool or Fraction
    """

    column: str
    sign: str
    value: Literal

    def __str__(self) -> str:
        plain = _PLAIN_NAME.match(self.column) and self.column.lower() not in _WORDS
        doubled = self.column.replace('"', '""')
        column = self.column if plain else f'"{doubled}"'
        return f"{column} {self.sign} {literal_text(self.value)}"


Slice = tuple[Comparison, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearScore:
    """A whole-numbered combination of n, o and d over the rows of a slice.

    Attributes
    ----------
    new, old, differing : int
        The factors of n, o and d: without a common divisor, the first of them that is not 0 positive.
    where : tuple of Comparison
        The slice; all rows unless given.
    """

    new: int = 0
    old: int = 0
    differing: int = 0
    where: Slice = ()

    def __str__(self) -> str:
        inside = f"[{slice_text(self.where)}]" if self.where else ""
        return _sum_text([(factor, name + inside) for factor, name in zip(self.factors, VARIABLES, strict=True)])

    @property
    def factors(self) -> tuple[int, int, int]:
        """The factors of n, o and d."""
        return (self.new, self.old, self.differing)

    @property
    def needs_labels(self) -> bool:
        """Whether accuracy matters; how many predictions differ can be counted without labels."""
        return bool(self.new or self.old)

    @property
    def needs_old(self) -> bool:
        """Whether the predictions of an old model are compared."""
        return bool(self.old or self.differing)

    @property
    def row_values(self) -> tuple[int, ...]:
        """What a row adds, for each of `ROW_OUTCOMES`."""
        return tuple(sum(f * x for f, x in zip(self.factors, row, strict=True)) for row in ROW_OUTCOMES)

    @property
    def range(self) -> tuple[int, int]:
        """The smallest and the largest value that a row can have, and so a mean."""
        return min(self.row_values), max(self.row_values)

    @property
    def counted(self) -> str:
        """Which rows count, in words."""
        return f"rows with {slice_text(self.where)}" if self.where else "rows"

    def image(self, bound: Fraction) -> Fraction:
        """Return the bound itself: the score is a mean of rows as it stands."""
        return bound


@dataclass(frozen=True, slots=True, kw_only=True)
class RateScore:
    """Precision, recall or F1 of one class: a share of the rows that say something about that class.

    Attributes
    ----------
    rate : Rate
    model : Model
    positive : str, bool or Fraction
        The class.
    where : tuple of Comparison

    Notes
    -----
    With TP, FP and FN the true and false positives and the false negatives: precision is TP among TP + FP,
    recall is TP among TP + FN. F1 = 2 TP / (2 TP + FP + FN) is a function of J, the share of TP among
    TP + FP + FN (Jaccard): F1 = 2J/(1 + J), so F1 > c says J > c/(2 - c). Given how many rows count, each is
    the proportion of independent rows, and the binomial tail is exact.
    """

    rate: Rate
    model: Model
    positive: Literal = True
    where: Slice = ()

    def __str__(self) -> str:
        positive = "" if self.positive is True else f" = {literal_text(self.positive)}"
        inside = f", {slice_text(self.where)}" if self.where else ""
        return f"{self.rate}({self.model}{positive}{inside})"

    @property
    def needs_labels(self) -> bool:
        """Always."""
        return True

    @property
    def needs_old(self) -> bool:
        """Whether it is the old model's."""
        return self.model is Model.OLD

    @property
    def range(self) -> tuple[int, int]:
        """0 and 1."""
        return 0, 1

    @property
    def counted(self) -> str:
        """Which rows count, in words."""
        name = "the new model" if self.model is Model.NEW else "the old model"
        is_class = literal_text(self.positive)
        predicted, real = f"{name} calls {is_class}", f"are {is_class}"
        which = {Rate.PRECISION: predicted, Rate.RECALL: real, Rate.F1: f"{predicted} or {real}"}[self.rate]
        inside = f", with {slice_text(self.where)}" if self.where else ""
        return f"rows that {which}{inside}"

    def image(self, bound: Fraction) -> Fraction:
        """Return the share of the rows that count at which the rate has its bound.

        Examples
        --------
        >>> RateScore(rate=Rate.F1, model=Model.NEW).image(Fraction(4, 5))
        Fraction(2, 3)
        """
        return bound / (2 - bound) if self.rate is Rate.F1 else bound


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanScore:
    """The mean of a registered score of a row, of one model or a combination of both.

    Attributes
    ----------
    name : str
    new, old : int
        The factors for either model.
    low, high : Fraction
        Between them each row's score lies.
    given : bool
        Whether the values come with the predictions, so that no label is needed.
    where : tuple of Comparison
    """

    name: str
    new: int = 1
    old: int = 0
    low: Fraction = Fraction(0)
    high: Fraction = Fraction(1)
    given: bool = False
    where: Slice = ()

    def __str__(self) -> str:
        inside = f", {slice_text(self.where)}" if self.where else ""
        pairs = zip((self.new, self.old), (Model.NEW, Model.OLD), strict=True)
        return _sum_text([(factor, f"{self.name}({model}{inside})") for factor, model in pairs])

    @property
    def needs_labels(self) -> bool:
        """Whether a label goes into the score."""
        return not self.given

    @property
    def needs_old(self) -> bool:
        """Whether the old model's rows are scored."""
        return self.old != 0

    @property
    def range(self) -> tuple[Fraction, Fraction]:
        """The smallest and the largest value of a row."""
        ends = [sorted((factor * self.low, factor * self.high)) for factor in (self.new, self.old)]
        return ends[0][0] + ends[1][0], ends[0][1] + ends[1][1]

    @property
    def counted(self) -> str:
        """Which rows count, in words."""
        return f"rows with {slice_text(self.where)}" if self.where else "rows"

    def image(self, bound: Fraction) -> Fraction:
        """Return the bound itself."""
        return bound


Score = LinearScore | RateScore | MeanScore


def score_record(score: MeanScore) -> dict[str, Any]:
    """Return what is kept of a registered score beside a condition's text: its name and its bounds."""
    return {"name": score.name, "low": str(score.low), "high": str(score.high), "given": score.given}


def score_of_record(data: Mapping[str, Any]) -> MeanScore:
    """Read what `score_record` gave."""
    return MeanScore(name=data["name"], given=data["given"], low=Fraction(data["low"]), high=Fraction(data["high"]))


def slice_text(where: Sequence[Comparison]) -> str:
    """Return the canonical text of a slice."""
    return ", ".join(map(str, where))


def literal_text(value: Literal) -> str:
    """Write a value as the grammar reads it.

    Examples
    --------
    >>> [literal_text(each) for each in (True, Fraction(-5, 2), "it's")]
    ['true', '-2.5', "'it''s'"]
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Fraction):
        return decimal_text(value)
    doubled = value.replace("'", "''")
    return f"'{doubled}'"


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


def _sum_text(terms: Sequence[tuple[int, str]]) -> str:
    parts = [f"{'-' if f < 0 else '+'} {'' if abs(f) == 1 else f'{abs(f)}*'}{text}" for f, text in terms if f]
    return " ".join(parts).removeprefix("+ ")
