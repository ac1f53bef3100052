"""Feedback: predictions and outcomes by request ids, and the labels they make, joined again as they were served."""

import datetime as dt
import json

import pyarrow as pa
import pytest

import foldstore
from foldstore.api.app import create_app
from foldstore.api.tokens import TokenVault
from foldstore.cli.app import run
from foldstore.errors import (
    DuplicateKeyError,
    FoldstoreError,
    NotFoundError,
    RefusedError,
    SchemaMismatchError,
    UsageError,
)
from tests.api.conftest import assert_problem, client_of

pytestmark = pytest.mark.usefixtures("each_catalog")
DAY = [dt.datetime(2024, 1, n, tzinfo=dt.UTC) for n in range(1, 29)]


@pytest.fixture
def store(folder):
    with foldstore.connect(folder, author="ana") as store:
        rides = {"driver": list(range(20)) * 2, "ts": [DAY[0]] * 20 + [DAY[9]] * 20, "trips": list(range(40))}
        store.create_dataset("rides").append(rides)
        driver = foldstore.Entity("driver", keys={"driver": "int32"})
        stats = foldstore.FeatureView("stats", entity=driver, source="rides", event_time="ts", features=["trips"])
        store.features.materialize(store.features.apply(foldstore.FeatureService("model", [stats])))
        store.features.log_lookups("model")
        yield store


def ask(store, request, *drivers, at=DAY[1]):
    entities = [{"driver": n} for n in drivers]
    return store.features.get_online_features("model@1", entities, at=at, request_id=request)


def test_lookups_are_kept_with_the_ids_of_their_requests(store):
    ask(store, "r1", 3, 4)
    store.features.get_online_features("model@1", [{"driver": 5}], at=DAY[1])
    store.features.lookup_logs.flush()
    served = store.version("model.served").to_arrow()
    assert served["request_id"].to_pylist() == ["r1", "r1", None]
    assert served["request_row"].to_pylist() == [0, 1, None]


def test_predictions_have_the_version_and_the_model(store):
    feedback = store.features.feedback
    store.features.aliases.set("model@live", "model@1")
    rows = {"request_id": ["r1", "r1"], "request_row": [0, 1], "prediction": [0.2, 0.8], "threshold": [0.5, 0.5]}
    made = feedback.log_predictions("model@live", rows, model="git:abc")
    feedback.log_predictions("model@live", {"request_id": ["r1"], "prediction": [0.3]}, model="git:def")
    again = feedback.log_predictions("model@live", {**rows, "prediction": [0.25, 0.8]}, model="git:abc")
    assert (made.address, again.num_rows) == ("model.predictions@1", 3)
    kept = again.to_arrow().sort_by([("model", "ascending"), ("request_row", "ascending")])
    assert kept["prediction"].to_pylist() == [0.25, 0.8, 0.3]
    assert set(kept["service"].to_pylist()) == {"model@1"}
    assert kept["predicted_at"].null_count == 0
    assert store.dataset("model.predictions").event_time == "predicted_at"


def test_outcomes_come_back_as_labels_with_the_features_that_were_served(store):
    served = []
    for n in range(12):
        found = ask(store, f"r{n}", n, n + 1, at=DAY[n])
        served += [(f"r{n}", place, value) for place, value in enumerate(found.to_dict()["trips"])]
    outcomes = [
        {"request_id": f"r{n}", "request_row": place, "late": n % 2 == 0} for n in range(12) for place in (0, 1)
    ]
    store.features.feedback.log_outcomes("model", pa.Table.from_pylist(outcomes))
    labels = store.features.feedback.make_labels("model")
    assert labels.num_rows == 24
    table = labels.to_arrow()
    assert table.schema.field("driver").type == pa.int32()
    assert table["service"].unique().to_pylist() == ["model@1"]
    labels.split("s", by_time="event_timestamp", boundaries=[DAY[8], DAY[10]])
    training = store.features.create_training_set("training", labels=f"{labels.address}#s", features="model@1")
    joined = training.to_arrow().select(["request_id", "request_row", "trips", "late"]).to_pylist()
    assert sorted((e["request_id"], e["request_row"], e["trips"]) for e in joined) == sorted(served)
    assert all(e["late"] == (int(e["request_id"][1:]) % 2 == 0) for e in joined)
    assert store.features.reproduce(training).equal
    assert store.features.audit("model").equal


def test_later_outcomes_replace_earlier_ones_and_rows_stay_in_their_part(store):
    for n in range(40):
        ask(store, f"r{n}", n % 20)
    feedback = store.features.feedback
    feedback.log_outcomes("model", {"request_id": [f"r{n}" for n in range(20)], "late": [False] * 20})
    first = feedback.make_labels("model")
    first.split("s", train=0.5, test=0.5, seed=1)
    parts = {e: first.find_split("s").part("train").to_arrow()["request_id"].to_pylist() for e in ("train",)}
    feedback.log_outcomes("model", {"request_id": ["r3", "r30"], "late": [True, True]})
    second = feedback.make_labels("model")
    assert (first.num_rows, second.num_rows) == (20, 21)
    now = {e["request_id"]: e["late"] for e in second.to_arrow().to_pylist()}
    assert [request for request, late in now.items() if late] == ["r3", "r30"] or {"r3", "r30"} == {
        request for request, late in now.items() if late
    }
    train = second.find_split("s").part("train").to_arrow()["request_id"].to_pylist()
    assert set(parts["train"]) <= set(train)
    assert feedback.make_labels("model").num_rows == 21


def test_a_request_that_was_sent_twice_counts_once_by_its_last_answer(store):
    ask(store, "r1", 3, at=DAY[1])
    ask(store, "r1", 3, at=DAY[12])
    store.features.feedback.log_outcomes("model", {"request_id": ["r1", "unknown"], "late": [True, False]})
    table = store.features.feedback.make_labels("model").to_arrow()
    assert table["event_timestamp"].cast(pa.timestamp("us", "UTC")).to_pylist() == [DAY[12]]


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        ({"late": [True]}, FoldstoreError, "There is no column 'request_id'"),
        ({"request_id": [1], "late": [True]}, SchemaMismatchError, "is of type int64, not text"),
        ({"request_id": [None, "a"], "late": [True, True]}, SchemaMismatchError, "A row has no 'request_id'"),
        ({"request_id": [""], "late": [True]}, SchemaMismatchError, "A row has no 'request_id'"),
        ({"request_id": ["x" * 201], "late": [True]}, SchemaMismatchError, "more than 200 characters"),
        ({"request_id": ["a"]}, SchemaMismatchError, "There is no outcome"),
        ({"request_id": ["a"], "request_row": [-1], "late": [True]}, SchemaMismatchError, "does not number entities"),
        ({"request_id": ["a"], "request_row": [0.5], "late": [True]}, SchemaMismatchError, "does not number entities"),
        ({"request_id": ["a"], "service": ["b"], "late": [True]}, SchemaMismatchError, "called 'service'"),
        ({"request_id": ["a"], "observed_at": ["soon"], "late": [True]}, SchemaMismatchError, "is no time"),
        ({"request_id": ["a", "a"], "late": [True, False]}, DuplicateKeyError, "a"),
        (pa.table({"request_id": pa.array([], pa.string())}), UsageError, "There are no rows"),
        (5, UsageError, "5|int"),
    ],
)
def test_outcomes_that_mean_nothing_are_refused(store, rows, error, words):
    with pytest.raises(error, match=words):
        store.features.feedback.log_outcomes("model", rows)


def test_predictions_that_mean_nothing_are_refused(store):
    feedback = store.features.feedback
    with pytest.raises(NotFoundError, match="There is no column 'prediction'"):
        feedback.log_predictions("model", {"request_id": ["a"]}, model="m")
    with pytest.raises(UsageError, match="The model"):
        feedback.log_predictions("model", {"request_id": ["a"], "prediction": [1]}, model=" ")
    with pytest.raises(NotFoundError, match="no feature service"):
        feedback.log_predictions("other", {"request_id": ["a"], "prediction": [1]}, model="m")
    for request in ("", "two\nlines", 5, "x" * 201):
        with pytest.raises(UsageError, match="The request id"):
            ask(store, request, 1)


def test_labels_need_lookups_with_ids_and_outcomes(store):
    feedback = store.features.feedback
    store.features.get_online_features("model@1", [{"driver": 5}], at=DAY[1])
    with pytest.raises(NotFoundError, match="There are no outcomes of 'model'"):
        feedback.make_labels("model")
    feedback.log_outcomes("model", {"request_id": ["r1"], "late": [True]})
    with pytest.raises(NotFoundError, match="bears the id of a request"):
        feedback.make_labels("model")
    ask(store, "other", 1)
    with pytest.raises(NotFoundError, match="No outcome in"):
        feedback.make_labels("model")


class TestSealing:
    """A test label never leaves: what is sealed is null in labels, and what labels show is not sealed."""

    def outcomes(self, store):
        for n in range(300):
            ask(store, f"r{n}", n % 20)
        rows = {"request_id": [f"r{n}" for n in range(300)], "late": [n % 3 == 0 for n in range(300)]}
        return store.features.feedback.log_outcomes("model", rows).split("h", train=0.5, test=0.5, seed=1)

    def seal(self, store, split):
        plan = foldstore.plan_pool("n > 0.6 +/- 0.1", reliability=0.9, steps=1)
        return store.pools.seal("p", split.test, label="late", plan=plan)

    def test_outcomes_that_are_sealed_are_null_in_labels(self, store):
        split = self.outcomes(store)
        self.seal(store, split)
        labels = store.features.feedback.make_labels("model").to_arrow()
        sealed = set(split.test.to_arrow()["request_id"].to_pylist())
        assert {each["request_id"] for each in labels.to_pylist() if each["late"] is None} == sealed

    def test_what_is_in_labels_and_outcomes_is_sealed_in_neither(self, store):
        split = self.outcomes(store)
        labels = store.features.feedback.make_labels("model").split("h", train=0.5, test=0.5, seed=1)
        for each in (split, labels):
            with pytest.raises(RefusedError, match="were made of its outcomes") as caught:
                self.seal(store, each)
            assert caught.value.code == "sealed-elsewhere"


def test_erasing_says_that_labels_were_made_of_the_rows(store):
    ask(store, "r1", 3)
    store.features.feedback.log_outcomes("model", {"request_id": ["r1"], "late": [True]})
    labels = store.features.feedback.make_labels("model")
    found = store.dataset("model.outcomes").erase(
        [{"request_id": "r1", "request_row": 0}], reason="asked", dry_run=True
    )
    assert labels.address in {what for what, _ in found.not_reached}


def test_over_http_and_by_commands(store, folder, tmp_path, capsys):
    vault = TokenVault(store.registry("token"), clock=store.clock)
    app = create_app(store.features, vault, store=store)
    serving, viewer, editor = (
        client_of(app, vault.create(r, author="ana")[0]) for r in ("serving", "viewer", "editor")
    )
    body = {"service": "model@1", "entities": {"driver": [3, 5]}, "at": "2024-01-02T00:00:00Z", "request_id": "h1"}
    assert serving.post("/v1/features:get", json=body).json()["request_id"] == "h1"
    feast = {"feature_service": "model@1", "entities": {"driver": [7]}, "request_id": "h2"}
    assert serving.post("/get-online-features", json=feast).json()["metadata"]["request_id"] == "h2"
    assert_problem(serving.post("/v1/features:get", json={**body, "request_id": 5}), 422)
    named = {"features": ["stats:trips"], "entities": {"driver": [7]}, "request_id": "h3"}
    assert_problem(serving.post("/v1/features:get", json=named), 422)
    path = "/v1/feature-services/model"
    rows = [{"request_id": "h1", "request_row": n, "prediction": 0.5} for n in (0, 1)]
    answer = serving.post(f"{path}/versions/1/predictions", json={"model": "git:abc", "rows": rows})
    assert (answer.status_code, answer.json()["num_rows"]) == (201, 2)
    outcome = {"request_id": "h1", "late": True, "observed_at": "2024-01-03T00:00:00Z"}
    assert serving.post(f"{path}/outcomes", json={"rows": [outcome]}).status_code == 201
    assert_problem(viewer.post(f"{path}/outcomes", json={"rows": [outcome]}), 403)
    assert_problem(serving.post(f"{path}/labels"), 403)
    for wrong in ([], "x", [5], [{"request_id": "a", "late": 1}, {"request_id": "b", "late": "x"}]):
        assert_problem(serving.post(f"{path}/outcomes", json={"rows": wrong}), 422)
    store.features.lookup_logs.flush()
    assert editor.post(f"{path}/labels").json() == {"address": "model.labels@1", "num_rows": 1, "status": "published"}
    where = ["--store", str(folder)]
    file = tmp_path / "outcomes.jsonl"
    file.write_text(json.dumps({"request_id": "h2", "late": False}) + "\n")
    assert run(["features", "outcomes", "model", str(file), *where]) == 0
    file.write_text(json.dumps({"request_id": "h2", "prediction": 1.5}) + "\n")
    assert run(["features", "predictions", "model@1", str(file), "--model", "git:def", *where]) == 0
    assert run(["features", "labels", "model", *where]) == 0
    assert "model.labels@2 has 2 labels" in capsys.readouterr().err
    assert run(["features", "outcomes", "model", str(tmp_path / "nothing.csv"), *where]) == 3
