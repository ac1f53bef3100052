"""A connection to an app without a socket: the server's own protocol, and what it writes."""

import asyncio
import re

from uvicorn.server import ServerState

from foldstore.api.running import Running, _config

UNLIKE = re.compile(rb"(x-request-id|date): [^\r]*\r\n")  # of two answers to one request
INSTANCE = re.compile(rb'"instance": "[^"]*"')


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self):
        super().__init__()
        self.written = b""
        self.closed = False

    def get_extra_info(self, name, default=None):
        return {"peername": ("127.0.0.1", 50_000), "sockname": ("127.0.0.1", 80)}.get(name, default)

    def write(self, data):
        if not self.closed:  # a socket's takes nothing then, and says nothing
            self.written += data

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    def pause_reading(self):
        """Nothing is read."""

    def resume_reading(self):
        """Nothing is read."""


class Line:
    """One connection; `shortcuts` says how many requests it has answered at once."""

    def __init__(self, app, *, uses_shortcuts=True):
        self._loop = asyncio.new_event_loop()
        self.config = _config(app, Running())
        self.config.load()
        self.state = ServerState()
        self.state.default_headers = [(b"date", b"now")]
        self.shortcuts = 0
        self._loop.run_until_complete(self._connect(uses_shortcuts))

    async def _connect(self, uses_shortcuts):
        self.transport = Transport()
        self.protocol = self.config.http_protocol_class(
            config=self.config, server_state=self.state, app_state={}, _loop=self._loop
        )
        if not uses_shortcuts:
            self.protocol._shortcuts = {}
        self.protocol.connection_made(self.transport)

    def send(self, *parts):
        """Send parts one after another, wait for what they bring about, and return it."""
        return self._loop.run_until_complete(self._send(parts))

    async def _send(self, parts):
        self.transport.written = b""
        for part in parts:
            self.protocol.data_received(part)
            self.shortcuts += self.protocol.answered
            await asyncio.sleep(0)
        while self.state.tasks:
            await asyncio.sleep(0.001)
        return self.transport.written

    def close(self):
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _end(self):
        self.protocol.connection_lost(None)


def alike(answer):
    """Return what two answers to one request have in common."""
    return INSTANCE.sub(b"", UNLIKE.sub(b"", answer))
