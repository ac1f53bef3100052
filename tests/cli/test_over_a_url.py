"""The command over a server: `--store https://...`; what a server is not asked for says so, and nothing breaks."""

import datetime as dt
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer

import foldstore
from foldstore.api.app import create_app
from foldstore.api.operations import Operations
from foldstore.api.server import BackgroundServer
from foldstore.api.tokens import TokenVault
from foldstore.cli import following
from foldstore.cli.app import app, run
from foldstore.remote.connection import Connection
from foldstore.remote.operations import Watched
from foldstore.remote.server_address import read_address
from foldstore.version_drift import VersionDrift
from foldstore.work import note_rows
from tests.api.test_operations import PATIENCE

NOON = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)
NOT_ALONE = {"serve", "demo", "init"}  # they run until they are told to end, or take no store


def commands(group, path=()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def has_store(command):
    return any("--store" in parameter.opts for parameter in command.params)


def example_of(command):
    lines = [line.strip() for line in (command.help or "").splitlines()]
    return next((line.partition("Example: foldstore ")[2] for line in lines if line.startswith("Example:")), None)


VERBS = {" ".join(path): command for path, command in commands(typer.main.get_command(app)) if has_store(command)}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "store"
    with foldstore.connect(folder, author="owner") as store:
        flights = store.create_dataset("flights", key=["id"])
        flights.append({"id": [1, 2, 3], "carrier": ["UA", "B6", "UA"], "arr_delay": [3.5, None, -2.0]})
        flights.append({"id": [4], "carrier": ["AA"], "arr_delay": [7.0]})
        flights.tag("first", 1)
        rides = store.create_dataset("rides", key=["driver", "ts"])
        rides.append({"driver": [1, 2], "ts": [NOON, NOON], "trips": [10, 20]})
        driver = foldstore.Entity("driver", keys={"driver": "int64"})
        view = foldstore.FeatureView("stats", entity=driver, source="rides", event_time="ts", features=["trips"])
        store.features.apply(foldstore.FeatureService("arrival", [view]))
        store.features.materialize("arrival")
        token, _ = TokenVault(store.registry("token")).create("admin", author="tester")
        with BackgroundServer(create_app(store.features, TokenVault(store.registry("token")), store=store)) as server:
            yield str(folder), server.url, token


@pytest.fixture
def asked(served, monkeypatch, capsys):
    """Run the command over the folder or the server; return its exit code and what it printed."""
    folder, url, token = served
    monkeypatch.setenv("FOLDSTORE_TOKEN", token)

    def ask(words, where="url"):
        monkeypatch.setattr("sys.stdin", io.StringIO())
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            code = run([*words, "--store", url if where == "url" else folder])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return ask


READING = [
    ["ls", "--output", "json"],
    ["show", "flights", "--output", "json"],
    ["show", "flights@1", "--output", "json"],
    ["log", "flights", "--output", "json"],
    ["diff", "flights@1", "flights@2", "--output", "json"],
    ["sql", "SELECT carrier, count(*) AS n FROM flights GROUP BY carrier ORDER BY carrier", "--output", "json"],
    ["profile", "flights", "--output", "json"],
    ["refs", "flights", "--output", "json"],
    ["features", "list", "--output", "json"],
    ["features", "show", "arrival@1"],
    ["features", "get", "arrival@1", "driver=1", "--at", "2024-01-02T00:00:00Z"],
    ["pool", "ls", "--output", "json"],
    ["lineage", "flights", "--output", "json"],
]


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_reading_verbs_print_the_same_over_a_server(asked, words):
    there, here = asked(words), asked(words, "folder")
    assert there[:2] == here[:2], there
    assert there[0] == 0, there


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_no_verb_breaks_over_a_server(asked, verb, tmp_path, monkeypatch):
    if verb in NOT_ALONE:
        pytest.skip("It runs on, or makes a store.")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("id,carrier,arr_delay\n9,UA,1.5\n")
    example = example_of(VERBS[verb])
    words = verb.split() if example is None else shlex.split(example, comments=True)
    code, _, err = asked([word for word in words if word != "|"])
    assert code != 70, err
    assert "error[bug]" not in err
    assert "server-unreachable" not in err


@pytest.mark.parametrize(
    "words", [["doctor"], ["serve"], ["token", "ls"], ["token", "create"], ["rule", "ls"], ["audit"]], ids=" ".join
)
def test_what_needs_the_folder_says_so_and_what_to_do(asked, words):
    code, out, err = asked(words)
    assert (code, out) == (2, "")
    assert "error[local-only]" in err
    assert "--store FOLDER" in err


def test_a_store_is_not_made_by_a_url(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["init", "https://store.example"]) == 2
    assert "local-only" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_writing_verbs_write_over_a_server(asked, tmp_path):
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"id": [1, 2], "city": ["Oslo", "Bern"]}), file)
    assert asked(["ingest", "cities", str(file), "--create"])[0] == 0
    code, out, _ = asked(["sql", "SELECT count(*) AS n FROM cities", "--output", "json"], "folder")
    assert (code, json.loads(out)) == (0, [{"n": 2}])


@pytest.fixture
def kept(served):
    """A dataset of three versions that share no file."""
    with foldstore.connect(served[0], author="owner") as store:
        count = len(store.datasets())
        name = f"kept{count}"
        kept = store.create_dataset(name, key=["id"])
        for n in range(3):
            kept.overwrite({"id": list(range(5_000)), "value": [10 * count + n] * 5_000})
        yield name


class TestCare:
    """What keeps a store in order: the verbs that were for a folder alone."""

    def test_versions_are_kept_and_let_go(self, asked, kept, served):
        assert asked(["retain", kept, "--keep-last", "1"])[2].startswith(f"{kept} keeps keep_last=1.")
        assert asked(["pin", f"{kept}@1", "audit: 1", "-m", "asked for"])[0] == 0
        code, out, err = asked(["gc", "-o", "json"])
        (found,) = [each for each in json.loads(out)["datasets"] if each["dataset"] == kept]
        assert (code, [each["address"] for each in found["expired"]]) == (0, [f"{kept}@2"]), err
        assert json.loads(asked(["gc", "-o", "json"], "folder")[1]) == json.loads(out)
        assert asked(["unpin", f"{kept}@1", "audit: 1"])[0] == 0
        assert asked(["unpin", f"{kept}@1", "audit: 1"])[0] == 2
        assert f"{kept}@1 expired: keep_last=1" in asked(["gc", "--apply"])[2]
        with foldstore.connect(served[0]) as store, pytest.raises(foldstore.errors.NotFoundError):
            store.version(f"{kept}@2").to_arrow()

    def test_what_is_taken_and_whether_it_is_whole(self, asked, kept):
        for words in (["usage", "-o", "json"], ["usage", kept, "-o", "json"], ["verify", "-o", "json"]):
            there, here = asked(words), asked(words, "folder")
            assert (there[0], json.loads(there[1])) == (here[0], json.loads(here[1])), words
        assert asked(["verify", "--sizes"])[0] == 0
        code, _, err = asked(["verify", "--repair-from", "."])
        assert (code, "error[local-only]" in err) == (2, True)

    def test_old_versions_are_frozen_and_thawed(self, asked, kept):
        assert asked(["freeze", kept])[2].startswith("Froze 2 files: ")
        assert asked(["thaw", f"{kept}@1"])[2].startswith("Thawed 1 files: ")
        assert asked(["thaw", kept], "folder")[2].startswith("Thawed 1 files: ")

    def test_rows_are_erased_when_it_is_said(self, asked, kept, tmp_path):
        words = ["erase", kept, "--key", "id=7", "--reason", "asked to"]
        assert asked(words)[:2] == asked(words, "folder")[:2]
        assert asked([*words, "--yes"])[1].startswith(f"Erased 3 rows of '{kept}' in 3 versions, 3 files.")
        (tmp_path / "keys.csv").write_text("id\n8\n9\n")
        by_file = ["erase", kept, "--key-file", str(tmp_path / "keys.csv"), "--reason", "asked to", "--yes"]
        assert json.loads(asked([*by_file, "-o", "json"])[1])["rows"] == 6
        code, out, _ = asked(["sql", f"SELECT count(*) AS n FROM {kept}", "--output", "json"], "folder")
        assert (code, json.loads(out)) == (0, [{"n": 4_997}])


def test_the_environment_names_the_server(served, monkeypatch, capsys, tmp_path):
    _, url, token = served
    (tmp_path / "token").write_text(token + "\n")
    monkeypatch.setenv("FOLDSTORE_STORE", url)
    monkeypatch.delenv("FOLDSTORE_TOKEN", raising=False)
    monkeypatch.setenv("FOLDSTORE_TOKEN_FILE", str(tmp_path / "token"))
    assert run(["ls", "--output", "jsonl"]) == 0
    assert "flights" in capsys.readouterr().out


def test_without_a_token_it_says_where_to_put_one(served, monkeypatch, capsys):
    monkeypatch.delenv("FOLDSTORE_TOKEN", raising=False)
    assert run(["ls", "--store", served[1]]) == 2
    assert "FOLDSTORE_TOKEN" in capsys.readouterr().err


def test_no_verb_takes_a_token_for_the_server_as_an_argument():
    for verb, command in VERBS.items():
        options = {name for parameter in command.params for name in parameter.opts}
        assert "--token" not in options or verb in {"rule set", "audit"}, verb  # there it is an id


def test_a_server_that_is_not_there_could_not_decide(monkeypatch, capsys):
    monkeypatch.setenv("FOLDSTORE_TOKEN", "x" * 20)
    assert run(["ls", "--store", "http://127.0.0.1:9"]) == 3
    assert "server-unreachable" in capsys.readouterr().err


class TestWhatTakesLong:
    def test_is_an_operation_that_ctrl_c_calls_off(self, served, monkeypatch):
        _folder, url, token = served
        environment = {**os.environ, "FOLDSTORE_TOKEN": token, "NO_COLOR": "1"}
        watched, find = threading.Event(), Operations.find

        def look(operations, operation_id):
            watched.set()
            return find(operations, operation_id)

        def compare(*_given, **_how):
            until = time.monotonic() + PATIENCE
            while time.monotonic() < until:
                note_rows(1)  # raises when it is called off
                time.sleep(0.01)

        monkeypatch.setattr(VersionDrift, "drift", compare)
        monkeypatch.setattr(Operations, "find", look)
        with foldstore.connect(url, token=token) as store:
            before = [each["id"] for each in store.operations.list()]
        command = [sys.executable, "-m", "foldstore", "drift", "flights@2", "flights@1", "--store", url]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            assert watched.wait(PATIENCE)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=PATIENCE)
            assert (process.returncode, said[:10]) == (130, "Called off"), said
        with foldstore.connect(url, token=token) as store:
            (found,) = [each for each in store.operations.list() if each["id"] not in before]
            Watched(store.server.connection).follow(f"/v1/operations/{found['id']}")
            assert store.operations.get(found["id"])["state"] == "cancelled"

    def test_has_a_bar_once_it_takes_a_second(self, served, monkeypatch):
        shown, clock = [], iter([0.0, 0.5, 2.0, 3.0])

        @contextmanager
        def bar(label):
            yield lambda done, total, text: shown.append((label, done, total, text))

        states = iter([("running", 1), ("running", 2), ("succeeded", 3)])

        def ask_now(_self, _request):
            state, count = next(states)
            return {"state": state, "progress": {"done": count, "total": 3, "words": f"{count} of 3 steps"}}

        monkeypatch.setattr(following, "bar", bar)
        monkeypatch.setattr(following, "is_watched", lambda: True)
        monkeypatch.setattr(following, "monotonic", lambda: next(clock))
        monkeypatch.setattr(Connection, "ask_now", ask_now)
        connection = Connection(read_address(served[1], token=served[2]))
        following.FollowedWork(connection).follow("/v1/operations/" + "a" * 32)
        assert shown == [("The server works", count, 3, f"{count} of 3 steps") for count in (2, 3)]
