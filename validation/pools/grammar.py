"""The text form of a condition: a parser of its own, nothing is ever evaluated.

::

    formula  := clause ( ("/\\" | "and" | "&") clause )*
    clause   := side (">" | "<" | ">=" | "<=") side [ ("+/-" | "±") number ]
    side     := sum | atom "/" atom
    sum      := ["-"] term ( ("+" | "-") term )*
    term     := number ["*"] atom | atom ["*" number] | number
    number   := decimal [ "/" decimal ]
    atom     := ("n" | "o" | "d") [ "[" slice "]" ] | metric "(" model [ "=" value ] [ "," slice ] ")"
    metric   := "acc" | "error" | "precision" | "recall" | "f1" | a registered score
    model    := "n" | "o"
    slice    := column ("=" | "!=" | "<" | "<=" | ">" | ">=") value ( ("," | "and") slice )*
    column   := name | "double-quoted"
    value    := 'single-quoted' | number | "true" | "false"

Precision, recall, F1 and a ratio stand alone on their side.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NoReturn

from foldstore.errors import did_you_mean
from foldstore.validation.pools.scores import (
    VARIABLES,
    Comparison,
    Literal,
    Model,
    Rate,
    Slice,
)
from foldstore.validation.pools.tokens import GRAMMAR_HINT, Token, TokenKind, refuse_at, split_tokens

_MOST_DIGITS: Final = 18
_ACCURACY: Final = ("acc", "accuracy")
BUILT_IN: Final = (*_ACCURACY, "error", *map(str, Rate))
_RATES: Final = frozenset(map(str, Rate))
_SLICE_HINT: Final = "Write for instance n[carrier = 'UA'] or recall(n, distance > 1000)."
_RATIO_HINT: Final = "Write for instance n / o > 1.1 +/- 0.01 or error(n) / error(o) < 0.9 +/- 0.01."


@dataclass(frozen=True, slots=True)
class Atom:
    """A quantity that a condition names.

    Attributes
    ----------
    name : str
        n, o, d, a rate or a registered score.
    model : Model or None
    positive : str, bool or Fraction
        Of a rate: the class.
    where : tuple of Comparison
    """

    name: str
    model: Model | None = None
    positive: Literal = True
    where: Slice = ()


# None is the key of the constant.
Sum = dict[Atom | None, Fraction]


@dataclass(frozen=True, slots=True)
class _Ratio:
    above: Sum
    below: Sum
    position: int


@dataclass(frozen=True, slots=True)
class ParsedClause:
    """One comparison, everything moved to its left side.

    Attributes
    ----------
    terms : Mapping of Atom to Fraction
        The factor of each quantity on the left: all linear in one slice, one rate, or one registered score.
    comparison : str
        ``>`` or ``<``; a bound itself has no weight in any of the tests, so ``>=`` reads as ``>``.
    bound : Fraction
    tolerance : Fraction or None
    position : int
        Where the clause begins in the text.
    """

    terms: Mapping[Atom, Fraction]
    comparison: str
    bound: Fraction
    tolerance: Fraction | None
    position: int


def parse_clauses(text: str, scores: Iterable[str] = ()) -> tuple[ParsedClause, ...]:
    """Read the clauses of a condition, in the order written.

    Parameters
    ----------
    text : str
    scores : iterable of str
        The names of registered scores.

    Raises
    ------
    UsageError
        With code ``invalid-condition``; the message points at the character.
    """
    return _Parser(text, tuple(scores)).formula()


class _Parser:
    def __init__(self, text: str, scores: tuple[str, ...]) -> None:
        self._text = text
        self._scores = scores
        self._left = split_tokens(text)

    def formula(self) -> tuple[ParsedClause, ...]:
        clauses = [self._clause()]
        while self._accept(TokenKind.AND):
            clauses.append(self._clause())
        if self._peek().kind is not TokenKind.END:
            self._refuse("a clause ends before this; /\\ joins clauses.")
        return tuple(clauses)

    def _peek(self, ahead: int = 0) -> Token:
        return self._left[min(ahead, len(self._left) - 1)]

    def _accept(self, kind: TokenKind, *texts: str) -> Token | None:
        if self._peek().kind is kind and (not texts or self._peek().text in texts):
            return self._left.pop(0)
        return None

    def _expect(self, operator: str, problem: str) -> None:
        if not self._accept(TokenKind.OPERATOR, operator):
            self._refuse(problem)

    def _refuse(self, problem: str, *, hint: str = GRAMMAR_HINT) -> NoReturn:
        self._refuse_at(self._peek().position, problem, hint=hint)

    def _refuse_at(self, position: int, problem: str, *, hint: str = GRAMMAR_HINT) -> NoReturn:
        refuse_at(self._text, position, problem, hint=hint)

    def _clause(self) -> ParsedClause:
        position = self._peek().position
        left = self._side()
        comparison = self._accept(TokenKind.COMPARISON)
        if comparison is None:
            self._refuse("a comparison, > or <, belongs here.")
        right = self._side()
        tolerance = self._tolerance()
        is_above = comparison.text in (">", ">=", "≥")
        if isinstance(left, _Ratio):
            left, right = self._without_ratio(left, right)
        elif isinstance(right, _Ratio):
            right, left = self._without_ratio(right, left)
        total = _minus(left, right)
        bound = -total.pop(None, Fraction(0))
        terms = {atom: factor for atom, factor in total.items() if atom is not None and factor}
        if not terms:
            self._refuse_at(position, "this clause compares none of n, o and d.")
        self._refuse_mixture(position, [*terms])
        return ParsedClause(terms, ">" if is_above else "<", bound, tolerance, position)

    def _without_ratio(self, ratio: _Ratio, other: "Sum | _Ratio") -> tuple[Sum, Sum]:
        """Multiply by what stands below: x/y > r says x > r y, for y is never below 0."""
        if isinstance(other, _Ratio) or set(other) - {None}:
            self._refuse_at(ratio.position, "a ratio is compared with a number.", hint=_RATIO_HINT)
        value = other.get(None, Fraction(0))
        if value <= 0:
            self._refuse_at(ratio.position, "a ratio is always greater than 0.", hint=_RATIO_HINT)
        return ratio.above, {atom: factor * value for atom, factor in ratio.below.items()}

    def _refuse_mixture(self, position: int, atoms: list[Atom]) -> None:
        names, slices = {each.name for each in atoms}, {each.where for each in atoms}
        if len(atoms) > 1 and names & _RATES:
            self._refuse_at(
                position,
                "precision, recall and f1 stand alone in a clause.",
                hint="Write a clause for each: recall(n) > 0.8 +/- 0.02 /\\ precision(n) > 0.7 +/- 0.02.",
            )
        if len(slices) > 1:
            self._refuse_at(position, "a clause speaks of one slice.", hint="Write a clause for each slice.")
        if len(names) > 1 and names - set(VARIABLES):
            self._refuse_at(position, "a registered score is not mixed with others.", hint="Write a clause for each.")

    def _tolerance(self) -> Fraction | None:
        if not self._accept(TokenKind.TOLERANCE):
            return None
        start = self._peek().position
        tolerance = self._number()
        if tolerance <= 0:
            self._refuse_at(start, "a tolerance is greater than 0.")
        return tolerance

    def _side(self) -> "Sum | _Ratio":
        total: Sum = {}
        sign = self._accept(TokenKind.OPERATOR, "-")
        while True:
            start = self._peek().position
            term, plain = self._term()
            if self._peek().text == "/":
                if total or sign or not plain:
                    self._refuse("a ratio stands alone on its side.", hint=_RATIO_HINT)
                return self._ratio(term, start)
            for atom, factor in term.items():
                total[atom] = total.get(atom, Fraction(0)) + (-factor if sign and sign.text == "-" else factor)
            sign = self._accept(TokenKind.OPERATOR, "+", "-")
            if not sign:
                return total

    def _ratio(self, above: Sum, position: int) -> _Ratio:
        self._left.pop(0)
        if self._peek().kind is not TokenKind.NAME:
            self._refuse("a variable, n, o or d, belongs here; write 0.5*n for n/2.", hint=_RATIO_HINT)
        start = self._peek().position
        below = self._atom()
        for atom in (*above, *below):
            if atom is not None and atom.name not in VARIABLES:
                self._refuse_at(start, f"{atom.name} has no place in a ratio.", hint=_RATIO_HINT)
        if self._peek().text in ("+", "-", "*", "/"):
            self._refuse("a ratio stands alone on its side.", hint=_RATIO_HINT)
        return _Ratio(above, below, position)

    def _term(self) -> tuple[Sum, bool]:
        """Return a term, and whether it is an atom without a factor."""
        if self._peek().kind is TokenKind.NAME:
            atom = self._atom()
            if not self._accept(TokenKind.OPERATOR, "*"):
                return atom, True
            return _times(atom, self._number()), False
        factor = self._number()
        if self._accept(TokenKind.OPERATOR, "*") or self._peek().kind is TokenKind.NAME:
            return _times(self._atom(), factor), False
        return {None: factor}, False

    def _atom(self) -> Sum:
        name = self._peek()
        if name.kind is not TokenKind.NAME:
            self._refuse("a variable, n, o or d, belongs here.")
        if self._peek(1).text == "(":
            return self._call(name)
        if name.text not in VARIABLES:
            problem = f"{name.text[:40]!r} is not a variable; there are n, o and d."
            is_metric = name.text in (*BUILT_IN, *self._scores)
            self._refuse(problem, hint=f"Write {name.text}(n)." if is_metric else GRAMMAR_HINT)
        self._left.pop(0)
        where: Slice = ()
        if self._accept(TokenKind.OPERATOR, "["):
            where = self._slice()
            self._expect("]", "the slice is closed with ] here.")
        return {Atom(name.text, where=where): Fraction(1)}

    def _call(self, name: Token) -> Sum:
        known = (*BUILT_IN, *self._scores)
        if name.text not in known:
            hint = did_you_mean(name.text, known) or f"There are {', '.join(known)}."
            self._refuse(f"{name.text[:40]!r} is no metric.", hint=hint)
        del self._left[:2]
        model = self._accept(TokenKind.NAME, *Model)
        if model is None:
            self._refuse("whose? n, the new model, or o, the old one, belongs here.", hint=f"Write {name.text}(n).")
        positive: Literal = True
        equals = self._accept(TokenKind.EQUALITY, "=")
        if equals:
            if name.text not in _RATES:
                self._refuse_at(equals.position, f"{name.text} has no class.", hint="Classes go with f1 and the like.")
            positive = self._value()
        where = self._slice() if self._accept(TokenKind.OPERATOR, ",") else ()
        self._expect(")", "the metric is closed with ) here.")
        if name.text in (*_ACCURACY, "error"):
            right = Atom(model.text, where=where)
            return {right: Fraction(1)} if name.text in _ACCURACY else {None: Fraction(1), right: Fraction(-1)}
        return {Atom(name.text, Model(model.text), positive, where): Fraction(1)}

    def _slice(self) -> Slice:
        found = [self._comparison()]
        while self._accept(TokenKind.OPERATOR, ",") or self._accept(TokenKind.AND):
            found.append(self._comparison())
        return tuple(sorted(set(found), key=str))

    def _comparison(self) -> Comparison:
        column = self._accept(TokenKind.NAME) or self._accept(TokenKind.COLUMN)
        if column is None:
            self._refuse("the name of a column belongs here.", hint=_SLICE_HINT)
        name = column.text[1:-1].replace('""', '"') if column.kind is TokenKind.COLUMN else column.text
        sign = self._accept(TokenKind.EQUALITY) or self._accept(TokenKind.COMPARISON)
        if sign is None:
            self._refuse("=, !=, <, <=, > or >= belongs here.", hint=_SLICE_HINT)
        start = self._peek().position
        value = self._value()
        if sign.kind is TokenKind.COMPARISON and not isinstance(value, Fraction):
            self._refuse_at(start, "only numbers are compared by size.", hint=_SLICE_HINT)
        plain = {"≥": ">=", "≤": "<=", "≠": "!="}.get(sign.text, sign.text)
        return Comparison(column=name, sign=plain, value=value)

    def _value(self) -> Literal:
        text = self._accept(TokenKind.TEXT)
        if text:
            return text.text[1:-1].replace("''", "'")
        if self._peek().kind is TokenKind.NAME and self._peek().text.lower() in ("true", "false"):
            return self._left.pop(0).text.lower() == "true"
        minus = self._accept(TokenKind.OPERATOR, "-")
        if self._peek().kind is not TokenKind.NUMBER:
            self._refuse("a value belongs here: 'text', a number, true or false.", hint=_SLICE_HINT)
        return -self._number() if minus else self._number()

    def _number(self) -> Fraction:
        value = self._decimal()
        if self._peek().text != "/" or self._peek(1).kind is TokenKind.NAME:
            return value
        self._left.pop(0)
        start = self._peek().position
        divisor = self._decimal()
        if divisor == 0:
            self._refuse_at(start, "nothing can be divided by 0.")
        return value / divisor

    def _decimal(self) -> Fraction:
        token = self._accept(TokenKind.NUMBER)
        if token is None:
            self._refuse("a number belongs here." if self._peek().text else "the condition ends too early.")
        if sum(each.isdigit() for each in token.text) > _MOST_DIGITS:
            self._refuse_at(token.position, f"a number has at most {_MOST_DIGITS} digits.")
        return Fraction(token.text)


def _times(terms: Sum, factor: Fraction) -> Sum:
    return {atom: factor * each for atom, each in terms.items()}


def _minus(left: Sum, right: Sum) -> Sum:
    total = dict(left)
    for atom, factor in right.items():
        total[atom] = total.get(atom, Fraction(0)) - factor
    return total
