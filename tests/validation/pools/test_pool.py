"""The life of a pool: sealed, asked, refused; what it costs and what it never says."""

import json
import os
import sqlite3
import warnings
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import foldstore
from foldstore.datastore.sealing import open_companion
from foldstore.datastore.storage import open_storage
from foldstore.errors import (
    AlreadyExistsError,
    ColumnNotFoundError,
    ConflictError,
    NotFoundError,
    RefusedError,
    UsageError,
)
from foldstore.validation.pools import pool_seal, registered, submission
from foldstore.validation.pools.budget import Budget
from foldstore.validation.pools.decide import decide
from foldstore.validation.pools.labelling import pool_rows_to_label
from foldstore.validation.pools.ledger import Ledger
from foldstore.validation.pools.plan import plan_pool
from foldstore.validation.pools.pool import find_pool, get_pool, list_pools
from foldstore.validation.pools.pool_rows import pool_features
from foldstore.validation.pools.pool_seal import PoolRequest, RowOrderWarning, seal_pool
from foldstore.validation.pools.pool_status import pool_status
from foldstore.validation.pools.submission import evaluate
from tests import killing

ROWS = 2_000
GENERATOR = np.random.default_rng(1)
LABELS = GENERATOR.random(ROWS) < 0.4
OLD = np.where(GENERATOR.random(ROWS) < 0.25, ~LABELS, LABELS)
NEW = np.where(GENERATOR.random(ROWS) < 0.02, ~LABELS, LABELS)
PLAN = plan_pool("n - o > 0 +/- 0.08 /\\ d < 0.6 +/- 0.1", reliability=0.95, steps=8, reuse="max_passes:2")
SIZE = 1_500
EVALUATOR = """
import pyarrow as pa
import pyarrow.compute as pc
from foldstore.validation.pools.pool import get_pool
from foldstore.validation.pools.submission import evaluate

table = pa.ipc.open_file(predictions).read_all()
print(evaluate(storage, get_pool(storage, "late"), table).passed)
"""


def _rows(first=0):
    moments = pa.array(
        [1_700_000_000_000_000 + (first + i) * 60_000_000 for i in range(ROWS)], pa.timestamp("us", "UTC")
    )
    minutes = pa.array(np.where(LABELS, 40, 3) + np.arange(ROWS) % 7)
    return {"id": list(range(first, first + ROWS)), "at": moments, "delay": minutes, "x": np.arange(ROWS) * 0.5}


@pytest.fixture
def flights(store):
    assert PLAN.rows <= SIZE
    dataset = store.create_dataset("flights", key=["id"], event_time="at")
    dataset.append(_rows())
    dataset.add_columns({"late": "delay > 15"})
    dataset.add_columns({"very": "late AND delay > 100"})
    return dataset


@pytest.fixture
def storage(folder, flights):
    opened = open_storage(folder)
    yield opened
    opened.close()


MASKS = {1: np.arange(ROWS) < SIZE}


def _seal(storage, rows=MASKS, name="late", **changes):
    request = PoolRequest(**{"name": name, "label": "late", "plan": PLAN, "baseline": OLD[:SIZE], **changes})
    return seal_pool(storage, storage.catalog.find_dataset("flights"), rows, request, actor="steward")


@pytest.fixture
def pool(storage):
    return _seal(storage)


def _predict(values=NEW):
    return {"id": list(range(SIZE)), "prediction": values[:SIZE].tolist()}


def _other(flip):
    changed = NEW.copy()
    changed[:flip] = ~changed[:flip]
    return _predict(changed)


def test_sealing_hides_what_the_label_comes_from_and_what_comes_from_it(folder, pool):
    assert pool.hidden == ("delay", "late", "very")
    with foldstore.connect(folder) as fresh:
        for number in (1, 2, 3):
            version = fresh.dataset("flights").version(number)
            for name in set(pool.hidden) & set(version.arrow_schema.names):
                assert version.to_arrow([name])[name].null_count == SIZE
        assert fresh.sql("SELECT count(late), count(delay), count(x) FROM flights").rows() == [
            (ROWS - SIZE, ROWS - SIZE, ROWS)
        ]
        assert fresh.verify().passed


def test_what_only_another_version_computes_from_the_label_is_hidden_there_too(folder, store):
    dataset = store.create_dataset("flights", key=["id"], event_time="at")
    dataset.append({**_rows(), "late": LABELS})
    dataset.add_columns({"copy": "delay + 0", "punctual": "NOT late"})
    storage = open_storage(folder)
    record = storage.catalog.find_dataset("flights")
    request = PoolRequest(name="p", label="late", plan=PLAN, baseline=OLD[:SIZE], hide=["delay"])
    first = storage.catalog.list_versions(record.id)[0]
    assert seal_pool(storage, record, MASKS, request, version=first).hidden == ("copy", "delay", "late", "punctual")
    with foldstore.connect(folder) as fresh:
        newest = fresh.dataset("flights").version(2).to_arrow()
        assert {newest[name].null_count for name in ("copy", "delay", "late", "punctual")} == {SIZE}
    storage.close()


def test_features_come_in_a_secret_order_without_hidden_columns(storage, pool):
    features = pool_features(storage, pool)
    assert features.column_names == ["pool_row", "id", "at", "x"]
    ids = features["id"].to_pylist()
    assert ids != sorted(ids)
    assert sorted(ids) == list(range(SIZE))
    assert features["x"].to_pylist() == [i * 0.5 for i in ids]
    assert len(set(features["pool_row"].to_pylist())) == SIZE
    assert features.equals(pool_features(storage, get_pool(storage, "late")))


def test_no_buffer_of_the_features_is_a_piece_of_the_sealed_file(storage, pool):
    labels = open_companion(storage, pool.id, "pool")["label"].chunk(0).buffers()[1].to_pybytes()
    held = [buffer for column in pool_features(storage, pool) for chunk in column.chunks for buffer in chunk.buffers()]
    for buffer in filter(None, held):
        whole = buffer
        while whole.parent is not None:  # a slice keeps what it is a part of
            whole = whole.parent
        assert labels not in whole.to_pybytes()


def test_predictions_by_key_by_pool_row_and_by_order_are_one_submission(storage, pool):
    first = evaluate(storage, pool, _predict())
    features = pool_features(storage, pool)
    in_order = NEW[features["id"].to_numpy()]
    second = evaluate(storage, pool, {"pool_row": features["pool_row"], "prediction": in_order})
    third = evaluate(storage, pool, in_order, model="another name")
    assert (first.passed, first.charged) == (True, True)
    assert [(v.passed, v.charged) for v in (second, third)] == [(True, False)] * 2
    assert pool_status(storage, pool).steps_used == 1


def test_a_worse_model_fails_and_pays(storage, pool):
    verdict = evaluate(storage, pool, _predict(OLD))
    assert (verdict.passed, verdict.charged) == (False, True)
    assert pool_status(storage, pool).steps_left == 7


def test_a_pool_is_spent_after_its_passes_and_old_answers_stay_free(storage, pool):
    assert evaluate(storage, pool, _other(1)).passed
    assert evaluate(storage, pool, _other(2)).passed
    with pytest.raises(RefusedError, match="all 2 passes") as caught:
        evaluate(storage, pool, _other(3))
    assert (caught.value.code, caught.value.exit_code) == ("pool-spent", 4)
    assert evaluate(storage, pool, _other(1)).passed
    status = pool_status(storage, pool)
    assert (status.spent, status.steps_used, status.passes_left) == (True, 2, 0)


def test_a_pool_is_spent_after_its_steps(storage):
    plan = replace(PLAN, steps=2)
    pool = _seal(storage, plan=plan)
    for flip in (1, 2):
        worse = OLD.copy()
        worse[:flip] = ~worse[:flip]
        assert evaluate(storage, pool, _predict(worse)).passed is False
    with pytest.raises(RefusedError, match="all 2 steps"):
        evaluate(storage, pool, _predict())


@pytest.mark.parametrize(
    "wrong",
    [
        [True],
        {"id": list(range(SIZE)), "prediction": [0.5] * SIZE},
        {"id": [0] * SIZE, "prediction": [True] * SIZE},
        {"id": list(range(1, SIZE + 1)), "prediction": [True] * SIZE},
        {"id": list(range(SIZE)), "prediction": [None] * SIZE},
        "nonsense",
    ],
)
def test_bad_predictions_cost_nothing(storage, pool, wrong):
    with pytest.raises(UsageError) as caught:
        evaluate(storage, pool, wrong)
    assert caught.value.code == "invalid-predictions"
    assert pool_status(storage, pool).steps_used == 0
    assert Ledger(storage, pool.id).read().length == 1


@pytest.mark.parametrize("step", ["pool-charged", "pool-decided", "pool-answered"])
def test_a_crash_costs_the_charge_and_the_same_predictions_get_their_answer(folder, storage, pool, tmp_path, step):
    path = tmp_path / "predictions.arrow"
    table = pa.table(_predict())
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
    killing.assert_killed(killing.run(EVALUATOR, folder, step, predictions=str(path)))
    status = pool_status(storage, pool)
    assert (status.steps_used, status.pending) == (1, 0 if step == "pool-answered" else 1)
    verdict = evaluate(storage, pool, table)
    assert (verdict.passed, verdict.charged) == (True, False)
    status = pool_status(storage, pool)
    assert (status.steps_used, status.passes_left, status.pending) == (1, 1, 0)


def test_an_unanswered_charge_may_be_the_last_pass(storage, pool):
    assert evaluate(storage, pool, _other(1)).passed
    Ledger(storage, pool.id).charge("lost", model="m", actor="x", price=lambda _: -9.0)
    with pytest.raises(RefusedError) as caught:
        evaluate(storage, pool, _other(2))
    assert caught.value.code == "pool-pending"


@pytest.mark.parametrize("step", ["seal-begun", "seal-copied", "seal-linked", "seal-flipped", "seal-recorded"])
def test_a_pool_whose_sealing_stops_is_there_or_can_be_sealed_again(folder, storage, step):
    class StoppedError(Exception):
        pass

    def stop(name):
        if name == step:
            raise StoppedError

    with pytest.raises(StoppedError):
        _seal(replace(storage, on_step=stop))
    with foldstore.connect(folder):
        pass  # finishes what was begun
    if step in ("seal-flipped", "seal-recorded"):
        assert evaluate(storage, get_pool(storage, "late"), _predict()).passed
    else:
        assert find_pool(storage, "late") is None
        assert evaluate(storage, _seal(storage), _predict()).passed
    assert [found.name for found in list_pools(storage)] == ["late"]


def test_rows_of_a_pool_cannot_be_sealed_again_under_another_name_or_label(folder, storage, pool):
    evaluate(storage, pool, _predict(OLD))
    with foldstore.connect(folder) as fresh:
        fresh.dataset("flights").add_columns({"odd": "id % 2 = 1"})
    overlapping = {1: np.arange(ROWS) >= ROWS - SIZE}
    with pytest.raises(
        RefusedError, match=r"1,000 of these rows are in the pool 'late', which has answered 1"
    ) as caught:
        _seal(storage, rows=overlapping, name="again", label="odd", baseline=OLD[:SIZE])
    assert caught.value.code == "pool-overlap"


@pytest.mark.parametrize(("name", "error"), [("second", RefusedError), ("late", AlreadyExistsError)])
def test_of_two_pools_that_are_sealed_at_once_over_the_same_rows_one_is_refused(storage, monkeypatch, name, error):
    measure, others = pool_seal.measure_row_order, ["late"]

    def seal_first(labels, moments):
        if others:  # between the first look at other pools and the sealing
            _seal(storage, name=others.pop())
        return measure(labels, moments)

    monkeypatch.setattr(pool_seal, "measure_row_order", seal_first)
    with pytest.raises(error):
        _seal(storage, name=name)
    assert [pool.name for pool in list_pools(storage)] == ["late"]
    assert evaluate(storage, get_pool(storage, "late"), _predict()).passed


def test_a_column_derived_while_a_pool_is_sealed_ends_the_sealing(folder, storage, monkeypatch):
    measure = pool_seal.measure_row_order

    def derive(labels, moments):
        with foldstore.connect(folder) as fresh:
            fresh.dataset("flights").add_columns({"punctual": "NOT late"})
        return measure(labels, moments)

    monkeypatch.setattr(pool_seal, "measure_row_order", derive)
    with pytest.raises(ConflictError):
        _seal(storage)
    monkeypatch.undo()
    assert "punctual" in _seal(storage).hidden


def test_a_copy_of_the_dataset_does_not_reset_the_budget(folder, storage, flights):
    copied = {**_rows(), "late": LABELS}
    with foldstore.connect(folder) as fresh:
        fresh.create_dataset("copy", key=["id"]).append({**copied, "delay": copied["delay"]})
    _seal(storage)
    request = PoolRequest(name="copied", label="late", plan=PLAN, baseline=OLD[:SIZE], hide=["delay"])
    with pytest.raises(RefusedError) as caught:
        seal_pool(storage, storage.catalog.find_dataset("copy"), MASKS, request)
    assert caught.value.code == "pool-overlap"


def test_rows_without_a_key_that_were_appended_twice_are_one_pool(folder, store):
    dataset = store.create_dataset("keyless")
    rows = pa.table({**_rows(), "late": LABELS, "odd": np.arange(ROWS) % 2 == 1})
    dataset.append(rows)
    dataset.append(rows.take(pa.array(np.arange(ROWS)[::-1])))
    storage = open_storage(folder)
    record = storage.catalog.find_dataset("keyless")
    request = PoolRequest(name="p", label="late", plan=PLAN, baseline=OLD[:SIZE], hide=["delay"])
    assert seal_pool(storage, record, MASKS, request).num_rows == SIZE
    with foldstore.connect(folder) as fresh:
        assert fresh.sql("SELECT count(late), count(odd) FROM keyless").rows() == [(2 * (ROWS - SIZE), 2 * ROWS)]
    copies = {2: MASKS[1][::-1]}
    with pytest.raises(RefusedError) as caught:
        seal_pool(storage, record, copies, replace(request, name="q", label="odd"))
    assert caught.value.code == "pool-overlap"
    storage.close()


def test_a_pool_too_small_for_its_plan_says_what_it_could_support(storage):
    few = {1: np.arange(ROWS) < 100}
    with pytest.raises(RefusedError, match="the pool has 100") as caught:
        _seal(storage, rows=few, baseline=OLD[:100])
    assert caught.value.code == "pool-too-small"
    assert "would support" in caught.value.hint
    assert list_pools(storage) == []


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"label": "latte"}, ColumnNotFoundError, "latte"),
        ({"hide": ["nothing"]}, ColumnNotFoundError, "nothing"),
        ({"hide": "delay"}, UsageError, "not a list"),
        ({"hide": ["id"]}, UsageError, "'id' is needed"),
        ({"hide": ["at"]}, UsageError, "'at' is needed"),
        ({"label": "x"}, UsageError, "needs classes"),
        ({"baseline": None}, UsageError, "no predictions of one"),
        ({"baseline": [True]}, UsageError, "1 baseline predictions"),
        ({"name": "A pool"}, UsageError, "A pool"),
    ],
)
def test_a_request_that_cannot_be_met_seals_nothing(folder, storage, changes, error, message):
    with pytest.raises(error, match=message):
        _seal(storage, **changes)
    assert not (folder / "sealed").exists()


def test_labels_that_are_null_or_sealed_are_refused(storage, pool):
    with pytest.raises(UsageError, match="null in 1,500 of 1,500") as caught:
        _seal(storage, name="again")
    assert caught.value.code == "invalid-label"
    with pytest.raises(AlreadyExistsError):
        _seal(storage)
    with pytest.raises(NotFoundError, match="late"):
        get_pool(storage, "latte")


def test_a_row_order_that_tells_labels_is_measured_and_warned_about(folder, storage):
    ordered = np.sort(LABELS)
    with foldstore.connect(folder) as fresh:
        dataset = fresh.create_dataset("ordered", key=["id"])
        dataset.append({"id": list(range(ROWS)), "late": ordered, "x": list(range(ROWS))})
    request = PoolRequest(name="p", label="late", plan=PLAN, baseline=ordered)
    with pytest.warns(RowOrderWarning, match=r"AUC of 1\.00"):
        seal_pool(storage, storage.catalog.find_dataset("ordered"), {1: np.ones(ROWS, bool)}, request)


def test_a_row_order_that_tells_nothing_is_not_warned_about(storage):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RowOrderWarning)
        assert _seal(storage).name == "late"


def test_a_status_says_nothing_of_accuracies(storage, pool):
    evaluate(storage, pool, _predict())
    said = pool_status(storage, pool).to_dict()
    counts = {"num_rows", "steps_used", "steps_left", "passes_left", "pending", "spent", "draws"}
    assert set(said) == {"name", "state", "baseline", "expires_at", "plan", *counts}
    bodies = " ".join(entry.body for entry in storage.journal.list_entries(f"pool/{pool.id}"))
    assert "correct" not in bodies.replace("correct_new", "").replace("wins - losses", "")


def test_reports_forget_what_they_said_of_sealed_columns(folder, store):
    dataset = store.create_dataset("flights", key=["id"], event_time="at")
    dataset.append(_rows())
    dataset.add_columns({"late": "delay > 15"})
    dataset.set_schema(dataset.latest.profile().infer_schema())
    bad = {**_rows(first=ROWS), "delay": pa.array(np.where(np.arange(ROWS) == 7, 987_654, 20))}
    assert dataset.append(bad).status == "quarantined"
    storage = open_storage(folder)
    said = [anomaly for report in _reports(folder) for anomaly in report["anomalies"] if anomaly["column"] == "delay"]
    assert any(anomaly["evidence"] for anomaly in said)
    _seal(storage)
    (report,) = _reports(folder)
    left = [anomaly for anomaly in report["anomalies"] if anomaly["column"] == "delay"]
    assert [anomaly["code"] for anomaly in left] == [anomaly["code"] for anomaly in said]
    assert not any(anomaly["evidence"] or anomaly["example_rows"] or anomaly["observed"] for anomaly in left)
    assert not {"delay", "late"} & set(report["drift"]["columns"])
    with foldstore.connect(folder) as fresh:
        assert fresh.dataset("flights").version(3).report.passed is False


def test_schemas_forget_what_they_learned_from_sealed_columns_and_still_gate(folder, store):
    dataset = store.create_dataset("flights", key=["id"], event_time="at")
    dataset.append({**_rows(), "delay": pa.array(np.where(np.arange(ROWS) == 7, 987_654, 20)), "late": LABELS})
    dataset.set_schema(dataset.latest.profile().infer_schema())
    before = dataset.schema.to_dict()["columns"]
    assert "987654" in json.dumps(before["delay"])
    storage = open_storage(folder)
    _seal(storage, hide=["delay"])
    storage.close()
    with foldstore.connect(folder) as fresh:
        flights = fresh.dataset("flights")
        after = flights.schema.to_dict()["columns"]
        assert after["x"] == before["x"]
        for name in ("delay", "late"):
            assert not {"evidence", "domain", "drift", "grid", "reference"} & set(after[name])
        assert b"987654" not in (folder / "catalog.db").read_bytes()
        good = {**_rows(first=ROWS), "late": LABELS}
        assert flights.append({**good, "x": pa.nulls(ROWS, pa.float64())}).status == "quarantined"
        assert flights.append({**good, "late": pa.nulls(ROWS, pa.bool_())}).status == "quarantined"
        assert fresh.verify().passed


def _reports(folder):
    connection = sqlite3.connect(folder / "catalog.db")
    found = [json.loads(row[0]) for row in connection.execute("SELECT body FROM document WHERE kind = 'report'")]
    connection.close()
    return found


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_what_a_pool_keeps_is_for_its_owner_alone(folder, pool):
    for file in (folder / "sealed" / pool.id).iterdir():
        assert oct(file.stat().st_mode & 0o777) == "0o400"


def test_an_answer_of_a_universal_pool_is_tested_at_the_level_of_its_own_history(storage, monkeypatch):
    plan = plan_pool("n > 0.7 +/- 0.1", reliability=0.95, steps=4, reuse="universal:2")
    pool = _seal(storage, plan=plan, baseline=None)
    tested = []

    def watch(plan, counts, *, log_level=None):
        tested.append(log_level)
        return decide(plan, counts, log_level=log_level)

    monkeypatch.setattr(submission, "decide", watch)
    answers = [evaluate(storage, pool, _other(flip)).passed for flip in (1, 1_400, 2)]
    budgets = [Budget.replay(plan, answers[:n]) for n in range(3)]
    assert answers == [True, False, True]
    assert tested == [budget.log_level for budget in budgets]
    assert len(set(tested)) == 3
    assert pool_status(storage, pool).steps_left == Budget.replay(plan, answers).steps_left


def test_a_universal_pool_ends_where_its_rows_support_no_more(storage):
    plan = plan_pool("n > 0.7 +/- 0.1", reliability=0.95, steps=2, reuse="universal:1")
    pool = _seal(storage, plan=plan, baseline=None)
    for flip in range(1, 100):
        if pool_status(storage, pool).spent:
            break
        assert evaluate(storage, pool, _other(flip)).passed
    with pytest.raises(RefusedError, match=f"support no answer after {flip - 1}") as caught:
        evaluate(storage, pool, _other(150))
    assert caught.value.code == "pool-spent"
    assert evaluate(storage, pool, _other(1)).charged is False


def test_a_pool_answers_for_a_class_and_a_slice(storage):
    text = "recall(n) > 0.7 +/- 0.1 /\\ n[x < 300] - o[x < 300] > 0 +/- 0.15 /\\ precision(n, x >= 10) > 0.7 +/- 0.1"
    plan = plan_pool(text, reliability=0.95, steps=4, reuse="max_passes:2")
    pool = _seal(storage, plan=plan)
    assert evaluate(storage, pool, _predict()).passed is True
    # As accurate as before in other slices, but no better than the old model where x < 300.
    assert evaluate(storage, pool, _predict(np.where(np.arange(ROWS) < 600, OLD, NEW))).passed is False
    with pytest.raises(RefusedError, match="the new model calls true, with x >= 10; there are 0") as caught:
        evaluate(storage, pool, _predict(np.zeros(ROWS, bool)))
    assert caught.value.code == "too-few-rows"
    assert pool_status(storage, pool).steps_used == 2


@pytest.mark.parametrize(
    ("text", "words", "code"),
    [
        ("n[delay > 3] > 0.7 +/- 0.1", "no column 'delay' that stays readable", "invalid-condition"),
        ("f1(n = 'late') > 0.7 +/- 0.1", "none of its classes", "invalid-condition"),
        ("n[x < 3] > 0.7 +/- 0.1", "rows with x < 3; there are 6", "too-few-rows"),
        ("recall(n, x < 30) > 0.7 +/- 0.1", "rows that are true, with x < 30; there are", "too-few-rows"),
    ],
)
def test_a_condition_that_the_rows_cannot_answer_seals_nothing(storage, text, words, code):
    plan = plan_pool(text, reliability=0.95, steps=4)
    with pytest.raises((UsageError, RefusedError), match=words) as caught:
        _seal(storage, plan=plan)
    assert caught.value.code == code
    assert list_pools(storage) == []


def test_a_pool_answers_for_registered_scores(storage, monkeypatch):
    monkeypatch.setattr(registered, "_REGISTERED", {})
    registered.register_score("right", pc.equal, low=0, high=1)
    registered.register_score("cost", low=0, high=1)
    plan = plan_pool("right(n) - right(o) > 0 +/- 0.1 /\\ cost(n) < 0.5 +/- 0.1", reliability=0.9, steps=4)
    pool = _seal(storage, plan=plan)
    cheap, dear = ({**_predict(), "cost": np.full(SIZE, each)} for each in (0.2, 0.9))
    assert evaluate(storage, pool, cheap).passed is True
    assert evaluate(storage, pool, dear).passed is False
    assert not evaluate(storage, pool, cheap).charged
    assert evaluate(storage, pool, {**_predict(OLD), "cost": cheap["cost"]}).passed is False
    with pytest.raises(UsageError, match="no column 'cost'"):
        evaluate(storage, pool, _predict())
    registered._REGISTERED.clear()
    with pytest.raises(UsageError, match="not registered here"):
        evaluate(storage, pool, {**_predict(), "cost": np.full(SIZE, 0.3)})
    assert pool_status(storage, pool).steps_used == 3


def test_a_pool_by_betting_answers_by_the_order_of_its_rows(storage):
    plan = plan_pool("n > 0.75 +/- 0.05", reliability=0.95, steps=4, method="betting")
    pool = _seal(storage, plan=plan)
    assert get_pool(storage, "late").plan == plan
    assert evaluate(storage, pool, _predict()).passed is True
    assert evaluate(storage, pool, _predict(~NEW)).passed is False
    assert not evaluate(storage, pool, _predict()).charged


def test_a_pool_says_which_rows_an_answer_rests_on_without_a_charge(storage, pool):
    found = pool_rows_to_label(storage, pool, _predict())
    differing = [place for place in range(SIZE) if NEW[place] != OLD[place]]
    assert found.column_names == ["pool_row", "id"]
    assert sorted(found["id"].to_pylist()) == differing
    features = pool_features(storage, pool)
    places = dict(zip(features["id"].to_pylist(), features["pool_row"].to_pylist(), strict=True))
    assert [places[each] for each in found["id"].to_pylist()] == found["pool_row"].to_pylist()
    assert pool_status(storage, pool).steps_used == 0
    with pytest.raises(UsageError, match="predictions"):
        pool_rows_to_label(storage, pool, [True])
