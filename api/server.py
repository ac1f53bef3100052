"""Runs the app in uvicorn: in the foreground, or in a thread on a free port for a demo or a test."""

import ipaddress
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from starlette.types import ASGIApp

from foldstore.api.app import FoldstoreApp, audit_of, create_app
from foldstore.api.lookup import OnlineFeatures
from foldstore.api.problem import SqlUnavailableError
from foldstore.api.request_body import Limits
from foldstore.api.running import DrainingServer, Readiness, Running, end_with, keep_what_is_there
from foldstore.api.sandbox.pool import QueryPool
from foldstore.api.tokens import TokenVault
from foldstore.api.workers import Workers
from foldstore.errors import RefusedError, StoreError

if TYPE_CHECKING:
    from foldstore.store import Store

LOOPBACK: Final = "127.0.0.1"
PORT: Final = 8765
_START_SECONDS: Final = 15.0
_BACKLOG: Final = 2048  # what uvicorn asks for


def serve(
    features: OnlineFeatures,
    tokens: TokenVault,
    *,
    store: "Store | None" = None,
    host: str = LOOPBACK,
    port: int = PORT,
    limits: Limits | None = None,
    running: Running | None = None,
    on_start: Callable[[str], None] | None = None,
) -> Workers | None:
    """Serve until the process is told to end, or has a successor.

    Parameters
    ----------
    features, tokens, store, limits
        See `foldstore.api.app.create_app`.
    host : str
        Where to listen; only this machine unless told otherwise.
    port : int
        Which port; 0 for any that is free.
    running : Running, optional
        TLS, and what it does when it is told to end.
    on_start : callable, optional
        Told the server's URL when it listens.

    Returns
    -------
    Workers or None
        What `Running.followed_by` made, when it has started a process that serves: `Workers.run` watches over it.

    Raises
    ------
    RefusedError
        When other machines could connect, and there is no token.
    StoreError
        When the port is taken.
    """
    chosen = (running or Running()).check()
    refuse_without_token(host, tokens)
    readiness, queries = Readiness(store), QueryPool()
    audit = audit_of(store)
    app = create_app(features, tokens, store=store, limits=limits, is_ready=readiness, queries=queries, audit=audit)
    if store is not None:
        with suppress(SqlUnavailableError):  # it is in the log; every query is told
            queries.check()
    try:
        with _listener(host, port, chosen) as listener, ExitStack() as stack:
            if on_start is not None:
                on_start(url_of(listener, secure=chosen.certificate is not None))
            keep_what_is_there()
            server = DrainingServer(app, chosen, readiness)
            if chosen.parent is not None:
                end_with(chosen.parent, server.stop)
            workers = None if chosen.followed_by is None else chosen.followed_by(listener.dup())
            if workers is not None:
                stack.callback(workers.close)
                workers.succeed(server.stop)
                server.on_closed = workers.let_go
            server.run(sockets=[listener])
            if workers is None or readiness.ends or not workers.has_begun:
                return None
            workers.hear()
            stack.pop_all()
            return workers
    finally:
        app.end()
        queries.close()
        if audit is not None:
            audit.flush()


def refuse_without_token(host: str, tokens: TokenVault) -> None:
    """Refuse to serve other machines while nobody could ask.

    Raises
    ------
    RefusedError
        When other machines could connect, and there is no token.
    """
    if not is_loopback(host) and not tokens.list():
        raise RefusedError(
            f"Nobody could ask a server on {host}: there is no token.", hint="Make one with `foldstore token create`."
        )


def _listener(host: str, port: int, running: Running) -> socket.socket:
    return listen(host, port) if running.descriptor is None else socket.socket(fileno=running.descriptor)


class BackgroundServer:
    """An app served from a thread of this process, as a context manager.

    Parameters
    ----------
    app : ASGI application
        From `create_app`.
    host : str
        Where to listen.
    port : int
        Which port; any that is free unless given.

    Examples
    --------
    ::

        with BackgroundServer(create_app(features, tokens)) as server:
            ...  # server.url
    """

    def __init__(self, app: ASGIApp, *, host: str = LOOPBACK, port: int = 0) -> None:
        self._app = app
        self._listener = listen(host, port)
        self.url = url_of(self._listener)
        self._server = DrainingServer(app, Running(grace_seconds=5))
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listener]}, name="foldstore-server", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.close()
                raise StoreError(f"The server on {self.url} did not start.", hint="Its log says why.")
            time.sleep(0.005)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Answer what was begun, and stop."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_START_SECONDS)
        if isinstance(self._app, FoldstoreApp):
            self._app.end()
        self._listener.close()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes any that is free.

    Raises
    ------
    StoreError
        When it cannot.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named: without it answers wait 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Now, not when the loop runs: whoever is told the URL may connect at once, and waits for the first answer.
        listener.listen(_BACKLOG)
    except (OSError, OverflowError, TypeError, UnicodeError) as error:  # a name that is no host is a TypeError
        listener.close()
        raise StoreError(
            f"No server can listen on {ascii(host)[1:-1]} port {port}: {error}.",
            hint="Choose another port, or 0 for any.",
        ) from None
    return listener


def url_of(listener: socket.socket, *, secure: bool = False) -> str:
    """Return the URL of a bound socket."""
    scheme = "https" if secure else "http"
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Say whether only this machine can connect.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
    (True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
