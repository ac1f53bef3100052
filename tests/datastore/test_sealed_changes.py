"""Sealed rows and every kind of commit: no label comes back, no row of a pool goes, whatever is tried."""

import numpy as np
import pyarrow.compute as pc
import pytest

import foldstore
from foldstore.datastore.sealing import ROW_ID, SealOptions, open_sealed, seal_cells
from foldstore.datastore.storage import open_storage
from foldstore.errors import DuplicateKeyError, RefusedError

OPTIONS = SealOptions(actor="steward")
ROWS = 60


def _table(ids, secret=900):
    return {"id": list(ids), "x": [i % 7 for i in ids], "label": [secret + i for i in ids]}


@pytest.fixture
def trips(folder, store):
    dataset = store.create_dataset("trips", key=["id"])
    for start in range(0, ROWS, 20):
        dataset.append(_table(range(start, start + 20)))
    return dataset


def _seal(folder, dataset):
    """Seal the labels of the odd rows of the newest version."""
    version = dataset.latest
    ids = version.to_arrow(["id"])["id"].to_numpy()
    storage = open_storage(folder)
    record = seal_cells(storage, dataset.record, version.rows.places()[ids % 2 == 1], ["label"], options=OPTIONS)
    return storage, record


def _labels(version):
    table = version.to_arrow(["id", "label"])
    return dict(zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True))


def _nothing_shown(dataset):
    for version in dataset.versions():
        if "label" in version.arrow_schema.names:
            assert all(label is None for key, label in _labels(version).items() if key % 2 == 1 and key < ROWS)


def test_rows_that_were_deleted_or_moved_before_the_seal_are_sealed_in_every_version(folder, trips):
    trips.delete("id % 10 = 3")
    trips.compact()
    storage, record = _seal(folder, trips)
    with foldstore.connect(folder) as fresh:
        dataset = fresh.dataset("trips")
        for version in dataset.versions():
            hidden = {key for key, label in _labels(version).items() if label is None}
            assert hidden == {key for key in _labels(version) if key % 2 == 1 and key % 10 != 3}
        assert fresh.verify().passed
    kept = open_sealed(storage, record.id)
    assert set(kept["label"].to_pylist()) == {900 + i for i in range(ROWS) if i % 2 == 1 and i % 10 != 3}
    assert len(kept[ROW_ID]) == 2 * 24  # each row lies in a first and in a compacted fragment


def test_no_commit_brings_a_sealed_label_back(folder, trips):
    trips.create_branch("before", 1)
    _seal(folder, trips)
    with foldstore.connect(folder) as store:
        dataset = store.dataset("trips")
        with pytest.raises(DuplicateKeyError, match="keeps no second copy"):
            dataset.branch("before").append(_table([21, 23]))
        with pytest.raises(RefusedError, match="belong to a test pool") as caught:
            dataset.upsert(_table([1]))
        assert (caught.value.code, caught.value.exit_code) == ("rows-sealed", 4)
        with pytest.raises(RefusedError):
            dataset.overwrite(_table(range(ROWS)))
        with pytest.raises(RefusedError):
            dataset.delete("id = 1")
        with pytest.raises(RefusedError):
            dataset.delete(keys={"id": [1]})
        with pytest.raises(RefusedError):
            dataset.sync(_table(range(ROWS)))
        with pytest.raises(RefusedError), dataset.transaction() as change:
            change.delete("id < 4")
        assert dataset.upsert(_table([2, 100])).num_rows == ROWS + 1
        assert dataset.delete("id = 4").num_rows == ROWS
        _nothing_shown(dataset)
        dataset.restore(1)
        with pytest.raises(DuplicateKeyError):
            dataset.append(_table([21]))  # sealed, and not in the newest version any more
        _nothing_shown(dataset)
        assert store.verify().passed


def test_compaction_leaves_the_fragments_of_a_pool_where_they_are(folder, trips):
    trips.append(_table(range(100, 110)))
    trips.append(_table(range(110, 120)))
    trips.append(_table([200]))
    version = trips.latest
    storage = open_storage(folder)
    places = version.rows.places()[:20]
    record = seal_cells(storage, trips.record, places, ["label"], options=OPTIONS)
    with foldstore.connect(folder) as store:
        compacted = store.dataset("trips").compact()
        assert [f.moved for f in compacted.rows.fragments] == [False, True]
        assert np.isin(places, compacted.rows.places()).all()
        assert compacted.to_arrow(["label"])["label"].null_count == 20
    assert len(open_sealed(storage, record.id)) == 20


def test_a_keyless_copy_that_compaction_moved_is_sealed_too(folder, store):
    dataset = store.create_dataset("loose")
    for start in (0, 10, 20):
        dataset.append({"x": list(range(start, start + 10)), "label": [900 + i for i in range(start, start + 10)]})
    compacted = dataset.compact()
    storage = open_storage(folder)
    seal_cells(storage, dataset.record, compacted.rows.places()[5:25], ["label"], options=OPTIONS)
    with foldstore.connect(folder) as fresh:
        for version in fresh.dataset("loose").versions():
            table = version.to_arrow()
            shown = pc.filter(table["x"], pc.is_valid(table["label"])).to_pylist()
            assert [x for x in shown if 5 <= x < 25] == []


def test_the_same_rows_in_another_dataset_are_read_by_the_process_that_sealed_them(store):
    first, second = (store.create_dataset(name, key=["id"]) for name in ("first", "second"))
    first.append(_table(range(ROWS)))
    opened, ids = first.latest, first.latest.to_arrow(["id"])["id"].to_numpy()
    places = opened.rows.places()[ids % 2 == 1]
    seal_cells(store._storage, first.record, places, ["label"], options=OPTIONS)
    second.append(_table(range(ROWS)))  # the bytes, and so the name, of a file that the seal took away
    assert _labels(second.latest) == {i: 900 + i for i in range(ROWS)}
    for version in (opened, first.latest, first.version(1)):
        assert _labels(version) == {i: None if i % 2 else 900 + i for i in range(ROWS)}
    assert _labels(second.latest) == {i: 900 + i for i in range(ROWS)}


def test_the_same_rows_in_another_dataset_are_read_by_the_process_that_erased_them(store):
    first, second = (store.create_dataset(name, key=["id"]) for name in ("first", "second"))
    first.append(_table(range(ROWS)))
    opened = first.latest
    first.erase(keys={"id": [3]}, reason="asked")
    second.append(_table(range(ROWS)))
    assert _labels(second.latest) == {i: 900 + i for i in range(ROWS)}
    assert _labels(opened) == _labels(first.latest) == {i: 900 + i for i in range(ROWS) if i != 3}
