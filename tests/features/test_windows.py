"""One definition of windows, joined and served: the same bits at any instant, and new rows are a tile of their own."""

import datetime as dt
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.datastore.index_area import cut_into_runs
from foldstore.datastore.manifest import Fragment
from foldstore.errors import InvalidDefinitionError, SchemaMismatchError, UsageError
from foldstore.features import indexes, tile_shelf
from foldstore.features.definition_file import parse_definitions, write_definitions
from foldstore.features.indexes import FeatureIndexes
from foldstore.views.features import tile_parts
from foldstore.views.features.definition_set import DefinitionSet
from foldstore.views.features.tile_parts import TileParts
from foldstore.views.features.window_index import WindowIndex
from foldstore.views.features.window_tiles import Tile
from foldstore.views.time_column import to_nanoseconds

START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
DRIVER = foldstore.Entity("driver", keys={"driver": "int64"})
Aggregation = foldstore.Aggregation
CUTTABLE = [
    Aggregation("count", time_window="12h"),
    Aggregation("sum", "fare", time_window="12h"),
    Aggregation("mean", "fare", time_window="3d", hop="1h"),
    Aggregation("std", "fare", time_window="3d"),
    Aggregation("sum", "stops", time_window="1d", window="tumbling"),
    Aggregation("max", "stops", time_window="3d"),
    Aggregation("first", "city", time_window="1d"),
    Aggregation("last", "city", time_window="1d"),
]
WHOLE = [
    Aggregation("distinct", "city", time_window="2d"),
    Aggregation("quantile", "fare", time_window="2d", quantile=0.9),
    Aggregation("mean", "fare", time_window="5h", window="session"),
]


def hour(n):
    return START + dt.timedelta(hours=float(n))


def rides(seed, count=300, since=0):
    random = np.random.default_rng(seed)
    return {
        "driver": random.integers(0, 8, count).tolist(),
        "ts": [hour(since + n / 4) for n in random.integers(0, 400, count)],
        "fare": [None if n % 11 == 0 else float(x) for n, x in enumerate(random.normal(20, 9, count))],
        "stops": random.integers(0, 9, count).tolist(),
        "city": [["Oslo", "Bern", None, "Rome"][n % 4] for n in random.integers(0, 4, count)],
    }


def view_of(aggregations, name="recent", source="rides"):
    return foldstore.FeatureView(
        name, entity=DRIVER, source=source, event_time="ts", aggregations=aggregations
    )  # fmt: skip


def labels(seed=9, count=200):
    random = np.random.default_rng(seed)
    return {
        "driver": random.integers(0, 10, count).tolist(),
        "event_timestamp": [hour(n / 8) for n in random.integers(-20, 1200, count)],
    }


@pytest.fixture
def kept(monkeypatch):
    """Tables of any size have tiles in files; returns how many rows each new tile has."""
    monkeypatch.setattr(FeatureIndexes, "rows_to_keep", 1)
    made, make = [], Tile.of

    def watch(table, view, rows=None):
        made.append(table.num_rows)
        return make(table, view, rows)

    monkeypatch.setattr(Tile, "of", watch)
    return made


@pytest.fixture
def dataset(store):
    found = store.create_dataset("rides")
    found.append(rides(1))
    return found


def joined(store, service="model", asked=None):
    return store.features.get_historical_features(asked or labels(), service)


@pytest.mark.usefixtures("each_catalog")
def test_a_lookup_at_any_instant_is_what_the_join_gives_for_it(store, dataset):
    store.features.apply(foldstore.FeatureService("model", [view_of([*CUTTABLE, *WHOLE])]))
    store.features.materialize("model")
    asked = labels()
    wanted = joined(store, asked=asked)
    names = wanted.column_names[2:]
    assert names[:3] == ["count_12h", "fare_sum_12h", "fare_mean_3d"]
    for driver, at, row in zip(*asked.values(), wanted.to_pylist(), strict=True):
        found = store.features.get_online_features("model", [{"driver": driver}], at=at).to_dict()
        assert [repr(found[name][0]) for name in names] == [repr(row[name]) for name in names]


@pytest.mark.usefixtures("each_catalog")
def test_logged_lookups_are_audited_equal(store, dataset):
    store.features.apply(foldstore.FeatureService("model", [view_of([*CUTTABLE, *WHOLE])]))
    store.features.materialize("model")
    store.features.log_lookups("model")
    for n in range(30):
        store.features.get_online_features("model", [{"driver": each} for each in range(10)], at=hour(4 * n))
    dataset.append(rides(2))  # what comes later is not in what was served
    audit = store.features.audit("model@1")
    assert audit.equal
    assert audit.audited == 300


def test_an_empty_window_counts_nothing_and_an_unknown_entity_is_not_found(store):
    store.create_dataset("rides").append({"driver": [1], "ts": [hour(5)], "fare": [2.0]})
    view = view_of([Aggregation("count", time_window="1h"), Aggregation("sum", "fare", time_window="1h")])
    store.features.apply(foldstore.FeatureService("model", [view]))
    store.features.materialize("model")
    expected = {hour(5): (None, None), hour(5.5): (1, 2.0), hour(6): (1, 2.0), hour(6.001): (0, None)}
    for at, wanted in expected.items():
        row = joined(store, asked={"driver": [1, 2], "event_timestamp": [at, at]}).to_pylist()
        assert (row[0]["count_1h"], row[0]["fare_sum_1h"]) == wanted
        assert row[1]["count_1h"] is None
    found = store.features.get_online_features("model", [{"driver": 1}, {"driver": 2}], at=hour(9))
    assert found.to_dict()["count_1h"] == [0, None]
    statuses = {column.name: [str(each) for each in column.statuses] for column in found.columns()}
    assert statuses["count_1h"] == ["PRESENT", "NOT_FOUND"]
    assert statuses["fare_sum_1h"] == ["NULL_VALUE", "NOT_FOUND"]


@pytest.mark.usefixtures("each_catalog")
def test_new_rows_are_a_tile_beside_the_others_and_the_bits_are_those_of_one(store, folder, dataset, kept):
    store.features.apply(foldstore.FeatureService("model", [view_of(CUTTABLE)]))
    joined(store)
    dataset.append(rides(2, count=30, since=90))
    dataset.append(rides(3, count=5, since=91))
    found = joined(store)
    assert kept == [300, 30, 5]
    joined(store)
    with foldstore.connect(folder) as other:
        assert joined(other) == found
    assert kept == [300, 30, 5]
    store.create_dataset("at_once").append(dataset.latest.to_arrow())
    store.features.apply(foldstore.FeatureService("once", [view_of(CUTTABLE, source="at_once")]))
    assert joined(store, "once") == found
    assert kept[-1] == 335


@given(st.lists(st.integers(1, 100_000), max_size=60))
def test_runs_keep_the_order_and_a_commit_leaves_most_of_them_as_they_are(sizes):
    fragments = [Fragment(number, size, ()) for number, size in enumerate(sizes)]
    runs = cut_into_runs(fragments)
    assert [each for run in runs for each in run] == fragments
    totals = [sum(each.num_rows for each in run) for run in runs]
    assert all(one >= 4 * other for one, other in pairwise(totals))
    if fragments:
        # What a commit does not merge is the same run, so the same file.
        before = cut_into_runs(fragments[:-1])
        assert runs[:-1] == before[: len(runs) - 1]


def test_many_small_commits_are_a_few_tiles_and_the_bits_stay(store, dataset, kept):
    store.features.apply(foldstore.FeatureService("model", [view_of(CUTTABLE)]))
    for seed in range(2, 9):
        dataset.append(rides(seed, count=20, since=seed))
        found = joined(store)
    store.create_dataset("at_once").append(dataset.latest.to_arrow())
    store.features.apply(foldstore.FeatureService("once", [view_of(CUTTABLE, source="at_once")]))
    assert joined(store, "once") == found


@pytest.mark.usefixtures("each_catalog")
def test_rows_that_were_deleted_are_in_no_window(store, dataset, kept):
    store.features.apply(foldstore.FeatureService("model", [view_of(CUTTABLE)]))
    before = joined(store)
    dataset.delete("driver = 3")
    after = joined(store).to_pylist()
    assert all(row["count_12h"] is None for row in after if row["driver"] == 3)
    assert [row for row in after if row["driver"] != 3] == [row for row in before.to_pylist() if row["driver"] != 3]


def test_functions_that_are_not_put_together_work_on_new_rows_and_those_of_who_asks(store, dataset, kept):
    store.features.apply(foldstore.FeatureService("model", [view_of([*CUTTABLE, *WHOLE])]))
    few = {"driver": [1, 2, 99, None], "event_timestamp": [hour(99)] * 4}
    joined(store, asked=few)
    dataset.append(rides(2, count=30, since=90))
    found = joined(store, asked=few)
    assert kept == [300, 30]
    everybody = joined(store)
    assert kept == [300, 30, 330]  # most rows are asked about: a tile of all is worth keeping
    assert joined(store, asked=few) == found
    store.gc(dry_run=False)
    assert joined(store) == everybody
    assert kept == [300, 30, 330]
    store.create_dataset("at_once").append(dataset.latest.to_arrow())
    store.features.apply(foldstore.FeatureService("once", [view_of([*CUTTABLE, *WHOLE], source="at_once")]))
    assert joined(store, "once") == everybody
    assert joined(store, "once", asked=few) == found


events = st.lists(
    st.tuples(
        st.integers(0, 30),
        st.sampled_from([None, 1, 2, 3, 4]),
        st.none() | st.integers(0, 60),
        st.none() | st.integers(0, 2),
        st.none() | st.sampled_from([0.0, -0.0, 0.1, 1e16, float("nan"), float("inf")]) | st.floats(-9, 9),
        st.sampled_from([None, "Oslo", "Bern", "Rome"]),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda event: event[0],
)
histories = st.lists(
    st.tuples(st.just("upsert"), events) | st.tuples(st.just("delete"), st.lists(st.integers(0, 30), max_size=6)),
    min_size=1,
    max_size=5,
)


def table_of(given):
    ids, drivers, moments, made, fares, cities = zip(*given, strict=True)
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "driver": pa.array(drivers, pa.int64()),
            "ts": pa.array([None if n is None else hour(n) for n in moments], pa.timestamp("us", "UTC")),
            "made": pa.array([None if n is None else hour(n) for n in made], pa.timestamp("us", "UTC")),
            "fare": pa.array(fares, pa.float64()),
            "stops": pa.array([n % 3 for n in ids], pa.int64()),
            "city": pa.array(cities, pa.string()),
        }
    )


@given(first=events, history=histories, asked=st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True))
@settings(max_examples=12, deadline=None)
def test_after_any_history_windows_are_those_of_the_rows_that_are_left(first, history, asked, tmp_path_factory):
    """New rows, late ones, corrected and deleted ones; whoever asks, alone or among all."""
    view = foldstore.FeatureView(
        "recent", entity=DRIVER, source="rides", event_time="ts", created_time="made", aggregations=[*CUTTABLE, *WHOLE]
    )
    some = {"driver": [d for d in asked for _ in range(0, 90, 3)], "event_timestamp": [
        hour(n) for _ in asked for n in range(0, 90, 3)]}  # fmt: skip
    every = {"driver": [*range(1, 6)] * 30, "event_timestamp": [hour(n) for n in range(0, 90, 3) for _ in range(5)]}
    with (
        foldstore.connect(tmp_path_factory.mktemp("history") / "store") as store,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(FeatureIndexes, "rows_to_keep", 1)
        rides = store.create_dataset("rides", key=["id"])
        rides.append(table_of(first))
        store.features.apply(foldstore.FeatureService("model", [view]))
        for step, given in [("", []), *history]:
            if step == "upsert":
                rides.upsert(table_of(given))
            elif step == "delete":
                rides.delete(f"id IN ({', '.join(map(str, [-1, *given]))})")
            for labels_ in (some, every):
                found = joined(store, asked=labels_)
                table = rides.latest.to_arrow()
                wanted = WindowIndex(view, table, [TileParts.of(table, view)]).aggregate(
                    [pa.chunked_array([pa.array(labels_["driver"], pa.int64())])],
                    to_nanoseconds(pa.array(labels_["event_timestamp"], pa.timestamp("us", "UTC"))),
                    view.features,
                )
                for name, column in zip(view.features, wanted, strict=True):
                    assert list(map(repr, found[name].to_pylist())) == list(map(repr, column.to_pylist())), name


@pytest.mark.usefixtures("each_catalog")
def test_a_broken_tile_is_made_again_and_gc_removes_those_of_versions_that_are_gone(store, folder, dataset, kept):
    store.features.apply(foldstore.FeatureService("model", [view_of(CUTTABLE)]))
    found = joined(store)
    (path,) = (store.root / "indexes").glob("*/*.tile")
    store.gc(dry_run=False)
    assert path.exists()
    path.write_bytes(path.read_bytes()[:-300])
    with foldstore.connect(folder) as other:
        assert joined(other) == found
    assert kept == [300, 300]
    stray = path.with_name("0" * 32 + "-" + "1" * 32 + ".tile")
    stray.write_bytes(path.read_bytes())
    store.gc(dry_run=False)
    assert path.exists()
    assert not stray.exists()


def test_what_is_too_much_for_memory_is_made_and_asked_part_by_part_to_the_same_bits(
    store, folder, dataset, kept, monkeypatch
):
    store.features.apply(foldstore.FeatureService("model", [view_of([*CUTTABLE, *WHOLE])]))
    wanted = joined(store)
    for path in (store.root / "indexes").glob("*/*.tile"):
        path.unlink()
    kept.clear()
    monkeypatch.setattr(tile_parts, "MEMORY", 20_000)
    with foldstore.connect(folder) as other:
        assert joined(other) == wanted
        assert (sum(kept), len(kept) >= 4, max(kept) < 200) == (300, True, True)
        dataset.append(rides(2, 30))
        in_parts = joined(other)
    (torn, *_) = sorted((store.root / "indexes").glob("*/*.tile"), key=lambda path: -path.stat().st_size)
    torn.write_bytes(torn.read_bytes()[: torn.stat().st_size // 2])
    with foldstore.connect(folder) as other:
        assert joined(other) == in_parts
    for path in (store.root / "indexes").glob("*/*.tile"):
        path.unlink()
    with foldstore.connect(folder, read_only=True) as reader:
        assert joined(reader) == in_parts
    assert not list((store.root / "indexes").glob("*/*.tile"))
    monkeypatch.undo()
    with foldstore.connect(folder) as other:
        assert joined(other) == in_parts


def test_a_tile_that_was_being_made_while_rows_were_erased_does_not_stay(store, kept, monkeypatch):
    dataset = store.create_dataset("rides", key=["id"])
    dataset.append({**rides(1), "id": list(range(300))})
    store.features.apply(foldstore.FeatureService("model", [view_of(CUTTABLE)]))
    write = tile_shelf.write_tile

    def and_then_erase(rows, view, path, **how):
        monkeypatch.setattr(tile_shelf, "write_tile", write)
        dataset.erase(where="id = 7", reason="asked to")
        path.parent.mkdir(parents=True, exist_ok=True)
        return write(rows, view, path, **how)

    monkeypatch.setattr(tile_shelf, "write_tile", and_then_erase)
    joined(store)
    assert not list((store.root / "indexes").glob("*/*.tile"))
    joined(store)
    assert len(list((store.root / "indexes").glob("*/*.tile"))) == 1


def derived(store):
    return sorted((store.root / "indexes").glob("*/*.derived"))


@pytest.fixture
def read(monkeypatch):
    """The views whose source was read."""
    names, really = [], indexes.read_source

    def watch(rows, view, pins):
        names.append(view.name)
        return really(rows, view, pins)

    monkeypatch.setattr(indexes, "read_source", watch)
    return names


BUSY = "SELECT r.* FROM rides r JOIN cities c USING (city) WHERE c.busy ORDER BY ALL"


def serve_derived(store, dataset):
    """Apply windows over a query of two datasets, a saved view and a part of a split; return the services."""
    store.create_dataset("cities", key=["city"]).append({"city": ["Oslo", "Bern"], "busy": [True, True]})
    store.view("rides@1").where("stops > 0").save("stopping")
    dataset.latest.split("half", train=0.5, test=0.5, group_by=["driver"])
    sources = {"query": foldstore.sql(BUSY), "saved": "stopping", "part": "rides@1#half.train"}
    for name, source in sources.items():
        view = view_of([*CUTTABLE, *WHOLE], source=source, name=name)
        store.features.apply(foldstore.FeatureService(name, [view]))
    return list(sources)


@pytest.mark.usefixtures("each_catalog")
def test_windows_over_queries_saved_views_and_parts_are_kept_while_what_they_read_is_the_same(
    store, folder, dataset, read
):
    services = serve_derived(store, dataset)
    first = [joined(store, each) for each in services]
    assert (read, len(derived(store))) == (services, 3)
    with foldstore.connect(folder) as other:
        assert [joined(other, each) for each in services] == first
        assert [joined(store, each) for each in services] == first
        assert read == services  # nothing was read again
        store.gc(dry_run=False)
        assert len(derived(store)) == 3
        dataset.append(rides(2, 30))
        newer = [joined(other, each) for each in services]
    assert (newer[0] != first[0], newer[1:]) == (True, first[1:])
    assert read == [*services, "query"]
    for path in derived(store):
        path.write_bytes(path.read_bytes()[:-200])
    with foldstore.connect(folder) as other:
        assert [joined(other, each) for each in services] == newer
        everybody = other.features.get_historical_features(None, "saved")
    assert everybody.num_rows > 0
    bare = store.view("stopping").to_arrow()
    store.create_dataset("bare").append(bare)
    store.features.apply(foldstore.FeatureService("bare", [view_of([*CUTTABLE, *WHOLE], source="bare", name="saved")]))
    assert joined(store, "bare") == newer[1]


@pytest.mark.parametrize("query", ["SELECT * FROM rides WHERE ts < now()", "SELECT *, random() AS r FROM rides"])
def test_windows_over_a_query_that_looks_at_the_clock_or_draws_are_computed_anew(store, dataset, read, query):
    store.features.apply(foldstore.FeatureService("model", [view_of(CUTTABLE, source=foldstore.sql(query))]))
    assert joined(store) == joined(store)
    assert (len(read), derived(store)) == (2, [])


@pytest.mark.usefixtures("each_catalog")
def test_a_tile_of_several_datasets_goes_when_one_of_them_is_sealed_or_erased_from(store, read):
    dataset = store.create_dataset("rides", key=["id"], event_time="ts")
    dataset.append({**rides(1), "id": list(range(300)), "late": [bool(n % 3) for n in range(300)]})
    services = serve_derived(store, dataset)
    cities = store.dataset("cities")
    before = [joined(store, each) for each in services]
    assert len(derived(store)) == 3
    cities.erase(where="city = 'Bern'", reason="asked to")
    assert [path.parent.name for path in derived(store)] == [dataset.latest.record.dataset_id] * 2
    assert joined(store, "query") != before[0]
    assert len(derived(store)) == 3
    split = dataset.latest.split("parts", by_time="ts", boundaries=[hour(1), hour(2)])
    plan = foldstore.plan_pool("n > 0.5 +/- 0.2", reliability=0.9, reuse="max_passes:1", steps=1)
    store.pools.seal("pool", split.test, label="late", hide=["stops"], plan=plan)
    assert derived(store) == []
    read.clear()
    after = [joined(store, each) for each in services]
    assert [joined(store, each) for each in services] == after
    assert (read, derived(store)) == (services * 2, [])


@pytest.mark.usefixtures("each_catalog")
def test_sealed_cells_leave_no_tile_behind(store, kept):
    dataset = store.create_dataset("rides", key=["id"], event_time="ts")
    rows = rides(1)
    late = [bool(n % 3) for n in range(300)]
    version = dataset.append({**rows, "id": list(range(300)), "late": late})
    view = view_of([Aggregation("sum", "late", time_window="9d"), Aggregation("max", "stops", time_window="9d")])
    store.features.apply(foldstore.FeatureService("model", [view]))
    assert any(joined(store)["late_sum_9d"].to_pylist())
    split = version.split("parts", by_time="ts", boundaries=[hour(1), hour(2)])
    plan = foldstore.plan_pool("n > 0.5 +/- 0.2", reliability=0.9, reuse="max_passes:1", steps=1)
    store.pools.seal("pool", split.test, label="late", plan=plan)
    assert not list((store.root / "indexes").glob("*/*.tile"))
    sealed = joined(store)["late_sum_9d"].to_pylist()
    store.create_dataset("rest").append(version.to_arrow(columns=["driver", "ts", "late", "stops"]))
    assert version.to_arrow()["late"].null_count > 250
    store.features.apply(foldstore.FeatureService("rest", [view_of(view.aggregations, source="rest")]))
    assert joined(store, "rest")["late_sum_9d"].to_pylist() == sealed
    with foldstore.connect(store.root) as other:
        assert joined(other)["late_sum_9d"].to_pylist() == sealed


def test_without_rows_that_ask_every_entity_asks_whenever_a_window_changes(store):
    store.create_dataset("rides").append({"driver": [1, 1], "ts": [hour(0), hour(3)], "fare": [2.0, 4.0]})
    view = view_of([Aggregation("sum", "fare", time_window="5h")])
    store.features.apply(foldstore.FeatureService("model", [view]))
    history = store.features.get_historical_features(service="model")
    assert history["fare_sum_5h"].to_pylist() == [2.0, 6.0, 4.0, None]


@pytest.mark.usefixtures("each_catalog")
def test_training_sets_and_selections_take_windows_as_they_take_columns(store, dataset):
    view = view_of(CUTTABLE)
    service = foldstore.FeatureService("model", [view[["stops_max_3d", "count_12h"]]])
    store.features.apply(service)
    base = store.create_dataset("asks", event_time="event_timestamp")
    version = base.append(labels())
    version.split("halves", train=0.5, validation=0.25, test=0.25, group_by=["driver"], seed=1)
    training = store.features.create_training_set("learn", labels="asks@1#halves", features="model@1")
    train = training.train.to_arrow()
    again = joined(store, asked=train.select(["driver", "event_timestamp"]))
    assert train["count_12h"] == again["count_12h"]


@pytest.mark.usefixtures("each_catalog")
def test_services_pin_windows_and_files_say_them(store, dataset):
    service = foldstore.FeatureService("model", [view_of([*CUTTABLE, *WHOLE])])
    store.features.apply(service)
    assert store.features.service("model") == service
    text = write_definitions(DefinitionSet.of([service]))
    assert parse_definitions(text).services["model"] == service
    python = """
from foldstore import Aggregation, Entity, FeatureService, FeatureView
driver = Entity("driver", keys={"driver": "int64"})
recent = FeatureView("recent", entity=driver, source="rides", event_time="ts", aggregations=[
    Aggregation("count", time_window="12h"), Aggregation("mean", "fare", time_window="3d", hop="1h")])
model = FeatureService("model", [recent])
"""
    given = parse_definitions(python, ".py").services["model"]
    assert given == foldstore.FeatureService("model", [view_of([CUTTABLE[0], CUTTABLE[2]])])


def test_another_window_is_a_change_that_breaks_and_a_new_one_is_not(store, dataset):
    name = "recent__fares"
    plain = Aggregation("sum", "fare", time_window="12h", name="fares")
    longer = Aggregation("sum", "fare", time_window="13h", name="fares")
    for number, chosen in enumerate([[plain], [plain, CUTTABLE[0]], [longer]], 1):
        store.features.apply(foldstore.FeatureService("model", [view_of(chosen)]))
        assert store.features.list_services()[-1] == f"model@{number}"
    added = store.features.diff("model@1", "model@2")
    assert [(str(each), each.breaks) for each in added] == [("recent__count_12h is added", False)]
    (changed,) = store.features.diff("model@1", "model@3")
    assert (changed.feature, changed.what, changed.breaks) == (name, "window", True)
    assert str(changed) == f"{name}: window sum(fare) over sliding 12h -> sum(fare) over sliding 13h"


def test_what_cannot_be_is_refused_where_it_stands(store, dataset):
    bad = foldstore.FeatureService("model", [view_of([Aggregation("mean", "city", time_window="1h")])])
    with pytest.raises(SchemaMismatchError, match="'mean' means nothing for 'city'"):
        store.features.apply(bad)
    with pytest.raises(UsageError, match="has windows and a ttl"):
        foldstore.FeatureView("v", entity=DRIVER, source="rides", event_time="ts", ttl="1d", aggregations=[CUTTABLE[0]])
    with pytest.raises(UsageError, match="'count_12h'"):
        view_of([CUTTABLE[0], CUTTABLE[0]])
    text = """\
views:
  recent:
    source: rides
    event_time: ts
    aggregations:
    - {function: mean, column: fare, time_window: 1d}
    - {function: average, column: fare, time_window: 1d}
services:
  model: {features: [recent]}
"""
    with pytest.raises(InvalidDefinitionError, match="'average' is no function") as found:
        parse_definitions(text)
    assert found.value.facts["line"] == 7
    store.features.apply(foldstore.FeatureService("model", [view_of([CUTTABLE[0]])]))
    with pytest.raises(SchemaMismatchError, match="not filtered by created times"):
        store.features.get_historical_features(labels(), "model", filter_by_created_timestamp=True)


def test_windows_over_views_queries_and_without_an_entity(store, dataset):
    store.view("rides").where("stops > 2").save("long")
    everywhere = foldstore.FeatureView("all", source="rides", event_time="ts", aggregations=[CUTTABLE[0]])
    query = foldstore.FeatureView(
        "paid", entity=DRIVER, source=foldstore.sql("SELECT driver, ts, fare * 2 AS fare FROM rides"),
        event_time="ts", aggregations=[CUTTABLE[1]],
    )  # fmt: skip
    saved = view_of([Aggregation("count", time_window="2d")], name="longer", source="long")
    store.features.apply(foldstore.FeatureService("model", [everywhere, query, saved]))
    found = joined(store)
    store.features.materialize("model")
    table = dataset.latest.to_arrow()
    for row in found.to_pylist()[:40]:
        at = row["event_timestamp"]
        recent = [t for t in table["ts"].to_pylist() if at - dt.timedelta(hours=12) <= t < at]
        assert (row["count_12h"] or 0) == len(recent)
        served = store.features.get_online_features("model", [{"driver": row["driver"]}], at=at).to_dict()
        assert [served[name][0] for name in ("count_12h", "fare_sum_12h", "count_2d")] == [
            row[name] for name in ("count_12h", "fare_sum_12h", "count_2d")
        ]
    assert pa.types.is_float64(found.schema.field("fare_sum_12h").type)
