"""Every argument of a verb says over the network what it says in a folder: the answers are compared with each other."""

import datetime as dt
import decimal

import pyarrow as pa
import pytest

import foldstore
from foldstore.datastore.statistics.segments import OTHER
from tests.conformance.conftest import raised

DAY = [dt.datetime(2024, 1, n, tzinfo=dt.UTC) for n in range(1, 11)]


@pytest.fixture
def owner(store, kind, request):
    """The store as its owner has it, in a folder: what the other handle says is compared with it."""
    return request.getfixturevalue("behind").store if kind == "remote" else store


@pytest.fixture
def rides(store):
    """Two versions of a thousand rows: the second is shifted by 30."""
    data = store.create_dataset("rides", key=["id"])
    for number in range(2):
        ids = range(1000 * number, 1000 * number + 1000)
        data.append(
            {
                "id": ids,
                "km": [each % 100 + 30 * number for each in ids],
                "fee, net": [each % 7 for each in ids],
                "zone": [("north", "south", None)[each % 3] for each in ids],
                "late": [each % 4 == 0 for each in ids],
            }
        )
    return data


class TestCommits:
    def test_properties_are_kept(self, people):
        first = people.append({"id": [1, 2], "age": [3, 4]}, properties={"job": {"name": "nightly", "try": 2}})
        assert first.to_dict()["properties"]["job"] == {"name": "nightly", "try": 2}
        second = people.delete("id = 1", properties={"asked by": "é, ü"})
        assert second.to_dict()["properties"]["asked by"] == "é, ü"
        assert raised(lambda: people.append({"id": [5], "age": [5]}, properties={"x": float("nan")}))[0] == "UsageError"
        assert people.latest == second

    def test_rows_that_are_not_sent_are_kept_if_one_says_so(self, people):
        people.append({"id": [1, 2, 3], "age": [10, 20, 30]})
        kept = people.sync({"id": [2, 4], "age": [21, 40]}, delete_missing=False)
        assert kept.view().order_by("id").to_arrow().to_pydict() == {"id": [1, 2, 3, 4], "age": [10, 21, 30, 40]}
        gone = people.sync({"id": [2, 4], "age": [21, 40]})
        assert gone.num_rows == 2

    def test_columns_of_a_table_are_joined_on_the_key(self, people):
        people.append({"id": [1, 2, 3], "age": [10, 20, 30]})
        added = people.add_columns(pa.table({"id": [3, 1], "score": pa.array([0.5, 0.25], pa.float32())}))
        assert added.arrow_schema.field("score").type == pa.float32()
        assert added.view().order_by("id").to_arrow()["score"].to_pylist() == [0.25, None, 0.5]
        assert raised(lambda: people.add_columns({"id": [1], "age": [2]}))[0] == "AlreadyExistsError"
        assert raised(lambda: people.add_columns({"no": [1], "more": [2]}))[0] in {"UsageError", "ColumnNotFoundError"}

    def test_names_may_have_commas_and_brackets(self, people):
        rows = {"id": [1, 2], "a,b": [2, 1], "[c": ["x", "y"]}
        version = people.append(rows, order_by=["a,b"])
        assert version.to_arrow()["id"].to_pylist() == [2, 1]
        assert version.take(keys={"id": [1]}, columns=["[c"]).to_pydict() == {"[c": ["x"]}
        assert version.take(keys={"id": [1]}, columns=["[c", "a,b"]).to_pydict() == {"[c": ["x"], "a,b": [2]}
        assert raised(lambda: people.append({"id": [3], "a,b": [1], "[c": ["z"]}, order_by="a,b"))[0] == "UsageError"

    def test_tags_that_can_be_none_are_refused(self, people):
        assert people.matches(tag="nobody-has-it") is False
        assert people.matches() is people.matches(search="peo") is True
        assert raised(lambda: people.matches(tag="no such tag"))[0] == "InvalidNameError"


class TestJudgement:
    def test_policies_of_drift_count(self, owner, rides):
        policy = foldstore.DriftPolicy(metric="ks", tau_warn=0.5, tau_error=0.9)
        for how in ({}, {"policy": policy}, {"adjustment": "holm"}, {"policy": policy, "adjustment": "by"}):
            found = rides.version(2).drift(rides.version(1), rows="added", **how)
            same = owner.version("rides@2").drift(owner.version("rides@1"), rows="added", **how)
            assert found.to_dict() == same.to_dict()
        assert rides.version(2).drift("previous").columns["km"].verdict == "error"
        assert rides.version(2).drift("previous", policy=policy).columns["km"].verdict == "stable"
        assert raised(lambda: rides.version(2).drift("previous", adjustment="none"))[0] == "UsageError"

    def test_views_that_are_not_saved_are_compared_with(self, store, owner, rides):
        def asked(of):
            return of.view("rides@1").where("km > 20").select("km", "zone")

        found = rides.version(2).drift(asked(store))
        assert found.to_dict() == owner.version("rides@2").drift(asked(owner)).to_dict()
        assert set(found.columns) == {"km", "zone"}
        concept = rides.version(2).concept_drift(asked(store), "zone", ["km"])
        assert concept.to_dict() == owner.version("rides@2").concept_drift(asked(owner), "zone", ["km"]).to_dict()
        test = rides.version(2).two_sample_test(asked(store), ["km"], sample=128)
        assert test.to_dict() == owner.version("rides@2").two_sample_test(asked(owner), ["km"], sample=128).to_dict()

    def test_schemas_know_label_and_categories(self, store, owner, rides):
        serving = store.create_dataset("served").append({"id": [1, 2], "km": [3, 4], "device": ["a", "b"]})
        for how in (
            {"label": "late"},
            {"categorical": ["fee, net"]},
            {"label": "late", "categorical": ["fee, net"]},
            {"serving": serving.profile()},
            {"label": "late", "serving": serving.profile()},
            {"label": "late", "history": False},
        ):
            found = rides.latest.profile().infer_schema(**how)
            assert found == owner.version("rides@2").profile().infer_schema(**how), how
        assert found.label == "late"
        assert raised(lambda: rides.latest.profile().infer_schema(label="nothing"))[0] == "ColumnNotFoundError"

    @pytest.mark.parametrize("rows", ["all", "added"])
    @pytest.mark.parametrize("by", ["zone", ["zone", "late"], ["fee, net"], ["id"]])
    def test_segments_have_profiles(self, owner, rides, rows, by):
        found = rides.latest.profile(by=by, rows=rows, max_segments=4)
        same = owner.version("rides@2").profile(by=by, rows=rows, max_segments=4)
        assert (found.by, list(found), found.left_over) == (same.by, list(same), same.left_over)
        assert found.to_dict() == same.to_dict()
        assert all(one.to_bytes() == other.to_bytes() for one, other in zip(found.values(), same.values(), strict=True))
        assert (OTHER in found) == (found.left_over > 0)
        assert raised(lambda: rides.latest.profile(by="nothing"))[0] == "ColumnNotFoundError"

    def test_reports_of_splits_look_where_they_are_told(self, store, owner, rides):
        version = rides.latest
        version.split("halves", train=0.5, test=0.5, seed=1)
        version.folds("cv", k=3, seed=1)
        asked = {
            "columns": ["fee, net"],
            "label": "late",
            "group_by": [["zone", "late"], ["fee, net"]],
            "duplicates": ["km", "zone"],
        }
        found = store.split("rides@2#halves").report(near_duplicates=["zone"], accuracy=0.7, **asked)
        same = owner.split("rides@2#halves").report(near_duplicates=["zone"], accuracy=0.7, **asked)
        assert found.to_dict() == same.to_dict()
        assert (
            store.split("rides@2#cv").report(**asked).to_dict() == owner.split("rides@2#cv").report(**asked).to_dict()
        )
        one = store.split("rides@2#halves").report(columns=[], group_by=["zone", "late"])
        assert one.to_dict() == owner.split("rides@2#halves").report(columns=[], group_by=["zone", "late"]).to_dict()
        with pytest.raises(TypeError):
            store.split("rides@2#cv").report(colour=1)


class TestViews:
    def test_each_epoch_has_its_own_order(self, store, owner, rides):
        def asked(of, epoch):
            view = of.view("rides@2").shuffle(seed=5)
            batches = list(view.rows.stream(["id"], epoch=epoch))
            return view.rows.count(epoch), [n for batch in batches for n in batch["id"].to_pylist()]

        answers = [asked(store, epoch) for epoch in range(3)]
        assert answers == [asked(owner, epoch) for epoch in range(3)]
        assert answers[0] != answers[1] != answers[2]

    def test_lineage_goes_back_in_history(self, store, owner, rides):
        for history in (False, True):
            for direction in ("upstream", "downstream"):
                asked = [getattr(each.lineage("rides@2"), direction)(history=history) for each in (store, owner)]
                assert asked[0].to_dict() == asked[1].to_dict()
        labels = {node.label for node in store.lineage("rides@2").upstream(history=True).nodes}
        assert "rides@1" in labels


@pytest.fixture
def service(store):
    rows = {"driver": [1, 1, 2], "ts": [DAY[0], DAY[2], DAY[1]], "trips": [10, 30, 20]}
    store.create_dataset("trips", key=["driver", "ts"], event_time="ts").append(rows)
    driver = foldstore.Entity("driver", keys={"driver": "int64"})
    view = foldstore.FeatureView("stats", entity=driver, source="trips", event_time="ts", features=["trips"])
    store.features.apply(foldstore.FeatureService("model", [view]))
    store.features.materialize("model@1")
    return "model@1"


class TestFeatures:
    def test_services_are_laid_out_anew(self, store, owner, service):
        before = owner.features.online_status(service)[0].to_dict()
        assert store.features.materialize(service, full=True) == service
        assert store.features.online_status(service)[0].rows == before["rows"]

    def test_history_is_joined_without_labels(self, store, owner, service):
        for how in ({}, {"end": DAY[1]}, {"start": "2024-01-02", "end": DAY[2], "full_feature_names": True}):
            found = store.features.get_historical_features(service=service, **how)
            assert found.equals(owner.features.get_historical_features(service=service, **how))
        assert found.num_rows == 2
        labels = {"driver": [1], "event_timestamp": [DAY[3]]}
        act = lambda: store.features.get_historical_features(labels, service, start=DAY[0])  # noqa: E731
        assert raised(act)[0] == "UsageError"

    def test_joins_read_what_a_training_set_read(self, store, service):
        asks = store.create_dataset("asks", key=["id"], event_time="asked")
        version = asks.append({"id": [*range(40)], "driver": [1, 2] * 20, "asked": [DAY[5]] * 40})
        version.split("halves", train=0.5, test=0.5, seed=1)
        training = store.features.create_training_set("training", labels="asks@1#halves", features=service)
        store.dataset("trips").append({"driver": [1], "ts": [DAY[4]], "trips": [99]})
        labels = {"driver": [1], "event_timestamp": [DAY[6]]}
        join = store.features.get_historical_features
        assert join(labels, service)["trips"].to_pylist() == [99]
        assert join(labels, service, like=training)["trips"].to_pylist() == [30]
        assert join(service=service, like=training).num_rows == join(service=service).num_rows - 1

    def test_skew_is_told_by_a_policy_and_of_a_view(self, store, owner, service):
        owner.features.log_lookups("model")
        for _ in range(200):
            owner.features.get_online_features(service, [{"driver": 1}, {"driver": 2}], at=DAY[5])
        owner.features.lookup_logs.flush()
        learnt = store.create_dataset("learnt").append({"trips": [20 + n % 11 for n in range(500)]})
        view = store.view(learnt.address).where("trips < 28")
        lax = foldstore.DriftPolicy(tau_warn=1, tau_error=1)
        assert store.features.skew("model", view).skewed == ("trips",)
        assert store.features.skew("model", view, policy=lax).passed
        assert store.features.skew("model", view).training_rows == view.count()

    def test_requests_are_named_and_feedback_keeps_its_types(self, store, owner, service):
        owner.features.log_lookups("model")
        for name, driver in (("r1", 1), ("r2", 2)):
            store.features.get_online_features(service, [{"driver": driver}], at=DAY[5], request_id=name)
        owner.features.lookup_logs.flush()
        predicted = pa.table(
            {
                "request_id": ["r1", "r2"],
                "prediction": pa.array([0.25, 0.5], pa.float32()),
                "price": pa.array([decimal.Decimal("1.50"), None], pa.decimal128(10, 2)),
                "seen": pa.array([DAY[6], DAY[7]], pa.timestamp("ns", "UTC")),
                "raw": pa.array([b"\0\xff", b""], pa.binary()),
                "tags": pa.array([["a"], None], pa.list_(pa.string())),
            }
        )
        kept = store.features.feedback.log_predictions(service, predicted, model="git:abc")
        for field in predicted.schema:
            if field.name != "request_id":
                assert kept.arrow_schema.field(field.name).type == field.type
        found = kept.view().order_by("request_id").to_arrow()
        assert found.select(predicted.column_names).to_pylist() == predicted.to_pylist()
        late = {"request_id": ["r2"], "late": [True], "observed_at": [DAY[8]]}
        assert store.features.feedback.log_outcomes("model", late).num_rows == 1
        labels = store.features.feedback.make_labels("model", message="of January")
        assert (labels.record.message, labels.num_rows) == ("of January", 1)
        row = labels.to_arrow().to_pylist()[0]
        assert (row["request_id"], row["driver"], row["late"]) == ("r2", 2, True)
        too_long = lambda: store.features.get_online_features(service, [{"driver": 1}], request_id="r" * 10_000)  # noqa: E731
        assert raised(too_long)[0] == "UsageError"
