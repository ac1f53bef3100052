"""The one grammar of names and addresses; every entrance calls it.

``address = name[@ref][#split[.part]]``: ``flights``, ``flights@3``, ``flights@champion``,
``flights@3#by_month.train``; ``#train`` alone is the part of the split named ``default``.
Nothing here touches a disk: names are looked up in the catalog and never become paths.
"""

import re
from dataclasses import dataclass
from typing import Final

from foldstore.errors import InvalidNameError, did_you_mean
from foldstore.name_repair import suggest

PARTS: Final = ("train", "validation", "test")
LATEST: Final = "latest"
DEFAULT_SPLIT: Final = "default"
MAIN_BRANCH: Final = "main"

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}", re.ASCII)
_SPLIT = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}", re.ASCII)
_RESERVED = frozenset((*PARTS, LATEST))
# '..' inside a name is harmless here (names are never paths) but reads as an attack, so it is refused too.
_RULE = "Use 1 to 100 of a-z, 0-9, '_', '-' and '.', beginning with a letter or a digit, without '..'."


def check_name(name: object, kind: str = "dataset") -> str:
    """Return the name when the grammar allows it.

    Parameters
    ----------
    name : object
        What the user gave; anything but a str is refused.
    kind : str
        What is named, for the message.

    Raises
    ------
    InvalidNameError
        When the name is outside the grammar or reserved.

    Examples
    --------
    >>> check_name("flights")
    'flights'
    """
    checked = check_label(name, kind)
    if checked in _RESERVED or checked.startswith("foldstore."):
        raise InvalidNameError(
            f"{name!r} is reserved and cannot name {'an' if kind[0] in 'aeiou' else 'a'} {kind}.",
            hint="Choose another.",
            name=name,
        )
    return checked


def check_label(name: object, kind: str) -> str:
    """Return the name of what no address names (a run, a tag of a dataset): nothing is reserved there.

    Examples
    --------
    >>> check_label("train", "run")
    'train'
    """
    if not isinstance(name, str) or not _is_name(name):
        meant = suggest(name, _is_name) if isinstance(name, str) else ""
        hint = f"{meant} {_RULE}".lstrip()
        raise InvalidNameError(f"{_shown(name)} is not a valid {kind} name.", hint=hint, name=_shown(name), kind=kind)
    return name


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None and ".." not in text


def check_split_name(name: object) -> str:
    """Return the name of a split when the grammar allows it (as `check_name`, without dots)."""
    checked = check_name(name, "split")
    if not _SPLIT.fullmatch(checked):
        raise InvalidNameError(f"{checked!r} is not a valid split name: it holds a dot.", hint=_RULE, name=checked)
    return checked


def check_ref_name(name: object, kind: str = "alias") -> str:
    """Return the name of a branch, alias or tag; all-digit names would read as version numbers."""
    checked = check_name(name, kind)
    if checked.isdigit():
        raise InvalidNameError(f"{checked!r} reads as a version number.", hint="Begin with a letter.", name=checked)
    return checked


@dataclass(frozen=True, slots=True)
class Address:
    """What an address names, taken apart.

    Attributes
    ----------
    name : str
        The dataset or view.
    ref : str
        A version number, a branch, an alias, a tag, or ``latest``.
    split, part : str or None
        The split, and ``train``, ``validation`` or ``test`` of it.
    """

    name: str
    ref: str = LATEST
    split: str | None = None
    part: str | None = None

    def __str__(self) -> str:
        ref = "" if self.ref == LATEST else f"@{self.ref}"
        if self.split is None:
            return f"{self.name}{ref}"
        if self.split == DEFAULT_SPLIT and self.part:
            return f"{self.name}{ref}#{self.part}"
        return f"{self.name}{ref}#{self.split}" + (f".{self.part}" if self.part else "")


def parse_address(text: object) -> Address:
    """Take an address apart.

    Raises
    ------
    InvalidNameError
        When any part of it is outside the grammar.

    Examples
    --------
    >>> parse_address("flights@3#by_month.train")
    Address(name='flights', ref='3', split='by_month', part='train')
    """
    if not isinstance(text, str):
        raise InvalidNameError(f"{_shown(text)} is not an address.", hint="Write name[@version][#split[.part]].")
    try:
        return _parse(text)
    except InvalidNameError as error:
        if meant := suggest(text, _is_address):
            facts = {"address": _shown(text), **error.facts}
            raise InvalidNameError(f"{_shown(text)} is not an address.", hint=meant, **facts) from None
        raise


def parse_address_given(text: object, argument: str) -> Address:
    """Take the address apart that an argument gives; the error names the argument.

    Raises
    ------
    InvalidNameError
        When any part of it is outside the grammar.
    """
    try:
        return parse_address(text)
    except InvalidNameError as error:
        raise InvalidNameError(
            f"{argument}={_shown(text)} is not an address.",
            hint=f"{error.hint} Write name[@version][#split[.part]]." if isinstance(text, str) else error.hint,
        ) from error


def _is_address(text: str) -> bool:
    try:
        _parse(text)
    except InvalidNameError:
        return False
    return True


def _parse(text: str) -> Address:
    base, hash_mark, split_text = text.partition("#")
    name, at_mark, ref = base.partition("@")
    check_name(name)
    if at_mark:
        ref = _check_ref(ref, text)
    split, part = _parse_split(split_text, text) if hash_mark else (None, None)
    return Address(name, ref or LATEST, split, part)


def _check_ref(ref: str, text: str) -> str:
    if ref == LATEST:
        return ref
    if ref.isascii() and ref.isdigit():
        if len(ref) > 18 or ref != str(int(ref)) or ref == "0":
            raise InvalidNameError(f"{_shown(text)}: {ref[:24]!r} is not a version number.", hint="They begin with 1.")
        return ref
    return check_ref_name(ref, "ref")


def _parse_split(split_text: str, text: str) -> tuple[str, str | None]:
    if split_text in PARTS:
        return DEFAULT_SPLIT, split_text
    split, dot, part = split_text.partition(".")
    if dot and part not in PARTS:
        raise InvalidNameError(
            f"{_shown(text)}: {_shown(part)} is not a part of a split.", hint=did_you_mean(part, PARTS)
        )
    return check_split_name(split), part or None


def _shown(value: object) -> str:
    """Quote foreign text for a message: escaped, and cut at 80 characters."""
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."
