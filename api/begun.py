"""A coroutine that was begun: what can be done at once is done, before anything is set up for what takes time."""

from collections.abc import Awaitable, Generator
from typing import Any, Final, Generic, TypeVar

Result = TypeVar("Result")

_NOT_DONE: Final[Any] = object()


class Begun(Generic[Result]):
    """Runs a coroutine until it has to wait for something; awaiting this runs the rest of it.

    Parameters
    ----------
    coroutine : awaitable
        What is run. What it raises at once is raised here.

    Attributes
    ----------
    result : object
        What it returned, once it is done.

    Examples
    --------
    >>> async def answer():
    ...     return 42
    >>> begun = Begun(answer())
    >>> begun.is_done, begun.result
    (True, 42)
    """

    __slots__ = ("_steps", "_waits_for", "result")

    def __init__(self, coroutine: Awaitable[Result]) -> None:
        self._steps: Any = coroutine.__await__()
        self._waits_for: Any = None
        self.result: Result = _NOT_DONE
        try:
            self._waits_for = self._steps.send(None)
        except StopIteration as end:
            self.result = end.value

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to wait for."""
        return self.result is not _NOT_DONE

    def __await__(self) -> Generator[Any, Any, Result]:
        """Wait for the rest, as if it were awaited from the beginning."""
        while self.result is _NOT_DONE:
            try:
                try:
                    sent = yield self._waits_for
                except BaseException as error:  # noqa: BLE001 - a cancellation, which is the coroutine's
                    self._waits_for = self._steps.throw(error)
                else:
                    self._waits_for = self._steps.send(sent)
            except StopIteration as end:
                self.result = end.value
        return self.result
