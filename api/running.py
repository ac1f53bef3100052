"""How a server runs: TLS, what it does when it is told to end, and whether it is ready."""

import asyncio
import atexit
import gc
import os
import shutil
import signal
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from starlette.types import ASGIApp

from foldstore.api.http_protocol import BoundedHttp
from foldstore.errors import FoldstoreError, UsageError

if TYPE_CHECKING:
    from foldstore.api.workers import Workers
    from foldstore.store import Store

_LEAST_FREE: Final = 64 << 20
_MOST_CONNECTIONS: Final = 1_000
_SEARCH_SELDOM: Final = (20_000, 20, 50)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """How a server runs.

    Attributes
    ----------
    certificate, key : Path or None
        Files for TLS, in PEM; without them the server speaks HTTP.
    drain_seconds : float
        For how long it says that it is not ready, and still takes requests, before it ends: so long a balancer needs
        to send them elsewhere.
    grace_seconds : float
        For how long requests that were begun may take to be finished then.
    descriptor : int or None
        A socket that listens already, from whoever started this process.
    announce : int or None
        A pipe of whoever started this process, who is told through it that requests are answered.
    parent : int or None
        A pipe that ends when whoever started this process does: then this one ends, too.
    followed_by : callable or None
        Returns what starts a process in the place of this one when SIGHUP comes; in the main thread alone.
    """

    certificate: Path | None = None
    key: Path | None = None
    drain_seconds: float = 0.0
    grace_seconds: float = 30.0
    descriptor: int | None = None
    announce: int | None = None
    parent: int | None = None
    followed_by: "Callable[[socket.socket], Workers] | None" = None

    def check(self) -> "Running":
        """Return it when its files can be read.

        Raises
        ------
        UsageError
            When they cannot, or do not belong together.
        """
        if (self.certificate is None) != (self.key is None):
            raise UsageError("TLS needs a certificate and its key.", hint="Name both files, or none.")
        if self.certificate is not None and self.key is not None:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key)
            except (OSError, ssl.SSLError, ValueError) as error:
                raise UsageError(
                    f"The files for TLS cannot be used: {' '.join(str(error).split())[:200]}.",
                    hint="Both are PEM: a certificate (and its chain), and its key without a password.",
                    code="invalid-setting",
                ) from None
        return self


def keep_what_is_there() -> None:
    """Take what a process holds before its first request out of every later search for garbage, and search seldom.

    A search through all that is imported takes tens of milliseconds, in the middle of some request. Only for a process
    that does nothing but serve. At its end all is searched: what stayed would be called leaked on the standard error.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_SEARCH_SELDOM)
    atexit.register(gc.unfreeze)


def end_with(parent: int, end: Callable[[], None]) -> None:
    """Call something when a pipe ends that nobody writes into, for whoever holds its other end is gone."""

    def wait() -> None:
        with suppress(OSError):
            os.read(parent, 1)
        end()

    threading.Thread(target=wait, name="foldstore-parent", daemon=True).start()


class Readiness:
    """Whether lookups and resources can be answered: the store is there, has room, and the server does not end.

    Parameters
    ----------
    store : Store, optional
        What is served.
    """

    def __init__(self, store: "Store | None" = None) -> None:
        self._store = store
        self.ends = False

    def __call__(self) -> bool:
        """Ask now."""
        if self.ends:
            return False
        if self._store is None:
            return True
        try:
            self._store.registry("token").list_names()
            return shutil.disk_usage(self._store.root).free > _LEAST_FREE
        except (FoldstoreError, OSError):
            return False


class DrainingServer(uvicorn.Server):
    """Says that it is not ready before it stops to listen, and finishes what was begun.

    Parameters
    ----------
    app : ASGI application
        What it serves.
    running : Running
        How.
    readiness : Readiness, optional
        Is told that the server ends.

    Attributes
    ----------
    on_closed : callable
        Called when it takes no more connections.
    """

    def __init__(self, app: ASGIApp, running: Running, readiness: Readiness | None = None) -> None:
        super().__init__(_config(app, running))
        self._running = running
        self._readiness = readiness
        self._loop: asyncio.AbstractEventLoop | None = None
        self.on_closed: Callable[[], None] = lambda: None

    async def serve(self, sockets: Any = None) -> None:
        """Serve until told to end."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def stop(self) -> None:
        """End when what was begun is finished; another process takes the requests that come."""
        self.should_exit = True

    async def startup(self, sockets: Any = None) -> None:
        """Begin to take requests, and say so to whoever waits for it."""
        await super().startup(sockets)
        if self._running.announce is not None:
            with suppress(OSError):  # who waited is gone
                os.write(self._running.announce, b"1")
                os.close(self._running.announce)

    async def shutdown(self, sockets: Any = None) -> None:
        """Take no more connections, and finish what was begun."""
        self.on_closed()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; when told a second time, at once."""
        first = self._readiness is not None and not self._readiness.ends
        if self._readiness is not None:
            self._readiness.ends = True
        if first and sig == signal.SIGTERM and self._running.drain_seconds and self._loop is not None:
            stop: Callable[[], None] = lambda: self.handle_exit(sig, None)  # noqa: E731
            self._loop.call_soon_threadsafe(self._loop.call_later, self._running.drain_seconds, stop)
            return
        super().handle_exit(sig, frame)
        if sig == signal.SIGTERM:
            self._captured_signals.clear()  # else the process would die of it, having finished everything


def _config(app: ASGIApp, running: Running) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(max(1, running.grace_seconds)),
        limit_concurrency=_MOST_CONNECTIONS,
        http=BoundedHttp,
        ssl_certfile=running.certificate,
        ssl_keyfile=running.key,
        ws="none",
        lifespan="off",
    )
