"""One turn of an event loop: what it has found waiting is answered from one look at the catalog's mark."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from foldstore.datastore.catalog.change_mark import ChangeMark, Mark

_LARGE: Final = 1 << 16  # bytes; a piece from here on may have filled a buffer, and the loop reads again at once
_MANY: Final = 900  # connections; from 1,024 that are ready on, the loop asks the system again within a turn
Answer = TypeVar("Answer")


class Turn:
    """Answers requests that an event loop has found waiting at once as of one look at the catalog's mark.

    The look comes after the loop has asked the system what is there, and is forgotten before it asks again. So whoever
    sends a request after a commit was acknowledged is answered as of that commit: either the request was not there yet
    when the loop asked, or the look came after the commit. That a loop reads twice within a turn happens only where a
    piece fills its buffer or very many connections are ready: then each request looks for itself.

    Parameters
    ----------
    change_mark : ChangeMark
        The catalog's.

    Attributes
    ----------
    at_end : list of callable
        What is called when a turn ends in which something was answered.
    """

    __slots__ = ("_change_mark", "_held", "at_end")

    def __init__(self, change_mark: ChangeMark) -> None:
        self._change_mark = change_mark
        self.at_end: list[Callable[[], None]] = []
        self._held: tuple[asyncio.AbstractEventLoop, Mark] | None = None

    def note(self, size: int, connections: int) -> None:
        """Note that a piece of so many bytes has come, while there are so many connections."""
        if size >= _LARGE or connections >= _MANY:
            self._held = None

    def answer(self, ask: Callable[..., Answer], *given: object) -> Answer:
        """Return what a call returns that looks at the catalog as of this turn; only from the loop's own thread."""
        held, loop = self._held, asyncio.get_running_loop()
        if held is None or held[0] is not loop:
            held = self._held = loop, self._change_mark.look()
            loop.call_soon(self._end)
        return self._change_mark.assume(held[1], ask, *given)

    def _end(self) -> None:
        self._held = None
        for each in self.at_end:
            each()
