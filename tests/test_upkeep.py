"""The handles of upkeep: what holds a version, what it takes, and what people are told."""

from datetime import UTC, datetime, timedelta

import pytest

import foldstore
from foldstore.errors import NotFoundError, UsageError

DAY = timedelta(days=1)


class Clock:
    def __init__(self):
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def kept(folder, clock):
    with foldstore.connect(folder, author="tester", clock=clock) as opened:
        yield opened


@pytest.fixture
def numbers(kept):
    """Five versions, each with rows of its own."""
    dataset = kept.create_dataset("numbers", key=["id"])
    for n in range(1, 6):
        dataset.overwrite({"id": list(range(50)), "value": [n] * 50})
    return dataset


def _collect(store, clock, runs=4):
    reports = []
    for _run in range(runs):
        reports.append(store.gc(dry_run=False))
        clock.now += 2 * DAY
    return {each.address for report in reports for each in report.expired}


def test_what_people_hold_stays(kept, clock, numbers):
    numbers.set_retention(keep_last=1)
    numbers.tag("paper", 1)
    numbers.set_alias("champion", 2)
    numbers.version(3).pin("audit", "why")
    assert _collect(kept, clock) == {"numbers@4"}
    assert [numbers.version(n).to_arrow()["value"][0].as_py() for n in (1, 2, 3, 5)] == [1, 2, 3, 5]
    numbers.version(3).unpin("audit")
    assert _collect(kept, clock) == {"numbers@3"}
    assert kept.verify().faults == ()


def test_what_documents_are_pinned_to_stays(kept, clock, numbers):
    numbers.set_retention(keep_last=1)
    kept.view("numbers@1").where("id > 3").save("few")
    numbers.version(2).split("half", train=0.5, test=0.5)
    kept.view("numbers@3#half.train").save("trained")
    assert _collect(kept, clock) == {"numbers@4"}
    assert kept.view("few").to_arrow().num_rows == 46
    assert kept.view("trained@1").to_arrow().num_rows > 0


def test_what_features_and_training_sets_are_read_from_stays(kept, clock):
    from foldstore import Entity, FeatureService, FeatureView

    time = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
    source = kept.create_dataset("source")
    labels = kept.create_dataset("labels", key=["id"], event_time="at")
    for n in range(4):
        source.overwrite({"driver": [1, 2, 3], "at": time, "trips": [n, n, n]})
    rows = {"id": [1, 2, 3], "driver": [1, 2, 3], "at": time, "late": [0, 1, 0]}
    labels.append(rows).split("half", train=0.5, test=0.5)
    driver = Entity("driver", keys={"driver": "int64"})
    trips = FeatureView("trips", entity=driver, source="source", event_time="at", features=["trips"])
    kept.features.apply(FeatureService("eta", [trips]))
    kept.features.create_training_set("trained", labels="labels@1#half", features="eta@1")
    pinned = kept.features.materialize("eta@1")
    source.overwrite({"driver": [1], "at": time[:1], "trips": [9]})
    labels.overwrite({"id": [1], "driver": [1], "at": time[:1], "late": [1]})
    for dataset in (source, labels):
        dataset.set_retention(keep_last=1)
    assert _collect(kept, clock) == {"source@1", "source@2", "source@3"}
    assert pinned == "eta@1"
    assert kept.version("labels@1").num_rows == len(kept.version("labels@1").to_arrow())


def test_a_lease_holds_while_it_is_taken(kept, clock, numbers):
    numbers.set_retention(keep_last=1)
    with numbers.version(1).lease(hours=10, holder="report") as lease:
        numbers.version(2).lease(hours=10_000 / 24, holder="other")
        kept.gc(dry_run=False)
        assert [each.holder for each in kept.leases()] == ["report", "other"]
        clock.now += timedelta(hours=9)
        lease.renew()
        clock.now += timedelta(hours=9)
        kept.gc(dry_run=False)
        assert numbers.version(1).to_arrow()["value"][0].as_py() == 1
    assert [each.address for each in kept.gc().expired] == ["numbers@1"]


def test_a_lost_lease_says_so_when_the_version_is_gone(kept, clock, numbers):
    numbers.set_retention(keep_last=1)
    lease = numbers.version(1).lease(hours=1)
    clock.now += DAY
    kept.gc(dry_run=False)
    lease.renew()  # it ran out, and nobody took the version: it is held again
    clock.now += timedelta(minutes=30)
    kept.gc(dry_run=False)
    assert numbers.version(1).to_arrow().num_rows == 50
    _collect(kept, clock)
    with pytest.raises(NotFoundError, match=r"numbers@1 expired on .*: keep_last=1") as caught:
        lease.renew()
    assert caught.value.code == "version-expired"


def test_nothing_holds_a_version_that_is_gone(kept, clock, numbers):
    numbers.set_retention(keep_last=1)
    gone = numbers.version(1)
    _collect(kept, clock)
    acts = [gone.lease, gone.to_arrow, lambda: gone.pin("x"), lambda: numbers.tag("x", 1)]
    for act in [*acts, lambda: numbers.set_alias("x", 1), gone.profile]:
        with pytest.raises(foldstore.FoldstoreError) as caught:
            act()
        assert caught.value.code == "version-expired"
    assert [v.number for v in numbers.versions()] == [1, 2, 3, 4, 5]
    assert numbers.overwrite({"id": [1], "value": [9]}).number == 6
    assert kept.verify().faults == ()


def test_a_pin_has_a_name_of_its_own(numbers):
    numbers.latest.pin("audit", "first")
    with pytest.raises(NotFoundError, match="no pin 'audti'") as caught:
        numbers.latest.unpin("audti")
    assert "Did you mean 'audit'" in caught.value.hint
    assert [(pin.name, pin.reason, pin.author) for pin in numbers.latest.pins()] == [("audit", "first", "tester")]


def test_latest_walks_back_to_a_published_version(kept, numbers):
    latest = numbers.latest
    latest.deprecate("wrong unit", replacement="numbers@4")
    assert (str(latest.status), numbers.latest.number) == ("deprecated", 4)
    assert (latest.deprecation.reason, latest.deprecation.replacement) == ("wrong unit", "numbers@4")
    assert kept.version("numbers@main").number == 5
    assert kept.verify().faults == ()
    with pytest.raises(UsageError, match="is deprecated: it cannot become deprecated") as caught:
        numbers.version(5).deprecate("again")
    assert caught.value.code == "invalid-status"
    for n in range(1, 5):
        numbers.version(n).deprecate("all wrong")
    with pytest.raises(NotFoundError) as caught:
        kept.version("numbers")
    assert "No published version is left" in caught.value.hint
    latest.undeprecate("right after all")
    assert (numbers.latest.number, latest.deprecation) == (5, None)
    assert kept.verify().faults == ()


def test_what_latest_means_is_not_collected(kept, clock, numbers):
    numbers.set_retention(keep_last=1)
    numbers.version(5).deprecate("wrong")
    assert _collect(kept, clock) == {"numbers@1", "numbers@2", "numbers@3"}
    assert numbers.latest.to_arrow()["value"][0].as_py() == 4


def test_a_ceiling_of_bytes_takes_the_oldest(kept, clock, numbers):
    size = numbers.usage().versions[0].num_bytes
    numbers.set_retention(max_bytes=3 * size)
    numbers.tag("first", 1)
    assert _collect(kept, clock) == {"numbers@2", "numbers@3"}
    assert numbers.usage().num_bytes == 3 * size


def test_retention_is_kept_and_can_be_taken_back(kept, numbers):
    assert not numbers.retention.is_set
    numbers.set_retention(keep_last=2, keep_days="12h")
    assert kept.dataset("numbers").retention.to_dict() == {"keep_last": 2, "keep_days": 0.5}
    numbers.set_retention()
    assert not numbers.retention.is_set
    assert kept.gc().expired == ()


def _brute_force(store, versions):
    """Return the objects of some versions and their sizes, read from the pages."""
    pages = store._storage.pages
    ids = {g.object_id for v in versions for f in pages.fragments(v.record) for g in f.groups}
    return {i: record.num_bytes for i, record in store._storage.catalog.read_objects(sorted(ids)).items()}


def test_usage_agrees_with_counting_by_hand(kept):
    one, two = kept.create_dataset("one"), kept.create_dataset("two")
    one.append({"id": list(range(100))})
    one.append({"id": list(range(200, 400))})
    work = one.create_branch("work")
    work.append({"id": [7] * 50})
    one.append({"id": [8] * 60})
    one.add_columns({"twice": "id * 2"})
    two.append({"id": list(range(200, 400))})
    two.append({"id": [9]})
    everything = {d.name: d.versions() for d in kept.datasets()}
    account = one.usage()
    flat = [v for versions in everything.values() for v in versions]
    for version, found in zip(one.versions(), account.versions, strict=True):
        mine = _brute_force(kept, [version])
        rest = _brute_force(kept, [v for v in flat if v != version])
        assert found.num_bytes == sum(mine.values())
        assert found.own == sum(size for i, size in mine.items() if i not in rest)
        assert found.added == version.record.bytes_added
    for name, theirs in (("one", "two"), ("two", "one")):
        mine, rest = _brute_force(kept, everything[name]), _brute_force(kept, everything[theirs])
        found = kept.dataset(name).usage()
        assert found.num_bytes == sum(mine.values())
        assert found.shared == sum(size for i, size in mine.items() if i in rest) > 0
        assert found.own == found.num_bytes - found.shared
    main, branch = account.branches
    by_number = {v.number: v for v in one.versions()}
    reach = {"main": [1, 2, 4, 5], "work": [1, 2, 3]}
    alone = {"main": [4, 5], "work": [3]}
    for found in (main, branch):
        assert found.versions == len(reach[found.name])
        assert found.num_bytes == sum(_brute_force(kept, [by_number[n] for n in reach[found.name]]).values())
        gone = [by_number[n] for n in alone[found.name]]
        rest = _brute_force(kept, [v for v in flat if v not in gone])
        assert found.own == sum(size for i, size in _brute_force(kept, gone).items() if i not in rest) > 0
    assert kept.usage().num_bytes == sum(_brute_force(kept, flat).values())
    assert kept.usage().catalog > 0


def test_usage_tells_garbage_from_what_is_under_way(kept, clock, numbers):
    before = kept.usage()
    assert (before.garbage, before.condemned, before.staged) == (0, 0, 0)
    with pytest.raises(foldstore.FoldstoreError):
        numbers.append({"id": [77, 77], "value": [1, 1]})
    assert kept.usage().garbage > kept.usage().condemned == 0
    kept.gc(dry_run=False)
    assert kept.usage().garbage == kept.usage().condemned > 0
    _collect(kept, clock)
    assert kept.usage().garbage == 0


def test_a_lease_of_no_time_is_refused(numbers):
    for hours in (0, -1, float("nan"), True, "12"):
        with pytest.raises(UsageError, match="not a time to read"):
            numbers.latest.lease(hours=hours)
