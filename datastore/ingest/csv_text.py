"""Where the rows of CSV text end: a quoted cell may hold line ends, a quote inside an unquoted cell opens nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class CsvText:
    """How text is cut into rows and cells. All methods take text that begins with a row.

    Attributes
    ----------
    quote : bytes or None
        One byte; None when quotes mean nothing.
    """

    delimiter: bytes = b","
    quote: bytes | None = b'"'

    def last_end(self, text: bytes) -> int:
        """Return where the last whole row ends; 0 when none does."""
        end = _line_end(text)
        if self.quote is None or self.quote not in text:
            return text.rfind(end) + 1
        opened, closed = self._quoted_parts(text)
        place = text.rfind(end)
        while place >= 0:
            part = int(np.searchsorted(opened, place)) - 1
            if part < 0 or closed[part] < place:
                break
            place = text.rfind(end, 0, int(opened[part]))
        return place + 1

    def first_end(self, text: bytes) -> int:
        """Return where the first row ends, with its line end."""
        for size in (1 << 16, 1 << 20, len(text)):
            spans = self.rows(text[:size], keep_empty=True)
            if len(spans) > 1 or size >= len(text):
                return spans[0][1] if text else 0
        return len(text)

    def rows(self, text: bytes, *, keep_empty: bool) -> list[tuple[int, int]]:
        """Return where each row begins and ends; the last may lack its end."""
        found = np.frombuffer(text, np.uint8)
        ends = np.flatnonzero(found == _line_end(text)[0])
        if self.quote is not None and self.quote in text:
            opened, closed = self._quoted_parts(text)
            part = np.searchsorted(opened, ends) - 1
            ends = ends[(part < 0) | (closed[part] < ends)] if len(opened) else ends
        places = [0, *(ends + 1).tolist()]
        if places[-1] != len(text):
            places.append(len(text))
        return [(a, b) for a, b in pairwise(places) if keep_empty or text[a:b].strip(b"\r\n")]

    def open_quote(self, text: bytes) -> int | None:
        """Return the place of a quote that opens a cell and is never closed."""
        if self.quote is None or self.quote not in text:
            return None
        opened, closed = self._quoted_parts(text)
        return int(opened[-1]) if len(opened) and closed[-1] >= len(text) else None

    def _quoted_parts(self, text: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where quoted parts open and close; one that stays open closes behind the text.

        An escaped quote closes a part and opens the next: no line end is between them.
        """
        assert self.quote is not None  # noqa: S101  # the callers looked
        found = np.frombuffer(text, np.uint8)
        places = np.flatnonzero(found == self.quote[0]).astype(np.int64)
        opening = places[::2]
        before = found[opening - 1]
        explained = np.isin(before, [*self.delimiter, *b"\r\n", self.quote[0]])
        if opening[0] == 0:
            explained[0] = True
        if not explained.all():
            return self._follow(text)
        closing = places[1::2]
        if len(closing) < len(opening):
            closing = np.append(closing, len(text))
            opening = self._joined(opening, closing)
        return opening, closing

    @staticmethod
    def _joined(opening: NDArray[np.int64], closing: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the last part the place where its cell opens: escaped quotes before it open nothing."""
        last = len(opening) - 1
        while last > 0 and closing[last - 1] == opening[last] - 1:
            last -= 1
        opening = opening.copy()
        opening[-1] = opening[last]
        return opening

    def _follow(self, text: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Follow quotes one by one, as Arrow's parser does: a quote opens a cell only as its first byte."""
        quote, starts = self.quote or b"", self.delimiter + b"\r\n"
        opened: list[int] = []
        closed: list[int] = []
        place, inside = text.find(quote), False
        while place >= 0:
            if inside:
                if text[place + 1 : place + 2] == quote:
                    place += 1
                else:
                    closed.append(place)
                    inside = False
            elif place == 0 or text[place - 1] in starts:
                opened.append(place)
                inside = True
            place = text.find(quote, place + 1)
        return np.array(opened, np.int64), np.array([*closed, *([len(text)] if inside else [])], np.int64)


def _line_end(text: bytes) -> bytes:
    return b"\n" if b"\n" in text else b"\r"


def join_rows(text: bytes, spans: Sequence[tuple[int, int]]) -> bytes:
    """Return some rows as text of their own; neighbours are copied together."""
    parts: list[tuple[int, int]] = []
    for start, end in spans:
        if parts and parts[-1][1] == start:
            parts[-1] = (parts[-1][0], end)
        else:
            parts.append((start, end))
    return b"".join(_ended(text[start:end]) for start, end in parts)


def _ended(row: bytes) -> bytes:
    return row if row.endswith((b"\n", b"\r")) else row + b"\n"
