"""HTML and SVG made of elements: every text and attribute is escaped, unless it is markup that was made here."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final, TypeAlias

from foldstore.validation.reporting.wording import visible

_VOID: Final = frozenset({"meta", "br", "rect", "line", "path", "circle", "polygon"})
_NAME: Final = re.compile(r"[^a-z0-9]+")


class Markup(str):
    """Text that is markup already; only `element`, `join` and the style sheet make it."""

    __slots__ = ()


Child: TypeAlias = "Markup | str | int | None"


def element(tag: str, *children: Child, **attributes: str | float | None) -> Markup:
    """Return an element; attributes that are Python's words end in an underscore, dashes are underscores.

    Examples
    --------
    >>> element("td", "<b>", class_="n", title='"')
    '<td class="n" title="&quot;">&lt;b&gt;</td>'
    """
    said = "".join(
        f' {name.removesuffix("_").replace("_", "-")}="{_text(_number(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID and not children:
        return Markup(f"<{tag}{said}/>")
    return Markup(f"<{tag}{said}>{join(children)}</{tag}>")


def join(parts: Iterable[Child]) -> Markup:
    """Put children behind each other, escaped where they are not markup."""
    return Markup("".join(each if isinstance(each, Markup) else _text(str(each)) for each in parts if each is not None))


def table(heads: Sequence[str] | None, rows: Iterable[Sequence[Child]], caption: Child = None) -> Markup:
    """Return a table whose first cell of each row is its head; columns need none where the rows say it all."""
    head = None
    if heads is not None:
        head = element("thead", element("tr", *(element("th", each, scope="col") for each in heads)))
    body = [
        element("tr", element("th", row[0], scope="row"), *(element("td", each) for each in row[1:])) for row in rows
    ]
    said = None if caption is None else element("caption", caption)
    return element("table", said, head, element("tbody", *body))


def anchor(kind: str, name: str) -> str:
    """Return an id that is the same for a name each time: legible, and unique by a hash.

    Examples
    --------
    >>> anchor("column", "Arrival delay")
    'column-arrival-delay-0aba0c7a'
    """
    slug = _NAME.sub("-", name[:40].lower()).strip("-")
    digest = hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:8]
    return "-".join(part for part in (kind, slug, digest) if part)


def _text(text: str) -> str:
    return escape(visible(text, most=max(len(text), 1)))


def _number(value: str | float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
