"""The text form of a condition: a tokenizer and a parser of its own, nothing is ever evaluated.

::

    formula  := clause ( ("/\\" | "and" | "&") clause )*
    clause   := sum (">" | "<" | ">=" | "<=") sum [ ("+/-" | "±") number ]
    sum      := ["-"] term ( ("+" | "-") term )*
    term     := number ["*"] variable | variable ["*" number] | number
    number   := decimal [ "/" decimal ]
    variable := "n" | "o" | "d"
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final, NoReturn

from foldstore.errors import UsageError

VARIABLES: Final = ("n", "o", "d")
GRAMMAR_HINT: Final = (
    "Write for instance: n - o > 0.02 +/- 0.01 /\\ d < 0.1 +/- 0.01, "
    "where n is the accuracy of the new model, o of the old one, d the fraction of predictions that differ."
)

# A condition is a line that a person writes; the bounds keep numbers and error messages small.
_LONGEST: Final = 1_000
_MOST_DIGITS: Final = 18


class TokenKind(StrEnum):
    """What a piece of text is."""

    NUMBER = "number"
    NAME = "name"
    TOLERANCE = "tolerance"
    AND = "and"
    COMPARISON = "comparison"
    OPERATOR = "operator"
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text and where it stands."""

    kind: TokenKind
    text: str
    position: int


@dataclass(frozen=True, slots=True)
class ParsedClause:
    """One comparison, everything moved to its left side.

    Attributes
    ----------
    coefficients : Mapping[str, Fraction]
        Of each variable on the left.
    comparison : str
        ``>`` or ``<``; a bound itself has no weight in any of the tests, so ``>=`` reads as ``>``.
    bound : Fraction
    tolerance : Fraction or None
    position : int
        Where the clause begins in the text.
    """

    coefficients: Mapping[str, Fraction]
    comparison: str
    bound: Fraction
    tolerance: Fraction | None
    position: int


_PATTERNS: Final = (
    (TokenKind.TOLERANCE, r"\+/-|±"),
    (TokenKind.AND, r"/\\|∧|&&?"),
    (TokenKind.COMPARISON, r">=|<=|≥|≤|>|<"),
    (TokenKind.NUMBER, r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2}(?![0-9]))?"),
    (TokenKind.NAME, r"[A-Za-z_][A-Za-z_0-9]*"),
    (TokenKind.OPERATOR, r"[-+*/(),]"),
)
_TOKEN: Final = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _PATTERNS))
_SPACE: Final = re.compile(r"[ \t\r\n]*")


def parse_clauses(text: str) -> tuple[ParsedClause, ...]:
    """Read the clauses of a condition, in the order written.

    Raises
    ------
    UsageError
        With code ``invalid-condition``; the message points at the character.
    """
    if not isinstance(text, str):
        raise UsageError("A condition is text.", hint=GRAMMAR_HINT, code="invalid-condition")
    if len(text) > _LONGEST:
        raise UsageError(
            f"A condition has at most {_LONGEST:,} characters, not {len(text):,}.", code="invalid-condition"
        )
    return _Parser(text).formula()


def refuse_at(text: str, position: int, problem: str, *, hint: str = GRAMMAR_HINT) -> NoReturn:
    """Raise the error that points at a character of the condition."""
    # The caret stands under the character only if the text fills one line of plain columns.
    line = re.sub(r"[\t\r\n]", " ", text)
    raise UsageError(
        f"The condition is wrong at character {position + 1}: {problem}\n    {line}\n    {' ' * position}^",
        hint=hint,
        code="invalid-condition",
        condition=text,
        position=position,
    )


def _tokens(text: str) -> Iterator[Token]:
    position = 0
    while True:
        space = _SPACE.match(text, position)
        position = space.end() if space else position
        if position == len(text):
            yield Token(TokenKind.END, "", position)
            return
        if text.startswith("||", position):
            refuse_at(text, position, "'or' cannot be tested.", hint="Join clauses with /\\ only.")
        found = _TOKEN.match(text, position)
        if found is None:
            refuse_at(text, position, f"{text[position]!a} has no meaning here.")
        kind = TokenKind(found.lastgroup or "")
        is_and = kind is TokenKind.NAME and found.group().lower() == "and"
        yield Token(TokenKind.AND if is_and else kind, found.group(), position)
        position = found.end()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._left = list(_tokens(text))

    def formula(self) -> tuple[ParsedClause, ...]:
        clauses = [self._clause()]
        while self._accept(TokenKind.AND):
            clauses.append(self._clause())
        if self._peek().kind is not TokenKind.END:
            self._refuse("a clause ends before this; /\\ joins clauses.")
        return tuple(clauses)

    def _peek(self) -> Token:
        return self._left[0]

    def _accept(self, kind: TokenKind, *texts: str) -> Token | None:
        if self._peek().kind is kind and (not texts or self._peek().text in texts):
            return self._left.pop(0)
        return None

    def _refuse(self, problem: str, *, hint: str = GRAMMAR_HINT) -> NoReturn:
        refuse_at(self._text, self._peek().position, problem, hint=hint)

    def _clause(self) -> ParsedClause:
        position = self._peek().position
        left = self._sum()
        comparison = self._accept(TokenKind.COMPARISON)
        if comparison is None:
            self._refuse("a comparison, > or <, belongs here.")
        right = self._sum()
        tolerance = self._tolerance()
        coefficients = {name: left[name] - right[name] for name in VARIABLES}
        if not any(coefficients.values()):
            refuse_at(self._text, position, "this clause compares none of n, o and d.")
        sense = ">" if comparison.text in (">", ">=", "≥") else "<"
        return ParsedClause(coefficients, sense, right[""] - left[""], tolerance, position)

    def _tolerance(self) -> Fraction | None:
        if not self._accept(TokenKind.TOLERANCE):
            return None
        start = self._peek().position
        tolerance = self._number()
        if tolerance <= 0:
            refuse_at(self._text, start, "a tolerance is greater than 0.")
        return tolerance

    def _sum(self) -> dict[str, Fraction]:
        """Read a sum; the key "" holds its constant."""
        total = dict.fromkeys((*VARIABLES, ""), Fraction(0))
        sign = self._accept(TokenKind.OPERATOR, "-")
        while True:
            name, factor = self._term()
            total[name] += -factor if sign and sign.text == "-" else factor
            sign = self._accept(TokenKind.OPERATOR, "+", "-")
            if not sign:
                return total

    def _term(self) -> tuple[str, Fraction]:
        if self._peek().kind is TokenKind.NAME:
            name = self._variable()
            return name, self._number() if self._accept(TokenKind.OPERATOR, "*") else Fraction(1)
        factor = self._number()
        if self._accept(TokenKind.OPERATOR, "*") or self._peek().kind is TokenKind.NAME:
            return self._variable(), factor
        return "", factor

    def _variable(self) -> str:
        name = self._peek()
        if name.kind is not TokenKind.NAME:
            self._refuse("a variable, n, o or d, belongs here.")
        if name.text not in VARIABLES:
            self._refuse(f"{name.text[:40]!r} is not a variable; there are n, o and d.")
        self._left.pop(0)
        if self._peek().text == "/":
            self._refuse("a ratio cannot be tested.", hint="n/o > 1.1 says the same as n - 1.1*o > 0.")
        return name.text

    def _number(self) -> Fraction:
        value = self._decimal()
        if not self._accept(TokenKind.OPERATOR, "/"):
            return value
        start = self._peek().position
        divisor = self._decimal()
        if divisor == 0:
            refuse_at(self._text, start, "nothing can be divided by 0.")
        return value / divisor

    def _decimal(self) -> Fraction:
        token = self._accept(TokenKind.NUMBER)
        if token is None:
            self._refuse("a number belongs here." if self._peek().text else "the condition ends too early.")
        if sum(each.isdigit() for each in token.text) > _MOST_DIGITS:
            refuse_at(self._text, token.position, f"a number has at most {_MOST_DIGITS} digits.")
        return Fraction(token.text)
