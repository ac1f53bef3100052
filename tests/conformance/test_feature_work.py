"""Pushes, training sets, audits, skew, aliases and shadows are the same in a folder and behind a server."""

import datetime as dt

import pyarrow as pa
import pytest

import foldstore
from tests.conformance.conftest import raised

DAY = [dt.datetime(2024, 1, n, tzinfo=dt.UTC) for n in range(1, 11)]
ROWS = 400


@pytest.fixture
def service(store):
    rows = {
        "driver": list(range(ROWS)),
        "ts": [DAY[0]] * ROWS,
        "trips": [n % 50 for n in range(ROWS)],
        "tips": [n % 7 for n in range(ROWS)],
    }
    store.create_dataset("rides", key=["driver", "ts"], event_time="ts").append(rows)
    driver = foldstore.Entity("driver", keys={"driver": "int64"})
    for features in (["trips"], ["trips", "tips"]):
        view = foldstore.FeatureView("stats", entity=driver, source="rides", event_time="ts", features=features)
        store.features.apply(foldstore.FeatureService("model", [view]))
    for number in (1, 2):
        store.features.materialize(f"model@{number}")
    return "model@1"


@pytest.fixture
def training(store, service):
    asks = store.create_dataset("asks", key=["id"], event_time="asked")
    version = asks.append({"id": list(range(ROWS)), "driver": list(range(ROWS)), "asked": [DAY[1]] * ROWS})
    version.split("halves", train=0.5, test=0.5, seed=1)
    return store.features.create_training_set("training", labels="asks@1#halves", features=service, message="first")


class TestOnline:
    @pytest.mark.parametrize("as_table", [True, False])
    def test_rows_are_pushed_and_taken_away(self, store, service, as_table):
        row = {"driver": 1, "ts": DAY[4], "trips": 999, "tips": 1}
        rows = pa.table({name: [value] for name, value in row.items()}) if as_table else [row]
        pushed = store.features.push("stats", rows)
        assert (pushed.view, pushed.rows, pushed.version) == ("stats", 1, None)
        assert "model@1" in pushed.services
        ask = lambda at: store.features.get_online_features("model@1", [{"driver": 1}], at=at).to_dict()["trips"]  # noqa: E731
        assert ask(DAY[5]) == [999]
        (status,) = store.features.online_status("model@1")
        assert (status.service, status.view, status.rows, status.pushed) == ("model@1", "stats", ROWS, 1)
        assert len(store.features.online_status()) == 2
        store.features.delete_online("stats", [{"driver": 1}], at=DAY[6])
        assert ask(DAY[7]) == [None]
        assert ask(DAY[5]) == [999]

    def test_rows_are_kept_offline(self, store, service):
        row = {"driver": [7], "ts": [DAY[3]], "trips": [1], "tips": [2]}
        assert store.features.push("stats", row, to="offline", message="late").version == "rides@2"
        assert store.version("rides@2").record.message == "late"

    def test_what_does_not_fit_is_refused(self, store, service):
        assert raised(lambda: store.features.push("stats", {"driver": [1]}))[0] == "SchemaMismatchError"
        assert raised(lambda: store.features.push("nobody", {"driver": [1]}))[0] == "NotFoundError"


class TestTrainingSets:
    def test_are_made_opened_and_made_again(self, store, training):
        assert training.address == "training@1"
        assert training.version.num_rows == ROWS
        assert training.train.num_rows + training.test.num_rows == ROWS
        assert sorted(training.to_arrow()["trips"].to_pylist()) == sorted(n % 50 for n in range(ROWS))
        assert (training.inputs.labels, training.inputs.features) == ("asks@1#halves", "model@1")
        assert list(training.inputs.names) == ["trips"]
        opened = store.training_set("training@1")
        assert opened.inputs == training.inputs
        assert opened.split.address == training.split.address
        again = store.features.reproduce("training@1")
        assert again.equal
        assert again.num_rows == ROWS
        assert again == store.features.reproduce(training)
        assert raised(lambda: store.training_set("asks@1"))[0] == "NotFoundError"

    def test_are_the_next_version_of_newer_inputs_and_the_same_of_the_same(self, store, training):
        make = lambda labels="asks#halves": store.features.create_training_set(  # noqa: E731
            "training", labels=labels, features="model"
        )
        assert make().inputs.features == "model@2"
        second = make()
        assert (second.address, second.found, training.found) == ("training@2", True, False)
        store.dataset("asks").append({"id": [ROWS], "driver": [1], "asked": [DAY[1]]})
        third = make()
        assert (third.address, third.version.num_rows, third.found) == ("training@3", ROWS + 1, False)
        assert make(labels="asks@1#halves").address == "training@2"
        again = store.features.create_training_set("training", labels="asks@1#halves", features="model@1")
        assert (again.address, again.inputs) == (training.address, training.inputs)
        store.version("asks@1").split("others", train=0.5, test=0.5)
        assert raised(lambda: make(labels="asks#others")) == ("AlreadyExistsError", "other-training-set")

    def test_names_that_are_taken_are_refused(self, store, training):
        act = lambda: store.features.create_training_set("asks", labels="asks@1#halves", features="model@1")  # noqa: E731
        assert raised(act)[0] in {"AlreadyExistsError", "UsageError"}

    def test_materialized_like_one(self, store, training):
        assert store.features.materialize("model@1", like=training) == "model@1"


class TestChecks:
    @pytest.fixture
    def logged(self, store, training, request, kind):
        owner = request.getfixturevalue("behind").store if kind == "remote" else store
        owner.features.log_lookups("model")
        for number in (1, 2):
            keys = [{"driver": n} for n in range(ROWS)]
            owner.features.get_online_features(f"model@{number}", keys, at=DAY[2])
        owner.features.lookup_logs.flush()

    def test_lookups_are_computed_again(self, store, logged):
        found = store.features.audit("model")
        assert found.equal
        assert (found.rows, found.audited, found.service) == (2 * ROWS, 2 * ROWS, "model")
        one = store.features.audit("model@2")
        assert (one.rows, {each.name for each in one.features}) == (ROWS, {"trips", "tips"})
        assert str(one).startswith("model@2: 400 of 400 lookups of model.served@")

    def test_skew_is_found(self, store, logged, training):
        skew = store.features.skew("model@1", training)
        assert skew.passed
        assert (skew.training_rows, skew.served_rows) == (training.train.num_rows, ROWS)
        assert set(skew.features) == {"trips"}
        moved = store.create_dataset("moved").append({"trips": [n % 50 + 60 for n in range(ROWS)]})
        assert store.features.skew("model", moved, adjustment="holm").skewed == ("trips",)
        assert store.features.skew("model", "moved@1", until=dt.datetime.now(dt.UTC)).skewed == ("trips",)

    def test_of_what_was_not_logged_it_is_said(self, store, training):
        assert raised(lambda: store.features.audit("model"))[0] == "NotFoundError"
        assert raised(lambda: store.features.skew("model", "asks@1"))[0] == "NotFoundError"

    def test_versions_are_compared_and_uses_named(self, store, training):
        (change,) = store.features.diff("model@1", "model@2")
        assert (change.feature, change.what, change.breaks) == ("stats__tips", "added", False)
        used = store.features.usage(feature="stats:trips")
        assert [each.feature for each in used.features] == ["stats:trips"]
        assert "training_set" in {each.kind for each in used.consumers}
        assert used["stats:trips"].services == ("model@1", "model@2")


class TestAliasesAndShadows:
    def test_aliases_are_set_moved_and_removed(self, store, service):
        aliases = store.features.aliases
        assert aliases.set("model@live", "model@1") == "model@1"
        assert aliases.set("model@live", "model@2") == "model@2"
        assert aliases.get("model@live") == "model@2"
        assert aliases.list() == aliases.list("model") == {"model@live": "model@2"}
        assert [move.service for move in aliases.history("model@live")] == ["model@1", "model@2"]
        assert store.features.get_online_features("model@live", [{"driver": 3}], at=DAY[2]).service == "model@2"
        aliases.remove("model@live")
        assert aliases.list() == {}
        assert raised(lambda: aliases.get("model@dead"))[0] == "NotFoundError"

    def test_shadows_are_begun_and_ended(self, store, service):
        shadows = store.features.shadows
        begun = shadows.start("model@1", "model@2", share=1.0, seed=3)
        assert (begun.live, begun.candidate, begun.share, begun.seed) == ("model@1", "model@2", 1.0, 3)
        assert shadows.report("model@1").shadow.running
        stopped = shadows.stop("model@1")
        assert not stopped.shadow.running
        assert stopped.equal
        assert raised(lambda: shadows.report("model@2"))[0] == "NotFoundError"
