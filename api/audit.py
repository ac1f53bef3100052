"""Who read and who changed what over HTTP: lines of JSON in the store's folder ``audit``, one file a day and process.

A line is one write at the end of a file, so lines of several processes never mix and a process that is killed loses
none that were written. Before a change is answered its line is on the disk; lines of reads get there when the system
writes them. Lookups are many: they are counted, by token and route, and written down every few seconds.
"""

import heapq
import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from foldstore.api.request_record import LOOKUPS, RequestRecord
from foldstore.errors import UsageError
from foldstore.types import Clock, format_time, parse_time

FOLDER: Final = "audit"
_MODE: Final = 0o600
_EVERY_SECONDS: Final = 5.0


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

    def note(self, record: RequestRecord) -> None:
        """Write a request down, or count it."""
        if record.token is None and record.status == 200:
            return  # a probe
        now = self._clock()
        if record.route in LOOKUPS:
            with self._lock:
                token = record.token
                name, label = (token.id, token.label) if token is not None else ("", "")
                self._counts[name, label, record.route, record.status] += 1
                due = (now - self._since).total_seconds() >= _EVERY_SECONDS
            if due:
                self.flush()
            return
        self._write([{"at": format_time(now), **record.to_dict()}], durable=record.changes)

    def flush(self) -> None:
        """Write the lookups down that were counted."""
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
        if lines:
            self._write(lines, durable=False)

    def _write(self, lines: list[dict[str, Any]], *, durable: bool) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._folder / f"{lines[0]['at'][:10]}.{os.getpid()}.jsonl"
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), _MODE)
        try:
            os.write(file, text.encode())
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
            if line.endswith("\n"):  # else the process was killed while it wrote, or is writing now
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
