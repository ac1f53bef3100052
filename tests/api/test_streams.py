"""Streams over HTTP: what is acknowledged is taken once, whoever asks, whatever breaks, and nothing else is touched."""

import json
import socket
import threading
from contextlib import suppress
from datetime import timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.api.app import create_app
from foldstore.api.rules import AccessRule, RuleBook
from foldstore.api.server import BackgroundServer
from foldstore.api.tokens import TokenVault
from foldstore.errors import ConflictError, StoreError
from tests.api.conftest import assert_problem, client_of
from tests.api.hostile import TEXTS
from tests.killing import assert_killed, run

PATH = "/v1/datasets/people/streams/main"
WRITE = f"{PATH}:write"
CSV = {"content-type": "text/csv"}


@pytest.fixture
def app(store, store_vault):
    app = create_app(store.features, store_vault, store=store)
    yield app
    app.end()


@pytest.fixture
def login(app, store_vault):
    return lambda role="editor", **how: client_of(app, store_vault.create(role, author="t", **how)[0])


@pytest.fixture
def editor(login):
    return login()


def ids(store):
    return store.dataset("people").latest.to_arrow()["id"].to_pylist()


def segments(store):
    return sorted((store.root / "ephemeral").rglob("*"))


def test_writes_of_several_requests_are_one_version_when_it_is_due(store, editor):
    first = editor.post(WRITE, json=[{"id": 3}], params={"every_rows": 3})
    assert first.status_code == 200
    told = first.json()
    assert (told["name"], told["rows"], told["pending_rows"], told["last_version"]) == ("main", 1, 1, None)
    assert (told["cut"], told["repeated"], told["failure"]) == ([], False, None)
    second = editor.post(WRITE, content=b"id\n4\n", headers=CSV, params={"every_rows": 3}).json()
    assert (second["rows"], second["pending_rows"]) == (2, 2)
    assert ids(store) == [1, 2]
    third = editor.post(WRITE, json=[{"id": 5}], params={"every_rows": 3, "message": "five"}).json()
    assert (third["pending_rows"], third["last_version"], third["versions"]) == (0, 2, 1)
    assert [each["version"] for each in third["cut"]] == [2]
    assert ids(store) == [1, 2, 3, 4, 5]
    version = store.dataset("people").latest.record
    assert version.message == "five"
    assert version.author not in ("owner", "")
    assert editor.get(PATH).json()["last_version"] == 2


def test_a_version_is_due_by_the_age_that_the_log_keeps(store, editor, clock):
    editor.post(WRITE, json=[{"id": 3}], params={"every_seconds": "10"})
    clock.now += timedelta(seconds=9)
    assert editor.get(PATH).json()["lag_seconds"] == pytest.approx(9, abs=0.5)
    due = {"every_seconds": "10", "when_due": "true"}
    assert editor.post(f"{PATH}:flush", params=due).json()["pending_rows"] == 1
    clock.now += timedelta(seconds=2)
    assert editor.post(WRITE, json=[{"id": 4}], params={"every_seconds": "10"}).json()["pending_rows"] == 1
    assert ids(store) == [1, 2, 3]
    clock.now += timedelta(seconds=11)
    told = editor.post(f"{PATH}:flush", params=due).json()
    assert (told["pending_rows"], told["last_version"]) == (0, 3)
    assert ids(store) == [1, 2, 3, 4]
    clock.now += timedelta(days=1)
    assert editor.post(f"{PATH}:flush", params={"every_seconds": "never", "when_due": "true"}).json()["cut"] == []


@pytest.mark.parametrize("every", [1, 2, 100])
def test_the_last_write_sent_again_is_taken_once(store, editor, every):
    asked = {"first_row": 0, "every_rows": every}
    one = editor.post(WRITE, json=[{"id": 3}], params=asked).json()
    again = editor.post(WRITE, json=[{"id": 3}], params=asked).json()
    assert (one["repeated"], again["repeated"], again["rows"]) == (False, True, 1)
    assert [each["version"] for each in again["cut"]] == [each["version"] for each in one["cut"]]
    # Other rows in its place, and other places, are refused; so is what came before the last.
    for rows, at in (([{"id": 4}], 0), ([{"id": 3}], 7)):
        answer = editor.post(WRITE, json=rows, params={**asked, "first_row": at})
        assert "has taken 1 rows" in assert_problem(answer, 409, "stream-moved")["detail"]
    editor.post(WRITE, json=[{"id": 4}], params={**asked, "first_row": 1})
    assert_problem(editor.post(WRITE, json=[{"id": 3}], params=asked), 409, "stream-moved")
    editor.post(f"{PATH}:flush")
    assert editor.post(WRITE, json=[{"id": 4}], params={**asked, "first_row": 1}).json()["repeated"]
    assert ids(store) == [1, 2, 3, 4]


def test_a_write_without_a_number_is_not_taken_for_another(store, editor):
    for _ in range(2):
        assert not editor.post(WRITE, json=[{"id": 3}]).json()["repeated"]
    assert_problem(editor.post(WRITE, json=[{"id": 3}], params={"first_row": 1}), 409, "stream-moved")


def test_another_writer_is_waited_for_shortly(store, editor):
    other = store.dataset("people").stream(every_seconds=None)
    other.write({"id": [3]})
    for answer in (editor.post(WRITE, json=[{"id": 4}]), editor.get(PATH), editor.post(f"{PATH}:flush")):
        assert assert_problem(answer, 409, "stream-busy")["retry"]
        assert answer.headers["retry-after"] == "1"
    threading.Timer(0.2, other.close).start()
    assert editor.post(WRITE, json=[{"id": 4}]).json()["rows"] == 2
    assert ids(store) == [1, 2, 3]


def test_a_local_writer_recovers_what_requests_left_and_they_what_it_left(store, editor):
    editor.post(WRITE, json=[{"id": 3}])
    with store.dataset("people").stream(every_seconds=None) as stream:
        assert stream.status().recovered_rows == 1
        stream.write({"id": [4]})
    assert ids(store) == [1, 2, 3, 4]
    assert editor.post(WRITE, json=[{"id": 5}], params={"first_row": 2, "durability": "version"}).json()["rows"] == 3
    assert ids(store) == [1, 2, 3, 4, 5]


def test_columns_that_come_meanwhile_split_the_version(store, editor):
    editor.post(WRITE, json=[{"id": 3}])
    store.dataset("people").add_columns({"x": "id * 2"})
    editor.post(WRITE, json=[{"id": 4}])
    told = editor.post(f"{PATH}:flush").json()
    assert told["pending_rows"] == 0
    assert store.dataset("people").latest.to_arrow().sort_by("id").to_pylist()[2:] == [
        {"id": 3, "x": 6},
        {"id": 4, "x": 8},
    ]


def test_what_cannot_be_cut_is_told_and_taken_once(store, editor):
    told = editor.post(WRITE, json=[{"id": 1}], params={"every_rows": 1}).json()
    assert (told["rows"], told["pending_rows"]) == (1, 1)
    assert ":flush" in told["failure"]
    answer = editor.post(f"{PATH}:flush")
    assert "id" in assert_problem(answer, 409, "stream-stalled")["detail"]
    assert_problem(editor.post(WRITE, json=[{"id": 9}]), 409, "stream-stalled")
    assert editor.get(PATH).json()["rows"] == 1
    key = {"idempotency-key": "take-1"}
    assert_problem(editor.post(f"{PATH}:take-failed", headers={"accept": "image/png"}), 406)
    for _ in range(2):
        taken = editor.post(f"{PATH}:take-failed", headers={**key, "accept": "text/csv"})
        assert taken.text.split() == ['"id"', "1"]
    assert_problem(editor.post(f"{PATH}:take-failed"), 422)
    editor.post(WRITE, json=[{"id": 9}], params={"every_rows": 1})
    assert ids(store) == [1, 2, 9]


@pytest.mark.parametrize(
    "asked",
    [
        {"every_rows": "0"},
        {"every_rows": "-1"},
        {"every_rows": "1e3"},
        {"every_seconds": "-1"},
        {"every_seconds": "0"},
        {"every_seconds": "nan"},
        {"every_seconds": "inf"},
        {"every_seconds": "1e9"},
        {"keep_age": "soon"},
        {"keep_age": "9" * 30 + "d"},
        {"keep_bytes": "-5"},
        {"keep_bytes": "9" * 40},
        {"max_pending_rows": "1"},
        {"durability": "hope"},
        {"first_row": "-1"},
        {"first_row": "9" * 40},
        {"fill": "maybe"},
        {"on_cut": "print"},
        {"monotonic": "0"},
        {"message": "a\0b"},
        {"message": "x" * 20_001},
        {"branch": "../main"},
        {"branch": "nobody"},
    ],
    ids=str,
)
def test_words_that_mean_nothing_are_refused_and_nothing_is_taken(store, editor, asked):
    answer = editor.post(WRITE, json=[{"id": 3}], params=asked)
    assert answer.status_code in {404, 422}, answer.text
    assert_problem(answer, answer.status_code)
    assert editor.get(PATH).status_code == 404
    assert segments(store) == []


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "text/csv", 422),
        (b"\0\1\2", "application/vnd.apache.arrow.stream", 422),
        (b"PAR1", "application/vnd.apache.parquet", 422),
        (b"{", "application/json", 400),
        (b'{"id": 3}', "application/json", 422),
        (b"id,name\n3,x\n", "text/csv", 422),
        (b"id\nmany\n", "text/csv", 422),
        (b"id\n3\n", "text/html", 415),
    ],
)
def test_broken_rows_are_refused_and_nothing_is_taken(store, editor, content, kind, status):
    answer = editor.post(WRITE, content=content, headers={"content-type": kind})
    assert answer.status_code in {status, 400, 422}, answer.text
    assert_problem(answer, answer.status_code)
    assert "foldstore-" not in answer.text
    assert editor.post(WRITE, json=[{"id": 3}]).json()["rows"] == 1


def test_rows_that_grow_beyond_measure_are_refused(editor):
    table = pa.table({"id": pa.array([0] * (1 << 20), pa.int64())})
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        for _ in range(40):  # 320 MB, a batch within the limit
            writer.write_table(table)
    kind = {"content-type": "application/vnd.apache.arrow.stream"}
    answer = editor.post(WRITE, content=sink.getvalue().to_pybytes(), headers=kind)
    assert_problem(answer, 413, "body-too-large")
    assert editor.get(PATH).json()["rows"] == 0


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from([each for each in TEXTS if each and "/" not in each and "\ud800" not in each]))
def test_a_name_of_a_stream_is_a_name(name, people_client):
    client, store = people_client
    for verb, method in (("", "GET"), (":write", "POST"), (":flush", "POST"), (":take-failed", "POST")):
        from urllib.parse import quote

        path = f"/v1/datasets/people/streams/{quote(name, safe='').replace('.', '%2E')}{verb}"
        answer = client.request(method, path, content=b"id\n3\n", headers=CSV)
        assert answer.status_code in {404, 405, 422}, (path, answer.text)
    assert segments(store) == []


@pytest.fixture(scope="module")
def people_client(tmp_path_factory):
    with foldstore.connect(tmp_path_factory.mktemp("names") / "store", author="owner") as store:
        store.create_dataset("people", key=["id"]).append({"id": [1, 2]})
        vault = TokenVault(store.registry("token"), clock=store.clock)
        app = create_app(store.features, vault, store=store)
        yield client_of(app, vault.create("editor", author="t")[0]), store
        app.end()


class TestWhoMay:
    REQUESTS = (("GET", PATH), ("POST", WRITE), ("POST", f"{PATH}:flush"), ("POST", f"{PATH}:take-failed"))

    def ask(self, client):
        return [client.request(method, path, content=b"id\n3\n", headers=CSV) for method, path in self.REQUESTS]

    @pytest.mark.parametrize("role", ["viewer", "serving", "evaluator", "keeper", "steward", "monitor"])
    def test_who_may_not_append_has_no_streams(self, store, login, role):
        for answer in self.ask(login(role)):
            assert_problem(answer, 403)
        assert segments(store) == []

    def test_a_token_for_other_names_sees_none(self, store, login, editor):
        editor.post(WRITE, json=[{"id": 4}])
        before = segments(store)
        for answer in self.ask(login("editor", names=["other*"])):
            assert_problem(answer, 404)
        assert segments(store) == before
        assert [each.status_code for each in self.ask(login("editor", names=["peo*"]))] == [200, 200, 200, 422]

    def test_whom_a_rule_meets_touches_none(self, store, login, editor, clock):
        editor.post(WRITE, json=[{"id": 3}])
        rule = AccessRule(name="r", datasets=("people",), roles=("editor",), where="id > 1")
        RuleBook(store.registry("access-rule"), clock=store.clock).put(rule, author="t")
        clock.now += timedelta(seconds=5)  # a running server looks again after two
        for answer in self.ask(login("editor")):
            assert_problem(answer, 403, "hidden-by-rule")

    def test_what_changes_is_audited(self, login, editor):
        editor.post(WRITE, json=[{"id": 3}])
        editor.post(f"{PATH}:flush")
        found = login("admin").get("/v1/audit").json()["items"]
        routes = [each["route"] for each in found if "streams" in json.dumps(each)]
        assert {"/v1/datasets/{name}/streams/{stream}:write", "/v1/datasets/{name}/streams/{stream}:flush"} <= set(
            routes
        )


class Cutting:
    """Passes bytes on to a server, and closes the client's connection in the place of some answers."""

    def __init__(self, url):
        self._there = url.removeprefix("http://").split(":")
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.swallow = 0
        self.swallowed = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client):
        server = socket.create_connection((self._there[0], int(self._there[1])))
        threading.Thread(target=self._copy, args=(client, server), daemon=True).start()
        while piece := server.recv(1 << 16):
            if self.swallow:
                self.swallow -= 1
                self.swallowed += 1
                break
            client.sendall(piece)
        for each in (client, server):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _copy(self, client, server):
        with suppress(OSError):
            while piece := client.recv(1 << 16):
                server.sendall(piece)

    def close(self):
        self._listening.close()


@pytest.fixture
def cutting(app):
    with BackgroundServer(app) as server:
        cutting = Cutting(server.url)
        yield cutting
        cutting.close()


@pytest.mark.parametrize("every", [1, 2, 100])
def test_a_writer_whose_answers_are_lost_writes_each_row_once(store, store_vault, cutting, every):
    token, told = store_vault.create("editor", author="t")[0], []
    with (
        foldstore.connect(cutting.url, token=token, retries=3) as remote,
        remote.dataset("people").stream(every_rows=every, every_seconds=None, on_cut=told.append) as stream,
    ):
        for number in range(3, 9):
            cutting.swallow = number % 2
            stream.write({"id": [number]})
        assert cutting.swallowed == 3
        assert stream.status().rows == 6
        cutting.swallow = 1
        stream.flush()
    assert ids(store) == list(range(1, 9))
    assert [each.number for each in told] == sorted({each.number for each in told})


def test_rows_are_written_again_by_whoever_was_told_that_the_connection_was_lost(store, store_vault, cutting):
    token = store_vault.create("editor", author="t")[0]
    with foldstore.connect(cutting.url, token=token, retries=0) as remote:
        stream = remote.dataset("people").stream(every_seconds=None)
        cutting.swallow = 2  # that of a kept connection is asked for again at once
        with pytest.raises(StoreError) as caught:
            stream.write({"id": [3]})
        assert caught.value.code == "connection-lost"
        stream.write({"id": [3]})
        stream.write({"id": [4]})
        stream.close()
    assert ids(store) == [1, 2, 3, 4]


def test_two_remote_writers_notice_each_other(store, store_vault, cutting):
    token = store_vault.create("editor", author="t")[0]
    with foldstore.connect(cutting.url, token=token) as remote:
        one, two = (remote.dataset("people").stream(every_seconds=None) for _ in range(2))
        one.write({"id": [3]})
        with pytest.raises(ConflictError) as caught:
            two.write({"id": [4]})
        assert caught.value.code == "stream-moved"
        one.close()
    assert ids(store) == [1, 2, 3]


ACT = """
from foldstore.api.app import create_app
from foldstore.api.server import BackgroundServer
from foldstore.api.tokens import TokenVault
from foldstore.store import Store
from http.client import HTTPConnection

store = Store(storage, "owner")
app = create_app(store.features, TokenVault(store.registry("token")), store=store)
with BackgroundServer(app) as server:
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    connection.request("POST", path, body.encode(), {"content-type": "text/csv", "authorization": f"Bearer {token}"})
    print(connection.getresponse().status)
print("it was not killed")
"""


@pytest.mark.parametrize("step", ["stream-logged", "stream-sealed", "flipped", "stream-cut", "stream-dropped"])
def test_a_server_that_is_killed_has_taken_the_rows_and_takes_them_once(folder, step):
    with foldstore.connect(folder, author="owner") as store:
        store.create_dataset("people", key=["id"]).append({"id": [1, 2]})
        token = TokenVault(store.registry("token")).create("editor", author="t")[0]
    asked = f"{WRITE}?first_row=0&every_rows=2"
    assert_killed(run(ACT, folder, step, path=asked, body="id\n3\n4\n", token=token))
    with foldstore.connect(folder, author="owner") as store:
        app = create_app(store.features, TokenVault(store.registry("token")), store=store)
        client = client_of(app, token)
        again = client.post(asked, content=b"id\n3\n4\n", headers=CSV).json()
        assert (again["rows"], again["repeated"]) == (2, True)
        more = client.post(WRITE, content=b"id\n5\n", headers=CSV, params={"first_row": 2, "every_rows": 1})
        assert more.json()["rows"] == 3
        assert ids(store) == [1, 2, 3, 4, 5]
        assert len(store.dataset("people").versions()) == 3
        assert store.verify().passed
        app.end()
