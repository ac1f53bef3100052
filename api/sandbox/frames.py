"""What the server and a process that runs a query say to each other, over a pair of sockets."""

import json
import socket
import struct
from typing import Any, Final

HEADER: Final = struct.Struct(">cI")
READY: Final = b"R"  # the process is locked down and begins; the first frame
DATA: Final = b"D"  # a piece of the answer
ERROR: Final = b"E"  # what was wrong, as JSON; the last frame
DONE: Final = b"Z"  # the answer is whole; the last frame
_LONGEST: Final = 1 << 26
_PIECE: Final = 1 << 20


class BrokenFramesError(Exception):
    """The other side ended, or speaks nonsense."""


def send_frame(channel: socket.socket, kind: bytes, body: bytes | memoryview = b"") -> None:
    """Send a frame; a long body of data goes in pieces."""
    for start in range(0, max(len(body), 1), _PIECE if kind == DATA else _LONGEST):
        piece = body[start : start + _PIECE] if kind == DATA else body
        channel.sendall(HEADER.pack(kind, len(piece)) + piece)


def receive_frame(channel: socket.socket) -> tuple[bytes, bytes]:
    """Return the kind and the body of the next frame.

    Raises
    ------
    BrokenFramesError
        When there is none.
    """
    kind, length = HEADER.unpack(_receive(channel, HEADER.size))
    if kind not in (READY, DATA, ERROR, DONE) or length > _LONGEST:
        raise BrokenFramesError
    return kind, _receive(channel, length)


def send_request(channel: socket.socket, request: dict[str, Any], file: int) -> None:
    """Send what is asked, together with a descriptor of the file that holds the rows."""
    body = json.dumps(request).encode()
    socket.send_fds(channel, [HEADER.pack(DATA, len(body))], [file])
    channel.sendall(body)


def receive_request(channel: socket.socket) -> tuple[dict[str, Any], int]:
    """Return what is asked, and the descriptor of the file that holds the rows.

    Raises
    ------
    BrokenFramesError
        When nothing is asked any more.
    """
    head, files, _, _ = socket.recv_fds(channel, HEADER.size, 1)
    if len(head) != HEADER.size or len(files) != 1:
        raise BrokenFramesError
    request: dict[str, Any] = json.loads(_receive(channel, HEADER.unpack(head)[1]))
    return request, files[0]


def _receive(channel: socket.socket, length: int) -> bytes:
    parts = bytearray()
    while len(parts) < length:
        part = channel.recv(min(length - len(parts), _PIECE))
        if not part:
            raise BrokenFramesError
        parts += part
    return bytes(parts)
