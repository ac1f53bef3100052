"""The bytes of a CSV file on their way to Arrow's reader, which takes an unclosed quote for the rest of the file."""

import io
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_QUOTE: Final = ord('"')
_BEFORE_FIELD: Final = tuple(b",\r\n")
_STARTS_FIELD: Final = np.isin(np.arange(256), _BEFORE_FIELD)
_BOM: Final = b"\xef\xbb\xbf"


class CsvText(io.RawIOBase):
    """A CSV file that is read in blocks and knows whether a quote is open, and on which line it opened.

    A last line without an end gets one: Arrow calls a header without an end an empty file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._line = 1
        self._last: int | None = None  # the byte before the block
        self._just_closed = False  # it was a closing quote; another one makes both an escaped quote
        self.opened: int | None = None
        self.ended = False

    @property
    def unclosed(self) -> int | None:
        """The line of a quote that is still open at the end of the file."""
        return self.opened if self.ended else None

    def readable(self) -> bool:
        """Say yes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, looked at for quotes."""
        block = self._file.read(size)
        if block:
            self._look_at(block)
        if len(block) == size:
            return block
        if not self.ended and self.opened is None and self._last not in (None, *b"\r\n"):
            block += b"\n"
        self.ended = True
        return block

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def _look_at(self, block: bytes) -> None:
        if self._last is None and block.startswith(_BOM):
            head, text = _BOM, block[len(_BOM) :]
        else:
            head, text = b"", block
        if _QUOTE in text:
            found = np.frombuffer(text, np.uint8)
            if not self._follow_pairs(text, np.flatnonzero(found == _QUOTE), found):
                self._follow(text)
        else:
            self._just_closed = False
        self._line += _count_lines(text)
        self._last = (head + text)[-1] if text else ord("\n")

    def _follow_pairs(self, text: bytes, places: NDArray[np.int64], found: NDArray[Any]) -> bool:
        """Take quotes for pairs; say no where one stands inside an unquoted cell, which pairs do not explain."""
        opening = places[(0 if self.opened is None else 1) :: 2]
        before = found[opening - 1] if len(opening) else found[:0]
        at_start = bool(len(opening)) and opening[0] == 0
        starts = _STARTS_FIELD[before]
        explained = starts | (before == _QUOTE)
        if at_start:
            starts[0] = self._last is None or self._last in _BEFORE_FIELD
            explained[0] = starts[0] or self._just_closed
        if not explained.all():
            return False
        reopened = at_start and not starts[0]
        if (len(places) + (self.opened is not None)) % 2 == 0:
            self.opened = None
            self._just_closed = text[-1] == _QUOTE
            return True
        if starts.any():
            self.opened = self._line + _count_lines(text[: int(opening[starts][-1])])
        elif self.opened is None or reopened:
            self.opened = self._line
        self._just_closed = False
        return True

    def _follow(self, text: bytes) -> None:
        """Follow quotes one by one, as Arrow's parser does: a quote opens a cell only as its first byte."""
        place, counted, line = 0, 0, self._line
        if self._just_closed and text[0] == _QUOTE:
            self.opened, place = self.opened or line, 1
        self._just_closed = False
        while True:
            place = text.find(b'"', place)
            if place < 0:
                return
            before = text[place - 1] if place else self._last
            if self.opened is not None:
                if text[place + 1 : place + 2] == b'"':
                    place += 1
                else:
                    self.opened, self._just_closed = None, place + 1 == len(text)
            elif before is None or before in _BEFORE_FIELD:
                line, counted = line + _count_lines(text[counted:place]), place
                self.opened = line
            place += 1


def _count_lines(text: bytes) -> int:
    return text.count(b"\n") or text.count(b"\r")
