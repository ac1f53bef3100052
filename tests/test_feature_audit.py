"""Logged lookups computed again by the training join: equal to the bit whatever came since; what is not is found."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

import foldstore
from foldstore.cli.app import run
from foldstore.errors import NotFoundError
from foldstore.features.bit_equality import find_different

START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


def hour(n):
    return START + dt.timedelta(hours=int(n))


def rides(seed, count=400):
    random = np.random.default_rng(seed)
    return {
        "driver": random.integers(0, 30, count).tolist(),
        "ts": [hour(n) for n in random.integers(0, 300, count)],
        "trips": [None if n % 13 == 0 else n % 50 for n in range(count)],
        "rating": random.normal(size=count).tolist(),
        "city": [["Oslo", "Bern", "Rome"][n % 3] for n in range(count)],
    }


@pytest.fixture
def service(store):
    store.create_dataset("rides").append(rides(1))
    driver = foldstore.Entity("driver", keys={"driver": "int32"})
    features = ["trips", "rating", "city"]
    view = foldstore.FeatureView("stats", entity=driver, source="rides", event_time="ts", features=features, ttl="90h")
    store.features.apply(foldstore.FeatureService("model", [view]))
    store.features.materialize("model@1")
    store.features.log_lookups("model")
    return "model@1"


def ask(store, service="model@1", count=60, **options):
    random = np.random.default_rng(count)
    for n in range(count // 20):
        entities = [{"driver": int(each)} for each in random.integers(0, 34, 20)]
        store.features.get_online_features(service, entities, at=hour(50 + 7 * n), **options)


def test_what_was_served_is_what_the_join_gives_though_rows_came_since(store, service):
    ask(store)
    store.dataset("rides").append(rides(2))  # other values of the same instants
    store.features.materialize("model@1")
    ask(store, count=80)
    store.dataset("rides").append(rides(3))
    found = store.features.audit("model")
    assert found.equal
    assert (found.rows, found.audited) == (140, 140)
    assert [(each.name, each.compared, each.different) for each in found.features] == [
        ("trips", 140, 0),
        ("rating", 140, 0),
        ("city", 140, 0),
    ]


def test_lookups_by_full_names_are_audited_too(store, service):
    ask(store, full_feature_names=True)
    ask(store)
    assert store.features.audit("model").equal
    assert store.features.audit("model").audited == 120


def test_a_service_with_a_transform_is_audited(store, service):
    asks = {"id": list(range(90)), "driver": [n % 30 for n in range(90)], "asked": [hour(200)] * 90, "km": [2.5] * 90}
    store.create_dataset("asks", key=["id"], event_time="asked").append(asks).split("s", train=0.5, test=0.5)
    training = store.features.create_training_set("training", labels="asks@1#s", features=service)
    operations = [foldstore.Impute("trips"), foldstore.ZScore("rating"), foldstore.Log("km"), foldstore.OneHot("city")]
    transform = store.transforms.fit(foldstore.Transform("inputs", operations), on=training.train)
    view = store.features.service(service).selections[0]
    made = store.features.apply(foldstore.FeatureService("model", [view], transform=transform), allow_breaking=True)
    store.features.materialize(made)
    for n in range(30):
        store.features.get_online_features(made, [{"driver": n, "km": 0.5 + n}], at=hour(100 + n))
    found = store.features.audit("model@2")
    assert (found.equal, found.audited) == (True, 30)
    assert {each.name for each in found.features} == {
        "trips",
        "rating",
        "km",
        "city_Bern",
        "city_Oslo",
        "city_Rome",
        "city_other",
    }


def test_a_value_that_was_served_otherwise_is_found(store, service):
    ask(store)
    store.features.lookup_logs.flush()
    log = store.dataset("model.served")
    served = log.latest.to_arrow()
    ratings = served["rating"].to_pylist()
    place = next(n for n, value in enumerate(ratings) if value is not None)
    ratings[place] = float(np.nextafter(ratings[place], 9))
    log.overwrite(served.set_column(served.column_names.index("rating"), "rating", pa.array(ratings)))
    found = store.features.audit("model")
    (rating,) = [each for each in found.features if each.different]
    assert (rating.name, rating.different) == ("rating", 1)
    assert rating.examples[0]["served"] == ratings[place]
    assert "1 of 60 differ" in str(found)
    assert found.to_dict()["equal"] is False


def test_what_cannot_be_computed_again_is_said(store, service):
    ask(store)
    store.features.lookup_logs.flush()
    log = store.dataset("model.served")
    log.append(log.latest.to_arrow().drop_columns(["materialization"]), evolve=True)
    found = store.features.audit("model")
    assert (found.rows, found.audited) == (120, 60)
    assert list(found.left_out) == ["they were served from pushed rows, or it was not noted from what"]


def test_a_span_of_time_and_a_service_without_a_log(store, service):
    with pytest.raises(NotFoundError):
        store.features.audit("nothing")
    ask(store)
    assert store.features.audit("model", since=hour(57), until=hour(64)).rows == 20


def test_the_command_exits_1_when_they_differ(store, service, folder, capsys):
    ask(store)
    store.features.lookup_logs.flush()
    assert run(["features", "audit", "model", "--store", str(folder)]) == 0
    assert "60 of 60 lookups" in capsys.readouterr().out
    log = store.dataset("model.served")
    served = log.latest.to_arrow()
    log.overwrite(served.set_column(served.column_names.index("trips"), "trips", pa.nulls(60, pa.int64())))
    assert run(["features", "audit", "model", "--store", str(folder), "--output", "json"]) == 1


@pytest.mark.parametrize(
    ("served", "joined", "differ"),
    [
        (pa.array([1.0, None, float("nan"), 0.0, 0.1 + 0.2]), pa.array([1.0, None, float("nan"), -0.0, 0.3]), [3, 4]),
        (pa.array([1, None, 2]), pa.array([1, 1, None]), [1, 2]),
        (pa.array([[1], None, [2]]), pa.array([[1], [1], [3]]), [1, 2]),
        (pa.array(["a", None]), pa.array(["a", "b"]), [1]),
    ],
)
def test_values_are_compared_to_the_bit(served, joined, differ):
    assert np.flatnonzero(find_different(served, joined)).tolist() == differ
