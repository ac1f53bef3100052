"""HTTP as uvicorn speaks it by httptools, with bounds on how long the head of a request may be, and may take."""

from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from foldstore.api.head_clock import HeadClock

MOST_HEAD: Final = 1 << 16  # bytes; as much as uvicorn's other parser takes


class BoundedHttp(HeadClock, HttpToolsProtocol):
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
