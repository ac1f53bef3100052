"""Collection: what something needs stays, what nothing needs goes, whoever races, crashes or turns the clock."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

import foldstore
from foldstore.datastore.append import Append
from foldstore.datastore.catalog import commits, expiry, garbage, holders
from foldstore.datastore.catalog import tables as t
from foldstore.datastore.catalog.garbage import Moment
from foldstore.datastore.catalog.records import ConsumerRecord
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.catalog.runs import add_consumers, remove_consumer
from foldstore.datastore.collection import collect
from foldstore.datastore.column_group import ColumnGroupWriter
from foldstore.datastore.commit import CommitOptions, begin
from foldstore.datastore.files import LocalFiles
from foldstore.datastore.gate import OpenGate
from foldstore.datastore.ingest.source import open_source
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.storage import new_id, open_storage
from foldstore.datastore.verify.run import verify_storage
from foldstore.errors import NotFoundError, StoreError

POSTGRES = os.environ.get("FOLDSTORE_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres")
START = datetime(2026, 1, 1, tzinfo=UTC)
NO_GRACE = Moment(now=START, grace=timedelta(0))


class Clock:
    """A clock that stands still unless it is moved."""

    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now

    def move(self, **length):
        self.now += timedelta(**length)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def kept(folder, clock):
    """A store under a clock."""
    with foldstore.connect(folder, author="tester", clock=clock) as opened:
        yield opened


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request, folder):
    """An open storage on either database, and a second one as another process would have it."""
    if request.param == "sqlite":
        opened = open_storage(folder, clock=Clock())
        yield opened
        opened.close()
        return
    name = f"foldstore_{uuid.uuid4().hex}"
    try:
        engine = sa.create_engine(POSTGRES, connect_args={"connect_timeout": 3})
        with engine.begin() as connection:
            connection.execute(sa.text(f"CREATE SCHEMA {name}"))
    except (sa.exc.DBAPIError, ImportError) as error:
        if os.environ.get("FOLDSTORE_REQUIRE_SERVICES"):
            raise
        pytest.skip(f"no PostgreSQL server: {error}")
    opened = open_storage(folder, catalog_url=f"{POSTGRES}?options=-csearch_path%3D{name}", clock=Clock())
    yield opened
    opened.close()
    with engine.begin() as connection:
        connection.execute(sa.text(f"DROP SCHEMA {name} CASCADE"))
    engine.dispose()


def _files(folder):
    return {path.stem for path in (folder / "objects").rglob("*.arrow")}


def _rows(storage, table, *columns):
    with storage.catalog.read() as connection:
        return [tuple(row) for row in connection.execute(sa.select(*(table.c[c] for c in columns)))]


class Replace(Append):
    """Puts rows in the place of all that were there."""

    def apply(self, draft, transaction):
        return super().apply(replace(draft, fragments=()), transaction)


def _transaction(storage, dataset, ids, step=Append):
    """Begin a commit and stage its files, as a writer does who is still at work."""
    transaction = begin(storage, dataset, CommitOptions(author="writer"), OpenGate())
    transaction.__enter__()
    transaction.add(step(open_source({"id": ids})))
    return transaction


def _commit(storage, dataset, ids):
    with begin(storage, dataset, CommitOptions(author="writer"), OpenGate()) as transaction:
        transaction.add(Append(open_source({"id": ids})))
        return transaction.commit()


def _read(storage, version):
    from foldstore.datastore.arrow_schema import decode_schema

    schema = decode_schema(storage.catalog.read_arrow_schema(version.arrow_schema_id))
    reader = FragmentReader(storage, version.dataset_id, storage.pages.fragments(version), schema, "it")
    return reader.to_table()["id"].to_pylist()


def _make_dataset(storage, name="numbers"):
    from foldstore.datastore.catalog.records import DatasetRecord

    record = DatasetRecord(id=new_id(), name=name, key=(), event_time=None, derive={}, created_at="2026")
    storage.catalog.create_dataset(record)
    return record


def _retain(storage, dataset, **policy):
    Registry(storage.catalog, expiry.POLICY).put(dataset.name, policy, author="t", created_at="2026")


class TestCollect:
    def test_a_dry_run_changes_nothing_and_says_what_a_run_does(self, storage, folder):
        dataset = _make_dataset(storage)
        versions = [_commit(storage, dataset, [n]) for n in range(4)]
        _transaction(storage, dataset, [9]).__exit__(None, None, None)
        _retain(storage, dataset, keep_last=2)
        before = (_files(folder), _rows(storage, t.stored_object, "id", "condemned_at"), _rows(storage, t.page, "hash"))
        told = collect(storage, grace="0")
        assert (_files(folder), *(_rows(storage, t.stored_object, "id", "condemned_at"),)) == before[:2]
        assert _rows(storage, t.page, "hash") == before[2]
        assert [each.address for each in told.expired] == ["numbers@1", "numbers@2"]
        done = collect(storage, dry_run=False, grace="0")
        assert (done.expired, done.condemned, done.removed) == (told.expired, told.condemned, told.removed)
        assert (done.condemned, done.removed) == (1, 0)
        assert _read(storage, versions[3]) == [0, 1, 2, 3]

    def test_an_object_goes_in_the_run_after_the_one_that_condemned_it_and_after_its_grace(self, storage, folder):
        dataset = _make_dataset(storage)
        _commit(storage, dataset, [1])
        _transaction(storage, dataset, [2]).__exit__(None, None, None)
        assert len(_files(folder)) == 2
        assert collect(storage, dry_run=False, grace="1d").condemned == 1
        assert collect(storage, dry_run=False, grace="1d").removed == 0
        storage.clock.move(hours=23)
        assert collect(storage, dry_run=False, grace="1d").waiting == 1
        storage.clock.move(hours=2)
        report = collect(storage, dry_run=False, grace="1d")
        assert (report.removed, report.condemned) == (1, 0)
        assert report.bytes_freed > 0
        assert _files(folder) == set(storage.catalog.list_object_ids())
        assert collect(storage, dry_run=False, grace="0").is_clean
        assert storage.journal.verify(garbage.STREAM) == 1

    def test_a_commit_that_uses_a_condemned_file_again_keeps_it(self, storage):
        dataset = _make_dataset(storage)
        _commit(storage, dataset, [1])
        _transaction(storage, dataset, [2]).__exit__(None, None, None)
        collect(storage, dry_run=False, grace="0")
        version = _commit(storage, dataset, [2])
        assert collect(storage, dry_run=False, grace="0").removed == 0
        assert _read(storage, version) == [1, 2]

    def test_a_condemned_file_that_a_crash_took_already_is_brought_back_by_a_commit(self, storage):
        dataset = _make_dataset(storage)
        first = _commit(storage, dataset, [1])
        _transaction(storage, dataset, [2]).__exit__(None, None, None)
        collect(storage, dry_run=False, grace="0")
        (condemned,) = [i for i, at in _rows(storage, t.stored_object, "id", "condemned_at") if at is not None]
        storage.objects.remove([condemned])  # unlinked, and the transaction rolled back
        assert verify_storage(storage).passed
        version = _commit(storage, dataset, [2])
        assert (_read(storage, first), _read(storage, version)) == ([1], [1, 2])
        assert verify_storage(storage).passed

    def test_the_files_of_a_commit_under_way_stay(self, storage):
        dataset = _make_dataset(storage)
        _commit(storage, dataset, [1])
        transaction = _transaction(storage, dataset, [2])
        for _run in range(3):
            report = collect(storage, dry_run=False, grace="0")
            assert (report.condemned, report.removed, report.lost_transactions) == (0, 0, 0)
        assert _read(storage, transaction.commit()) == [1, 2]

    def test_a_writer_that_lost_its_lease_is_told_so_and_nothing_is_lost(self, storage, folder):
        dataset = _make_dataset(storage)
        first = _commit(storage, dataset, [1])
        transaction = _transaction(storage, dataset, [2])
        storage.clock.move(hours=2)
        report = collect(storage, dry_run=False, grace="0")
        assert (report.lost_transactions, report.condemned) == (1, 1)
        with pytest.raises(StoreError, match="silent for longer") as caught:
            transaction.commit()
        assert (caught.value.code, caught.value.facts["retry"]) == ("lease-lost", True)
        transaction.__exit__(None, None, None)
        with pytest.raises(StoreError, match="silent for longer"):
            commits.renew(storage.catalog, transaction.id, storage.clock)
        assert _read(storage, first) == [1]
        assert _read(storage, _commit(storage, dataset, [2])) == [1, 2]
        storage.clock.move(hours=2)
        collect(storage, dry_run=False, grace="0")
        assert _rows(storage, t.transaction, "id") == []
        assert not list((folder / "staging").iterdir())

    def test_a_writer_that_renews_its_lease_goes_on(self, storage):
        from foldstore.datastore.heartbeat import Heartbeat

        dataset = _make_dataset(storage)
        transaction = _transaction(storage, dataset, [1])
        heart = Heartbeat.of_transaction(storage, transaction.id)
        for _quarter in range(12):
            storage.clock.move(minutes=16)
            heart.beat()
            assert collect(storage, dry_run=False, grace="0").lost_transactions == 0
        storage.clock.move(hours=-3)
        heart.beat()
        storage.clock.move(hours=3)
        assert collect(storage, dry_run=False, grace="0").lost_transactions == 0
        assert _read(storage, transaction.commit()) == [1]

    def test_a_long_append_keeps_its_lease_by_itself(self, storage):
        import pyarrow as pa

        dataset = _make_dataset(storage)

        def batches():
            for n in range(8):
                storage.clock.move(minutes=40)
                assert collect(storage, dry_run=False, grace="0").lost_transactions == 0
                yield pa.record_batch({"id": [n]})

        with begin(storage, dataset, CommitOptions(author="writer"), OpenGate()) as transaction:
            transaction.add(Append(open_source(batches())))
            assert _read(storage, transaction.commit()) == list(range(8))

    def test_the_staging_folder_of_a_dead_writer_goes_and_unknown_files_stay(self, storage, folder):
        dataset = _make_dataset(storage)
        transaction = _transaction(storage, dataset, [1])  # and then its process dies
        stranger = folder / "staging" / ("f" * 32)
        stranger.mkdir()
        unknown = folder / "objects" / "ab" / "notes.txt"
        unknown.parent.mkdir(exist_ok=True)
        unknown.write_text("mine")
        storage.clock.move(hours=2)
        assert (folder / "staging" / transaction.id).is_dir()
        assert collect(storage, grace="0").staging_folders == 1
        assert collect(storage, dry_run=False, grace="0").staging_folders == 1
        collect(storage, dry_run=False, grace="0")
        collect(storage, dry_run=False, grace="0")
        assert (list((folder / "staging").iterdir()), unknown.read_text()) == ([stranger], "mine")
        assert _rows(storage, t.transaction_object, "object_id") == []
        assert _rows(storage, t.stored_object, "id") == []

    def test_an_expired_version_says_when_and_why(self, storage):
        dataset = _make_dataset(storage)
        first = _commit(storage, dataset, [1])
        _commit(storage, dataset, [2])
        _retain(storage, dataset, keep_last=1)
        collect(storage, dry_run=False)
        for record in (first, storage.catalog.find_version(dataset.id, 1)):
            with pytest.raises(NotFoundError, match=r"numbers@1 expired on 2026-01-01: keep_last=1\.") as caught:
                storage.pages.read(record)
            assert caught.value.code == "version-expired"
        assert verify_storage(storage).passed

    def test_a_deleted_branch_expires_when_two_runs_found_it_so(self, storage, folder):
        dataset = _make_dataset(storage)
        _commit(storage, dataset, [1])
        lonely = _commit(storage, dataset, [2])
        ref = t.ref.c.dataset_id == dataset.id
        with storage.catalog.write() as connection:
            connection.execute(sa.update(t.ref).where(ref).values(version_id=lonely.parent_id))
        assert [each.address for each in collect(storage, dry_run=False).datasets[0].waiting] == ["numbers@2"]
        storage.clock.move(hours=2)
        assert collect(storage, dry_run=False).expired == ()
        with storage.catalog.write() as connection:  # somebody reaches it again, for a while
            connection.execute(sa.update(t.ref).where(ref).values(version_id=lonely.id))
        storage.clock.move(days=3)
        assert collect(storage, dry_run=False).datasets == ()
        with storage.catalog.write() as connection:
            connection.execute(sa.update(t.ref).where(ref).values(version_id=lonely.parent_id))
        assert collect(storage, dry_run=False).expired == ()
        storage.clock.move(days=2)
        (gone,) = collect(storage, dry_run=False).expired
        assert (gone.address, gone.reason) == ("numbers@2", "no branch, alias or tag reaches it")
        storage.clock.move(days=2)
        assert collect(storage, dry_run=False).removed == 1
        assert _files(folder) == set(storage.catalog.list_object_ids())

    def test_a_clock_that_was_ahead_delays_nothing_for_ever(self, storage, folder):
        dataset = _make_dataset(storage)
        storage.clock.move(days=3650)
        _transaction(storage, dataset, [1])  # dies, with a lease that ends in ten years
        _transaction(storage, dataset, [2]).__exit__(None, None, None)
        collect(storage, dry_run=False)
        storage.clock.move(days=-3650)
        for _run in range(4):
            collect(storage, dry_run=False)
            storage.clock.move(days=2)
        assert _files(folder) == set()

    def test_a_clock_that_jumps_ahead_for_one_run_loses_no_reader_and_no_version(self, storage):
        dataset = _make_dataset(storage)
        first = _commit(storage, dataset, [1])
        second = _commit(storage, dataset, [2])
        _commit(storage, dataset, [3])
        _retain(storage, dataset, keep_days=30, quarantined_days=30)
        lease = holders.LeaseRecord(
            id=new_id(), version_id=second.id, holder="me", lease_until="2026-01-02T", created_at="2026-01-01T"
        )
        holders.take_lease(storage.catalog, lease)
        storage.clock.move(days=365)
        collect(storage, dry_run=False)
        storage.clock.move(days=-365)
        collect(storage, dry_run=False)
        assert (_read(storage, first), _read(storage, second)) == ([1], [1, 2])
        storage.clock.move(days=365)
        collect(storage, dry_run=False)
        storage.clock.move(days=2)
        # It is found so again: what was held by no lease goes, and the lease itself.
        assert [each.address for each in collect(storage, dry_run=False).expired] == ["numbers@1"]
        assert holders.list_leases(storage.catalog) == []
        storage.clock.move(days=2)
        assert [each.address for each in collect(storage, dry_run=False).expired] == ["numbers@2"]

    def test_bitmaps_of_deleted_rows_go_with_their_pages(self, storage):
        dataset = _make_dataset(storage)
        first = _commit(storage, dataset, [1])
        _commit(storage, dataset, [2])
        with storage.catalog.write() as connection:
            connection.execute(sa.insert(t.deletion).values(hash="b3-x", encoded=b"", num_deleted=1))
            (page,) = storage.catalog.list_page_hashes(first.id)
            connection.execute(sa.insert(t.page_deletion).values(page_hash=page, deletion_hash="b3-x"))
        _retain(storage, dataset, keep_last=1)
        (report,) = collect(storage, dry_run=False).datasets
        assert (report.pages, report.deletions) == (1, 1)
        assert _rows(storage, t.deletion, "hash") == []

    def test_a_page_that_another_dataset_lists_stays(self, storage):
        dataset, other = _make_dataset(storage), _make_dataset(storage, "other")
        _commit(storage, dataset, [1])
        same = _commit(storage, other, [1])
        _commit(storage, dataset, [2])
        _retain(storage, dataset, keep_last=1)
        for _run in range(3):
            collect(storage, dry_run=False, grace="0")
        assert _read(storage, same) == [1]


def _stage(storage, transaction_id, schema, batch):
    folder = storage.objects.stage(transaction_id)
    writer = ColumnGroupWriter(LocalFiles(), folder / "1.arrow", schema)
    writer.write(batch)
    return writer.finish()


class TestRaces:
    def test_a_sweep_never_takes_a_file_that_a_commit_has_just_asked_for(self, storage):
        import pyarrow as pa

        dataset = _make_dataset(storage)
        batch = pa.record_batch({"id": [1, 2, 3]})
        outcomes = set()
        for turn in range(50):
            dead, live = new_id(), new_id()
            commits.begin(storage.catalog, dead, dataset.id, None, storage.clock)
            old = _stage(storage, dead, batch.schema, batch)
            commits.stage_objects(storage.catalog, dead, dataset.id, [old.record], 1)
            storage.objects.publish([old])
            commits.abort(storage.catalog, dead)
            with storage.catalog.write() as connection:
                garbage.condemn(connection, [old.record.id], NO_GRACE)
            commits.begin(storage.catalog, live, dataset.id, None, storage.clock)
            again = _stage(storage, live, batch.schema, batch)
            swept, errors = [], []
            barrier = threading.Barrier(2)

            def sweep(object_id=old.record.id, barrier=barrier, swept=swept, errors=errors):
                try:
                    barrier.wait()
                    take = storage.objects.remove
                    swept.append(garbage.sweep(storage.catalog, storage.journal, [object_id], NO_GRACE, "t", take))
                except Exception as error:  # noqa: BLE001  # told to the main thread
                    errors.append(error)

            def write(staged=again, live=live, barrier=barrier, errors=errors):
                try:
                    barrier.wait()
                    commits.stage_objects(storage.catalog, live, dataset.id, [staged.record], 1)
                    storage.objects.publish([staged])
                except Exception as error:  # noqa: BLE001  # told to the main thread
                    errors.append(error)

            pair = [threading.Thread(target=sweep), threading.Thread(target=write)]
            for thread in pair if turn % 2 else reversed(pair):
                thread.start()
            for thread in pair:
                thread.join()
            assert errors == []
            assert storage.objects.path_of(old.record.id).is_file()
            assert _rows(storage, t.stored_object, "id", "condemned_at") == [(old.record.id, None)]
            outcomes.add(len(swept[0].object_ids))
            commits.abort(storage.catalog, live)
        assert outcomes <= {0, 1}

    def test_a_version_does_not_expire_under_a_lease_taken_at_the_same_moment(self, storage):
        for turn in range(15):
            dataset = _make_dataset(storage, f"numbers{turn}")
            first = _commit(storage, dataset, [1])
            _commit(storage, dataset, [2])
            _retain(storage, dataset, keep_last=1)
            leased, errors = [], []
            barrier = threading.Barrier(2)

            def expire(dataset=dataset, barrier=barrier, errors=errors):
                try:
                    barrier.wait()
                    expiry.expire_dataset(storage.catalog, storage.journal, dataset, NO_GRACE, "t")
                except Exception as error:  # noqa: BLE001  # told to the main thread
                    errors.append(error)

            def hold(first=first, barrier=barrier, leased=leased, errors=errors):
                barrier.wait()
                try:
                    lease = holders.LeaseRecord(
                        id=new_id(), version_id=first.id, holder="me", lease_until="2027", created_at="2026"
                    )
                    holders.take_lease(storage.catalog, lease)
                    leased.append(lease)
                except Exception as error:  # noqa: BLE001  # told to the main thread
                    if getattr(error, "code", None) != "version-expired":  # the other outcome is no error
                        errors.append(error)

            pair = [threading.Thread(target=expire), threading.Thread(target=hold)]
            for thread in pair if turn % 2 else reversed(pair):
                thread.start()
            for thread in pair:
                thread.join()
            assert errors == []
            expired = storage.catalog.find_version_by_id(first.id).expired_at is not None
            assert expired != bool(leased)

    def test_commits_and_collections_at_once_leave_every_commit_whole(self, storage, folder):
        dataset = _make_dataset(storage)
        _commit(storage, dataset, [0])
        _retain(storage, dataset, keep_last=2)
        done, errors, stop = [], [], threading.Event()

        def write():
            try:
                for n in range(12):
                    _transaction(storage, dataset, [n % 3]).__exit__(None, None, None)
                    done.append(_commit(storage, dataset, [n % 3]))
            except Exception as error:  # noqa: BLE001  # told to the main thread
                errors.append(error)
            finally:
                stop.set()

        def collect_often():
            while not stop.is_set():
                try:
                    collect(storage, dry_run=False, grace="0")
                except Exception as error:  # noqa: BLE001  # told to the main thread
                    errors.append(error)

        threads = [threading.Thread(target=write), threading.Thread(target=collect_often)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert _read(storage, done[-1]) == [0, *(n % 3 for n in range(12))]
        for _run in range(3):
            collect(storage, dry_run=False, grace="0")
        assert _files(folder) == set(storage.catalog.list_object_ids())
        assert verify_storage(storage).passed


VICTIM = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from foldstore.datastore.collection import collect
from foldstore.datastore.storage import open_storage

def stop(step):
    if step == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

collect(replace(open_storage(Path(sys.argv[1])), on_step=stop), dry_run=False, grace="0")
print("done")
"""
STEPS = ["gc-cleaned", "gc-unlinked", "gc-swept", "gc-expired", "gc-recorded", "gc-marked"]


@pytest.mark.parametrize("step", [*STEPS, "-"])
def test_a_collection_killed_at_any_step_leaves_garbage_alone_and_the_next_one_goes_on(folder, store, step):
    numbers = store.create_dataset("numbers", key=["id"])
    for n in range(3):
        numbers.append({"id": [n]})
    with pytest.raises(foldstore.FoldstoreError):
        numbers.append({"id": [7, 7]})
    store.gc(dry_run=False, grace="0")  # condemns what the failed append left
    with pytest.raises(foldstore.FoldstoreError):
        numbers.append({"id": [8, 8]})
    numbers.set_retention(keep_last=1)
    victim = [sys.executable, "-c", VICTIM, str(folder), step]
    done = subprocess.run(victim, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if step == "-" else -signal.SIGKILL), done.stderr
    with foldstore.connect(folder) as again:
        assert again.dataset("numbers").latest.to_arrow()["id"].to_pylist() == [0, 1, 2]
        assert again.verify().faults == ()
        again.dataset("numbers").append({"id": [9]})
        assert again.verify().faults == ()
        for _run in range(3):
            again.gc(dry_run=False, grace="0")
        assert again.verify().faults == ()
        assert again.gc(grace="0").is_clean
        assert again.dataset("numbers").latest.to_arrow()["id"].to_pylist() == [0, 1, 2, 9]
        assert _files(folder) == set(again._storage.catalog.list_object_ids())


POLICIES = st.sampled_from([{"keep_last": 1}, {"keep_last": 1}, {"keep_last": 2}, {"keep_days": 1}, {}])


class Machine(RuleBasedStateMachine):
    """Writers, readers, people and a collector on one store, under a clock that jumps."""

    template = None
    versions = Bundle("versions")
    writers = Bundle("writers")
    leases = Bundle("leases")
    tags = Bundle("tags")

    @initialize(target=versions, first=POLICIES, second=POLICIES)
    def open(self, first, second):
        self.home = Path(self.template).parent / new_id()
        shutil.copytree(self.template, self.home)
        self.clock = Clock()
        self.storage = open_storage(self.home, clock=self.clock)
        self.datasets = self.storage.catalog.list_datasets()
        self.contents, self.held, self.kept, self.retained = {}, {}, {}, set()
        self.retain(0, first)
        self.retain(1, second)
        return multiple(self.commit_at_once(0, 0), self.commit_at_once(1, 1))

    def teardown(self):
        if not hasattr(self, "storage"):
            return
        with self.storage.catalog.write() as connection:
            connection.execute(sa.delete(t.lease))
        self.held = {}
        for _run in range(5):
            self.clock.move(days=2)
            collect(self.storage, dry_run=False)
        self.check_versions()
        assert _files(self.home) == set(self.storage.catalog.list_object_ids())
        assert not list((self.home / "staging").iterdir())
        assert [s for _, s in _rows(self.storage, t.stored_object, "id", "state") if s != "live"] == []
        assert _rows(self.storage, t.transaction, "id") == _rows(self.storage, t.transaction_object, "object_id") == []
        assert verify_storage(self.storage).faults == ()
        self.storage.close()
        shutil.rmtree(self.home)

    @rule(target=versions, which=st.integers(0, 1), value=st.integers(0, 7))
    def commit_at_once(self, which, value):
        return self.commit(self.begin_writer(which, value))

    @rule(target=writers, which=st.integers(0, 1), value=st.integers(0, 7))
    def begin_writer(self, which, value):
        step = Append if value == 0 else Replace
        return _transaction(self.storage, self.datasets[which], [value] * 3, step), value

    @rule(writer=writers, value=st.integers(0, 7))
    def write_more(self, writer, value):
        transaction, _first = writer
        if hasattr(transaction, "more"):
            return
        if not self._is_open(transaction):  # it lost its lease, and perhaps its folder
            with pytest.raises(StoreError), transaction_of(transaction):  # and it cleans up as its error goes up
                transaction.add(Append(open_source({"id": [value] * 3})))
            return
        transaction.add(Append(open_source({"id": [value] * 3})))
        transaction.more = [value] * 3

    @rule(target=versions, writer=consumes(writers))
    def commit(self, writer):
        transaction, value = writer
        if not self._is_open(transaction):
            with pytest.raises(StoreError, match="silent for longer"), transaction_of(transaction):
                transaction.commit()
            return multiple()
        with transaction_of(transaction):
            version = transaction.commit()
        before = self.contents[version.parent_id] if version.parent_id and value == 0 else []
        self.contents[version.id] = [*before, *[value] * 3, *getattr(transaction, "more", [])]
        return version

    @rule(writer=consumes(writers))
    def abort(self, writer):
        writer[0].__exit__(None, None, None)

    @rule(writer=consumes(writers))
    def crash(self, writer):
        """The process is gone: nothing is told to anybody."""

    @rule(target=leases, version=versions, hours=st.sampled_from([1, 5000]))
    def lease(self, version, hours):
        until = self.clock() + timedelta(hours=hours)
        record = holders.LeaseRecord(
            id=new_id(),
            version_id=version.id,
            holder="reader",
            lease_until=foldstore.types.format_time(until),
            created_at=foldstore.types.format_time(self.clock()),
        )
        if not self._hold(version, lambda: holders.take_lease(self.storage.catalog, record)):
            return multiple()
        self.held[record.id] = (version.id, until)
        self.move_on(version)
        return record

    def move_on(self, version):
        """Commit other rows to the branch: from then on the version is there for whoever holds it alone."""
        which = [dataset.id for dataset in self.datasets].index(version.dataset_id)
        self.commit_at_once(which, 1 + version.number % 3)

    @rule(lease=consumes(leases))
    def release(self, lease):
        holders.release_lease(self.storage.catalog, lease.id)
        self.held.pop(lease.id, None)

    @rule(target=tags, version=versions, kind=st.sampled_from(["tag", "pin"]))
    def keep(self, version, kind):
        name = f"n{new_id()}"

        def tag():
            with holders.holding(self.storage.catalog, version.id) as connection:
                connection.execute(
                    sa.insert(t.ref).values(
                        dataset_id=version.dataset_id, name=name, kind="tag", version_id=version.id, generation=0
                    )
                )

        pin = ConsumerRecord(version_id=version.id, kind="pin", name=name, reason="", author="t", created_at="2026")
        if not self._hold(version, tag if kind == "tag" else lambda: add_consumers(self.storage.catalog, [pin])):
            return multiple()
        self.kept[name] = version.id
        self.move_on(version)
        return name, kind

    @rule(tag=consumes(tags))
    def let_go(self, tag):
        name, kind = tag
        version_id = self.kept.pop(name)
        if kind == "pin":
            assert remove_consumer(self.storage.catalog, version_id, "pin", name)
            return
        with self.storage.catalog.write() as connection:
            connection.execute(sa.delete(t.ref).where(t.ref.c.name == name))

    @rule(which=st.integers(0, 1), policy=POLICIES)
    def retain(self, which, policy):
        _retain(self.storage, self.datasets[which], **policy)
        if policy:
            self.retained.add(self.datasets[which].id)

    @rule(hours=st.sampled_from([0, 0, 0, 3, 30, 2000, -2000]), runs=st.sampled_from([1, 3]))
    def collect(self, hours, runs):
        self.clock.move(hours=hours)
        for _run in range(runs):
            self.collect_once("0" if runs > 1 else "1d")
        self.check_versions()

    def collect_once(self, grace):
        before = (_files(self.home), _rows(self.storage, t.stored_object, "id", "condemned_at"))
        told = collect(self.storage, grace=grace)
        assert (_files(self.home), _rows(self.storage, t.stored_object, "id", "condemned_at")) == before
        done = collect(self.storage, dry_run=False, grace=grace)
        assert [each.address for each in done.expired] == [each.address for each in told.expired]
        if not done.lost_transactions:
            assert (done.condemned, done.removed, done.bytes_freed) == (told.condemned, told.removed, told.bytes_freed)
        # From now on the collector may know that these have run out.
        self.held = {name: held for name, held in self.held.items() if held[1] >= self.clock()}

    @invariant()
    def heads_are_readable(self):
        for dataset in getattr(self, "datasets", ()):
            ref = self.storage.catalog.find_ref(dataset.id, "main")
            if ref.version_id:
                version = self.storage.catalog.find_version_by_id(ref.version_id)
                assert _read(self.storage, version) == self.contents[version.id]

    def check_versions(self):
        """Read everything as another process does: what must be there is there, the rest has said good-bye."""
        other = open_storage(self.home, clock=self.clock)
        try:
            heads = {other.catalog.find_ref(dataset.id, "main").version_id for dataset in self.datasets}
            stay = {*heads, *self.kept.values(), *(version_id for version_id, _ in self.held.values())}
            for version_id, rows in self.contents.items():
                version = other.catalog.find_version_by_id(version_id)
                if version.expired_at is None:
                    assert _read(other, version) == rows
                    continue
                assert version_id not in stay
                assert version.dataset_id in self.retained
                with pytest.raises(NotFoundError, match="expired on"):
                    _read(other, version)
        finally:
            other.close()

    def _is_open(self, transaction):
        states = dict(_rows(self.storage, t.transaction, "id", "state"))
        return states.get(transaction.id) == "open"

    def _hold(self, version, act):
        if self.storage.catalog.find_version_by_id(version.id).expired_at is None:
            act()
            return True
        with pytest.raises(foldstore.FoldstoreError) as caught:
            act()
        assert caught.value.code == "version-expired"
        return False


class transaction_of:  # noqa: N801  # reads as the words around it
    """Leaves a transaction that was entered before."""

    def __init__(self, transaction):
        self._transaction = transaction

    def __enter__(self):
        return self._transaction

    def __exit__(self, *problem):
        return self._transaction.__exit__(*problem)


@pytest.fixture
def memory(tmp_path):
    """A folder in memory, where there is one: thousands of steps, and no power is lost in them."""
    shared = Path("/dev/shm")  # noqa: S108  # not a file of ours: a folder with a random name is made in it
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else tmp_path) as folder:
        yield Path(folder)


def test_nothing_that_is_needed_goes_and_nothing_else_stays(memory, monkeypatch):
    template = memory / "template"
    opened = open_storage(template)
    for name in ("one", "two"):
        _make_dataset(opened, name)
    opened.close()
    monkeypatch.setattr(Machine, "template", str(template))
    run_state_machine_as_test(Machine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))
