"""What is asked wrongly of joins, lookups and definitions: each with an error that says what was wrong, what to do."""

import datetime as dt

import pyarrow as pa
import pytest

import foldstore
from foldstore.api.app import create_app
from foldstore.api.request_body import Limits
from foldstore.api.tokens import TokenVault
from foldstore.errors import FoldstoreError
from tests.api.conftest import assert_problem, client_of

DAY = [dt.datetime(2024, 1, n, tzinfo=dt.UTC) for n in range(1, 8)]
ENDS = [-(2**63), -(2**63) + 1, 2**63 - 1]


def view(name="stats", features=("trips", "tips")):
    driver = foldstore.Entity("driver", keys={"driver": "int64"})
    return foldstore.FeatureView(name, entity=driver, source="rides", event_time="ts", features=list(features))


@pytest.fixture
def store(folder):
    with foldstore.connect(folder) as store:
        rides = {"driver": [1, 2], "ts": [DAY[0]] * 2, "trips": [10, 20], "tips": [1, 2]}
        store.create_dataset("rides").append(rides)
        store.features.materialize(store.features.apply(foldstore.FeatureService("model", [view()])))
        yield store


def labels(**changes):
    return {"driver": [1], "event_timestamp": [DAY[3]], **changes}


def without(name):
    return {each: values for each, values in labels().items() if each != name}


JOINS = {
    "a missing join key": (without("driver"), "column-not-found", "no column 'driver' in the rows that ask"),
    "a key of text": (labels(driver=["1"]), "schema-mismatch", "is string, the entity says int64"),
    "a key of floats": (labels(driver=[1.0]), "schema-mismatch", "is double, the entity says int64"),
    "a key that is true": (labels(driver=[True]), "schema-mismatch", "is bool, the entity says int64"),
    "no time": (without("event_timestamp"), "usage", "no column of times"),
    "columns of two lengths": (labels(driver=[1, 2]), "ingest-failed", "not a table"),
}


@pytest.mark.parametrize("mistake", JOINS)
def test_rows_that_cannot_be_joined_to_are_refused(store, mistake):
    rows, code, words = JOINS[mistake]
    with pytest.raises(FoldstoreError, match=words) as caught:
        store.features.get_historical_features(rows, "model@1")
    assert (caught.value.code, bool(caught.value.hint)) == (code, True)


LOOKUPS = {
    "a missing join key": ([{"rider": 1}], "schema-mismatch", "The key 'driver' is missing"),
    "a key too many": ([{"driver": 1, "x": 1}], "schema-mismatch", "'x' is not a key"),
    "a key of text": ([{"driver": "1"}], "schema-mismatch", "not a value of type int64"),
    "a key of floats": ([{"driver": 1.0}], "schema-mismatch", "not a value of type int64"),
    "a key that is true": ([{"driver": True}], "schema-mismatch", "not a value of type int64"),
    "a key beyond 64 bits": ([{"driver": 2**63}], "schema-mismatch", "not a value of type int64"),
    "no entities": ([], "usage", "There are no entities"),
    "a column of no entities": ({"driver": []}, "usage", "There are no entities"),
    "no columns": ({}, "schema-mismatch", "The key 'driver' is missing"),
    "entities of other keys": ([{"driver": 1}, {"rider": 1}], "schema-mismatch", "has other keys than entity 0"),
}


@pytest.mark.parametrize("mistake", LOOKUPS)
def test_entities_that_cannot_be_looked_up_are_refused(store, mistake):
    entities, code, words = LOOKUPS[mistake]
    with pytest.raises(FoldstoreError, match=words) as caught:
        store.features.get_online_features("model@1", entities, at=DAY[3])
    assert (caught.value.code, bool(caught.value.hint)) == (code, True)


def test_no_rows_are_joined_to_no_rows(store):
    empty = pa.table({"driver": pa.array([], pa.int64()), "event_timestamp": pa.array([], pa.timestamp("us"))})
    joined = store.features.get_historical_features(empty, "model@1")
    assert (joined.num_rows, joined.column_names) == (0, ["driver", "event_timestamp", "trips", "tips"])


def test_a_null_key_matches_nothing_in_both(store):
    asked = pa.table({"driver": pa.array([None], pa.int64()), "event_timestamp": [DAY[3]]})
    assert store.features.get_historical_features(asked, "model@1")["trips"].to_pylist() == [None]
    assert store.features.get_online_features("model@1", [{"driver": None}], at=DAY[3]).to_dict()["trips"] == [None]


@pytest.mark.parametrize("feature", ["stats:nope", "stat:trips", "stats", "", ":trips", "stats:"])
def test_a_feature_that_is_not_there_is_refused_by_lookups(store, feature):
    with pytest.raises(FoldstoreError) as caught:
        store.features.get_features([feature], [{"driver": 1}])
    assert caught.value.hint
    assert caught.value.exit_code == 2


def test_a_feature_that_is_not_there_is_refused_by_definitions(store):
    with pytest.raises(FoldstoreError, match="no column 'nope' in 'rides', the source of 'stats'"):
        store.features.apply(foldstore.FeatureService("other", [view(features=["nope"])]))
    with pytest.raises(FoldstoreError, match="no column 'nope' in feature view 'stats'"):
        view()[["nope"]]
    assert store.features.list_services() == ["model@1"]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("instant", ENDS)
def test_instants_at_the_ends_of_int64_are_refused_and_never_run_over(store, instant, unit):
    asked = labels(event_timestamp=pa.array([instant], pa.timestamp(unit)))
    with pytest.raises(FoldstoreError, match="outside the years 1677 to 2262"):
        store.features.get_historical_features(asked, "model@1")
    with pytest.raises(FoldstoreError, match="outside the years 1677 to 2262"):
        store.features.get_online_features("model@1", [{"driver": 1}], at=instant)


@pytest.mark.parametrize("ahead", [0, -1])
def test_a_nanosecond_decides_in_both(store, ahead):
    moment = int(DAY[0].timestamp()) * 10**9 + ahead
    expected = [10] if ahead == 0 else [None]
    asked = labels(event_timestamp=pa.array([moment], pa.timestamp("ns")))
    assert store.features.get_historical_features(asked, "model@1")["trips"].to_pylist() == expected
    assert store.features.get_online_features("model@1", [{"driver": 1}], at=moment).to_dict()["trips"] == expected


def test_a_time_without_a_zone_is_utc_in_both(store):
    naive = dt.datetime(2024, 1, 1)  # noqa: DTZ001  # what is tested
    joined = store.features.get_historical_features(labels(event_timestamp=[naive]), "model@1")
    assert joined["trips"].to_pylist() == [10]
    assert joined.schema.field("event_timestamp").type.tz == "UTC"
    for at in (naive, "2024-01-01T00:00:00", "2024-01-01T02:00:00+02:00"):
        assert store.features.get_online_features("model@1", [{"driver": 1}], at=at).to_dict()["trips"] == [10]


def test_a_feature_twice_is_refused_wherever_it_is_named(store):
    with pytest.raises(FoldstoreError, match="occurs twice in feature view 'stats'"):
        view(features=["trips", "trips"])
    with pytest.raises(FoldstoreError, match="holds 'stats' twice"):
        foldstore.FeatureService("twice", [view(), view()])
    with pytest.raises(FoldstoreError, match="occurs twice"):
        store.features.get_features(["stats:trips", "stats:trips"], [{"driver": 1}])


def test_two_views_with_a_feature_of_one_name_need_full_names(store):
    made = store.features.apply(foldstore.FeatureService("both", [view(), view("other", ["trips"])]))
    store.features.materialize(made)
    for ask in (
        lambda **how: store.features.get_historical_features(labels(), made, **how),
        lambda **how: store.features.get_online_features(made, [{"driver": 1}], at=DAY[3], **how).to_arrow(),
    ):
        with pytest.raises(FoldstoreError, match="two columns 'trips'") as caught:
            ask()
        assert "full_feature_names=True" in caught.value.hint
        assert {"stats__trips", "other__trips"} <= set(ask(full_feature_names=True).column_names)


def test_a_source_that_lost_a_column_is_refused_and_what_is_served_stays(store):
    before = store.features.get_online_features("model@1", [{"driver": 1}], at=DAY[3]).to_dict()
    store.dataset("rides").drop_columns(["tips"])
    for ask in (
        lambda: store.features.get_historical_features(labels(), "model@1"),
        lambda: store.features.materialize("model@1"),
        lambda: store.features.apply(foldstore.FeatureService("other", [view()])),
    ):
        with pytest.raises(FoldstoreError, match="There is no column 'tips' in") as caught:
            ask()
        assert (caught.value.code, "Available: driver, trips, ts" in caught.value.hint) == ("column-not-found", True)
    assert store.features.get_online_features("model@1", [{"driver": 1}], at=DAY[3]).to_dict() == before
    remade = store.features.apply(foldstore.FeatureService("model", [view(features=["trips"])]), allow_breaking=True)
    assert store.features.materialize(remade) == "model@2"


def test_a_service_that_is_applied_twice_stays_what_it_is(store):
    assert store.features.apply(foldstore.FeatureService("model", [view()])) == "model@1"
    store.features.apply(foldstore.FeatureService("model", [view(features=["trips"])]), allow_breaking=True)
    assert store.features.list_services() == ["model@1", "model@2"]
    assert store.features.apply(foldstore.FeatureService("model", [view()])) == "model@3", "the newest is compared"


@pytest.mark.parametrize("as_rows", [True, False])
@pytest.mark.parametrize("path", ["/v1/features:get", "/get-online-features"])
def test_ten_thousand_entities_where_a_thousand_are_allowed(store, path, as_rows):
    vault = TokenVault(store.registry("token"), clock=store.clock)
    app = create_app(store.features, vault, store=store, limits=Limits(max_entities=1_000))
    client = client_of(app, vault.create("serving", author="ana")[0])
    member = "service" if path.startswith("/v1") else "feature_service"

    def ask(count):
        entities = [{"driver": n} for n in range(count)] if as_rows else {"driver": list(range(count))}
        return client.post(path, json={member: "model@1", "entities": entities})

    body = assert_problem(ask(10_000), 422, "too-many-entities")
    assert "10,000 entities, more than 1,000" in body["detail"]
    assert ask(1_000).status_code == 200
    assert ask(1_001).status_code == 422
