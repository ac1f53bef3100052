"""Test pools answer alike in a folder and behind a server, and no label crosses."""

import numpy as np
import pyarrow as pa
import pytest

import foldstore
from foldstore.validation.pools.pool_status import PoolState
from tests.conformance.conftest import raised

COUNT = 4_000
PLAN = foldstore.plan_pool("n > 0.6 +/- 0.05", reliability=0.99, steps=4)
CANARY = 987_654_321


@pytest.fixture
def truth():
    return {n: n % 3 == 0 for n in range(COUNT)}


@pytest.fixture
def pool(folder, open_as, truth):
    """A pool, sealed in the folder by its owner."""
    store = open_as()
    flights = store.create_dataset("flights", key=["id"])
    flights.append(
        {"id": list(truth), "late": list(truth.values()), "delay": [CANARY + n for n in truth], "km": list(truth)}
    )
    with foldstore.connect(folder, author="owner") as owner:
        split = owner.version("flights@1").split("half", train=0.5, test=0.5)
        owner.pools.seal("half-a", split.test, label="late", hide=["delay"], plan=PLAN)
    return store.pools.get("half-a")


def predict(pool, truth, wrong=0.0):
    rows = pool.features()
    said = [truth[each] for each in rows["id"].to_pylist()]
    flip = np.random.default_rng(5).random(len(said)) < wrong
    return rows, [bool(value) != bool(other) for value, other in zip(said, flip, strict=True)]


class TestAsking:
    def test_is_answered_by_pass_or_fail(self, store, pool, truth):
        assert [each.name for each in store.pools.list_pools()] == ["half-a"]
        assert (pool.name, set(pool.hidden), pool.record.label) == ("half-a", {"late", "delay"}, "late")
        rows, good = predict(pool, truth)
        assert set(rows.column_names) == {"pool_row", "id", "km"}
        status = pool.status()
        assert (status.state, status.steps_left, status.plan) == (PoolState.SEALED, 4, PLAN)
        first = pool.evaluate({"pool_row": rows["pool_row"], "prediction": good}, model="good")
        assert (first.passed, first.charged) == (True, True)
        again = pool.evaluate({"id": rows["id"], "prediction": good}, model="again")
        assert (again.passed, again.charged) == (True, False)
        as_array = pool.evaluate(np.array(good), model="as an array")
        assert (as_array.passed, as_array.charged) == (True, False)
        assert pool.evaluate(pa.array([not each for each in good]), model="bad").passed is False
        assert (pool.status().state, pool.status().steps_used, pool.status().steps_left) == (PoolState.ACTIVE, 2, 2)
        assert raised(lambda: pool.promote("good")) == ("UsageError", "baseline-needless")
        assert pool.status().baseline is None

    def test_rows_to_label_and_draws(self, pool, truth):
        rows, good = predict(pool, truth)
        needed = pool.rows_to_label({"pool_row": rows["pool_row"], "prediction": good})
        assert needed.column_names[0] == "pool_row"
        assert needed.num_rows == rows.num_rows
        drawn = pool.draw(PLAN.rows, seed=7)
        assert (drawn.rows, drawn.seed) == (PLAN.rows, 7)
        assert drawn.drawn_at
        assert pool.features(draw=drawn.number).num_rows == PLAN.rows
        assert pool.status().draws == 1

    def test_errors_charge_nothing(self, store, pool, truth):
        rows, good = predict(pool, truth)
        assert raised(lambda: pool.evaluate(good[:-1])) == ("UsageError", "invalid-predictions")
        assert raised(lambda: pool.evaluate({"prediction": good})) == ("UsageError", "invalid-predictions")
        assert raised(lambda: pool.evaluate({"pool_row": rows["pool_row"], "x": good}))[1] == "invalid-predictions"
        assert raised(lambda: pool.evaluate("text")) == ("UsageError", "invalid-predictions")
        assert raised(lambda: pool.evaluate(good, model=5)) == ("UsageError", "usage")
        assert raised(lambda: pool.promote("never asked"))[0] in {"RefusedError", "NotFoundError", "UsageError"}
        assert raised(lambda: pool.draw(3))[0] == "RefusedError"
        assert raised(lambda: store.pools.get("nothing")) == ("NotFoundError", "not-found")
        assert raised(pool.retire) == ("RefusedError", raised(pool.report)[1])
        assert pool.status().steps_used == 0

    def test_ends_when_the_budget_is_spent(self, pool, truth):
        rows, good = predict(pool, truth)
        while pool.status().steps_left:
            good[pool.status().steps_left] = not good[pool.status().steps_left]
            pool.evaluate({"pool_row": rows["pool_row"], "prediction": good})
        good[0] = not good[0]
        assert raised(lambda: pool.evaluate(good)) == ("RefusedError", "pool-spent")
        assert pool.status().spent


class TestNoLabelCrosses:
    def test_in_any_form(self, store, pool, truth):
        sealed = set(pool.features()["id"].to_pylist())
        version = store.version("flights@1")
        table = version.to_arrow()
        for row in table.to_pylist():
            assert (row["late"] is None) == (row["id"] in sealed)
            assert (row["delay"] is None) == (row["id"] in sealed)
        counted = store.sql("SELECT count(late), count(delay) FROM flights").rows()
        assert counted == [(COUNT - len(sealed), COUNT - len(sealed))]
        assert version.profile().columns["late"].nulls == len(sealed)
        kept = {CANARY + n for n in range(COUNT) if n not in sealed}
        assert set(version.view().where("delay IS NOT NULL").to_arrow()["delay"].to_pylist()) == kept
        assert not store.view("flights@1").leakage().passed
        assert store.view("flights@1").leakage().pools == {"half-a": len(sealed)}

    def test_commits_leave_them_alone(self, store, pool):
        sealed = pool.features()["id"].to_pylist()[0]
        flights = store.dataset("flights")
        assert raised(lambda: flights.delete(f"id = {sealed}")) == ("RefusedError", "rows-sealed")
        assert raised(lambda: flights.upsert({"id": [sealed], "late": [True], "delay": [1], "km": [1]})) == (
            "RefusedError",
            "rows-sealed",
        )


def test_a_pool_may_count_uses_alone(folder, open_as):
    with foldstore.connect(folder, author="owner") as owner:
        owner.create_dataset("counted", key=["id"]).append({"id": range(200), "late": [True] * 200})
        owner.version("counted@1").split("half", train=0.5, test=0.5, seed=1)
    steward, meter = open_as("steward"), foldstore.meter_pool("n > 0.8", uses=2)
    pool = steward.pools.seal("counted", steward.split("counted@1#half").test, label="late", plan=meter)
    assert type(pool.status().plan) is type(pool.record.plan) is type(meter)
    assert (pool.status().plan, pool.status().steps_left) == (meter, 2)


def test_retired_behind_a_server_as_in_the_folder(behind, truth):
    flights = behind.store.create_dataset("flights", key=["id"])
    flights.append({"id": list(truth), "late": list(truth.values())})
    split = flights.latest.split("half", train=0.5, test=0.5)
    behind.store.pools.seal("half-a", split.test, label="late", plan=PLAN)
    asked = behind.connect("evaluator").pools.get("half-a")
    _, good = predict(asked, truth)
    asked.evaluate(good, model="good")
    told = []
    steward = behind.connect("steward")
    # A steward sees what is left of a pool and manages it, but does not ask it.
    pool = steward.pools.get("half-a")
    assert pool.status() == asked.status()
    with pytest.raises(foldstore.errors.RefusedError, match="'pools:evaluate'"):
        pool.features()
    told.append(pool.retire(reason="done"))
    with foldstore.connect(behind.store.root, role="steward") as opened:
        told.append(opened.pools.get("half-a").report())
    assert told[0] == told[1]
    assert told[0].models[0].metrics[0].estimate == 1.0
