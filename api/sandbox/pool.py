"""Processes that wait for queries, and the question whether they may be trusted with any."""

import logging
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from functools import cache
from typing import Final

from foldstore.api.problem import BusyError, SqlUnavailableError
from foldstore.api.sandbox.process import QueryProcess, QueryQuota, SandboxedQuery
from foldstore.errors import FoldstoreError

_LOG = logging.getLogger(__name__)
_TRIAL: Final = QueryQuota(memory=1 << 28, seconds=20.0)


class QueryPool:
    """Runs queries, each in a process of its own that ends with it.

    Nothing is started before the first query, or `check`.

    Parameters
    ----------
    waiting : int
        How many processes are started before they are needed: one takes a good part of a second to start.
    most : int
        How many queries may run at once.
    """

    def __init__(self, *, waiting: int = 1, most: int = 4) -> None:
        self._wanted = waiting
        self._running = threading.BoundedSemaphore(most)
        self._waiting: deque[QueryProcess] = deque()
        self._close = weakref.finalize(self, _end_all, self._waiting)

    def check(self) -> None:
        """Have a process try to break out; once for all pools.

        Raises
        ------
        SqlUnavailableError
            When it did, or cannot be locked down here.
        """
        found = _escapes()
        if found:
            raise SqlUnavailableError(
                "SQL is not offered here: a query could do more than read.",
                hint="The server's log says which way is open.",
            )

    def run(self, asked: SandboxedQuery, quota: QueryQuota) -> Iterator[bytes]:
        """Yield the answer to a query in pieces.

        Raises
        ------
        BusyError
            When as many queries run as may, and none ends in time.
        SqlUnavailableError
            When queries cannot be locked in here.
        FoldstoreError
            What is wrong with the query, or the limit that it met.
        """
        self.check()
        if not self._running.acquire(timeout=quota.seconds):
            raise BusyError("As many queries run as may.", hint="Try again in a second.")
        try:
            process = self._take()
            self._refill()
            yield from process.run(asked, quota)
        finally:
            self._running.release()

    def close(self) -> None:
        """End the processes that wait."""
        self._close()

    def _take(self) -> QueryProcess:
        try:
            return self._waiting.popleft()
        except IndexError:
            return QueryProcess()

    def _refill(self) -> None:
        # Started now, it loads what it needs while the query before it runs.
        while self._close.alive and len(self._waiting) < self._wanted:
            self._waiting.append(QueryProcess())


@cache
def _escapes() -> tuple[str, ...]:
    """Return the ways out of a process for queries; they are the same for all of this installation's."""
    try:
        found = tuple(QueryProcess().try_escapes(_TRIAL))
    except (FoldstoreError, OSError, ValueError, AttributeError) as error:
        _LOG.error("queries cannot be locked in: %s", error)
        return ("lock down",)
    if found:
        _LOG.error("queries are not locked in; these ways are open: %s", ", ".join(found))
    return found


def _end_all(waiting: deque[QueryProcess]) -> None:
    while waiting:
        waiting.popleft().end()
