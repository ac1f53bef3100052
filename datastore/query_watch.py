"""What a query does in DuckDB, watched: it can be interrupted, runs out of time, and says how far it is.

DuckDB looks for signals seldom while rows stream, and Python runs their handlers in the main thread alone. So the work
is done in another thread, and the one that asked waits where Python can wake it.
"""

import _thread
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, TypeVar

import pyarrow as pa

from foldstore.datastore.query_limits import Countdown, QueryLimits
from foldstore.datastore.running import RunningQuery

T = TypeVar("T")

_TELL_EVERY_SECONDS: Final = 0.1
_ASK_AGAIN_SECONDS: Final = 0.05


class MeteredTable:
    """A table that counts which of its rows were read; each scan reads it from the beginning."""

    def __init__(self, table: pa.Table) -> None:
        self.num_rows: int = table.num_rows
        self.rows_read = 0
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return pa.RecordBatchReader.from_batches(self._table.schema, self._batches()).__arrow_c_stream__(
            requested_schema
        )

    def _batches(self) -> "pa.RecordBatchReader":
        read = 0
        for batch in self._table.to_batches(max_chunksize=131_072):
            yield batch
            read += batch.num_rows
            # Of several scans the one that is farthest counts, so that the share never falls.
            self.rows_read = max(self.rows_read, read)


class QueryWatch:
    """Watches one run of a query.

    Parameters
    ----------
    query : RunningQuery
        What runs.
    limits : QueryLimits
        What it may take, and who is told.
    countdown : Countdown
        The seconds it has left.
    """

    def __init__(self, query: RunningQuery, limits: QueryLimits, countdown: Countdown) -> None:
        self._query = query
        self._countdown = countdown
        self._progress = limits.progress
        self._metered: list[MeteredTable] = []
        self._told = -1.0

    def meter(self, tables: Mapping[str, pa.Table]) -> Mapping[str, "pa.Table | MeteredTable"]:
        """Return the tables as the query is to see them: counted when somebody wants to know."""
        if self._progress is None:
            return tables
        metered = {name: MeteredTable(table) for name, table in tables.items()}
        self._metered = list(metered.values())
        return metered

    def run(self, work: Callable[[], T]) -> T:
        """Do what may take long; return what it gives.

        Raises
        ------
        InvalidQueryError
            When the time ran out (code ``query-timeout``).
        """
        with self._countdown:
            if self._countdown.seconds is None and self._progress is None and not _in_main_thread():
                return work()  # nobody could interrupt it here
            return self._run_aside(work)

    def finish(self) -> None:
        """Tell that the last row is out."""
        if self._progress is not None and self._told < 1:
            self._told = 1.0
            self._progress(1.0)

    def _run_aside(self, work: Callable[[], T]) -> T:
        results: list[T] = []
        failures: list[BaseException] = []
        working = threading.Lock()
        working.acquire()

        def run() -> None:
            try:
                results.append(work())
            except BaseException as error:  # noqa: BLE001  # it is raised again where somebody waits for it
                failures.append(error)
            finally:
                working.release()

        try:
            try:
                _thread.start_new_thread(run, ())  # a `Thread` is waited for when it starts, too: 0.1 ms more
            except RuntimeError:  # the system has no thread left
                run()
            self._wait(working)
        except BaseException:  # an interrupt, no time left, or whoever is told of progress
            self._stop(lambda: bool(results or failures), working)
            raise
        if failures:
            raise failures.pop()  # popped: the failure would hold this frame, and the frame the failure
        return results.pop()

    def _wait(self, working: "_thread.LockType") -> None:
        while not working.acquire(timeout=self._patience()):
            self._countdown.check()
            if self._progress is not None:
                self._tell(self._progress)

    def _patience(self) -> float:
        """Return how many seconds there is nothing to do but to wait; less than 0 for ever."""
        waits = [] if self._countdown.left is None else [max(self._countdown.left, 0)]
        return min([*waits, *([_TELL_EVERY_SECONDS] if self._progress is not None else [])], default=-1)

    def _stop(self, is_done: Callable[[], bool], working: "_thread.LockType") -> None:
        # Between two steps of a query an interrupt finds nothing to stop: it is said until it is heard.
        # Nor is a second Ctrl-C a reason to close a connection on which something runs.
        while not is_done():
            with suppress(KeyboardInterrupt):
                self._query.interrupt()
                working.acquire(timeout=_ASK_AGAIN_SECONDS)

    def _tell(self, progress: Callable[[float], None]) -> None:
        rows = sum(each.num_rows for each in self._metered)
        share = min(sum(each.rows_read for each in self._metered) / rows, 1.0) if rows else 0.0
        if self._told < share < 1:
            self._told = share
            progress(share)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
