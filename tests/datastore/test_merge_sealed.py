"""Merges and test pools: a merge brings no sealed row back, takes none away, and is not refused for having one."""

import pytest

import foldstore
from foldstore.datastore.sealing import SealOptions, seal_cells
from foldstore.datastore.storage import open_storage
from foldstore.errors import DuplicateKeyError, RefusedError

OPTIONS = SealOptions(actor="steward")


def _table(ids):
    return {"id": list(ids), "label": [900 + i for i in ids]}


@pytest.fixture
def trips(store):
    dataset = store.create_dataset("trips", key=["id"])
    dataset.append(_table(range(20)))
    dataset.create_branch("side")
    return dataset


def _seal(folder, version, ids):
    storage = open_storage(folder)
    keys = version.to_arrow(["id"])["id"].to_pylist()
    places = [place for place, key in zip(version.rows.places(), keys, strict=True) if key in ids]
    seal_cells(storage, version.dataset, version.rows.places()[[k in ids for k in keys]], ["label"], options=OPTIONS)
    assert len(places) == len(ids)
    storage.close()


def _hidden(version):
    return {row["id"] for row in version.to_arrow().to_pylist() if row["label"] is None}


def test_rows_that_were_sealed_on_a_branch_come_into_main_sealed(folder, trips):
    _seal(folder, trips.branch("side").append(_table(range(30, 40))), {31, 33})
    with foldstore.connect(folder) as store:
        dataset = store.dataset("trips")
        merged = dataset.merge("side")
        assert (merged.num_rows, _hidden(merged)) == (30, {31, 33})
        with pytest.raises(DuplicateKeyError, match="keeps no second copy"):
            dataset.create_branch("old", 1).append(_table([31]))
        assert store.verify().passed


def test_a_restored_version_keeps_its_sealed_rows(folder, trips):
    _seal(folder, trips.append(_table(range(30, 40))), {31, 33})
    with foldstore.connect(folder) as store:
        dataset = store.dataset("trips")
        assert _hidden(dataset.latest) == {31, 33}
        newest = dataset.latest
        dataset.create_branch("old", 1)
        assert _hidden(dataset.branch("old").restore(newest)) == {31, 33}


def test_a_merge_deletes_no_row_that_was_sealed_since(folder, trips):
    trips.branch("side").delete("id < 5")
    _seal(folder, trips.version(1), {3, 15})
    with foldstore.connect(folder) as store:
        dataset = store.dataset("trips")
        with pytest.raises(RefusedError, match="delete by this merge") as caught:
            dataset.merge("side")
        assert caught.value.code == "rows-sealed"
        assert _hidden(dataset.latest) == {3, 15}


def test_a_merge_brings_no_copy_of_a_row_that_was_sealed_since(folder, trips):
    trips.append(_table([50, 51]))
    _seal(folder, trips.latest, {51})
    with foldstore.connect(folder) as store:
        side = store.dataset("trips").branch("side")
        with pytest.raises(DuplicateKeyError, match="keeps no second copy"):
            side.append(_table([51]))


def test_a_bitmap_that_a_check_has_made_as_well_is_written_with_its_commit(folder, trips):
    """The bits of the rows that are not sealed are those of the rows that the commit deletes."""
    _seal(folder, trips.latest, set(range(1, 20, 2)))
    with foldstore.connect(folder) as store:
        dataset = store.dataset("trips")
        with dataset.transaction() as change:
            change.delete("id % 2 = 0")
            change.append(_table([100]))
        assert set(dataset.latest.to_arrow(["id"])["id"].to_pylist()) == {*range(1, 20, 2), 100}
    with foldstore.connect(folder) as store:
        assert store.dataset("trips").latest.to_arrow().num_rows == 11
