"""What changed is laid over indexes and tiles of other versions: joins give what they give when all is made anew."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.features import index_overlays, indexes, run_tiles, tile_shelf
from foldstore.features.indexes import FeatureIndexes
from foldstore.views.features.tile_parts import TileParts
from foldstore.views.features.window_index import WindowIndex
from foldstore.views.time_column import to_nanoseconds

START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
DRIVER = foldstore.Entity("driver", keys={"driver": "int64"})
Aggregation = foldstore.Aggregation
PLAIN = ["fare", "stops", "city"]
WINDOWS = [
    Aggregation("count", time_window="4h"),
    Aggregation("sum", "stops", time_window="4h"),
    Aggregation("last", "city", time_window="4h"),
    Aggregation("std", "fare", time_window="9h"),
    Aggregation("min", "fare", time_window="4h"),
    Aggregation("distinct", "city", time_window="4h"),
    Aggregation("mean", "fare", time_window="2h", window="session"),
]
SECONDS = pa.timestamp("s", "UTC")
SCHEMA = pa.schema(
    [
        ("id", pa.int32()), ("driver", pa.int32()), ("ts", SECONDS), ("seen", SECONDS),
        ("fare", pa.float32()), ("tip", pa.float32()), ("stops", pa.int32()), ("city", pa.string()),
    ]
)  # fmt: skip
WIDER = {"driver": "int64", "fare": "double", "stops": "int64"}


def hour(n):
    return None if n is None else START + dt.timedelta(hours=n)


row = st.tuples(
    st.none() | st.integers(0, 3), st.none() | st.integers(0, 12), st.none() | st.integers(0, 12), st.integers(0, 9)
)
steps = st.one_of(
    st.tuples(st.just("append"), st.lists(row, min_size=1, max_size=4)),
    st.tuples(st.just("upsert"), st.lists(row, min_size=1, max_size=4), st.integers(0, 40)),
    st.tuples(st.just("delete"), st.integers(2, 9), st.integers(0, 8)),
    st.tuples(st.just("delete"), st.integers(2, 9), st.integers(0, 8)),
    st.tuples(st.sampled_from(["compact", "widen", "swap", "restore"]), st.integers(0, 9)),
)


def as_table(first, rows, schema):
    """Return rows with ids from one on; what else they hold follows from four numbers."""
    cells = [
        {
            "id": first + n, "driver": driver, "ts": hour(event), "seen": hour(seen), "tip": float(value),
            "fare": [None, 0.1, 7.5, -2.25, 1e6][value % 5], "stops": value, "city": [None, "a", "b"][value % 3],
        }
        for n, (driver, event, seen, value) in enumerate(rows)
    ]  # fmt: skip
    return pa.Table.from_pylist(cells, schema=schema)


def commit(dataset, step, used):
    schema = dataset.latest.arrow_schema
    what, first = step[0], used
    if what == "append":
        dataset.append(as_table(used, step[1], schema))
        used += len(step[1])
    elif what == "upsert":
        first = step[2] % (used + 1)
        dataset.upsert(as_table(first, step[1], schema))
        used = max(used, first + len(step[1]))
    elif what == "delete":
        dataset.delete(f"id % {step[1]} = {step[2] % step[1]}")
    elif what == "compact":
        dataset.compact()
    elif what == "widen":
        kinds = {name: kind for name, kind in WIDER.items() if str(schema.field(name).type) != kind}
        if kinds:
            dataset.widen_columns(kinds)
    elif what == "swap":
        dataset.rename_columns({"fare": "held"})
        dataset.rename_columns({"tip": "fare"})
        dataset.rename_columns({"held": "tip"})
    else:
        numbers = [each.number for each in dataset.versions()]
        dataset.restore(numbers[step[1] % len(numbers)])
    return used


def asking():
    asked = [(driver, at) for driver in (0, 1, 2, 3, 7) for at in (0, 3, 4, 6.5, 9, 12, 13, 30)]
    return {"driver": [driver for driver, _ in asked], "event_timestamp": [hour(at) for _, at in asked]}


def find_by_hand(rows, driver, at, *, by_seen):
    """Return the row that was in force, by a loop."""
    known = [each for each in enumerate(rows) if each[1]["driver"] == driver and each[1]["ts"] is not None]
    known = [each for each in known if each[1]["ts"] <= at]
    if by_seen:
        known = [each for each in known if each[1]["seen"] is not None and each[1]["seen"] <= at]
    never = dt.datetime.min.replace(tzinfo=dt.UTC)
    best = max(known, key=lambda each: (each[1]["ts"], each[1]["seen"] or never, each[0]), default=None)
    return {name: None if best is None else best[1][name] for name in PLAIN}


def add_up_by_hand(rows, driver, at):
    """Return what three windows of four hours hold, by a loop."""
    mine = [each for each in enumerate(rows) if each[1]["driver"] == driver and each[1]["ts"] is not None]
    if not any(each["ts"] < at for _, each in mine):
        return {"count_4h": None, "stops_sum_4h": None, "city_last_4h": None}
    never = dt.datetime.min.replace(tzinfo=dt.UTC)
    held = [each for each in mine if at - dt.timedelta(hours=4) <= each[1]["ts"] < at]
    held = [each for _, each in sorted(held, key=lambda each: (each[1]["ts"], each[1]["seen"] or never, each[0]))]
    cities = [each["city"] for each in held if each["city"] is not None]
    return {
        "count_4h": len(held),
        "stops_sum_4h": sum(each["stops"] for each in held) if held else None,
        "city_last_4h": cities[-1] if cities else None,
    }


def check(store, version, service):
    asked, table = asking(), version.to_arrow()
    rows = table.to_pylist()
    pairs = list(zip(*asked.values(), strict=True))
    for by_seen in (False, True):
        found = store.features.get_historical_features(asked, f"{service}-rows", filter_by_created_timestamp=by_seen)
        expected = [find_by_hand(rows, driver, at, by_seen=by_seen) for driver, at in pairs]
        assert found.select(PLAIN).to_pylist() == expected
    found = store.features.get_historical_features(asked, f"{service}-windows")
    assert found.select(["count_4h", "stops_sum_4h", "city_last_4h"]).to_pylist() == [
        add_up_by_hand(rows, driver, at) for driver, at in pairs
    ]
    view = view_of("anew", version.address, aggregations=WINDOWS)
    anew = WindowIndex(view, table, [TileParts.of(table.select(view.columns()), view)]).aggregate(
        [pa.chunked_array([asked["driver"]])], to_nanoseconds(pa.array(asked["event_timestamp"])), view.features
    )
    assert [repr(found[name].to_pylist()) for name in view.features] == [repr(each.to_pylist()) for each in anew]


def view_of(name, source, **what):
    return foldstore.FeatureView(name, entity=DRIVER, source=source, event_time="ts", created_time="seen", **what)


def apply(store, service, source):
    rows = view_of(f"{service}-rows", source, features=PLAIN)
    windows = view_of(f"{service}-windows", source, aggregations=WINDOWS)
    store.features.apply(foldstore.FeatureService(f"{service}-rows", [rows]))
    store.features.apply(foldstore.FeatureService(f"{service}-windows", [windows]))


def fill(store, count=30):
    dataset = store.create_dataset("rides", key=["id"])
    chance = np.random.default_rng(3)
    rows = list(zip(*(chance.integers(0, most, count).tolist() for most in (4, 13, 13, 10)), strict=True))
    dataset.append(as_table(0, rows, SCHEMA))
    apply(store, "model", "rides")
    return dataset


@pytest.fixture(autouse=True)
def laid(monkeypatch):
    """Let tables of any size have indexes, and any share of rows be laid over them; note what is."""
    monkeypatch.setattr(FeatureIndexes, "rows_to_keep", 1)
    monkeypatch.setattr(index_overlays, "SHARE", 1)
    noted = []
    for module, name in ((indexes, "find_overlay"), (run_tiles, "lay_tile_over")):
        monkeypatch.setattr(module, name, note(getattr(module, name), noted, name))
    for module, name in ((indexes, "write_index"), (tile_shelf, "write_tile")):
        monkeypatch.setattr(module, name, note(getattr(module, name), noted, name, whatever=True))
    return noted


def note(make, noted, name, *, whatever=False):
    def noting(*given, **named):
        made = make(*given, **named)
        if whatever or made is not None:
            noted.append(name)
        return made

    return noting


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(st.tuples(steps, st.booleans()), min_size=1, max_size=5), branch=st.booleans())
def test_after_any_commits_joins_are_those_of_all_rows(tmp_path_factory, laid, sequence, branch):
    with foldstore.connect(tmp_path_factory.mktemp("any") / "store") as store:
        dataset = fill(store)
        lines = [dataset]
        check(store, dataset.latest, "model")
        if branch:
            lines.append(dataset.create_branch("side"))
            apply(store, "side", "rides@side")
        used = [30, 30]
        for number, (step, asks) in enumerate(sequence):
            line = number % len(lines)
            used[line] = commit(lines[line], step, used[line])
            if asks or number == len(sequence) - 1:
                for each, service in zip(lines, ("model", "side"), strict=False):
                    check(store, each.latest, service)
        apply(store, "first", "rides@1")
        check(store, dataset.version(1), "first")


def test_a_correction_writes_no_index_and_no_tile_of_the_rows_that_stayed(store, laid):
    dataset = fill(store, count=60)
    check(store, dataset.latest, "model")
    assert laid == ["write_index", "write_tile"]
    laid.clear()
    dataset.upsert(as_table(7, [(1, 5, 5, 3)], SCHEMA))
    check(store, dataset.latest, "model")
    assert laid == ["find_overlay", "lay_tile_over", "write_tile"]  # the last one is of the new row
    laid.clear()
    check(store, dataset.latest, "model")
    with foldstore.connect(store.root) as other:
        check(other, dataset.latest, "model")
    assert laid == ["find_overlay", "lay_tile_over"]  # by the other


def test_more_than_a_share_of_changes_is_made_a_base_of_its_own(store, laid, monkeypatch):
    monkeypatch.setattr(index_overlays, "SHARE", 10)
    dataset = fill(store, count=60)
    check(store, dataset.latest, "model")
    for number in range(4):
        laid.clear()
        dataset.upsert(as_table(3 * number, [(None, 5, 5, 3)], SCHEMA))
        check(store, dataset.latest, "model")
        # Of 60 rows six may have gone or come, and each correction is one of both.
        assert ("write_index" in laid) == (number == 3)
    laid.clear()
    dataset.upsert(as_table(50, [(1, 5, 5, 3)], SCHEMA))
    check(store, dataset.latest, "model")
    assert "write_index" not in laid


def test_a_base_that_is_gone_or_torn_is_made_anew(store, laid):
    dataset = fill(store)
    check(store, dataset.latest, "model")
    dataset.upsert(as_table(7, [(1, 5, 5, 3)], SCHEMA))
    check(store, dataset.latest, "model")
    for path in (store.root / "indexes").glob("*/*"):
        path.unlink()
    check(store, dataset.latest, "model")
    dataset.delete("id = 3")
    for path in (store.root / "indexes").glob("*/*"):
        path.write_bytes(path.read_bytes()[:-100])
    laid.clear()
    with foldstore.connect(store.root) as other:
        check(other, dataset.latest, "model")
    assert "find_overlay" not in laid
    assert "lay_tile_over" not in laid


def test_erased_rows_are_in_nothing_that_is_laid_over(store):
    dataset = fill(store)
    check(store, dataset.latest, "model")
    dataset.upsert(as_table(7, [(1, 5, 5, 3)], SCHEMA))
    check(store, dataset.latest, "model")
    dataset.erase(where="id % 2 = 0", reason="asked to")
    assert not list((store.root / "indexes").glob("*/*"))
    for version in (dataset.version(1), dataset.latest):
        apply(store, f"v{version.number}", version.address)
        check(store, version, f"v{version.number}")


def test_collecting_a_version_removes_what_was_made_of_it_and_answers_stay(store):
    dataset = fill(store)
    check(store, dataset.latest, "model")
    dataset.delete("id = 3")
    check(store, dataset.latest, "model")
    store.gc(dry_run=False)
    check(store, dataset.latest, "model")
    assert store.verify().passed


def test_a_column_of_the_same_name_is_not_the_one_that_a_tile_was_made_of(store):
    dataset = fill(store)
    check(store, dataset.latest, "model")
    commit(dataset, ("swap", 0), 30)
    check(store, dataset.latest, "model")
