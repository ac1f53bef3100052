"""Taking care of a store and its datasets: the same in a folder and behind a server."""

import datetime as dt

import pyarrow as pa
import pytest

import foldstore
from tests.conformance.conftest import raised


@pytest.fixture
def days(store):
    """A dataset of which each of three versions has bytes of its own."""
    readings = store.create_dataset("readings", key=["id"])
    for day in range(3):
        readings.overwrite({"id": [1, 2, 3], "value": [day, day + 1, day + 2]})
    return readings


class TestSpace:
    def test_what_is_kept_is_said_and_the_rest_is_collected(self, store, days):
        assert days.retention == foldstore.datastore.retention.RetentionPolicy()
        assert days.set_retention(keep_last=1, keep_days=None, message="small").to_dict() == {"keep_last": 1}
        assert days.retention.to_dict() == {"keep_last": 1}
        said = store.gc()
        assert [each.address for each in said.expired] == ["readings@1", "readings@2"]
        assert (said.dry_run, said.grace) == (True, dt.timedelta(days=1))
        assert days.version(1).num_rows == 3
        told = []
        first = store.gc(dry_run=False, grace=dt.timedelta(0))
        assert ([each.address for each in first.expired], first.condemned, first.removed) == (
            ["readings@1", "readings@2"],
            2,
            0,
        )
        second = store.gc(dry_run=False, grace="0", progress=lambda done, total: told.append((done, total)))
        assert (second.removed, second.bytes_freed > 0, second.is_clean) == (2, True, False)
        assert told
        assert store.gc(grace=0).is_clean
        assert raised(lambda: days.version(1).to_arrow()) == ("NotFoundError", "version-expired")
        assert raised(lambda: store.gc(grace="soon"))[0] == "UsageError"
        assert raised(lambda: days.set_retention(keep_last=0))[0] == "UsageError"
        assert raised(lambda: days.set_retention(keep_days="never"))[0] == "UsageError"

    def test_usage_tells_own_bytes_from_shared_ones(self, store, days):
        account = days.usage()
        assert [each.address for each in account.versions] == ["readings@1", "readings@2", "readings@3"]
        assert all(each.own == each.num_bytes == each.added > 0 for each in account.versions)
        assert (account.shared, account.own) == (0, account.num_bytes)
        (branch,) = account.branches
        assert (branch.name, branch.versions, branch.num_bytes) == ("main", 3, account.num_bytes)
        same = store.create_dataset("twin", key=["id"]).append({"id": [1, 2, 3], "value": [2, 3, 4]})
        assert same.record.bytes_added == 0
        assert days.usage().shared == same.record.bytes_added + days.usage().versions[2].num_bytes
        whole = store.usage()
        assert [(each.name, each.own) for each in whole.datasets][1] == ("twin", 0)
        assert (whole.num_bytes, whole.garbage, whole.catalog > 0) == (account.num_bytes, 0, True)

    def test_small_fragments_are_joined(self, people):
        for n in range(4):
            people.append({"id": [n], "age": [n]})
        version = people.compact(message="tidy")
        assert (str(version.record.operation), version.number, version.num_rows) == ("compact", 5, 4)
        assert version.to_arrow()["id"].to_pylist() == [0, 1, 2, 3]
        key = {"idempotency_key": "once", "target_bytes": 1 << 20}
        assert people.compact(**key) == people.compact(**key)
        assert raised(lambda: people.compact(target_bytes=0))[0] == "UsageError"


class TestHolding:
    def test_pins_keep_and_are_taken_out(self, store, days):
        version = days.version(1)
        made = version.pin("audit: 2013/1", "asked for by the auditors")
        assert (made.address, made.kind, made.name) == ("readings@1", "pin", "audit: 2013/1")
        (pin,) = version.pins()
        assert (pin.name, pin.reason, pin.version_id) == (made.name, made.reason, version.version_id)
        days.set_retention(keep_last=1)
        assert [each.address for each in store.gc().expired] == ["readings@2"]
        version.unpin("audit: 2013/1")
        assert version.pins() == []
        assert raised(lambda: version.unpin("audit: 2013/1"))[0] == "NotFoundError"
        assert len(store.gc().expired) == 2

    def test_a_lease_holds_while_it_is_open(self, store, days):
        days.set_retention(keep_last=1)
        version = days.version(2)
        with version.lease(hours=12, holder="nightly report") as lease:
            assert lease.record.holder.startswith("nightly report")
            assert store.leases() == version.leases() == [lease.record]
            assert days.version(1).leases() == []
            assert [each.address for each in store.gc().expired] == ["readings@1"]
            before = lease.record.lease_until
            lease.renew()
            assert lease.record.lease_until > before
            again = version.find_lease(lease.record.id, hours=1)
            again.renew()
            assert again.record.lease_until == lease.record.lease_until  # never shorter
        assert store.leases() == []
        lease.release()
        assert raised(lambda: version.find_lease(lease.record.id))[0] == "NotFoundError"
        assert raised(lambda: version.find_lease("../x"))[0] == "NotFoundError"
        for hours in (0, -1, "12", True, 10**9):
            assert raised(lambda hours=hours: version.lease(hours=hours))[0] == "UsageError"
        assert store.leases() == []


class TestTiers:
    def test_versions_are_frozen_and_thawed(self, store):
        numbers = store.create_dataset("numbers")
        old = numbers.append({"n": list(range(100_000))})
        numbers.overwrite({"n": list(range(50_000))})
        told = []
        done = old.freeze(progress=lambda done, total: told.append((done, total)))
        assert (done.objects, done.kept, done.needed, done.hot_bytes > done.cold_bytes > 0) == (1, (), 0, True)
        assert told[-1][0] >= 1
        assert old.cold_bytes > 800_000
        assert old.to_arrow()["n"].to_pylist() == list(range(100_000))
        assert old.freeze().objects == 0
        assert old.thaw().objects == 1
        assert old.cold_bytes == 0
        assert store.freeze("numbers", keep=0, older_than="2099-01-01").objects == 1
        assert store.freeze("numbers@2", force=True).objects == 1
        assert store.thaw("numbers").objects == 2
        assert store.freeze("numbers", older_than=dt.datetime(1999, 1, 1, tzinfo=dt.UTC)).objects == 0
        assert raised(lambda: store.freeze("numbers@9"))[0] == "NotFoundError"
        assert raised(lambda: store.freeze("numbers@1#default.train"))[0] == "UsageError"
        assert raised(lambda: store.freeze("numbers", older_than="yesterday"))[0] == "UsageError"


class TestVerification:
    def test_a_whole_store_passes(self, store, days):
        told = []
        found = store.verify(lambda done, total: told.append((done, total)))
        assert (found.passed, found.objects, found.versions, found.faults) == (True, 3, 3, ())
        assert found.whole == ("readings@1", "readings@2", "readings@3")
        assert found.num_bytes > 0
        assert told
        assert store.verify(objects=False).num_bytes == 0
        assert store.verify(objects=0.5, repair=True).repairs == ()
        assert raised(lambda: store.verify(objects=7))[0] == "UsageError"

    def test_damage_is_told_with_the_versions_that_it_reaches(self, store, days, folder):
        gone = next(folder.glob("objects/*/*.arrow"))
        gone.unlink()
        found = store.verify()
        (fault,) = found.faults
        assert (fault.what, str(fault.kind), fault.name, len(fault.versions)) == ("object", "missing", gone.stem, 1)
        assert (found.passed, found.damaged) == (False, fault.versions)
        assert len(found.whole) == 2
        assert found.to_dict()["faults"] == [fault.to_dict()]


class TestErasure:
    @pytest.fixture
    def two(self, people):
        people.append({"id": [1, 2, 3, 4], "name": ["Ada", "Bob", "Cy", "Dee"]})
        people.delete("id = 2")
        return people

    def test_rows_leave_every_version_by_key(self, two):
        said = two.erase([{"id": 2}], reason="asked to", dry_run=True)
        assert (said.rows, said.versions, said.dry_run) == (1, ("people@1", "people@2"), True)
        assert two.version(1).num_rows == 4
        assert two.erasures() == []
        done = two.erase(pa.table({"id": [2, 77]}), reason="asked to", reference="ticket 17")
        assert (done.rows, done.versions, done.files, done.unknown_keys) == (1, ("people@1", "people@2"), 1, 1)
        assert ("backups and exports", "Copies outside the store are not known to it.") in done.not_reached
        assert str(done).startswith("Erased 1 rows of 'people' in 2 versions, 1 files.")
        assert two.version(1).to_arrow()["id"].to_pylist() == [1, 3, 4]
        (tombstone,) = two.erasures()
        assert (tombstone.reason, tombstone.reference, tombstone.rows, tombstone.versions) == (
            "asked to",
            "ticket 17",
            1,
            (1, 2),
        )
        assert raised(lambda: two.erase({"id": [2]}, reason="again"))[0] == "NotFoundError"

    def test_by_condition_and_by_row_id(self, two):
        assert two.erase(where="name = 'Ada'", reason="asked to").rows == 1
        third = two.latest.row_ids()[0]
        assert two.erase(row_ids=[third], reason="asked to").rows == 1
        assert two.latest.to_arrow().to_pydict() == {"id": [4], "name": ["Dee"]}

    def test_what_is_wrong_is_said_and_nothing_goes(self, two):
        wrong = [
            lambda: two.erase(reason="x"),
            lambda: two.erase([{"id": 1}], where="id = 1", reason="x"),
            lambda: two.erase([{"id": 1}], reason=" "),
            lambda: two.erase([{"id": 1}], reason=5),
            lambda: two.erase([{"id": 1}], reason="x" * 2_000),
            lambda: two.erase([{"name": "Ada"}], reason="x"),
            lambda: two.erase(row_ids=[1.5], reason="x"),
            lambda: two.erase(row_ids=[77], reason="x"),
        ]
        for act in wrong:
            assert raised(act)[0] == "UsageError"
        assert raised(lambda: two.erase(where="nothing = 1", reason="x"))[0] == "ColumnNotFoundError"
        assert raised(lambda: two.erase(where="id = 77", reason="x"))[0] == "NotFoundError"
        assert two.version(1).num_rows == 4
        assert two.erasures() == []

    def test_a_steward_erases(self, two, open_as):
        done = open_as("steward").dataset("people").erase([{"id": 3}], reason="asked to")
        assert done.rows == 1
        assert two.latest.to_arrow()["id"].to_pylist() == [1, 4]
