"""Reserves: rows of new versions, sealed as they come, that become the next pool."""

import warnings
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

import foldstore
from foldstore.datastore.storage import open_storage
from foldstore.errors import AlreadyExistsError, NotFoundError, RefusedError, UsageError
from foldstore.validation.pools import reserve as reserve_module

ROWS = 2_000
PLAN = foldstore.plan_pool("n > 0.6 +/- 0.1", reliability=0.95, steps=4)
LABELS = np.random.default_rng(11).random(ROWS) < 0.4


@pytest.fixture
def store(folder):
    with foldstore.connect(folder, author="tester", role="steward") as opened:
        yield opened


def _rows(first, rows=ROWS, **changes):
    x = LABELS[:rows] + np.random.default_rng(first + 1).normal(0, 0.4, rows)
    ids = list(range(first, first + rows))
    whose = [n // 4 % 500 for n in ids]
    late = LABELS[:rows]
    return {"id": ids, "whose": whose, "x": x, "delay": np.where(late, 40, 3), "late": late, **changes}


@pytest.fixture
def flights(store):
    dataset = store.create_dataset("flights", key=["id"])
    dataset.append(_rows(0))
    return dataset


@pytest.fixture
def pool(store, flights):
    part = flights.latest.split("half", train=0.3, test=0.7, seed=3).test
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return store.pools.seal("spring", part, label="late", hide=["delay"], plan=PLAN)


@pytest.fixture
def reserve(store, pool):
    return _reserve(store)


def _reserve(store, name="next", **changes):
    how = {"label": "late", "hide": ["delay"], "plan": PLAN, "share": 0.3, **changes}
    return store.pools.reserve(name, "flights", **how)


def _sealed_ids(store, first):
    asked = "SELECT id FROM flights WHERE id >= ? AND late IS NULL ORDER BY id"
    return [row[0] for row in store.sql(asked, [first]).rows()]


def test_rows_are_sealed_as_they_come_and_those_before_are_left_alone(store, flights, reserve):
    before = store.sql("SELECT count(late) FROM flights WHERE id < ?", [ROWS]).rows()
    assert reserve.status().rows == 0
    flights.append(_rows(ROWS))
    sealed = _sealed_ids(store, ROWS)
    assert reserve.status().rows == len(sealed)
    assert 0.25 < len(sealed) / ROWS < 0.35
    assert store.sql("SELECT count(late) FROM flights WHERE id < ?", [ROWS]).rows() == before
    assert store.sql("SELECT count(delay) FROM flights WHERE id >= ? AND late IS NULL", [ROWS]).rows() == [(0,)]
    flights.append(_rows(2 * ROWS, 100))
    assert reserve.status().rows == len(_sealed_ids(store, ROWS)) > len(sealed)
    assert reserve.fill() == 0  # each commit filled it


def test_versions_that_a_stream_cuts_fill_it_too(store, flights, reserve):
    with flights.stream(every_rows=10 * ROWS) as stream:
        stream.write(_rows(ROWS))
        stream.flush()
        sealed = _sealed_ids(store, ROWS)
        assert reserve.status().rows == len(sealed) > 0.25 * ROWS
        stream.write(_rows(2 * ROWS, 100))
    assert reserve.status().rows == len(_sealed_ids(store, ROWS)) > len(sealed)
    assert reserve.fill() == 0


def test_a_reserve_becomes_the_pool_that_follows(store, flights, pool, reserve):
    flights.append(_rows(ROWS))
    flights.append(_rows(2 * ROWS))
    sealed = _sealed_ids(store, ROWS)
    assert sorted(reserve.features()["id"].to_pylist()) == sealed
    assert "late" not in reserve.features().column_names
    assert reserve.status().ready
    new = pool.rotate("summer", reserve)
    assert (new.hidden, new.record.predecessor, new.record.num_rows) == (pool.hidden, pool.record.id, len(sealed))
    assert str(pool.status().state) == "validation"
    assert sorted(new.features()["id"].to_pylist()) == sealed
    truth = LABELS[np.asarray(new.features()["id"]) % ROWS]
    assert new.evaluate(truth.tolist()).passed
    new.retire()
    rows = new.rows()
    assert rows["late"].to_pylist() == LABELS[np.asarray(rows["id"]) % ROWS].tolist()
    assert rows["delay"].to_pylist() == np.where(LABELS, 40, 3)[np.asarray(rows["id"]) % ROWS].tolist()
    assert (reserve.status().ready, reserve.status().used_by) == (False, new.record.id)
    flights.append(_rows(3 * ROWS, 100))
    assert _sealed_ids(store, 3 * ROWS) == []  # a reserve is used once
    assert store.verify().passed


def test_too_few_rows_and_rows_of_another_kind_make_no_pool(store, flights, pool, reserve):
    with pytest.raises(RefusedError) as caught:
        pool.rotate("summer", reserve)
    assert caught.value.code == "pool-too-small"
    flights.append(_rows(ROWS, x=np.linspace(5, 9, ROWS)))
    with pytest.raises(RefusedError) as caught:
        pool.rotate("summer", reserve)
    assert (caught.value.code, caught.value.facts["columns"]) == ("pool-drifted", ["x"])
    assert str(pool.status().state) == "sealed"
    assert pool.rotate("summer", reserve, accept_drift=True).name == "summer"


def test_a_baseline_is_given_for_the_rows_of_the_reserve(store, flights):
    plan = foldstore.plan_pool(
        "n - o > 0 +/- 0.08 /\\ d < 0.6 +/- 0.1", reliability=0.95, steps=8, reuse="max_passes:3"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        part = flights.latest.split("half", train=0.1, test=0.9, seed=3).test
        pool = store.pools.seal("spring", part, label="late", plan=plan, baseline=[False] * part.num_rows)
    reserve = _reserve(store, plan=plan, hide=[], share=0.9)
    flights.append({**_rows(ROWS), "delay": [0] * ROWS})
    ids = reserve.features()["id"]
    with pytest.raises(UsageError) as caught:
        pool.rotate("summer", reserve, accept_drift=True)
    assert caught.value.code == "baseline-missing"
    truth = LABELS[np.asarray(ids) % ROWS]
    old = np.where(np.random.default_rng(1).random(len(truth)) < 0.3, ~truth, truth)
    new = pool.rotate("summer", reserve, baseline={"id": ids, "prediction": old}, accept_drift=True)
    asked = LABELS[np.asarray(new.features()["id"]) % ROWS]
    assert new.evaluate(asked.tolist()).passed
    metrics = {each.name: each.estimate for each in new.retire().models[0].metrics if each.of is None}
    assert metrics["accuracy"] == pytest.approx((old == truth).mean())


def test_rows_of_one_group_are_chosen_together(store, flights, pool):
    _reserve(store, group_by=["whose"])
    flights.append(_rows(ROWS))
    chosen = np.asarray(_sealed_ids(store, ROWS)) // 4
    assert len(chosen) == 4 * len(set(chosen.tolist())) > 0


def test_two_reserves_choose_otherwise(store, flights, pool):
    first = _reserve(store, "first")
    flights.append(_rows(ROWS))
    one = set(_sealed_ids(store, ROWS))
    _reserve(store, "second", share=0.5)
    flights.append(_rows(2 * ROWS))
    two = {each - ROWS for each in _sealed_ids(store, 2 * ROWS)}
    assert first.status().rows > len(one)
    assert one != two
    assert not one <= two - one  # the secret differs, so the shares are not nested by chance alone


def test_rows_without_a_label_are_passed_over(store, flights, reserve):
    flights.append(_rows(ROWS, late=pa.array(LABELS, mask=np.arange(ROWS) < 1_000)))
    assert min(reserve.features()["id"].to_pylist()) >= ROWS + 1_000


def test_a_commit_stands_though_nobody_could_seal_and_the_next_one_makes_good(store, flights, reserve, monkeypatch):
    def busy(*_, **__):
        raise reserve_module.RefusedError("busy")

    with monkeypatch.context() as patched:
        patched.setattr(reserve_module, "seal_cells", busy)
        assert flights.append(_rows(ROWS)).status == "published"
    assert reserve.status().rows == 0
    flights.append(_rows(2 * ROWS, 10))
    assert reserve.status().rows == len(_sealed_ids(store, ROWS)) > 400


@pytest.mark.parametrize("step", ["seals-copied", "seals-merged"])
def test_a_crash_in_the_middle_leaves_a_reserve_or_a_pool(folder, store, flights, pool, reserve, step):
    flights.append(_rows(ROWS))
    flights.append(_rows(2 * ROWS))

    def stop(name):
        if name == step:
            raise KeyboardInterrupt

    storage = open_storage(folder)
    with pytest.raises(KeyboardInterrupt):
        reserve_module.activate_reserve(
            replace(storage, on_step=stop),
            reserve.record,
            name="summer",
            plan=PLAN,
            predecessor=pool.record.id,
            actor="x",
        )
    storage.close()
    with foldstore.connect(folder, role="steward") as again:
        spring = again.pools.get("spring")
        new = spring.rotate("summer", again.pools.get_reserve("next"))
        assert new.record.num_rows == len(_sealed_ids(again, ROWS))
        assert again.verify().passed


@pytest.mark.parametrize("share", [0, 1.5, True, "a", -1])
def test_a_share_lies_between_0_and_1(store, flights, share):
    with pytest.raises(UsageError) as caught:
        _reserve(store, share=share)
    assert caught.value.code == "invalid-share"


def test_reserves_are_found_by_name_and_made_once(store, reserve):
    assert [each.name for each in store.pools.list_reserves()] == ["next"]
    assert repr(reserve) == f"<Reserve 'next': 0 of {PLAN.rows:,} rows>"
    with pytest.raises(AlreadyExistsError):
        _reserve(store)
    with pytest.raises(NotFoundError, match="no reserve 'nxt'"):
        store.pools.get_reserve("nxt")
    with pytest.raises(NotFoundError, match="no dataset"):
        store.pools.reserve("more", "fights", label="late", plan=PLAN, share=0.1)
