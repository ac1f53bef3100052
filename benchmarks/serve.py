"""Serving features: lookups in process against raw numpy on the same file, and over HTTP against a bare constant.

Run with make bench. F4 writes a million entities of 16 float32; the raw file holds the source sorted by an integer
and fsync'ed, neither hashed nor named by its contents. The raw lookup searches sorted hashes that it is given and
makes a dict of one row of a matrix; it knows no nulls, ages or statuses. Over HTTP both sides run on the same uvicorn
in a process of their own, asked by the same loop on loopback: ours is what `foldstore serve` runs, the constant is an
ASGI function that answers with the bytes of one real answer.
"""

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.measure import Row, interleave

ENTITIES = 1_000_000
FEATURES = [f"f{number}" for number in range(16)]
AT = 1_700_000_100_000_000_000
ASKED = 2_000
CONNECTIONS = 16
REQUESTS = 6_000
ONE_BY_ONE = 2_000


def rows():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield from _materializing(folder)
        yield from _incremental(folder / "store")
        yield from _in_process(folder)
        yield from _over_http(folder)


def _view():
    from foldstore.views.features.entity import Entity
    from foldstore.views.features.feature_view import FeatureView

    user = Entity("user", keys={"user": "string"})
    return FeatureView("stats", entity=user, source="events", event_time="ts", ttl="7d", features=FEATURES)


def _source():
    chance = np.random.default_rng(7)
    columns = {name: chance.normal(size=ENTITIES).astype(np.float32) for name in FEATURES}
    times = np.full(ENTITIES, 1_700_000_000_000_000)
    users = [f"user{number}" for number in range(ENTITIES)]
    return pa.table({"user": users, "ts": pa.array(times, pa.timestamp("us", "UTC")), **columns})


def _materializing(folder):
    from foldstore.views.online.materialize import materialize_view

    table = _source()
    made = []

    def ours():
        for path in folder.glob("*.arrow"):
            path.unlink()
        made.append(materialize_view(table, _view(), folder, sources=["events@1"]))

    numbers = np.random.default_rng(9).permutation(ENTITIES)

    def raw():
        order = np.argsort(numbers)
        with (folder / "raw").open("wb") as file:
            with pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table.take(pa.array(order)))
            file.flush()
            os.fsync(file.fileno())

    best = interleave({"raw": raw, "ours": ours}, repeats=5)
    size = made[0].num_bytes / 1e6
    yield Row(
        f"F4 materialize 1 M entities x 16 ({size:.0f} MB)", best["ours"], best["raw"], "raw sort and write", limit=2
    )


def _incremental(folder):
    """A store of a million rows that grows: what changed is laid down, beside the same laid out anew.

    The run after one anew removes the large file that nobody needs any more, some 7 ms; that is the one of 1 %.
    """
    import foldstore

    with foldstore.connect(folder) as store:
        source = _source()
        events = store.create_dataset("events", key=["user", "ts"])
        events.append(source)
        store.features.apply(foldstore.FeatureService("svc", [_view()]))
        store.features.materialize("svc")
        taken = {1_000: [], 10_000: [], "anew": []}
        for number in range(3):
            for rows in (10_000, 1_000):
                later = pa.array(np.full(rows, 1_700_000_000_000_000 + 1 + number), pa.timestamp("us", "UTC"))
                place = source.column_names.index("ts")
                events.append(source.slice(500_000 * (rows > 1_000), rows).set_column(place, "ts", later))
                taken[rows].append(_cpu(lambda: store.features.materialize("svc")))
            taken["anew"].append(_cpu(lambda: store.features.materialize("svc", full=True)))
    best = {name: min(times) * 1000 for name, times in taken.items()}
    yield Row("F5 materialize 0.1 % more of 1 M rows", best[1_000], best["anew"], "all anew", limit=0.05)
    yield Row("F5 materialize 1 % more of 1 M rows", best[10_000], best["anew"], "all anew", limit=0.2)


def _cpu(job):
    started = time.process_time()
    job()
    return time.process_time() - started


def _service(folder):
    from foldstore.views.features.feature_service import FeatureService
    from foldstore.views.online.catalog import OnlineCatalog
    from foldstore.views.online.reader import OnlineReader

    reader = OnlineReader(next(folder.glob("*.arrow")))
    catalog = OnlineCatalog()
    catalog.add(FeatureService("svc", [reader.view]), 1, [reader])
    return catalog


def _raw_lookup(folder):
    """Sorted keys and a matrix, as one would write it by hand; the strings are hashed as ours are."""
    from foldstore.views.online.key_hash import KeyHasher

    path = next(folder.glob("*.arrow"))
    with pa.memory_map(str(path)) as source:
        batch = pa.ipc.open_file(source).get_batch(0)
    np.save(folder / "matrix.npy", np.column_stack([batch.column(name).to_numpy() for name in FEATURES]))
    matrix = np.load(folder / "matrix.npy", mmap_mode="r", allow_pickle=False)
    hashes = batch.column(0).to_numpy()
    hasher = KeyHasher({"user": "string"}, "online/0")
    return matrix, hashes, hasher


def _in_process(folder):
    service = _service(folder).find("svc")
    handle = service.prepare()
    matrix, hashes, hasher = _raw_lookup(folder)
    chance = np.random.default_rng(8)
    entities = [{"user": f"user{number}"} for number in chance.integers(0, ENTITIES, ASKED)]
    numbers = [hasher.hash_one([entity["user"]]) for entity in entities]
    batches = [entities[start : start + 100] for start in range(0, ASKED, 100)]
    number_batches = [np.array(numbers[start : start + 100], dtype=np.uint64) for start in range(0, ASKED, 100)]

    def raw_one():
        for number in numbers:
            row = int(hashes.searchsorted(np.uint64(number)))
            dict(zip(FEATURES, matrix[row].tolist(), strict=True))

    def raw_hundred():
        for wanted in number_batches:
            found = matrix[hashes.searchsorted(wanted)]
            [dict(zip(FEATURES, row, strict=True)) for row in found.tolist()]

    jobs = {
        "raw": raw_one,
        "handle": lambda: [handle.get(entity, AT) for entity in entities],
        "dict": lambda: [service.get([entity], AT).to_dict(include_statuses=True) for entity in entities],
        "raw100": raw_hundred,
        "dict100": lambda: [service.get(batch, AT).to_dict(include_statuses=True) for batch in batches],
    }
    best = interleave(jobs, repeats=9)
    one, hundred = 1000 / ASKED, 1000 / len(batches)

    def row(name, ours, other, scale, limit):
        return Row(f"F3 {name}", best[ours] * scale, best[other] * scale, "raw numpy", unit="us", limit=limit)

    yield row("one entity x 16, prepared handle", "handle", "raw", one, 4)
    yield row("one entity x 16, get().to_dict() with statuses", "dict", "raw", one, 20)
    yield row("100 entities x 16, get().to_dict() with statuses", "dict100", "raw100", hundred, 20)


def _over_http(folder):
    body = json.dumps({"service": "svc@1", "entities": {"user": ["user77"]}, "at": "2023-11-14T22:15:00Z"}).encode()
    hundred = [f"user{number}" for number in range(100)]
    batch = json.dumps({"service": "svc@1", "entities": {"user": hundred}, "at": "2023-11-14T22:15:00Z"}).encode()
    sides = {}
    try:
        for side in ("constant", "lookup"):
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.serve", side, str(folder)], stdout=subprocess.PIPE, text=True
            )
            port, token = process.stdout.readline().split()
            sides[side] = (process, int(port), token)
        rates = {"constant": 0.0, "lookup": 0.0, "batch": 0.0}
        tails = {"constant": float("inf"), "lookup": float("inf")}
        for _ in range(3):
            for side in ("constant", "lookup"):
                _, port, token = sides[side]
                rates[side] = max(rates[side], _rate(port, token, body, REQUESTS))
                tails[side] = min(tails[side], _p99(port, token, body))
            _, port, token = sides["lookup"]
            rates["batch"] = max(rates["batch"], _rate(port, token, batch, REQUESTS // 10))
    finally:
        for process, _, _ in sides.values():
            process.terminate()
            process.wait()
            process.stdout.close()
    print(f"    {rates['lookup']:.0f} lookups/s, {rates['batch']:.0f} batches/s, constant {rates['constant']:.0f}/s")
    each = {name: 1e6 / rate for name, rate in rates.items()}
    yield Row("A1 one lookup, 16 connections", each["lookup"], each["constant"], "bare ASGI", unit="us", limit=1 / 0.3)
    yield Row("A2 100 x 16, 16 connections", each["batch"], each["constant"], "bare ASGI", unit="us", limit=1 / 0.06)
    yield Row("A4 p99 of one lookup, one connection", tails["lookup"], tails["constant"], "bare ASGI", limit=2)


def make_request(token, body, path="/v1/features:get"):
    """Return a whole request as it is sent."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n"
    return f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


class Connection:
    """One keep-alive connection, with as little between the clock and the socket as Python allows."""

    def __init__(self, port, request):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = request
        self._left = 0
        self._size = None  # of an answer; they are all of one size

    def fileno(self):
        return self._socket.fileno()

    def ask(self):
        self.send()
        while not self.receive():
            pass

    def send(self):
        self._socket.sendall(self._request)
        self._left = self._size

    def receive(self):
        """Take what is there; say whether the answer is whole."""
        data = self._socket.recv(1 << 18)
        if not data:
            raise OSError("the server hung up")
        if self._size is None:
            while b"\r\n\r\n" not in data:
                data += self._socket.recv(1 << 18)
            head, _, rest = data.partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise OSError(head.decode() + rest.decode())
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            self._size = self._left = len(head) + 4 + length
        self._left -= len(data)
        return self._left <= 0

    def close(self):
        self._socket.close()


def _rate(port, token, body, requests, path="/v1/features:get"):
    """Ask by one thread that waits for whichever connection answers: it takes less than either server does."""
    connections = [Connection(port, make_request(token, body, path)) for _ in range(CONNECTIONS)]
    for connection in connections:
        connection.ask()
    waiting = select.epoll()
    by_number = {each.fileno(): each for each in connections}
    for number in by_number:
        waiting.register(number, select.EPOLLIN)
    to_send, to_come = requests - CONNECTIONS, requests
    started = time.perf_counter()
    for connection in connections:
        connection.send()
    while to_come:
        for number, _ in waiting.poll():
            connection = by_number[number]
            if connection.receive():
                to_come -= 1
                if to_send:
                    to_send -= 1
                    connection.send()
    elapsed = time.perf_counter() - started
    waiting.close()
    for connection in connections:
        connection.close()
    return requests / elapsed


def _p99(port, token, body):
    connection = Connection(port, make_request(token, body))
    for _ in range(200):
        connection.ask()
    times = []
    for _ in range(ONE_BY_ONE):
        started = time.perf_counter()
        connection.ask()
        times.append(time.perf_counter() - started)
    connection.close()
    return float(np.quantile(times, 0.99)) * 1000


def _serve(side, folder):
    """Run one side in this process until it is told to end; its port and a token are printed."""
    from foldstore.api.running import DrainingServer, Running, keep_what_is_there
    from foldstore.api.server import LOOPBACK, listen, url_of

    app, token = (_constant if side == "constant" else _lookup)(folder)
    with listen(LOOPBACK, 0) as listener:
        print(url_of(listener).rpartition(":")[2], token, flush=True)
        keep_what_is_there()
        DrainingServer(app, Running()).run(sockets=[listener])


def _lookup(folder):
    """The whole service: a store with what was pushed and committed since, a token, rules, metrics and the audit."""
    import foldstore
    from foldstore.api.app import create_app
    from foldstore.api.tokens import TokenVault

    store = foldstore.connect(folder / "store")
    vault = TokenVault(store.registry("token"))
    token, _ = vault.create("serving", author="benchmark")
    return create_app(store.features, vault, store=store), token


def _constant(folder):
    from foldstore.api.lookup_text import write_answer

    result = _service(folder).get_online_features("svc", [{"user": "user77"}], AT)
    body = write_answer(result)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]

    async def app(_scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app, "none"


if __name__ == "__main__":
    _serve(sys.argv[1], Path(sys.argv[2]))
