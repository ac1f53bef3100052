"""Heads of requests that a connection has sent before: the same bytes mean the same, and need not be parsed again."""

from typing import Final, NamedTuple

from foldstore.api.shortcut import Shortcut

_END: Final = b"\r\n\r\n"
_MOST: Final = 16  # heads of one connection: bodies of other lengths make other heads
_LONGEST: Final = 1_024


class KnownHead(NamedTuple):
    """What a head asks for.

    Attributes
    ----------
    shortcut : Shortcut
        What answered.
    proof : bytes
        Who asks; see `Shortcut.authorization`.
    whole : int
        How long the request is, its body included.
    """

    shortcut: Shortcut
    proof: bytes
    whole: int


class KnownHeads:
    """What a parser made of heads, each the first bytes after a request that was whole.

    A parser that stands between two requests makes the same of the same bytes. So nothing is known of a request here
    but what the parser has said of the same head.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, KnownHead] = {}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, data: bytes) -> tuple[KnownHead, bytes] | None:
        """Return what is known of the head of a request, and its body, where data is one whole request.

        Parameters
        ----------
        data : bytes
            What came behind a whole request.
        """
        end = data.find(_END) + len(_END)
        known = self._known.get(data[:end])
        return None if known is None or known.whole != len(data) else (known, data[end:])

    def learn(self, data: bytes, shortcut: Shortcut, proof: bytes, body: bytes) -> None:
        """Remember a head, when data is one request and nothing else.

        Parameters
        ----------
        data : bytes
            What came behind a whole request, or first.
        shortcut : Shortcut
            What answered it.
        proof : bytes
            Who asked.
        body : bytes
            What the parser said that the first request in it has.
        """
        end = data.find(_END) + len(_END)
        if end > _LONGEST or data[end:] != body:
            return
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[data[:end]] = KnownHead(shortcut, proof, len(data))

    def forget(self) -> None:
        """Know nothing any more."""
        self._known.clear()
