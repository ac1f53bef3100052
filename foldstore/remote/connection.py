"""The way to a server: connections that are kept, retries of what is safe, errors as the store raises them.

The standard library's client alone: a redirect is never followed, so the token goes to the host that was named and to
no other; nothing is read from proxies' or cookies' settings.
"""

import json
import random
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from email.message import Message
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from importlib.metadata import version
from typing import IO, Any, Final, Protocol
from urllib.parse import quote, urlencode
from uuid import uuid4

from foldstore.datastore.lineage.recording import asked_now
from foldstore.datastore.operation_folder import id_of_key
from foldstore.errors import FoldstoreError, NotFoundError, StoreError, UsageError
from foldstore.remote.multipart import MultipartBody
from foldstore.remote.problems import error_of
from foldstore.remote.server_address import ServerAddress
from foldstore.work import FOLLOWED

ARROW: Final = "application/vnd.apache.arrow.stream"
JSON: Final = "application/json"
_KEPT: Final = 8
_BLOCK: Final = 1 << 20
_MOST_JSON: Final = 1 << 30
_FIRST_WAIT: Final = 0.2
_LONGEST_WAIT: Final = 30.0
# The request was not begun, or may be begun again: RFC 9110 calls these methods idempotent.
_IDEMPOTENT: Final = frozenset({"GET", "PUT", "DELETE"})
_OPERATIONS: Final = "/v1/operations/"
_TRIES: Final = 5  # to call off what may not have begun yet: a second
_AGAIN: Final = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked.

    Attributes
    ----------
    method, path : str
        The path is from the server's base on, its names quoted.
    query : mapping
        What stands behind the question mark; None is left out.
    data : object
        Plain data for a body of JSON.
    text : bytes or None
        A body of JSON that is written already.
    rows : binary file or None
        A body of Arrow, or of several parts, which can be sent again from its beginning.
    rows_kind : str
        Its content type.
    accept : str
        In which form the answer shall come.
    key : str or None
        The Idempotency-Key: with one, a write may be asked again.
    only_reads : bool
        Whether a POST changes nothing.
    later : bool
        Whether the server may answer where the answer will be.
    operation : str or None
        The Idempotency-Key of an operation that may be begun, where there is no other: it may not be asked again.
    is_numbered : bool
        Whether what is asked says where it belongs, so that the server tells a second one from the first.
    in_run : bool
        Whether it belongs to the run that goes on, if one does: it looks up what was asked for, or commits.
    """

    method: str
    path: str
    query: Mapping[str, Any] | None = None
    data: Any = None
    text: bytes | None = None
    rows: IO[bytes] | MultipartBody | None = None
    rows_kind: str = ARROW
    accept: str = JSON
    key: str | None = None
    only_reads: bool = False
    later: bool = False
    operation: str | None = None
    is_numbered: bool = False
    in_run: bool = False

    @property
    def may_be_sent_again(self) -> bool:
        """Whether a second one does nothing that the first did not."""
        return self.method in _IDEMPOTENT or self.key is not None or self.only_reads or self.is_numbered


def path_of(*parts: object, verb: str = "") -> str:
    """Return a path of names, each quoted so that it stays one name.

    Examples
    --------
    >>> path_of("datasets", "flights", "versions", 3, verb="drift"), path_of("datasets", "a/../b")
    ('/v1/datasets/flights/versions/3:drift', '/v1/datasets/a%2F..%2Fb')
    """
    return "/v1/" + "/".join(quote(str(part), safe="") for part in parts) + (f":{verb}" if verb else "")


class Follower(Protocol):
    """Follows what a server has begun."""

    def follow(self, place: str) -> None:
        """Wait until the operation at a path is done."""


# The runs that go on in a context, each over one connection.
RUNS: "Final[ContextVar[tuple[tuple[Connection, str], ...]]]" = ContextVar("foldstore_remote_runs", default=())
LATER: Final[ContextVar[Follower | None]] = ContextVar("foldstore_later", default=None)


@contextmanager
def unnoted() -> Iterator[None]:
    """Look things up outside of every run, for the length of a block."""
    token = RUNS.set(())
    try:
        yield
    finally:
        RUNS.reset(token)


class Connection:
    """Asks one server; shared by the handles of a store, and by threads.

    Parameters
    ----------
    address : ServerAddress
        Where it is.
    """

    def __init__(self, address: ServerAddress) -> None:
        self.address = address
        self._idle: list[HTTPConnection] = []
        self._lock = threading.Lock()
        self._is_closed = False
        self._headers = {
            "authorization": f"Bearer {address.token}",
            "user-agent": f"foldstore/{version('foldstore')}",
        }

    def __repr__(self) -> str:
        return f"<Connection to {self.address.url}>"

    def close(self) -> None:
        """Close what is idle; what is being read is closed when it has been."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for each in idle:
            each.close()

    def ask(self, request: Request) -> Any:
        """Ask, and return the plain data of the answer; None when there is none.

        Raises
        ------
        FoldstoreError
            What the store raised, as the same class with the same code.
        StoreError
            With code ``server-unreachable`` when there is no server, ``connection-lost`` when it was lost midway, and
            ``unexpected-answer`` when it is none of Foldstore's.
        """
        with self.open(request) as answer:
            return _read_plain(answer)

    def items(self, path: str, query: Mapping[str, Any] | None = None) -> Iterator[Any]:
        """Yield what a route lists, page by page."""
        cursor: str | None = None
        while True:
            page = self.ask(Request(method="GET", path=path, query={**(query or {}), "limit": 1_000, "cursor": cursor}))
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    @contextmanager
    def open(self, request: Request) -> Iterator[HTTPResponse]:
        """Ask, and give the answer to be read within the block; see `ask` for what is raised.

        Where somebody watches, what takes long is begun, followed, and its answer fetched when it is there.
        """
        follower = self._find_follower(request)
        if follower is None:
            with self._open(request) as answer:
                yield answer
            return
        key, is_unknown = request.key or uuid4().hex, True
        try:
            with self._open(replace(request, later=True, operation=key)) as answer:
                is_unknown = answer.status == HTTPStatus.ACCEPTED
                if not is_unknown:
                    yield answer
                    return
                place = answer.headers.get("location", "")
                answer.read()
        except KeyboardInterrupt:
            if is_unknown:
                self._call_off(key)
            raise
        if not place.startswith(_OPERATIONS):
            raise _unexpected("The server says nothing of where its answer will be.")
        follower.follow(place)
        with self._open(Request(method="GET", path=f"{place}/result", accept=request.accept)) as answer:
            yield answer

    def ask_now(self, request: Request) -> Any:
        """Ask what is answered at once, whoever watches; see `ask`."""
        with self._open(request) as answer:
            return _read_plain(answer)

    def _call_off(self, key: str) -> None:
        """End what a server may have begun, though it did not say so; it may be about to begin."""
        place = f"{_OPERATIONS}{id_of_key(f'{self.token_id}:{key}')}"
        for _ in range(_TRIES):
            try:
                self.ask_now(Request(method="DELETE", path=place))
            except NotFoundError:
                time.sleep(_FIRST_WAIT)
            except FoldstoreError:
                return
            else:
                return

    def _find_follower(self, request: Request) -> Follower | None:
        follower, make = LATER.get(), FOLLOWED.get()
        if follower is not None or make is None or request.accept != JSON:  # rows come as they are made
            return follower
        made: Follower = make(self)
        return made

    @contextmanager
    def _open(self, request: Request) -> Iterator[HTTPResponse]:
        connection, answer = self._send_patiently(request)
        try:
            try:
                yield answer
            except (HTTPException, OSError) as error:
                raise lost(error) from error
        finally:
            self._give_back(connection, answer)

    def _send_patiently(self, request: Request) -> tuple[HTTPConnection, HTTPResponse]:
        left = self.address.retries if request.may_be_sent_again else 0
        wait = _FIRST_WAIT
        while True:
            pause = wait
            try:
                connection, answer = self._send(request)
            except _UnansweredError as error:
                if not left and not error.was_idle:
                    raise error.said from error.__cause__
                if error.was_idle:  # a server closes what is idle for long: that is no failure
                    continue
            else:
                if answer.status < 300:
                    return connection, answer
                told = self._read_error(connection, answer)
                if not left or answer.status not in _AGAIN:
                    raise told
                pause = max(wait, _retry_after(answer.headers))
            left -= 1
            wait *= 2
            # Spread, so that those who were sent away together do not come back together.
            time.sleep(min(pause, _LONGEST_WAIT) * random.uniform(1, 1.25))  # noqa: S311

    def _send(self, request: Request) -> tuple[HTTPConnection, HTTPResponse]:
        # Of a kept connection that turns out to be closed nobody knows whether the server read what was sent last.
        connection, was_idle = self._take() if request.may_be_sent_again else (self._make(), False)
        headers, body = self._written(request)
        try:
            if connection.sock is None:
                connection.connect()
        except (OSError, HTTPException) as error:
            connection.close()
            raise _UnansweredError(self._unreachable(error)) from error
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # who refuses a body may answer, and read no further
                connection.request(request.method, self._target(request), body, headers)
            return connection, connection.getresponse()
        except (OSError, HTTPException) as error:
            connection.close()
            raise _UnansweredError(lost(error), was_idle=was_idle and isinstance(error, ConnectionError)) from error
        except KeyboardInterrupt:
            connection.close()  # a server that waits for the rest of a body begins nothing
            raise

    def _written(self, request: Request) -> tuple[dict[str, str], Any]:
        headers = {**self._headers, "accept": request.accept}
        if request.in_run:
            headers |= self._run_headers()
        if request.later:
            headers["prefer"] = "respond-async"
        if request.key is not None:
            headers["idempotency-key"] = request.key
        elif request.operation is not None:
            headers["idempotency-key"] = request.operation
        if request.rows is not None:
            size = request.rows.seek(0, 2)
            request.rows.seek(0)
            return {**headers, "content-type": request.rows_kind, "content-length": str(size)}, request.rows
        if request.data is None and request.text is None:
            return headers, None
        return {**headers, "content-type": JSON}, write_json(request.data) if request.text is None else request.text

    def _run_headers(self) -> dict[str, str]:
        run_id, asked = self.find_run(), asked_now()
        if run_id is None:
            return {}
        return {"foldstore-run": run_id} | ({} if asked is None else {"foldstore-asked": str(asked)})

    def find_run(self) -> str | None:
        """Return the id of the run that goes on in this context over this connection, or None."""
        return next((run for connection, run in RUNS.get() if connection is self), None)

    @property
    def token_id(self) -> str:
        """What the server calls the token by."""
        return self.address.token.partition("_")[2].partition("_")[0]

    def _target(self, request: Request) -> str:
        given = {name: _text(value) for name, value in (request.query or {}).items() if value is not None}
        return f"{self.address.base}{request.path}{'?' + urlencode(given) if given else ''}"

    def _take(self) -> tuple[HTTPConnection, bool]:
        with self._lock:
            if self._idle and not self._is_closed:
                return self._idle.pop(), True
        return self._make(), False

    def _make(self) -> HTTPConnection:
        if self._is_closed:
            raise StoreError("The connection to the server was closed.", hint="Open another one.", code="store-closed")
        address = self.address
        how: dict[str, Any] = {"timeout": address.timeout, "blocksize": _BLOCK}
        if address.tls is None:
            return HTTPConnection(address.host, address.port, **how)
        return HTTPSConnection(address.host, address.port, context=address.tls, **how)

    def _give_back(self, connection: HTTPConnection, answer: HTTPResponse) -> None:
        is_read = answer.isclosed()  # the whole answer: otherwise the next one would begin in its middle
        with self._lock:
            if is_read and not self._is_closed and len(self._idle) < _KEPT and connection.sock is not None:
                self._idle.append(connection)
                return
        answer.close()
        connection.close()

    def _read_error(self, connection: HTTPConnection, answer: HTTPResponse) -> FoldstoreError:
        body = b""
        with suppress(OSError, HTTPException):
            body = answer.read(_MOST_JSON)
        self._give_back(connection, answer)
        if 300 <= answer.status < 400:
            return _unexpected("The server points to another place, which is not followed: the token is for it alone.")
        return error_of(answer.status, body)

    def _unreachable(self, error: Exception) -> StoreError:
        if isinstance(error, ssl.SSLCertVerificationError):
            return StoreError(
                f"The certificate of {self.address.url} does not prove who it is: {error.verify_message}.",
                hint="ca_file= names the certificates of a company's own authority.",
                code="untrusted-server",
            )
        return StoreError(
            f"There is no server at {self.address.url}: {error}.",
            hint="Ask whether `foldstore serve` runs there, and whether the URL is right.",
            code="server-unreachable",
        )


class _UnansweredError(Exception):
    """A request that got no answer; it never leaves this module."""

    def __init__(self, said: StoreError, *, was_idle: bool = False) -> None:
        super().__init__(str(said))
        self.said = said
        self.was_idle = was_idle


def write_json(data: Any) -> bytes:
    """Return plain data as JSON.

    Raises
    ------
    UsageError
        With code ``not-plain-data`` when something in it is not.
    """
    try:
        return json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"What is asked of a server is plain data: {error}.",
            hint="Give numbers, texts and lists; of a query, write CAST(? AS TIMESTAMP) and give a text.",
            code="not-plain-data",
        ) from error


def _read_plain(answer: HTTPResponse) -> Any:
    body = answer.read(_MOST_JSON)
    if not body:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise _unexpected("The answer is not JSON.") from None


def lost(error: Exception) -> StoreError:
    """Return the error for a connection that broke."""
    what = "did not answer in time" if isinstance(error, TimeoutError) else "went away"
    return StoreError(
        f"The server {what}: {type(error).__name__}.",
        hint="Ask again; of a commit, look first whether it was made. timeout= gives a slow answer more time.",
        code="connection-lost",
    )


def _unexpected(message: str) -> StoreError:
    return StoreError(
        message, hint="Ask whether the URL is that of a Foldstore server of this release.", code="unexpected-answer"
    )


def _retry_after(headers: Message) -> float:
    text = str(headers.get("retry-after", ""))
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
