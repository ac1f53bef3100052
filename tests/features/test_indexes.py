"""The indexes of sources: built once a version, opened by others, never found again when rows were sealed or erased."""

import datetime as dt
import subprocess
import sys

import pyarrow as pa
import pytest

import foldstore
from foldstore.features.indexes import FeatureIndexes
from foldstore.views.features import index_file

DRIVER = foldstore.Entity("driver", keys={"driver": "int64"})


def at(day):
    return dt.datetime(2024, 1, day, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def _keep_small_ones(monkeypatch):
    monkeypatch.setattr(FeatureIndexes, "rows_to_keep", 1)


@pytest.fixture
def rides(store):
    dataset = store.create_dataset("rides", key=["id"])
    rows = range(60)
    dataset.append(
        {
            "id": rows, "driver": [n * 7 % 5 for n in rows], "ts": [at(1 + n * 11 % 20) for n in rows],
            "trips": list(rows), "late": [n % 3 == 0 for n in rows],
        }
    )  # fmt: skip
    view = foldstore.FeatureView("stats", entity=DRIVER, source="rides", event_time="ts", features=["trips"])
    store.features.apply(foldstore.FeatureService("model", [view]))
    return dataset


@pytest.fixture
def written(monkeypatch):
    """The names of the files that are written."""
    names, write = [], index_file.write_index

    def watch(table, columns, path, **how):
        names.append(path.name)
        write(table, columns, path, **how)

    monkeypatch.setattr("foldstore.features.indexes.write_index", watch)
    return names


def files(store):
    return sorted(path.name for path in (store.root / "indexes").glob("*/*"))


def ask(store, service="model"):
    rows = {"driver": [0, 1, 2, 3, 9], "event_timestamp": [at(9), at(10), at(30), at(1), at(5)]}
    return store.features.get_historical_features(rows, service)["trips"].to_pylist()


def test_an_index_is_built_once_and_opened_by_other_processes(store, folder, rides, written):
    first = ask(store)
    assert ask(store) == first
    with foldstore.connect(folder) as other:
        assert ask(other) == first
    assert (len(written), len(files(store))) == (1, 1)
    code = (
        "import foldstore, sys, datetime as dt\n"
        "from foldstore.features import indexes\n"
        "indexes.FeatureIndexes.rows_to_keep = 1\n"
        "indexes.write_index = None\n"
        "with foldstore.connect(sys.argv[1]) as store:\n"
        "    rows = {'driver': [2], 'event_timestamp': [dt.datetime(2024, 1, 30)]}\n"
        "    print(store.features.get_historical_features(rows, 'model')['trips'].to_pylist())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([first[2]])


def test_views_of_the_same_keys_and_times_share_one_and_others_do_not(store, rides, written):
    ask(store)
    more = foldstore.FeatureView("more", entity=DRIVER, source="rides", event_time="ts", ttl="1h", features=["late"])
    store.features.apply(foldstore.FeatureService("more", [more]))
    rows = {"driver": [1], "event_timestamp": [at(9)]}
    store.features.get_historical_features(rows, "more")
    assert len(written) == 1
    bare = foldstore.FeatureView("bare", source="rides", event_time="ts", features=["late"])
    store.features.apply(foldstore.FeatureService("bare", [bare]))
    store.features.get_historical_features(rows, "bare")
    assert len(files(store)) == 2


def more(first, trips, count=10):
    """Rows of a driver, too many to be laid over the index of an earlier version."""
    return {"id": range(first, first + count), "driver": [2] * count, "ts": [at(25)] * count,
            "trips": [trips] * count, "late": [True] * count}  # fmt: skip


def test_a_version_with_many_new_rows_has_an_index_of_its_own_and_old_ones_stay(store, rides):
    before = ask(store)
    rides.append(more(99, trips=999))
    assert ask(store)[2] == 999
    assert len(files(store)) == 2
    pinned = foldstore.FeatureView("stats", entity=DRIVER, source="rides@1", event_time="ts", features=["trips"])
    store.features.apply(foldstore.FeatureService("pinned", [pinned]))
    assert ask(store, "pinned") == before


def test_a_file_that_was_removed_or_torn_is_built_again(store, rides, written):
    first = ask(store)
    path = next((store.root / "indexes").glob("*/*"))
    path.unlink()
    assert ask(store) == first
    path.write_bytes(path.read_bytes()[:-200])
    with foldstore.connect(store.root) as other:
        assert ask(other) == first
    assert len(written) == 3


def test_a_store_that_is_only_read_builds_in_memory(store, folder, rides):
    first = ask(store)
    with foldstore.connect(folder, read_only=True) as reader:
        assert ask(reader) == first
    for path in (store.root / "indexes").glob("*/*"):
        path.unlink()
    with foldstore.connect(folder, read_only=True) as reader:
        assert ask(reader) == first
    assert files(store) == []


def test_a_query_has_none_for_its_rows_have_no_order(store, rides):
    view = foldstore.FeatureView(
        "q", entity=DRIVER, source=foldstore.sql("SELECT * FROM rides"), event_time="ts", features=["trips"]
    )
    store.features.apply(foldstore.FeatureService("query", [view]))
    ask(store, "query")
    assert not (store.root / "indexes").exists()


def test_parts_and_saved_views_have_theirs(store, rides):
    rides.latest.split("half", train=0.5, test=0.5)
    store.view("rides@1").where("late").save("late-ones")
    answers = {}
    for number, source in enumerate(["rides@1#half.train", "rides@1#half.test", "late-ones", "rides@1"]):
        view = foldstore.FeatureView(f"v{number}", entity=DRIVER, source=source, event_time="ts", features=["trips"])
        store.features.apply(foldstore.FeatureService(f"s{number}", [view]))
        answers[source] = ask(store, f"s{number}"), ask(store, f"s{number}")
    assert all(first == second for first, second in answers.values())
    assert len(files(store)) == 4
    assert len({str(first) for first, _ in answers.values()}) == 4


def test_erased_rows_leave_no_index_and_are_not_found(store, rides):
    before = ask(store)
    rides.erase(where=f"id = {before[2]}", reason="asked to")
    assert files(store) == []
    after = ask(store)
    assert after[2] not in (None, before[2])
    assert len(files(store)) == 1


def test_an_index_that_was_being_written_while_rows_were_erased_does_not_stay(store, rides, monkeypatch):
    write = index_file.write_index

    def and_then_erase(table, columns, path, **how):
        write(table, columns, path, **how)
        monkeypatch.undo()
        monkeypatch.setattr(FeatureIndexes, "rows_to_keep", 10**9)
        rides.erase(where="id = 7", reason="asked to")
        path.parent.mkdir(parents=True, exist_ok=True)
        write(table, columns, path, **how)

    monkeypatch.setattr("foldstore.features.indexes.write_index", and_then_erase)
    ask(store)
    assert files(store) == []


def test_sealing_removes_the_indexes_of_a_dataset(store, rides):
    ask(store)
    part = rides.latest.split("half", train=0.2, test=0.8).test
    plan = foldstore.plan_pool("n > 0.5 +/- 0.2", reliability=0.6, steps=1, reuse="full")
    store.pools.seal("half", part, label="late", hide=["ts"], plan=plan)
    assert files(store) == []
    assert ask(store)[4] is None


def test_garbage_collection_removes_those_of_versions_that_are_gone(store, rides):
    ask(store)
    rides.append(more(99, trips=999))
    ask(store)
    store.gc(dry_run=True)
    assert len(files(store)) == 2
    stray = store.root / "indexes" / "nobody" / "0-0-0.asof"
    stray.parent.mkdir()
    stray.write_bytes(b"")
    store.gc(dry_run=False)
    assert len(files(store)) == 2
    rides.append(more(200, trips=1000))
    assert store.verify().passed
    assert not store.verify().unreferenced


def test_a_large_source_is_sorted_in_parts(store, rides, monkeypatch):
    whole = ask(store)
    for path in (store.root / "indexes").glob("*/*"):
        path.unlink()
    monkeypatch.setattr(
        "foldstore.features.indexes.write_index",
        lambda table, columns, path: index_file.write_index(table, columns, path, rows_in_memory=16),
    )
    with foldstore.connect(store.root) as other:
        assert ask(other) == whole
    assert pa.OSFile(str(next((store.root / "indexes").glob("*/*")))).size() > 0
