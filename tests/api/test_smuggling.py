"""Requests that two servers would cut in different places: refused, and what follows them is not answered."""

import re

import pytest

from foldstore.api.server import BackgroundServer
from tests.api.test_server import all_bytes, connect

HIDDEN = b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n"
START = b"POST /healthz HTTP/1.1\r\nhost: x\r\n"
SIZE = str(len(HIDDEN)).encode()
REQUESTS = {
    "a length and chunks": START + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": START + b"content-length: 0\r\ncontent-length: " + SIZE + b"\r\n\r\n",
    "two lengths in one": START + b"content-length: 0, " + SIZE + b"\r\n\r\n",
    "two encodings": START + b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
    "an encoding that there is not": START + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": START + b"content-length : " + SIZE + b"\r\n\r\n",
    "a sign before the length": START + b"content-length: +" + SIZE + b"\r\n\r\n",
    "ends of lines without CR": START.replace(b"\r", b"") + b"content-length: " + SIZE + b"\n\n",
    "a CR alone": b"POST /healthz HTTP/1.1\r\nhost: x\rcontent-length: 0\r\n\r\n",
    "a folded line": START + b"x: a\r\n content-length: " + SIZE + b"\r\n\r\n",
    "a chunk whose size is none": START + b"transfer-encoding: chunked\r\n\r\n0_2\r\nab\r\n0\r\n\r\n",
    "a NUL in a value": START + b"x: a\0b\r\n\r\n",
    "a tunnel": b"CONNECT elsewhere:443 HTTP/1.1\r\nhost: x\r\n\r\n",
    "HTTP/2 without an agreement": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("name", REQUESTS)
def test_what_is_hidden_behind_a_request_is_not_answered(app, name):
    with BackgroundServer(app) as server, connect(server.url) as connection:
        connection.sendall(REQUESTS[name] + HIDDEN)
        answer = all_bytes(connection)  # so the connection is closed
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"400"]
    assert b'"foldstore":' not in answer
