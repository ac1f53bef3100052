"""The server's end of a process that runs one query: started, asked, listened to, and ended by force."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import pyarrow as pa

from foldstore.api.sandbox.frames import DATA, DONE, ERROR, BrokenFramesError, receive_frame, send_request
from foldstore.datastore.memory_size import num_bytes
from foldstore.errors import ColumnNotFoundError, FoldstoreError, InvalidQueryError, NotFoundError, UsageError
from foldstore.work import note_rows

_GRACE_SECONDS: Final = 1.0  # the process stops a query by itself first, and says more
_START_SECONDS: Final = 30.0
_KINDS: Final = {kind.__name__: kind for kind in (InvalidQueryError, NotFoundError, ColumnNotFoundError, UsageError)}
_LONGEST: Final = 4_000
_LOOK_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxedQuery:
    """What one process is asked.

    Attributes
    ----------
    query : str
        The text.
    params : sequence, mapping or None
        What is bound to its parameters, as JSON has it.
    tables : mapping of str to pyarrow.Table
        All the rows that it may read.
    columns : sequence of str
        The columns there are, for messages.
    media : str
        In which form the rows are answered.
    limit : int or None
        How many rows at most.
    """

    query: str
    params: Any
    tables: Mapping[str, pa.Table]
    columns: Sequence[str]
    media: str
    limit: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryQuota:
    """What one query may take.

    Attributes
    ----------
    memory : int
        Bytes beyond its rows.
    seconds : float
        Of work, beyond which it is stopped.
    rows_bytes : int
        Of the rows that it reads.
    answer_bytes : int
        Of its answer.
    """

    memory: int = 1 << 30
    seconds: float = 30.0
    rows_bytes: int = 1 << 32
    answer_bytes: int = 1 << 30


class QueryProcess:
    """A process that waits for its one query."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._channel = ours
            # -I: no path, no site of a user, no variable says what is imported.
            command = [sys.executable, "-I", "-m", "foldstore.api.sandbox.worker", str(theirs.fileno())]
            self._process = subprocess.Popen(  # noqa: S603 - our own words
                command,
                env={},
                cwd="/",
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def run(self, asked: SandboxedQuery, quota: QueryQuota) -> Iterator[bytes]:
        """Yield the answer in pieces as they come; the process ends with the last, or when nobody listens.

        Raises
        ------
        FoldstoreError
            What is wrong with the query, or the limit that it met.
        """
        try:
            with tempfile.TemporaryFile(prefix="foldstore-") as file:
                places = _write_tables(file, asked.tables, quota.rows_bytes)
                request = {
                    "escapes": False,
                    "query": asked.query,
                    "params": asked.params,
                    "tables": places,
                    "columns": list(asked.columns),
                    "media": asked.media,
                    "limit": asked.limit,
                    "memory": quota.memory,
                    "seconds": quota.seconds,
                }
                self._send(request, file)
            yield from self._listen(quota)
        finally:
            self.end()

    def try_escapes(self, quota: QueryQuota) -> list[str]:
        """Have the process try to break out; return the ways that are open."""
        request = {"escapes": True, "tables": {}, "memory": quota.memory, "seconds": quota.seconds}
        try:
            with tempfile.TemporaryFile(prefix="foldstore-") as file:
                self._send(request, file)
            found: list[str] = json.loads(b"".join(self._listen(quota)))
            return found
        finally:
            self.end()

    def end(self) -> None:
        """End the process, whatever it does."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._channel.close()

    def _send(self, request: dict[str, Any], file: BinaryIO) -> None:
        file.flush()
        # Opened once more, to be read alone; the name is gone already.
        readable = os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDONLY)
        try:
            self._channel.settimeout(_START_SECONDS)
            with suppress(BrokenPipeError, ConnectionResetError):  # that it is gone is heard next
                send_request(self._channel, request, readable)
        finally:
            os.close(readable)

    def _listen(self, quota: QueryQuota) -> Iterator[bytes]:
        kind, body = self._hear(_START_SECONDS, quota)
        # Counted is the time that it works, not the time that the reader takes.
        left, answered = quota.seconds + _GRACE_SECONDS, 0
        while kind != DONE:
            if kind == ERROR:
                raise _error(body)
            answered += len(body)
            if answered > quota.answer_bytes:
                raise InvalidQueryError(
                    f"The answer has more than {quota.answer_bytes:,} bytes.",
                    hint="Ask for fewer rows or columns at a time.",
                    code="answer-too-large",
                )
            if kind == DATA:
                yield body
            began = time.monotonic()
            kind, body = self._hear(left, quota)
            left -= time.monotonic() - began

    def _await(self, seconds: float) -> None:
        """Wait until the process says something, or for so long; whoever watches may call it off meanwhile."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            note_rows(0)
            if select.select([self._channel], [], [], min(left, _LOOK_SECONDS))[0]:
                return

    def _hear(self, seconds: float, quota: QueryQuota) -> tuple[bytes, bytes]:
        self._channel.settimeout(max(seconds, 0.001))
        self._await(seconds)
        try:
            return receive_frame(self._channel)
        except TimeoutError:
            raise InvalidQueryError(
                f"The query was stopped: it took longer than {quota.seconds:g} seconds.",
                hint="Ask for less at a time.",
                code="query-timeout",
            ) from None
        except (BrokenFramesError, OSError):
            raise InvalidQueryError(
                "The query was stopped: it took more memory or processor time than one may.",
                hint="Ask for less at a time.",
                code="query-stopped",
            ) from None


def _write_tables(file: BinaryIO, tables: Mapping[str, pa.Table], most: int) -> dict[str, tuple[int, int]]:
    size = sum(map(num_bytes, tables.values()))
    if size > most:
        raise InvalidQueryError(
            f"The query reads {size:,} bytes, more than {most:,}.",
            hint="Name fewer columns, or a smaller version or view.",
            code="query-too-large",
        )
    places = {}
    for name, table in tables.items():
        start = file.tell()
        with pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
        file.write(b"\0" * (-file.tell() % 64))  # values of each table lie where they can be read in place
        places[name] = (start, file.tell() - start)
    return places


def _error(body: bytes) -> FoldstoreError:
    """Read what the process says of an error; it is not trusted to name another class than these."""
    try:
        said = json.loads(body)
        kind = _KINDS.get(said["kind"], InvalidQueryError)
        hint = said["hint"]
        return kind(str(said["message"])[:_LONGEST], hint=hint and str(hint)[:_LONGEST], code=str(said["code"])[:60])
    except (ValueError, KeyError, TypeError):
        return InvalidQueryError("The query failed.", code="query-stopped")
