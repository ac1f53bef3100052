"""Plans: labels to the row of the table, what a plan says of itself, and what is refused."""

import json
import time
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from foldstore.errors import RefusedError, UsageError
from foldstore.validation.pools.plan import PoolPlan, plan_pool
from foldstore.validation.pools.support import require_rows, supports

DEMO = "n - o > 0 +/- 0.01 /\\ d < 0.12 +/- 0.01"


def plan_demo(**options):
    return plan_pool(DEMO, **({"reliability": 0.999, "steps": 32, "reuse": "max_passes:3"} | options))


@pytest.fixture(scope="module")
def demo():
    return plan_demo()


class TestLabels:
    def test_every_row_of_the_hoeffding_table(self, sample_sizes):
        conditions = {"F1": ("n > 0.5 +/- {}", "d < 0.5 +/- {}"), "F2": ("n - o > 0.1 +/- {}",)}
        for row in sample_sizes["hoeffding"]:
            options = {"reliability": row["reliability"], "steps": row["steps"], "reuse": row["reuse"]}
            for condition in conditions[row["family"]]:
                plan = plan_pool(condition.format(row["eps"]), method="hoeffding", **options)
                assert plan.rows == row["rows"], (condition, row)

    def test_every_compared_row_by_all_three_methods(self, sample_sizes):
        for row in sample_sizes["two_point"]:
            options = {"reliability": row["reliability"], "steps": row["steps"], "reuse": row["reuse"]}
            assert plan_pool(row["clause"], method="hoeffding", **options).labels == row["hoeffding"]
            if row["spread"] is None:
                assert plan_pool(row["clause"], **options).labels == row["exact"]
                assert plan_pool(row["clause"], beta=0.1, **options).labels == row["exact_beta10"]
                continue
            both = row["clause"] if row["spread"] == "1" else f"{row['clause']} /\\ d < {row['spread']} +/- 0.01"
            assert plan_pool(both, method="bennett", **options).labels == row["bennett"]
            # Two clauses share the other error, so the exact plan asks for a little more than one clause alone.
            exact = plan_pool(both, **options).labels
            assert row["exact"] - 1 / row["eps"] <= exact <= 1.06 * row["exact"]

    def test_counted_passes_by_the_table(self, sample_sizes):
        for row in sample_sizes["max_passes"]:
            options = {"reliability": 0.9999, "steps": row["steps"], "reuse": f"max_passes:{row['passes']}"}
            if row["hoeffding"]:
                assert plan_pool(row["condition"], method="hoeffding", **options).labels == row["hoeffding"]
            if row["bennett"]:
                both = f"{row['condition']} /\\ d < 0.1 +/- 0.01"
                assert plan_pool(both, method="bennett", **options).labels == row["bennett"]
                assert plan_pool(both, **options).labels == pytest.approx(row["exact"], rel=0.03)
            elif row["exact"]:
                assert abs(plan_pool(row["condition"], **options).labels - row["exact"]) <= 100

    def test_the_demonstration_needs_a_tenth_of_what_hoeffding_asks_for(self, demo):
        assert demo.labels == demo.rows == 31_854
        assert plan_demo(method="hoeffding").labels == 338_088

    def test_planning_below_a_hundred_thousand_labels_takes_less_than_a_second(self):
        # Of the processor's time: a busy machine makes no plan slow.
        for condition in (
            DEMO,
            "n > 0.9 +/- 0.01",
            "n - o > 0.02 +/- 0.01 /\\ d < 0.1 +/- 0.01",
            "f1(n) > 0.7 +/- 0.01 /\\ n[x = 1] > 0.8 +/- 0.01",
            "n / o > 1.02 +/- 0.01 /\\ d < 0.1 +/- 0.01",
        ):
            began = time.process_time()
            assert plan_pool(condition, reliability=0.9999, steps=32).labels < 100_000
            assert time.process_time() - began < 1.0

    def test_levels_below_the_smallest_float_can_be_planned(self):
        plan = plan_pool("n > 0.5 +/- 0.1", reliability=0.9999, steps=2_000)
        assert plan.level == 0.0
        assert plan.log_level == pytest.approx(-1395.5, abs=0.1)
        assert plan.labels < plan_pool("n > 0.5 +/- 0.1", reliability=0.9999, steps=2_000, method="hoeffding").labels
        assert "exp(-1395.5)" in plan.explain()

    def test_a_question_about_differences_alone_needs_no_labels(self):
        plan = plan_pool("d < 0.1 +/- 0.02", reliability=0.99, steps=4)
        assert plan.labels == 0
        assert plan.rows > 0

    def test_hoeffding_covers_every_linear_score(self):
        plan = plan_pool("n - 1.1*o > 0 +/- 0.05", reliability=0.99, steps=4, method="hoeffding")
        # Weight 1 + 1.1 in units of n, two variables, 16 places.
        assert plan.labels == pytest.approx(2.1**2 * 8.0709 / (2 * 0.05**2), rel=1e-3)
        assert plan_pool("n - 1.1*o > 0 +/- 0.05", reliability=0.99, steps=4).labels < plan.labels

    @settings(max_examples=25)
    @given(st.integers(2, 9), st.integers(1, 40), st.sampled_from(["none", "full", "max_passes:2"]))
    def test_exact_never_asks_for_more_than_hoeffding(self, tenths, steps, reuse):
        condition = f"n > {tenths / 10} +/- 0.04"
        options = {"reliability": 0.99, "steps": steps, "reuse": reuse}
        assert plan_pool(condition, **options).labels <= plan_pool(condition, method="hoeffding", **options).labels

    def test_more_steps_or_reliability_or_less_tolerance_need_more_labels(self):
        def labels(tolerance=0.05, steps=8, reliability=0.99):
            return plan_pool(f"n > 0.8 +/- {tolerance}", reliability=reliability, steps=steps).labels

        assert all(a < b for a, b in pairwise(labels(steps=s) for s in (1, 4, 16, 64)))
        assert all(a < b for a, b in pairwise(labels(reliability=r) for r in (0.9, 0.99, 0.999)))
        assert all(a < b for a, b in pairwise(labels(tolerance=t) for t in (0.1, 0.05, 0.02)))


clauses = st.builds(
    "{} {} {} +/- {}".format,
    st.sampled_from(["n", "o", "d", "n - o", "n + o"]),
    st.sampled_from("<>"),
    st.sampled_from([0, 0.1, 0.5, 0.9, 1]),
    st.sampled_from([0.05, 0.1, 0.25]),
)


@settings(max_examples=60)
@given(
    st.lists(clauses, min_size=1, max_size=3),
    st.sampled_from(["fp-free", "fn-free"]),
    st.sampled_from(["exact", "hoeffding", "bennett"]),
    st.sampled_from([0.01, 0.5, 0.99]),
)
def test_any_condition_is_planned_so_that_it_holds_or_is_refused_in_words(texts, mode, method, reliability):
    try:
        plan = plan_pool(" /\\ ".join(texts), reliability=reliability, steps=3, mode=mode, method=method)
    except UsageError as refusal:
        event(refusal.code)
        return
    event("planned")
    assert all(test.rule.holds(rows) for test, rows in zip(plan.tests, plan.clause_rows, strict=True))
    assert PoolPlan.from_dict(plan.to_dict()) == plan


class TestModes:
    @pytest.mark.parametrize(
        ("above", "below"), [("n > 0.7 +/- 0.05", "o < 0.3 +/- 0.05"), ("d > 0.4 +/- 0.1", "d < 0.6 +/- 0.1")]
    )
    def test_a_clause_and_its_mirror_image_need_the_same_rows(self, above, below):
        for mode in ("fp-free", "fn-free"):
            plans = [plan_pool(each, reliability=0.99, steps=4, mode=mode) for each in (above, below)]
            assert plans[0].rows == plans[1].rows

    def test_the_free_mode_decides_where_the_unknown_goes(self):
        edges = {}
        for mode in ("fp-free", "fn-free"):
            rule = plan_pool("n > 0.7 +/- 0.05", reliability=0.99, steps=4, mode=mode).pass_rules(1_000)[0]
            edges[mode] = rule.at_least
        assert edges["fn-free"] < 700 < edges["fp-free"]


class TestDocuments:
    @pytest.mark.parametrize(
        "options", [{}, {"mode": "fn-free"}, {"beta": "0.1"}, {"method": "bennett"}, {"reuse": "none"}]
    )
    def test_a_plan_survives_its_document(self, options):
        plan = plan_demo(**options)
        assert PoolPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan

    def test_a_plan_shows_its_labels_and_its_promise(self, demo):
        assert repr(demo).startswith(f"PoolPlan({DEMO!r}, labels=31,854")
        assert demo.explain().splitlines() == [
            DEMO,
            "  reliability 0.999, up to 32 answers, reuse max_passes:3, fp-free, exact",
            "  each answer may be a wrong pass with a probability of at most 1.82e-07",
            "  and a wrong fail with at most 1.82e-07, beyond twice each tolerance",
            "  the pool must hold 31,854 rows, 31,854 of them with labels",
            "  labels matter where the models differ: about 3,822 of them an answer",
            "  n - o > 0 +/- 0.01",
            "    needs 31,854 labels; passes at wins - losses >= 316 of 31,854 rows (0.00992)",
            "  d < 0.12 +/- 0.01",
            "    needs 26,008 rows, no labels; passes at differing <= 3,530 of 31,854 rows (0.1108)",
        ]

    def test_the_level_is_exact_and_its_logarithm_never_above_it(self, demo):
        assert demo.exact_level == Fraction(1, 5_488_000)
        assert Fraction(demo.level) <= demo.exact_level


class TestRefusals:
    @pytest.mark.parametrize(
        ("condition", "words"),
        [
            ("n > 0.8", "has no tolerance"),
            ("n - o > 0 /\\ d < 0.1 +/- 0.01", "has no tolerance"),
            ("n > 0.95 +/- 0.03", "within the tolerance"),
            ("d < 0.01 +/- 0.01", "within the tolerance"),
            ("n - o > 0.2 +/- 0.01 /\\ d < 0.1 +/- 0.01", "never further from 0 than d"),
            ("n - o > 0.09 +/- 0.01 /\\ d < 0.1 +/- 0.01", "never further from 0 than d"),
            ("n - o > -0.2 +/- 0.01 /\\ d < 0.1 +/- 0.01", "never further from 0 than d"),
        ],
    )
    def test_a_condition_that_cannot_be_decided_is_refused(self, condition, words):
        with pytest.raises(UsageError, match=words) as caught:
            plan_pool(condition, reliability=0.99, steps=4)
        assert caught.value.code == "invalid-condition"
        assert caught.value.hint

    @pytest.mark.parametrize(
        ("options", "code"),
        [
            ({"reliability": 1}, "invalid-reliability"),
            ({"steps": 0}, "invalid-steps"),
            ({"reuse": "always"}, "invalid-reuse"),
            ({"method": "guess"}, "invalid-method"),
            ({"mode": "free"}, "invalid-mode"),
            ({"beta": 0}, "invalid-beta"),
        ],
    )
    def test_a_setting_outside_its_range_is_refused(self, options, code):
        with pytest.raises(UsageError) as caught:
            plan_demo(**options)
        assert caught.value.code == code
        assert caught.value.hint


class TestSupport:
    def test_a_large_enough_pool_supports_the_plan_as_it_is(self, demo):
        support = supports(54_065, demo)
        assert support.fits
        assert (support.steps, support.passes, support.condition) == (32, 3, demo.condition)
        require_rows(demo, demo.rows)

    @pytest.mark.parametrize("rows", [5_000, 20_000, 31_000])
    def test_what_a_small_pool_is_said_to_support_fits_and_no_more(self, demo, rows):
        support = supports(rows, demo)
        assert plan_pool(support.condition, reliability=0.999, steps=32, reuse="max_passes:3").rows <= rows
        if support.steps:
            assert plan_demo(steps=support.steps).rows <= rows < plan_demo(steps=support.steps + 1).rows
        if support.passes:
            fewer, more = f"max_passes:{support.passes}", f"max_passes:{support.passes + 1}"
            assert plan_demo(reuse=fewer).rows <= rows < plan_demo(reuse=more).rows

    def test_a_pool_that_is_too_small_is_refused_with_what_it_could_support(self, demo):
        with pytest.raises(RefusedError, match="needs 31,854 rows; the pool has 20,000") as caught:
            require_rows(demo, 20_000)
        assert caught.value.code == "pool-too-small"
        assert "5 steps, or 1 pass, or the wider tolerance of n - o > 0 +/- 0.013" in caught.value.hint
        assert json.dumps(caught.value.to_dict())

    @pytest.mark.parametrize("rows", [0, 1, 40])
    def test_a_handful_of_rows_supports_nothing(self, demo, rows):
        support = supports(rows, demo)
        assert (support.steps, support.passes, support.condition) == (0, 0, None)
        assert "no such question" in support.explain()
