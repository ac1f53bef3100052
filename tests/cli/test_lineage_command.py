"""lineage, runs, describe and ls --search as a person types them."""

import csv
import datetime as dt
import io
import json

import pytest

import foldstore
from foldstore.cli.app import run


@pytest.fixture
def command(capsys):
    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


class _Clock:
    """A clock that stands still until it is set."""

    def __init__(self):
        self.now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

    def __call__(self):
        return self.now


@pytest.fixture
def made(folder):
    """A store with a run that succeeded, one that failed, and one that never ended."""
    clock = _Clock()
    with foldstore.connect(folder, author="tester", clock=clock) as store:
        store.create_dataset("raw").append({"id": [1, 2], "delay": [3, 40]})
        clean = store.create_dataset("clean")
        with store.run("clean-up", params={"limit": 20, "token": "hunter2"}, message="weekly"):
            clean.append(store.view("raw"))
            clock.now += dt.timedelta(seconds=90)
        clean.latest.consumers.register("model", "churn@3")
        with pytest.raises(KeyError), store.run("train"):
            raise KeyError("depth")
        clock.now += dt.timedelta(hours=3)
        store.run("train").__enter__()  # its process dies
    return folder


def test_lineage_is_listed_both_ways_or_one(command, made):
    code, out, _ = command("lineage", "clean", "-s", made, "-o", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert [(r["direction"], r["steps"], r["relation"], r["kind"], r["status"]) for r in rows] == [
        ("upstream", "1", "wrote", "run", "succeeded"),
        ("upstream", "2", "read", "version", "published"),
        ("downstream", "1", "uses", "consumer", ""),
    ]
    assert "raw@1" not in command("lineage", "clean", "-s", made, "--downstream")[1]
    assert "churn" not in command("lineage", "clean", "-s", made, "--upstream")[1]
    assert "raw@1" not in command("lineage", "clean", "-s", made, "--upstream", "--depth", "1")[1]


def test_lineage_as_json_is_the_graph(command, made):
    code, out, _ = command("lineage", "raw", "-s", made, "-o", "json", "--downstream")
    found = json.loads(out)
    assert (code, list(found)) == (0, ["downstream"])
    assert [node["label"] for node in found["downstream"]["nodes"]][-2:] == ["clean@1", "model churn@3"]


def test_lineage_of_what_is_not_there_says_what_is(command, made):
    code, out, err = command("lineage", "claen", "-s", made)
    assert (code, out) == (2, "")
    assert "Did you mean 'clean'?" in err
    assert command("lineage", "clean", "-s", made, "--depth", "0")[0] == 2


def test_runs_are_listed_with_their_ages_and_a_killed_one_is_running(command, made):
    code, out, _ = command("runs", "-s", made, "-o", "json")
    found = json.loads(out)
    assert code == 0
    assert [(r["name"], r["status"]) for r in found] == [
        ("train", "running"), ("train", "failed"), ("clean-up", "succeeded"),
    ]  # fmt: skip
    assert (found[0]["took_seconds"], found[2]["took_seconds"]) == (None, 90.0)
    assert found[1]["age_seconds"] - found[0]["age_seconds"] == 3 * 3600
    assert (found[2]["inputs"], found[2]["outputs"], found[2]["message"]) == ("raw@1", "clean@1", "weekly")
    table = command("runs", "train", "-s", made, "--status", "running")[1]
    assert "running" in table
    assert "clean-up" not in table
    assert "90.0 s" in command("runs", "clean-up", "-s", made)[1]
    assert len(json.loads(command("runs", "-s", made, "-o", "json", "--limit", "1")[1])) == 1


def test_one_run_is_shown_whole(command, made):
    run_id = json.loads(command("runs", "clean-up", "-s", made, "-o", "json")[1])[0]["run"]
    code, out, _ = command("runs", "--id", run_id[:8], "-s", made, "-o", "json")
    shown = json.loads(out)
    assert (code, shown["id"]) == (0, run_id)
    assert shown["params"] == {"limit": 20, "token": "(masked)"}
    assert shown["inputs"][0]["asked"] == "raw"
    table = command("runs", "--id", run_id, "-s", made)[1]
    assert "raw@1" in table
    assert "hunter2" not in table


def test_wrong_arguments_of_runs_are_usage_errors(command, made):
    assert command("runs", "--id", "nothing", "-s", made)[0] == 2
    assert command("runs", "--status", "done", "-s", made)[0] == 2
    assert command("runs", "--limit", "0", "-s", made)[0] == 2
    assert command("runs", "No!", "-s", made)[0] == 2


def test_a_dataset_is_described_and_found_by_what_was_said(command, made):
    code, out, err = command(
        "describe",
        "raw",
        "-s",
        made,
        "-d",
        "From the [bold]sensor",
        "--owner",
        "me",
        "--tag",
        "a",
        "--tag",
        "b",
        "-o",
        "json",
    )
    said = json.loads(out)
    assert code == 0
    assert (said["description"], said["owner"], said["tags"]) == ("From the [bold]sensor", "me", ["a", "b"])
    assert "version 1 of its description" in err
    assert "[bold]" in command("describe", "raw", "-s", made)[1]

    def names(*options):
        return [row["name"] for row in json.loads(command("ls", "-s", made, "-o", "json", *options)[1])]

    assert names() == ["clean", "raw"]
    assert names("--search", "SENSOR") == names("--tag", "a") == ["raw"]
    assert names("--search", "delay") == ["clean", "raw"]
    assert names("--search", "%") == names("--search", "delay", "--tag", "c") == []
    assert json.loads(command("describe", "raw", "-s", made, "--no-tags", "-o", "json")[1])["tags"] == []
    assert names("--tag", "a") == []


def test_tags_are_not_given_and_taken_away_at_once(command, made):
    code, _, err = command("describe", "raw", "-s", made, "--tag", "a", "--no-tags")
    assert code == 2
    assert "exclude each other" in err


def test_views_are_searched_by_name_and_have_no_tags(command, made):
    with foldstore.connect(made) as store:
        store.view("raw").save("short")
    assert "short" in command("ls", "-s", made, "--search", "SHO")[1]
    assert "short" not in command("ls", "-s", made, "--search", "raw")[1]
    assert "short" not in command("ls", "-s", made, "--tag", "a")[1]
