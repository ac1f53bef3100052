"""Reading bytes one after the other, for formats that check their own lengths."""

import numpy as np

from foldstore.views.splits.placement import Parts
from foldstore.views.splits.xxh3 import Words


class Cursor:
    """A place in bytes; what is taken moves it on.

    Examples
    --------
    >>> Cursor(b"abcdef", 2).take(3)
    b'cde'
    """

    def __init__(self, body: bytes, place: int) -> None:
        self._body = body
        self.place = place

    def take(self, size: int) -> bytes:
        """Return the next bytes.

        Raises
        ------
        ValueError
            When there are fewer.
        """
        start, self.place = self.place, self.place + size
        if size < 0 or self.place > len(self._body):
            raise ValueError("it ends too early")
        return self._body[start : self.place]

    def take_words(self, count: int) -> Words:
        """Return the next hashes, 8 bytes each."""
        return np.frombuffer(self.take(8 * count), dtype="<u8").astype(np.uint64, copy=False)

    def take_parts(self, count: int) -> Parts:
        """Return the next parts, a byte each."""
        return np.frombuffer(self.take(count), dtype=np.uint8)

    def finish(self) -> None:
        """Check that nothing is left.

        Raises
        ------
        ValueError
            When there is.
        """
        if self.place != len(self._body):
            raise ValueError("there are bytes left over")
