"""Work that somebody waits for ends when he has gone away; what changes something goes to its end."""

import asyncio
import json
import socket
import threading

import pyarrow as pa
import pytest

import foldstore
from foldstore.api.answers import PiecesResponse
from foldstore.api.app import create_app
from foldstore.api.sandbox.process import QueryProcess
from foldstore.api.server import BackgroundServer
from foldstore.api.tokens import TokenVault
from foldstore.dataset import Dataset
from foldstore.errors import CancelledError
from foldstore.version_drift import VersionDrift
from foldstore.work import note_rows
from tests.api.test_operations import PATIENCE
from tests.api.test_resources import ARROW

ENDLESS = "SELECT sum(a.range * b.range) FROM range(1000000000) a, range(1000000000) b"


@pytest.fixture
def served(folder):
    with foldstore.connect(folder, author="owner") as store:
        store.create_dataset("people", key=["id"]).append({"id": [1, 2]})
        vault = TokenVault(store.registry("token"), clock=store.clock)
        token = vault.create("editor", author="t")[0]
        with BackgroundServer(create_app(store.features, vault, store=store)) as server:
            yield store, server, token


def send(server, token, path, body, kind="application/json", accept="application/json"):
    """Send a request; return the connection, from which nothing is read."""
    host, port = server.url.removeprefix("http://").split(":")
    head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\naccept: {accept}\r\n"
    head += f"content-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    connection = socket.create_connection((host, int(port)), timeout=PATIENCE)
    connection.sendall(head.encode() + body)
    return connection


class Ends:
    """Tells when something began, and by what it ended."""

    def __init__(self):
        self.begun, self.over, self.error = threading.Event(), threading.Event(), None

    def around(self, act):
        def run(*given, **how):
            self.begun.set()
            try:
                return act(*given, **how)
            except BaseException as error:
                self.error = error
                raise
            finally:
                self.over.set()

        return run


@pytest.mark.parametrize("accept", ["application/json", ARROW])
def test_a_query_whose_reader_has_gone_is_stopped(served, monkeypatch, accept):
    _, server, token = served
    ends, processes = Ends(), []
    listen = QueryProcess._listen

    def heard(process, quota):
        processes.append(process)
        yield from ends.around(lambda: list(listen(process, quota)))()

    server_ready = send(server, token, "/v1/sql", json.dumps({"sql": "SELECT 1"}).encode())
    assert server_ready.recv(12) == b"HTTP/1.1 200"  # it has tried to break out, once
    monkeypatch.setattr(QueryProcess, "_listen", heard)
    body = json.dumps({"sql": ENDLESS, "timeout": PATIENCE}).encode()
    connection = send(server, token, "/v1/sql", body, accept=accept)
    assert ends.begun.wait(PATIENCE)
    connection.close()
    assert ends.over.wait(2 * PATIENCE)
    assert isinstance(ends.error, CancelledError)  # and not its time
    processes[0]._process.wait(PATIENCE)
    server_ready.close()


def test_what_is_read_for_nobody_is_not_read_on(served, monkeypatch):
    _, server, token = served
    ends = Ends()

    @ends.around
    def compare(*_given, **_how):
        while True:
            note_rows(1)

    monkeypatch.setattr(VersionDrift, "drift", compare)
    connection = send(server, token, "/v1/datasets/people/versions/1:drift", b'{"reference": "people@1"}')
    assert ends.begun.wait(PATIENCE)
    connection.close()
    assert ends.over.wait(PATIENCE)
    assert isinstance(ends.error, CancelledError)


def test_a_commit_goes_to_its_end(served, monkeypatch):
    store, server, token = served
    ends, goes_on = Ends(), threading.Event()
    append = Dataset.append

    def slow(*given, **how):
        assert goes_on.wait(PATIENCE)
        return append(*given, **how)

    monkeypatch.setattr(Dataset, "append", ends.around(slow))
    sink = pa.BufferOutputStream()
    table = pa.table({"id": [3]})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    rows = sink.getvalue().to_pybytes()
    connection = send(server, token, "/v1/datasets/people/versions", rows, kind=ARROW)
    assert ends.begun.wait(PATIENCE)
    connection.close()
    goes_on.set()
    assert ends.over.wait(PATIENCE)
    assert ends.error is None
    assert store.version("people@2").num_rows == 3


def pieces_of(ending, ended):
    """Yield pieces: without end, or until `ending` is raised; say that it is over."""
    try:
        while True:
            yield b"x" * 100_000
            if ending is not None:
                raise ending
    finally:
        ended.append(True)


@pytest.mark.parametrize("ending", [None, CancelledError("Who asked has gone away.")], ids=["midway", "noticed"])
def test_a_stream_that_nobody_reads_on_holds_nothing(ending):
    """Neither its rows nor its query waits for a search for garbage; that he went away is no error."""
    ended = []
    pieces = pieces_of(ending, ended)  # held here, so that nothing but closing it ends it

    async def ask():
        gone = asyncio.Event()

        async def receive():
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            if message["type"] == "http.response.body":
                gone.set()
                await asyncio.sleep(0)

        await PiecesResponse(pieces, "text/csv")({"type": "http"}, receive, send)

    asyncio.run(asyncio.wait_for(ask(), PATIENCE))
    assert ended == [True]
