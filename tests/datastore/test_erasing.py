"""Erasure by right: rows are nowhere in the store, other rows are what they were, and a crash cannot change that."""

import json
import os
import signal
import struct
import subprocess
import sys
import uuid
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.datastore.add_columns import AddColumns
from foldstore.datastore.catalog import erasures, page_switch
from foldstore.datastore.commit import CommitOptions, commit_steps
from foldstore.datastore.compaction import Compact
from foldstore.datastore.erase_survey import RowsToErase
from foldstore.datastore.erasing import EraseOptions, erase_rows
from foldstore.datastore.gate import OpenGate
from foldstore.datastore.sealing import SealOptions, seal_cells
from foldstore.datastore.storage import open_storage
from foldstore.errors import ConflictError, NotFoundError, UsageError
from foldstore.store import Store
from foldstore.validation.column_domains import CategoryDomain

STEPS = ["erase-begun", "erase-rewritten", "erase-flipped", "erase-removed", "erase-recorded", "erase-scrubbed"]
SECRET = 0x1EA1ED0000000000
GONE = range(40, 60)
ERASER = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
import pyarrow as pa
from foldstore.datastore.erase_survey import RowsToErase
from foldstore.datastore.erasing import EraseOptions, erase_rows
from foldstore.datastore.storage import open_storage

def stop(step):
    if step == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

storage = replace(open_storage(Path(sys.argv[1])), on_step=stop)
dataset = storage.catalog.find_dataset("trips")
keys = pa.table({"id": [int(sys.argv[3]) + n for n in range(40, 60)]})
erase_rows(storage, dataset, RowsToErase(keys=keys), EraseOptions(actor="victim", reason="asked"))
print("erased")
"""
OPTIONS = EraseOptions(actor="steward", reason="asked")


def _rows(ids):
    ids = list(ids)
    return {
        "id": [SECRET + i for i in ids],
        "word": pa.array([f"WORD{SECRET + i:x}" for i in ids]).dictionary_encode(),
        "text": [f"TEXT{SECRET + i:x}" for i in ids],
        "real": [float(SECRET + i * 4096) for i in ids],
        "list": [[SECRET + i, 1] for i in ids],
    }


def _keys(ids):
    return pa.table({"id": [SECRET + i for i in ids]})


def _traces(folder, ids):
    everything = b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())
    needles = []
    for i in ids:
        number = SECRET + i
        needles += [struct.pack("<q", number), f"{number:x}".encode(), str(number).encode()]
        needles += [struct.pack("<d", SECRET + i * 4096), struct.pack("<q", (number * 2) & (2**63 - 1))]
    return [needle for needle in needles if needle in everything]


def _contents(store):
    return {v.number: v.to_arrow().to_pylist() for v in store.dataset("trips").versions()}


def _without(rows, ids):
    gone = {SECRET + i for i in ids}
    return [row for row in rows if row["id"] not in gone]


@pytest.fixture
def trips(store):
    """Versions by every kind of commit; all of them have the rows to erase, or had."""
    dataset = store.create_dataset("trips", key=["id"])
    dataset.append(_rows(range(100)))
    dataset.append(_rows(range(100, 200)))
    dataset.add_columns({"half": "real / 2"})
    dataset.delete(keys=_keys(range(30, 50)))
    dataset.compact()
    dataset.upsert(_rows(range(50, 70)))
    dataset.create_branch("side", 2)
    dataset.branch("side").append(_rows(range(200, 210)))
    return dataset


@pytest.fixture
def storage(folder, trips):
    opened = open_storage(folder)
    yield opened
    opened.close()


def _erase(storage, ids=GONE, **more):
    dataset = storage.catalog.find_dataset("trips")
    return erase_rows(storage, dataset, RowsToErase(keys=_keys(ids)), replace(OPTIONS, **more))


def test_erased_rows_are_in_no_version_and_other_rows_are_what_they_were(folder, store, storage, trips):
    before = _contents(store)
    ids = {v.number: v.row_ids().tolist() for v in trips.versions()}
    reached = _erase(storage)
    with foldstore.connect(folder) as fresh:
        after = _contents(fresh)
        assert after == {number: _without(rows, GONE) for number, rows in before.items()}
        for version in fresh.dataset("trips").versions():
            assert version.num_rows == len(after[version.number])
            assert set(version.row_ids().tolist()) <= set(ids[version.number])
            assert fresh.sql(f'SELECT count(*) FROM "trips@{version.number}"').rows() == [(version.num_rows,)]
            assert version.profile().rows == version.num_rows
        assert fresh.verify().passed
    assert [v.number for v in reached.versions] == [v.number for v in trips.versions()]


def test_erased_values_are_in_no_file_of_the_store(folder, storage, trips):
    for version in trips.versions():
        version.profile()
    assert len(_traces(folder, GONE)) >= 60
    _erase(storage)
    assert _traces(folder, GONE) == []
    assert len(_traces(folder, range(40))) >= 120


def test_old_addresses_are_in_no_file_and_nothing_is_left_in_staging(folder, storage):
    old = {path.stem for path in (folder / "objects").rglob("*.arrow")}
    _erase(storage)
    new = {path.stem for path in (folder / "objects").rglob("*.arrow")}
    everything = b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())
    assert old - new
    assert not any(name.encode() in everything for name in old - new)
    assert new == set(storage.catalog.list_object_ids())
    assert not (folder / "staging").exists() or not list((folder / "staging").iterdir())
    assert erasures.list_pending(storage.catalog) == []


def test_the_journal_keeps_a_tombstone_and_nothing_of_the_rows(store, trips):
    done = trips.erase([{"id": SECRET + 41}], reason="asked to be forgotten", reference="ticket 17")
    (kept,) = trips.erasures()
    assert (kept.actor, kept.reason, kept.reference) == ("tester", "asked to be forgotten", "ticket 17")
    assert (kept.rows, kept.files, len(kept.versions)) == (done.rows, done.files, len(done.versions))
    (entry,) = store._storage.journal.list_entries(f"erasures/{trips.record.id}")
    assert sorted(json.loads(entry.body)) == ["erasure", "files", "reason", "reference", "rows", "versions"]
    assert store.verify().passed


def test_a_dry_run_says_what_would_go_and_changes_nothing(folder, store, trips):
    def files():
        return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and "catalog" not in p.name}

    before, contents = files(), _contents(store)
    seen = trips.erase(_keys(GONE), reason="asked", dry_run=True)
    assert files() == before
    assert _contents(store) == contents
    assert trips.erasures() == []
    done = trips.erase(_keys(GONE), reason="asked")
    assert (seen.rows, seen.versions, seen.files) == (done.rows, done.versions, done.files)


def test_handles_that_were_opened_before_lose_the_rows_too(store, trips):
    read, unread = trips.version(2), trips.version(1)
    assert read.to_arrow().num_rows == 200
    trips.erase(_keys(GONE), reason="asked")
    for version in (read, unread):
        assert version.to_arrow().to_pylist() == trips.version(version.number).to_arrow().to_pylist()
        assert version.num_rows == version.to_arrow().num_rows
    assert store.sql('SELECT count(*) FROM "trips@2"').rows() == [(180,)]


def test_splits_give_the_other_rows_the_parts_that_they_had(folder, trips):
    version = trips.version(2)
    split = version.split("half", train=0.5, test=0.5)
    parts = {part: split.part(part).to_arrow(["id"])["id"].to_pylist() for part in ("train", "test")}
    trips.erase(_keys(GONE), reason="asked")
    gone = {SECRET + i for i in GONE}
    with foldstore.connect(folder) as fresh:
        for number in (2, 6):
            here = {row["id"] for row in fresh.dataset("trips").version(number).to_arrow(["id"]).to_pylist()}
            for part, members in parts.items():
                found = fresh.view(f"trips@{number}#half.{part}").to_arrow()["id"].to_pylist()
                assert {i for i in found if i in here} >= {i for i in members if i in here and i not in gone}
                assert gone.isdisjoint(found)


@pytest.mark.parametrize("step", STEPS)
def test_an_erasure_killed_at_any_step_is_whole_or_absent(folder, store, trips, step):
    before = _contents(store)
    command = [sys.executable, "-c", ERASER, str(folder), step, str(SECRET)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    erased = STEPS.index(step) >= STEPS.index("erase-flipped")
    expected = {n: _without(rows, GONE) for n, rows in before.items()} if erased else before
    for opened in (Store(open_storage(folder), "reader"), foldstore.connect(folder)):  # only the second one recovers
        with opened:
            assert _contents(opened) == expected
    assert store.verify().passed
    assert bool(_traces(folder, GONE)) is not erased
    storage = open_storage(folder)
    assert erasures.list_pending(storage.catalog) == []
    assert {path.stem for path in (folder / "objects").rglob("*.arrow")} == set(storage.catalog.list_object_ids())
    assert len(trips.erasures()) == erased
    if not erased:
        _erase(storage)
        assert _traces(folder, GONE) == []


def test_an_erasure_that_nobody_kills_is_acknowledged(folder, trips):
    command = [sys.executable, "-c", ERASER, str(folder), "-", str(SECRET)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "erased\n"


def test_an_erasure_that_fails_leaves_the_store_as_it_was(folder, store, storage, monkeypatch):
    before = _contents(store)
    monkeypatch.setattr(erasures, "flip_erasure", lambda *_: (_ for _ in ()).throw(OSError("refused")))
    with pytest.raises(OSError, match="refused"):
        _erase(storage)
    assert erasures.list_pending(storage.catalog) == []
    assert _contents(store) == before
    assert store.verify().passed
    assert {path.stem for path in (folder / "objects").rglob("*.arrow")} == set(storage.catalog.list_object_ids())


def test_an_ambiguous_flip_is_looked_up_and_not_repeated(folder, storage, trips, monkeypatch):
    real = erasures.flip_erasure

    def flip_then_fail(*args):
        real(*args)
        raise OSError("the connection broke after COMMIT")

    monkeypatch.setattr(erasures, "flip_erasure", flip_then_fail)
    _erase(storage)
    assert len(trips.erasures()) == 1
    assert _traces(folder, GONE) == []


def test_a_version_that_arrives_while_rows_are_erased_loses_them_too(folder, storage):
    def meddle(step, done=[]):  # noqa: B006  # remembers that it meddled
        if step == "erase-rewritten" and not done:
            done.append(step)
            with foldstore.connect(folder) as other:
                other.dataset("trips").append(_rows(range(300, 310)))

    _erase(replace(storage, on_step=meddle), [*GONE, 305])
    with foldstore.connect(folder) as fresh:
        gone = {SECRET + i for i in [*GONE, 305]}
        assert all(gone.isdisjoint(row["id"] for row in rows) for rows in _contents(fresh).values())
        assert fresh.verify().passed


def _commit_while_rows_go(folder, step):
    """Commit a step in whose midst, when its files are written, two rows are erased."""
    storage, other = open_storage(folder), open_storage(folder)
    record = storage.catalog.find_dataset("trips")
    done = []

    def meddle(name):
        if name == "judged" and not done:
            done.append(name)
            erase_rows(other, record, RowsToErase(keys=pa.table({"id": [5, 45]})), OPTIONS)

    slow = replace(storage, on_step=meddle)
    return commit_steps(slow, record, [step], options=CommitOptions(author="t"), gate=OpenGate())


@pytest.fixture
def small(store):
    dataset = store.create_dataset("trips", key=["id"])
    for start in range(0, 100, 20):
        dataset.append({"id": list(range(start, start + 20)), "n": [7] * 20})
    return dataset


def test_a_compaction_that_had_copied_the_rows_does_not_bring_them_back(folder, store, small):
    with pytest.raises(ConflictError, match="compacted has been changed") as caught:
        _commit_while_rows_go(folder, Compact())
    assert caught.value.retry
    assert small.compact().num_rows == 98
    assert not any({5, 45} & set(v.to_arrow()["id"].to_pylist()) for v in small.versions())
    assert store.verify().passed


def test_columns_that_were_computed_from_the_rows_are_computed_anew(folder, store, small):
    _commit_while_rows_go(folder, AddColumns({"twice": "id * 2"}))
    table = small.latest.to_arrow()
    assert table["twice"].to_pylist() == [2 * i for i in table["id"].to_pylist()]
    whole = small.latest.rows.with_deleted().to_table()
    assert whole.filter(pa.compute.is_null(whole["id"])).to_pylist() == [{"id": None, "n": None, "twice": None}] * 2
    assert store.verify().passed


def test_a_seal_takes_computed_cells_from_commits_under_way_as_well(folder, store):
    store.create_dataset("loose").append({"id": list(range(100)), "label": [SECRET + i for i in range(100)]})
    storage, other = open_storage(folder), open_storage(folder)
    record = storage.catalog.find_dataset("loose")
    done = []

    def meddle(name):
        if name == "judged" and not done:
            done.append(name)
            rows = {1: np.arange(100) >= 50}
            seal_cells(other, record, rows, ["label"], options=SealOptions(actor="steward"))

    steps = [AddColumns({"more": "label + 1"})]
    commit_steps(replace(storage, on_step=meddle), record, steps, options=CommitOptions(author="t"), gate=OpenGate())
    with foldstore.connect(folder) as fresh:
        assert fresh.dataset("loose").latest.to_arrow(["more"])["more"].null_count == 50


def test_sealed_rows_can_be_sealed_and_erased_where_rows_were_deleted(folder, store):
    dataset = store.create_dataset("trips", key=["id"])
    dataset.append(_rows(range(100)))
    dataset.delete(keys=_keys(range(10)))
    storage = open_storage(folder)
    record = storage.catalog.find_dataset("trips")
    seal_cells(storage, record, {1: np.arange(100) >= 50}, ["text"], options=SealOptions(actor="steward"))
    _erase(storage, [5, 55])
    with foldstore.connect(folder) as fresh:
        assert [v.num_rows for v in fresh.dataset("trips").versions()] == [98, 89]
        assert fresh.dataset("trips").latest.to_arrow(["text"])["text"].null_count == 49
        assert fresh.verify().passed
    everything = b"".join(
        p.read_bytes() for p in folder.rglob("*") if p.is_file() and "sealed" not in p.relative_to(folder).parts
    )
    assert f"{SECRET + 55:x}".encode() not in everything


def test_rows_may_be_named_by_a_condition_and_by_their_ids_where_there_is_no_key(folder, store):
    loose = store.create_dataset("loose")
    loose.append({"name": ["Ada", "Bob", "Ada"], "n": [1, 2, 3]})
    version = loose.append({"name": ["Ada", "Cy"], "n": [4, 5]})
    with pytest.raises(UsageError, match="has no key"):
        loose.erase([{"name": "Ada"}], reason="asked")
    loose.erase(row_ids=version.row_ids()[1:2], reason="asked")
    assert loose.latest.to_arrow()["n"].to_pylist() == [1, 3, 4, 5]
    assert loose.erase(where="name = 'Ada'", reason="asked").rows == 3
    assert [v.to_arrow()["n"].to_pylist() for v in loose.versions()] == [[], [5]]


def test_a_condition_is_judged_in_every_version_that_has_its_columns(store):
    dataset = store.create_dataset("people", key=["id"])
    dataset.append({"id": [1, 2, 3], "name": ["Ada", "Bob", "Cy"]})
    dataset.upsert({"id": [1], "name": ["Anonymous"]})
    dataset.drop_columns(["name"])
    assert dataset.erase(where="name = 'Ada'", reason="asked").rows == 2
    assert [sorted(v.to_arrow()["id"].to_pylist()) for v in dataset.versions()] == [[2, 3]] * 3
    with pytest.raises(NotFoundError, match="no column 'nome'"):
        dataset.erase(where="nome = 'Bob'", reason="asked")


def test_rows_in_a_quarantined_version_go_too_and_its_report_quotes_them_no_more(folder, store):
    dataset = store.create_dataset("people", key=["id"])
    dataset.append({"id": list(range(100)), "name": ["Ada", "Bob"] * 50})
    schema = dataset.latest.profile().infer_schema()
    dataset.set_schema(schema.with_column("name", domain=CategoryDomain(values=("Ada", "Bob"))))
    refused = dataset.append({"id": [7, 200], "name": ["SECRETNAME", "Bob"]})
    assert refused.status == "quarantined"
    assert "SECRETNAME" in json.dumps(refused.report.to_dict())
    dataset.erase({"id": [7]}, reason="asked")
    assert (
        dataset.version(2).to_arrow()["id"].to_pylist() == [200]
        or 7 not in dataset.version(2).to_arrow()["id"].to_pylist()
    )
    report = dataset.version(2).report
    assert not report.passed
    assert all(anomaly.example_rows == () for anomaly in report.anomalies)
    assert b"SECRETNAME" not in b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())


def test_bounds_in_manifests_are_those_of_the_rows_that_stay(store):
    dataset = store.create_dataset("people", key=["id"])
    dataset.append({"id": [1, 5, 900]})
    dataset.erase([{"id": 900}], reason="asked")
    (fragment,) = dataset.latest.rows.fragments
    assert [bound[1:] for bound in fragment.bounds] == [(1, 5)]
    dataset.erase([{"id": 1}, {"id": 5}], reason="asked")
    assert dataset.version(1).rows.fragments[0].bounds == ()
    assert dataset.append({"id": [1, 900]}).num_rows == 2  # their keys are free again


def test_the_numbers_of_versions_count_what_is_left(folder, store, trips):
    trips.erase(_keys([*GONE, 205]), reason="asked")
    added = [v.record.rows_added for v in trips.versions()]
    assert added == [80, 100, 0, 0, 0, 10, 9]
    for described in (folder / "commits").rglob("*.json"):
        kept = json.loads(described.read_text())["version"]
        assert kept["num_rows"] == trips.version(kept["number"]).num_rows


def test_what_was_not_reached_is_named(store, trips):
    store.create_dataset("copy").append(_rows(range(100)))
    done = trips.erase(_keys([41]), reason="asked")
    whats = [what for what, _ in done.not_reached]
    assert "copy@1" in whats
    assert "backups and exports" in whats
    assert store.dataset("copy").latest.num_rows == 100
    assert f"{SECRET + 41}" not in str(done)
    assert done.to_dict()["not_reached"][0]["what"] == "copy@1"
    assert trips.latest.num_rows == trips.latest.to_arrow().num_rows


def test_keys_that_no_row_has_are_counted_and_an_erasure_of_nothing_is_refused(trips):
    assert trips.erase(_keys([41, 5000, 5001]), reason="asked").unknown_keys == 2
    with pytest.raises(NotFoundError, match="No version"):
        trips.erase(_keys([41]), reason="again")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"reason": " "}, "needs a reason"),
        ({"reason": "x" * 2000}, "reason is not a text"),
        ({"reason": "x", "reference": 7}, "reference is not a text"),
        ({"reason": "x", "where": "id > 1"}, "in one way"),
        ({"reason": "x", "keys": None}, "in one way"),
        ({"reason": "x", "keys": {"id": [None]}}, "null"),
        ({"reason": "x", "keys": {"word": ["a"]}}, "'id'"),
        ({"reason": "x", "keys": None, "row_ids": [1.5]}, "whole numbers"),
        ({"reason": "x", "keys": None, "row_ids": [99 << 32]}, "No row"),
    ],
)
def test_what_cannot_be_erased_is_refused_before_anything_is_done(store, trips, words, message):
    before = _contents(store)
    with pytest.raises((UsageError, NotFoundError), match=message):
        trips.erase(**{"keys": _keys([41]), **words})
    assert trips.erasures() == []
    assert _contents(store) == before


def test_files_for_lookups_are_removed_and_the_service_is_named(folder, store):
    import datetime as dt

    day = [dt.datetime(2024, 1, n, tzinfo=dt.UTC) for n in range(1, 5)]
    rides = store.create_dataset("rides")
    rides.append({"driver": ["SECRETDRIVER", "b"], "ts": day[:2], "trips": [10, 30]})
    driver = foldstore.Entity("driver", keys={"driver": "string"})
    stats = foldstore.FeatureView("stats", entity=driver, source="rides", event_time="ts", features=["trips"])
    store.features.apply(foldstore.FeatureService("trips", [stats]))
    store.features.materialize("trips@1")
    assert store.features.get_online_features("trips@1", [{"driver": "b"}], at=day[3]).to_dict()["trips"] == [30]
    done = rides.erase(where="driver = 'SECRETDRIVER'", reason="asked")
    assert done.services == ("trips@1",)
    assert b"SECRETDRIVER" not in b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())
    with pytest.raises(NotFoundError, match="not materialized"):
        store.features.get_online_features("trips@1", [{"driver": "b"}], at=day[3])
    store.features.materialize("trips@1")
    assert store.features.get_online_features("trips@1", [{"driver": "b"}], at=day[3]).to_dict()["trips"] == [30]


def test_an_erasure_waits_for_nobody_and_the_next_open_cleans_what_a_reader_kept(folder, store, storage, monkeypatch):
    monkeypatch.setattr(page_switch, "_SCRUB_WAIT_MS", 50)
    reader = open_storage(folder)
    with reader.catalog.read() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM object").all()
        assert not _erase(storage).scrubbed
    assert [each.state for each in erasures.list_pending(storage.catalog)] == ["flipped"]
    foldstore.connect(folder).close()
    assert erasures.list_pending(storage.catalog) == []
    assert _traces(folder, GONE) == []


def test_what_a_failed_append_left_behind_is_removed_with_the_rows(folder, store, storage, trips):
    with pytest.raises(foldstore.FoldstoreError, match="more than once"):
        trips.append({**_rows(range(100)), "text": ["x"] * 100})
    _erase(storage)
    assert _traces(folder, GONE) == []


@pytest.fixture
def postgres():
    """The URL of an empty schema on the PostgreSQL server, where there is one."""
    import sqlalchemy as sa

    server = os.environ.get("FOLDSTORE_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres")
    name = f"foldstore_{uuid.uuid4().hex}"
    try:
        engine = sa.create_engine(server, connect_args={"connect_timeout": 3})
        with engine.begin() as connection:
            connection.execute(sa.text(f"CREATE SCHEMA {name}"))
    except (sa.exc.DBAPIError, ImportError) as error:
        if os.environ.get("FOLDSTORE_REQUIRE_SERVICES"):
            raise
        pytest.skip(f"no PostgreSQL server: {error}")
    yield f"{server}?options=-csearch_path%3D{name}"
    with engine.begin() as connection:
        connection.execute(sa.text(f"DROP SCHEMA {name} CASCADE"))
    engine.dispose()


def test_rows_are_erased_where_the_catalog_is_postgresql(folder, postgres):
    with foldstore.connect(folder, catalog_url=postgres, author="tester") as store:
        dataset = store.create_dataset("trips", key=["id"])
        dataset.append(_rows(range(100)))
        dataset.delete(keys=_keys(range(30, 45)))
        dataset.latest.profile()
        assert dataset.erase(_keys(GONE), reason="asked").rows == 20
        assert [v.num_rows for v in dataset.versions()] == [80, 70]
        assert store.verify().passed
        assert _traces(folder, GONE) == []
        catalog = store._storage.catalog
        with catalog.read() as connection:
            for table in ("object", "page", "derived", "document", "journal"):
                rows = connection.exec_driver_sql(f'SELECT * FROM "{table}"').all()
                assert not any(f"{SECRET + i}" in str(row) for i in GONE for row in rows)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_erasing_takes_the_rows_and_nothing_else_from_any_history(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("any") / "store"
    with foldstore.connect(folder) as store:
        dataset = store.create_dataset("trips", key=["id"])
        dataset.append({"id": list(range(20)), "n": [SECRET + i for i in range(20)]})
        fresh = 20
        for turn in range(data.draw(st.integers(0, 5))):
            act = data.draw(st.sampled_from(["append", "delete", "upsert", "compact", "columns", "branch"]))
            some = data.draw(st.sets(st.integers(0, fresh - 1), min_size=1, max_size=6))
            if act == "append":
                dataset.append(
                    {"id": list(range(fresh, fresh + 8)), "n": [SECRET + i for i in range(fresh, fresh + 8)]}
                )
                fresh += 8
            elif act == "delete":
                dataset.delete(keys={"id": sorted(some)})
            elif act == "upsert":
                dataset.upsert({"id": sorted(some), "n": [SECRET + i for i in sorted(some)]})
            elif act == "compact":
                dataset.compact()
            elif act == "columns":
                dataset.add_columns({f"c{turn}": "n / 2"})
            else:
                dataset.create_branch(f"b{turn}").delete(keys={"id": sorted(some)})
        before = _contents(store)
        ids = {
            v.number: dict(zip(v.to_arrow()["id"].to_pylist(), v.row_ids().tolist(), strict=True))
            for v in dataset.versions()
        }
        gone = data.draw(st.sets(st.integers(0, fresh - 1), min_size=1, max_size=8))
        dataset.erase({"id": sorted(gone)}, reason="asked")
    with foldstore.connect(folder) as store:
        dataset = store.dataset("trips")
        expected = {n: [row for row in rows if row["id"] not in gone] for n, rows in before.items()}
        assert _contents(store) == expected
        for version in dataset.versions():
            found = dict(zip(version.to_arrow()["id"].to_pylist(), version.row_ids().tolist(), strict=True))
            assert found == {i: row for i, row in ids[version.number].items() if i not in gone}
        assert store.verify().passed
        everything = b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())
        assert not any(struct.pack("<q", SECRET + i) in everything for i in gone)
        # The line goes on: appends, and the keys are free again.
        dataset.append({"id": [min(gone)], "n": [1]})
        assert store.verify().passed
