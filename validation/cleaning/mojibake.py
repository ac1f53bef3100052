"""Mojibake: UTF-8 that was read as latin-1 or Windows-1252, found and undone by an exact round trip.

``Zürich`` written as UTF-8 and read as Windows-1252 is ``ZÃ¼rich``. A text is repaired only when writing it in the
wrong encoding gives bytes that are valid UTF-8 with at least one character of several bytes, and reading the repaired
text wrongly again gives the very text that was there. Ordinary text hardly ever passes: a lead byte of UTF-8 must be
followed by the right number of bytes 80 to BF, which are signs and control characters in both encodings.
"""

from collections.abc import Iterable
from typing import Final

ENCODINGS: Final = ("cp1252", "latin-1")
_MOST_ROUNDS: Final = 3
# What a byte of C2 to F4 reads as in both encodings: none of it, no mojibake.
_LEADS: Final = frozenset(map(chr, range(0xC2, 0xF5)))


def fix_mojibake(text: str, encodings: Iterable[str] = ENCODINGS) -> str:
    """Return the text that was meant, or the text itself.

    Text that went wrong twice is repaired twice.

    Examples
    --------
    >>> fix_mojibake("ZÃ¼rich"), fix_mojibake("Zürich"), fix_mojibake("naÃƒÂ¯ve")
    ('Zürich', 'Zürich', 'naïve')
    """
    names = tuple(encodings)
    for _ in range(_MOST_ROUNDS):
        repaired = _undo_once(text, names)
        if repaired == text:
            return text
        text = repaired
    return text


def is_mojibake(text: str) -> bool:
    """Say whether a text would be repaired."""
    return fix_mojibake(text) != text


def _undo_once(text: str, encodings: tuple[str, ...]) -> str:
    if _LEADS.isdisjoint(text):
        return text
    for encoding in encodings:
        try:
            written = _write(text, encoding)
            repaired = written.decode("utf-8")
        except UnicodeError:
            continue
        if len(repaired) < len(text) and _read(written, encoding) == text and _plausible(repaired):
            return repaired
    return text


def _plausible(text: str) -> bool:
    """Say whether a text holds no control characters, which nobody types."""
    return all(letter.isprintable() or letter in "\t\n\r\u00a0\u00ad\u200b\ufeff\u3000" for letter in text)


def _write(text: str, encoding: str) -> bytes:
    """Write a text; the five bytes that Windows-1252 leaves free stand for themselves, as browsers read them."""
    if encoding != "cp1252":
        return text.encode(encoding)
    return b"".join(c.encode("latin-1") if c in _FREE else c.encode("cp1252") for c in text)


def _read(written: bytes, encoding: str) -> str:
    if encoding != "cp1252":
        return written.decode(encoding)
    return "".join(chr(b) if chr(b) in _FREE else bytes([b]).decode("cp1252") for b in written)


_FREE: Final = frozenset("\x81\x8d\x8f\x90\x9d")
