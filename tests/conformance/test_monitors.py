"""Monitors: set, run, told of, followed; the same in a folder and behind a server."""

import sys
import threading

import numpy as np
import pytest

import foldstore
from foldstore.cli.app import run
from foldstore.notify import Notify
from foldstore.validation.column_bounds import DriftPolicy
from tests.conformance.conftest import raised


@pytest.fixture
def trips(store):
    dataset = store.create_dataset("trips")
    generator = np.random.default_rng(1)
    for mean in (0, 0, 2):
        dataset.append({"km": generator.normal(mean, size=2_000)})
    return dataset


def test_what_is_set_is_found(store):
    limits = DriftPolicy(metric="ks", tau_warn=0.05, tau_error=0.5)
    made = store.monitors.set("daily", ["trips", "later"], drift="rolling(5)", limits=limits, trends=False, message="x")
    assert (made.name, made.datasets, made.drift, made.limits, made.trends) == (
        "daily",
        ("trips", "later"),
        "rolling(5)",
        limits,
        False,
    )
    assert store.monitors.find("daily") == made
    store.monitors.set("another", ["trips"])
    assert store.monitors.find("another").limits == DriftPolicy()
    assert store.monitors.list_names() == ["another", "daily"]
    assert repr(store.monitors) == "<Monitors: another, daily>"


def test_versions_are_looked_at_once_and_kept(store, trips):
    store.monitors.set("daily", ["trips", "later"], drift="previous")
    assert store.monitors.waiting("daily") == ["trips@1", "trips@2", "trips@3"]
    found = store.monitors.run("daily")
    assert [(each.address, each.passed) for each in found] == [("trips@1", True), ("trips@2", True), ("trips@3", False)]
    assert {each["column"] for each in found[2].findings} == {"km"}
    assert found[2].findings[0]["severity"] == "error"
    assert store.monitors.waiting("daily") == store.monitors.run("daily") == store.monitors.run() == []
    assert store.monitors.history("daily") == found
    store.create_dataset("later").append({"km": [1.0]})
    assert [each.address for each in store.monitors.run()] == ["later@1"]


def test_the_owner_finds_what_was_found(store, trips, folder):
    store.monitors.set("daily", ["trips"], drift="previous")
    found = store.monitors.run("daily")
    with foldstore.connect(folder) as owner:
        assert owner.monitors.history("daily") == found
        assert owner.monitors.run() == []


def test_who_asks_tells_and_what_fails_is_told_again(store, trips, tmp_path):
    write = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + '\\n'); sys.exit(int(sys.argv[2]))"
    told = tmp_path / "told"
    store.monitors.set("daily", ["trips"], drift="previous")

    def ends_with(code):
        return Notify(command=(sys.executable, "-c", write, str(told), str(code)))

    found = store.monitors.run("daily", notify=ends_with(3))
    assert [each.told for each in found] == [(), (), ("failed: command exited with 3",)]
    assert store.monitors.history("daily")[-1].told == ("failed: command exited with 3",)
    assert store.monitors.run("daily") == []
    assert store.monitors.run("daily", notify=ends_with(0)) == []
    assert store.monitors.history("daily")[-1].told == ("command",)
    store.monitors.run("daily", notify=ends_with(0))
    assert [line.count('"trips@3"') for line in told.read_text().splitlines()] == [1, 1]


def test_what_is_told_by_others_is_noted(store, trips):
    store.monitors.set("daily", ["trips"], drift="previous")
    last = store.monitors.run("daily")[-1]
    noted = store.monitors.note_told("daily", "trips@3", ["failed: nobody was at home", "command"])
    assert (noted.told, noted.was_not_told, noted.findings) == (
        ("failed: nobody was at home", "command"),
        True,
        last.findings,
    )
    assert store.monitors.history("daily")[-1] == noted
    assert raised(lambda: store.monitors.note_told("daily", "trips@4", ["webhook"]))[0] == "NotFoundError"
    for told in (["mail"], [], ["failed: \x1b[2J"], ["failed: " + "x" * 300], ["webhook"] * 11):
        assert raised(lambda said=told: store.monitors.note_told("daily", "trips@3", said))[0] == "UsageError"


def test_who_follows_sees_each_version_as_it_is_committed(store, trips):
    store.monitors.set("daily", ["trips"], drift="previous")
    found = store.monitors.follow("daily")
    assert [next(found).address for _ in range(3)] == ["trips@1", "trips@2", "trips@3"]
    late = threading.Timer(0.5, lambda: trips.append({"km": [1.0] * 2_000}))
    late.start()
    result = next(found)  # there is nothing until then
    late.join()
    assert (result.address, result.passed) == ("trips@4", False)


def test_bad_questions_are_refused(store, trips):
    monitors = store.monitors
    store.monitors.set("daily", ["trips"])
    assert raised(lambda: monitors.set("m", "trips"))[0] == "UsageError"
    assert raised(lambda: monitors.set("m", []))[0] == "UsageError"
    assert raised(lambda: monitors.set("../m", ["trips"]))[0] == "InvalidNameError"
    assert raised(lambda: monitors.set("m", ["../trips"]))[0] == "InvalidNameError"
    assert raised(lambda: monitors.set("m", ["trips"], drift="rolling"))[0] == "UsageError"
    for act in (monitors.find, monitors.run, monitors.history, monitors.waiting):
        assert raised(lambda ask=act: ask("dayly")) == ("NotFoundError", "not-found")
    assert raised(lambda: next(monitors.follow("dayly")))[0] == "NotFoundError"


def test_the_command_works_on_a_server(behind, monkeypatch, capsys):
    behind.store.create_dataset("trips").append({"km": [1.0]})
    monkeypatch.setenv("FOLDSTORE_TOKEN", behind.token("editor"))
    at = ["--store", behind.server.url]
    assert run(["monitor", "set", "daily", "trips", "empty", *at]) == 0
    behind.store.create_dataset("empty").append({"km": []})
    assert run(["monitor", "run", "daily", *at, "-o", "jsonl"]) == 1
    assert '"empty@1"' in capsys.readouterr().out
    assert run(["monitor", "run", *at]) == 0
    assert run(["monitor", "list", *at, "-o", "json"]) == 0
    assert run(["monitor", "history", "daily", *at, "-o", "json"]) == 0
    assert '"trips@1"' in capsys.readouterr().out
