"""A meter counts uses and compares what was measured; it promises nothing."""

import warnings
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import foldstore
from foldstore.errors import RefusedError, UsageError
from foldstore.validation.pools.decide import Counts
from foldstore.validation.pools.evidence import Evidence
from foldstore.validation.pools.meter import Meter, meter_pool

ROWS = 400
LABELS = np.arange(ROWS) % 4 == 0


@pytest.fixture
def pool(store):
    tasks = store.create_dataset("tasks", key=["id"])
    split = tasks.append({"id": list(range(ROWS)), "y": LABELS}).split("half", train=0.5, test=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return store.pools.seal("late", split.test, label="y", plan=meter_pool("n > 0.7", uses=2))


def _right(pool, wrong):
    """Predictions of which so many are wrong."""
    labels = LABELS[np.asarray(pool.features()["id"])]
    return [bool(value) != (place < wrong) for place, value in enumerate(labels)]


def test_a_pool_of_any_size_answers_as_often_as_it_was_metered(pool):
    rows = pool.record.num_rows
    assert pool.evaluate(_right(pool, 0)).passed
    assert not pool.evaluate(_right(pool, 0)).charged
    assert pool.evaluate(_right(pool, rows // 2)).passed is False
    with pytest.raises(RefusedError) as caught:
        pool.evaluate(_right(pool, 1))
    assert caught.value.code == "pool-spent"
    assert str(pool.status().state) == "exhausted"


def test_what_was_measured_is_compared_as_it_is(pool):
    rows = pool.record.num_rows
    most = int(rows * 0.3) - (rows * 3 % 10 == 0)  # wrong rows with which n is still above 0.7
    assert pool.evaluate(_right(pool, most)).passed
    assert pool.evaluate(_right(pool, most + 1)).passed is False


def test_a_meter_is_kept_and_read_again(folder, pool):
    with foldstore.connect(folder, role="steward") as store:
        again = store.pools.get("late")
        assert again.record.plan == meter_pool("n > 0.7", uses=2)
        assert isinstance(again.record.plan, Meter)
        again.evaluate(_right(again, 0))
        assert again.retire().models[0].metrics[0].estimate == 1.0
        assert store.sql("SELECT steps, reliability FROM foldstore.pools").rows() == [(2, 0.0)]


@given(rows=st.integers(1, 500), data=st.data())
def test_a_meter_passes_where_its_rule_says(rows, data):
    correct = data.draw(st.integers(0, rows))
    meter = meter_pool(f"n > {data.draw(st.integers(0, 99))}/100".replace("/100", "e-2"), uses=3)
    (rule,) = meter.pass_rules(rows)
    assert meter.holds(Counts(rows=rows, correct_new=correct)) == (correct >= rule.at_least)
    assert Fraction(rule.at_least - 1, rows) <= meter.condition.clauses[0].bound < Fraction(rule.at_least, rows)


def test_f1_is_compared_as_f1():
    labels = pa.array([True] * 8 + [False] * 12)
    said = pa.array([True] * 6 + [False] * 2 + [True] * 2 + [False] * 10)  # TP 6, FP 2, FN 2: F1 = .75
    evidence = Evidence(labels=labels, new=said)
    assert meter_pool("f1(n) > 0.74", uses=1).holds(evidence)
    assert not meter_pool("f1(n) > 0.75", uses=1).holds(evidence)
    assert meter_pool("f1(n) < 0.76", uses=1).holds(evidence)


@pytest.mark.parametrize(
    ("condition", "uses", "code"),
    [
        ("n > 0.8 +/- 0.1", 3, "invalid-condition"),
        ("n > 1.5", 3, "invalid-condition"),
        ("n >", 3, "invalid-condition"),
        ("n > 0.8", 0, "invalid-steps"),
        ("n > 0.8", True, "invalid-steps"),
    ],
)
def test_what_no_meter_can_count_is_refused(condition, uses, code):
    with pytest.raises(UsageError) as caught:
        meter_pool(condition, uses=uses)
    assert caught.value.code == code
