"""Metrics of a class and of a slice: counted row by row as by hand, and their error rates at the boundary."""

from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.errors import RefusedError, UsageError
from foldstore.validation.pools.condition import parse_condition
from foldstore.validation.pools.decide import Counts, Tally, decide
from foldstore.validation.pools.evidence import Evidence, check_subject, require_classes
from foldstore.validation.pools.plan import PoolPlan, plan_pool

rows = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from("abc"),
        st.sampled_from("abc"),
        st.one_of(st.none(), st.integers(-2, 2)),
        st.one_of(st.none(), st.sampled_from(["UA", "AA"])),
    ),
    min_size=1,
    max_size=30,
)


def gather(drawn):
    labels, new, old, x, carrier = (list(column) for column in zip(*drawn, strict=True))
    return Evidence(
        labels=pa.array(labels),
        new=pa.array(new),
        old=pa.array(old),
        columns={"x": pa.array(x, pa.int32()), "carrier": pa.array(carrier).dictionary_encode()},
    )


def score_of(text):
    return parse_condition(text).clauses[0].score


@given(rows)
def test_every_metric_counts_as_by_hand(drawn):
    evidence = gather(drawn)
    expected = {
        "n > .5": [y == n for y, n, *_ in drawn],
        "2*n - 3*o + d > .5": [2 * (y == n) - 3 * (y == o) + (n != o) for y, n, o, *_ in drawn],
        "n[x >= 0.5] > .5": [y == n for y, n, _, x, _ in drawn if x is not None and x >= 0.5],
        "n[x != 1, carrier = 'UA'] > .5": [
            y == n for y, n, _, x, carrier in drawn if x is not None and x != 1 and carrier == "UA"
        ],
        "d[carrier != 'UA'] < .5": [n != o for _, n, o, _, carrier in drawn if carrier == "AA"],
        "precision(n = 'a') > .5": [y == "a" for y, n, *_ in drawn if n == "a"],
        "recall(o = 'b', x = 1) > .5": [o == "b" for y, _, o, x, _ in drawn if y == "b" and x == 1],
        "f1(n = 'c') > .5": [y == n for y, n, *_ in drawn if "c" in (y, n)],
    }
    for text, values in expected.items():
        assert evidence.tally(score_of(text)) == Tally(sum(values), len(values)), text


@given(rows)
def test_the_share_behind_f1_is_above_its_image_just_when_f1_is_above_its_bound(drawn):
    evidence = gather(drawn)
    score = score_of("f1(n = 'a') > .5")
    total, counted = evidence.tally(score)
    false = counted - total
    if counted:
        f1 = Fraction(2 * total, 2 * total + false)
        for bound in (Fraction(1, 3), Fraction(1, 2), Fraction(4, 5), Fraction(9, 10)):
            assert (f1 > bound) is (Fraction(total, counted) > score.image(bound))


def test_counts_of_n_o_and_d_decide_as_the_rows_do():
    draw = np.random.default_rng(7)
    plan = plan_pool("n - o > 0 +/- 0.05 /\\ d < 0.3 +/- 0.05 /\\ n > 0.6 +/- 0.05", reliability=0.95, steps=2)
    for _ in range(40):
        labels = draw.random(plan.rows) < 0.5
        new, old = (np.where(draw.random(plan.rows) < rate, labels, ~labels) for rate in draw.uniform(0.6, 0.9, 2))
        evidence = Evidence(labels=pa.array(labels), new=pa.array(new), old=pa.array(old))
        assert decide(plan, evidence) is decide(plan, Counts.of_predictions(labels=labels, new=new, old=old))


def test_nothing_is_declared_where_no_row_counts():
    labels = pa.array([False] * 3000)
    for mode, passes in (("fp-free", False), ("fn-free", True)):
        plan = plan_pool("precision(n) > 0.7 +/- 0.1", reliability=0.9, steps=1, mode=mode)
        assert decide(plan, Evidence(labels=labels, new=labels)) is passes


def test_a_slice_is_tested_with_the_difference_clause_of_the_same_slice_only():
    options = {"reliability": 0.99, "steps": 2, "reuse": "none"}
    own = plan_pool("n[a = 1] - o[a = 1] > 0 +/- 0.05 /\\ d[a = 1] < 0.1 +/- 0.05", **options)
    other = plan_pool("n[a = 1] - o[a = 1] > 0 +/- 0.05 /\\ d < 0.1 +/- 0.05", **options)
    assert own.clause_rows[0] < other.clause_rows[0] / 4


class TestPlans:
    def test_precision_takes_the_labels_of_an_accuracy_but_only_where_the_class_is_called(self):
        options = {"reliability": 0.999, "steps": 8, "reuse": "none"}
        accuracy = plan_pool("n > 0.8 +/- 0.05", **options)
        precision = plan_pool("precision(n) > 0.8 +/- 0.05", **options).at_prevalence(0.1)
        assert precision.labels == accuracy.labels
        assert 10 * accuracy.labels < precision.rows < 12 * accuracy.labels
        recall = plan_pool("recall(n) > 0.8 +/- 0.05", **options).at_prevalence(0.1)
        assert recall.labels == recall.rows == precision.rows

    def test_f1_is_planned_by_the_share_behind_it(self):
        plan = plan_pool("f1(n) > 0.8 +/- 0.05", reliability=0.999, steps=8, reuse="none")
        # f1 0.8 and 0.9 are shares of 2/3 and 9/11.
        same = plan_pool(
            f"n > 2/3 +/- {(Fraction(9, 11) - Fraction(2, 3)) / 2}", reliability=0.999, steps=8, reuse="none"
        )
        assert plan.labels == same.labels

    def test_a_plan_says_what_prevalence_it_takes_and_reads_itself_again(self):
        plan = plan_pool("f1(n = 'cat', hour < 6) > 0.8 +/- 0.05", reliability=0.999, steps=8)
        assert "at least" in plan.explain()
        assert "a tenth of the pool" in plan.explain()
        assumed = plan.at_prevalence("0.1")
        assert "a tenth" not in assumed.explain()
        assert f"{assumed.rows:,}" in plan.explain()
        assert PoolPlan.from_dict(assumed.to_dict()) == assumed
        with pytest.raises(UsageError, match="prevalence") as caught:
            plan.at_prevalence(1.5)
        assert caught.value.code == "invalid-prevalence"

    def test_too_wide_a_tolerance_of_a_metric_is_refused(self):
        with pytest.raises(UsageError, match="within the tolerance") as caught:
            plan_pool("recall(n) > 0.9 +/- 0.06", reliability=0.99, steps=2)
        assert "at most 0.05" in caught.value.hint


TYPES = {"carrier": pa.dictionary(pa.int32(), pa.string()), "x": pa.float64(), "flag": pa.bool_()}


class TestSubjects:
    @pytest.mark.parametrize(
        ("text", "label", "words"),
        [
            ("f1(n) > .5", pa.string(), "none of its classes"),
            ("f1(n = 'a') > .5", pa.bool_(), "none of its classes"),
            ("f1(n = 300) > .5", pa.int8(), "none of its classes"),
            ("f1(n = 1.5) > .5", pa.int64(), "none of its classes"),
            ("n[nothing = 1] > .5", pa.bool_(), "no column 'nothing'"),
            ("n[carrier = 1] > .5", pa.bool_(), "not compared with 1"),
            ("n[x = 'a'] > .5", pa.bool_(), "not compared with 'a'"),
            ("n[flag = 1] > .5", pa.bool_(), "not compared with 1"),
        ],
    )
    def test_a_condition_that_the_rows_cannot_answer_is_refused(self, text, label, words):
        with pytest.raises(UsageError, match=words) as caught:
            check_subject(parse_condition(text), label, TYPES)
        assert caught.value.code == "invalid-condition"

    @pytest.mark.parametrize(
        ("text", "label"),
        [
            ("f1(n) > .5", pa.bool_()),
            ("f1(n = 7) > .5", pa.uint8()),
            ("recall(n = 'a', flag = true, carrier = 'UA', x < -2.5) > .5", pa.string()),
        ],
    )
    def test_a_condition_that_fits_is_not(self, text, label):
        check_subject(parse_condition(text), label, TYPES)

    def test_too_few_of_a_class_or_a_slice_are_refused_before_anybody_asks(self):
        plan = plan_pool("recall(n) > 0.6 +/- 0.1", reliability=0.9, steps=1)
        (needed,) = plan.clause_rows
        labels = [True] * (needed - 1) + [False] * 9000
        with pytest.raises(RefusedError, match=f"needs {needed} rows that are true; there are {needed - 1}") as caught:
            require_classes(plan, pa.array(labels), {})
        assert caught.value.code == "too-few-rows"
        require_classes(plan, pa.array([True, *labels]), {})
        sliced = plan_pool("n[x > 0] > 0.6 +/- 0.1", reliability=0.9, steps=1)
        with pytest.raises(RefusedError, match="there are 0"):
            require_classes(sliced, pa.array(labels), {"x": pa.array([0] * len(labels))})

    def test_predictions_that_call_the_class_too_rarely_are_refused_without_labels(self):
        plan = plan_pool("precision(n) > 0.6 +/- 0.1", reliability=0.9, steps=1)
        (needed,) = plan.clause_rows
        called = np.arange(5000) < needed
        Evidence(labels=None, new=pa.array(called)).require_counted(plan)
        called[0] = False
        with pytest.raises(RefusedError, match="the new model calls true; there are"):
            Evidence(labels=None, new=pa.array(called)).require_counted(plan)


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        # (true and called, called only, true only): precision 0.8, recall 0.7, F1 0.75, each on its bound.
        ("precision(n) > 0.8 +/- 0.05", (0.16, 0.04, 0.3)),
        ("recall(n) > 0.7 +/- 0.05", (0.21, 0.2, 0.09)),
        ("f1(n) > 0.75 +/- 0.05", (0.3, 0.14, 0.06)),
        ("f1(n) < 0.75 +/- 0.05", (0.3, 0.02, 0.18)),
    ],
)
def test_a_model_on_the_bound_of_a_metric_passes_no_more_often_than_the_level(text, shares):
    draw = np.random.default_rng(11)
    level, runs = 0.05, 4000
    plan = plan_pool(text, reliability=1 - level, steps=1).at_prevalence(0.2)
    passed = 0
    for hits, false_alarms, misses, _ in draw.multinomial(plan.rows, [*shares, 1 - sum(shares)], size=runs):
        cells = [(True, True)] * int(hits) + [(False, True)] * int(false_alarms) + [(True, False)] * int(misses)
        rest = plan.rows - len(cells)
        labels, new = (np.array([cell[side] for cell in cells] + [False] * rest) for side in (0, 1))
        passed += decide(plan, Evidence(labels=pa.array(labels), new=pa.array(new)))
    assert passed / runs <= level + 4 * np.sqrt(level * (1 - level) / runs)
    assert passed / runs > level / 5


@pytest.mark.parametrize(
    ("text", "law"),
    [
        # New only right, old only right, both right; n/o = 1.1 on the bound.
        ("n / o > 1.1 +/- 0.03 /\\ d < 0.2 +/- 0.05", (0.13, 0.06, 0.64)),
        ("n / o > 1.1 +/- 0.05", (0.13, 0.06, 0.64)),
        ("error(n) / error(o) < 0.8 +/- 0.02 /\\ d < 0.2 +/- 0.05", (0.09, 0.05, 0.75)),
    ],
)
def test_a_ratio_on_its_bound_passes_no_more_often_than_the_level(text, law):
    draw = np.random.default_rng(13)
    level, runs = 0.05, 4000
    plan = plan_pool(text, reliability=1 - level, steps=1)
    passed = 0
    for only_new, only_old, both, _ in draw.multinomial(plan.rows, [*law, 1 - sum(law)], size=runs):
        counts = Counts.overall(
            rows=plan.rows,
            correct_new=int(only_new + both),
            correct_old=int(only_old + both),
            differing=int(only_new + only_old),
        )
        passed += decide(plan, counts)
    assert passed / runs <= level + 4 * np.sqrt(level * (1 - level) / runs)


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        # Just beyond the bound, where a fail is the error: precision 0.8, F1 0.75.
        ("precision(n) > 0.8 +/- 0.05", (0.16, 0.04, 0.3)),
        ("f1(n) > 0.75 +/- 0.05", (0.3, 0.14, 0.06)),
    ],
)
def test_in_fn_free_mode_a_model_on_the_bound_fails_no_more_often_than_the_level(text, shares):
    draw = np.random.default_rng(23)
    level, runs = 0.05, 2000
    plan = plan_pool(text, reliability=1 - level, steps=1, mode="fn-free").at_prevalence(0.2)
    failed = 0
    for hits, false_alarms, misses, _ in draw.multinomial(plan.rows, [*shares, 1 - sum(shares)], size=runs):
        real = np.repeat(
            [True, False, True, False], [hits, false_alarms, misses, plan.rows - hits - false_alarms - misses]
        )
        called = np.repeat([True, False], [hits + false_alarms, plan.rows - hits - false_alarms])
        failed += not decide(plan, Evidence(labels=pa.array(real), new=pa.array(called)))
    assert failed / runs <= level + 4 * np.sqrt(level * (1 - level) / runs)
