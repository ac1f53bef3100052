"""The frame of a page: one file that asks for nothing else, for light and dark screens, without scripts."""

from typing import Final

from foldstore.validation.reporting.markup import Child, Markup, element, join

# Blue and orange of Okabe and Ito's palette, told apart by all kinds of colour vision; the dark pair is lighter.
# A reference is an outline and what is judged is filled, so that nothing hangs on colour alone.
_LIGHT: Final = (
    "--paper:#fff;--ink:#1b1f24;--soft:#57606a;--line:#d0d7de;--band:#f6f8fa;--old:#004a80;--new:#e69f00;--edge:#8a5f00;"
    "--error:#a40e26;--warn:#7a4d00;--good:#116329"
)
_DARK: Final = (
    "--paper:#0d1117;--ink:#e6edf3;--soft:#9da7b1;--line:#3d444d;--band:#161b22;--old:#8fd0ff;--new:#c98500;--edge:#f0b429;"
    "--error:#ff8f88;--warn:#f2c14e;--good:#6fdd8b"
)
STYLE: Final = Markup(
    f".foldstore{{color-scheme:light dark;{_LIGHT};background:var(--paper);color:var(--ink);"
    "font:15px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}"
    f"@media(prefers-color-scheme:dark){{.foldstore{{{_DARK}}}}}"
    ".foldstore h1{font-size:1.5em;margin:.2em 0}.foldstore h2{font-size:1.2em;margin:0 0 .4em}"
    ".foldstore h3{font-size:1em;margin:.8em 0 .2em}"
    # Words in tables stay whole, which scroll when they are wider than the screen.
    ".foldstore table{border-collapse:collapse;margin:.6em 0;font-variant-numeric:tabular-nums;"
    "overflow-wrap:break-word}"
    ".foldstore thead th{white-space:nowrap}"
    ".foldstore caption{text-align:left;color:var(--soft);padding:.2em 0}"
    ".foldstore th,.foldstore td{border:1px solid var(--line);padding:.25em .6em;text-align:left;"
    "vertical-align:top;background:var(--paper);color:var(--ink)}"
    ".foldstore thead th{background:var(--band)}"
    ".foldstore section{border-top:1px solid var(--line);padding:1em 0}"
    ".foldstore .wide{overflow-x:auto}"
    ".foldstore .soft{color:var(--soft)}.foldstore a{color:var(--old)}"
    ".foldstore :focus-visible{outline:2px solid var(--old);outline-offset:2px}"
    ".foldstore .grade{font-weight:600;white-space:nowrap}.foldstore .error{color:var(--error)}"
    ".foldstore .warn{color:var(--warn)}.foldstore .off{color:var(--good)}"
    ".foldstore pre{background:var(--band);border:1px solid var(--line);padding:.5em;margin:.3em 0;"
    "white-space:pre-wrap}"
    ".foldstore ins{color:var(--good);text-decoration:none}.foldstore del{color:var(--error);text-decoration:none}"
    ".foldstore svg{max-width:100%;height:auto;display:block;margin:.4em 0}"
    ".foldstore svg text{fill:var(--ink);font:12px system-ui,sans-serif}"
    ".foldstore svg .tick{fill:var(--soft);font-size:11px}"
    ".foldstore svg .axis{stroke:var(--line);fill:none}"
    ".foldstore svg .new{fill:var(--new);stroke:var(--edge)}"
    ".foldstore svg .old{fill:none;stroke:var(--old);stroke-width:2}"
    ".foldstore svg .outer{fill:var(--new);fill-opacity:.3}.foldstore svg .inner{fill:var(--new);fill-opacity:.6}"
    ".foldstore svg .dot{fill:var(--old)}"
    ".foldstore svg .peer{fill:none;stroke:var(--edge);stroke-width:1.5}"
    ".foldstore svg .peer-dot{fill:var(--paper);stroke:var(--edge)}"
    "@media print{.foldstore details{display:block}}"
)
# Forbids everything that is not in the file.
CONTENT_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_BODY: Final = Markup("body{margin:0}main,header,nav{max-width:72em;margin:0 auto;padding:0 1em}")


def page(title: str, *parts: Child) -> str:
    """Return a whole page.

    The content policy forbids everything that is not in the file: what a value might smuggle in could load nothing.
    """
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", http_equiv="Content-Security-Policy", content=CONTENT_POLICY),
        element("title", title),
        element("style", Markup(STYLE + _BODY)),
    )
    body = element("body", *parts, class_="foldstore")
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def fragment(*parts: Child) -> str:
    """Return a piece for a notebook, with its style."""
    return element("div", element("style", STYLE), *parts, class_="foldstore")


def scrolling(*parts: Child) -> Markup:
    """Return something that scrolls by itself, by keys too, when it is wider than the screen."""
    return element("div", join(parts), class_="wide", tabindex="0")
