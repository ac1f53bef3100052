"""`foldstore erase`: it looks before it is told --yes, and says what it could not reach."""

import json

import pytest

import foldstore
from foldstore.cli.app import run


@pytest.fixture
def people(folder):
    with foldstore.connect(folder, author="tester") as store:
        dataset = store.create_dataset("people", key=["id", "day"])
        dataset.append({"id": [1, 2, 3], "day": ["a", "b", "b"], "age": [34, 51, 7]})
        store.create_dataset("texts", key=["name"]).append({"name": ["Ada", "Bob", "Cy"]})
    return folder


def _erase(folder, *words):
    return run(["erase", *words, "--store", str(folder)])


def _ages(folder):
    with foldstore.connect(folder) as store:
        return store.dataset("people").latest.to_arrow()["age"].to_pylist()


def test_without_yes_it_only_looks(people, capsys):
    assert _erase(people, "people", "--key", "id=2", "--key", "day=b", "--reason", "asked") == 0
    said = capsys.readouterr()
    assert "Would erase 1 rows of 'people' in 1 versions" in said.out
    assert "add --yes" in said.err
    assert _ages(people) == [34, 51, 7]


def test_with_yes_it_erases_by_a_key_of_several_columns(people, capsys):
    assert _erase(people, "people", "--key", "id=2", "--key", "day=b", "--reason", "asked", "--yes", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 1
    assert _ages(people) == [34, 7]


def test_several_keys_of_one_column_come_as_options_or_in_a_file(people, tmp_path):
    assert _erase(people, "texts", "--key", "name=Ada", "--key", "name=Cy", "--reason", "asked", "--yes") == 0
    with foldstore.connect(people) as store:
        assert store.dataset("texts").latest.to_arrow()["name"].to_pylist() == ["Bob"]
    keys = tmp_path / "keys.csv"
    keys.write_text("id,day\n1,a\n3,b\n9,z\n")
    assert _erase(people, "people", "--key-file", str(keys), "--reason", "asked", "--yes") == 0
    assert _ages(people) == [51]


def test_a_condition_may_name_the_rows(people):
    assert _erase(people, "people", "--where", "age > 30", "--reason", "asked", "--yes") == 0
    assert _ages(people) == [7]


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--key", "id=1", "--where", "age > 1"),
        ("--key", "id"),
        ("--key", "id=x", "--key", "day=a"),
        ("--key", "id=1", "--key", "id=2", "--key", "day=a"),
        ("--key", "nothing=1"),
        ("--key", "id=77", "--key", "day=a"),
    ],
)
def test_what_does_not_name_rows_is_refused(people, words):
    assert _erase(people, "people", *words, "--reason", "asked", "--yes") == 2
    assert _ages(people) == [34, 51, 7]
