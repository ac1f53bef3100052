"""Usage: everybody who consumes a feature is named; what nobody consumes is dated; a change names whom it breaks."""

import datetime as dt
import itertools
import json

import pytest

import foldstore
from foldstore.api.app import create_app
from foldstore.api.tokens import TokenVault
from foldstore.cli.app import run
from foldstore.errors import NotFoundError, UsageError
from tests.api.conftest import assert_problem, client_of

pytestmark = pytest.mark.usefixtures("each_catalog")
DAY = [dt.datetime(2024, 1, n, tzinfo=dt.UTC) for n in range(1, 29)]


@pytest.fixture
def store(folder):
    """Every reading of the clock is a minute after the one before."""
    minutes = itertools.count()
    clock = lambda: DAY[0] + dt.timedelta(minutes=next(minutes))  # noqa: E731
    with foldstore.connect(folder, author="ana", clock=clock) as store:
        rides = {"driver": [1, 2], "ts": [DAY[0]] * 2, "trips": [10, 20], "tips": [1, 2], "km": [1.5, 2.5]}
        store.create_dataset("rides", event_time="ts").append(rides)
        driver = foldstore.Entity("driver", keys={"driver": "int64"})
        store.view("rides").where("trips > 0").save("rated")
        by = {"entity": driver, "event_time": "ts"}
        stats = foldstore.FeatureView("stats", source="rides", features=["trips", "tips"], **by)
        query = foldstore.sql("SELECT driver, ts, km * 2 AS far FROM rides")
        asked = foldstore.FeatureView("asked", source=query, features=["far"], **by)
        seen = foldstore.FeatureView("seen", source="rated", features=["km"], **by)
        store.features.apply(foldstore.FeatureService("model", [stats, asked]))
        store.features.apply(foldstore.FeatureService("model", [stats[["trips"]], asked]))
        store.features.apply(foldstore.FeatureService("other", [seen]))
        yield store


def kinds(usage):
    return {(each.kind, each.name.partition(" ")[0], each.service) for each in usage.consumers}


def test_nobody_uses_what_was_only_applied(store):
    usage = store.features.usage()
    assert [each.feature for each in usage.features] == ["asked:far", "seen:km", "stats:tips", "stats:trips"]
    assert usage.unused == usage.features
    assert usage["stats:trips"].services == ("model@1", "model@2")
    assert usage["stats:tips"].services == ("model@1",)
    assert all(each.unused_since == each.applied_at for each in usage.features)
    assert usage["stats:trips"].applied_at == usage["stats:tips"].applied_at < usage["seen:km"].applied_at


def test_everybody_is_named_with_the_version_that_they_use(store):
    labels = {"id": [1, 2], "driver": [1, 2], "event_timestamp": [DAY[1], DAY[2]]}
    store.create_dataset("labels", key=["id"], event_time="event_timestamp").append(labels).split("all", train=1.0)
    with store.run("train"):
        made = store.features.create_training_set("made", labels="labels#all", features="model@1")
    made.version.consumers.register("model", "churn@3")
    store.features.materialize("model@2")
    store.features.aliases.set("model@live", "model@2")
    store.features.log_lookups("model")
    for n in range(5):
        store.features.get_online_features(
            "model@live", [{"driver": 1}, {"driver": 2}], at=DAY[2 + n], request_id=f"r{n}"
        )
    predictions = {"request_id": ["r1"], "prediction": [0.5], "predicted_at": [DAY[9]]}
    store.features.feedback.log_predictions("model@live", predictions, model="git:abc")
    usage = store.features.usage()
    of_second = {
        ("materialized", "model@2", "model@2"),
        ("alias", "model@live", "model@2"),
        ("lookups", "model.served", "model@2"),
        ("predictions", "git:abc", "model@2"),
    }
    of_first = {("training_set", "made@1", "model@1"), ("run", "train", "model@1"), ("model", "churn@3", "model@1")}
    assert kinds(usage["stats:trips"]) == of_first | of_second
    assert kinds(usage["stats:tips"]) == of_first
    assert usage["stats:trips"].lookups == 10
    assert usage["stats:tips"].lookups == 0
    assert usage["stats:trips"].last_used_at == "2024-01-10T00:00:00.000000Z"
    assert [each.feature for each in usage.unused] == ["seen:km"]
    assert "alias model@live of model@2" in str(usage)


def test_what_was_done_before_an_instant_is_no_use_any_more(store):
    store.features.materialize("model@1")
    store.features.log_lookups("model")
    for day in (3, 5, 8):
        store.features.get_online_features("model@1", [{"driver": 1}], at=DAY[day])
    tips = lambda **asked: store.features.usage(**asked)["stats:tips"]  # noqa: E731
    assert (tips().lookups, tips(since=DAY[4]).lookups, tips(since=DAY[8]).lookups) == (3, 2, 1)
    assert tips(since=DAY[8]).unused_since is None
    gone = tips(since="2024-01-20")
    assert (gone.lookups, gone.consumers) == (0, ())
    assert gone.unused_since is not None
    store.features.aliases.set("model@live", "model@1")
    assert tips(since="2024-01-20").unused_since is None, "who stands by it uses it until it is taken away"


def test_a_change_of_a_dataset_names_whom_it_breaks(store):
    for service in ("model@1", "model@2", "other@1"):
        store.features.materialize(service)
    of = lambda column: [e.feature for e in store.features.usage(dataset="rides", column=column).features]  # noqa: E731
    assert of("tips") == ["stats:tips"]
    assert of("km") == ["asked:far", "seen:km"]
    assert of("driver") == ["asked:far", "seen:km", "stats:tips", "stats:trips"]
    assert of("trips") == ["seen:km", "stats:trips"], "the saved view chooses its rows by it"
    assert of("nothing") == []
    users = {str(each) for each in store.features.usage(dataset="rides", column="tips").consumers}
    assert users == {"materialized model@1"}
    assert len(store.features.usage(dataset="rides").features) == 4
    assert store.features.usage(dataset="labels").features == ()


def test_what_cannot_be_asked_is_refused(store):
    with pytest.raises(NotFoundError, match="No service has a feature 'stats:tip'") as caught:
        store.features.usage(feature="stats:tip")
    assert "Did you mean 'stats:tips'" in caught.value.hint
    with pytest.raises(NotFoundError):
        store.features.usage()["x:y"]
    with pytest.raises(UsageError, match="Of which dataset"):
        store.features.usage(column="tips")
    with pytest.raises(UsageError):
        store.features.usage(since="yesterday")


def test_the_command_and_the_route(store, folder, capsys):
    store.features.materialize("model@2")
    where = ["--store", str(folder)]
    assert run(["features", "usage", "-o", "json", *where]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {(row["feature"], row["kind"]) for row in rows} == {
        ("asked:far", "materialized"), ("stats:trips", "materialized"), ("stats:tips", "nobody"), ("seen:km", "nobody"),
    }  # fmt: skip
    assert run(["features", "usage", "--unused", "-o", "csv", *where]) == 0
    assert capsys.readouterr().out.startswith("feature,services,lookups,last_used_at,unused_since")
    assert run(["features", "usage", "stats:trips", "--dataset", "rides", *where]) == 0
    assert run(["features", "usage", "nothing:x", *where]) == 2
    vault = TokenVault(store.registry("token"), clock=store.clock)
    app = create_app(store.features, vault, store=store)
    viewer = client_of(app, vault.create("viewer", author="ana")[0])
    found = viewer.get("/v1/feature-usage", params={"dataset": "rides", "column": "tips"}).json()["features"]
    assert [(each["feature"], each["services"]) for each in found] == [("stats:tips", ["model@1"])]
    bounded = client_of(app, vault.create("viewer", author="ana", names=("model",))[0])
    assert_problem(bounded.get("/v1/feature-usage"), 403)
