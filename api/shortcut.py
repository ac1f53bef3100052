"""Lookups that came as a whole, answered at once: every check that the gate makes, without a task or a message."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from foldstore.api.access import SCOPE_BY_PATH, permits
from foldstore.api.authentication import HEADERS, Authenticator, prove
from foldstore.api.lookup import LookupEndpoint
from foldstore.api.request_log import log_request, logs_lookups
from foldstore.api.request_record import RequestRecord
from foldstore.api.tokens import Token
from foldstore.api.turn import Turn
from foldstore.api.watch import Watch, new_id

# A request that has one of these means something that is seldom meant.
_UNUSUAL: Final = frozenset(
    {b"expect", b"transfer-encoding", b"upgrade", b"x-forwarded-for", b"x-forwarded-proto", b"content-encoding"}
)
_HEAD: Final = (
    b"content-length: %d\r\ncontent-type: application/json\r\n"
    + b"".join(b"%b: %b\r\n" % header for header in HEADERS)
    + b"x-request-id: %b\r\n\r\n"
)


class Shortcut:
    """Answers lookups of one path, or leaves them to the gate, having done nothing.

    What it answers is allowed, counted and written down as behind the gate. Whatever would be refused, would wait or
    is unusual is left to the gate, which looks at it anew.

    Parameters
    ----------
    path : str
        The path.
    endpoint : LookupEndpoint
        What answers there.
    authenticator : Authenticator
        Who tells whose token it is.
    watch : Watch
        Is told of every request that was answered.
    turn : Turn, optional
        Knows what the catalog said of what came at the same time; each asks for itself unless given.
    """

    __slots__ = ("_answered", "_authenticator", "_endpoint", "_longest", "_needed", "_path", "_turn", "_watch")

    def __init__(
        self,
        path: str,
        endpoint: LookupEndpoint,
        authenticator: Authenticator,
        watch: Watch,
        turn: Turn | None = None,
    ) -> None:
        self._turn = turn
        self._path = path
        self._endpoint = endpoint
        self._authenticator = authenticator
        self._watch = watch
        self._longest = endpoint.limits.max_body_bytes
        self._needed = SCOPE_BY_PATH[path]
        self._answered: list[tuple[Token, float]] = []  # whose lookups, and how many seconds each took
        if turn is not None:
            turn.at_end.append(self.settle)

    def authorization(self, headers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
        """Return the proof of the one header that says who asks, when nothing in a request's head is unusual."""
        given, declared = list[bytes](), list[bytes]()
        for name, value in headers:
            if name == b"authorization":
                given.append(value)
            elif name == b"content-length":
                declared.append(value)
            elif name in _UNUSUAL or (name == b"content-type" and value[:9].lower() == b"multipart"):
                return None
        if len(given) != 1 or len(declared) != 1 or not declared[0].isdigit():
            return None
        return prove(given[0]) if int(declared[0][:20]) <= self._longest else None

    def answer(self, proof: bytes, address: str, body: bytes, write: Callable[[bytes, bytes], None]) -> bool:
        """Answer a request, when it can be answered at once; say whether it was.

        Parameters
        ----------
        proof : bytes
            What `authorization` returned.
        address : str
            Where the request comes from.
        body : bytes
            The whole body.
        write : callable
            Takes the answer behind its first lines: the other headers, and the body.
        """
        began, token = time.perf_counter(), self._recognize(proof, address)
        if token is None:
            return False
        try:
            ask, turn = self._endpoint.answer_at_once, self._turn
            text = ask(token, body) if turn is None else turn.answer(ask, token, body)
        except Exception:  # noqa: BLE001  # the gate asks again, and says what is wrong
            return False
        if text is None:
            return False
        self._watch.check_rate(token)  # nothing asked since `recognize` looked
        request_id = new_id()
        write(_HEAD % (len(text), request_id.encode()), text)
        self._answered.append((token, time.perf_counter() - began))
        if logs_lookups():
            self._log(request_id, token, address)
        if turn is None:
            self.settle()
        return True

    def settle(self) -> None:
        """Count what was answered, and write it down: all that a turn has answered together, behind the answers."""
        if self._answered:
            answered, self._answered = self._answered, []
            self._watch.end_lookups(self._path, answered)

    def _log(self, request_id: str, token: Token, address: str) -> None:
        seconds = self._answered[-1][1]
        record = RequestRecord(
            id=request_id,
            method="POST",
            route=self._path,
            named={},
            status=200,
            seconds=seconds,
            token=token,
            address=address,
        )
        log_request(record)

    def _recognize(self, proof: bytes, address: str) -> Token | None:
        token = self._authenticator.recognize(proof, address, self._watch)
        if token is None or (self._needed is not None and not permits(token.scopes, self._needed)):
            return None
        return token if self._watch.may_look_up(token) else None
