"""What one query may take: memory, threads, seconds; and who is told how far it is."""

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from foldstore.errors import InvalidQueryError, UsageError

# Told which share of the rows of its tables a query has read, from 0 to 1.
ShareRead = Callable[[float], None]

_MEMORY: Final = re.compile(r"0*[1-9]\d{0,6}(\.\d{1,3})?\s?[MGT]i?B", re.IGNORECASE | re.ASCII)
_MOST_THREADS: Final = 1024
_MOST_SECONDS: Final = 1e7  # what a thread can wait for at once is bounded


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """The limits of one query; what is None is as the store is set.

    Attributes
    ----------
    memory_limit : str or None
        Such as ``2GB``. A query with a limit of its own runs in a database of its own, which takes 10 ms to open.
    threads : int or None
        How many it may use.
    timeout : float or None
        How many seconds it may work; what the reader does between batches does not count.
    progress : callable or None
        Told the share of rows read, in the thread that reads; for the last time, 1.0, when the last row is out.
    """

    memory_limit: str | None = None
    threads: int | None = None
    timeout: float | None = None
    progress: ShareRead | None = None

    @property
    def needs_own_database(self) -> bool:
        """Whether the query cannot share the store's database, whose limits are those of all that run there."""
        return self.memory_limit is not None or self.threads is not None

    def check(self) -> Self:
        """Return the limits when they can be kept.

        Raises
        ------
        UsageError
            With the code ``invalid-setting``.
        """
        memory, threads, timeout = self.memory_limit, self.threads, self.timeout
        if memory is not None and not (isinstance(memory, str) and _MEMORY.fullmatch(memory)):
            raise _refused("memory_limit", memory, "A number and MB, GB, MiB or GiB, such as '2GB'.")
        if threads is not None and not (_is_number(threads, int) and 1 <= threads <= _MOST_THREADS):
            raise _refused("threads", threads, f"A whole number from 1 to {_MOST_THREADS}.")
        if timeout is not None and not (_is_number(timeout, int | float) and 0 < timeout < math.inf):
            raise _refused("timeout", timeout, "Seconds, more than 0, such as timeout=30.")
        if self.progress is not None and not callable(self.progress):
            raise _refused("progress", self.progress, "A function that takes a number from 0 to 1.")
        return self


NO_LIMITS: Final = QueryLimits()


class Countdown:
    """The seconds that a query has left; they run inside a ``with`` block only.

    Examples
    --------
    >>> countdown = Countdown(30)
    >>> with countdown:
    ...     countdown.check()
    >>> 29 < countdown.left <= 30
    True
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._spent = 0.0
        self._since: float | None = None

    @property
    def left(self) -> float | None:
        """How many seconds are left; None when nothing bounds them."""
        if self.seconds is None:
            return None
        running = 0.0 if self._since is None else time.monotonic() - self._since
        return min(self.seconds - self._spent - running, _MOST_SECONDS)

    def check(self) -> None:
        """Raise when no time is left.

        Raises
        ------
        InvalidQueryError
            With the code ``query-timeout``.
        """
        if self.left is not None and self.left <= 0:
            raise self.ran_out()

    def ran_out(self) -> InvalidQueryError:
        """Build the error for a query that took too long."""
        return InvalidQueryError(
            f"The query was stopped: it took longer than timeout={self.seconds:g} seconds.",
            hint="Give it a longer timeout=, or ask for less at a time.",
            code="query-timeout",
            timeout=self.seconds,
        )

    def __enter__(self) -> Self:
        self._since = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._since is not None:
            self._spent += time.monotonic() - self._since
            self._since = None


def _is_number(value: object, kind: object) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)  # type: ignore[arg-type]  # a type, or a union


def _refused(name: str, value: object, hint: str) -> UsageError:
    return UsageError(
        f"{name}={ascii(value)[:60]} is no such setting.", hint=hint, code="invalid-setting", setting=name
    )
