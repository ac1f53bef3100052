"""A backup into a folder: the same one of a store in a folder and of one behind a server."""

import sqlite3

import pytest

import foldstore
from foldstore.cli.app import run
from foldstore.datastore.restore import restore_backup
from tests.conformance.conftest import raised


def read_all(store):
    return {each.address: each.to_arrow().to_pylist() for data in store.datasets() for each in data.versions()}


@pytest.fixture
def filled(people):
    people.append({"id": list(range(100)), "x": [n / 3 for n in range(100)]})
    people.append({"id": [100, 101], "x": [1.0, None]})
    return people


def files_of(folder):
    """Paths and contents of what is kept; catalogs differ in their pages, and their texts are compared."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in ("lock", "backup.json"):
            name = path.relative_to(folder).as_posix()
            found[name] = path.read_bytes() if not name.startswith("catalog-") else dump(path)
    return found


def dump(path):
    with sqlite3.connect(path) as database:
        return [line for line in database.iterdump() if 'INTO "lease"' not in line]


def test_what_is_restored_is_the_store(store, filled, tmp_path):
    made = store.backup(tmp_path / "backup")
    assert (made.generation, made.objects, made.versions, made.passed) == (1, 2, 2, True)
    assert made.copied == 4  # two objects, two commit objects
    assert made.folder == str(tmp_path / "backup")
    restored = restore_backup(tmp_path / "backup", tmp_path / "again")
    assert restored.passed
    with foldstore.connect(tmp_path / "again") as again:
        assert read_all(again) == read_all(store)
        found = again.verify()
        assert (found.faults, found.unreferenced) == ((), ())
        assert again.dataset("people").append({"id": [200], "x": [2.0]}).number == 3


def test_the_folder_is_the_one_that_the_owner_s_would_be(store, filled, folder, tmp_path):
    with foldstore.connect(folder, author="owner") as owner:
        owner.version("people@1").view().save("large")
        owner.backup(tmp_path / "owner")
        store.backup(tmp_path / "other")
    assert files_of(tmp_path / "other") == files_of(tmp_path / "owner")
    for path in (tmp_path / "other").rglob("*"):
        twin = tmp_path / "owner" / path.relative_to(tmp_path / "other")
        assert path.stat().st_mode == twin.stat().st_mode, path


def test_a_second_one_copies_what_is_new_and_touches_nothing_whole(store, filled, tmp_path):
    store.backup(tmp_path / "backup")
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in (tmp_path / "backup").rglob("b3-*")}
    filled.append({"id": [300], "x": [3.0]})
    made = store.backup(tmp_path / "backup")
    assert (made.generation, made.objects, made.versions, made.copied) == (2, 3, 3, 2)
    assert all((path.stat().st_ino, path.stat().st_mtime_ns) == state for path, state in before.items())
    quick = store.backup(tmp_path / "backup", check=False, keep=2)
    assert (quick.generation, quick.copied, quick.passed) == (3, 0, True)
    assert sorted(path.name for path in (tmp_path / "backup").glob("catalog-*")) == ["catalog-2.db", "catalog-3.db"]
    restored = restore_backup(tmp_path / "backup", tmp_path / "again", generation=2)
    assert restored.passed
    assert raised(lambda: restore_backup(tmp_path / "backup", tmp_path / "first", generation=1))[0] == "NotFoundError"


def test_what_is_damaged_in_the_backup_is_sent_again(store, filled, tmp_path):
    store.backup(tmp_path / "backup")
    (victim, *_) = (tmp_path / "backup" / "objects").rglob("*.arrow")
    whole = victim.read_bytes()
    for damaged in (whole[:-1] + b"?", whole[:-9], b""):
        victim.chmod(0o644)
        victim.write_bytes(damaged)
        made = store.backup(tmp_path / "backup")
        assert (made.copied, made.passed) == (1, True)
        assert victim.read_bytes() == whole


def test_what_is_damaged_in_the_store_is_said_and_a_whole_copy_stays(store, filled, folder, tmp_path):
    (victim, *_) = sorted((folder / "objects").rglob("*.arrow"))
    victim.chmod(0o644)
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-1] + b"?")
    made = store.backup(tmp_path / "first")
    assert (made.passed, made.damaged) == (False, (victim.stem,))
    assert not list((tmp_path / "first").rglob(victim.name))
    victim.unlink()
    made = store.backup(tmp_path / "second")
    assert (made.passed, made.damaged) == (False, (victim.stem,))
    victim.write_bytes(whole)
    assert store.backup(tmp_path / "second").passed
    victim.unlink()
    made = store.backup(tmp_path / "second")
    assert (made.generation, made.passed) == (3, True)


def test_cold_objects_are_backed_up_in_their_form(store, filled, folder, tmp_path):
    with foldstore.connect(folder) as owner:
        owner.version("people@1").freeze(force=True)
    made = store.backup(tmp_path / "backup")
    assert made.passed
    (cold,) = (tmp_path / "backup" / "objects").rglob("*.parquet")
    assert store.backup(tmp_path / "backup").copied == 0
    cold.chmod(0o644)
    cold.write_bytes(cold.read_bytes()[:-1] + b"?")
    assert store.backup(tmp_path / "backup").copied == 1
    restored = restore_backup(tmp_path / "backup", tmp_path / "again")
    assert restored.passed
    with foldstore.connect(tmp_path / "again") as again:
        assert read_all(again) == read_all(store)


def test_folders_of_other_things_are_refused(store, filled, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert raised(lambda: store.backup(tmp_path / "mine"))[0] == "StoreError"
    with foldstore.connect(tmp_path / "another") as another:
        another.backup(tmp_path / "theirs")
    before = files_of(tmp_path / "theirs")
    assert raised(lambda: store.backup(tmp_path / "theirs"))[0] == "StoreError"
    assert files_of(tmp_path / "theirs") == before
    assert raised(lambda: store.backup(tmp_path / "new", keep=0))[0] == "UsageError"
    assert not (tmp_path / "new").exists()


def test_progress_is_told(store, filled, tmp_path):
    told = []
    store.backup(tmp_path / "backup", lambda done, total: told.append((done, total)))
    assert told
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_the_command_backs_a_server_up(behind, monkeypatch, capsys, tmp_path):
    behind.store.create_dataset("people", key=["id"]).append({"id": [1]})
    monkeypatch.setenv("FOLDSTORE_TOKEN", behind.token("admin"))
    assert run(["backup", str(tmp_path / "backup"), "--store", behind.server.url]) == 0
    assert "Generation 1: 1 versions, 1 objects; copied 2 files" in capsys.readouterr().err
    assert run(["backup", str(tmp_path / "backup"), "--store", behind.server.url, "--quick", "-o", "json"]) == 0
    assert run(["restore-backup", str(tmp_path / "backup"), str(tmp_path / "again")]) == 0
    monkeypatch.setenv("FOLDSTORE_TOKEN", behind.token("editor"))
    assert run(["backup", str(tmp_path / "other"), "--store", behind.server.url]) == 4
