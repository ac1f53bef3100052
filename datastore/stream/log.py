"""The log of a stream: its folder, its lock, the segment that grows, and those that wait to become versions.

``ephemeral/<stream id>/<number>.segment``, and beside them ``lock``. A segment is removed only when the next one is
there, so the newest tells which numbers were used and how many rows the stream has taken.
"""

import fcntl
import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from foldstore.datastore.canonical import HASH_PREFIX, content_hash
from foldstore.datastore.files import Files, LogFile
from foldstore.datastore.storage import Storage, new_id
from foldstore.datastore.stream.segment import (
    AT,
    MARK,
    Segment,
    SegmentHeader,
    create_segment,
    encode_rows,
    read_schema,
    read_segment,
)
from foldstore.errors import ConflictError, CorruptObjectError, StoreError
from foldstore.types import Clock, format_time, parse_time, utc_now

_EPHEMERAL: Final = "ephemeral"
_LOCK: Final = "lock"
_SUFFIX: Final = ".segment"


def stream_folder(root: Path, dataset_id: str, branch: str, name: str) -> Path:
    """Return the folder of a stream: named by a hash, never by what a user wrote."""
    return root / _EPHEMERAL / content_hash(f"{dataset_id}\0{branch}\0{name}".encode()).removeprefix(HASH_PREFIX)[:32]


def open_log(storage: Storage, dataset_id: str, branch: str, name: str, *, goes_on: bool = False) -> "StreamLog":
    """Open the log of a stream, alone, and find what an earlier writer left.

    Parameters
    ----------
    goes_on : bool
        Whether the segment that an earlier writer left goes on growing; else it is finished, and waits to become a
        version.

    Raises
    ------
    ConflictError
        When another writer has it open.
    CorruptObjectError
        When rows that were acknowledged are damaged.
    """
    folder = stream_folder(storage.root, dataset_id, branch, name)
    files = storage.objects.files
    try:
        files.make_folder(folder)
        lock = _lock(folder / _LOCK, name)
    except OSError as error:
        raise _unwritable(error) from error
    try:
        return StreamLog(files, folder, lock, clock=storage.clock, goes_on=goes_on)
    except BaseException:
        os.close(lock)
        raise


@dataclass(slots=True)
class _Growing:
    """The segment that grows."""

    file: LogFile
    header: SegmentHeader
    end: int
    rows: int = 0
    frames: int = 1
    began_at: str = ""
    mark: str = ""


class StreamLog:
    """Segments in their order; the last one grows.

    Parameters
    ----------
    lock : int
        A descriptor that holds the lock; closed with the log.
    clock : callable
        What time it is; kept with the rows of each write.
    goes_on : bool
        Whether the newest segment that is found goes on growing.

    Attributes
    ----------
    waiting : deque of Segment
        Finished segments that are no version yet, oldest first.
    recovered_rows : int
        How many rows an earlier writer had taken and not committed.
    recovered_schema : pyarrow.Schema or None
        The columns of the newest of them.
    """

    def __init__(self, files: Files, folder: Path, lock: int, *, clock: Clock = utc_now, goes_on: bool = False) -> None:
        self._clock = clock
        self._files = files
        self._folder = folder
        self._lock = lock
        self._broken = False
        self.waiting: deque[Segment] = deque()
        self.recovered_schema: pa.Schema | None = None
        try:
            last = self._recover()
            self.recovered_rows = sum(segment.num_rows for segment in self.waiting)
            # Rows of an earlier release do not say how old they are: they wait no longer.
            grows = last is not None and (not last.num_rows or (goes_on and bool(last.began_at)))
            if last is not None and grows:
                self._open = self._resume(last)
                if last.num_rows:
                    self.waiting.pop()
            else:
                self._open = self._start(last)
        except OSError as error:
            raise _unwritable(error) from error

    @property
    def open_rows(self) -> int:
        """The rows of the segment that grows."""
        return self._open.rows

    @property
    def position(self) -> int:
        """How many rows the stream has taken since its folder was made."""
        return self._open.header.position + self._open.rows

    @property
    def mark(self) -> str:
        """What the last write was marked with; empty when it was not."""
        return self._open.mark

    @property
    def open_seconds(self) -> float:
        """How long ago, by the clock, the first row of the segment that grows came; 0 when it has none."""
        if not self._open.began_at:
            return 0.0
        return max((self._clock() - parse_time(self._open.began_at)).total_seconds(), 0.0)

    @property
    def last_sealed(self) -> tuple[str, int] | None:
        """The log's id, and the number of the newest segment that does not wait any more; None before the first."""
        number = self._open.header.number - len(self.waiting) - 1
        return None if number < 0 else (self._open.header.log, number)

    def append(self, rows: pa.Table, mark: str = "") -> None:
        """Put the rows of one write at the end, durably; a write that fails leaves nothing behind.

        Parameters
        ----------
        mark : str
            Kept until the next write, whatever becomes of the rows.

        Raises
        ------
        StoreError
            When the disk does not take them.
        """
        self._check()
        at = format_time(self._clock())
        try:
            note = {AT: at} | ({MARK: mark} if mark else {})
            frame = encode_rows(rows, self._open.frames, self._open.header.log, note)
            self._open.file.write(frame)
            self._open.file.sync()
        except BaseException as error:
            self._take_back()
            if isinstance(error, OSError):
                raise _unwritable(error, broken=self._broken) from error
            raise
        self._open.began_at = self._open.began_at if self._open.rows else at
        self._open.mark = mark
        self._open.rows += rows.num_rows
        self._open.frames += 1
        self._open.end += len(frame)

    def seal(self) -> Segment | None:
        """Finish the segment that grows and begin the next; None when it has no rows.

        Raises
        ------
        StoreError
            When the next cannot be made; this one goes on growing.
        """
        if not self._open.rows:
            return None
        self._check()
        before = self._open
        sealed = Segment(
            path=self._path(before.header.number),
            header=before.header,
            num_rows=before.rows,
            end=before.end,
            num_frames=before.frames,
            began_at=before.began_at,
            mark=before.mark,
        )
        try:
            self._open = self._start(sealed)
        except OSError as error:
            raise _unwritable(error, broken=self._broken) from error
        before.file.close()
        self.waiting.append(sealed)
        return sealed

    def drop(self, segment: Segment) -> None:
        """Remove a segment that is a version now."""
        try:
            self._files.remove(segment.path)
            self._files.sync_folders([self._folder])
        except OSError as error:
            raise _unwritable(error) from error
        self.waiting.remove(segment)

    def close(self) -> None:
        """Let go of the log; whatever it holds stays."""
        self._open.file.close()
        os.close(self._lock)

    def _check(self) -> None:
        if self._broken:
            raise StoreError(
                "The stream's log could not be brought back to its last whole write.",
                hint="Open the stream again: it recovers what was acknowledged.",
                code="stream-broken",
            )

    def _take_back(self) -> None:
        try:
            self._open.file.truncate(self._open.end)
        except OSError:  # whether the rows are there is not known: nothing more is written behind them
            self._broken = True

    def _start(self, last: Segment | None) -> _Growing:
        """Begin the segment behind another one; nothing stays of it when that fails."""
        header = SegmentHeader(
            log=last.header.log if last else new_id(),
            number=last.header.number + 1 if last else 0,
            position=last.header.position + last.num_rows if last else 0,
            mark=last.mark if last else "",
        )
        path = self._path(header.number)
        try:
            self._files.remove(path)  # what an attempt that failed may have left
            file, end = create_segment(self._files, path, header)
            self._files.sync_folders([self._folder])
        except BaseException:
            try:
                self._files.remove(path)
            except OSError:  # with that file there, more rows in the one before it would look like damage
                self._broken = True
            raise
        return _Growing(file, header, end, mark=header.mark)

    def _recover(self) -> Segment | None:
        """Read the segments that are there; return the newest, whether or not it has rows."""
        paths = sorted(self._folder.glob(f"*{_SUFFIX}"))
        found: Segment | None = None
        for path in paths:
            segment = read_segment(path, last=path == paths[-1])
            if segment is None:
                self._files.remove(path)
                continue
            _check_order(found, segment)
            found = segment
            if segment.num_rows:
                self.waiting.append(segment)
                self.recovered_schema = read_schema(segment)
        if found is not None and found.path.stat().st_size > found.end:
            self._resume(found).file.close()
        return found

    def _resume(self, segment: Segment) -> _Growing:
        """Open a segment again, without a write that was cut off behind its end."""
        file = self._files.open_log(segment.path)
        try:
            file.truncate(segment.end)
        except BaseException:
            file.close()
            raise
        return _Growing(
            file,
            segment.header,
            segment.end,
            segment.num_rows,
            segment.num_frames,
            began_at=segment.began_at,
            mark=segment.mark,
        )

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012}{_SUFFIX}"


def _check_order(before: Segment | None, segment: Segment) -> None:
    """Refuse a gap: every row between two segments was acknowledged."""
    if before is None:
        return
    expected = (before.header.log, before.header.number + 1, before.header.position + before.num_rows)
    if (segment.header.log, segment.header.number, segment.header.position) != expected:
        raise CorruptObjectError(
            f"Segments of a stream are missing between {before.path.name} and {segment.path.name}.",
            hint="Restore the folder from a backup. Nothing was removed.",
            code="stream-damaged",
            path=str(segment.path),
        )


def _lock(path: Path, name: str) -> int:
    """Take the lock; the operating system lets go of it when the process dies."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise ConflictError(
            f"The stream {name!r} is open in another writer.",
            retry=True,
            hint="One writer at a time has a stream: close the other, or give this one another name.",
            code="stream-busy",
            stream=name,
        ) from error
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _unwritable(error: OSError, *, broken: bool = False) -> StoreError:
    """Say what a failed act on the disk means for the rows."""
    taken = (
        "Whether the rows of this write were kept is not known" if broken else "The rows of this write were not taken"
    )
    return StoreError(
        f"The stream's log could not be written: {error.strerror or error}.",
        hint=f"{taken}; what was acknowledged before is safe. Check free space and permissions.",
        path=error.filename,
    )
