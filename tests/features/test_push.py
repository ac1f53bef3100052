"""Pushed rows: looked up at once, never in the place of newer ones, dropped when a version has caught up."""

import numpy as np
import pyarrow as pa
import pytest

import foldstore
from foldstore.errors import (
    AlreadyExistsError,
    ColumnNotFoundError,
    FoldstoreError,
    NotFoundError,
    RefusedError,
    SchemaMismatchError,
    UsageError,
)
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.dataset_rules import RowRule
from foldstore.validation.schema import DataSchema
from tests.features.online import DAY, columns, ride, rides_view, serve_rides, trips

ROWS = [ride(1, 0, 10), ride(1, 5, 15), ride(2, 3, 23)]


@pytest.fixture
def store(tmp_path):
    with serve_rides(tmp_path / "store", ROWS) as opened:
        yield opened


@pytest.mark.usefixtures("each_catalog")
def test_a_pushed_row_is_looked_up_from_its_own_time_on(store):
    done = store.features.push("stats", [ride(1, 9, 19, "Bern")])
    assert done.to_dict() == {"view": "stats", "rows": 1, "services": ["model@1"], "version": None}
    assert [trips(store, 1, day)[0] for day in (0, 4, 5, 8, 9, 27)] == [10, 10, 15, 15, 19, 19]
    assert trips(store, 2) == (23, "PRESENT")


def test_a_late_push_does_not_take_the_place_of_a_newer_row(store):
    store.features.push("stats", [ride(1, 9, 19)])
    store.features.push("stats", [ride(1, 7, 17), ride(1, 3, 13), ride(3, 1, 31)])
    assert [trips(store, 1, day)[0] for day in (2, 3, 5, 7, 9)] == [10, 13, 15, 17, 19]
    assert trips(store, 3) == (31, "PRESENT")


def test_of_one_instant_the_row_that_was_written_last_counts(store):
    store.features.push("stats", [ride(1, 5, 1), ride(1, 5, 2)])
    assert trips(store, 1) == (2, "PRESENT")


def test_created_time_comes_before_the_order_of_writing(tmp_path):
    rows = [{**ride(1, 5, 15), "made": DAY[6]}]
    with serve_rides(tmp_path / "store", rows, created_time="made") as store:
        store.features.push("stats", [{**ride(1, 5, 1), "made": DAY[5]}])
        assert trips(store, 1)[0] == 15
        store.features.push("stats", [{**ride(1, 5, 3), "made": DAY[8]}])
        store.features.push("stats", [{**ride(1, 5, 2), "made": DAY[7]}])
        assert trips(store, 1)[0] == 3


def test_a_pushed_row_grows_too_old_as_any_other(tmp_path):
    with serve_rides(tmp_path / "store", ROWS, ttl="2d") as store:
        store.features.push("stats", [ride(1, 9, 19)])
        assert [trips(store, 1, day) for day in (11, 12)] == [(19, "PRESENT"), (None, "OUTSIDE_MAX_AGE")]


def test_a_null_that_was_pushed_is_one(store):
    store.features.push("stats", {"driver": [1], "ts": [DAY[9]], "trips": pa.nulls(1, pa.int64()), "city": ["x"]})
    assert trips(store, 1) == (None, "NULL_VALUE")


@pytest.mark.usefixtures("each_catalog")
def test_a_deleted_entity_is_not_found_until_a_newer_row_comes(store):
    store.features.delete_online("stats", [{"driver": 1}], at=DAY[9])
    assert [trips(store, 1, day) for day in (8, 9)] == [(15, "PRESENT"), (None, "NOT_FOUND")]
    store.features.push("stats", [ride(1, 12, 112)])
    assert [trips(store, 1, day)[0] for day in (8, 9, 12)] == [15, None, 112]


def test_batches_answer_as_single_lookups_do(store):
    store.features.push("stats", [ride(1, 9, 19, None), ride(4, 9, 49)])
    store.features.delete_online("stats", [{"driver": 2}], at=DAY[9])
    entities = [{"driver": number % 6} for number in range(40)]
    found = store.features.get_online_features("model", entities, at=DAY[20])
    handle = store.features.online("model")
    singles = [handle.get(entity, DAY[20]) for entity in entities]
    answer = found.to_dict(include_statuses=True)
    assert answer["trips"] == [each.values["trips"] for each in singles]
    assert answer["city__status"] == [each.statuses[1] for each in singles]
    table = found.to_arrow()
    assert table.column("trips").to_pylist() == answer["trips"]
    assert table.schema.field("trips").type == pa.int64()
    assert found.pushed == {place for place, entity in enumerate(entities) if entity["driver"] in (1, 2, 4)}


@pytest.mark.usefixtures("each_catalog")
def test_another_process_sees_a_push_at_once(store):
    with foldstore.connect(store.root) as other:
        handle = other.features.online("model")
        assert handle.get({"driver": 1}, DAY[20]).values["trips"] == 15
        store.features.push("stats", [ride(1, 9, 19)])
        assert handle.get({"driver": 1}, DAY[20]).values["trips"] == 19


@pytest.mark.usefixtures("each_catalog")
def test_a_push_survives_the_store_that_took_it(store):
    store.features.push("stats", [ride(1, 9, 19)])
    store.close()
    with foldstore.connect(store.root) as again:
        assert trips(again, 1)[0] == 19


@pytest.mark.usefixtures("each_catalog")
def test_a_push_to_both_is_a_version_and_is_looked_up(store):
    done = store.features.push("stats", columns([ride(1, 9, 19)]), to="online_and_offline", message="a ride")
    assert done.version == "rides@2"
    assert store.version("rides@2").record.message == "a ride"
    assert trips(store, 1)[0] == 19
    joined = store.features.get_historical_features({"driver": [1], "event_timestamp": [DAY[20]]}, "model")
    assert joined["trips"].to_pylist() == [19]
    store.features.materialize("model")
    assert trips(store, 1)[0] == 19
    assert [each.pushed for each in store.features.online_status()] == [0]


@pytest.mark.usefixtures("each_catalog")
def test_a_push_offline_is_not_looked_up_before_it_is_materialized(store):
    store.features.push("stats", [ride(1, 9, 19)], to="offline")
    assert trips(store, 1)[0] == 15
    store.features.materialize("model")
    assert trips(store, 1)[0] == 19


@pytest.mark.usefixtures("each_catalog")
def test_rows_newer_than_the_version_survive_a_materialization(store):
    store.features.push("stats", [ride(1, 9, 19), ride(2, 9, 29)])
    store.dataset("rides").append(columns([ride(1, 11, 111)]))
    handle = store.features.online("model")
    store.features.materialize("model")
    assert [trips(store, driver)[0] for driver in (1, 2)] == [111, 29]
    assert handle.get({"driver": 1}, DAY[20]).values["trips"] == 111  # prepared before, and not behind
    assert [each.pushed for each in store.features.online_status("model")] == [1]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("size", [0, 100, -1])
def test_a_damaged_file_is_made_again_although_nothing_else_changed(store, full, size):
    (path,) = (store.root / "online").glob("*.arrow")
    whole = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(whole[:size] if size >= 0 else whole[:-9] + b"\0" * 9)
    with foldstore.connect(store.root) as again:
        with pytest.raises(FoldstoreError, match="Materialize the view again"):
            trips(again, 1)
        again.features.materialize("model", full=full)
        assert trips(again, 1)[0] == 15
    assert path.read_bytes() == whole


def test_a_damaged_file_of_another_service_does_not_stop_a_materialization(store):
    store.features.apply(foldstore.FeatureService("other", [rides_view()]))
    store.features.materialize("other")
    store.dataset("rides").append(columns([ride(1, 7, 17)]))
    store.features.materialize("model", full=True)
    store.features.push("stats", [ride(1, 9, 19), ride(2, 9, 29)])
    for path in (store.root / "online").glob("*.arrow"):
        path.chmod(0o644)
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
    with foldstore.connect(store.root) as again:
        with pytest.raises(FoldstoreError):
            trips(again, 1)
        again.dataset("rides").append(columns([ride(1, 11, 111)]))
        assert again.features.materialize("model") == "model@1"
        assert [trips(again, driver)[0] for driver in (1, 2)] == [111, 29]
        assert again.features.online_status("model")[0].pushed == 2, "what the other needs of them is not known"
        again.features.materialize("other")
        assert again.features.get_online_features("other", [{"driver": 1}], at=DAY[27]).to_dict()["trips"] == [111]
        assert again.features.online_status("model")[0].pushed == 1


@pytest.mark.usefixtures("each_catalog")
def test_what_a_version_corrects_is_not_undone_by_an_earlier_push(store):
    store.features.push("stats", [ride(1, 9, 19)], to="online_and_offline")
    store.dataset("rides").upsert(columns([ride(1, 9, 20)]))
    store.features.materialize("model")
    assert trips(store, 1)[0] == 20
    store.features.push("stats", [ride(1, 9, 21)])
    assert trips(store, 1)[0] == 21


def test_an_older_training_set_s_versions_do_not_hide_what_was_pushed_since(store):
    store.features.push("stats", [ride(1, 9, 19)], to="online_and_offline")
    store.features.materialize("model", full=True)
    store.features.push("stats", [ride(1, 10, 20)])
    store.features.materialize("model", full=True)
    assert trips(store, 1)[0] == 20


def test_history_between_pushes_is_the_dataset_s(store):
    store.features.push("stats", [ride(1, 9, 19)])
    store.features.push("stats", [ride(1, 11, 111)])
    store.dataset("rides").append(columns([ride(2, 9, 29)]))
    store.features.materialize("model")
    assert [trips(store, 1, day)[0] for day in (9, 10, 11)] == [15, 15, 111]


@pytest.mark.parametrize("features", [["city"], ["city", "note"], ["trips"]])
def test_a_view_of_texts_alone_or_numbers_alone_is_pushed_to(tmp_path, features):
    with foldstore.connect(tmp_path / "store") as store:
        rows = {"driver": [1], "ts": [DAY[0]], "city": ["Oslo"], "note": ["x"], "trips": [1]}
        store.create_dataset("rides", key=["driver", "ts"]).append(rows)
        store.features.apply(foldstore.FeatureService("model", [rides_view(features=features)]))
        store.features.materialize("model")
        pushed = {"city": ["", None], "note": ["y", "z"], "trips": [2, None]}
        keys = {"driver": [1, 2], "ts": [DAY[2]] * 2}
        store.features.push("stats", {**keys, **{name: pushed[name] for name in features}})
        ask = [{"driver": 1}, {"driver": 2}, {"driver": 3}]
        found = store.features.get_online_features("model", ask, at=DAY[5]).to_dict()
        assert {name: found[name] for name in features} == {name: [*pushed[name], None] for name in features}
        handle = store.features.online("model")
        assert handle.get({"driver": 1}, DAY[5]).values == {name: pushed[name][0] for name in features}


def test_values_in_every_type_come_back_to_the_bit(tmp_path):
    types = {"f": pa.float32(), "n": pa.uint64(), "when": pa.timestamp("ns", "UTC"), "many": pa.list_(pa.int32())}
    first = pa.table({"driver": [1], "ts": [DAY[0]], **{name: pa.nulls(1, kind) for name, kind in types.items()}})
    store = foldstore.connect(tmp_path / "store")
    store.create_dataset("rides").append(first)
    store.features.apply(foldstore.FeatureService("model", [rides_view(features=list(types))]))
    store.features.materialize("model")
    odd = np.array([0x7FA00001], np.uint32).view(np.float32)  # a NaN with something in it
    values = [pa.array(odd), pa.array([2**64 - 1], pa.uint64()), pa.array([7], pa.int64()).view(types["when"])]
    pushed = pa.table([*values, pa.array([[1, None]], types["many"])], list(types))
    store.features.push("stats", pushed.append_column("driver", pa.array([1])).append_column("ts", pa.array([DAY[1]])))
    found = store.features.get_online_features("model", [{"driver": 1}], at=DAY[9]).to_arrow()
    assert np.asarray(found["f"].combine_chunks()).view(np.uint32).tolist() == [0x7FA00001]
    assert found.drop_columns(["f"]).equals(pushed.drop_columns(["f"]))
    store.close()


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        ([{**ride(1, 9, 19), "tips": 1}], ColumnNotFoundError, "'tips'"),
        ([{"driver": 1, "ts": DAY[9], "trips": 1}], SchemaMismatchError, "'city' is missing"),
        ([{"ts": DAY[9], "trips": 1, "city": "x"}], SchemaMismatchError, "'driver' is missing"),
        ([{**ride("one", 9, 19)}], SchemaMismatchError, "driver"),
        ([{**ride(None, 9, 19)}], SchemaMismatchError, "driver"),
        ([ride(1, 9, 19), {**ride(1, 9, 19), "driver": None}], SchemaMismatchError, "Row 1 has no 'driver'"),
        ([{**ride(1, 9, 19), "ts": None}], UsageError, "ts"),
        ([{**ride(1, 9, 1.5)}], SchemaMismatchError, "'trips' is double"),
        ([{**ride(1, 9, "12")}], SchemaMismatchError, "'trips' is string"),
        ([{**ride(1, 9, 19), "ts": "yesterday"}], UsageError, "yesterday"),
        ([{**ride(1, 9, 19), "ts": 5}], UsageError, "not a time"),
        ([ride(1, 9, 19), {"driver": 1}], SchemaMismatchError, "Row 1 has other columns"),
        ([], UsageError, "no rows"),
        (["a"], UsageError, "not objects"),
        ("rides", UsageError, "not an address"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_none_is_written(store, rows, error, words):
    for to in ("online", "online_and_offline"):
        with pytest.raises(error, match=words):
            store.features.push("stats", rows, to=to)
    assert store.dataset("rides").latest.address == "rides@1"
    assert [each.pushed for each in store.features.online_status()] == [0]


@pytest.mark.parametrize("ends", [-(2**63), 2**63 - 1, -(2**63) + 2])
def test_times_at_the_ends_of_int64(store, ends):
    table = pa.table({"driver": [1], "ts": pa.array([ends]).view(pa.timestamp("ns")), "trips": [1], "city": ["x"]})
    if ends in (-(2**63), 2**63 - 1):
        with pytest.raises(UsageError, match="1677 to 2262"):
            store.features.push("stats", table)
    else:
        store.features.push("stats", table)
        assert trips(store, 1)[0] == 15
        found = store.features.get_online_features("model", [{"driver": 1}], at=-(2**62))
        assert found.to_dict()["trips"] == [1]


def test_a_time_without_a_zone_is_utc_and_nanoseconds_count(store):
    at = int(DAY[9].timestamp()) * 10**9
    for extra in (3, 1, 2):
        ts = pa.array([at + extra]).view(pa.timestamp("ns"))
        store.features.push("stats", pa.table({"driver": [1], "ts": ts, "trips": [extra], "city": ["x"]}))
    asked = [
        store.features.get_online_features("model", [{"driver": 1}], at=at + n).to_dict()["trips"] for n in range(4)
    ]
    assert asked == [[15], [1], [2], [3]]


def test_what_there_is_not_cannot_be_pushed_to(store):
    with pytest.raises(NotFoundError, match="'stat'") as caught:
        store.features.push("stat", [ride(1, 9, 19)])
    assert "stats" in caught.value.hint
    with pytest.raises(UsageError, match="no target"):
        store.features.push("stats", [ride(1, 9, 19)], to="both")
    store.features.apply(foldstore.FeatureService("other", [rides_view(source="rides@1", features=["trips"])]))
    other = foldstore.FeatureView("fixed", source="rides@1", event_time="ts", features=["trips"])
    store.features.apply(foldstore.FeatureService("fixed", [other]))
    with pytest.raises(RefusedError, match="does not change") as refused:
        store.features.push("fixed", [{"ts": DAY[9], "trips": 1}], to="offline")
    assert refused.value.code == "push-not-offline"


def test_rows_that_the_dataset_s_schema_refuses_are_not_looked_up(store):
    rides = store.dataset("rides")
    columns_now = {field.name: ColumnSchema(type=str(field.type)) for field in rides.latest.arrow_schema}
    rides.set_schema(DataSchema(columns=columns_now, keys=("driver", "ts"), rules=(RowRule(expr="trips < 100"),)))
    with pytest.raises(RefusedError) as refused:
        store.features.push("stats", [ride(1, 9, 10**12)], to="online_and_offline")
    assert refused.value.code == "version-quarantined"
    assert trips(store, 1)[0] == 15


@pytest.mark.usefixtures("each_catalog")
def test_sealing_forgets_what_was_pushed(store):
    store.features.push("stats", [ride(1, 9, 19)])
    store.features.forget_copies("rides")
    store.features.materialize("model")
    assert trips(store, 1)[0] == 15


@pytest.mark.usefixtures("each_catalog")
def test_forgetting_a_dataset_leaves_views_of_others_to_the_services_that_have_only_them(store):
    city = foldstore.Entity("city", keys={"city": "string"})
    sizes = foldstore.FeatureView("sizes", entity=city, source="cities", event_time="ts", features=["size"])
    store.create_dataset("cities").append({"city": ["Oslo", "Rome"], "ts": DAY[:1] * 2, "size": [7, 8]})
    for name, views in {"town": [sizes], "both": [rides_view(), sizes]}.items():
        store.features.apply(foldstore.FeatureService(name, views))
        store.features.materialize(name)
    store.features.push("sizes", [{"city": "Rome", "ts": DAY[1], "size": 9}])
    store.features.push("stats", [ride(1, 9, 19)])

    store.features.forget_copies("rides")
    found = store.features.get_online_features("town", {"city": ["Oslo", "Rome"]}, at=DAY[9])
    assert found.to_dict()["size"] == [7, 9]
    for service, entities in {"both": {"driver": [1], "city": ["Oslo"]}, "model": {"driver": [1]}}.items():
        with pytest.raises(NotFoundError, match="not materialized"):
            store.features.get_online_features(service, entities, at=DAY[9])
    store.features.materialize("model")
    assert trips(store, 1)[0] == 15


@pytest.mark.usefixtures("each_catalog")
def test_a_seal_that_is_refused_forgets_nothing(tmp_path):
    with foldstore.connect(tmp_path / "store") as store:
        known = {"driver": list(range(2000)), "ts": [DAY[0]] * 2000, "trips": [1] * 2000, "city": ["Oslo"] * 2000}
        rides = store.create_dataset("rides", key=["driver"])
        version = rides.append({**known, "late": [n % 3 == 0 for n in range(2000)]})
        store.features.apply(foldstore.FeatureService("model", [rides_view()]))
        store.features.materialize("model")
        store.features.push("stats", [ride(1, 9, 19)])
        split = version.split("half", train=0.5, test=0.5)
        few = foldstore.plan_pool("n > 0.6 +/- 0.001", reliability=0.99, steps=4)
        plan = foldstore.plan_pool("n > 0.6 +/- 0.1", reliability=0.99, steps=4)
        with pytest.raises(RefusedError, match="the pool has"):
            store.pools.seal("pool", split.test, label="late", plan=few)
        with pytest.raises(ColumnNotFoundError):
            store.pools.seal("pool", split.test, label="later", plan=plan)
        assert trips(store, 1)[0] == 19
        store.pools.seal("pool", split.test, label="late", plan=plan)
        with pytest.raises(NotFoundError, match="not materialized"):
            trips(store, 1)
        store.features.materialize("model")
        assert trips(store, 1)[0] == 1
        for name, error in (("pool", AlreadyExistsError), ("other", UsageError)):
            with pytest.raises(error):
                store.pools.seal(name, split.test, label="late", plan=plan)
        assert trips(store, 1)[0] == 1


@pytest.mark.usefixtures("each_catalog")
def test_a_store_that_is_only_read_answers_with_what_was_pushed(store):
    store.features.push("stats", [ride(1, 9, 19)])
    with foldstore.connect(store.root, read_only=True) as reader:
        assert trips(reader, 1)[0] == 19
        with pytest.raises(Exception, match="read only"):
            reader.features.push("stats", [ride(1, 10, 20)])


def test_logged_lookups_of_pushed_rows_are_left_out_of_the_audit(store):
    store.features.log_lookups("model")
    store.features.push("stats", [ride(1, 9, 19)])
    store.features.get_online_features("model", [{"driver": 1}, {"driver": 2}], at=DAY[20])
    found = store.features.audit("model")
    assert found.equal
    assert found.audited == 1
    assert list(found.left_out.values()) == [1]
