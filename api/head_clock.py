"""A clock for the heads of requests: whoever sends one too slowly loses the connection, and others get its place."""

import asyncio
from typing import Any

_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class HeadClock(asyncio.Protocol):
    """Stands before one of uvicorn's protocols, which have a clock between requests and none while a head arrives.

    Bodies have clocks of their own, where they are read; answers have one where they are sent.
    """

    head_seconds: float = 20.0
    transport: Any
    loop: Any
    cycle: Any
    _clock: asyncio.TimerHandle | None = None
    answered: bool = False  # whether what came last was answered at once
    _begun: bool = False  # whether a part of a head is there

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock."""
        super().connection_made(transport)
        self._start()

    def data_received(self, data: bytes) -> None:
        """Stop the clock when a head is there; start it when another began."""
        super().data_received(data)
        if self.answered or self._is_asked():
            self._begun = False
            self._stop()
        else:
            self._begun = True
            if self._clock is None and not self.transport.is_closing():
                self._start()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop()
        super().connection_lost(exc)

    def _is_asked(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _start(self) -> None:
        self._clock = self.loop.call_later(self.head_seconds, self._give_up)

    def _stop(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _give_up(self) -> None:
        self._clock = None
        if self._is_asked() or self.transport.is_closing():
            return
        if self._begun:
            self.transport.write(_TOO_SLOW)
        self.transport.close()
