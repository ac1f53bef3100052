"""Downloading a version as Arrow (row A3): what the server takes for it, and what the handle of a remote store does.

The peer is a bare ASGI function on the same uvicorn that streams the version's batches as Arrow, written before and
held in memory, in pieces of the sizes that ours sends. It is read by the standard library's client, which throws the
bytes away; ours by that client too, and by the handle of a remote store, which makes a table of them. Each server is a
process of its own on loopback.
"""

import subprocess
import sys
import tempfile
import threading
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.measure import Row, interleave

ROWS = 500_000
PIECE = 1 << 19  # bytes: a column of 65,536 doubles, as ours sends them
COLUMNS = 20
PATH = "/v1/datasets/wide/versions/1/rows"
ARROW = "application/vnd.apache.arrow.stream"


def rows():
    import foldstore

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with foldstore.connect(folder / "store") as store:
            store.create_dataset("wide").append(_table())
        sides = {}
        try:
            for side in ("constant", "ours"):
                sides[side] = subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.download", side, name], stdout=subprocess.PIPE, text=True
                )
            asked = {side: process.stdout.readline().split() for side, process in sides.items()}
            with foldstore.connect(f"http://127.0.0.1:{asked['ours'][0]}", token=asked["ours"][1]) as remote:
                yield from _measure(remote, asked)
        finally:
            for process in sides.values():
                process.terminate()
                process.wait()
                process.stdout.close()


def _measure(remote, asked):
    version = remote.version("wide@1")
    best = interleave(
        {
            "constant": lambda: _read_away(*asked["constant"]),
            "ours": lambda: _read_away(*asked["ours"]),
            "handle": version.to_arrow,
        },
        repeats=5,
    )
    size = _read_away(*asked["constant"]) / 1e6
    print(f"    {size:.0f} MB; {size / best['handle']:.2f} GB/s through the handle")
    yield Row("A3 download a version, bytes thrown away", best["ours"], best["constant"], "constant bytes", limit=2)
    yield Row("A3 download a version, remote to_arrow()", best["handle"], best["constant"], "constant bytes", limit=2)


def _read_away(port, token):
    connection = HTTPConnection("127.0.0.1", int(port), timeout=60)
    connection.request("GET", PATH, headers={"authorization": f"Bearer {token}", "accept": ARROW})
    answer, size, buffer = connection.getresponse(), 0, bytearray(1 << 20)
    while count := answer.readinto(buffer):
        size += count
    connection.close()
    if answer.status != 200:
        raise OSError(answer.status)
    return size


def _table():
    chance = np.random.default_rng(7)
    return pa.table({f"c{number}": chance.normal(size=ROWS) for number in range(COLUMNS)})


def _serve(side, folder):
    import foldstore
    from foldstore.api.app import create_app
    from foldstore.api.server import BackgroundServer
    from foldstore.api.tokens import TokenVault

    store = foldstore.connect(folder / "store")
    if side == "constant":
        app, token = _constant(store.version("wide@1").to_arrow()), "none"
    else:
        vault = TokenVault(store.registry("token"))
        token, _ = vault.create("viewer", author="benchmark")
        app = create_app(store.features, vault, store=store)
    with BackgroundServer(app) as server:
        print(server.url.rpartition(":")[2], token, flush=True)
        threading.Event().wait()


def _constant(table):
    pieces = []
    for batch in table.to_batches(max_chunksize=65_536):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_batch(batch)
        data = sink.getvalue().to_pybytes()
        pieces += [data[start : start + PIECE] for start in range(0, len(data), PIECE)]

    async def app(_scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", ARROW.encode())]})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


if __name__ == "__main__":
    _serve(sys.argv[1], Path(sys.argv[2]))
