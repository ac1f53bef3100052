"""verify, doctor, backup and restore as commands: what they print, and how they exit."""

import json
from pathlib import Path

import pytest

import foldstore
from foldstore.cli.app import run


@pytest.fixture
def made(folder):
    with foldstore.connect(folder) as store:
        store.create_dataset("n", key=["n"]).append({"n": [1, 2, 3]})
    return str(folder)


@pytest.fixture
def command(capsys):
    def call(*words):
        code = run([str(word) for word in words])
        return code, *capsys.readouterr()

    return call


def _damage(folder):
    path = next(Path(folder).rglob("*.arrow"))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-8] + bytes(8))
    return path


def test_verify_names_what_is_damaged_and_what_still_reads(command, made):
    path = _damage(made)
    code, out, err = command("verify", "-s", made)
    assert code == 1
    assert f"object {path.stem} (zero-filled)" in out
    assert "not whole: n@1" in out
    assert "1 damaged" in err
    found = json.loads(command("verify", "-s", made, "--output", "json")[1])
    assert found["damaged_versions"] == ["n@1"]
    assert command("verify", "-s", made, "--sizes")[0] == 0
    assert command("verify", "-s", made, "--sample", "7")[0] == 2


def test_a_backup_repairs_and_restores(command, made, tmp_path):
    code, out, err = command("backup", tmp_path / "backup", "-s", made)
    assert (code, out) == (0, "")
    assert "Generation 1: 1 versions, 1 objects; copied 2 files" in err
    _damage(made)
    code, out, err = command("verify", "-s", made, "--repair-from", tmp_path / "backup")
    assert code == 0
    assert "Repaired: copied from backup" in out
    second = json.loads(command("backup", tmp_path / "backup", "-s", made, "-o", "json")[1])
    assert (second["generation"], second["copied"]) == (2, 0)
    code, out, err = command("restore-backup", tmp_path / "backup", tmp_path / "again")
    assert code == 0
    assert "Restored generation 2" in err
    assert command("restore-backup", tmp_path / "backup", tmp_path / "again")[0] == 3
    assert command("restore-backup", tmp_path / "backup", tmp_path / "more", "--generation", "9")[0] == 2
    assert json.loads(
        command("restore-backup", tmp_path / "backup", tmp_path / "old", "--generation", 1, "-o", "json")[1]
    )["passed"]


def test_the_doctor_prints_a_line_each_and_rebuilds(command, made, tmp_path):
    code, out, _ = command("doctor", "-s", made)
    assert code == 0
    assert "fsync" in out
    code, _, err = command("doctor", "-s", made, "--rebuild")
    assert code == 3
    assert "has a catalog" in err
    for path in Path(made).glob("catalog.db*"):
        path.unlink()
    code, out, _ = command("doctor", "-s", made, "--output", "json")
    assert code == 3
    assert json.loads(out)["readable"] is False
    code, _, err = command("doctor", "-s", made, "--rebuild")
    assert code == 0
    assert "Made 1 versions of 1 datasets again" in err
    assert "schemas" in err  # what is gone is said
    assert command("verify", "-s", made)[0] == 0


def test_reading_verbs_work_on_a_store_that_may_only_be_read(command, made, monkeypatch):
    monkeypatch.setenv("FOLDSTORE_READ_ONLY", "1")
    assert command("ls", "-s", made)[0] == 0
    code, _, err = command("schema", "infer", "n", "-s", made)
    assert command("init", made)[0] == 0  # it is there
    assert code in (0, 4), err
