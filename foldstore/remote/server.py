"""What every remote handle holds: the connection, an engine that checks expressions, and the store it belongs to."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any, Final

import pyarrow as pa

from foldstore.datastore.engine import Engine
from foldstore.errors import StoreError
from foldstore.remote.connection import ARROW, Connection, Request, lost

if TYPE_CHECKING:
    from foldstore.remote.store import RemoteStore

_IN_MEMORY: Final = 64 << 20
_MOST_AT_ONCE: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Server:
    """A server, as the handles of one store ask it.

    Attributes
    ----------
    connection : Connection
        The way to it.
    engine : Engine
        Checks conditions and expressions before they are sent; no row passes through it.
    store : RemoteStore
        The handle of the store.
    """

    connection: Connection
    engine: Engine
    store: "RemoteStore"

    def get(self, path: str, **query: Any) -> Any:
        """Return plain data."""
        return self.connection.ask(Request(method="GET", path=path, query=query))

    def look_up(self, path: str, **query: Any) -> Any:
        """Return plain data of what was asked for by its address: the run that goes on, if one does, notes it."""
        return self.connection.ask(Request(method="GET", path=path, query=query, in_run=True))

    def read(self, path: str, data: Any, **query: Any) -> Any:
        """Ask what takes a body and changes nothing; return plain data."""
        return self.connection.ask(Request(method="POST", path=path, query=query, data=data, only_reads=True))

    def change(self, path: str, data: Any = None, *, method: str = "POST", **query: Any) -> Any:
        """Change something; return plain data."""
        return self.connection.ask(Request(method=method, path=path, query=query, data=data))

    def make(self, path: str, data: Any, *, method: str = "POST") -> Any:
        """Make what a run that goes on is said to have made, and to have read for it; return plain data."""
        return self.connection.ask(Request(method=method, path=path, data=data, in_run=True))

    def send(self, path: str, table: pa.Table, query: Mapping[str, Any]) -> Any:
        """Send rows that may do something, once; return plain data."""
        with spooled(table.schema, iter(table.to_batches())) as file:
            return self.connection.ask(Request(method="POST", path=path, query=query, rows=file))

    def table(self, request: Request) -> pa.Table:
        """Return all rows of an answer."""
        stream = open_rows(self.connection, request)
        return pa.Table.from_batches(stream.batches, stream.schema)


@dataclass(frozen=True, slots=True)
class RowStream:
    """Rows as they come; whoever stops early closes the connection."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


def open_rows(connection: Connection, request: Request) -> RowStream:
    """Ask for rows; what is wrong with the request shows at once, the rows come as they are read.

    Raises
    ------
    StoreError
        With code ``connection-lost``, here or from the batches, when the rows break off.
    """
    batches = _read(connection, request)
    return RowStream(next(batches), batches)  # the first of them is the schema


class _Body:
    """The body of an answer as Arrow reads it: into memory of Arrow's own, which is used again for the next one.

    Without `read_buffer` Arrow takes bytes from `read`, which the answer joins of its chunks.
    """

    closed = False  # the connection is given back by who opened it

    def __init__(self, answer: HTTPResponse) -> None:
        self._answer = answer

    def read(self, size: int) -> bytes:
        return self._answer.read(size)

    def read_buffer(self, size: int) -> Any:
        if size > _MOST_AT_ONCE:  # what the stream says of its own lengths is not trusted with so much memory
            return self._answer.read(size)
        buffer = pa.allocate_buffer(size)
        room, taken = memoryview(buffer), 0
        while taken < size and (count := self._answer.readinto(room[taken:])):
            taken += count
        return buffer if taken == size else buffer.slice(0, taken)

    def close(self) -> None:
        """Leave the connection to who opened it."""


def _read(connection: Connection, request: Request) -> Iterator[Any]:
    with connection.open(request) as answer:
        try:
            with pa.ipc.open_stream(pa.PythonFile(_Body(answer), mode="r")) as reader:
                yield reader.schema
                yield from reader
            answer.read()  # what ends the answer: without it the rows would have broken off
        except (pa.ArrowException, HTTPException, OSError) as error:
            raise lost(error) from error


@contextmanager
def spooled(
    schema: pa.Schema, batches: Iterator[pa.RecordBatch], *, in_memory: int = _IN_MEMORY
) -> Iterator[IO[bytes]]:
    """Write rows as Arrow to a file that can be sent, and sent again; a large one lies on the disk meanwhile."""
    with SpooledTemporaryFile(max_size=in_memory) as file:
        with pa.ipc.new_stream(file, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        yield file


def rows_request(path: str, *, data: Any = None, file: IO[bytes] | None = None, **query: Any) -> Request:
    """Return a request that changes nothing and is answered with Arrow."""
    method = "GET" if data is None and file is None else "POST"
    asked = {name.rstrip("_"): value for name, value in query.items()}
    return Request(method=method, path=path, query=asked, data=data, rows=file, accept=ARROW, only_reads=True)


def no_answer(what: str) -> StoreError:
    """Return the error for an answer that lacks what it must have."""
    return StoreError(
        f"The server's answer lacks {what}.",
        hint="Client and server are of different releases.",
        code="unexpected-answer",
    )


def pick(data: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return some members of an answer; what a newer server adds is left out."""
    for name in names:
        if name not in data:
            raise no_answer(repr(name))
    return {name: data[name] for name in names}
