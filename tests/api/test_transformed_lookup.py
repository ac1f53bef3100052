"""Lookups over HTTP of a service with a transform: what the request brings, and what comes back."""

import datetime as dt

import pytest

import foldstore
from foldstore.api.app import create_app
from foldstore.api.tokens import TokenVault
from tests.api.conftest import client_of

AT = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def service(store):
    rides = {"driver": [1, 2], "ts": [AT, AT], "trips": [10.0, 30.0]}
    store.create_dataset("rides").append(rides)
    asks = {"id": list(range(20)), "driver": [1, 2] * 10, "asked": [AT] * 20, "distance": [2.0, 4.0] * 10}
    asked = store.create_dataset("asks", key=["id"], event_time="asked").append(asks).split("s", train=0.5, test=0.5)
    driver = foldstore.Entity("driver", keys={"driver": "int64"})
    view = foldstore.FeatureView("stats", entity=driver, source="rides", event_time="ts", features=["trips"])
    store.features.apply(foldstore.FeatureService("raw", [view]))
    training = store.features.create_training_set("training", labels="asks@1#s", features="raw@1")
    operations = [
        foldstore.Impute("trips"),
        foldstore.Compute("per_km", "trips / distance"),
        foldstore.MinMax("distance"),
    ]
    assert asked.test.num_rows
    transform = store.transforms.fit(foldstore.Transform("inputs", operations), on=training.train)
    made = store.features.apply(foldstore.FeatureService("model", [view], transform=transform))
    store.features.materialize(made)
    return made


@pytest.fixture
def client(store, service):
    vault = TokenVault(store.registry("token"), clock=store.clock)
    return client_of(create_app(store.features, vault, store=store), vault.create("viewer", author="tester")[0])


def test_our_shape(client, service):
    body = {"service": service, "entities": [{"driver": 1, "distance": 4.0}, {"driver": 9, "distance": 3}]}
    answer = client.post("/v1/features:get", json=body)
    assert answer.status_code == 200, answer.text
    features = answer.json()["features"]
    assert features["per_km"]["values"][0] == 2.5
    assert features["distance"]["values"] == [1.0, 0.5]
    assert features["trips"]["statuses"] == ["PRESENT", "NOT_FOUND"]
    assert answer.json()["entities"]["distance"] == [4.0, 3]


def test_feasts_shape_has_each_name_once(client, service):
    body = {"feature_service": service, "entities": {"driver": [1], "distance": [4.0]}}
    answer = client.post("/get-online-features", json=body).json()
    assert answer["metadata"]["feature_names"] == ["driver", "trips", "distance", "per_km"]
    assert [column["values"] for column in answer["results"]] == [[1], [10.0], [1.0], [2.5]]


def test_what_is_missing_is_said(client, service):
    answer = client.post("/v1/features:get", json={"service": service, "entities": [{"driver": 1}]})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "The value of 'distance' is missing."
    assert "every request brings 'distance'" in answer.json()["hint"]
    more = {"driver": 1, "distance": 2.0, "tips": 1}
    answer = client.post("/v1/features:get", json={"service": service, "entities": [more]})
    assert answer.json()["detail"] == "'tips' is neither a key of these features nor a value that they need."
