"""Lookups over HTTP beside Feast's feature server (rows A1 and A2), and by its own client: `make bench-feature-peers`.

Both servers are processes of their own with one worker, have the same two hundred thousand entities of 16 float32, and
are asked by the same loop for four seconds at a time; the median of three counts. Ours is what `foldstore serve` runs:
with a token, an audit and metrics. Feast's has a SQLite online store, its default, and neither. It runs as `feast
serve` does unless told otherwise, which ends a worker after a thousand requests, some 50 more or less, and starts
another; the figure of one that is never restarted is printed beside it. Feast's client of a remote online store then
asks ours, unchanged, with a token.
"""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import Row
from benchmarks.serve import CONNECTIONS, FEATURES, Connection, make_request

ROOT = Path(__file__).parent.parent
FEAST = str(ROOT / ".venv-feast" / "bin" / "python")
JOB = "benchmarks/feast_online_job.py"
_SECONDS = 600
_ENTITIES = 200_000
_ASKED_SECONDS = 4


def rows():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = make_table(_ENTITIES)
        pq.write_table(table, folder / "rows.parquet")
        token = _lay_out(folder / "store", table)
        write_once = [FEAST, JOB, "write", str(folder)]
        subprocess.run(write_once, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with _ours(folder / "store") as url, _feasts(folder, 1_000) as shipped, _feasts(folder, 0) as calm:
            _ask_by_feasts_client(folder, url, token, table)
            yield from _compare(url, token, {"as shipped": shipped, "never restarted": calm})


def make_table(entities):
    chance = np.random.default_rng(7)
    columns = {name: chance.normal(size=entities).astype(np.float32) for name in FEATURES}
    times = pa.array(np.full(entities, 1_700_000_000_000_000), pa.timestamp("us", "UTC"))
    return pa.table({"user": [f"user{number}" for number in range(entities)], "ts": times, **columns})


def _lay_out(folder, table):
    import foldstore
    from foldstore.api.tokens import TokenVault

    with foldstore.connect(folder) as store:
        store.create_dataset("events", key=["user", "ts"]).append(table)
        user = foldstore.Entity("user", keys={"user": "string"})
        view = foldstore.FeatureView("stats", entity=user, source="events", event_time="ts", features=FEATURES)
        store.features.apply(foldstore.FeatureService("svc", [view]))
        store.features.materialize("svc")
        return TokenVault(store.registry("token")).create("serving", author="benchmark")[0]


@contextmanager
def _ours(folder):
    command = [sys.executable, "-m", "foldstore", "serve", "--store", str(folder), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        yield next(line for line in process.stderr if "Serving at" in line).split()[-1]
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def _feasts(folder, most_requests):
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [FEAST, JOB, "serve", str(folder), str(port), str(most_requests)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process)
        yield port
    finally:
        process.terminate()
        process.wait()


def _wait_for(url, process):
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            with urlopen(url, timeout=5):  # noqa: S310  # ours, on this machine
                return
        except (URLError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _ask_by_feasts_client(folder, url, token, table):
    done = subprocess.run(
        [FEAST, JOB, "ask", str(folder), url],
        capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, "FOLDSTORE_TOKEN": token},
    )  # fmt: skip
    if done.returncode:
        sys.exit(done.stderr[-2_000:])
    found = json.loads(done.stdout.splitlines()[-1])
    for name in FEATURES:
        column = table.column(name)
        wanted = [column[77].as_py(), column[3].as_py(), None]
        if [None if value is None else float(np.float32(value)) for value in found[name]] != wanted:
            raise AssertionError(f"{name}: Feast's client got {found[name]}, not {wanted}")
    print("    Feast's client of a remote online store gets our values")


def _compare(url, token, peers):
    port = int(url.rpartition(":")[2])
    names = [f"stats:{name}" for name in FEATURES]
    hundred = [f"user{number}" for number in range(100)]
    for label, users in (("A1 one lookup", ["user77"]), ("A2 100 x 16", hundred)):
        ours = json.dumps({"service": "svc@1", "entities": {"user": users}, "at": "2023-11-14T22:15:00Z"}).encode()
        theirs = json.dumps({"features": names, "entities": {"user": users}}).encode()
        rates, others, calm = [], [], []
        for _ in range(3):
            rates.append(_sustained(port, token, ours))
            others.append(_sustained(peers["as shipped"], "none", theirs, path="/get-online-features"))
            calm.append(_sustained(peers["never restarted"], "none", theirs, path="/get-online-features"))
        rate, other, best = median(rates), median(others), median(calm)
        print(f"    {rate:.0f}/s, feast serve {other:.1f}/s: {rate / other:.0f} x; not restarted {best:.1f}/s", end="")
        print(f": {rate / best:.0f} x")
        limit = 1 / 25 if len(users) == 1 else 1 / 50
        yield Row(f"{label}, 16 connections", 1e6 / rate, 1e6 / other, "feast serve", unit="us", limit=limit)


def _sustained(port, token, body, path="/v1/features:get"):
    """Return how many requests a second are answered over some seconds, the server's pauses and hang-ups included."""
    request = make_request(token, body, path)
    waiting, by_number, answered = select.epoll(), {}, 0

    def begin():
        connection = Connection(port, request)
        by_number[connection.fileno()] = connection
        waiting.register(connection.fileno(), select.EPOLLIN)
        connection.send()

    for _ in range(CONNECTIONS):
        begin()
    started = time.perf_counter()
    while (elapsed := time.perf_counter() - started) < _ASKED_SECONDS:
        for number, _ in waiting.poll(_ASKED_SECONDS - elapsed):
            connection = by_number[number]
            try:
                if connection.receive():
                    answered += 1
                    connection.send()
            except OSError:  # the server hung up: what was asked is asked again
                waiting.unregister(number)
                by_number.pop(number).close()
                begin()
    for connection in by_number.values():
        connection.close()
    waiting.close()
    return answered / elapsed
