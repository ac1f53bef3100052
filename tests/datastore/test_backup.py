"""A backup of a live store is one moment of it, and restores to what every version was."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import foldstore
from foldstore.datastore.catalog.snapshot import load_snapshot
from foldstore.datastore.restore import restore_backup
from foldstore.datastore.sealing import SealOptions, open_sealed, seal_cells
from foldstore.errors import ConflictError, NotFoundError, StoreError, StoreFormatError, UsageError

POSTGRES = os.environ.get("FOLDSTORE_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres")
VICTIM = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from foldstore.datastore.backup import back_up
from foldstore.datastore.storage import open_storage

def stop(step):
    if step == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)

storage = replace(open_storage(Path(sys.argv[1])), on_step=stop)
back_up(storage, Path(sys.argv[2]))
print("done")
"""


def _read_all(store):
    return {v.address: v.to_arrow().to_pylist() for dataset in store.datasets() for v in dataset.versions()}


@pytest.fixture
def numbers(store):
    dataset = store.create_dataset("numbers", key=["id"])
    dataset.append(pa.table({"id": range(100), "x": [n / 3 for n in range(100)]}))
    dataset.append({"id": [100, 101], "x": [1.0, None]})
    store.view("numbers@1").where("x > 5").save("large")
    return dataset


def test_a_restored_store_is_the_store(store, numbers, tmp_path):
    expected = _read_all(store)
    backup = store.backup(tmp_path / "backup")
    assert (backup.generation, backup.objects, backup.versions, backup.passed) == (1, 2, 2, True)
    restored = restore_backup(tmp_path / "backup", tmp_path / "again")
    assert restored.passed
    with foldstore.connect(tmp_path / "again") as again:
        assert _read_all(again) == expected
        assert again.view("large").to_arrow().num_rows == store.view("large").to_arrow().num_rows
        found = again.verify()
        assert found.faults == ()
        assert found.unreferenced == ()
        assert (again.root / "store.json").read_bytes() == (store.root / "store.json").read_bytes()
        assert again.dataset("numbers").append({"id": [200], "x": [2.0]}).number == 3


def test_a_second_backup_copies_only_what_is_new_and_touches_nothing_whole(store, numbers, tmp_path):
    target = tmp_path / "backup"
    store.backup(target)
    before = {path: path.stat() for path in target.rglob("b3-*")}
    numbers.append({"id": [300], "x": [3.0]})
    second = store.backup(target)
    assert second.generation == 2
    assert second.copied == 2  # one object, one commit object
    for path, stat in before.items():
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)
    assert restore_backup(target, tmp_path / "old", generation=1).verification.versions == 2
    assert restore_backup(target, tmp_path / "new").verification.versions == 3
    with pytest.raises(NotFoundError, match="no generation 7") as caught:
        restore_backup(target, tmp_path / "none", generation=7)
    assert "1, 2" in caught.value.hint


def test_only_so_many_generations_are_kept(store, numbers, tmp_path):
    for _ in range(4):
        store.backup(tmp_path / "backup", keep=2)
    assert sorted(path.name for path in (tmp_path / "backup").glob("catalog-*")) == ["catalog-3.db", "catalog-4.db"]
    assert sorted(path.name for path in (tmp_path / "backup").glob("files-*")) == ["files-3.json", "files-4.json"]


def test_a_damaged_file_of_the_backup_is_replaced(store, numbers, tmp_path):
    store.backup(tmp_path / "backup")
    for victim in sorted((tmp_path / "backup").rglob("b3-*")):
        victim.chmod(0o644)
        data = bytearray(victim.read_bytes())
        data[len(data) // 2] ^= 1
        victim.write_bytes(data)
    lost = restore_backup(tmp_path / "backup", tmp_path / "lost")
    assert len(lost.missing) == 4
    assert not lost.passed
    assert store.backup(tmp_path / "backup", check=False).copied == 0  # sizes alone say nothing
    assert store.backup(tmp_path / "backup").copied == 4
    assert restore_backup(tmp_path / "backup", tmp_path / "again").passed


def test_what_is_damaged_in_the_store_is_said_and_a_whole_copy_stays(store, numbers, tmp_path):
    store.backup(tmp_path / "kept")
    first, second = sorted(store.root.glob("objects/*/*.arrow"))
    for victim in (first, second):
        victim.chmod(0o644)
        victim.write_bytes(victim.read_bytes()[:-8] + bytes(8))
    assert store.backup(tmp_path / "kept").passed  # the copies from before are whole
    fresh = store.backup(tmp_path / "fresh")
    assert sorted(fresh.damaged) == [first.stem, second.stem]
    assert restore_backup(tmp_path / "kept", tmp_path / "again").passed
    assert not restore_backup(tmp_path / "fresh", tmp_path / "broken").passed
    assert store.verify(repair_from=tmp_path / "kept").passed


def test_a_backup_while_a_writer_appends_is_one_moment_of_the_store(folder, tmp_path):
    with foldstore.connect(folder) as store:
        store.create_dataset("n", key=["id"]).append({"id": [0]})
        failed = []

        def write():
            try:
                with foldstore.connect(folder) as writer:
                    for n in range(1, 51):
                        writer.dataset("n").append({"id": [n]})
            except Exception as error:  # noqa: BLE001  # told to the main thread
                failed.append(error)

        thread = threading.Thread(target=write)
        thread.start()
        counts = []
        while thread.is_alive() or not counts:
            counts.append(store.backup(tmp_path / "backup").versions)
        thread.join()
        assert failed == []
        assert counts == sorted(counts)
        expected = _read_all(store)
        assert store._storage.catalog.read  # the store is still open
    for generation in (1, len(counts)):
        target = tmp_path / f"again-{generation}"
        number = json.loads((tmp_path / "backup" / "backup.json").read_text())["generations"]
        chosen = max(number[0]["number"], generation)
        restored = restore_backup(tmp_path / "backup", target, generation=chosen)
        assert restored.passed
        with foldstore.connect(target) as again:
            found = _read_all(again)
            assert len(found) == counts[chosen - 1]
            assert found == {address: expected[address] for address in found}


@pytest.mark.parametrize("step", ["backup-held", "backup-snapshot", "backup-copied"])
def test_a_killed_backup_leaves_the_generations_before_it(store, numbers, tmp_path, step):
    store.backup(tmp_path / "backup")
    expected = _read_all(store)
    numbers.append({"id": [300], "x": [3.0]})
    command = [sys.executable, "-c", VICTIM, str(store.root), str(tmp_path / "backup"), step]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    restored = restore_backup(tmp_path / "backup", tmp_path / "again")
    assert restored.passed
    with foldstore.connect(tmp_path / "again") as again:
        assert _read_all(again) == expected
    assert store.backup(tmp_path / "backup").generation == 2
    assert restore_backup(tmp_path / "backup", tmp_path / "newer").verification.versions == 3


def test_a_killed_first_backup_is_gone_on_with(store, numbers, tmp_path):
    command = [sys.executable, "-c", VICTIM, str(store.root), str(tmp_path / "backup"), "backup-copied"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -signal.SIGKILL
    with pytest.raises(StoreError, match="never finished"):
        restore_backup(tmp_path / "backup", tmp_path / "again")
    assert store.backup(tmp_path / "backup").generation == 1


def test_versions_are_held_while_they_are_copied_and_let_go_after(store, numbers, tmp_path):
    import sqlalchemy as sa

    from foldstore.datastore.catalog.tables import lease

    def count():
        with store._storage.catalog.read() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(lease)).scalar_one()

    seen = []
    store.backup(tmp_path / "backup", lambda done, total: seen.append(count()))
    assert seen[0] == 2
    assert count() == 0
    restore_backup(tmp_path / "backup", tmp_path / "again")
    with foldstore.connect(tmp_path / "again") as again, again._storage.catalog.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(lease)).scalar_one() == 0


def _seal(store):
    dataset = store.create_dataset("trips", key=["id"])
    dataset.append({"id": list(range(10)), "label": [n * 7 for n in range(10)]})
    seal_cells(store._storage, dataset.record, {1: np.arange(10) >= 5}, ["label"], options=SealOptions(actor="s"))
    return store._storage


def test_sealed_cells_are_restored_for_their_owner_alone(store, tmp_path):
    from foldstore.datastore.catalog.seals import list_seals

    storage = _seal(store)
    (seal,) = list_seals(storage.catalog)
    expected = open_sealed(storage, seal.id)
    store.backup(tmp_path / "backup")
    restored = restore_backup(tmp_path / "backup", tmp_path / "again")
    assert restored.passed
    with foldstore.connect(tmp_path / "again") as again:
        assert open_sealed(again._storage, seal.id).equals(expected)
        assert again.version("trips@1").to_arrow()["label"].null_count == 5
    for root in (tmp_path / "backup" / "sealed", tmp_path / "again" / "sealed"):
        for path in root.rglob("*"):
            wanted = "0o700" if path.is_dir() else "0o400"
            assert oct(path.stat().st_mode & 0o777) == wanted, path


def test_sealed_cells_can_be_left_out(store, tmp_path):
    _seal(store)
    store.backup(tmp_path / "backup", include_sealed=False)
    assert not (tmp_path / "backup" / "sealed").exists()
    restored = restore_backup(tmp_path / "backup", tmp_path / "again")
    assert not restored.sealed
    assert {fault.what for fault in restored.verification.faults} == {"seal"}
    with foldstore.connect(tmp_path / "again") as again:
        assert again.version("trips@1").to_arrow()["label"].null_count == 5


def test_folders_that_hold_other_things_are_refused(store, numbers, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="other files and no backup"):
        store.backup(tmp_path / "mine")
    for inside in (store.root, store.root / "backup", store.root.parent):
        with pytest.raises(UsageError, match="lie in each other"):
            store.backup(inside)
    store.backup(tmp_path / "backup")
    with foldstore.connect(tmp_path / "other") as other, pytest.raises(StoreError, match="another store"):
        other.backup(tmp_path / "backup")
    with pytest.raises(StoreError, match="is not empty"):
        restore_backup(tmp_path / "backup", tmp_path / "mine")
    with pytest.raises(StoreError, match="There is no backup"):
        restore_backup(tmp_path / "mine", tmp_path / "again")
    with pytest.raises(UsageError, match="number of generations"):
        store.backup(tmp_path / "backup", keep=0)


def test_nothing_that_was_deleted_comes_along(store, numbers, tmp_path):
    registry = store.registry("note")
    for number in range(50):
        registry.put(f"n{number}", {"text": "canary-81cd" * 50}, author="t", created_at="2026-01-01T00:00:00Z")
    with sqlite3.connect(store.root / "catalog.db") as catalog:
        catalog.execute("PRAGMA secure_delete = OFF")
        assert catalog.execute("DELETE FROM document WHERE kind = 'note'").rowcount == 50
        catalog.commit()
        catalog.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"canary-81cd" in (store.root / "catalog.db").read_bytes()
    store.backup(tmp_path / "backup")
    assert b"canary-81cd" not in (tmp_path / "backup" / "catalog-1.db").read_bytes()


def test_two_backups_into_one_folder_wait_for_each_other(store, numbers, tmp_path):
    from foldstore.datastore.backup_folder import BackupFolder

    store.backup(tmp_path / "backup")
    with BackupFolder(tmp_path / "backup").locked(), pytest.raises(ConflictError, match="Another backup is at work"):
        store.backup(tmp_path / "backup")


def test_a_backup_of_a_newer_format_and_a_damaged_one_are_refused_in_words(store, numbers, tmp_path):
    store.backup(tmp_path / "backup")
    manifest = tmp_path / "backup" / "backup.json"
    kept = json.loads(manifest.read_text())

    def say(text):
        manifest.chmod(0o644)
        manifest.write_text(text)

    say(json.dumps({**kept, "format": 2}))
    with pytest.raises(StoreFormatError, match="has format 2"):
        restore_backup(tmp_path / "backup", tmp_path / "again")
    for text in (
        "{",
        "[]",
        "{}",
        json.dumps({**kept, "generations": [{"number": 1}]}),
        json.dumps({**kept, "store": "../x"}),
    ):
        say(text)
        with pytest.raises(StoreError, match="damaged"):
            restore_backup(tmp_path / "backup", tmp_path / "again")
    say(json.dumps(kept))
    for name in ("catalog-1.db", "files-1.json"):
        path = tmp_path / "backup" / name
        data = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(data[:-1] + b"!")
        with pytest.raises(StoreError, match="missing or damaged"):
            restore_backup(tmp_path / "backup", tmp_path / f"again-{name}")
        path.write_bytes(data)


def test_a_listing_names_only_paths_that_a_store_has(store, numbers, tmp_path):
    from foldstore.datastore.files import hash_file

    store.backup(tmp_path / "backup")
    manifest, listing = tmp_path / "backup" / "backup.json", tmp_path / "backup" / "files-1.json"
    for path in (manifest, listing):
        path.chmod(0o644)
    files = json.loads(listing.read_text())
    for name in ("../../outside.json", "/etc/passwd", "commits/../store.json", "objects/x"):
        listing.write_text(json.dumps([{**files[0], "path": name}]))
        kept = json.loads(manifest.read_text())
        kept["generations"][0]["files_hash"] = hash_file(listing)
        manifest.write_text(json.dumps(kept))
        with pytest.raises(StoreError, match="names files that no store has"):
            restore_backup(tmp_path / "backup", tmp_path / "again")
    assert not (tmp_path / "again").exists() or not list((tmp_path / "again").rglob("*.json"))


def test_a_store_that_may_only_be_read_is_backed_up_too(store, numbers, tmp_path):
    expected = _read_all(store)
    store.close()
    with foldstore.connect(store.root, read_only=True) as reader:
        assert reader.backup(tmp_path / "backup").passed
    restore_backup(tmp_path / "backup", tmp_path / "again")
    with foldstore.connect(tmp_path / "again") as again:
        assert _read_all(again) == expected


@pytest.fixture
def servers():
    """Two empty schemas on the PostgreSQL server, or a skip where there is none."""
    import sqlalchemy as sa

    names = [f"foldstore_{uuid.uuid4().hex}" for _ in range(2)]
    try:
        engine = sa.create_engine(POSTGRES, connect_args={"connect_timeout": 3})
        with engine.begin() as connection:
            for name in names:
                connection.execute(sa.text(f"CREATE SCHEMA {name}"))
    except (sa.exc.DBAPIError, ImportError) as error:
        if os.environ.get("FOLDSTORE_REQUIRE_SERVICES"):
            raise
        pytest.skip(f"no PostgreSQL server: {error}")
    yield [f"{POSTGRES}?options=-csearch_path%3D{name}" for name in names]
    with engine.begin() as connection:
        for name in names:
            connection.execute(sa.text(f"DROP SCHEMA {name} CASCADE"))
    engine.dispose()


def test_a_catalog_moves_through_a_backup_from_postgresql_to_sqlite_and_back(servers, tmp_path):
    first, second = servers
    with foldstore.connect(tmp_path / "store", catalog_url=first) as store:
        dataset = store.create_dataset("n", key=["id"])
        for n in range(5):
            dataset.append({"id": [n], "x": [n / 3]})
        dataset.set_schema(dataset.latest.profile().infer_schema())
        expected = _read_all(store)
        assert store.backup(tmp_path / "backup").passed
        journal = store._storage.journal.list_entries(f"refs/{dataset.record.id}")
    assert restore_backup(tmp_path / "backup", tmp_path / "here").passed
    assert restore_backup(tmp_path / "backup", tmp_path / "there", catalog_url=second).passed
    for folder, url in ((tmp_path / "here", None), (tmp_path / "there", second)):
        with foldstore.connect(folder, catalog_url=url) as again:
            assert _read_all(again) == expected
            assert again.dataset("n").schema is not None
            assert again._storage.journal.list_entries(f"refs/{dataset.record.id}") == journal
            assert again.verify().passed
            assert again.dataset("n").append({"id": [9], "x": [0.5]}).number == 6
    snapshot = tmp_path / "copy.db"
    shutil.copy(tmp_path / "backup" / "catalog-1.db", snapshot)
    snapshot.chmod(0o644)
    with pytest.raises(StoreError, match="holds the catalog of a store"):
        load_snapshot(snapshot, second)


def test_a_backup_of_the_golden_store_s_format_is_restored_in_today_s(tmp_path):
    golden = Path(__file__).parents[1] / "golden" / "format-0001"
    shutil.copytree(golden, tmp_path / "old")
    (tmp_path / "old" / "expected.json").unlink()
    with foldstore.connect(tmp_path / "old") as store:
        expected = _read_all(store)
        store.backup(tmp_path / "backup")
    # What an older Foldstore would have written: its own catalog.
    from foldstore.datastore.files import hash_file

    catalog, manifest = tmp_path / "backup" / "catalog-1.db", tmp_path / "backup" / "backup.json"
    for path in (catalog, manifest):
        path.chmod(0o644)
    shutil.copyfile(golden / "catalog.db", catalog)
    kept = json.loads(manifest.read_text())
    kept["generations"][0]["catalog_hash"] = hash_file(catalog)
    manifest.write_text(json.dumps(kept))
    assert restore_backup(tmp_path / "backup", tmp_path / "again").passed
    with foldstore.connect(tmp_path / "again") as again:
        assert {address: len(rows) for address, rows in _read_all(again).items()} == {
            address: len(rows) for address, rows in expected.items()
        }
