"""What was probably meant by a name or an address that the grammar refuses: quotes left in, look-alikes, case.

Nothing is ever repaired silently: `foldstore.names` refuses, and says in the hint what would do.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

_LONGEST: Final = 400
_QUOTES: Final = re.compile("[\"'`\u00ab\u00bb\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2032\u2033]")
_INVISIBLE: Final = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_DASHES: Final = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"), "-")
# Letters of other alphabets that look like the Latin ones, after Unicode's confusables (UTS 39), and the sharp sign.
_LOOK_ALIKES: Final = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u04bb\u04cf\u03b1\u03bf\u03bd\u03b9\u03ba"
    "\u03c1\u03c4\u03c5\u03c7\u03f2\u0131\u0261\u266f",
    "aeopcyxijsdhlaovikptuxcig#",
)
_REF_BEHIND: Final = re.compile(r"([^@#]+)#([^@#.]+)@([^@#.]+)(\.[^@#]+)?")


def suggest(text: str, accepts: Callable[[str], bool]) -> str:
    """Return a hint that begins with what was probably meant, or "" when nothing near is accepted.

    Parameters
    ----------
    text : str
        What was refused.
    accepts : callable
        Whether the grammar takes a text.

    Examples
    --------
    >>> suggest("'Flights@3'", lambda text: text.islower())
    "Did you mean 'flights@3'? Leave the quotes out. Names are lower case."
    """
    if len(text) > _LONGEST:
        return ""
    reasons: list[str] = []
    repaired = text
    for repair in (_decode, _drop_quotes, _drop_spaces, _make_plain, _make_lower, _move_ref):
        changed, reason = repair(repaired)
        if changed != repaired:
            reasons.append(reason)
            repaired = changed
    if not reasons or not accepts(repaired):
        return ""
    return " ".join([f"Did you mean {repaired!r}?", *reasons])


def _decode(text: str) -> tuple[str, str]:
    return unquote(text), "It is percent-encoded."


def _drop_quotes(text: str) -> tuple[str, str]:
    return _QUOTES.sub("", text), "Leave the quotes out."


def _drop_spaces(text: str) -> tuple[str, str]:
    return "".join(_INVISIBLE.sub("", text).split()), "It holds spaces, seen or unseen."


def _make_plain(text: str) -> tuple[str, str]:
    plain = unicodedata.normalize("NFKC", text).translate(_DASHES)
    plain = "".join(letter.lower().translate(_LOOK_ALIKES) if not letter.isascii() else letter for letter in plain)
    foreign = next((letter for letter in text if not letter.isascii()), "")
    return plain, f"{foreign!a} is {unicodedata.name(foreign, 'a character without a name') if foreign else ''}."


def _make_lower(text: str) -> tuple[str, str]:
    return text.lower(), "Names are lower case."


def _move_ref(text: str) -> tuple[str, str]:
    """Turn ``name#split@ref`` round."""
    found = _REF_BEHIND.fullmatch(text)
    if found is None:
        return text, ""
    name, split, ref, part = found.groups()
    return f"{name}@{ref}#{split}{part or ''}", "The version stands before the split."
