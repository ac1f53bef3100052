"""The gate before every route: no token, no answer; and no error leaves but as a problem document."""

import asyncio
import hashlib
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from anyio import to_thread
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foldstore.api.access import PRINCIPAL_KEY, PUBLIC_PATHS, SCOPE_BY_PATH, permits, say_who_may
from foldstore.api.problem import REQUEST_ID, AuditUnavailableError, UnauthenticatedError, problem_of
from foldstore.api.request_record import LOOKUPS, RequestRecord
from foldstore.api.route import RouteTable
from foldstore.api.tokens import Token, TokenVault, check_token, hash_secret, parse_token, unauthenticated
from foldstore.api.watch import ID_KEY, Watch, new_id, record_of
from foldstore.errors import NotFoundError, RefusedError

_STALE_AFTER: Final = timedelta(seconds=2)  # how long a revoked token may still count
_CACHED: Final = 4_096
_SCHEME: Final = b"bearer "
HEADERS: Final = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]  # of every answer


@dataclass(frozen=True, slots=True)
class _Known:
    token: Token | None
    loaded_at: datetime

    def is_fresh(self, now: datetime) -> bool:
        return timedelta(0) <= now - self.loaded_at < _STALE_AFTER


class Authenticator:
    """Tells whose token a request carries.

    Tokens are looked up in the catalog at most every two seconds each, unknown ones as well, so that both take
    the same path.

    Parameters
    ----------
    vault : TokenVault
        Where tokens are known.
    """

    __slots__ = ("_known", "_proven", "_vault")

    def __init__(self, vault: TokenVault) -> None:
        self._vault = vault
        self._known: dict[str, _Known] = {}
        # Of headers that were right once: whose token they name, and the hash that its secret has. Whether the token
        # still counts is asked every time.
        self._proven: dict[bytes, tuple[str, str]] = {}

    async def authenticate(self, headers: list[tuple[bytes, bytes]], address: str, watch: Watch) -> Token:
        """Return the token of a request.

        Parameters
        ----------
        headers : list
            What the request says.
        address : str
            Where it comes from.
        watch : Watch
            Counts what fails.

        Raises
        ------
        UnauthenticatedError
            When there is none that counts.
        RateLimitedError
            When it was wrong too often, or asks too often.
        """
        given = [value for name, value in headers if name == b"authorization"]
        if len(given) != 1 or not given[0][: len(_SCHEME)].lower() == _SCHEME:
            raise unauthenticated()
        proof = prove(given[0])
        token_id, secret_hash = self._proven.get(proof) or _read_token(given[0])
        watch.check_failures(address, token_id)
        now = self._vault.clock()
        known = self._known.get(token_id)
        if known is None or not known.is_fresh(now):
            known = _Known(await to_thread.run_sync(self._vault.find, token_id), now)
            if len(self._known) >= _CACHED:
                self._known = {}
            self._known[token_id] = known
        try:
            token = check_token(known.token, secret_hash, now)
        except UnauthenticatedError:
            watch.note_failure(address, token_id)
            raise
        if proof not in self._proven:
            if len(self._proven) >= _CACHED:
                self._proven = {}
            self._proven[proof] = token_id, secret_hash
        watch.check_rate(token)
        return token

    def recognize(self, proof: bytes, address: str, watch: Watch) -> Token | None:
        """Return the token that a header named, when it was right lately and still counts; None needs a closer look.

        Nothing is counted: neither the request nor a failure.

        Parameters
        ----------
        proof : bytes
            What `prove` gives for the one header ``authorization``.
        address : str
            Where the request comes from.
        watch : Watch
            Knows what failed.
        """
        proven = self._proven.get(proof)
        known = None if proven is None else self._known.get(proven[0])
        if proven is None or known is None:
            return None
        now = self._vault.clock()
        try:
            watch.check_failures(address, proven[0])
            token = check_token(known.token, proven[1], now)
        except RefusedError:
            return None
        return token if known.is_fresh(now) and watch.may_ask(token) else None


def prove(header: bytes) -> bytes:
    """Return what is remembered of a header ``authorization``, which gives no secret away."""
    return hashlib.sha256(header).digest()


def _read_token(header: bytes) -> tuple[str, str]:
    token_id, secret = parse_token(header[len(_SCHEME) :].decode("latin-1"))
    return token_id, hash_secret(secret)


class Gate:
    """ASGI middleware: authenticates, authorizes by path, and answers every error.

    Parameters
    ----------
    app : ASGI application
        What lies behind.
    authenticator : Authenticator
        Who tells whose token it is.
    table : RouteTable
        The routes of resources, and the scope that each needs.
    watch : Watch
        Is told of every request.
    write_seconds : float
        For how long a client may take nothing of an answer before it is given up.
    """

    __slots__ = ("_app", "_authenticator", "_table", "_watch", "_write_seconds")

    def __init__(
        self, app: ASGIApp, authenticator: Authenticator, table: RouteTable, watch: Watch, write_seconds: float
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._table = table
        self._watch = watch
        self._write_seconds = write_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on to the route."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, request_id, unwritten = time.perf_counter(), new_id(), False
        record: RequestRecord | None = None  # from the moment on when the status is out
        scope[ID_KEY] = request_id
        REQUEST_ID.set(request_id)

        async def sent(message: Message) -> None:
            nonlocal record
            if message["type"] == "http.response.start":
                told = record_of(scope, message["status"], began, self._route_of)
                if not unwritten:
                    await self._watch.begin(told)
                record = told  # from now on it is out
                own = (b"x-request-id", request_id.encode())
                await send({**message, "headers": [*message["headers"], *HEADERS, own]})
            elif not message.get("more_body"):
                await send(message)
            else:
                await self._send_in_time(send, message)

        try:
            await self._authorize(scope)
            await self._app(scope, receive, sent)
        except ClientDisconnect:
            return
        except Exception as error:
            answer = problem_of(error)
            if record is not None:
                raise  # the status is out: only breaking the connection off can say that the answer is not whole
            try:
                await answer(scope, receive, sent)
            except AuditUnavailableError as failure:
                unwritten = True
                await problem_of(failure)(scope, receive, sent)
        finally:
            ended = record or record_of(scope, 0, began, self._route_of)
            ended.seconds = time.perf_counter() - began
            self._watch.end(ended)

    async def _send_in_time(self, send: Send, message: Message) -> None:
        try:
            async with asyncio.timeout(self._write_seconds):
                await send(message)
        except TimeoutError:
            raise ClientDisconnect from None

    def _route_of(self, method: str, path: str) -> str:
        if path in SCOPE_BY_PATH or path in PUBLIC_PATHS:
            return path
        return self._table.find_template(method, path) or "other"

    async def _authorize(self, scope: Scope) -> None:
        path: Any = scope["path"]
        if path in PUBLIC_PATHS:
            return
        client = scope.get("client")
        address = client[0] if client else ""
        token = await self._authenticator.authenticate(scope["headers"], address, self._watch)
        scope[PRINCIPAL_KEY] = token
        if path in SCOPE_BY_PATH:
            needed = SCOPE_BY_PATH[path]
        else:
            scopes = self._table.find_scopes(path)
            if not scopes:
                raise NotFoundError("There is nothing at this path.", hint="GET /openapi.json lists what there is.")
            needed = scopes.get(scope["method"])  # of a method that it does not have, the router says so
        if needed is not None and not permits(token.scopes, needed):
            raise RefusedError(
                f"Role {token.role!r} may not do this: it needs the scope {needed!r}.",
                hint=say_who_may(needed),
                scope=needed,
            )
        if path in LOOKUPS:
            await self._watch.check_lookup(token)
