"""Who read and who changed what over HTTP: lines of JSON in the store's folder ``audit``, one file a day and process.

A line is one write at the end of a file, so lines of several processes never mix and a process that is killed loses
none that were written. Before a change is answered its line is on the disk; lines of reads get there when the system
writes them. Lookups are many: they are counted, by token and route, and written down every few seconds.

Where no line can be written (a full disk, a folder that was taken away), nothing is changed and nothing is read;
lookups go on, and are written down when that is possible again.
"""

import errno
import heapq
import json
import logging
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from foldstore.api.problem import AuditUnavailableError
from foldstore.api.request_record import LOOKUPS, RequestRecord
from foldstore.api.tokens import Token
from foldstore.errors import UsageError
from foldstore.types import Clock, format_time, parse_time

FOLDER: Final = "audit"
_MODE: Final = 0o600
_EVERY: Final = timedelta(seconds=5)
_LOG: Final = logging.getLogger(__name__)


class AuditLog:
    """Writes down who did what.

    Parameters
    ----------
    folder : Path
        The store's folder ``audit``.
    clock : callable
        What time it is.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str, str, int]] = Counter()
        self._since = clock()
        self._torn = False  # whether the last line broke off: the next begins after a line end

    def check(self) -> None:
        """Look whether a line could be written now, before something is changed.

        Raises
        ------
        AuditUnavailableError
            When it could not.
        """
        self._write([], durable=False)

    def note(self, record: RequestRecord) -> None:
        """Write a request down, or count it.

        Raises
        ------
        AuditUnavailableError
            When it cannot be written down.
        """
        if record.token is None and record.status == 200:
            return  # a probe
        if record.route in LOOKUPS:
            self.note_lookups(record.token, record.route, record.status, 1)
        else:
            self._write([{"at": format_time(self._clock()), **record.to_dict()}], durable=record.changes)

    def note_lookups(self, token: Token | None, route: str, status: int, times: int) -> None:
        """Count lookups."""
        now = self._clock()
        with self._lock:
            name, label = (token.id, token.label) if token is not None else ("", "")
            self._counts[name, label, route, status] += times
            due = now - self._since >= _EVERY
        if due:
            self._flush_or_wait()

    def flush(self) -> None:
        """Write the lookups down that were counted.

        Raises
        ------
        AuditUnavailableError
            When they cannot be: they stay counted.
        """
        now = self._clock()
        with self._lock:
            counts, self._counts = self._counts, Counter()
            since, self._since = self._since, now
        lines = [
            {
                "at": format_time(now),
                "since": format_time(since),
                "method": "POST",
                "route": route,
                "status": status,
                "token": token or None,
                "label": label,
                "times": times,
            }
            for (token, label, route, status), times in counts.items()
        ]
        try:
            if lines:
                self._write(lines, durable=False)
        except AuditUnavailableError:
            with self._lock:
                self._counts.update(counts)
                self._since = since
            raise

    def _flush_or_wait(self) -> None:
        try:
            self.flush()
        except AuditUnavailableError as error:
            _LOG.error("lookups cannot be written down yet: %s", error.__cause__)

    def _write(self, lines: list[dict[str, Any]], *, durable: bool) -> None:
        day = lines[0]["at"][:10] if lines else format_time(self._clock())[:10]
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            start = "\n" if self._torn and lines else ""
            _append(self._folder / f"{day}.{os.getpid()}.jsonl", f"{start}{text}".encode(), durable=durable)
            self._torn = self._torn and not lines
        except OSError as error:
            self._torn = True
            raise AuditUnavailableError(
                "The audit cannot be written.",
                hint="Tell who runs the server; look before you ask again whether it was done.",
            ) from error


def _append(path: Path, data: bytes, *, durable: bool) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), _MODE)
    try:
        if os.write(file, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if durable:
            os.fsync(file)
    finally:
        os.close(file)


def read_audit(
    folder: Path,
    *,
    since: str | None = None,
    until: str | None = None,
    token: str | None = None,
    name: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield what was written down, oldest first.

    Parameters
    ----------
    folder : Path
        The store's folder ``audit``.
    since, until : str, optional
        From which instant on, and before which, RFC 3339.
    token : str, optional
        Only what the holder of this token did.
    name : str, optional
        Only what was done with what has this name.

    Raises
    ------
    UsageError
        When an instant is none.
    """
    first, end = _instant(since), _instant(until)
    files = sorted(folder.glob("*.jsonl")) if folder.is_dir() else []
    if first is not None:
        files = [file for file in files if file.name[:10] >= format_time(first)[:10]]
    for line in heapq.merge(*map(_lines_of, files), key=lambda line: str(line["at"])):
        at = parse_time(line["at"])
        if (first is not None and at < first) or (end is not None and at >= end):
            continue
        if token is not None and line.get("token") != token:
            continue
        if name is not None and name not in line.get("named", {}).values():
            continue
        yield line


def _lines_of(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            # Else the process was killed while it wrote, or is writing now; or the disk was full.
            if line.endswith("}\n"):
                with suppress(ValueError):
                    yield json.loads(line)


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = parse_time(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise UsageError(f"{ascii(text)[:60]} is no instant.", hint="Write 2026-01-31T00:00:00Z.")
    return at
