"""The pieces of a condition's text, and the error that points at one of them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NoReturn

from foldstore.errors import UsageError

GRAMMAR_HINT: Final = (
    "Write for instance: n - o > 0.02 +/- 0.01 /\\ d < 0.1 +/- 0.01, "
    "where n is the accuracy of the new model, o of the old one, d the fraction of predictions that differ."
)

# A condition is a line that a person writes; the bounds keep numbers and error messages small.
_LONGEST: Final = 1_000


class TokenKind(StrEnum):
    """What a piece of text is."""

    NUMBER = "number"
    NAME = "name"
    TEXT = "text"
    COLUMN = "column"
    TOLERANCE = "tolerance"
    AND = "and"
    COMPARISON = "comparison"
    EQUALITY = "equality"
    OPERATOR = "operator"
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text and where it stands."""

    kind: TokenKind
    text: str
    position: int


_PATTERNS: Final = (
    (TokenKind.TOLERANCE, r"\+/-|±"),
    (TokenKind.AND, r"/\\|∧|&&?"),
    (TokenKind.EQUALITY, r"!=|≠|="),
    (TokenKind.COMPARISON, r">=|<=|≥|≤|>|<"),
    (TokenKind.NUMBER, r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2}(?![0-9]))?"),
    (TokenKind.NAME, r"[A-Za-z_][A-Za-z_0-9]*"),
    (TokenKind.TEXT, r"'(?:[^'\x00-\x1f]|'')*'"),
    (TokenKind.COLUMN, r'"(?:[^"\x00-\x1f]|"")+"'),
    (TokenKind.OPERATOR, r"[-+*/(),\[\]]"),
)
_TOKEN: Final = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _PATTERNS))
_SPACE: Final = re.compile(r"[ \t\r\n]*")


def split_tokens(text: str) -> list[Token]:
    """Split a condition into its pieces, the last of which is the end.

    Raises
    ------
    UsageError
        With code ``invalid-condition``: it is no text, too long, or a character has no meaning.
    """
    if not isinstance(text, str):
        raise UsageError("A condition is text.", hint=GRAMMAR_HINT, code="invalid-condition")
    if len(text) > _LONGEST:
        raise UsageError(
            f"A condition has at most {_LONGEST:,} characters, not {len(text):,}.", code="invalid-condition"
        )
    return list(_tokens(text))


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
            is_open = text[position] in "'\""
            problem = f"{text[position]!a} {'is never closed.' if is_open else 'has no meaning here.'}"
            refuse_at(text, position, problem)
        kind = TokenKind(found.lastgroup or "")
        is_and = kind is TokenKind.NAME and found.group().lower() == "and"
        yield Token(TokenKind.AND if is_and else kind, found.group(), position)
        position = found.end()
