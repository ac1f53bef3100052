"""A process that runs one query, and ends: ``python -I -m foldstore.api.sandbox.worker DESCRIPTOR``.

It is started with an empty environment and without any descriptor but one end of a pair of sockets. It is sent the
rows that the query may read, and the text; before it looks at the text it locks itself down.
"""

import json
import mmap
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from foldstore.api.row_forms import Piece, write_rows
from foldstore.api.sandbox.escapes import find_escapes
from foldstore.api.sandbox.frames import DATA, DONE, ERROR, READY, BrokenFramesError, receive_request, send_frame
from foldstore.api.sandbox.lockdown import lock_down
from foldstore.datastore.engine import Engine
from foldstore.datastore.engine_database import function_kinds
from foldstore.datastore.query_limits import Countdown, QueryLimits
from foldstore.errors import FoldstoreError

_MEGABYTE = 1 << 20


def serve_one(channel: socket.socket) -> None:
    """Take one request, answer it, and take no other."""
    try:
        request, file = receive_request(channel)
    except BrokenFramesError:
        return  # whoever started this has no need of it
    try:
        for piece in _answer(channel, request, file):
            send_frame(channel, DATA, piece)
    except FoldstoreError as error:
        # The class by its name: whoever hears of it knows which ones there are.
        said = {"kind": type(error).__name__, "code": error.code, "message": error.message, "hint": error.hint}
        send_frame(channel, ERROR, json.dumps(said).encode())
    except MemoryError:
        said = {"kind": "InvalidQueryError", "code": "out-of-memory", "message": "The query ran out of memory."}
        send_frame(channel, ERROR, json.dumps(said | {"hint": "Ask for less at a time."}).encode())
    else:
        send_frame(channel, DONE)


def _answer(channel: socket.socket, request: dict[str, Any], file: int) -> Iterator[Piece]:
    memory, seconds = request["memory"], request["seconds"]
    tables = _open_tables(file, request["tables"])
    engine = Engine(memory_limit=f"{memory // _MEGABYTE}MB", threads=1)
    connection = engine.connection()
    connection.execute("SELECT 1").fetchall()  # what is loaded when it is first used is loaded now
    lock_down(memory=memory, seconds=seconds)
    send_frame(channel, READY)
    if request["escapes"]:
        yield json.dumps(find_escapes(connection)).encode()
        return
    result = engine.run_query(
        request["query"],
        tables,
        request["params"],
        limits=QueryLimits(timeout=seconds),
        countdown=Countdown(seconds),
        columns=request["columns"],
    )
    yield from write_rows(request["media"], result.schema, result.to_batches(), limit=request["limit"])


def _open_tables(file: int, places: dict[str, list[int]]) -> dict[str, pa.Table]:
    """Map the rows; nothing is copied."""
    if not places:
        return {}
    mapped = pa.py_buffer(mmap.mmap(file, 0, prot=mmap.PROT_READ))
    return {
        name: pa.ipc.open_stream(pa.BufferReader(mapped.slice(start, length))).read_all()
        for name, (start, length) in places.items()
    }


def _warm_up() -> None:
    """Load what a query needs, for afterwards no file can be opened."""
    function_kinds()
    with Engine(memory_limit="64MB", threads=1) as engine:
        table = pa.table({"x": [1, None], "t": pa.array([0, 1], pa.timestamp("us", "UTC"))})
        for media in ("application/json", "text/csv", "application/vnd.apache.arrow.stream"):
            result = engine.run_query("SELECT x, t FROM t WHERE x = ?", {"t": table}, [1])
            for _ in write_rows(media, result.schema, result.to_batches(), limit=None):
                pass


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as opened:
        _warm_up()
        serve_one(opened)
