"""A lost catalog is made again: every version as it was, numbers and ids never given twice."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest

import foldstore
from foldstore.datastore.rebuild import rebuild_catalog
from foldstore.datastore.sealing import SealOptions, seal_cells
from foldstore.errors import CorruptObjectError, RefusedError, StoreError, StoreFormatError


def _fill(store):
    orders = store.create_dataset("orders", key=["id"], event_time="placed", derive={"double": "x * 2"})
    days = pa.array(np.arange(300) * 86_400_000_000, pa.timestamp("us", "UTC"))
    rows = pa.table({"id": range(300), "placed": days, "x": [n / 3 for n in range(300)], "w": ["ab", None, "c"] * 100})
    orders.append(rows.slice(0, 100), message="first", properties={"source": "test"}, idempotency_key="one")
    orders.append(rows.slice(100, 100), order_by=["w"])
    orders.set_schema(orders.latest.profile().infer_schema())
    quarantined = orders.append(rows.slice(200, 3).set_column(3, "w", pa.array(["zz"] * 3)))
    assert str(quarantined.status) == "quarantined"
    orders.add_columns({"big": "x > 10"})
    orders.delete("id < 20")
    orders.drop_columns(["w"])
    things = store.create_dataset("things")
    things.append({"n": [1, 2, 3], "s": ["a", "b", None]})
    things.append({"n": [4], "s": ["d"]})
    things.delete("n = 2")
    things.compact()
    work = things.create_branch("work")
    work.append({"n": [7], "s": ["on a branch"]})
    things.append({"n": [8], "s": ["on main"]})


def _read_all(store):
    return {
        version.address: (repr(version.to_arrow().to_pylist()), _facts(version.record))
        for dataset in store.datasets()
        for version in dataset.versions()
    }


def _facts(record):
    return {name: getattr(record, name) for name in record.__dataclass_fields__ if name != "recorded"}


def _refs(store, name):
    return store._storage.catalog.list_refs(store.dataset(name).record.id)


def _lose_catalog(folder):
    for path in folder.glob("catalog.db*"):
        path.unlink()


@pytest.fixture
def filled(folder):
    with foldstore.connect(folder, author="tester") as store:
        _fill(store)
    return folder


def test_every_version_is_as_it_was_and_the_store_goes_on(filled):
    with foldstore.connect(filled) as store:
        expected = _read_all(store)
        numbers = {dataset.name: len(dataset.versions()) for dataset in store.datasets()}
        fragments = {f.id for v in store.dataset("orders").versions() for f in store._storage.pages.fragments(v.record)}
        heads = {ref.name: ref.version_id for ref in _refs(store, "things")}
        head = store.dataset("orders").latest.address
    _lose_catalog(filled)
    told = []
    report = rebuild_catalog(filled, actor="keeper", progress=lambda done, total: told.append(done))
    assert report.passed, report
    assert (report.datasets, report.versions) == (2, len(expected))
    assert told[-1] == report.num_bytes
    with foldstore.connect(filled) as store:
        assert _read_all(store) == expected
        found = store.verify()
        assert found.faults == ()
        assert store.dataset("orders").latest.address == head
        assert {ref.name: ref.version_id for ref in _refs(store, "things")} == heads
        assert set(heads) == {"main", "work"}
        orders = store.dataset("orders")
        day = pa.array([0], pa.timestamp("us", "UTC"))
        new = orders.append({"id": [9_000], "placed": day, "x": [1.0], "w": ["ab"]})
        assert new.number == numbers["orders"] + 1
        assert store._storage.pages.fragments(new.record)[-1].id > max(fragments)
        assert orders.append(pa.table({"id": [1]}), idempotency_key="one").number == 1  # committed before the loss
        assert store.dataset("things").append({"n": [5], "s": ["e"]}).num_rows == 5
        assert store.verify().faults == ()
        (entry,) = store._storage.journal.list_entries("repairs")
        assert (entry.actor, json.loads(entry.body)["name"]) == ("keeper", "rebuild")


def test_a_catalog_that_is_there_is_never_put_over(filled):
    kept = (filled / "catalog.db").read_bytes()
    with pytest.raises(StoreError, match=r"has a catalog: catalog\.db"):
        rebuild_catalog(filled)
    assert (filled / "catalog.db").read_bytes() == kept
    (filled / "catalog.db").rename(filled / "catalog.db-wal")  # what belongs to another catalog is in the way, too
    with pytest.raises(StoreError, match=r"catalog\.db-wal"):
        rebuild_catalog(filled)


def test_a_folder_without_a_store_is_refused(tmp_path):
    with pytest.raises(StoreError, match="no store"):
        rebuild_catalog(tmp_path)


def test_a_version_whose_objects_are_gone_is_there_and_said_to_be_damaged(filled, tmp_path):
    with foldstore.connect(filled) as store:
        expected = _read_all(store)
        fragment = store._storage.pages.fragments(store.version("things@1").record)[0]
        victim = store._storage.objects.path_of(fragment.groups[0].object_id)
    _lose_catalog(filled)
    kept = tmp_path / "copy" / victim.relative_to(filled)
    kept.parent.mkdir(parents=True)
    shutil.copy(victim, kept)
    victim.chmod(0o644)
    victim.write_bytes(victim.read_bytes()[:-1])
    report = rebuild_catalog(filled)
    assert report.damaged == [victim.stem]
    assert not report.passed
    with foldstore.connect(filled) as store:
        with pytest.raises(CorruptObjectError, match=victim.stem):
            store.version("things@1").to_arrow()
        assert repr(store.version("orders@1").to_arrow().to_pylist()) == expected["orders@1"][0]
        assert "things@1" in store.verify().damaged
        assert store.verify(repair_from=tmp_path / "copy").passed
        assert _read_all(store) == expected


def test_a_damaged_commit_object_costs_what_it_alone_says_and_its_number_stays_taken(filled):
    with foldstore.connect(filled) as store:
        expected = _read_all(store)
        dataset_id = store.dataset("orders").record.id
    _lose_catalog(filled)
    last = max((filled / "commits" / dataset_id).iterdir())
    last.chmod(0o644)
    last.write_bytes(last.read_bytes()[:50])
    report = rebuild_catalog(filled)
    number = int(last.name[:10])
    assert report.lost == [f"orders@{number}: its commit object is damaged"]
    with foldstore.connect(filled) as store:
        found = _read_all(store)
        assert found == {address: rows for address, rows in expected.items() if address != f"orders@{number}"}
        assert store.dataset("orders").delete("id < 30").number == number + 1


def test_a_damaged_first_commit_object_costs_the_versions_that_need_its_pages(filled):
    with foldstore.connect(filled) as store:
        dataset_id = store.dataset("things").record.id
    _lose_catalog(filled)
    first = min((filled / "commits" / dataset_id).iterdir())
    first.unlink()
    report = rebuild_catalog(filled)
    assert report.changed  # what was built on it has no parent any more
    with foldstore.connect(filled) as store:
        assert {v.number for v in store.dataset("things").versions()} <= {2, 3, 4, 5, 6}
        assert all(v.to_arrow().num_rows == v.num_rows for v in store.dataset("things").versions())


def test_a_commit_object_of_a_newer_format_is_refused_and_nothing_is_made(filled):
    _lose_catalog(filled)
    path = max((filled / "commits").rglob("*.json"))
    path.chmod(0o644)
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    with pytest.raises(StoreFormatError, match="has format 2"):
        rebuild_catalog(filled)
    assert not list(filled.glob("catalog.db*"))
    assert list((filled / "staging").iterdir()) == []


def test_rows_that_a_commit_object_gives_another_page_are_not_believed(filled):
    _lose_catalog(filled)
    for path in (filled / "commits").rglob("0000000001-*.json"):
        path.chmod(0o644)
        path.write_text(path.read_text().replace('"rows":3', '"rows":2').replace('"rows":100', '"rows":99'))
    report = rebuild_catalog(filled)
    assert {line.partition(":")[0] for line in report.lost} >= {"orders@1", "things@1"}


def test_a_store_with_sealed_cells_is_refused_and_with_consent_shows_none_of_them(folder):
    with foldstore.connect(folder) as store:
        dataset = store.create_dataset("trips", key=["id"])
        dataset.append({"id": list(range(10)), "label": [n * 7 for n in range(10)]})
        seal_cells(store._storage, dataset.record, {1: np.arange(10) >= 5}, ["label"], options=SealOptions(actor="s"))
    _lose_catalog(folder)
    with pytest.raises(RefusedError, match="1 sealed parts") as caught:
        rebuild_catalog(folder)
    assert caught.value.code == "sealed-area"
    report = rebuild_catalog(folder, accept_sealed=True)
    assert report.passed
    with foldstore.connect(folder) as store:
        assert store.version("trips@1").to_arrow()["label"].to_pylist() == [
            0,
            7,
            14,
            21,
            28,
            None,
            None,
            None,
            None,
            None,
        ]
        assert [item.what for item in store.verify().unreferenced] == ["sealed"]


def test_files_of_an_interrupted_seal_stand_in_the_way_even_with_consent(folder):
    with foldstore.connect(folder) as store:
        dataset = store.create_dataset("trips", key=["id"])
        dataset.append({"id": list(range(10)), "label": [n * 7 for n in range(10)]})
        before = {path: path.read_bytes() for path in [*folder.rglob("objects/*/*"), *folder.rglob("commits/*/*")]}
        seal_cells(store._storage, dataset.record, {1: np.arange(10) >= 5}, ["label"], options=SealOptions(actor="s"))
    _lose_catalog(folder)
    for path, data in before.items():  # as a crash after the flip leaves it: the old files, and who names them
        path.unlink(missing_ok=True)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    with pytest.raises(RefusedError, match="a seal may have been under way"):
        rebuild_catalog(folder, accept_sealed=True)
    assert not list(folder.glob("catalog.db*"))


def test_the_golden_store_s_catalog_is_made_again(tmp_path):
    from pathlib import Path

    shutil.copytree(Path(__file__).parents[1] / "golden" / "format-0001", tmp_path / "golden")
    with foldstore.connect(tmp_path / "golden") as store:
        expected = _read_all(store)
    _lose_catalog(tmp_path / "golden")
    assert rebuild_catalog(tmp_path / "golden").passed
    with foldstore.connect(tmp_path / "golden") as store:
        assert _read_all(store) == expected
        assert store.verify().faults == ()
