"""A service with a transform: training sets, joins, batches and single lookups give the same, to the bit."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

import foldstore
from foldstore.errors import RefusedError, SchemaMismatchError, UsageError
from foldstore.views.online.status import FeatureStatus
from foldstore.views.transforms.golden import same

START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
DRIVERS = 40


def hour(n):
    return START + dt.timedelta(hours=int(n))


@pytest.fixture
def made(store):
    """Rides of drivers, labels that follow them, and a transform that was fitted on a training set of them."""
    random = np.random.default_rng(5)
    count = 600
    rides = {
        "driver": random.integers(0, DRIVERS, count).tolist(),
        "ts": [hour(n) for n in random.integers(0, 400, count)],
        "trips": random.integers(0, 50, count).tolist(),
        "rating": [None if n % 11 == 0 else float(n % 5) + 0.5 for n in range(count)],
        "city": [["Oslo", "Bern", "Rome"][n % 3] for n in range(count)],
    }
    store.create_dataset("rides").append(rides)
    asks = {
        "id": list(range(300)),
        "driver": random.integers(0, DRIVERS + 3, 300).tolist(),
        "asked": [hour(n) for n in random.integers(50, 500, 300)],
        "distance": random.exponential(5, 300).tolist(),
        "late": (random.random(300) < 0.4).tolist(),
    }
    store.create_dataset("asks", key=["id"], event_time="asked").append(asks).split("s", train=0.6, test=0.4, seed=1)
    driver = foldstore.Entity("driver", keys={"driver": "int64"})
    view = foldstore.FeatureView(
        "stats", entity=driver, source="rides", event_time="ts", features=["trips", "rating", "city"], ttl="200h"
    )
    raw = store.features.apply(foldstore.FeatureService("model", [view]))
    training = store.features.create_training_set("raw", labels="asks@1#s", features=raw)
    operations = [
        foldstore.Impute("rating", method="mean", indicator=True),
        foldstore.ZScore("rating"),
        foldstore.Impute("trips"),
        foldstore.Compute("per_km", "trips / distance"),
        foldstore.Log("distance", function="log1p"),
        foldstore.TargetEncode("city", target="late"),
        foldstore.Drop("trips"),
    ]
    address = store.transforms.fit(foldstore.Transform("inputs", operations), on=training.train)
    return store, view, address


NAMES = ["rating", "city", "distance", "rating_missing", "per_km"]


def test_all_four_ways_give_the_same(made):
    store, view, transform = made
    service = store.features.apply(foldstore.FeatureService("model", [view], transform=transform), allow_breaking=True)
    assert service == "model@2"
    training = store.features.create_training_set("ready", labels="asks@1#s", features=service)
    assert list(training.inputs.names) == NAMES
    store.features.materialize(service)
    handle = store.features.online(service)
    rows = store.version("asks@1#s.test".partition("#")[0]).to_arrow().to_pylist()
    joined = store.features.get_historical_features("asks@1", service, event_timestamp="asked")
    by_id = {row["id"]: row for row in training.test.to_arrow().to_pylist()}
    for row, learnt in zip(rows, joined.to_pylist(), strict=True):
        entity = {"driver": row["driver"], "distance": row["distance"]}
        batch = store.features.get_online_features(service, [entity], at=row["asked"])
        single = handle.get(entity, at=row["asked"])
        assert list(single.values) == batch.names == NAMES
        table = batch.to_arrow()
        for name, status, column in zip(NAMES, single.statuses, batch.columns(), strict=True):
            assert same(single.values[name], learnt[name]), (name, row)
            assert same(table[name][0].as_py(), learnt[name])
            assert column.statuses == [status]
            if row["id"] in by_id:
                assert same(by_id[row["id"]][name], learnt[name])
        assert single.event_times == tuple(column.event_times[0] for column in batch.columns())


def test_rows_to_learn_from_are_encoded_out_of_fold(made):
    store, view, transform = made
    service = store.features.apply(foldstore.FeatureService("next", [view], transform=transform))
    training = store.features.create_training_set("ready", labels="asks@1#s", features=service)
    fitted = dict(map(tuple, store.transforms.get(transform).states[5]["table"]))
    learnt = {value for value in training.train.to_arrow()["city"].to_pylist() if value is not None}
    judged = {value for value in training.test.to_arrow()["city"].to_pylist() if value is not None}
    assert judged <= set(fitted.values())
    assert not learnt & set(fitted.values())
    assert len(learnt) == 15  # three cities in five folds


def test_what_was_filled_in_says_so(made):
    store, view, transform = made
    service = store.features.apply(foldstore.FeatureService("next", [view], transform=transform))
    store.features.materialize(service)
    found = store.features.get_online_features(service, {"driver": [10**6], "distance": [None]}, at=hour(300))
    columns = {column.name: column for column in found.columns()}
    assert columns["rating"].values == pytest.approx([0.0], abs=1e-12)
    assert columns["rating"].statuses == [FeatureStatus.NOT_FOUND]
    assert columns["distance"].statuses == [FeatureStatus.NULL_VALUE]
    assert columns["per_km"].statuses == [FeatureStatus.NOT_FOUND]  # the graver of the two


def test_lookups_are_counted_and_logged_with_what_they_brought(made):
    store, view, transform = made
    service = store.features.apply(foldstore.FeatureService("next", [view], transform=transform))
    store.features.materialize(service)
    store.features.log_lookups("next")
    for driver in (1, 10**6):
        store.features.get_online_features(service, [{"driver": driver, "distance": 3.0}], at=hour(400))
    store.features.lookup_logs.flush()
    served = store.version("next.served").to_arrow()
    assert served["distance__requested"].to_pylist() == [3.0, 3.0]
    assert served["distance"].to_pylist() == [np.log1p(3.0)] * 2
    tallies = store.features.transform_counts(service)
    counts = {f"{each.operation.OP} {each.operation.column}": (each.count, each.rows) for each in tallies}
    assert counts["impute trips"] == (1, 2)


@pytest.mark.parametrize(
    ("entity", "message"),
    [
        ({"driver": 1}, "The value of 'distance' is missing"),
        ({"distance": 1.0}, "The key 'driver' is missing"),
        ({"driver": 1, "distance": "far"}, "is no double"),
        ({"driver": 1, "distance": True}, "is no double"),
    ],
)
def test_a_request_that_brings_something_else_is_refused(made, entity, message):
    store, view, transform = made
    service = store.features.apply(foldstore.FeatureService("next", [view], transform=transform))
    store.features.materialize(service)
    with pytest.raises(SchemaMismatchError, match=message):
        store.features.get_online_features(service, [entity])
    with pytest.raises(SchemaMismatchError, match=message):
        store.features.online(service).get(entity)


def test_what_does_not_fit_is_refused_when_it_is_applied(made):
    store, view, transform = made
    with pytest.raises(UsageError, match="without its version"):
        foldstore.FeatureService("next", [view], transform="inputs")
    with pytest.raises(foldstore.FoldstoreError, match="no transform 'inputs@7'"):
        store.features.apply(foldstore.FeatureService("next", [view], transform="inputs@7"))
    service = store.features.apply(foldstore.FeatureService("next", [view], transform=transform))
    with pytest.raises(UsageError, match="full_feature_names"):
        store.features.get_historical_features("asks@1", service, event_timestamp="asked", full_feature_names=True)
    turned = foldstore.FeatureView(
        "stats",
        entity=view.entity,
        source=foldstore.sql("SELECT driver, ts, trips::TEXT AS trips, rating, city FROM rides"),
        event_time="ts",
        features=["trips", "rating", "city"],
    )
    with pytest.raises(SchemaMismatchError, match="'trips' of type int64, not string"):
        store.features.apply(foldstore.FeatureService("other", [turned], transform=transform))


def test_another_transform_breaks_who_uses_the_service(made):
    store, view, transform = made
    store.features.create_training_set("used", labels="asks@1#s", features="model@1")
    with pytest.raises(RefusedError, match="transform none -> inputs@1"):
        store.features.apply(foldstore.FeatureService("model", [view], transform=transform))


def test_a_definition_file_names_it(made, tmp_path):
    store, view, transform = made
    service = foldstore.FeatureService("filed", [view], transform=transform)
    assert foldstore.FeatureService.from_dict(service.to_dict()) == service
    file = tmp_path / "features.yaml"
    file.write_text(
        "entities: {driver: {keys: {driver: int64}}}\n"
        "views: {stats: {entity: driver, source: rides, event_time: ts, ttl: 200h, features: [trips, rating, city]}}\n"
        f"services: {{filed: {{features: [stats], transform: {transform}}}}}\n"
    )
    assert store.features.apply_file(file) == ["filed@1"]
    assert store.features.service("filed@1") == service


def test_nanoseconds_pass(store):
    at = pa.array([1_700_000_000_000_000_001], pa.int64()).view(pa.timestamp("ns", "UTC"))
    store.create_dataset("t").append(pa.table({"ts": at, "seen": at, "x": [1.0]}))
    view = foldstore.FeatureView("v", source="t", event_time="ts", features=["seen", "x"])
    store.create_dataset("l", key=["id"]).append(
        {"id": list(range(50)), "asked": [hour(20_000)] * 50, "x": [float(n) for n in range(50)]}
    ).split("s", train=0.5, test=0.5)
    transform = store.transforms.fit(foldstore.Transform("m", [foldstore.MinMax("x")]), on="l@1#s.train")
    service = store.features.apply(foldstore.FeatureService("s", [view], transform=transform))
    store.features.materialize(service)
    found = store.features.get_online_features(service, [{}])
    assert found.to_arrow()["seen"].cast(pa.int64()).to_pylist() == [1_700_000_000_000_000_001]
    assert store.features.online(service).get({}).values["seen"] == np.datetime64(1_700_000_000_000_000_001, "ns")


def test_a_column_that_is_not_there_is_named_beside_those_that_are(made):
    store, _, _ = made
    with pytest.raises(SchemaMismatchError, match="works on a column 'distanze'") as refused:
        store.transforms.fit(foldstore.Transform("x", [foldstore.ZScore("distanze")]), on="asks@1#s.train")
    assert refused.value.hint == "Did you mean 'distance'? Available: asked, distance, driver, id, late."
