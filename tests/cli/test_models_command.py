"""The verbs on splits, pools, tokens and services as a person types them: what they refuse, and how."""

import io
import json
import sys

import pyarrow.parquet as pq
import pytest

import foldstore
from foldstore.cli.app import run
from foldstore.errors import UsageError, did_you_mean

CONDITION = "n > 0.5 +/- 0.2"


@pytest.fixture
def made(folder):
    """A store with a version of people and a split of it."""
    with foldstore.connect(folder, author="tester") as store:
        people = store.create_dataset("people", key=["id"])
        people.append({"id": list(range(2_000)), "age": [number % 7 for number in range(2_000)]}, message="first")
        people.version(1).split("half", train=0.5, test=0.5)
    return folder


@pytest.fixture
def sealed(made, command):
    """The same, its test part sealed as the pool 'late'."""
    assert command(*seal(made, "people@1#half.test"), "--yes")[0] == 0
    return made


@pytest.fixture
def command(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def seal(folder, part, condition=CONDITION):
    plan = ["-c", condition, "--steps", 2, "--reliability", 0.9]
    return ["pool", "seal", "late", part, "--label", "age", *plan, "-s", folder]


def pools_of(folder):
    with foldstore.connect(folder) as store:
        return store.pools.list_pools()


@pytest.mark.parametrize("part", ["people@1#half.test", "people@1#half", "nothing@1"])
def test_sealing_without_a_terminal_asks_for_yes_before_anything_else(command, made, part):
    code, out, err = command(*seal(made, part, condition="no condition"))
    assert (code, out) == (2, "")
    assert "give --yes" in err
    assert pools_of(made) == []


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("people@1#half", "which part"),
        ("people@1", "names no part of a split"),
        ("people", "names no part of a split"),
        ("people@1#half.tset", "not a part of a split"),
        ("people@@1", "not a valid ref name"),
    ],
)
def test_sealing_demands_the_part(command, made, part, said):
    code, _, err = command(*seal(made, part), "--yes")
    assert code == 2
    assert said in err
    assert "hint:" in err
    assert pools_of(made) == []


def test_a_named_part_is_sealed(command, sealed):
    assert [pool.name for pool in pools_of(sealed)] == ["late"]


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("", "does not end in .parquet"),
        ("o.csv", "does not end in .parquet"),
        ("nowhere/o.parquet", "There is no folder"),
        ("folder.parquet", "is a folder"),
    ],
)
def test_the_rows_of_a_pool_go_to_a_parquet_file_in_a_folder_that_exists(command, sealed, tmp_path, file, said):
    (tmp_path / "folder.parquet").mkdir()
    code, out, err = command("pool", "features", "late", tmp_path / file, "-s", sealed)
    assert (code, out) == (2, "")
    assert said in err


def test_a_file_that_cannot_be_written_is_an_error_in_words(command, sealed, tmp_path):
    code, _, err = command("pool", "features", "late", tmp_path / ("x" * 300 + ".parquet"), "-s", sealed)
    assert code == 2
    assert "error[usage]" in err


def test_the_rows_of_a_pool_are_written_without_what_is_hidden(command, sealed, tmp_path):
    assert command("pool", "features", "late", tmp_path / "rows.parquet", "-s", sealed)[0] == 0
    assert "age" not in pq.read_schema(tmp_path / "rows.parquet").names


def test_the_status_of_a_pool_is_short_for_people_and_whole_for_programs(command, sealed):
    _, out, _ = command("pool", "status", "late", "-s", sealed, "-o", "csv")
    facts = dict(line.split(",", 1) for line in out.splitlines())
    assert (facts["condition"], facts["reliability"], facts["steps_left"]) == (CONDITION, "0.9", "2")
    assert "plan" not in facts
    assert json.loads(command("pool", "status", "late", "-s", sealed, "-o", "json")[1])["plan"]["reuse"] == "full"


@pytest.mark.parametrize("days", ["99999999", "9" * 30, "0"])
def test_a_token_for_longer_than_a_calendar_has_is_a_usage_error(command, made, days):
    assert command("token", "create", "viewer", "--days", days, "-s", made)[0] == 2


def test_a_label_that_is_not_utf8_is_a_usage_error(command, made):
    code, out, err = command("token", "create", "viewer", "--label", "\ud800", "-s", made)
    assert (code, out) == (2, "")
    assert "not text" in err


@pytest.mark.parametrize("definition", ["{}", "[]", "5", "null", '{"format": 1, "name": "s"}', "{", '"a"'])
def test_applying_what_is_no_definition_is_a_usage_error(command, made, tmp_path, definition):
    (tmp_path / "def.json").write_text(definition)
    code, out, err = command("features", "apply", tmp_path / "def.json", "-s", made)
    assert (code, out) == (2, "")
    assert "KeyError" not in err
    assert "TypeError" not in err


@pytest.mark.parametrize("condition", [None, b"n", 5, ["n > 0.8 +/- 0.05"]])
def test_a_condition_is_text(condition):
    with pytest.raises(UsageError, match="condition is text") as error:
        foldstore.plan_pool(condition, reliability=0.99, steps=2)
    assert error.value.code == "invalid-condition"


@pytest.mark.parametrize("wrong", [None, 5, b"train", ["train"], object()])
def test_anything_may_be_compared_with_what_exists(wrong):
    assert "train" in did_you_mean(wrong, ["train", "test"])


@pytest.mark.parametrize("verb", [["validate", "people"], ["verify"]])
def test_a_report_is_text_or_json_and_nothing_else(command, made, verb):
    for form in ("csv", "jsonl"):
        code, out, _ = command(*verb, "-s", made, "--output", form)
        assert (code, out) == (2, "")
    assert isinstance(json.loads(command("verify", "-s", made, "--output", "json")[1]), dict)
