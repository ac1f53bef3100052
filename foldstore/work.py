"""Whoever watches long work: told of the rows that are read, and asked between two pieces whether it shall go on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Protocol


class Watcher(Protocol):
    """Watches work, and may end it: what is ended before it is settled has changed nothing."""

    def note_rows(self, rows: int) -> None:
        """Hear how many rows were read since the last time; raise `CancelledError` to end the work."""

    def settle(self) -> None:
        """Hear that something is about to be committed: raise `CancelledError` now, or nevermore."""


_WATCHER: Final[ContextVar[Watcher | None]] = ContextVar("foldstore_work", default=None)


# Makes, of the way to a server, who follows what that server works on for long, where nobody else does.
FOLLOWED: Final[ContextVar[Callable[[Any], Any] | None]] = ContextVar("foldstore_followed", default=None)


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Have somebody watch what this thread does within the block."""
    before = _WATCHER.set(watcher)
    try:
        yield
    finally:
        _WATCHER.reset(before)


def watch(watcher: Watcher) -> None:
    """Have somebody watch what this task, or thread, does from here on, and the threads that it waits for."""
    _WATCHER.set(watcher)


def note_rows(rows: int) -> None:
    """Tell whoever watches that rows were read.

    Raises
    ------
    CancelledError
        When the work shall end.
    """
    watcher = _WATCHER.get()
    if watcher is not None:
        watcher.note_rows(rows)


def settle() -> None:
    """Tell whoever watches that the work is about to be committed, and goes on to its end from here.

    Raises
    ------
    CancelledError
        When the work shall end; it has changed nothing then.
    """
    watcher = _WATCHER.get()
    if watcher is not None:
        watcher.settle()
