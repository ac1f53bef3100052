"""Processes that serve one socket: started anew when one dies or SIGHUP comes, told to end when this one is.

A store is opened by each for itself, after it was started; lookups map the same files, so their pages are shared.
"""

import logging
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Final

from foldstore.api.metrics import SHARED_FOLDER, forget_process

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 0.1
_START_SECONDS: Final = 120.0
_LONGEST_PAUSE: Final = 10.0
_SHORT_LIFE: Final = 5.0


class Told:
    """Whether something was said; the handler of a signal may say it, whatever its thread is at.

    `threading.Event` may not be set there: the handler waits for a lock that the thread it interrupts holds, for ever.
    """

    def __init__(self) -> None:
        self._hears, self._says = socket.socketpair()
        self._hears.settimeout(0)
        self._says.settimeout(0)

    def set(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Say it."""
        with suppress(OSError):  # so often that nothing more fits in, or nobody listens any more
            self._says.send(b"1")

    def is_set(self) -> bool:
        """Return whether it was said."""
        return self.wait(0)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it was said, or for so long; return whether it was."""
        return bool(select.select([self._hears], [], [], seconds)[0])

    def clear(self) -> None:
        """Forget that it was said."""
        with suppress(BlockingIOError):
            while self._hears.recv(4096):
                pass

    def close(self) -> None:
        """Listen no more."""
        self._hears.close()
        self._says.close()


class Workers:
    """Starts processes and watches over them.

    Parameters
    ----------
    command : sequence of str
        What each runs; ``--descriptor N`` is added, the socket that it serves, ``--parent N``, a pipe that ends with
        this process, and ``--announce N``, a pipe into which it writes when it serves.
    listener : socket.socket
        Listens already; closed in the end.
    count : int
        How many.
    grace_seconds : float
        For how long they may take to end before they are killed.
    """

    def __init__(self, command: Sequence[str], listener: socket.socket, count: int, grace_seconds: float) -> None:
        self._command = [*command, "--descriptor", str(listener.fileno())]
        self._listener = listener
        self._count = count
        self._grace = grace_seconds
        self._processes: list[subprocess.Popen[bytes]] = []
        self._ends = Told()
        self._anew = Told()
        self._successor: threading.Thread | None = None
        self._lock = threading.Lock()
        self._needs_listener = True

    @cached_property
    def _shared(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="foldstore-metrics-"))

    @cached_property
    def _life(self) -> tuple[int, int]:
        """A pipe that nobody writes into: whoever reads it hears that this process ended, however it did."""
        return os.pipe()

    @property
    def has_begun(self) -> bool:
        """Whether a process is there to be watched over."""
        return bool(self._processes)

    def run(self, on_start: Callable[[], None] | None = None) -> None:
        """Serve until this process is told to end (SIGTERM, SIGINT); SIGHUP starts the processes anew, one by one.

        A process that `succeed` has started is one of them.
        """
        self.hear()
        missing = self._count - len(self._processes)
        self._processes += [self._start() for _ in range(missing)]
        if on_start is not None:
            on_start()
        try:
            self._watch()
        finally:
            self.close()

    def hear(self) -> None:
        """Have signals to this process be to the processes from now on; only in the main thread."""
        signal.signal(signal.SIGTERM, self.end)
        signal.signal(signal.SIGINT, self.end)
        _on_hangup(self._anew.set)

    def succeed(self, stop: Callable[[], None]) -> None:
        """Start a process when SIGHUP comes to this one, which serves itself; call `stop` when the other one serves."""
        _on_hangup(self._anew.set)
        self._needs_listener = False

        def wait() -> None:
            while not self.has_begun:
                self._anew.wait()
                self._anew.clear()
                with self._lock:
                    if self._ends.is_set():
                        return
                    self._needs_listener = True
                process = self._start_ready()
                if process is not None:
                    self._processes.append(process)
            stop()

        self._successor = threading.Thread(target=wait, name="foldstore-successor", daemon=True)
        self._successor.start()

    def end(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Have everything end."""
        self._ends.set()
        self._anew.set()

    def let_go(self) -> None:
        """Close the socket, for this process takes no more requests; not where another one serves it, or is to."""
        with self._lock:
            if not self._needs_listener:
                self.end()
                self._listener.close()

    def close(self) -> None:
        """Tell the processes to end, and wait until they have."""
        self.end()
        if self._successor is not None:
            self._successor.join()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            self._wait_for(process)
        if "_shared" in self.__dict__:
            shutil.rmtree(self._shared, ignore_errors=True)
        for end in self.__dict__.pop("_life", ()):
            os.close(end)
        self._listener.close()
        self._ends.close()
        self._anew.close()

    def _watch(self) -> None:
        pause, started = 0.0, time.monotonic()
        while not self._ends.wait(_LOOK_SECONDS):
            for place, process in enumerate(self._processes):
                if process.poll() is None:
                    continue
                self._forget(process)
                # One that dies as soon as it starts is not started without end.
                pause = min(_LONGEST_PAUSE, pause * 2 or 0.1) if time.monotonic() - started < _SHORT_LIFE else 0.0
                if pause and self._ends.wait(pause):
                    return
                started = time.monotonic()
                self._processes[place] = self._start()
            if self._anew.is_set():
                self._anew.clear()
                self._replace_all()

    def _replace_all(self) -> None:
        """Replace one process after the other; whoever cannot be replaced stays."""
        for place, old in enumerate(self._processes):
            new = self._start_ready()
            if new is None:
                return
            self._processes[place] = new
            old.terminate()
            self._wait_for(old)
            self._forget(old)

    def _start(self, *others: int) -> subprocess.Popen[bytes]:
        announce = [each for other in others for each in ("--announce", str(other))]
        return subprocess.Popen(  # noqa: S603 - this very command
            [*self._command, "--parent", str(self._life[0]), *announce],
            pass_fds=[self._listener.fileno(), self._life[0], *others],
            env={**os.environ, SHARED_FOLDER: str(self._shared)},
            stdin=subprocess.DEVNULL,
        )

    def _start_ready(self) -> subprocess.Popen[bytes] | None:
        """Start a process and wait until it serves; None when it did not, or everything ends."""
        heard, said = os.pipe()
        try:
            process = self._start(said)
        finally:
            os.close(said)
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not self._ends.is_set() and time.monotonic() < deadline:
                if select.select([heard], [], [], _LOOK_SECONDS)[0]:
                    if os.read(heard, 1):
                        return process
                    break  # it ended
        finally:
            os.close(heard)
        process.terminate()
        self._wait_for(process)
        self._forget(process)
        if not self._ends.is_set():
            _LOG.warning("a new process did not begin to serve; the old one serves on")
        return None

    def _forget(self, process: subprocess.Popen[bytes]) -> None:
        forget_process(self._shared, process.pid)

    def _wait_for(self, process: subprocess.Popen[bytes]) -> None:
        try:
            process.wait(self._grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _on_hangup(handler: Callable[[int, FrameType | None], None]) -> None:
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, handler)
