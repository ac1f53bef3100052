"""Transforms, feedback, consumers, descriptions, histories: the same in a folder and behind a server."""

import datetime as dt

import pytest

import foldstore
from tests.conformance.conftest import raised

DAY = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


class TestTransforms:
    TRANSFORM = foldstore.Transform("inputs", [foldstore.Clip("delay", high=5.0), foldstore.MinMax("delay")])

    @pytest.fixture
    def split(self, people):
        rows = {"id": list(range(100)), "delay": [float(n % 7) for n in range(100)]}
        return people.append(rows).split("half", train=0.5, test=0.5)

    def test_they_are_fitted_kept_and_applied(self, store, split):
        transforms = store.transforms
        assert transforms.list() == []
        assert transforms.fit(self.TRANSFORM, split.train, message="first") == "inputs@1"
        assert transforms.fit(self.TRANSFORM, "people@1#half.train") == "inputs@1"
        assert transforms.list() == ["inputs@1"]
        assert transforms.apply("inputs@1", {"delay": [0.0, 6.0, None]})["delay"].to_pylist() == [0.0, 1.0, None]
        assert transforms.apply("inputs", "people@1#half.test").num_rows == split.test.num_rows
        fitted = transforms.get("inputs@1")
        assert (fitted.fitted_on, fitted.rows) == ("people@1#half.train", split.train.num_rows)
        assert fitted.apply_row({"delay": 2.5}) == {"delay": 0.5}
        codes = {each.code for each in transforms.validate("inputs@1", {"delay": [9.0] * 50}).anomalies}
        assert codes
        assert transforms.validate("inputs@1", "people@1").passed
        assert raised(lambda: transforms.fit(self.TRANSFORM, split.test)) == ("RefusedError", "not-a-train-part")
        assert raised(lambda: transforms.fit({}, split.train))[0] == "UsageError"
        assert raised(lambda: transforms.get("other@1"))[0] == "NotFoundError"
        wrong = foldstore.Transform("wrong", [foldstore.MinMax("nothing")])
        assert raised(lambda: transforms.fit(wrong, split.train))[0] == "SchemaMismatchError"


class TestFeedback:
    def test_predictions_and_outcomes_are_kept(self, store):
        rides = store.create_dataset("rides")
        rides.append({"driver": [1, 2], "ts": [DAY, DAY], "trips": [10, 20]})
        driver = foldstore.Entity("driver", keys={"driver": "int64"})
        stats = foldstore.FeatureView("stats", entity=driver, source="rides", event_time="ts", features=["trips"])
        store.features.apply(foldstore.FeatureService("model", [stats]))
        feedback = store.features.feedback
        assert feedback.datasets("model").labels == "model.labels"
        rows = {"request_id": ["r1", "r2"], "prediction": [0.3, 0.9], "predicted_at": [DAY, DAY]}
        made = feedback.log_predictions("model@1", rows, model="git:abc")
        assert (made.address, made.to_arrow()["predicted_at"].to_pylist()) == ("model.predictions@1", [DAY, DAY])
        assert feedback.log_outcomes("model", {"request_id": ["r2"], "late": [True]}).address == "model.outcomes@1"
        assert raised(lambda: feedback.log_outcomes("model", {"request_id": [7], "late": [True]}))[0] == (
            "SchemaMismatchError"
        )
        assert raised(lambda: feedback.make_labels("model"))[0] == "NotFoundError"
        assert raised(lambda: feedback.datasets("other"))[0] == "NotFoundError"


class TestWhoAndWhat:
    def test_consumers_are_registered_and_released(self, store, people):
        version = people.append({"id": [1]})
        made = version.consumers.register("model", "churn@3", reason="in production")
        assert (made.address, made.reason) == ("people@1", "in production")
        assert version.consumers.list() == version.consumers.list("model") == store.consumers() == [made]
        assert store.consumers(kind="service") == []
        assert raised(lambda: version.consumers.register("no kind", "x"))[0] in {"UsageError", "InvalidNameError"}
        assert version.consumers.release("model", "churn@3")
        assert not version.consumers.release("model", "churn@3")

    def test_only_empty_datasets_are_removed(self, store, people):
        store.create_dataset("empty")
        store.remove_empty_dataset("empty")
        assert [each.name for each in store.datasets()] == ["people"]
        people.append({"id": [1]})
        assert raised(lambda: store.remove_empty_dataset("people"))[0] == "UsageError"
        assert raised(lambda: store.remove_empty_dataset("nothing"))[0] == "NotFoundError"

    def test_descriptions_are_listed_and_searched(self, people):
        people.describe("Who flies", tags=["raw"])
        people.describe("Who flew")
        assert [each.description for each in people.descriptions()] == ["Who flies", "Who flew"]
        assert people.matches("FLEW", "raw")
        assert people.matches()
        assert not people.matches("flies")
        assert not people.matches(tag="other")

    def test_columns_have_histories(self, people):
        for n in range(3):
            people.append({"id": [10 * n + each for each in range(5)], "km": [n + each for each in range(5)]})
        found = people.report_history(["km"])
        assert [each.address for each in found.versions] == ["people@1", "people@2", "people@3"]
        assert found.columns["km"].points[2].quantiles[2] == 4
        assert "km" in found.to_text()
        assert raised(lambda: people.report_history(["nothing"]))[0] == "ColumnNotFoundError"

    def test_runs_are_told_as_events(self, store, people, folder):
        people.append({"id": [1]})
        with foldstore.connect(folder, author="owner") as owner, owner.run("train"):
            owner.view("people@1").to_arrow()
        (run,) = store.runs.list("train")
        events = store.runs.to_openlineage(run.record.id)
        assert [each["eventType"] for each in events] == ["START", "COMPLETE"]
        assert raised(lambda: store.runs.to_openlineage("ffffff"))[0] == "NotFoundError"
