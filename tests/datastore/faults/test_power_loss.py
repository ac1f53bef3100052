"""Whatever a disk comes back with after a loss of power, acknowledged versions are there as they were.

Every prefix of what an operation writes is tried, with the extremes (all that was not fsynced is lost, or all of it
is there with zeros for bytes) and with seeded samples in between; `FOLDSTORE`-free CI takes a few, the nightly run
(`HYPOTHESIS_PROFILE=nightly`) many.
"""

import os
from dataclasses import replace

import pytest

import foldstore
from foldstore.datastore.objects import ObjectArea
from foldstore.store import Store
from tests.datastore.faults.operations import NAME, NEXT, OPERATIONS, assert_sound, perform, read_all
from tests.datastore.faults.power_loss import Disk, Log, record, states, write_state

SAMPLES = 40 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 1


def _record(folder, operation, log):
    """Do an operation, then an append by the same process, and log both; return the disk as it was before."""
    disk = Disk.of(folder)
    storage = record(folder, log)
    for each in (operation, "after"):
        version = _perform(storage, each)
        log.add("acknowledge", None, version.number)
    storage.close()
    return disk


def _perform(storage, operation):
    if operation != "after":
        return perform(storage, operation)
    return Store(storage, "writer").dataset(NAME).append({"id": [700], "x": [1], "t": ["z"]}, evolve=True)


def _check(disk, log, expected, tmp_path, *, samples=SAMPLES, since=0):
    """Open every state, those after so many entries; return how many there were."""
    count = 0
    for place, choice, state, found in states(disk, log.entries, samples=samples, since=since):
        target = write_state(state, found, tmp_path / f"{place}-{choice}")
        visible = {number: table for number, table in expected.items() if number in _committed(target)}
        assert found.acknowledged <= set(visible), (place, choice)
        assert_sound(target, visible)
        count += 1
    return count


def _committed(folder):
    """Return the numbers of the versions that the catalog has committed."""
    import sqlite3

    with sqlite3.connect(folder / "catalog.db") as catalog:
        found = {number for (number,) in catalog.execute("SELECT number FROM version")}
    catalog.close()
    return found


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_loss_of_power_at_any_moment_loses_no_acknowledged_version(folder, tmp_path, operation):
    log = Log()
    disk = _record(folder, operation, log)
    expected = read_all(folder)
    assert max(expected) == NEXT + 1
    assert _check(disk, log, expected, tmp_path) >= 10


@pytest.mark.parametrize("forgotten", ["fsync", "sync"])
def test_a_store_that_forgets_an_fsync_is_caught(folder, tmp_path, forgotten):
    log = Log(skip=lambda kind, path: kind == forgotten and _holds_objects(path))
    disk = _record(folder, "append", log)
    expected = read_all(folder)
    with pytest.raises((AssertionError, foldstore.FoldstoreError)):
        _check(disk, log, expected, tmp_path)


def _holds_objects(path):
    """Say whether a path is that of rows: a staged file, or a folder of finished ones."""
    return path.suffix == ".arrow" or "objects" in path.parts


def test_a_store_that_commits_before_files_have_names_is_caught(folder, tmp_path, monkeypatch):
    with foldstore.connect(folder) as store:  # without a key nothing reads the files before the commit
        store.create_dataset("loose").append({"n": [1]})
    log = Log()
    disk = Disk.of(folder)
    waiting = []
    real = ObjectArea.publish
    monkeypatch.setattr(ObjectArea, "publish", lambda area, staged: waiting.append((area, staged)))

    def publish_late(step):
        if step == "flipped":
            real(*waiting.pop())

    storage = replace(record(folder, log), on_step=publish_late)
    Store(storage, "writer").dataset("loose").append({"n": [2]})
    storage.close()
    failed = 0
    for place, choice, state, found in states(disk, log.entries, samples=0):
        target = write_state(state, found, tmp_path / f"{place}-{choice}")
        with foldstore.connect(target) as store:
            failed += not store.verify().passed
    assert failed


def test_a_folder_that_a_dead_writer_made_is_brought_to_disk_by_the_next(folder, tmp_path):
    disk, log = Disk.of(folder), Log()
    # A process that was killed between making a folder and its fsync: the name is there, but not on disk.
    for path in (folder / "objects" / f"{shard:02x}" for shard in range(256)):
        if not path.is_dir():
            path.mkdir()
            disk.waiting.append((path, None))
    storage = record(folder, log)
    log.add("acknowledge", None, perform(storage, "append").number)
    storage.close()
    _check(disk, log, read_all(folder), tmp_path, samples=0, since=len(log.entries))


def test_a_commit_object_that_a_dead_writer_named_is_brought_to_disk_by_the_next(folder, tmp_path):
    dead = Log(skip=lambda kind, path: kind == "sync" and "commits" in path.parts)
    disk = Disk.of(folder)
    storage = record(folder, dead)
    perform(storage, "append")
    storage.close()
    log = Log()
    log.entries = dead.entries
    storage = record(folder, log)  # another process: what the first had in mind is gone
    log.add("acknowledge", None, _perform(storage, "after").number)
    storage.close()
    _check(disk, log, read_all(folder), tmp_path, samples=0, since=len(log.entries))
