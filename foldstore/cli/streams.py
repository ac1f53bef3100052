"""The verb on streams: rows from standard input into versions."""

import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import StrEnum
from types import FrameType
from typing import IO, TYPE_CHECKING, Annotated, Any, Self

import typer

from foldstore.cli.output import StoreOption, say
from foldstore.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from foldstore.version import Version

_HERE = "."
_INTERRUPTED_EXIT = 130


class InputFormat(StrEnum):
    """What standard input holds."""

    JSONL = "jsonl"
    CSV = "csv"
    ARROWS = "arrows"


class _Ended(BaseException):
    """The process was asked to end."""


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(stream)


def stream(
    dataset: Annotated[str, typer.Argument(help="The dataset's name.")],
    store: StoreOption = _HERE,
    form: Annotated[InputFormat, typer.Option("--format", "-f", help="What standard input holds.")] = InputFormat.JSONL,
    name: Annotated[str, typer.Option(help="The stream's name; one writer at a time has it.")] = "main",
    create: Annotated[bool, typer.Option("--create", help="Make the dataset when it is not there.")] = False,
    every_rows: Annotated[int, typer.Option(help="Cut a version of so many rows.")] = 100_000,
    every_seconds: Annotated[float, typer.Option(help="Or when its first row is so old.")] = 60.0,
    keep_age: Annotated[str | None, typer.Option(help="Let older rows go from the newest version: 36h, 7d.")] = None,
    keep_bytes: Annotated[str | None, typer.Option(help="Let the oldest rows go beyond that: 500MB, 2GB.")] = None,
    message: Annotated[str, typer.Option("--message", "-m", help="Kept with each version.")] = "",
) -> None:
    """Cut versions of rows from standard input until it ends; SIGTERM and Ctrl-C end it too, and lose nothing.

    Example: tail -f clicks.jsonl | foldstore stream clicks --every-seconds 10 --keep-age 7d
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened, _Pipe(_standard_input()) as pipe:
        if create and dataset not in {each.name for each in opened.datasets()}:
            opened.create_dataset(dataset)
        with opened.dataset(dataset).stream(
            name,
            every_rows=every_rows,
            every_seconds=every_seconds,
            keep_age=keep_age,
            keep_bytes=keep_bytes,
            message=message,
            on_cut=_say_version,
        ) as writer:
            with suppress(_Ended):
                for piece in _pieces(form, pipe, lambda: writer.arrow_schema):
                    writer.write(piece)
            writer.flush()
            state = writer.status()
    say(f"{state.committed_rows:,} rows in {state.versions:,} versions, {state.quarantined:,} of them quarantined.")
    if pipe.interrupted or state.quarantined:
        raise typer.Exit(_INTERRUPTED_EXIT if pipe.interrupted else 1)


class _Pipe:
    """Standard input, until a signal asks to end: what was read is always handed on first."""

    def __init__(self, source: IO[bytes]) -> None:
        self.interrupted = False
        self._ended = False
        self._source = source
        # A signal writes here, so that waiting for input ends; the handler itself stops nothing half done.
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Note that the process was asked to end; asked twice, it stops waiting for the last version."""
        if self._ended:
            raise KeyboardInterrupt
        self._ended, self.interrupted = True, number == signal.SIGINT

    def read1(self, size: int) -> bytes:
        """Return what has arrived, at least a byte; nothing at the end."""
        try:
            descriptor = self._source.fileno()
        except OSError:  # not a file: a test's input
            return self._source.read(size)
        select.select([descriptor, self._woken], [], [])
        if self._ended:
            raise _Ended
        return os.read(descriptor, size)

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer at the end."""
        parts: list[bytes] = []
        while size and (part := self.read1(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    @property
    def closed(self) -> bool:
        """Whether it is closed (pyarrow asks)."""
        return False

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self.handle) for number in (signal.SIGINT, signal.SIGTERM)}
        self._wake_before = signal.set_wakeup_fd(self._wake)
        return self

    def __exit__(self, *_error: object) -> None:
        signal.set_wakeup_fd(self._wake_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._woken)
        os.close(self._wake)


def _pieces(form: InputFormat, pipe: _Pipe, known: "Callable[[], pa.Schema | None]") -> "Iterator[Any]":
    from foldstore.datastore.stream.text import read_arrow, read_csv_text, read_json_lines

    if form is InputFormat.JSONL:
        return read_json_lines(pipe)
    return read_csv_text(pipe, known) if form is InputFormat.CSV else read_arrow(pipe)


def _standard_input() -> IO[bytes]:
    if sys.stdin is None or sys.stdin.closed:
        raise UsageError("There is no standard input.", hint="Pipe rows into the command.")
    return sys.stdin.buffer


def _say_version(version: "Version") -> None:
    say(f"Cut {version.address} ({version.record.rows_added:,} rows): {version.status}")
