"""What every page promises, checked by a reader of its own."""

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

VOID = {"meta", "br", "rect", "line", "path", "circle", "polygon"}
KNOWN = {
    "html", "head", "meta", "title", "style", "body", "header", "nav", "main", "section", "article", "div", "span",
    "h1", "h2", "h3", "p", "code", "pre", "ins", "del", "a", "table", "caption", "thead", "tbody", "tr", "th", "td",
    "details", "summary", "svg", "desc", "rect", "text", "path", "line", "circle", "polygon",
}  # fmt: skip


class Outline(HTMLParser):
    """What is in a page: elements, ids, links, and whether every element is closed in turn."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links, self.attributes, self.open, self.words = [], [], [], set(), [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self._note(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self._note(tag, attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def _note(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name in ("href", "src", "action", "data")]


def check_page(text):
    """Check what every page promises; return its outline."""
    outline = Outline(text)
    assert set(outline.tags) <= KNOWN
    assert not any(name.startswith("on") or name == "style" for name in outline.attributes)
    assert len(set(outline.ids)) == len(outline.ids)
    assert all(link.startswith("#") and link[1:] in outline.ids for link in outline.links)
    assert not re.search(r"url\(|@import|javascript:", text)
    assert all(character.isprintable() or character == "\n" for character in text)
    for drawn in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        check_drawing(drawn)
    return outline


def check_drawing(drawn):
    root = ET.fromstring(drawn.encode())  # noqa: S314  (our own text)
    named = root.get("aria-labelledby").split()
    title, desc = root[0], root[1]
    assert [title.get("id"), desc.get("id")] == named
    assert root.get("role") == "img"
    assert title.text
    assert desc.text
    numbers = re.findall(r'(?:x|y|width|height|cx|cy|d|points)="([^"]*)"', drawn)
    assert not any("nan" in each or "inf" in each for each in numbers)
    return root
