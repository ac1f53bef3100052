"""bias as a person types it."""

import csv
import io
import json

import pyarrow as pa
import pytest

import foldstore
from foldstore.cli.app import run

ROWS = {
    "id": list(range(200)),
    "group": ["a"] * 80 + ["b"] * 120,
    "age": [20 + n % 40 for n in range(200)],
    "late": [n % 4 == 0 for n in range(80)] + [n % 2 == 0 for n in range(120)],
    "site": ["x", "y"] * 100,
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
        version = store.create_dataset("trips", key=["id"]).append(pa.table(ROWS))
        version.split("half", train=0.5, test=0.5)
        store.view("trips").where("age > 30").save("old")
    return folder


def test_bias_prints_a_table_with_words(command, made):
    code, out, err = command("bias", "trips", "--label", "late", "--sensitive", "group", "-s", made)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "trips@1: late (true is positive) by group"
    assert "The label is positive in 25 % of the rows of 'a', in 50 % of the others: 25.0 points less." in out


def test_bias_prints_rows_for_machines(command, made):
    _, out, _ = command("bias", "trips", "--label", "late", "--sensitive", "group", "-s", made, "-o", "csv")
    found = list(csv.DictReader(io.StringIO(out)))
    assert [(row["facet"], row["rows"], float(row["dpl"])) for row in found] == [("a", "80", 0.25), ("b", "120", -0.25)]
    _, out, _ = command("bias", "trips", "--label", "late", "--sensitive", "group", "-s", made, "-o", "jsonl")
    assert [json.loads(line)["facet"] for line in out.splitlines()] == ["a", "b"]


def test_bias_as_json_is_the_report(command, made):
    code, out, _ = command(
        "bias", "trips", "--label", "late", "--sensitive", "group", "--conditional-on", "site", "-s", made, "-o", "json"
    )
    found = json.loads(out)
    assert code == 0
    assert found["facets"]["a"]["metrics"]["ci"] == pytest.approx(0.2)
    assert [stratum["name"] for stratum in found["facets"]["a"]["strata"]] == ["x", "y"]
    assert found["above"] == []


def test_a_metric_beyond_its_limit_exits_with_1_and_names_the_facet(command, made):
    typed = ("bias", "trips", "--label", "late", "--sensitive", "group", "-s", made, "--output", "json", "--fail-above")
    code, out, err = command(*typed, "dpl=0.2, ci=0.8")
    assert code == 1
    assert err == "a: dpl 0.250 is beyond 0.2\nb: dpl -0.250 is beyond 0.2\n"
    assert [each["facet"] for each in json.loads(out)["above"]] == ["a", "b"]
    assert command(*typed, "DPL=0.3")[0] == 0


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ("dpl", "is not METRIC=LIMIT"),
        ("dpl=x", "is not METRIC=LIMIT"),
        ("dlp=1", "no measure 'dlp'"),
        ("cddl=1", "not measured"),
    ],
)
def test_a_limit_that_cannot_be_read_exits_with_2(command, made, limits, words):
    code, out, err = command(
        "bias", "trips", "--label", "late", "--sensitive", "group", "-s", made, "--fail-above", limits
    )
    assert (code, out) == (2, "")
    assert words in err


def test_values_comparisons_and_ranges_are_typed_as_text(command, made):
    code, out, _ = command(
        "bias", "trips", "--label", "age", "--positive", "> 40", "--label-bins", "30,40,50", "--sensitive", "group",
        "--disadvantaged", "a", "-s", made, "-o", "json",
    )  # fmt: skip
    found = json.loads(out)
    assert code == 0
    assert list(found["facets"]) == ["a"]
    assert found["label_values"] == ["<= 30", "(30, 40]", "(40, 50]", "> 50"]
    assert found["facets"]["a"]["positive"] == sum(age > 40 for age in ROWS["age"][:80])
    code, out, _ = command(
        "bias", "trips", "--label", "late", "--positive", "false", "--sensitive", "age", "--sensitive-bins", "4",
        "--conditional-on", "id", "--condition-bins", "100,", "-s", made, "-o", "json",
    )  # fmt: skip
    found = json.loads(out)
    assert code == 0
    assert found["options"]["sensitive_bins"] == [29, 39, 49]
    assert found["options"]["condition_bins"] == [100]
    assert found["positive"] == "false"


@pytest.mark.parametrize("address", ["trips@1#half.train", "old", "old@1"])
def test_parts_and_saved_views_are_measured(command, made, address):
    code, out, _ = command("bias", address, "--label", "late", "--sensitive", "group", "-s", made, "-o", "json")
    assert code == 0
    assert 0 < json.loads(out)["rows"] < 200


def test_a_condition_chooses_the_rows(command, made):
    typed = (
        "bias",
        "trips",
        "--label",
        "late",
        "--sensitive",
        "group",
        "-s",
        made,
        "--where",
        "age > 30",
        "-o",
        "json",
    )
    code, out, _ = command(*typed)
    assert code == 0
    assert json.loads(out)["rows"] == sum(age > 30 for age in ROWS["age"])
    assert "where age > 30" in json.loads(out)["subject"]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (("--label", "lte", "--sensitive", "group"), "Did you mean 'late'?"),
        (("--label", "late", "--sensitive", "group", "--positive", "maybe"), "'maybe' does not occur in 'late'"),
        (("--label", "late", "--sensitive", "id"), "more than 100 values"),
        (("--label", "late", "--sensitive", "age", "--sensitive-bins", "a,b"), "neither edges nor a number of ranges"),
        (("--label", "late", "--sensitive", "group", "--p", "0.5"), "p=0.5 does not fit"),
    ],
    ids=str,
)
def test_what_cannot_be_measured_exits_with_2_and_a_hint(command, made, typed, words):
    code, out, err = command("bias", "trips", *typed, "-s", made)
    assert (code, out) == (2, "")
    assert words in err
    assert "hint:" in err


def test_names_from_data_do_not_steer_the_terminal(command, folder):
    with foldstore.connect(folder) as store:
        store.create_dataset("trips").append({"g": ["\x1b[31m", "b"] * 20, "y": [0, 1, 1, 1] * 10})
    code, out, _ = command("bias", "trips", "--label", "y", "--sensitive", "g", "-s", folder)
    assert code == 0
    assert "\x1b" not in out
