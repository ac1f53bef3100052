"""The command reads files as it is told, and shows how it would."""

import json

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
    (tmp_path / "a.csv").write_text("zip;n\n012;1\n034;x\n056\n")
    return folder


def test_a_dry_run_shows_columns_types_tokens_encoding_and_delimiter(command, made, tmp_path):
    (tmp_path / "fine.csv").write_text("zip;n\n012;1\n")
    code, out, err = command("ingest", "zips", tmp_path / "fine.csv", "-s", made, "--create", "--dry-run")
    assert code == 0, err
    for word in ("zip", "string", "int64", "delimiter", ";", "utf-8", "null_tokens", "NA"):
        assert word in out
    assert "nothing was committed" in err
    assert command("ls", "-s", made, "-o", "json")[1] == "[]\n"
    _, out, _ = command(
        "ingest", "zips", tmp_path / "fine.csv", "-s", made, "--dry-run", "-o", "json", "--type", "n=int8"
    )
    assert json.loads(out)["columns"] == {"zip": "string", "n": "int8"}


def test_a_dry_run_reads_as_the_dataset_does(command, made, tmp_path):
    (tmp_path / "1.csv").write_text("x\n0.5\n")
    (tmp_path / "2.csv").write_text("x\n1\n")
    command("ingest", "xs", tmp_path / "1.csv", "-s", made, "--create")
    _, out, _ = command("ingest", "xs", tmp_path / "2.csv", "-s", made, "--dry-run", "-o", "csv")
    assert out == "column,type\nx,double\n"


def test_broken_rows_are_never_set_aside_in_silence(command, made, tmp_path):
    code, _, err = command("ingest", "zips", tmp_path / "a.csv", "-s", made, "--create", "--type", "n=int64")
    assert code == 3
    assert "error[broken-row]: 'a.csv', line 3, column 'n'" in err
    code, _, err = command(
        "ingest", "zips", tmp_path / "a.csv", "-s", made, "--create", "--type", "n=int64",
        "--quarantine-to", tmp_path / "broken.jsonl",
    )  # fmt: skip
    assert code == 0
    assert f"2 broken rows were set aside; all of them are in {tmp_path / 'broken.jsonl'}" in err
    assert "a.csv, line 4: Expected 2 columns, got 1: 056" in err
    assert len((tmp_path / "broken.jsonl").read_text().splitlines()) == 2


def test_a_pattern_is_one_version_and_named_files_are_one_each(command, made, tmp_path):
    for name in ("m1", "m2"):
        (tmp_path / f"{name}.jsonl").write_text('{"a": 1}\n')
    assert command("ingest", "one", tmp_path / "m*.jsonl", "-s", made, "--create")[0] == 0
    assert command("ingest", "two", tmp_path / "m1.jsonl", tmp_path / "m2.jsonl", "-s", made, "--create")[0] == 0
    shown = {each["name"]: each["versions"] for each in json.loads(command("ls", "-s", made, "-o", "json")[1])}
    assert shown == {"one": 1, "two": 2}


def test_wrong_options_are_said_before_anything_is_made(command, made, tmp_path):
    for words in (["--type", "n"], ["--delimiter", ";;"], ["--encoding", "utf-9"], ["--on-broken-row", "drop"]):
        code, _, err = command("ingest", "new", tmp_path / "a.csv", "-s", made, "--create", *words)
        assert code == 2, err
    code, _, err = command("ingest", "new", tmp_path / "a.csv", tmp_path / "a.csv", "-s", made, "--quarantine-to", "q")
    assert "--quarantine-to goes with one file" in err
    assert command("ls", "-s", made, "-o", "json")[1] == "[]\n"
