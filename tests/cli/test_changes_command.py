"""The verbs that change rows, columns and refs, as a person types them."""

import json

import pytest

import foldstore
from foldstore.cli.app import run


@pytest.fixture
def made(folder):
    with foldstore.connect(folder, author="tester") as store:
        people = store.create_dataset("people", key=["id"])
        people.append({"id": [1, 2, 3], "name": ["Ada", None, "Eve"], "age": [36, 41, 7]})
    return folder


@pytest.fixture
def command(capsys, made):
    def call(*arguments):
        code = run([*map(str, arguments), "-s", str(made)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def _rows(command, address):
    code, out, _ = command("sql", f'SELECT * FROM "{address}" ORDER BY id', "-o", "json")
    assert code == 0
    return json.loads(out)


def test_rows_are_deleted_by_condition_and_by_key(command, tmp_path):
    code, out, err = command("delete", "people", "--where", "age < 18", "-m", "minors")
    assert (code, out) == (0, "")
    assert "Committed people@2 (delete: 2 rows, 0 B written): published" in err
    assert command("delete", "people", "--key", "id=1")[0] == 0
    (tmp_path / "keys.csv").write_text("id\n2\n")
    assert command("delete", "people", "--key-file", tmp_path / "keys.csv")[0] == 0
    assert _rows(command, "people@4") == []
    assert len(_rows(command, "people@1")) == 3


@pytest.mark.parametrize(
    "arguments", [(), ("--where", "age > 1", "--key", "id=1"), ("--key", "id"), ("--where", "agee > 1")]
)
def test_a_delete_that_says_too_little_is_refused(command, arguments):
    assert command("delete", "people", *arguments)[0] == 2


def test_columns_are_added_dropped_renamed_and_widened(command, tmp_path):
    assert command("columns", "add", "people", "adult=age >= 18")[0] == 0
    (tmp_path / "city.csv").write_text("id,city\n1,Oslo\n")
    assert command("columns", "add", "people", tmp_path / "city.csv")[0] == 0
    assert command("columns", "rename", "people", "city=town")[0] == 0
    assert command("columns", "drop", "people", "name")[0] == 0
    assert _rows(command, "people")[0] == {"id": 1, "age": 36, "adult": True, "town": "Oslo"}
    code, _, err = command("columns", "widen", "people", "age=double")
    assert code == 2
    assert "does not hold all its values" in err


def test_an_old_version_is_restored_and_files_are_compacted(command):
    command("delete", "people", "--where", "id > 0")
    assert "Committed people@3 (restore: 3 rows" in command("restore", "people", "1")[2]
    assert "Committed people@4 (compact: 3 rows" in command("compact", "people")[2]


def test_refs_are_made_moved_listed_and_removed(command):
    assert "people@work is a branch at people@1" in command("branch", "people", "work")[2]
    assert command("delete", "people", "--where", "id = 1", "-b", "work")[0] == 0
    assert "people@champion is people@2" in command("alias", "people", "champion", "work")[2]
    assert "people@champion is people@1" in command("alias", "people", "champion", "1")[2]
    assert "for good" in command("tag", "people", "paper", "1")[2]
    assert [row["name"] for row in json.loads(command("refs", "people", "-o", "json")[1])] == [
        "champion",
        "main",
        "paper",
        "work",
    ]
    moves = json.loads(command("refs", "people", "--history", "champion", "-o", "json")[1])
    assert [move["version"] for move in moves] == [2, 1]
    assert "is gone" in command("refs", "people", "--remove", "work")[2]
    assert command("refs", "people", "--remove", "work")[0] == 2
    assert len(_rows(command, "people")) == 3
