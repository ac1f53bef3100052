"""The command writes files: whole, named by their ending, never over another unless it is told to."""

import json

import pyarrow.parquet as pq
import pytest

from foldstore.cli.app import run


@pytest.fixture
def command(capsys):
    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def made(command, folder, tmp_path):
    command("init", folder)
    (tmp_path / "a.csv").write_text("id,name\n1,a\n2,b\n3,\n")
    command("ingest", "people", tmp_path / "a.csv", "-s", folder, "--create")
    return folder


def test_rows_and_columns_are_chosen(command, made, tmp_path):
    code, out, err = command(
        "export", "people@1", tmp_path / "x.parquet", "-s", made, "--columns", "name,id", "--where", "id > 1"
    )
    assert code == 0, err
    assert out == ""
    assert "Exported people@1 to" in err
    assert pq.read_table(tmp_path / "x.parquet").to_pydict() == {"name": ["b", None], "id": [2, 3]}


def test_a_file_that_is_there_is_not_lost(command, made, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text("mine")
    code, _, err = command("export", "people", path, "-s", made)
    assert (code, path.read_text()) == (2, "mine")
    assert "error[already-exists]" in err
    assert command("export", "people", path, "-s", made, "--overwrite")[0] == 0
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == [1, 2, 3]


def test_a_format_and_parts_are_chosen(command, made, tmp_path):
    code, _, err = command(
        "export", "people", tmp_path / "x.txt", "-s", made, "--format", "csv", "--rows-per-file", "2"
    )
    assert code == 0
    assert "2 files" in err
    assert (tmp_path / "x-00002.txt").read_text() == '"id","name"\n3,\n'


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["people", "x.xlsx"], 2),
        (["nobody", "x.csv"], 2),
        (["people", "no/where.csv"], 3),
        (["people", "x.csv", "--columns", "nam"], 2),
    ],
)
def test_what_cannot_be_done_is_said(command, made, tmp_path, monkeypatch, words, code):
    monkeypatch.chdir(tmp_path)
    found, _, err = command("export", *words, "-s", made)
    assert found == code, err
    assert "error[" in err
    assert not list(tmp_path.glob("x*"))
