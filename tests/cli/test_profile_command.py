"""profile as a person types it."""

import csv
import io
import json

import pytest

import foldstore
from foldstore.cli.app import run

ROWS = {
    "id": list(range(200)),
    "origin": ["EWR", "JFK"] * 100,
    "delay": [float(7 * n % 40) for n in range(200)],
    "late": [7 * n % 40 > 20 for n in range(200)],
    "tail": [f"N{100 + n}" for n in range(200)],
}


@pytest.fixture
def command(capsys):
    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def made(folder):
    with foldstore.connect(folder, author="tester") as store:
        version = store.create_dataset("trips", key=["id"]).append(ROWS)
        version.split("half", train=0.5, test=0.5)
        store.view("trips").where("delay > 30").save("slow")
    return folder


def ask(command, made, *arguments):
    code, out, err = command("profile", *arguments, "-s", made, "-o", "json")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_profile_prints_a_line_a_column(command, made):
    code, out, err = command("profile", "trips", "-s", made)
    assert (code, err) == (0, "")
    assert len(out.splitlines()) >= 2 + len(ROWS)
    _, out, _ = command("profile", "trips", "-s", made, "-o", "csv")
    found = {row["column"]: row for row in csv.DictReader(io.StringIO(out))}
    assert (found["delay"]["mean"], found["delay"]["max"]) == ("19.5", "39.0")
    assert found["late"]["mean"] == ""


def test_profile_says_all_of_one_column(command, made):
    _, out, _ = command("profile", "trips", "--column", "tail", "-s", made)
    assert "A9 200" in out
    assert ask(command, made, "trips", "--column", "tail")["byte_lengths"] == [4, 4]
    code, _, err = command("profile", "trips", "--column", "tial", "-s", made)
    assert code == 2
    assert "Did you mean 'tail'" in err


def test_profile_by_segment(command, made):
    found = ask(command, made, "trips", "--by", "origin,late")
    assert found["by"] == ["origin", "late"]
    assert sum(part["rows"] for part in found["segments"]) == 200
    _, out, _ = command("profile", "trips", "--by", "origin", "--column", "delay", "-s", made, "-o", "csv")
    assert {row["segment"]: row["mean"] for row in csv.DictReader(io.StringIO(out))} == {"EWR": "19.0", "JFK": "20.0"}
    _, out, _ = command("profile", "trips", "--by", "id", "--max-segments", 3, "--column", "id", "-s", made)
    assert "other" in out
    code, _, err = command("profile", "trips", "--by", "origin", "--column", "delai", "-s", made)
    assert (code, "Did you mean 'delay'" in err) == (2, True)


def test_profile_against_a_label_and_by_pairs(command, made):
    _, out, _ = command("profile", "trips", "--against", "late", "-s", made, "-o", "csv")
    assert next(csv.DictReader(io.StringIO(out)))["column"] == "delay"
    _, out, _ = command("profile", "trips", "--against", "late", "--column", "origin", "-s", made)
    assert "EWR" in out
    assert ask(command, made, "trips", "--against", "late", "--column", "delay")["cramers_v"] == 1.0
    assert len(ask(command, made, "trips", "--against", "late")["tables"]) == 4
    assert ask(command, made, "trips", "--correlations")["columns"] == ["id", "delay", "late"]
    _, out, _ = command("profile", "trips", "--correlations", "-s", made)
    assert "delay" in out
    code, _, err = command("profile", "trips", "--correlations", "--by", "late", "-s", made)
    assert (code, "one at a time" in err) == (2, True)


@pytest.mark.parametrize(("address", "rows"), [("slow", 45), ("trips@1#half.train", 90)])
def test_profile_of_views_and_parts(command, made, address, rows):
    assert ask(command, made, address)["rows"] == pytest.approx(rows, abs=30)
    assert ask(command, made, address, "--where", "delay > 1000")["rows"] == 0
