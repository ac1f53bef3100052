"""HTTP as uvicorn speaks it by httptools: bounds on the heads of requests, and a shortcut for what came as a whole."""

from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from foldstore.api.head_clock import HeadClock
from foldstore.api.known_heads import KnownHeads
from foldstore.api.shortcut import Shortcut
from foldstore.api.turn import Turn

_LARGE: Final = 1 << 14  # bytes; a body from here on is not copied behind its head
MOST_HEAD: Final = 1 << 16  # bytes; as much as uvicorn's other parser takes


class ShortcutHttp(HttpToolsProtocol):
    """Answers a request of a path with a shortcut as soon as it is there, where the shortcut does.

    All else goes the way of every request: what came in parts, what stands behind a request that is not answered yet,
    a client that does not take its answers, a server that is full. Of what came at once only the first is answered
    so: others get their turn.

    A head that the parser has read before, and that was answered so, is not parsed again. The clock between requests is
    not set anew for each then: it looks when the last one was answered.
    """

    answered: bool = False

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._shortcuts: Any = {} if self.root_path else getattr(self.config.app, "shortcuts", {})
        self._turn: Turn | None = getattr(self.config.app, "turn", None)
        self._shortcut: Shortcut | None = None  # of the request whose body is arriving
        self._proof = b""
        self._parts: list[bytes] = []
        self._last: Any = None  # what the parser said of the request that was answered last
        self._first_lines: tuple[Any, bytes] = None, b""
        self._heads = KnownHeads()
        self._is_between = True  # the parser has seen no byte of a request that it has not seen the end of
        self._answered_at = 0.0

    def data_received(self, data: bytes) -> None:
        """Take bytes as they come."""
        self.answered, between = False, self._is_between
        if self._turn is not None:
            self._turn.note(len(data), len(self.connections))
        if between and self._heads and self._answer_known(data):
            return
        super().data_received(data)
        if self._shortcut is not None:
            self._go_on()
        elif self.answered and between:
            self._heads.learn(data, *self._last)

    def on_message_begin(self) -> None:
        """Note that a request has begun."""
        self._is_between = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Look whether there is a shortcut."""
        shortcut = self._shortcuts.get(self.url)
        proof = shortcut.authorization(self.headers) if shortcut is not None and self._is_plain() else None
        if proof is None:
            super().on_headers_complete()
        else:
            self._shortcut, self._proof, self._parts = shortcut, proof, []

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        if self._shortcut is None:
            super().on_body(body)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """Answer, or go the way of every request."""
        self._is_between = self.parser.should_keep_alive() and not self.parser.should_upgrade()
        if self._shortcut is not None:
            shortcut, body = self._shortcut, b"".join(self._parts)
            if shortcut.answer(self._proof, self._address(), body, self._write):
                self._last = shortcut, self._proof, body
                self._shortcut, self.answered = None, True
                self.on_response_complete()
                return
            self._go_on()
        super().on_message_complete()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that has asked nothing for so long."""
        left = self._answered_at + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def _answer_known(self, data: bytes) -> bool:
        """Answer a whole request whose head is known; say whether it was."""
        found = self._heads.find(data)
        if found is None or not self._is_free():
            return False
        known, body = found
        if not known.shortcut.answer(known.proof, self._address(), body, self._write):
            self._heads.forget()  # so that it is not tried twice the next time
            return False
        self.answered = True
        self._answered_at = self.loop.time()
        if self.timeout_keep_alive_task is None:  # something came in between that was no request
            self.on_response_complete()
        else:
            self.server_state.total_requests += 1
        return True

    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def _is_free(self) -> bool:
        """Say whether a request may be answered now."""
        if self.access_log or self.flow.write_paused or self.transport.is_closing():
            return False
        if self.cycle is not None and not self.cycle.response_complete:
            return False
        most = self.limit_concurrency
        return most is None or (len(self.connections) < most and len(self.tasks) < most)

    def _is_plain(self) -> bool:
        """Say whether a request may be answered now, and nothing about it needs to be remembered."""
        if self.answered or not self._is_free():
            return False
        parser = self.parser
        plain: bool = parser.get_method() == b"POST" and parser.get_http_version() == "1.1"
        return plain and parser.should_keep_alive() and not parser.should_upgrade()

    def _go_on(self) -> None:
        """Begin to work on a request as on any other, with what of its body is there."""
        parts, self._shortcut, self._parts = self._parts, None, []
        super().on_headers_complete()
        for part in parts:
            super().on_body(part)

    def _write(self, rest: bytes, body: bytes) -> None:
        """Write an answer, whose first lines say that it is one, and what the server says of itself."""
        headers, lines = self._first_lines
        if headers is not self.server_state.default_headers:  # another list each second
            headers = self.server_state.default_headers
            lines = STATUS_LINE[200] + b"".join(b"%b: %b\r\n" % header for header in headers)
            self._first_lines = headers, lines
        if len(body) < _LARGE:
            self.transport.write(b"".join((lines, rest, body)))
        else:
            self.transport.writelines((lines + rest, body))


class BoundedHttp(HeadClock, ShortcutHttp):
    """Gives a connection up whose request's head does not end, or is too slow."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._head: int | None = 0  # bytes of a head that has not ended

    def data_received(self, data: bytes) -> None:
        """Take bytes as they come."""
        super().data_received(data)
        if self._head is not None:
            self._head += len(data)
            if self._head > MOST_HEAD and not self.transport.is_closing():
                self.send_400_response("The head of the request is too long.")

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._head = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stop counting."""
        self._head = None
        super().on_headers_complete()
