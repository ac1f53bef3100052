"""Materializing again: by what changed, without doing anything twice, and taken up after a kill."""

import os

import pytest

import foldstore
from foldstore.errors import ConflictError, CorruptObjectError, FoldstoreError
from foldstore.features import materializing
from foldstore.views.online import materialize as writing
from tests.features.online import DAY, columns, ride, rides_view, serve_rides, trips
from tests.killing import assert_killed, run

pytestmark = pytest.mark.usefixtures("each_catalog")
ROWS = [ride(driver, day, 100 * driver + day) for driver in range(20) for day in range(5)]


@pytest.fixture
def store(tmp_path):
    with serve_rides(tmp_path / "store", ROWS) as opened:
        yield opened


def files(store):
    return sorted(path.name for path in (store.root / "online").iterdir())


def everything(store):
    entities = [{"driver": driver} for driver in range(25)]
    found = [store.features.get_online_features("model", entities, at=DAY[day]) for day in range(9)]
    return [each.to_dict(include_statuses=True, include_event_timestamps=True) for each in found]


def anew(store):
    store.features.materialize("model", full=True)
    assert [each.changes for each in store.features.online_status()] == [0]
    return everything(store)


def changes(store):
    (only,) = store.features.online_status()
    return only.changes


def test_late_corrected_and_deleted_rows_are_laid_over_the_file(store):
    rides = store.dataset("rides")
    rides.append(columns([ride(3, 7, 37), ride(22, 1, 221)]))
    rides.upsert(columns([ride(4, 2, -42), ride(5, 6, 56)]))
    rides.delete("driver = 6 AND trips > 602 OR driver = 7")
    before = files(store)
    store.features.materialize("model")
    assert changes(store) == 1
    assert len(files(store)) == len(before) + 1
    assert [each.watermark for each in store.features.online_status()] == [("rides@4",)]
    assert trips(store, 22)[0] == 221
    assert trips(store, 7) == (None, "NOT_FOUND")
    assert everything(store) == anew(store)


def test_only_the_changed_rows_are_written(store, monkeypatch):
    written = []
    original = writing._write
    monkeypatch.setattr(
        writing, "_write", lambda batch, *rest: written.append(batch.num_rows) or original(batch, *rest)
    )
    store.dataset("rides").append(columns([ride(3, 7, 37), ride(4, 7, 47)]))
    store.features.materialize("model")
    assert written == [2]


def test_nothing_is_done_when_nothing_changed(store):
    before = files(store), [each.materialization for each in store.features.online_status()]
    store.features.push("stats", [ride(1, 9, 19)])
    store.features.materialize("model")
    assert (files(store), [each.materialization for each in store.features.online_status()]) == before
    assert trips(store, 1)[0] == 19


def test_a_restored_version_is_served_again(store):
    first = everything(store)
    rides = store.dataset("rides")
    rides.upsert(columns([ride(4, 2, -42)]))
    store.features.materialize("model")
    assert everything(store) != first
    rides.restore(1)
    store.features.materialize("model")
    assert everything(store) == first


def test_many_rounds_stay_few_files_and_right(store):
    rides = store.dataset("rides")
    for number in range(9):
        rides.upsert(columns([ride(number, number % 5, number), ride(23, number, number)]))
        store.features.materialize("model")
    assert 0 < changes(store) <= 6
    assert len(files(store)) < 14
    assert everything(store) == anew(store)


@pytest.mark.parametrize("change", ["add", "rename", "no-key", "sql"])
def test_what_has_no_known_difference_is_laid_out_anew(tmp_path, change):
    options = {"key": ()} if change == "no-key" else {}
    source = {"source": foldstore.sql("SELECT * FROM rides")} if change == "sql" else {}
    with serve_rides(tmp_path / "store", ROWS, **options, **source) as store:
        rides = store.dataset("rides")
        if change == "add":
            rides.drop_columns(["city"])
            rides.add_columns({"city": "'Bern'"})
        elif change == "rename":
            rides.rename_columns({"trips": "city", "city": "other"})
            rides.rename_columns({"other": "trips"})
        else:
            rides.delete("driver = 3 AND trips > 301")
        if change == "rename":
            pass
        store.features.materialize("model")
        assert changes(store) == 0
        found = store.features.get_online_features("model", [{"driver": 3}], at=DAY[20]).to_dict()
        assert (found["trips"], found["city"]) == {
            "add": ([304], ["Bern"]), "rename": (["Oslo"], [304]), "no-key": ([301], ["Oslo"]), "sql": ([301], ["Oslo"])
        }[change]  # fmt: skip


def test_rows_appended_to_a_dataset_without_a_key_are_laid_over(tmp_path):
    with serve_rides(tmp_path / "store", ROWS, key=()) as store:
        store.dataset("rides").append(columns([ride(3, 4, -1), ride(3, 4, -2)]))
        store.features.materialize("model")
        assert changes(store) == 1
        assert trips(store, 3)[0] == -2
        assert everything(store) == anew(store)


def test_a_compaction_is_no_reason_to_lay_out_anew(tmp_path):
    with serve_rides(tmp_path / "store", ROWS, key=()) as store:
        rides = store.dataset("rides")
        rides.append(columns([ride(3, 4, -1)]))
        rides.append(columns([ride(3, 4, -2)]))
        rides.compact()
        store.features.materialize("model")
        assert changes(store) == 1
        assert trips(store, 3)[0] == -2
        assert everything(store) == anew(store)


def test_more_changes_than_are_held_in_memory_are_laid_out_anew(store, monkeypatch):
    monkeypatch.setattr(materializing, "MOST_CHANGES", 3)
    store.dataset("rides").upsert(columns([ride(4, 2, -42), ride(5, 6, 56)]))
    store.features.materialize("model")
    assert changes(store) == 1
    store.dataset("rides").upsert(columns([ride(4, 2, -43), ride(5, 6, 57)]))
    store.features.materialize("model")
    assert changes(store) == 0
    assert (trips(store, 4, 2)[0], trips(store, 5)[0]) == (-43, 57)


def test_services_share_the_files_of_a_view(store):
    store.features.apply(foldstore.FeatureService("other", [rides_view()[["trips"]]]))
    before = files(store)
    store.features.materialize("other")
    assert files(store) == before


def test_progress_is_told(store):
    told = []
    store.features.materialize("model", progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 1), (1, 1)]


ACT = """
from foldstore.store import Store
store = Store(storage, "tester")
store.features.materialize("model")
print("done")
"""


def _two_views(folder):
    store = foldstore.connect(folder)
    driver = foldstore.Entity("driver", keys={"driver": "int64"})
    for name in ("rides", "tours"):
        store.create_dataset(name, key=["driver", "ts"]).append(columns(ROWS))
    views = [
        foldstore.FeatureView(name, entity=driver, source=name, event_time="ts", features=[column])
        for name, column in (("rides", "trips"), ("tours", "city"))
    ]
    store.features.apply(foldstore.FeatureService("model", views))
    store.features.materialize("model")
    for name in ("rides", "tours"):
        store.dataset(name).append(columns([ride(3, 7, 37, "Bern")]))
    store.close()


@pytest.mark.parametrize(("step", "nth"), [("view-laid-out", 1), ("view-laid-out", 2), ("materialized", 1)])
def test_a_materialization_that_is_killed_leaves_the_old_answer_or_the_new_one(tmp_path, step, nth, each_catalog):
    folder = tmp_path / "store"
    _two_views(folder)
    assert_killed(run(ACT, folder, step, nth=nth, catalog_url=each_catalog))
    with foldstore.connect(folder) as store:
        found = store.features.get_online_features("model", [{"driver": 3}], at=DAY[20]).to_dict()
        new = step == "materialized"
        assert (found["trips"], found["city"]) == (([37], ["Bern"]) if new else ([304], ["Oslo"]))
        marks = {each.watermark for each in store.features.online_status()}
        assert marks == ({("rides@2",), ("tours@2",)} if new else {("rides@1",), ("tours@1",)})
        before = set(files(store))
        store.features.materialize("model")
        found = store.features.get_online_features("model", [{"driver": 3}], at=DAY[20]).to_dict()
        assert (found["trips"], found["city"]) == ([37], ["Bern"])
        made = {("view-laid-out", 1): 1, ("view-laid-out", 2): 0, ("materialized", 1): 0}
        assert len(set(files(store)) - before) == made[step, nth]  # what was finished is not made again
        assert store.verify().passed


HALF = """
import os, signal
import pyarrow as pa
from foldstore.store import Store

def die(sink, *_, **__):
    sink.write(b"half")
    os.kill(os.getpid(), signal.SIGKILL)

pa.ipc.new_file = die
Store(storage, "tester").features.materialize("model", full=True)
"""


def test_what_a_killed_writer_left_is_removed_by_gc(store, each_catalog):
    before = files(store)
    store.dataset("rides").append(columns([ride(3, 7, 37)]))
    assert_killed(run(HALF, store.root, "never", catalog_url=each_catalog))
    (left,) = set(files(store)) - set(before)
    assert left.startswith("staged-")
    assert store.gc().staged_files == 0  # it is new: its writer may not have locked it yet
    os.utime(store.root / "online" / left, (0, 0))
    told = store.gc()
    assert (told.staged_files, told.is_clean) == (1, False)
    assert "1 half-written files for lookups would be removed" in str(told)
    assert left in files(store)
    assert store.gc(dry_run=False).staged_files == 1
    assert files(store) == before
    assert trips(store, 3)[0] == 304


def test_an_online_file_that_was_cut_short_is_noticed_and_made_anew(store):
    (name,) = files(store)
    path = store.root / "online" / name
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content[: len(content) // 2])
    with foldstore.connect(store.root) as other:
        with pytest.raises(CorruptObjectError, match="does not hold the bytes"):
            trips(other, 3)
        path.unlink()
        with pytest.raises(FoldstoreError, match="cannot be opened"):
            trips(other, 3)
        other.features.materialize("model")
        assert trips(other, 3)[0] == 304


def test_of_two_that_materialize_at_once_one_is_told(store, monkeypatch):
    rides = store.dataset("rides")
    rides.append(columns([ride(3, 7, 37)]))
    with foldstore.connect(store.root) as other:
        step = store._storage.on_step

        def overtake(name):
            if name == "view-laid-out" and not done:
                done.append(name)
                rides.append(columns([ride(3, 8, 38)]))
                other.features.materialize("model")
            step(name)

        done = []
        monkeypatch.setattr(type(store._storage), "on_step", property(lambda _: overtake), raising=False)
        with pytest.raises(ConflictError, match="Another writer"):
            store.features.materialize("model")
    assert trips(store, 3)[0] == 38
