"""The writer of a stream: takes rows into the log, and cuts versions of it in the background.

What happens, each told to ``storage.on_step``: ``stream-logged`` (the rows of a write are on the disk: it is
acknowledged), ``stream-sealed`` (a segment is finished and the next begun), ``stream-cut`` (it is a version),
``stream-dropped`` (the segment is gone). A crash between any two of them loses nothing and commits nothing twice.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import pyarrow as pa

from foldstore.datastore.catalog.records import VersionRecord
from foldstore.datastore.stream.cut import Cutter
from foldstore.datastore.stream.log import StreamLog
from foldstore.datastore.stream.segment import Segment, read_batches
from foldstore.errors import CancelledError, ConflictError, FoldstoreError, StoreError, UsageError
from foldstore.types import Status

# What may pass by itself, a full disk or a busy catalog, is tried again after these seconds.
_PAUSES: Final = (0.05, 0.2, 0.8)
_LOGGED: Final = "Everything that was written is safe in the log: do not write it again."
_NOT_TAKEN: Final = "What was acknowledged is safe in the log; the rows of this call were not taken."
Told = Callable[[VersionRecord], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStatus:
    """Where a stream stands.

    Attributes
    ----------
    rows : int
        How many rows the stream has taken in all, by earlier writers too: where a source that can be read
        again goes on.
    pending_rows : int
        Acknowledged, and in no version yet.
    recovered_rows : int
        Of the rows in all, those that an earlier writer had left pending.
    committed_rows, versions, quarantined : int
        What this writer has cut: rows, versions, and how many of these a gate refused.
    last_version : int or None
        The number of the newest of them.
    lag_seconds : float
        How long the oldest pending row has been waiting.
    failure : str or None
        Why versions are not cut any more.
    """

    rows: int
    pending_rows: int
    recovered_rows: int
    committed_rows: int
    versions: int
    quarantined: int
    last_version: int | None
    lag_seconds: float
    failure: str | None


class RowStream:
    """A log, the thread that makes versions of it, and the room that is left.

    Parameters
    ----------
    log : StreamLog
        Where rows go first; closed with the stream.
    cutter : Cutter
        Makes a version of a segment, once, and keeps the versions tidy.
    on_cut : callable
        Told each version, in the thread that made it.
    settle : callable
        Told each version before a call that waits for it returns.
    on_step : callable
        Told the name of each step.
    monotonic : callable
        The seconds that a cut by time goes by.
    background : bool
        Whether a thread cuts versions; without one, the calls do.
    """

    def __init__(
        self,
        log: StreamLog,
        cutter: Cutter,
        *,
        on_cut: Told | None,
        settle: Told | None = None,
        on_step: Callable[[str], None],
        monotonic: Callable[[], float],
        background: bool = True,
    ) -> None:
        self.limits = cutter.limits
        self._log = log
        self._cut = cutter.cut
        self._merge = cutter.merge
        self._on_cut = on_cut
        self._settle = settle
        self._on_step = on_step
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._failure: Exception | None = None
        self._failed: Segment | None = None  # what it was about, when that is still to be committed
        self._busy = self._closing = self._closed = False
        self._last: VersionRecord | None = None
        self._committed_rows = self._versions = self._quarantined = 0
        now = monotonic()
        # When the first row of each segment came; what was recovered and is finished counts from now.
        self._arrived = {segment.header.number: now for segment in log.waiting}
        self._opened_at = now - log.open_seconds
        self._thread = threading.Thread(target=self._run, name="foldstore-stream", daemon=True) if background else None
        if self._thread:
            self._thread.start()

    @property
    def last(self) -> VersionRecord | None:
        """The newest version that this writer cut."""
        return self._last

    @property
    def mark(self) -> str:
        """What the last write was marked with, by an earlier writer too."""
        return self._log.mark

    @property
    def last_sealed(self) -> tuple[str, int] | None:
        """The log's id and the number of the newest piece of it that was cut or taken out; None before the first."""
        return self._log.last_sealed

    def write(self, rows: pa.Table, *, block: bool = True, timeout: float | None = None, mark: str = "") -> None:
        """Take the rows of one write, all or none; they are safe when this returns.

        Parameters
        ----------
        mark : str
            Kept in the log with these rows, as the last write's.

        Raises
        ------
        StoreError
            When the disk does not take them, when versions are not cut any more (``stream-stalled``), or when
            there is no room and the call shall not wait longer (``stream-full``). None of them was taken then,
            unless the fact ``logged`` says so: with ``durability="version"`` they may be safe and not committed.
        """
        if not rows.num_rows:
            return
        with self._changed:
            self._check_open()
            self._raise_failure()
            self._seal_when_due()
            self._make_room(rows.num_rows, block=block, timeout=timeout)
            self._log.append(rows, mark)
            if self._log.open_rows == rows.num_rows:
                self._opened_at = self._monotonic()
            self._on_step("stream-logged")
            if self._log.open_rows >= self.limits.every_rows:
                # The rows are safe: what goes wrong with the cut is for the next call to say.
                self._noting_failure(self._seal)
            self._changed.notify_all()
        if self._thread is None:
            self._drain()
        if self.limits.durability == "version":
            self.flush()

    def seal(self) -> None:
        """Finish the segment that grows, so that later rows come into another version."""
        with self._changed:
            self._check_open()
            self._seal()

    def flush(self, timeout: float | None = None) -> None:
        """Cut a version of what is pending and wait until it is there; what failed before is tried again.

        Raises
        ------
        StoreError
            With code ``stream-stalled`` when it cannot be committed, ``stream-late`` when it takes too long. The
            rows stay in the log.
        """
        with self._changed:
            self._check_open()
            self._failure = self._failed = None
            self._seal()
            self._changed.notify_all()
        if self._thread is None:
            self._drain()
        with self._changed:
            if not self._changed.wait_for(lambda: self._failure or not (self._log.waiting or self._busy), timeout):
                raise _late(self._pending())
            self._raise_failure(logged=True)

    def cut_when_due(self) -> None:
        """Cut a version when its first row is old enough; the thread asks by itself."""
        with self._changed:
            self._seal_when_due()
            self._changed.notify_all()
        if self._thread is None:
            self._drain()

    def take_failed(self) -> pa.Table:
        """Take out of the log what cannot be committed; the stream goes on with what came after.

        Raises
        ------
        UsageError
            When nothing has failed.
        """
        if self._thread is None:
            self._drain()
        with self._changed:
            self._check_open()
            segment = self._failed
            if segment is None:
                raise UsageError("Every version could be cut so far.", hint="There is nothing to take out.")
            # Copied: the file that the rows lie in goes away.
            rows = pa.Table.from_batches(list(read_batches(segment))).combine_chunks()
            self._log.drop(segment)
            self._arrived.pop(segment.header.number, None)
            self._failure = self._failed = None
            self._changed.notify_all()
            return rows

    def status(self) -> StreamStatus:
        """Say where the stream stands."""
        with self._changed:
            since = [self._arrived[s.header.number] for s in self._log.waiting]
            since += [self._opened_at] if self._log.open_rows else []
            return StreamStatus(
                rows=self._log.position,
                pending_rows=self._pending(),
                recovered_rows=self._log.recovered_rows,
                committed_rows=self._committed_rows,
                versions=self._versions,
                quarantined=self._quarantined,
                last_version=self._last.number if self._last else None,
                lag_seconds=max(self._monotonic() - min(since), 0.0) if since else 0.0,
                failure=None if self._failure is None else str(self._failure),
            )

    def close(self, *, flush: bool = True) -> None:
        """Cut what is pending and end; whatever cannot be committed stays for the next writer of that name.

        Raises
        ------
        StoreError
            When a last version could not be cut; the stream is closed all the same.
        """
        self._check_thread()
        if self._closed:
            return
        try:
            if flush:
                self.flush()
        finally:
            with self._changed:
                self._closing = True
                self._changed.notify_all()
            if self._thread:
                self._thread.join()
            self._closed = True
            self._log.close()

    def _run(self) -> None:
        """Cut versions until the stream closes; what fails is kept for the next call."""
        while True:
            with self._changed:
                self._wait_for_work()
                if self._closing:
                    return
                segment, self._busy = self._log.waiting[0], True
            self._commit(segment)

    def _wait_for_work(self) -> None:
        while not self._closing and (self._failure or not self._log.waiting):
            if self._failure is None:
                self._noting_failure(self._seal_when_due)
            if self._failure or not self._log.waiting:
                self._changed.wait(self._seconds_left())

    def _seconds_left(self) -> float | None:
        if self._failure or not self._log.open_rows or self.limits.every_seconds is None:
            return None
        return max(self._opened_at + self.limits.every_seconds - self._monotonic(), 0.001)

    def _drain(self) -> None:
        while self._log.waiting and self._failure is None:
            self._commit(self._log.waiting[0])

    def _commit(self, segment: Segment) -> None:
        version: VersionRecord | None = None
        failure: Exception | None = None
        try:
            version = self._cut_patiently(segment)
            self._on_step("stream-cut")
            with self._changed:
                self._log.drop(segment)
            self._on_step("stream-dropped")
        except CancelledError:  # whoever waits for it called it off: nothing is wrong with the rows
            raise
        except Exception as error:  # noqa: BLE001  # the caller is told at the next call
            failure = error
        with self._changed:
            dropped = segment not in self._log.waiting
            if version is not None and dropped:
                self._count(segment, version)
            self._failure = failure
            self._failed = segment if failure is not None and version is None else None
            self._changed.notify_all()
        if failure is None:
            self._noting_failure(self._merge)
        if version is not None and dropped and self._settle is not None:
            self._noting_failure(partial(self._settle, version))
        with self._changed:
            self._busy = False
            self._changed.notify_all()
        if version is not None and dropped:
            self._noting_failure(lambda: self._tell(version))

    def _tell(self, version: VersionRecord) -> None:
        if self._on_cut is not None:
            self._on_cut(version)

    def _count(self, segment: Segment, version: VersionRecord) -> None:
        self._arrived.pop(segment.header.number, None)
        self._last = version
        self._versions += 1
        self._committed_rows += segment.num_rows
        self._quarantined += version.status is Status.QUARANTINED

    def _cut_patiently(self, segment: Segment) -> VersionRecord:
        for pause in _PAUSES:
            try:
                return self._cut(segment)
            except (StoreError, ConflictError) as error:
                if isinstance(error, ConflictError) and not error.retry:
                    raise
            with self._changed:
                if self._changed.wait_for(lambda: self._closing, pause):
                    break
        return self._cut(segment)

    def _seal(self) -> None:
        sealed = self._log.seal()
        if sealed is not None:
            self._arrived[sealed.header.number] = self._opened_at
            self._on_step("stream-sealed")

    def _seal_when_due(self) -> None:
        every, rows = self.limits.every_seconds, self._log.open_rows
        is_old = every is not None and self._monotonic() - self._opened_at >= every
        if rows and (is_old or rows >= self.limits.every_rows):
            self._seal()

    def _make_room(self, num_rows: int, *, block: bool, timeout: float | None) -> None:
        """Wait until the rows fit; more than fit at all are let in when nothing else is pending."""
        if self._finds_room(num_rows):
            return
        if not block:
            raise _full(self._pending(), self.limits.max_pending_rows)
        if self._thread is None:
            self._drain()
        self._changed.wait_for(lambda: self._closing or self._failure or self._finds_room(num_rows), timeout)
        self._check_open()
        self._raise_failure()
        if not self._finds_room(num_rows):
            raise _full(self._pending(), self.limits.max_pending_rows)

    def _finds_room(self, num_rows: int) -> bool:
        pending = self._pending()
        if not pending or pending + num_rows <= self.limits.max_pending_rows:
            return True
        if not self._log.waiting:
            self._seal()  # nothing else would ever make room
            self._changed.notify_all()
        return False

    def _pending(self) -> int:
        return sum(segment.num_rows for segment in self._log.waiting) + self._log.open_rows

    def _noting_failure(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001  # the caller is told at the next call
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _check_open(self) -> None:
        if self._closing or self._closed:
            raise UsageError("The stream is closed.", hint="dataset.stream() opens it again.", code="stream-closed")
        self._check_thread()

    def _check_thread(self) -> None:
        if threading.current_thread() is self._thread:
            raise UsageError(
                "on_cut runs in the thread that cuts versions, which cannot wait for itself.",
                hint="Write, flush and close from another thread.",
            )

    def _raise_failure(self, *, logged: bool = False) -> None:
        error = self._failure
        if error is None:
            return
        cause = error.message if isinstance(error, FoldstoreError) else f"{type(error).__name__}: {error}"
        raise StoreError(
            f"The stream cuts no versions any more: {cause}",
            hint=f"{_LOGGED if logged else _NOT_TAKEN} flush() tries again, take_failed() takes out what cannot be "
            "committed.",
            code="stream-stalled",
            logged=logged,
            cause=getattr(error, "code", type(error).__name__),
            pending_rows=self._pending(),
        ) from error

    def abandon(self) -> None:
        """Let go of everything as a crash would: nothing is cut, the log stays as it is."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread:
            self._thread.join()
        self._closed = True
        with suppress(OSError):
            self._log.close()


def _late(pending: int) -> StoreError:
    return StoreError(
        f"{pending:,} rows are in no version yet, and the time to wait is over.",
        hint=_LOGGED,
        code="stream-late",
        pending_rows=pending,
    )


def _full(pending: int, most: int) -> StoreError:
    return StoreError(
        f"{pending:,} rows wait to become versions, and at most {most:,} may.",
        hint="Versions are cut more slowly than rows come: wait, write less often, or raise max_pending_rows.",
        code="stream-full",
        pending_rows=pending,
        max_pending_rows=most,
    )
