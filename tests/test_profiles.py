"""Profiles of versions, views and parts: kept by file, by segment, and never of sealed or erased cells."""

import re

import pyarrow as pa
import pytest
import sqlalchemy as sa

import foldstore
from foldstore.datastore import joint_profiling
from foldstore.datastore.catalog import tables as t
from foldstore.datastore.profiling import PROFILE_KIND
from foldstore.datastore.statistics.profile import Profile, profile_table
from foldstore.datastore.statistics.segments import OTHER, _decode
from foldstore.errors import UsageError

pytestmark = pytest.mark.filterwarnings("ignore::foldstore.LeakageWarning")
ROWS = 600
SIGN = re.compile(r"(?:canary-|(?<!\d)70000)(\d{4})(?![\d.])")


def make_rows(start, end):
    return {
        "id": list(range(start, end)),
        "origin": [("EWR", "JFK", None)[n % 3] for n in range(start, end)],
        "late": [n % 2 == 0 for n in range(start, end)],
        "note": [f"canary-{n:04}" for n in range(start, end)],
        "amount": [700_000_000 + n for n in range(start, end)],
    }


@pytest.fixture
def flights(store):
    data = store.create_dataset("flights", key=["id"])
    data.append(make_rows(0, 400))
    data.append(make_rows(400, ROWS))
    return data


@pytest.fixture
def scans(monkeypatch):
    """How many scans were computed, not found."""
    run = []
    computed = joint_profiling.run_scan
    monkeypatch.setattr(joint_profiling, "run_scan", lambda *args: (run.append(1), computed(*args))[1])
    return run


ASKED = {
    "segments": lambda p: p.profile(by="origin").to_dict(),
    "pairs": lambda p: p.profile(by=["origin", "late"]).to_dict(),
    "correlations": lambda p: p.profile().correlations().to_dict(),
    "against": lambda p: p.profile().against("late").to_dict(),
    "weighted": lambda p: p.profile().weighted("id").to_dict(),
    "row_set": lambda p: p.profile().row_set().estimate,
    "sample": lambda p: p.profile().sample(50).to_pylist(),
}


@pytest.mark.parametrize("name", [name for name in ASKED if name not in ("sample", "weighted")])
def test_versions_views_and_parts_say_the_same_of_the_same_rows(flights, name):
    version = flights.latest
    assert str(ASKED[name](version)) == str(ASKED[name](version.view()))
    part = version.split("half", train=0.5, test=0.5).train
    assert str(ASKED[name](part)) == str(ASKED[name](part.view()))
    assert str(ASKED[name](part)) != str(ASKED[name](version))


def test_a_key_identifies_the_rows_of_a_version_and_named_columns_those_of_a_view(flights):
    version = flights.latest
    split = version.split("half", train=0.5, test=0.5)
    train, test = split.train.profile(), split.test.profile()
    assert train.row_set(["id"]).overlap(test.row_set(["id"])).both == 0
    assert train.row_set(["id"]).overlap(version.profile().row_set()).both == train.rows
    assert train.weighted("id")["amount"].mean == pytest.approx(train.columns["amount"].mean, rel=1e-6)
    assert version.profile().sample(7).num_rows == 7


@pytest.mark.parametrize("name", [name for name in ASKED if name != "sample"])
def test_what_was_found_is_kept_with_the_file(flights, scans, name):
    first = ASKED[name](flights.latest)
    asked = len(scans)
    assert asked >= 2
    assert ASKED[name](flights.latest) == first
    assert len(scans) == asked
    flights.append(make_rows(600, 610))
    ASKED[name](flights.latest)
    assert len(scans) == asked + (3 if name == "against" else asked // 2)  # its cells follow the quantiles


def test_a_deletion_a_new_name_and_a_new_column_are_seen(flights, scans):
    flights.latest.profile(by="origin")
    flights.delete("id < 100")
    assert flights.latest.profile(by="origin")["EWR"].columns["id"].minimum == 102
    flights.rename_columns({"origin": "airport"})
    kept = len(scans)
    assert flights.latest.profile(by="airport")["EWR"].columns["id"].minimum == 102
    assert len(scans) == kept
    flights.add_columns({"hour": "id % 24"})
    found = flights.latest.profile(by="airport")["EWR"]
    chosen = flights.latest.to_arrow().filter(pa.compute.field("airport") == "EWR")
    assert found.id == profile_table(chosen).id
    assert flights.latest.profile().correlations().of("id", "hour") is not None


def test_a_column_that_a_later_version_dropped_is_still_there_in_the_earlier(flights):
    flights.delete("id < 10")
    newest = flights.drop_columns(["note"])
    assert "note" not in newest.profile().columns  # it is looked at first, and what is found kept by file
    before = flights.version(newest.number - 1).profile()
    assert (before.rows, before.columns["note"].distinct) == (ROWS - 10, ROWS - 10)


def test_the_rest_is_one_segment_and_small_versions_have_few(flights):
    found = flights.latest.profile(by="id", max_segments=5)
    assert len(found) == 6
    assert found[OTHER].rows == ROWS - 5 == found.left_over
    assert len(flights.latest.view().where("id < 0").profile(by="origin")) == 0


def test_rows_that_were_added_alone_are_looked_at(flights):
    added = flights.latest.profile(rows="added")
    assert added.row_set().estimate == 200
    assert added.correlations().rows_of("id", "amount") == 200
    assert sum(part.rows for part in flights.latest.profile(by="late", rows="added").values()) == 200
    with pytest.raises(UsageError, match="not a choice"):
        flights.latest.profile(by="late", rows="some")


def kept_profiles(store):
    """Return every profile that the catalog keeps, whatever file it belongs to."""
    with store._storage.catalog.read() as connection:
        for row in connection.execute(sa.select(t.derived)):
            if row.kind == PROFILE_KIND:
                yield Profile.from_bytes(bytes(row.encoded)[32:])
            if row.kind.startswith("segments/"):
                yield from _decode(bytes(row.encoded)[32:]).values()


def leaks(found, hidden):
    return {int(number) for number in SIGN.findall(str(found))} & hidden


def test_no_statistic_holds_a_sealed_cell(store, flights):
    version = flights.latest
    before = [ask(version) for ask in ASKED.values()]  # kept, before anything is sealed
    split = version.split("half", train=0.5, test=0.5)
    hidden = frozenset(split.test.to_arrow()["id"].to_pylist())
    assert leaks(before, hidden)
    assert leaks([profile.to_arrow().to_pylist() for profile in kept_profiles(store)], hidden)
    plan = foldstore.plan_pool("n > 0.6 +/- 0.2", reliability=0.9, steps=2)
    store.pools.seal("p", split.test, label="late", hide=["note", "amount"], plan=plan)
    for profile in (version.profile(), version.profile(by="origin")["EWR"], version.view().profile()):
        assert not leaks(profile.to_arrow().to_pylist(), hidden)
    assert version.profile().columns["note"].nulls == len(hidden)
    assert version.profile(by="origin")["EWR"].columns["late"].nulls > 0
    assert version.profile().correlations().rows_of("id", "amount") == ROWS - len(hidden)
    assert version.profile().against("late")["origin"].labelled == ROWS - len(hidden)
    assert not leaks(version.profile().sample(ROWS).to_pylist(), hidden)
    assert not leaks([profile.to_arrow().to_pylist() for profile in kept_profiles(store)], hidden)


def test_a_profile_follows_files_that_are_rewritten(store, flights):
    profile = flights.latest.profile()
    split = flights.latest.split("half", train=0.5, test=0.5)
    plan = foldstore.plan_pool("n > 0.6 +/- 0.2", reliability=0.9, steps=2)
    store.pools.seal("p", split.test, label="late", hide=["amount"], plan=plan)
    assert profile.correlations().rows_of("id", "amount") < ROWS
