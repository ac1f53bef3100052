"""The doctor says quickly how a store is, in a line each, and changes nothing."""

import shutil
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

import foldstore
from foldstore.datastore.catalog import commits
from foldstore.datastore.doctor import examine, find_file_system
from foldstore.datastore.sealing import SealOptions, seal_cells
from foldstore.types import utc_now


@pytest.fixture
def made(folder):
    with foldstore.connect(folder) as store:
        store.create_dataset("n", key=["n"]).append({"n": [1, 2, 3]})
    return folder


def _contents(folder):
    """Return every file but SQLite's own, which any reader makes beside the catalog."""
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and not p.name.startswith("catalog.db-")}


def _states(diagnosis):
    return {check.name: str(check.state) for check in diagnosis.checks}


def _find(diagnosis, name):
    return next(check for check in diagnosis.checks if check.name == name)


def test_a_healthy_store_passes_every_check_and_stays_as_it_is(made):
    before = _contents(made)
    found = examine(made)
    assert found.passed
    assert found.exit_code == 0
    assert set(_states(found)) == {
        "libraries", "file system", "fsync", "store", "format", "identity", "database", "space", "objects", "sealed",
        "commits", "commit objects", "seals", "clock",
    }  # fmt: skip
    assert "pyarrow" in _find(found, "libraries").message
    assert _contents(made) == before
    assert found.to_dict()["passed"] is True


def test_no_store_and_a_lost_catalog_cannot_be_decided(made, tmp_path):
    assert examine(tmp_path / "none").exit_code == 3
    (made / "catalog.db").unlink()
    found = examine(made)
    assert found.exit_code == 3
    assert "--rebuild" in _find(found, "catalog").hint
    assert not (made / "catalog.db").exists()
    (made / "store.json").chmod(0o644)
    (made / "store.json").write_text("{")
    assert "damaged" in _find(examine(made), "catalog").message


def test_a_catalog_that_is_no_database_is_said(made):
    (made / "catalog.db").write_bytes(b"no database at all" * 100)
    found = examine(made)
    assert found.exit_code == 3
    assert _find(found, "catalog").state == "fail"


@pytest.mark.parametrize(
    ("statement", "name", "state"),
    [
        ("DELETE FROM page", "database", "fail"),
        ("UPDATE store SET value = 'other' WHERE key = 'id'", "identity", "fail"),
        ("UPDATE version SET created_at = '2999-01-01T00:00:00.000000Z'", "clock", "warn"),
        ("UPDATE object SET num_bytes = 1", "objects", "fail"),
        ("DROP TABLE seal", "seals", "fail"),
    ],
)
def test_damage_of_the_catalog_is_named(made, statement, name, state):
    database = sqlite3.connect(made / "catalog.db")
    database.execute(statement)
    database.commit()
    database.close()
    found = examine(made)
    assert _find(found, name).state == state
    assert found.exit_code == (1 if state == "fail" else 0)


def test_objects_that_are_gone_or_may_be_written_are_named(made):
    (path,) = (made / "objects").rglob("*.arrow")
    path.chmod(0o644)
    assert _find(examine(made), "objects").state == "warn"
    path.unlink()
    assert _find(examine(made), "objects").state == "fail"


def test_leftovers_of_dead_commits_are_named(made):
    with foldstore.connect(made) as store:
        past = lambda: datetime(2020, 1, 1, tzinfo=UTC)  # noqa: E731
        commits.begin(store._storage.catalog, "a" * 32, store.dataset("n").record.id, None, past)
        commits.begin(store._storage.catalog, "b" * 32, store.dataset("n").record.id, None, utc_now)
    found = _find(examine(made), "commits")
    assert (found.state, found.message) == ("warn", "1 commits never ended, 1 are under way")
    next((made / "commits").rglob("*.json")).unlink()
    assert _find(examine(made), "commit objects").state == "warn"


def test_a_sealed_area_that_others_may_read_is_named(made):
    with foldstore.connect(made) as store:
        dataset = store.create_dataset("trips", key=["id"])
        dataset.append({"id": list(range(10)), "label": list(range(10))})
        seal_cells(store._storage, dataset.record, {1: np.arange(10) >= 5}, ["label"], options=SealOptions(actor="s"))
    assert _find(examine(made), "sealed").state == "ok"
    (made / "sealed").chmod(0o755)
    assert _find(examine(made), "sealed").state == "fail"


def test_network_file_systems_and_full_disks_are_warned_of(made, monkeypatch):
    from foldstore.datastore import doctor

    monkeypatch.setattr(doctor, "find_file_system", lambda root: "nfs4")
    monkeypatch.setattr(shutil, "disk_usage", lambda root: shutil._ntuple_diskusage(10, 10, 0))
    states = _states(examine(made))
    assert states["file system"] == "warn"
    assert states["space"] == "warn"


def test_the_file_system_is_that_of_the_closest_mount(tmp_path):
    mounts = tmp_path / "mounts"
    inside = tmp_path / "share" / "store"
    inside.mkdir(parents=True)
    mounts.write_text(
        f"1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:2 / {tmp_path}/share rw - nfs4 host:/x rw\n"
        f"3 1 0:3 / {tmp_path}/sh rw - tmpfs none rw\n"
    )
    assert find_file_system(inside, mounts) == "nfs4"
    assert find_file_system(Path("/"), mounts) == "ext4"
    assert find_file_system(inside, tmp_path / "none") is None
