"""Bodies of several parts (RFC 7578): read as they come, each part bounded, none kept in memory as a whole.

Strict on purpose: nothing before the first part, no part within a part, no name twice, and an end that is there.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Protocol

from foldstore.api.problem import MalformedBodyError

MULTIPART: Final = "multipart/form-data"
_BOUNDARY: Final = re.compile(r"""boundary=(?:"([^"\\]{1,70})"|([!#-'*+.0-9A-Z^-z|~-]{1,70}))(?:\s*;|\s*$)""", re.ASCII)
_LEGAL: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]", re.ASCII)
_PARAMETER: Final = r""";[ \t]*([A-Za-z-]+\*?)=("(?:[^"\\]|\\.)*"|[^;"\s]*)[ \t]*"""
_DISPOSITION: Final = re.compile(rf"form-data[ \t]*((?:{_PARAMETER})*)", re.IGNORECASE)
_PART_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", re.ASCII)
_LONGEST_HEADERS: Final = 8_192
_MOST_PARTS: Final = 128


@dataclass(frozen=True, slots=True)
class PartHead:
    """What a part says of itself: its name, and the kind of what it holds; no kind when it says none."""

    name: str
    kind: str


class Sink(Protocol):
    """Takes what parts hold."""

    def begin(self, head: PartHead) -> None:
        """Hear that a part begins."""

    def write(self, piece: bytes) -> None:
        """Take some bytes of the part."""

    def end(self) -> None:
        """Hear that the part is whole."""


def read_boundary(content_type: str) -> bytes:
    """Return what stands between the parts of a body.

    Raises
    ------
    MalformedBodyError
        When its kind does not say.

    Examples
    --------
    >>> read_boundary("multipart/form-data; boundary=----curl7")
    b'----curl7'
    """
    found = _BOUNDARY.search(content_type.partition(";")[2])
    boundary = "" if found is None else found.group(1) or found.group(2)
    if not _LEGAL.fullmatch(boundary):
        raise MalformedBodyError(
            "The header Content-Type does not say what stands between the parts.",
            hint="Let the client write it: curl does, with -F.",
        )
    return boundary.encode()


async def read_parts(stream: AsyncIterator[bytes], boundary: bytes, sink: Sink) -> None:
    """Hand the parts of a body to a sink as they come; what is held is one chunk, and the length of a boundary.

    Raises
    ------
    MalformedBodyError
        When the body is not of the form, breaks off, or has more than 128 parts.
    """
    reader = _Reader(boundary, sink)
    async for chunk in stream:
        reader.feed(chunk)
    reader.close()


class _Reader:
    """Finds the boundaries; `_rest` is what may be the beginning of one."""

    def __init__(self, boundary: bytes, sink: Sink) -> None:
        self._between = b"\r\n--" + boundary
        self._sink = sink
        self._rest = b"\r\n"  # so that the first boundary looks like the others
        self._step = self._read_first
        self._names: set[str] = set()
        self._at_start = True
        self._is_done = False

    def feed(self, chunk: bytes) -> None:
        self._rest += chunk
        while not self._is_done and self._step():
            pass
        if self._is_done:
            if self._rest.strip(b"\r\n"):
                raise _broken("has more behind its end")
            self._rest = b""

    def close(self) -> None:
        if not self._is_done:
            raise _broken("breaks off")

    def _read_first(self) -> bool:
        if len(self._rest) < len(self._between):
            return False
        if not self._rest.startswith(self._between):
            raise _broken("does not begin with a part")
        self._rest = self._rest[len(self._between) :]
        self._step = self._read_after
        return True

    def _read_after(self) -> bool:
        """Read what follows a boundary: a line's end before a part, two dashes at the end of all."""
        if len(self._rest) < 2:
            return False
        after, self._rest = self._rest[:2], self._rest[2:]
        if after == b"--":
            self._is_done = True
        elif after == b"\r\n":
            self._step = self._read_headers
        else:
            raise _broken("has a boundary that goes on")
        return True

    def _read_headers(self) -> bool:
        text, end, rest = self._rest.partition(b"\r\n\r\n")
        if len(text) > _LONGEST_HEADERS:
            raise _broken("has a part with too much before its content")
        if not end:
            return False
        head = _read_head(text)
        if head.name in self._names or len(self._names) >= _MOST_PARTS:
            said = "has a part twice" if head.name in self._names else f"has more than {_MOST_PARTS} parts"
            raise _broken(said)
        self._names.add(head.name)
        self._sink.begin(head)
        # The line's end before the next boundary may be the one that ends the headers: the part is empty then.
        self._rest = b"\r\n" + rest
        self._at_start = True
        self._step = self._read_content
        return True

    def _read_content(self) -> bool:
        skipped = 2 if self._at_start else 0
        content, end, rest = self._rest.partition(self._between)
        if end:
            self._sink.write(content[skipped:])
            self._sink.end()
            self._rest, self._step = rest, self._read_after
            return True
        sure = len(self._rest) - len(self._between) + 1
        if sure > skipped:
            self._sink.write(self._rest[skipped:sure])
            self._rest, self._at_start = self._rest[sure:], False
        return False


def _read_head(text: bytes) -> PartHead:
    headers: dict[str, str] = {}
    for line in text.decode("latin-1").split("\r\n"):
        name, colon, value = line.partition(":")
        if not colon or not name or name.strip() != name or name.lower() in headers:
            raise _broken("has a part with a header that is none")
        headers[name.lower()] = value.strip()
    found = _DISPOSITION.fullmatch(headers.get("content-disposition", ""))
    given = [] if found is None else [match.groups() for match in re.finditer(_PARAMETER, found.group(1))]
    names = [value.strip('"') for word, value in given if word.lower() == "name"]
    name = names[0] if len(names) == 1 else ""
    if not _PART_NAME.fullmatch(name):
        raise MalformedBodyError(
            f"A part has no name, or one that parts do not have: {ascii(name)[:60]}.",
            hint="Name parts by letters, digits, '_', '.' and '-': curl -F 'january=@january.arrow;type=...'.",
        )
    if headers.get("content-transfer-encoding", "binary").lower() not in ("binary", "8bit", "7bit"):
        raise _broken("has a part in an encoding")
    return PartHead(name, headers.get("content-type", "").partition(";")[0].strip().lower())


def _broken(what: str) -> MalformedBodyError:
    return MalformedBodyError(
        f"The body of several parts {what}.", hint="Send it as multipart/form-data (RFC 7578): curl does, with -F."
    )
