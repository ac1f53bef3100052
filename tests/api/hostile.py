"""What nobody in good faith sends: names, addresses and values that break a careless server."""

import json
import os
from copy import deepcopy

from hypothesis import strategies as st

# How many times as many examples as in a run of the suite: `make fuzz` looks further.
FURTHER = int(os.environ.get("FUZZ_TIMES", "1"))

CLIMBING = ["..", "../x", "..\\x", "/etc/passwd", "C:\\x", "a/../b", "%2e%2e%2f", "%252e%252e", "....//", "~", "-rf"]
LOOKALIKES = [
    "fli\u0261hts",  # a Latin letter that looks like g
    "\u0441ities",  # Cyrillic
    "\uff0e\uff0e\uff0f",  # full-width ../
    "flights\u200b",  # of no width
    "\u202estgilf",  # from right to left
    "ﬂights",
    "e\u0301",  # NFD
    "İ",
    "\U0001f4a9",
]
BROKEN = ["", " ", "\0", "a\0b", "a\r\nX-Evil: 1", "\x1b[31m", "\x7f", "\ud800", "a" * 300, "a" * 5_000]
QUOTED = [
    "a'b",
    'a"; DROP TABLE x; --',
    "{{7*7}}",
    "${jndi:ldap://x}",
    "<script>alert(1)</script>",
    "%s%n",
    "__proto__",
]
ADDRESSES = [
    "flights@0",
    "flights@-1",
    "flights@1e3",
    "flights@99999999999999999999999",
    "flights@1@2",
    "@1",
    "flights@",
    "flights#halves",
    "flights@1#",
    "flights@1#halves.",
    "flights@1#halves.train.test",
    "flights@1#../x.y",
    "flights@1#halves.\0",
    "foldstore.versions",
    "file:///etc/passwd",
    "http://127.0.0.1:1/",
    "flights@latest#halves.train@2",
]
NUMBERS = [0, -1, 1, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 10**30, 0.1, -0.0, 5e-324, 1.7e308]
TEXTS = [*CLIMBING, *LOOKALIKES, *BROKEN, *QUOTED, *ADDRESSES]

texts = st.sampled_from(TEXTS) | st.text(max_size=20)
leaves = st.none() | st.booleans() | st.sampled_from(NUMBERS) | texts
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def _places(value, here=()):
    yield here
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inner:
        yield from _places(item, (*here, name))


@st.composite
def broken_bodies(draw, example):
    """An example of a body with one or two things in it replaced, left out, or added."""
    body = deepcopy(example)
    for _ in range(draw(st.integers(1, 2))):
        places = [place for place in _places(body) if place]
        if not places:
            return draw(values)
        *way, last = draw(st.sampled_from(places))
        inside = body
        for name in way:
            inside = inside[name]
        change = draw(st.sampled_from(["put", "put", "put", "drop", "add"]))
        if change == "put":
            inside[last] = draw(values)
        elif change == "drop":
            del inside[last]
        elif isinstance(inside, dict):
            inside[draw(texts)] = draw(values)
    return body


def as_json(body):
    """As bytes; half a pair of surrogates is escaped, as JSON can."""
    return json.dumps(body).encode()
