"""The cold tier: the same bytes come back, reading goes on, and a crash leaves whichever file the catalog names."""

import datetime as dt
import os
import signal
import subprocess
import sys
import threading
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.datastore.cold_file import decode_cold, write_cold
from foldstore.datastore.column_group import open_batches, to_buffer
from foldstore.datastore.rebuild import rebuild_catalog
from foldstore.datastore.restore import restore_backup
from foldstore.errors import CorruptObjectError, UsageError

FREEZE_STEPS = ["freeze-written", "freeze-linked", "freeze-flipped", "freeze-removed"]
THAW_STEPS = ["thaw-written", "thaw-linked", "thaw-flipped", "thaw-removed"]
MOVER = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from foldstore.datastore.freezing import freeze_versions, thaw_versions
from foldstore.datastore.storage import open_storage

def stop(step):
    if step == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

storage = replace(open_storage(Path(sys.argv[1])), on_step=stop)
dataset = storage.catalog.find_dataset("trips")
move = freeze_versions if sys.argv[2].startswith("freeze") else thaw_versions
move(storage, {storage.catalog.find_version(dataset.id, 1).id})
"""


def _rows(count=5_000):
    return {
        "id": list(range(count)),
        "real": [None if i % 7 == 0 else i / 3 for i in range(count)],
        "word": pa.array([f"w{i % 13}" for i in range(count)]).dictionary_encode(),
        "text": [None if i % 5 == 0 else "x" * (i % 50) for i in range(count)],
        "flag": [None if i % 11 == 0 else i % 2 == 0 for i in range(count)],
        "list": [None if i % 3 == 0 else [i] * (i % 4) for i in range(count)],
    }


def _files(folder):
    return {p.name: p.read_bytes() for p in (folder / "objects").rglob("*") if p.is_file()}


@pytest.fixture
def trips(store):
    """A version whose files no other version needs, and a newer one."""
    dataset = store.create_dataset("trips", key=["id"])
    dataset.append(_rows())
    dataset.overwrite({name: values[:100] for name, values in _rows().items()})
    return dataset


def test_a_frozen_version_reads_as_it_did_and_comes_back_byte_for_byte(folder, store, trips):
    before, table = _files(folder), trips.version(1).to_arrow()
    frozen = trips.version(1).freeze()
    assert (frozen.objects, frozen.kept, frozen.needed) == (1, (), 0)
    assert frozen.cold_bytes < frozen.hot_bytes
    assert sorted(name.rpartition(".")[2] for name in _files(folder)) == ["arrow", "parquet"]
    with foldstore.connect(folder) as fresh:
        version = fresh.dataset("trips").version(1)
        assert version.to_arrow().equals(table)
        assert version.cold_bytes == frozen.hot_bytes
        assert fresh.sql('SELECT count(real), max(id) FROM "trips@1"').rows() == [(4285, 4999)]
        assert version.profile().rows == 5000
        assert fresh.verify().passed
    assert trips.version(1).thaw().objects == 1
    assert _files(folder) == before
    assert trips.version(1).to_arrow().equals(table)
    assert store.verify().passed


def test_explain_says_that_a_frozen_version_is_decoded(folder, trips):
    assert trips.version(1).view().explain().zero_copy
    trips.version(1).freeze()
    with foldstore.connect(folder) as fresh:
        explained = fresh.view("trips@1").explain()
        assert not explained.zero_copy
        assert "decoded from the cold tier" in str(explained)


def test_files_that_other_versions_need_stay_hot_unless_forced(store):
    dataset = store.create_dataset("n")
    dataset.append({"n": list(range(1000))})
    dataset.append({"n": list(range(1000, 2000))})
    kept = dataset.version(1).freeze()
    assert (kept.objects, kept.needed) == (0, 1)
    assert dataset.version(1).freeze(force=True).objects == 1
    assert dataset.latest.to_arrow()["n"].to_pylist() == list(range(2000))
    assert store.verify().passed


def test_a_dataset_is_frozen_but_for_what_is_new_or_has_a_name(store):
    dataset = store.create_dataset("n")
    for turn in range(5):
        dataset.overwrite({"n": [turn] * 1000}) if turn else dataset.append({"n": [turn] * 1000})
    dataset.tag("paper", 2)
    assert store.freeze("n", older_than="2001-01-01").objects == 0
    assert store.freeze("n", keep=2).objects == 2
    assert [bool(v.cold_bytes) for v in dataset.versions()] == [True, False, True, False, False]
    assert store.thaw("n").objects == 2
    with pytest.raises(UsageError, match="not a time"):
        store.freeze("n", older_than="yesterday")


def test_freezing_again_does_nothing(store, trips):
    assert trips.version(1).freeze().objects == 1
    assert trips.version(1).freeze().objects == 0
    assert trips.version(1).thaw().objects == 1
    assert trips.version(1).thaw().objects == 0


@pytest.mark.parametrize("step", [*FREEZE_STEPS, *THAW_STEPS])
def test_a_move_killed_at_any_step_leaves_what_the_catalog_names(folder, store, trips, step):
    before, table = _files(folder), trips.version(1).to_arrow()
    if step in THAW_STEPS:
        trips.version(1).freeze()
    done = subprocess.run([sys.executable, "-c", MOVER, str(folder), step], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with foldstore.connect(folder) as fresh:
        version = fresh.dataset("trips").version(1)
        assert version.to_arrow().equals(table)
        assert fresh.verify().passed
        cold = step in (*FREEZE_STEPS[2:], *THAW_STEPS[:2])
        assert bool(version.cold_bytes) is cold
        version.freeze()
        assert len(_files(folder)) == 2
        version.thaw()
        assert _files(folder) == before
    assert not list((folder / "staging").iterdir())


def test_a_damaged_cold_file_is_found_and_not_shown(folder, store, trips):
    trips.version(1).freeze()
    (file,) = (folder / "objects").rglob("*.parquet")
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.chmod(0o600)
    file.write_bytes(damaged)
    assert [fault.what for fault in store.verify().faults] == ["object"]
    with foldstore.connect(folder) as fresh:
        version = fresh.dataset("trips").version(1)
        with pytest.raises(CorruptObjectError):
            version.thaw()
        file.unlink()
        with pytest.raises(CorruptObjectError, match="missing from the cold tier"):
            version.to_arrow()


def test_a_reader_that_looked_before_a_move_finds_the_file_after_it(folder, store, trips):
    version = trips.version(1)
    version.rows.fragments  # noqa: B018  # known, and no file opened
    real = store._storage.catalog.read_objects
    stale = real(store._storage.catalog.list_object_ids())
    with foldstore.connect(folder) as other:
        other.dataset("trips").version(1).freeze()
    answers = [stale]
    store._storage.catalog.read_objects = lambda ids: answers.pop() if answers else real(ids)
    assert version.to_arrow().num_rows == 5000


def test_sealing_and_erasing_reach_frozen_files(folder, store):
    dataset = store.create_dataset("people", key=["id"])
    dataset.append({"id": list(range(2000)), "name": [f"NAME{i:06d}" for i in range(2000)]})
    dataset.overwrite({"id": [1], "name": ["NAME000001"]})
    dataset.version(1).freeze()
    dataset.erase([{"id": 1}, {"id": 77}], reason="asked")
    assert not list((folder / "objects").rglob("*.parquet"))
    assert dataset.version(1).to_arrow().num_rows == 1998
    assert dataset.version(1).freeze().objects == 1
    with foldstore.connect(folder) as fresh:
        found = fresh.dataset("people").version(1)
        assert "NAME000077" not in found.to_arrow()["name"].to_pylist()
        assert found.rows.with_deleted().to_table()["name"].null_count == 2
        assert fresh.verify().passed


def test_a_commit_of_the_same_bytes_leaves_a_frozen_file_readable(folder, store):
    rows = {"n": list(range(1000))}
    first, second = store.create_dataset("first"), store.create_dataset("second")
    first.append(rows)
    first.latest.freeze()
    second.append(rows)
    with foldstore.connect(folder) as fresh:
        assert fresh.dataset("second").latest.to_arrow()["n"].to_pylist() == rows["n"]
        assert fresh.verify().passed
        fresh.dataset("first").latest.freeze(force=True)
        assert len(_files(folder)) == 1


def test_two_that_freeze_at_once_leave_a_whole_store(folder, store, trips):
    table, errors = trips.version(1).to_arrow(), []

    def freeze():
        with foldstore.connect(folder) as mine:
            try:
                mine.dataset("trips").version(1).freeze()
            except foldstore.FoldstoreError as error:
                errors.append(error.code)

    threads = [threading.Thread(target=freeze) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(errors) <= {"commit-conflict"}
    with foldstore.connect(folder) as fresh:
        assert fresh.dataset("trips").version(1).to_arrow().equals(table)
        assert fresh.verify().passed


FROZEN = [
    pa.int8(), pa.uint64(), pa.float32(), pa.float64(), pa.bool_(), pa.string(), pa.large_string(), pa.binary(),
    pa.binary(4), pa.date32(), pa.timestamp("ns", "Europe/Paris"), pa.timestamp("us"), pa.time64("us"),
    pa.decimal128(30, 2), pa.list_(pa.int32()), pa.large_list(pa.string()), pa.struct([("x", pa.int64())]),
    pa.map_(pa.string(), pa.int16()), pa.list_(pa.float64(), 2), pa.dictionary(pa.int32(), pa.string()),
]  # fmt: skip


def _values(kind, numbers):
    t = pa.types
    if t.is_dictionary(kind):
        return pa.array([None if n is None else f"w{n}" for n in numbers]).dictionary_encode().cast(kind)
    make = {
        pa.bool_(): lambda n: bool(n % 2),
        pa.string(): str,
        pa.large_string(): str,
        pa.binary(): lambda n: str(n).encode(),
        pa.binary(4): lambda n: n.to_bytes(4, "big"),
        pa.date32(): lambda n: dt.date(2000, 1, 1) + dt.timedelta(n),
        pa.time64("us"): lambda n: dt.time(n % 24),
        pa.decimal128(30, 2): Decimal,
        pa.list_(pa.int32()): lambda n: [n] * (n % 3),
        pa.large_list(pa.string()): lambda n: [str(n)] * (n % 3),
        pa.struct([("x", pa.int64())]): lambda n: {"x": n or None},
        pa.map_(pa.string(), pa.int16()): lambda n: [(str(n), n)],
        pa.list_(pa.float64(), 2): lambda n: [float(n), 0.5],
    }.get(kind, lambda n: n)
    return pa.array([None if n is None else make(n) for n in numbers], kind)


@settings(max_examples=60)
@given(
    kind=st.sampled_from(FROZEN),
    numbers=st.lists(st.one_of(st.none(), st.integers(0, 100)), min_size=1),
    cut=st.integers(1, 40),
)
def test_every_type_comes_back_as_the_same_bytes(tmp_path_factory, kind, numbers, cut):
    path = tmp_path_factory.mktemp("cold") / "file.parquet"
    schema = pa.schema([pa.field("c", kind, metadata={b"foldstore.field": b"3"})])
    if pa.types.is_struct(kind) or pa.types.is_fixed_size_list(kind):
        numbers = [0 if n is None else n for n in numbers]  # what lies under their nulls is not kept
    if pa.types.is_dictionary(kind):
        numbers = [*numbers, 7]  # the layout of an empty dictionary is not kept
    column = _values(kind, numbers)
    places = [list(range(start, min(start + cut, len(column)))) for start in range(0, len(column), cut)]
    # Copies, since Arrow writes a few bytes behind a short slice, and Parquet cannot know these.
    batches = [pa.RecordBatch.from_arrays([column.take(pa.array(here))], schema=schema) for here in places]
    whole = to_buffer(schema, batches)
    with path.open("wb") as file:
        write_cold(file, open_batches(whole, "b3-x"))
    assert decode_cold(path, "b3-x").equals(whole)


@pytest.mark.parametrize(
    ("column", "why"),
    [
        (pa.array([(1, 2, 3)], pa.month_day_nano_interval()), "month_day_nano"),
        (
            pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]),
            "union",
        ),
    ],
)
def test_what_parquet_cannot_hold_stays_hot_and_is_named(store, column, why):
    dataset = store.create_dataset("odd")
    dataset.append(pa.table({"n": column}))
    ((_, said),) = dataset.latest.freeze().kept
    assert why in said
    assert dataset.latest.cold_bytes == 0
    assert store.verify().passed


def test_bytes_under_nulls_that_parquet_does_not_keep_leave_the_file_hot_and_name_the_column(store):
    values = np.arange(8, dtype=np.int64)
    under_null = pa.Array.from_buffers(pa.int64(), 8, [pa.py_buffer(b"\x0f"), pa.py_buffer(values)])
    dataset = store.create_dataset("odd")
    dataset.append(pa.table({"fine": list(range(8)), "odd": under_null}))
    ((_, said),) = dataset.latest.freeze().kept
    assert said == "Parquet does not give the same bytes again for odd."


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_cold_files_are_read_only(folder, trips):
    trips.version(1).freeze()
    (file,) = (folder / "objects").rglob("*.parquet")
    assert oct(file.stat().st_mode & 0o777) == "0o444"


def test_frozen_versions_are_backed_up_restored_and_found_by_a_rebuild(tmp_path):
    with foldstore.connect(tmp_path / "store") as store:
        dataset = store.create_dataset("d", key=["id"])
        dataset.append({"id": [1, 2], "x": [1.5, None]})
        dataset.overwrite({"id": [3], "x": [2.5]})
        before = {version.number: version.to_arrow().to_pylist() for version in dataset.versions()}
        assert store.freeze("d@1").objects == 1
        store.backup(tmp_path / "backup")
        assert store.verify().passed
    restore_backup(tmp_path / "backup", tmp_path / "again")
    (tmp_path / "store" / "catalog.db").unlink()
    rebuild_catalog(tmp_path / "store")
    for folder in ("again", "store"):
        with foldstore.connect(tmp_path / folder) as store:
            versions = store.dataset("d").versions()
            assert {version.number: version.to_arrow().to_pylist() for version in versions} == before
            assert store.verify().passed
            assert store.thaw("d@1").objects == 1
            assert store.verify().passed
