"""Several processes that serve one socket: started anew when one dies, told to end when this one is.

A store is opened by each for itself, after it was started; lookups map the same files, so their pages are shared.
"""

import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from foldstore.api.metrics import SHARED_FOLDER, forget_process

_LOOK_SECONDS: Final = 0.1
_LONGEST_PAUSE: Final = 10.0
_SHORT_LIFE: Final = 5.0


class Workers:
    """Starts processes and watches over them.

    Parameters
    ----------
    command : sequence of str
        What each runs; ``--descriptor N`` is added, the socket that it serves.
    listener : socket.socket
        Listens already.
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
        self._ends = threading.Event()
        self._anew = threading.Event()

    def run(self, on_start: Callable[[], None] | None = None) -> None:
        """Serve until this process is told to end (SIGTERM, SIGINT); SIGHUP starts the processes anew, one by one."""
        for number, handler in (
            (signal.SIGTERM, self._end),
            (signal.SIGINT, self._end),
            (getattr(signal, "SIGHUP", signal.SIGTERM), self._renew),
        ):
            signal.signal(number, handler)
        with tempfile.TemporaryDirectory(prefix="foldstore-metrics-") as folder:
            shared = Path(folder)
            self._processes = [self._start(shared) for _ in range(self._count)]
            if on_start is not None:
                on_start()
            try:
                self._watch(shared)
            finally:
                self._stop()

    def _watch(self, shared: Path) -> None:
        pause, started = 0.0, time.monotonic()
        while not self._ends.wait(_LOOK_SECONDS):
            for place, process in enumerate(self._processes):
                if process.poll() is None:
                    continue
                forget_process(shared, process.pid)
                # One that dies as soon as it starts is not started without end.
                pause = min(_LONGEST_PAUSE, pause * 2 or 0.1) if time.monotonic() - started < _SHORT_LIFE else 0.0
                if pause and self._ends.wait(pause):
                    return
                started = time.monotonic()
                self._processes[place] = self._start(shared)
            if self._anew.is_set():
                self._anew.clear()
                self._replace_all(shared)

    def _replace_all(self, shared: Path) -> None:
        for place, old in enumerate(self._processes):
            self._processes[place] = self._start(shared)
            old.terminate()
            self._wait_for(old)
            forget_process(shared, old.pid)

    def _start(self, shared: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - this very command
            self._command,
            pass_fds=[self._listener.fileno()],
            env={**os.environ, SHARED_FOLDER: str(shared)},
            stdin=subprocess.DEVNULL,
        )

    def _stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            self._wait_for(process)

    def _wait_for(self, process: subprocess.Popen[bytes]) -> None:
        try:
            process.wait(self._grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._ends.set()

    def _renew(self, _number: int, _frame: FrameType | None) -> None:
        self._anew.set()
