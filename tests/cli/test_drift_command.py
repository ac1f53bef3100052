"""drift and trends as a person types them."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
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


@pytest.fixture
def made(folder):
    generator = np.random.default_rng(1)
    with foldstore.connect(folder, author="tester") as store:
        trips = store.create_dataset("trips", event_time="ts")
        for number in range(12):
            hours = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number * 200 + each) for each in range(200)]
            km = generator.normal(5 if number > 9 else 0, size=200)
            trips.append({"ts": hours, "km": km, "late": km + generator.normal(size=200) > 2, "one": [1] * 200})
    return folder


def test_drift_exits_1_and_names_what_moved(command, made):
    code, out, err = command("drift", "trips@11", "rolling(3)", "-s", made)
    assert code == 1
    assert "km" in out
    assert "error" in out
    assert "not compared: one (all rows of both sides are the same)" in err
    assert command("drift", "trips@11", "rolling(3)", "-s", made, "--exit-zero")[0] == 0
    assert command("drift", "trips@5", "trips@4", "--added", "-s", made)[0] == 0


def test_drift_by_segment_says_which_and_how_the_shares_moved(command, folder, tmp_path):
    with foldstore.connect(folder) as store:
        trips = store.create_dataset("trips")
        km = [each % 89 for each in range(4_000)]
        trips.append({"zone": ["in", "out"] * 2_000, "km": km, "late": [True, False, False] * 1_333 + [True]})
        trips.append({"zone": ["in", "out"] * 2_000, "km": [k + 60 * (n % 2) for n, k in enumerate(km)],
                      "late": [True, False, False] * 1_333 + [True]})  # fmt: skip
    asked = ("drift", "trips", "-s", folder, "--by", "zone")
    code, out, err = command(*asked, "--to", tmp_path / "zones.html")
    assert code == 1
    assert out.startswith("2 segments by zone, drifted: out\n")
    assert "The shares of the segments" in out
    assert "written to" in err
    assert "km where out" in (tmp_path / "zones.html").read_text()
    code, out, _ = command(*asked, "--output", "jsonl", "--exit-zero")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert (lines[0]["segment"], lines[0]["column"], lines[0]["verdict"]) == ("out", "km", "error")
    assert {line["segment"] for line in lines} == {"in", "out", "mix", "all rows"}
    plain = json.loads(command(*asked, "--output", "json")[1])
    assert plain["by"] == ["zone"]
    pairs = command("drift", "trips", "-s", folder, "--by", "zone", "--by", "late", "--max-segments", "3")[1]
    assert "too many segments: 1 are compared together as other, 3 stand alone" in pairs
    for wrong in (("--label", "late"), ("--together",), ("--max-segments", "0")):
        assert command(*asked, *wrong)[0] == 2
    assert command("drift", "trips", "-s", folder, "--max-segments", "3")[0] == 2


def test_drift_exits_3_where_nothing_could_be_compared(command, folder):
    """Rows that were never compared are no rows without drift."""
    with foldstore.connect(folder) as store:
        air = store.create_dataset("air")
        air.append(pa.table({"x": pa.array([], pa.float64()), "late": pa.array([], pa.bool_())}))
        air.append({"x": [each / 7 for each in range(400)], "late": [True, False] * 200})
    code, _, err = command("drift", "air@2", "air@1", "-s", folder)
    assert code == 3
    assert "x (the reference has no value)" in err
    assert "Nothing was compared" in err
    assert command("drift", "air@2", "air@1", "-s", folder, "--label", "late")[0] == 2
    assert command("drift", "air@2", "air@1", "-s", folder, "--exit-zero")[0] == 0


def test_nulls_of_text_fail_though_no_values_could_be_compared(command, folder):
    with foldstore.connect(folder) as store:
        notes = store.create_dataset("notes")
        notes.append({"text": [f"Note {n}" for n in range(2_000)]})
        notes.append({"text": [None if n % 5 else f"Note {n} again" for n in range(2_000)]})
        notes.append({"text": [None if n % 5 else f"Note {n} once more" for n in range(2_000)]})
    code, out, err = command("drift", "notes@2", "-s", folder)
    assert code == 1
    assert "text untested · · · 0 % -> 80 % (error)" in " ".join(out.split())
    assert "not compared: text (its values are too many" in err
    code, _, err = command("drift", "notes@3", "-s", folder)
    assert (code, "nulls 80 % -> 80 %)" in err) == (0, True)


def test_drift_is_drawn_on_a_page_beside_what_is_printed(command, made, tmp_path):
    page = tmp_path / "drift.html"
    code, out, err = command("drift", "trips@11", "rolling(3)", "-s", made, "--to", page)
    assert code == 1
    assert "km" in out
    assert "written to" in err
    assert "Distribution of km" in page.read_text()
    for more in (["--together", "--to", page], ["--label", "late", "--to", page], ["--to", tmp_path / "drift.pdf"]):
        assert command("drift", "trips@11", "rolling(3)", "-s", made, *more)[0] == 2


def test_drift_as_json_is_the_result(command, made):
    _, out, _ = command("drift", "trips@11", "trips@10", "--metric", "psi", "-o", "json", "-s", made)
    found = json.loads(out)
    assert found["columns"]["km"]["metric"] == "psi"
    assert found["untested"]["one"].startswith("all rows of both sides")


def test_questions_of_labels_and_of_all_columns(command, made):
    code, out, _ = command("drift", "trips@12", "rolling(2)", "--label", "late", "-s", made, "-o", "json")
    assert json.loads(out)["label"] == "late"
    assert code in (0, 1)
    code, out, _ = command("drift", "trips@12", "seasonal(9)", "--together", "-s", made)
    assert code == 1
    assert out.startswith("error: AUC")
    code, _, err = command("drift", "trips@12", "--label", "late", "--together", "-s", made)
    assert code == 2
    assert "different questions" in err


def test_bad_questions_are_answered_in_words(command, made):
    code, _, err = command("drift", "trips@12", "rolling(99)", "-s", made)
    assert code == 2
    assert "not 99" in err
    code, _, err = command("drift", "trips@12", "--metric", "jsd", "-s", made)
    assert code == 2
    assert "Did you mean 'js'?" in err
    assert command("drift", "trips@12", "nothing@1", "-s", made)[0] != 0


def test_trends_over_versions_and_over_time(command, made):
    code, out, _ = command("trends", "trips", "-c", "km", "-s", made)
    assert code == 0
    assert "trips@11" in out
    _, out, _ = command("trends", "trips", "--every", "1d", "-c", "km", "-s", made, "-o", "json")
    (change,) = next(each["changes"] for each in json.loads(out)["trends"] if each["statistic"] == "mean")
    assert abs(change["row"] - 2_000) <= 2
    code, _, err = command("trends", "trips@3", "--every", "1d", "-c", "late", "-s", made)
    assert code == 0
    assert "No change of level in 2 series of trips@3 by ts." in err


def test_options_that_do_not_fit_are_refused(command, made):
    for arguments in (["--time", "ts"], ["--every", "1d", "--last", "3"], ["--every", "soon"], ["--season", "0"]):
        assert command("trends", "trips", *arguments, "-s", made)[0] == 2
