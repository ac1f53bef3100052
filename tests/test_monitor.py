"""Monitors look at each new version once, keep what they found, and tell somebody."""

import json
import signal
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

import foldstore
from foldstore.cli.app import run
from foldstore.errors import InvalidNameError, NotFoundError, UsageError
from foldstore.notify import Notify
from foldstore.validation.schema import DataSchema


@pytest.fixture
def store(tmp_path):
    with foldstore.connect(tmp_path / "store", author="ann") as opened:
        yield opened


@pytest.fixture
def trips(store):
    dataset = store.create_dataset("trips")
    generator = np.random.default_rng(1)
    for mean in (0, 0, 2):
        dataset.append({"km": generator.normal(mean, size=2_000)})
    return dataset


@pytest.fixture
def hook():
    bodies, codes = [], [200]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(codes[0])
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", bodies, codes
    server.shutdown()
    thread.join()
    server.server_close()


def test_each_version_is_looked_at_once_and_kept(store, trips):
    store.monitors.set("daily", ["trips", "later"], drift="previous")
    found = store.monitors.run("daily")
    assert [(each.address, each.passed) for each in found] == [("trips@1", True), ("trips@2", True), ("trips@3", False)]
    assert found[2].findings[0]["code"] == "drift"
    assert "against previous" in found[2].findings[0]["message"]
    assert store.monitors.run() == []
    assert store.monitors.history("daily") == found
    store.create_dataset("later").append({"x": [1]})
    assert [each.address for each in store.monitors.run()] == ["later@1"]


def test_quarantined_versions_fail_with_their_reports_findings(store):
    dataset = store.create_dataset("gated")
    dataset.set_schema(dataset.append({"x": [each % 9 for each in range(500)]}).profile().infer_schema())
    dataset.append({"x": [None] * 50})
    store.monitors.set("m", ["gated"])
    _, failed = store.monitors.run("m")
    assert not failed.passed
    assert failed.status == "quarantined"
    assert "all_null" in {each["code"] for each in failed.findings}


def test_a_version_without_rows_fails_even_where_no_schema_asks_for_any(store):
    dataset = store.create_dataset("emptied", key=["id"])
    dataset.append({"id": [1, 2]})
    dataset.delete("id = 1")  # adds no row, and leaves some
    dataset.delete("id = 2")
    store.monitors.set("m", ["emptied"])
    found = store.monitors.run("m")
    assert [[each["code"] for each in result.findings] for result in found] == [[], [], ["no_data"]]
    assert not found[2].passed


def test_a_change_of_level_is_noted_by_the_version_that_makes_it_certain(store):
    dataset = store.create_dataset("daily")
    generator = np.random.default_rng(2)
    for day in range(14):
        dataset.append({"x": generator.normal(5 if day > 10 else 0, size=50)})
    store.monitors.set("m", ["daily"])
    noted = [each for each in store.monitors.run("m") if each.findings]
    assert len(noted) == 1
    assert noted[0].findings[0]["code"] == "trend"
    assert "at daily@12" in noted[0].findings[0]["message"]


def test_a_webhook_is_told_of_failures_and_again_where_that_failed(store, trips, hook):
    url, bodies, codes = hook
    store.monitors.set("daily", ["trips"], drift="previous")
    codes[0] = 500
    (result,) = [each for each in store.monitors.run("daily", notify=Notify(webhook=url)) if not each.passed]
    assert result.told == ("failed: webhook answered 500",)
    codes[0] = 302
    store.monitors.run("daily", notify=Notify(webhook=url))
    assert store.monitors.history("daily")[-1].told == ("failed: webhook answered 302",)
    codes[0] = 200
    assert store.monitors.run("daily", notify=Notify(webhook=url)) == []
    assert store.monitors.history("daily")[-1].told == ("webhook",)
    assert [body["address"] for body in bodies] == ["trips@3"] * 3
    store.monitors.run("daily", notify=Notify(webhook=url))
    assert len(bodies) == 3


def answers_once(reply):
    """Listen for one request, and answer it with these bytes; return the address."""
    listening = socket.create_server(("127.0.0.1", 0))

    def answer():
        with listening, listening.accept()[0] as caller:
            caller.recv(65_536)
            caller.sendall(reply)

    threading.Thread(target=answer, daemon=True).start()
    return f"http://127.0.0.1:{listening.getsockname()[1]}/hook?token=secret"


@pytest.mark.parametrize(
    "reply",
    [b"", b"garbage\r\n\r\n", b"HTTP/1.1 999999 what\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 300 + b"\r\n"],
    ids=["nothing", "garbage", "no status", "endless headers"],
)
def test_a_hook_that_answers_nonsense_does_not_stop_the_run_and_is_kept(store, trips, reply):
    store.monitors.set("daily", ["trips"], drift="previous")
    found = store.monitors.run("daily", notify=Notify(webhook=answers_once(reply)))
    assert [each.address for each in found] == ["trips@1", "trips@2", "trips@3"]
    (told,) = found[2].told
    assert told.startswith("failed: webhook: ")
    assert "secret" not in told
    assert store.monitors.history("daily") == found


def test_a_command_gets_json_and_no_shell(store, trips, tmp_path):
    target = tmp_path / "told.json"
    script = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + '\\n')"
    notify = Notify(command=(sys.executable, "-c", script, str(target)), on="always")
    store.monitors.set("daily", ["trips"])
    store.monitors.run("daily", notify=notify)
    assert [json.loads(line)["address"] for line in target.read_text().splitlines()] == [
        "trips@1",
        "trips@2",
        "trips@3",
    ]
    assert Notify(command=("no-such-program-anywhere",)).tell({}) == ("failed: command: FileNotFoundError",)
    assert Notify(command=(sys.executable, "-c", "raise SystemExit(3)")).tell({}) == ("failed: command exited with 3",)


@pytest.mark.parametrize(
    "address",
    ["file:///etc/passwd", "ftp://x/y", "hook", "http://", "", "http://h:port/", "http://h:99999/", "http://[::1/"],
)
def test_only_http_addresses_are_posted_to(address):
    with pytest.raises(UsageError, match="http or https"):
        Notify(webhook=address)


@pytest.mark.parametrize("address", ["http://a b/", "http://a\nb/", "http://h/\x1b", "http://h/ü", "http://ü.org/"])
def test_an_address_that_no_request_can_have_is_refused_before_anything_runs(address):
    with pytest.raises(UsageError, match="a character that none may have"):
        Notify(webhook=address)


def test_a_password_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(UsageError, match="no user or password") as raised:
        Notify(webhook="https://ann:hunter2@example.org/hook")
    assert "hunter2" not in f"{raised.value} {raised.value.hint}"


def test_a_command_that_no_system_takes_is_told_of():
    with pytest.raises(UsageError, match="NUL"):
        Notify(command=("a\0b",))
    assert Notify(command=("\ud800",)).tell({}) == ("failed: command: UnicodeEncodeError",)


def test_bad_questions_are_refused_in_words(store):
    with pytest.raises(UsageError, match="not a list"):
        store.monitors.set("m", "trips")
    with pytest.raises(UsageError, match="one dataset or more"):
        store.monitors.set("m", [])
    with pytest.raises(InvalidNameError):
        store.monitors.set("../m", ["trips"])
    with pytest.raises(UsageError, match="no reference"):
        store.monitors.set("m", ["trips"], drift="rolling")
    store.monitors.set("nightly", ["trips"])
    with pytest.raises(NotFoundError, match="nightly"):
        store.monitors.run("nigthly")
    with pytest.raises(UsageError, match="Nobody is named"):
        Notify()


def test_the_command_line(trips, store, capsys, tmp_path):
    folder = str(tmp_path / "store")
    assert run(["monitor", "set", "daily", "trips", "--drift", "previous", "-s", folder]) == 0
    assert run(["monitor", "run", "-s", folder, "-o", "jsonl"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["passed"] for line in lines] == [True, True, False]
    assert run(["monitor", "run", "-s", folder]) == 0
    assert run(["monitor", "history", "daily", "-s", folder, "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])[2]["address"] == "trips@3"
    assert run(["monitor", "list", "-s", folder]) == 0
    assert run(["monitor", "run", "--every", "0.1", "-s", folder]) == 2
    assert run(["monitor", "run", "--every", "2", "--at-commit", "-s", folder]) == 2
    assert run(["monitor", "run", "--command", "'", "-s", folder]) == 2


def test_who_follows_sees_each_version_as_it_is_committed(store, trips, tmp_path):
    store.monitors.set("daily", ["trips"], drift="previous")
    with foldstore.connect(tmp_path / "store") as looking:
        found = looking.monitors.follow("daily")
        assert [next(found).address for _ in range(3)] == ["trips@1", "trips@2", "trips@3"]
        late = threading.Timer(0.5, lambda: trips.append({"km": [1.0] * 2_000}))
        late.start()
        result = next(found)  # there is nothing until then
        late.join()
        assert (result.address, result.passed) == ("trips@4", False)
        with pytest.raises(NotFoundError, match="nightly"):
            next(looking.monitors.follow("nightly"))


def test_the_command_that_stays_tells_of_each_commit(store, trips, tmp_path):
    store.monitors.set("daily", ["trips"])
    command = [sys.executable, "-m", "foldstore", "monitor", "run", "daily", "--at-commit", "-s", tmp_path / "store"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            told = [json.loads(process.stdout.readline())["address"] for _ in range(3)]
            trips.append({"km": [1.0]})
            told.append(json.loads(process.stdout.readline())["address"])
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    assert told == ["trips@1", "trips@2", "trips@3", "trips@4"]


def test_erasing_rows_withholds_what_a_monitor_quoted_of_them(store):
    dataset = store.create_dataset("people", key=["id"])
    first = dataset.append({"id": [1, 2], "city": ["Oslo", "Oslo"]})
    schema = DataSchema.from_dict(
        {
            "columns": {"id": {"type": "int64"}, "city": {"type": "string", "domain": {"values": ["Oslo"]}}},
            "keys": ["id"],
        }
    )
    dataset.set_schema(schema)
    dataset.append({"id": [3], "city": ["Lovelace"]}).release("she may stay")
    store.monitors.set("m", ["people"])
    store.monitors.run("m")
    assert "Lovelace" in str(store.monitors.history("m")[1].findings)
    dataset.erase(where="id = 3", reason="asked")
    assert "Lovelace" not in str([each.to_dict() for each in store.monitors.history("m")])
    assert store.verify().passed
    assert first.num_rows == 2
