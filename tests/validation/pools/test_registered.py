"""Scores of one's own: what may be registered, how rows are scored without their labels, error rates, pools."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from foldstore.errors import UsageError
from foldstore.validation.pools import registered
from foldstore.validation.pools.condition import parse_condition
from foldstore.validation.pools.decide import decide
from foldstore.validation.pools.evidence import Evidence
from foldstore.validation.pools.plan import PoolPlan, plan_pool
from foldstore.validation.pools.predictions import ExpectedRows, align_scores, digest_predictions
from foldstore.validation.pools.registered import functions_for, register_score, score_rows


@pytest.fixture(autouse=True)
def _registry(monkeypatch):
    monkeypatch.setattr(registered, "_REGISTERED", {})


def near(predictions, labels):
    return 1 - np.minimum(np.abs(predictions.to_numpy() - labels.to_numpy()), 10) / 10


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("f1", {}, "cannot be called"),
        ("N", {}, "cannot be called"),
        ("a b", {}, "cannot be called"),
        (3, {}, "cannot be called"),
        ("gain", {"low": 1, "high": 1}, "Nothing lies"),
        ("gain", {"low": 0, "high": float("inf")}, "no bound"),
        ("gain", {"low": "0", "high": 1}, "no bound"),
        ("gain", {"function": "near"}, "cannot be called"),
    ],
)
def test_what_is_no_score_is_refused(name, options, words):
    with pytest.raises(UsageError, match=words) as caught:
        register_score(name, **{"low": 0, "high": 1, **options})
    assert caught.value.code == "invalid-score"


def test_a_condition_names_only_what_is_registered_and_a_plan_keeps_its_bounds():
    with pytest.raises(UsageError, match="no metric"):
        parse_condition("near(n) > 0.5")
    register_score("near", near, low=0, high=1)
    assert (
        str(parse_condition("2*near(n) - 2*near(o, ) > .1 +/- .1".replace(", )", ")")))
        == "near(n) - near(o) > 0.05 +/- 0.05"
    )
    plan = plan_pool("near(n, x > 1) - 0.5*near(o, x > 1) > 0.3 +/- 0.1", reliability=0.9, steps=2)
    registered._REGISTERED.clear()
    assert PoolPlan.from_dict(plan.to_dict()) == plan
    with pytest.raises(UsageError, match="not registered here") as caught:
        functions_for(plan.condition.registered)
    assert caught.value.code == "score-not-registered"
    register_score("near", near, low=0, high=2)
    with pytest.raises(UsageError, match="with these bounds"):
        functions_for(plan.condition.registered)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("near(n) > 1", "never holds"),
        ("near(n) - near(o) > -1.5", "always holds"),
        ("near(n) + n > 1", "not mixed"),
        ("near(n) / near(o) > 1", "no place in a ratio"),
        ("near(n = 3) > 0.5", "has no class"),
        ("cost(o) > 0.5", "none of the old model"),
    ],
)
def test_what_cannot_be_asked_of_a_score_is_refused(text, words):
    register_score("near", near, low=0, high=1)
    register_score("cost", low=0, high=1)
    with pytest.raises(UsageError, match=words) as caught:
        parse_condition(text)
    assert caught.value.code == "invalid-condition"


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=40))
def test_rows_are_scored_as_one_by_one(drawn):
    labels, new, old = (np.array(column) for column in zip(*drawn, strict=True))
    register_score("near", near, low=0, high=1)
    score = parse_condition("near(n) - 0.5*near(o) > 0").clauses[0].score
    evidence = Evidence(labels=pa.array(labels), new=pa.array(new), old=pa.array(old), functions={"near": near})
    total, rows = evidence.tally(score)
    by_hand = 2 * (1 - np.minimum(abs(new - labels), 10) / 10) - (1 - np.minimum(abs(old - labels), 10) / 10)
    low, high = map(float, score.range)
    assert (low, high) == (-1, 2)
    assert rows == len(drawn)
    assert total / 2**20 * 3 - rows == pytest.approx(by_hand.sum(), abs=rows * 3e-6)


def test_a_function_sees_pairs_of_values_and_classes_and_no_row():
    seen = []

    def spy(predictions, labels):
        seen.append((predictions.to_pylist(), labels.to_pylist()))
        return np.zeros(len(predictions))

    template = register_score("spied", spy, low=0, high=1).template
    for labels in (["a", "b", "a", "c"], ["c", "b", "a", "a"]):
        score_rows(spy, template, pa.array(["b", "b", "a", "a"]), pa.array(labels))
    assert seen[0] == seen[1] == (["b", "b", "b", "a", "a", "a"], ["a", "b", "c"] * 2)


@pytest.mark.parametrize("answer", [[0.5], [0.5, float("nan")], [0.5, 1.5], ["a", "b"], None, [[0.5, 0.5]]])
def test_an_answer_that_is_no_score_fails_the_submission(answer):
    register_score("near", lambda _, __: answer, low=0, high=1)
    template = parse_condition("near(n) > 0.5").clauses[0].score
    with pytest.raises(UsageError, match="near"):
        score_rows(lambda _, __: answer, template, pa.array([True]), pa.array([True, False]))


def test_scores_that_come_with_predictions_are_aligned_and_part_of_what_was_submitted():
    cost = register_score("cost", low=0, high=5).template
    rows = ExpectedRows(label_type=pa.bool_(), keys=pa.table({"id": [7, 8]}), num_rows=2)
    found = align_scores({"id": [8, 7], "prediction": [True, True], "cost": [1, 2]}, rows, [cost])
    assert found["cost"].tolist() == [2.0, 1.0]
    for wrong in ([1.0, None], [1.0, 6.0], ["a", "b"]):
        with pytest.raises(UsageError, match="cost") as caught:
            align_scores({"id": [8, 7], "cost": wrong}, rows, [cost])
        assert caught.value.code == "invalid-score"
    for missing in ({"id": [8, 7]}, [True, False]):
        with pytest.raises(UsageError, match="cost"):
            align_scores(missing, rows, [cost])
    aligned, order, identity = pa.array([True, True]), np.array([0, 1]), np.array([3, 4], np.uint64)
    digests = {
        digest_predictions(aligned, order, identity, each) for each in (None, found, {"cost": np.array([2.0, 1.5])})
    }
    assert len(digests) == 3


@pytest.mark.parametrize("law", [stats.beta(0.8, 0.2), stats.bernoulli(0.8), stats.uniform(0.6, 0.4)])
@pytest.mark.parametrize("sense", [">", "<"])
def test_a_mean_on_the_bound_passes_no_more_often_than_the_level(law, sense):
    register_score("cost", low=0, high=1)
    plan = plan_pool(f"cost(n) {sense} 0.8 +/- 0.06", reliability=0.9, steps=1)
    draw, runs = np.random.default_rng(17), 1500
    new = pa.nulls(plan.rows)
    passed = sum(
        decide(plan, Evidence(labels=None, new=new, given={"cost": law.rvs(plan.rows, random_state=draw)}))
        for _ in range(runs)
    )
    assert passed / runs <= 0.1 + 4 * np.sqrt(0.09 / runs)


def test_a_mean_beyond_twice_the_tolerance_fails_no_more_often_than_the_level():
    register_score("cost", low=-1, high=1)
    plan = plan_pool("cost(n) > 0.5 +/- 0.1", reliability=0.9, steps=1)
    draw, runs = np.random.default_rng(19), 1500
    new = pa.nulls(plan.rows)
    # The worst law: the ends of the range alone.
    values = (2.0 * (draw.random((runs, plan.rows)) < 0.85) - 1.0 for _ in range(1))
    passed = sum(decide(plan, Evidence(labels=None, new=new, given={"cost": row})) for row in next(values))
    assert passed / runs >= 0.9 - 4 * np.sqrt(0.09 / runs)


def test_functions_of_arrow_arrays_serve_too():
    template = register_score("same", pc.equal, low=0, high=1).template
    labels, new = pa.array(["a", "b", "a"]), pa.array(["a", "a", "b"])
    assert score_rows(pc.equal, template, new, labels).tolist() == [1.0, 0.0, 0.0]
