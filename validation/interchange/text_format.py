"""A reader of protobuf's text format, without messages or descriptors: fields by name, each a list of values.

Follows the grammar of https://protobuf.dev/reference/protobuf/textformat-spec/, without extensions and
any-messages. The text is hostile: its length, nesting and numbers are bounded.
"""

import re
from typing import Any, Final

from foldstore.errors import InvalidSchemaError

# A message: for each field its values in order; a value is text, int, float, bool, a word, or a message.
Message = dict[str, list[Any]]

_MAX_LENGTH: Final = 64 << 20
_MAX_DEPTH: Final = 64
_TOKEN: Final = re.compile(
    r"""(?P<skip>[\s]+|\#[^\n]*)
    |(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<number>-?(?:0[xX][0-9a-fA-F]{1,16}|(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,4})?[fF]?|inf\b|infinity\b|nan\b))
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<mark>[{}<>\[\]:,;])""",
    re.VERBOSE | re.ASCII,
)
_ESCAPE: Final = re.compile(rb"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_LETTERS: Final = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}


def read_text_format(text: str) -> Message:
    r"""Read a message.

    Raises
    ------
    InvalidSchemaError
        With the line, for text that is not of the format.

    Examples
    --------
    >>> read_text_format('feature { name: "a" type: INT presence { min_fraction: 1 } }')
    {'feature': [{'name': ['a'], 'type': ['INT'], 'presence': [{'min_fraction': [1]}]}]}
    """
    if len(text) > _MAX_LENGTH:
        raise InvalidSchemaError(f"The text has {len(text):,} characters; the limit is {_MAX_LENGTH:,}.")
    return _Reader(text).message(None, 0)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._kind, self._value = "", ""
        self._next()

    def message(self, end: str | None, depth: int) -> Message:
        if depth > _MAX_DEPTH:
            raise self._error(f"nested more than {_MAX_DEPTH} levels deep")
        fields: Message = {}
        while not (self._kind == "end" if end is None else self._value == end and self._kind == "mark"):
            if self._kind != "word":
                raise self._error(f"expected the name of a field, found {self._value[:40]!r}")
            name = self._take()
            has_colon = self._skip(":")
            fields.setdefault(name, []).extend(self._values(depth, has_colon=has_colon))
            if not self._skip(","):
                self._skip(";")
        if end is not None:
            self._next()
        return fields

    def _values(self, depth: int, *, has_colon: bool) -> list[Any]:
        if not self._skip("["):
            return [self._one(depth, has_colon=has_colon)]
        values: list[Any] = []
        while not self._skip("]"):
            values.append(self._one(depth, has_colon=True))
            if not self._skip(",") and self._value != "]":
                raise self._error("expected ',' or ']'")
        return values

    def _one(self, depth: int, *, has_colon: bool) -> Any:
        for opening, closing in (("{", "}"), ("<", ">")):
            if self._skip(opening):
                return self.message(closing, depth + 1)
        if not has_colon:
            raise self._error("expected ':' or '{'")
        kind = self._kind
        if kind == "text":
            parts = b""
            while self._kind == "text":  # neighbours are joined, as in C
                parts += _unescape(self._take()[1:-1])
            try:
                return parts.decode()
            except UnicodeDecodeError as error:
                raise self._error("text that is not UTF-8") from error
        if kind == "number":
            return _number(self._take())
        if kind == "word":
            word = self._take()
            return {"true": True, "false": False}.get(word, word)
        raise self._error(f"expected a value, found {self._value[:40]!r}")

    def _skip(self, mark: str) -> bool:
        if self._kind != "mark" or self._value != mark:
            return False
        self._next()
        return True

    def _take(self) -> str:
        value = self._value
        self._next()
        return value

    def _next(self) -> None:
        while self._at < len(self._text):
            found = _TOKEN.match(self._text, self._at)
            if found is None:
                raise self._error(f"found {self._text[self._at : self._at + 20]!r}")
            self._at = found.end()
            if found.lastgroup != "skip":
                self._kind, self._value = str(found.lastgroup), found[0]
                return
        self._kind, self._value = "end", "the end"

    def _error(self, what: str) -> InvalidSchemaError:
        line = self._text.count("\n", 0, self._at) + 1
        return InvalidSchemaError(f"Line {line} of the text format: {what}.", line=line)


def _number(text: str) -> int | float:
    if "x" in text.lower():
        return int(text, 16)
    plain = text.rstrip("fF") if text.lower() not in ("inf", "-inf") else text
    return int(plain) if re.fullmatch(r"-?\d+", plain) else float(plain)


def _unescape(text: str) -> bytes:
    def one(found: "re.Match[bytes]") -> bytes:
        octal, hexa, wide, letter = found.groups()
        if octal:
            return bytes([int(octal, 8) & 255])
        if hexa:
            return bytes([int(hexa, 16)])
        if wide:
            return chr(int(wide, 16)).encode("utf-8", "surrogatepass")
        return _LETTERS.get(letter, letter)

    return _ESCAPE.sub(one, text.encode("utf-8", "surrogatepass"))
