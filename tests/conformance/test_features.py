"""Feature services, joins, lookups, runs and lineage are the same in a folder and behind a server."""

import datetime as dt
import math

import pyarrow as pa
import pytest

import foldstore
from foldstore.views.online.status import FeatureStatus
from tests.conformance.conftest import raised

DAY = [dt.datetime(2024, 1, n, tzinfo=dt.UTC) for n in range(1, 11)]


@pytest.fixture
def driver():
    return foldstore.Entity("driver", keys={"driver": "int64"})


def make_service(driver, features=("trips", "fare", "note", "seen"), ttl="5d"):
    view = foldstore.FeatureView(
        "stats", entity=driver, source="rides", event_time="ts", ttl=ttl, features=list(features)
    )
    return foldstore.FeatureService("model", [view])


@pytest.fixture
def rides(store):
    table = pa.table(
        {
            "driver": [1, 1, 2, 3],
            "ts": [DAY[0], DAY[2], DAY[2], DAY[2]],
            "trips": pa.array([10, 30, 2**63 - 1, None], pa.int64()),
            "fare": pa.array([0.1, math.nan, -0.0, 1.5], pa.float32()),
            "note": ["a", "b", None, "d"],
            "seen": pa.array([DAY[0], DAY[1], DAY[2], None], pa.timestamp("us", "UTC")),
        }
    )
    return store.create_dataset("rides").append(table)


@pytest.fixture
def applied(store, rides, driver):
    return store.features.apply(make_service(driver), message="first")


class TestDefinitions:
    def test_are_applied_listed_and_read(self, store, applied, driver):
        assert applied == "model@1"
        assert store.features.apply(make_service(driver)) == "model@1"
        assert store.features.list_services() == ["model@1"]
        assert store.features.service("model@1") == make_service(driver)
        assert store.features.service("model") == make_service(driver)

    def test_are_planned(self, store, applied, driver):
        same = store.features.plan(make_service(driver))
        assert [each.action for each in same.services] == ["none"]
        store.features.materialize("model@1")
        found = store.features.plan(make_service(driver, ["trips"]))
        assert (found.services[0].action, found.services[0].address) == ("change", "model@2")
        assert "breaks materialized model@1 (of model@1): stats__fare is removed" in str(found)
        assert [each.breaks for each in found.services[0].changes] == [True, True, True]
        assert raised(lambda: store.features.apply(make_service(driver, ["trips"]))) == (
            "RefusedError",
            "breaks-consumers",
        )
        assert store.features.apply(make_service(driver, ["trips"]), allow_breaking=True) == "model@2"

    def test_errors(self, store, rides, driver, tmp_path):
        assert raised(lambda: store.features.apply("x")) == ("UsageError", "usage")
        assert raised(lambda: store.features.service("nothing@1")) == ("NotFoundError", "not-found")
        assert raised(lambda: store.features.apply(make_service(driver, ["nope"])))[0] == "ColumnNotFoundError"
        (tmp_path / "bad.yaml").write_text("services: 5")
        assert raised(lambda: store.features.apply_file(tmp_path / "bad.yaml"))[0] == "InvalidDefinitionError"


class TestJoins:
    def test_give_what_was_known(self, store, applied):
        labels = pa.table(
            {"driver": [1, 1, 2, 9], "event_timestamp": [DAY[3], DAY[1], DAY[9], DAY[3]], "y": [1, 2, 3, 4]}
        )
        joined = store.features.get_historical_features(labels, "model@1")
        assert joined["trips"].to_pylist() == [30, 10, None, None]
        assert joined["note"].to_pylist() == ["b", "a", None, None]
        assert joined["y"].to_pylist() == [1, 2, 3, 4]
        assert joined.schema.field("fare").type == pa.float32()
        assert joined.schema.field("seen").type == pa.timestamp("us", "UTC")
        full = store.features.get_historical_features(labels.to_pydict(), "model", full_feature_names=True)
        assert "stats__trips" in full.column_names
        exact = store.features.get_historical_features(labels, "model", allow_exact_match=False)
        assert exact.num_rows == 4
        store.create_dataset("labels").append(labels)
        asked = store.features.get_historical_features("labels@1", "model@1")
        assert asked["trips"] == joined["trips"]
        query = "SELECT 1::BIGINT AS driver, TIMESTAMPTZ '2024-01-04' AS event_timestamp"
        assert store.features.get_historical_features(query, "model")["trips"].to_pylist() == [30]

    def test_errors(self, store, applied):
        labels = {"driver": [1], "event_timestamp": [DAY[3]]}
        assert raised(lambda: store.features.get_historical_features(labels)) == ("UsageError", "usage")
        assert raised(lambda: store.features.get_historical_features(labels, "nothing@1"))[0] == "NotFoundError"
        wrong = {"car": [1], "event_timestamp": [DAY[3]]}
        assert raised(lambda: store.features.get_historical_features(wrong, "model@1"))[0] in {
            "SchemaMismatchError",
            "ColumnNotFoundError",
            "UsageError",
        }


class TestLookups:
    @pytest.fixture
    def served(self, store, applied):
        assert store.features.materialize("model@1") == "model@1"
        return store.features

    def test_answer_with_values_statuses_and_times(self, served):
        found = served.get_online_features("model@1", [{"driver": each} for each in (1, 2, 3, 9)], at=DAY[3])
        assert (len(found), found.names, found.service) == (4, ["trips", "fare", "note", "seen"], "model@1")
        told = found.to_dict(include_statuses=True, include_event_timestamps=True)
        assert told["driver"] == [1, 2, 3, 9]
        assert told["trips"] == [30, 2**63 - 1, None, None]
        assert math.isnan(told["fare"][0])
        assert math.copysign(1, told["fare"][1]) == -1
        assert told["note"] == ["b", None, "d", None]
        assert told["trips__status"] == [
            FeatureStatus.PRESENT,
            FeatureStatus.PRESENT,
            FeatureStatus.NULL_VALUE,
            FeatureStatus.NOT_FOUND,
        ]
        at = int(DAY[2].timestamp()) * 10**9
        assert told["note__event_timestamp"] == [at, at, at, None]
        assert found.to_arrow().schema == pa.schema(
            {"trips": pa.int64(), "fare": pa.float32(), "note": pa.string(), "seen": pa.timestamp("us", "UTC")}
        )
        assert [column.sources for column in found.columns()] == [("rides@1",)] * 4

    def test_are_to_the_bit_what_the_folder_gives(self, behind, driver):
        local = behind.store
        local.create_dataset("rides").append(
            {"driver": [1, 2], "ts": DAY[:2], "trips": [0.1, None], "note": ["x", "y"]}
        )
        local.features.apply(make_service(driver, ["trips", "note"]))
        local.features.materialize("model")
        ask = ("model@1", {"driver": [2, 1, 7]}, "2024-01-03T00:00:00Z")
        ours, theirs = local.features.get_online_features(*ask), behind.connect().features.get_online_features(*ask)
        how = {"include_statuses": True, "include_event_timestamps": True}
        assert theirs.to_dict(**how) == ours.to_dict(**how)
        assert theirs.to_arrow(**how) == ours.to_arrow(**how)
        assert (theirs.at, theirs.service, theirs.names) == (ours.at, ours.service, ours.names)

    def test_by_feature_and_of_old_values(self, served):
        found = served.get_features(["stats:trips"], {"driver": [1]}, DAY[9], full_feature_names=True)
        assert found.to_dict(include_statuses=True) == {
            "driver": [1],
            "stats__trips": [None],
            "stats__trips__status": [FeatureStatus.OUTSIDE_MAX_AGE],
        }

    def test_errors(self, served):
        def look(entities, service="model@1", at=DAY[3]):
            return lambda: served.get_online_features(service, entities, at)

        assert raised(look([{"driver": 1}], "nothing@1")) == ("NotFoundError", "not-found")
        assert raised(look([{"car": 1}]))[0] == "SchemaMismatchError"
        assert raised(look([])) == ("UsageError", "usage")
        assert raised(look(5))[0] == "UsageError"
        assert raised(look([{"driver": 1}], at="yesterday"))[0] == "UsageError"
        assert raised(lambda: served.get_features(["nope:x"], {"driver": [1]}))[0] == "NotFoundError"


class TestLineage:
    @pytest.fixture
    def run(self, folder, store, rides):
        with foldstore.connect(folder, author="owner") as owner:
            clean = owner.create_dataset("clean")
            with owner.run("clean-up", params={"most": 20}, message="nightly"):
                clean.append(owner.view("rides").where("trips < 20"))

    def test_is_walked(self, store, run):
        assert store.lineage("clean").upstream().labels("version") == ["rides@1"]
        assert store.lineage("rides").downstream().labels("version") == ["clean@1"]
        assert store.lineage("clean").upstream(depth=1).labels("version") == []
        assert set(store.lineage("clean@1").to_dict()) == {"upstream", "downstream"}
        assert "rides@1" in repr(store.lineage("clean").upstream())
        assert raised(lambda: store.lineage("nothing")) == ("NotFoundError", "not-found")
        assert raised(lambda: store.lineage("clean").upstream(depth=0)) == ("UsageError", "usage")

    def test_runs_are_listed(self, store, run):
        (found,) = store.runs.list()
        assert (found.name, found.status, dict(found.params)) == ("clean-up", "succeeded", {"most": 20})
        assert [each.address for each in found.inputs] == ["rides@1"]
        assert [each.address for each in found.outputs] == ["clean@1"]
        assert store.runs.get(found.id) == store.runs.get(found.id[:8]) == found
        assert store.runs.list("other") == []
        assert found.duration >= dt.timedelta(0)
        assert raised(lambda: store.runs.get("ffffff")) == ("NotFoundError", "not-found")

    def test_everywhere_alike(self, behind):
        source = behind.store.create_dataset("raw").append({"x": [1]})
        with behind.store.run("copy"):
            behind.store.create_dataset("copy").append(behind.store.view("raw"))
        theirs = behind.connect()
        assert theirs.lineage("copy").upstream() == behind.store.lineage("copy").upstream()
        assert theirs.runs.list() == behind.store.runs.list()
        assert source.address == "raw@1"
