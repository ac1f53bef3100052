"""The verbs that compare versions and merge branches, as a person types them."""

import json

import pytest

import foldstore
from foldstore.cli.app import run


@pytest.fixture
def made(folder):
    with foldstore.connect(folder, author="tester") as store:
        people = store.create_dataset("people", key=["id"])
        people.append({"id": [1, 2, 3], "age": [36, 41, 7]})
        people.create_branch("side").upsert({"id": [2, 4], "age": [42, 60]})
        people.add_columns({"adult": "age >= 18"})
        store.create_dataset("other").append({"x": [1]})
    return folder


@pytest.fixture
def command(capsys, made):
    def call(*arguments):
        code = run([*map(str, arguments), "-s", str(made)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_a_diff_is_printed_as_a_table_and_as_json(command):
    code, out, _ = command("diff", "people@1", "people@side")
    assert code == 0
    assert "rows changed" in out
    assert "values changed" in out
    summary = json.loads(command("diff", "people@1", "people@side", "-o", "json")[1])
    assert summary["rows"] == {"added": 1, "removed": 0, "changed": 1, "unchanged": 2}
    assert command("diff", "people@1", "people@3", "-o", "csv")[1].splitlines()[:2] == [
        "what,column,before,after,rows",
        "column added,adult,,bool,",
    ]


def test_rows_of_a_diff_are_printed_up_to_a_limit(command):
    out = command("diff", "people@1", "people@side", "--rows", "changed", "-o", "json")[1]
    assert json.loads(out) == [{"key": {"id": 2}, "columns": ["age"], "before": {"age": 41}, "after": {"age": 42}}]
    assert command("diff", "people@1", "people@side", "--rows", "added", "-o", "csv")[1] == "id,age\n4,60\n"
    code, out, err = command("diff", "people@side", "people@1", "--rows", "removed", "--limit", 0, "-o", "jsonl")
    assert (code, out, err) == (0, '{"id": 4, "age": 60}\n', "")


def test_more_rows_than_the_limit_are_told(command, made):
    with foldstore.connect(made) as store:
        store.dataset("people").append({"id": [7, 8, 9], "age": [1, 2, 3]})
    code, out, err = command("diff", "people@1", "people", "--rows", "added", "--limit", 2, "-o", "csv")
    assert (code, len(out.splitlines())) == (0, 3)
    assert "The first 2 of 3 rows" in err


def test_the_exit_code_says_whether_versions_differ_when_asked(command):
    assert command("diff", "people@1", "people@side", "--exit-code")[0] == 1
    assert command("diff", "people@1", "people@1", "--exit-code")[0] == 0


@pytest.mark.parametrize(
    "arguments", [("people@1", "other@1"), ("people@1", "people@9"), ("people@1", "people@2", "--limit", "-1")]
)
def test_a_diff_of_what_cannot_be_compared_is_refused(command, arguments):
    assert command("diff", *arguments)[0] == 2


def test_a_branch_is_merged_and_a_second_time_there_is_nothing_to_do(command):
    code, out, err = command("merge", "people", "side")
    assert (code, out) == (0, "")
    assert "Committed people@4 (4 rows, " in err
    assert "people@main has all of side already: people@4 stays." in command("merge", "people", "side")[2]
    assert command("merge", "people", "main", "--into", "side", "-m", "back")[0] == 0
    assert "back" in command("log", "people", "-o", "csv")[1]


def test_conflicts_are_named_and_settled_by_a_preferred_side(command, made):
    with foldstore.connect(made) as store:
        store.dataset("people").upsert({"id": [2], "age": [43]})
    code, _, err = command("merge", "people", "side")
    assert code == 3
    assert "error[merge-conflict]: people@2 does not merge into people@4: 1 conflict: " in err
    assert "(id=2: age)" in err
    assert command("merge", "people", "side", "--prefer", "theirs")[0] == 0
    assert '"age": 42' in command("sql", "SELECT id, age FROM people WHERE id = 2", "-o", "json")[1]
