"""Texts that were parsed before: the same text over the same columns is the same expression or query."""

from collections.abc import Hashable
from threading import Lock
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Tree = TypeVar("Tree")

_MOST: Final = 256


class Parsed(Generic[Key, Tree]):
    """Keeps what texts were parsed to, of those that came last.

    Examples
    --------
    >>> known: Parsed[str, int] = Parsed()
    >>> known.keep("1 + 1", 2), known.find("1 + 1"), known.find("2")
    (2, 2, None)
    """

    def __init__(self) -> None:
        self._known: dict[Key, Tree] = {}
        self._lock = Lock()

    def find(self, key: Key) -> Tree | None:
        """Return what was kept, or None."""
        with self._lock:
            return self._known.get(key)

    def keep(self, key: Key, tree: Tree) -> Tree:
        """Keep what a text was parsed to; return it."""
        with self._lock:
            self._known[key] = tree
            while len(self._known) > _MOST:
                self._known.pop(next(iter(self._known)))
        return tree
