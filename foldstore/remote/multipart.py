"""A body of several parts (RFC 7578), read from its files as it is sent."""

import io
from collections.abc import Mapping
from typing import IO, Final
from uuid import uuid4

_HEAD: Final = b'--%b\r\nContent-Disposition: form-data; name="%b"; filename="%b"\r\nContent-Type: %b\r\n\r\n'


class MultipartBody:
    """A document, and files of rows; it can be sent again from its beginning.

    Parameters
    ----------
    document : bytes
        JSON, sent as the part `request`.
    files : mapping of str to binary file
        Rows, by the names of their parts; they stay open, and are the caller's.
    kind : str
        What the rows are: their content type.

    Examples
    --------
    >>> body = MultipartBody(b"{}", {"new": io.BytesIO(b"rows")}, "text/csv")
    >>> b"".join(iter(lambda: body.read(1 << 20), b"")).count(b"Content-Disposition"), body.read(1)
    (2, b'')
    """

    def __init__(self, document: bytes, files: Mapping[str, IO[bytes]], kind: str) -> None:
        boundary = uuid4().hex
        self.kind = f"multipart/form-data; boundary={boundary}"
        mark = boundary.encode()
        self._pieces: list[IO[bytes]] = [io.BytesIO(_HEAD % (mark, b"request", b"request", b"application/json"))]
        self._pieces.append(io.BytesIO(document + b"\r\n"))
        for name, file in files.items():
            plain = name.encode("ascii")
            self._pieces += [io.BytesIO(_HEAD % (mark, plain, plain, kind.encode())), file, io.BytesIO(b"\r\n")]
        self._pieces.append(io.BytesIO(b"--" + mark + b"--\r\n"))
        self._size = sum(piece.seek(0, 2) for piece in self._pieces)
        self._at = 0
        self.seek(0)

    def seek(self, place: int, whence: int = 0) -> int:
        """Go to the beginning, or to the end: what tells how long it is."""
        if whence == 2:
            self._at = len(self._pieces)
            return self._size
        if place:
            raise ValueError("a body is sent from its beginning")
        for piece in self._pieces:
            piece.seek(0)
        self._at = 0
        return 0

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most so many; none at the end."""
        while self._at < len(self._pieces):
            if data := self._pieces[self._at].read(size):
                return data
            self._at += 1
        return b""
