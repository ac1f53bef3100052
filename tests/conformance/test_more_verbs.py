"""Gates, single rows, trends, drafts of views, sealing: the same in a folder and behind a server."""

import datetime as dt

import numpy as np
import pytest

import foldstore
from tests.conformance.conftest import raised

PLAN = foldstore.plan_pool("n > 0.6 +/- 0.05", reliability=0.99, steps=4)


@pytest.fixture
def three(people):
    for n in range(3):
        people.append({"id": [4 * n + each for each in range(4)], "age": [n * 10 + each for each in range(4)]})
    return people


class TestGates:
    def test_a_policy_is_set_and_read(self, people):
        assert people.gate == foldstore.GatePolicy()
        policy = foldstore.GatePolicy(fail_on="warn", drift="previous")
        assert people.set_gate(policy, message="drift counts") == policy
        assert people.gate == policy
        assert raised(lambda: people.set_gate({"fail_on": "warn"}))[0] in {"UsageError", "InvalidSchemaError"}

    def test_versions_are_put_off_and_taken_back(self, three):
        columns = {"id": {"type": "int64"}, "age": {"type": "int64", "domain": {"min": 0, "max": 100}}}
        three.set_schema(foldstore.DataSchema.from_dict({"keys": ["id"], "columns": columns}))
        refused = three.append({"id": [99], "age": [-5_000]})
        assert str(refused.status) == "quarantined"
        until = refused.postpone("3d", "the vendor looks")
        assert dt.datetime.fromisoformat(until) > dt.datetime.now(dt.UTC) + dt.timedelta(days=2)
        assert three.reviews() == []
        assert raised(lambda: refused.postpone("soon"))[0] == "UsageError"
        first = three.version(1)
        first.deprecate("old")
        assert str(three.version(1).status) == "deprecated"
        first.undeprecate("it was right")
        assert str(three.version(1).status) == "published"
        assert raised(lambda: three.version(1).undeprecate())[0] == "UsageError"


class TestSingleRows:
    def test_are_taken_by_key_and_by_id(self, three):
        version = three.latest
        assert version.take(keys={"id": [5, 0]})["age"].to_pylist() == [11, 0]
        ids = version.row_ids()
        assert (ids.dtype, len(set(ids.tolist()))) == (np.uint64, 12)
        assert version.take(ids[[7, 2]], columns=["id"]).to_pydict() == {"id": [7, 2]}
        assert version.take([]).num_rows == 0
        assert raised(lambda: version.take(keys={"id": [77]})) == ("NotFoundError", "row-not-found")
        assert raised(lambda: version.take([1 << 62]))[0] == "NotFoundError"
        assert raised(lambda: version.take(["x"]))[0] == "UsageError"
        assert raised(version.take)[0] == "UsageError"
        assert raised(lambda: version.take(keys={"id": [1]}, columns=["nothing"]))[0] == "ColumnNotFoundError"

    def test_versions_are_found_by_instant(self, three):
        first = three.version(1)
        assert three.as_of("2099-01-01").number == 3
        assert three.as_of(first.created_at) == first
        work = three.create_branch("work", first)
        assert work.as_of("2099-01-01") == first
        assert work.as_of(first.created_at) == first
        assert raised(lambda: work.as_of("1999-01-01"))[0] == "NotFoundError"
        assert raised(lambda: three.as_of("1999-01-01"))[0] == "NotFoundError"
        assert raised(lambda: three.as_of("yesterday"))[0] == "UsageError"


class TestCourses:
    def test_trends_of_versions_and_of_time(self, store):
        data = store.create_dataset("prices", event_time="hour")
        hours = [dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=each) for each in range(40 * 24)]
        data.append({"hour": hours, "price": [20.0 if each < 700 else 25.0 for each in range(40 * 24)]})
        found = data.latest.trends("1d")
        (change,) = found.of("price").changes
        assert (change.before, round(change.after, 4), change.row) == (20.0, 24.1667, 700)
        assert data.latest.trends("1d", ["price"], time="hour", season=7).subject.startswith("prices@1")
        assert raised(lambda: data.latest.trends("1d", ["nothing"]))[0] == "ColumnNotFoundError"
        for number in range(12):
            base = 20 if number > 9 else 0
            rows = {"hour": hours[:50], "price": [float(number % 3 + each + base) for each in range(50)]}
            data.append(rows)
        over = data.trends(["price"], last=12)
        assert over.of("price").labels[-1] == "prices@13"
        assert [each.at for each in over.of("price").changes] == ["prices@12"]

    def test_concepts_and_samples_are_compared(self, store):
        rides = store.create_dataset("rides")
        before = rides.append({"rain": [True, False] * 500, "late": [True, False] * 500})
        after = rides.append({"rain": [True, False] * 500, "late": [False, True] * 500}).address
        after = store.version(after)
        found = after.concept_drift("previous", "late", rows="added")
        assert found.drifted == ("rain",)
        assert found.features["rain"].worst
        assert after.concept_drift(before, "late", ["rain"], rows="added").drifted == ("rain",)
        test = after.two_sample_test(before, rows="added", sample=256)
        assert test.n_reference == test.n_current > 0
        assert set(test.columns) == {"rain", "late"}

    def test_rows_too_few_to_learn_from_are_said_to_be(self, store):
        rides = store.create_dataset("rides")
        one, many = rides.append({"km": [1]}), rides.append({"km": list(range(99))})
        with pytest.raises(foldstore.errors.UsageError, match=r"rides@1>? has too few rows to learn from: 1"):
            many.two_sample_test(one)

    def test_a_schema_of_no_rows_warns(self, store):
        none = store.create_dataset("none").append({"x": np.array([], "int64")})
        with pytest.warns(foldstore.EmptyReferenceWarning, match="none has no rows: the schema says types alone"):
            assert none.profile().infer_schema().columns["x"].type == "int64"

    def test_a_split_is_suggested_and_made(self, store):
        rows = {"id": list(range(6000)), "patient_id": [n % 500 for n in range(6000)]}
        version = store.create_dataset("n", key=["id"]).append(rows)
        found = version.suggest_split()
        assert found.arguments["group_by"] == ["patient_id"]
        assert found.reasons
        assert found.code().startswith("version.split('name'")
        assert found.make("suggested").train.num_rows > 3000


class TestDrafts:
    def test_views_are_drafted_copied_and_put_away(self, store, three):
        store.view("people@1").where("age > 1").save_draft("old", message="try")
        store.view("people@1").where("age > 2").save_draft("old")
        assert store.view("old@draft").count() == 1
        saved = store.saved_views
        assert saved.get("old").draft is not None
        published = saved.publish("old", message="ready")
        assert (published.address, published.number, published.message) == ("old@1", 1, "ready")
        assert raised(lambda: saved.publish("old")) == ("UsageError", "no-draft")
        saved.clone("old@1", "copy")
        saved.discard_draft("copy")
        assert raised(lambda: saved.get("copy"))[0] == "NotFoundError"
        assert saved.archive("old").is_archived
        assert [each.name for each in saved.list()] == []
        assert [each.name for each in saved.list(archived=True)] == ["old"]
        assert not saved.restore("old").is_archived
        moved = saved.deprecate("old@1", "it misses some", replacement="people@2").versions[0].deprecation
        assert (moved.reason, moved.replacement) == ("it misses some", "people@2")
        assert raised(lambda: saved.deprecate("old@7", "why"))[0] in {"UsageError", "NotFoundError"}


class TestSealing:
    COUNT = 4_000

    @pytest.fixture
    def steward(self, open_as, store):
        flights = store.create_dataset("flights", key=["id"])
        flights.append({"id": [*range(self.COUNT)], "late": [n % 3 == 0 for n in range(self.COUNT)]})
        store.version("flights@1").split("half", train=0.5, test=0.5)
        return open_as("steward")

    def test_a_steward_seals(self, store, steward):
        part = steward.split("flights@1#half").test
        pool = steward.pools.seal("half-a", part, label="late", plan=PLAN, expires="2099-01-01")
        assert (pool.name, pool.record.label) == ("half-a", "late")
        hidden = store.version("flights@1").to_arrow()["late"].null_count
        assert hidden == part.num_rows
        asked = store.pools.get("half-a")
        assert asked.status().plan == PLAN
        rows = asked.features()
        assert set(rows.column_names) == {"pool_row", "id"}
        verdict = asked.evaluate(
            {"id": rows["id"], "prediction": [n % 3 == 0 for n in rows["id"].to_pylist()]}, model="m"
        )
        assert verdict.passed
        again = lambda: steward.pools.seal("half-a", part, label="late", plan=PLAN)  # noqa: E731
        assert raised(again)[0] in {"AlreadyExistsError", "RefusedError", "UsageError"}
        assert raised(lambda: steward.pools.seal("x", part, label="late", plan={"steps": 1}))[0] == "UsageError"

    def test_a_reserve_fills(self, store, steward):
        reserve = steward.pools.reserve("next", "flights", label="late", plan=PLAN, share=0.5)
        assert (reserve.status().rows, reserve.status().needed) == (0, PLAN.labels)
        more = range(self.COUNT, self.COUNT + 400)
        store.dataset("flights").append({"id": [*more], "late": [True] * 400})
        status = steward.pools.get_reserve("next").status()
        assert 100 < status.rows < 300
        assert [each.name for each in steward.pools.list_reserves()] == ["next"]
        assert reserve.features().num_rows == status.rows
        assert "late" not in reserve.features().column_names
        assert raised(lambda: steward.pools.get_reserve("other"))[0] == "NotFoundError"


def test_who_is_no_steward_seals_nothing(behind):
    store = behind.connect("admin")
    store.create_dataset("flights", key=["id"]).append({"id": [*range(4000)], "late": [True] * 4000})
    part = store.version("flights@1").split("half", train=0.5, test=0.5).test
    for role in ("admin", "editor", "evaluator"):
        pools = behind.connect(role).pools
        with pytest.raises(PermissionError):
            pools.seal("p", part, label="late", plan=PLAN)
        with pytest.raises(PermissionError):
            pools.reserve("r", "flights", label="late", plan=PLAN, share=0.5)
    bounded = behind.connect("steward", names=["p"]).pools
    with pytest.raises(LookupError):
        bounded.seal("p", part, label="late", plan=PLAN)
    assert store.version("flights@1").to_arrow()["late"].null_count == 0
