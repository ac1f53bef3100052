"""Decisions: deterministic, one bit, and wrong no more often than the plan says."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.errors import RefusedError, UsageError
from foldstore.validation.pools.decide import Counts, decide
from foldstore.validation.pools.plan import plan_pool

DRAWS = 4_000
ADVANTAGE_PLAN = plan_pool("n - o > 0 +/- 0.1", reliability=0.9, steps=2)


def most(level):
    """The count of errors in DRAWS that a true rate of `level` exceeds about once in 30,000 runs."""
    return DRAWS * level + 4 * np.sqrt(DRAWS * level * (1 - level)) + 1


def passes_of_proportion(plan, truth, rng):
    drawn = rng.binomial(plan.rows, truth, size=DRAWS)
    name = {"n": "correct_new", "o": "correct_old", "d": "differing"}[str(plan.condition)[0]]
    return sum(decide(plan, Counts(rows=plan.rows, **{name: int(k)})) for k in drawn)


def passes_of_pair(plan, mean, spread, rng):
    chances = [(spread + mean) / 2, (spread - mean) / 2, 1 - spread]
    drawn = rng.multinomial(plan.rows, np.maximum(chances, 0), size=DRAWS)
    return sum(decide(plan, Counts.paired(wins=int(w), losses=int(x), ties=int(t))) for w, x, t in drawn)


class TestErrorRates:
    """By simulation at the boundaries, where they are largest; levels wide enough to be seen."""

    @pytest.mark.parametrize("mode", ["fp-free", "fn-free"])
    @pytest.mark.parametrize(
        ("condition", "false", "true"),
        [
            ("n > 0.8 +/- 0.05", {"fp-free": 0.8, "fn-free": 0.7}, {"fp-free": 0.9, "fn-free": 0.8}),
            ("d < 0.3 +/- 0.04", {"fp-free": 0.3, "fn-free": 0.38}, {"fp-free": 0.22, "fn-free": 0.3}),
        ],
    )
    def test_a_proportion_errs_within_its_level(self, condition, false, true, mode):
        rng = np.random.default_rng(11)
        plan = plan_pool(condition, reliability=0.9, steps=2, reuse="first_change", mode=mode)
        assert passes_of_proportion(plan, false[mode], rng) <= most(0.05)
        assert DRAWS - passes_of_proportion(plan, true[mode], rng) <= most(0.05)

    @pytest.mark.parametrize("spread", [0.02, 0.1, 0.25, 0.3])
    def test_the_paired_test_errs_within_its_level_whatever_the_nuisance(self, spread):
        rng = np.random.default_rng(12)
        plan = plan_pool("n - o > 0 +/- 0.05 /\\ d < 0.3 +/- 0.05", reliability=0.9, steps=2, reuse="first_change")
        assert passes_of_pair(plan, 0.0, spread, rng) <= most(0.05)
        if 0.1 <= spread <= 0.2:
            assert DRAWS - passes_of_pair(plan, 0.1, spread, rng) <= most(0.05)

    @pytest.mark.parametrize("spread", [0.3, 0.6, 0.999, 1.0])
    def test_the_paired_test_without_a_bound_on_differences_errs_within_its_level(self, spread):
        rng = np.random.default_rng(13)
        plan = plan_pool("n - o > 0.1 +/- 0.1", reliability=0.9, steps=2, reuse="first_change")
        assert passes_of_pair(plan, 0.1, spread, rng) <= most(0.05)
        assert DRAWS - passes_of_pair(plan, 0.3, spread, rng) <= most(0.05)

    def test_a_conjunction_passes_wrongly_within_the_level_of_either_clause(self):
        rng = np.random.default_rng(14)
        plan = plan_pool("n - o > 0 +/- 0.05 /\\ d < 0.3 +/- 0.05", reliability=0.9, steps=2, reuse="first_change")
        # n - o is plainly larger, d lies on its bound.
        assert passes_of_pair(plan, 0.25, 0.3, rng) <= most(0.05)

    def test_both_points_of_a_conjunction_keep_their_levels_in_fn_free_mode(self):
        rng = np.random.default_rng(15)
        condition = "n - o > 0 +/- 0.05 /\\ d < 0.3 +/- 0.05"
        plan = plan_pool(condition, reliability=0.9, steps=2, reuse="first_change", mode="fn-free")
        assert DRAWS - passes_of_pair(plan, 0.0, 0.3, rng) <= most(0.05)
        assert passes_of_pair(plan, -0.1, 0.4, rng) <= most(0.05)

    def test_beta_is_the_chance_that_a_good_candidate_fails(self):
        rng = np.random.default_rng(16)
        plan = plan_pool("n > 0.8 +/- 0.05", reliability=0.99, steps=1, reuse="none", beta=0.3)
        fails = DRAWS - passes_of_proportion(plan, 0.9, rng)
        # Not idle either: the design spends what it is given.
        assert DRAWS * 0.1 <= fails <= most(0.3)

    def test_hoeffding_plans_err_less_than_they_may(self):
        rng = np.random.default_rng(17)
        plan = plan_pool("n > 0.8 +/- 0.05", reliability=0.9, steps=2, reuse="first_change", method="hoeffding")
        assert passes_of_proportion(plan, 0.8, rng) <= most(0.05)
        assert DRAWS - passes_of_proportion(plan, 0.9, rng) <= most(0.05)


class TestDecide:
    @pytest.mark.parametrize("mode", ["fp-free", "fn-free"])
    @pytest.mark.parametrize("method", ["exact", "hoeffding"])
    @pytest.mark.parametrize(
        "condition", ["n > 0.6 +/- 0.1", "n < 0.6 +/- 0.1", "n - o > 0 +/- 0.1", "n - o < 0.1 +/- 0.1"]
    )
    def test_agrees_with_the_rule_that_the_plan_states(self, condition, method, mode):
        plan = plan_pool(condition, reliability=0.9, steps=1, mode=mode, method=method)
        (rule,) = plan.pass_rules()
        edge = rule.at_most if rule.at_least is None else rule.at_least
        for total in range(edge - 2, edge + 3):
            counts = Counts(rows=plan.rows, advantage=total, correct_new=abs(total))
            expected = total <= edge if rule.at_least is None else total >= edge
            assert decide(plan, counts) is expected

    @given(st.integers(0, 400), st.integers(0, 400), st.integers(0, 30))
    def test_more_wins_never_turn_a_pass_into_a_fail(self, wins, losses, more):
        rows = ADVANTAGE_PLAN.rows + 1_000

        def passed(count):
            return decide(ADVANTAGE_PLAN, Counts.paired(wins=count, losses=losses, ties=rows - count - losses))

        assert passed(wins + more) >= passed(wins)

    def test_equal_models_do_not_pass_an_advantage(self):
        assert decide(ADVANTAGE_PLAN, Counts.paired(wins=0, losses=0, ties=ADVANTAGE_PLAN.rows)) is False

    def test_more_rows_than_planned_keep_the_level_and_sharpen_the_test(self):
        plan = plan_pool("n > 0.8 +/- 0.05", reliability=0.99, steps=4)
        narrow, wide = (plan.pass_rules(rows)[0] for rows in (plan.rows, 4 * plan.rows))
        assert 0.8 < wide.at_least / wide.rows < narrow.at_least / narrow.rows

    def test_fewer_rows_than_planned_are_refused(self):
        plan = plan_pool("n > 0.8 +/- 0.05", reliability=0.99, steps=4)
        with pytest.raises(RefusedError, match="The plan needs") as caught:
            decide(plan, Counts(rows=plan.rows - 1, correct_new=plan.rows - 1))
        assert caught.value.code == "pool-too-small"

    def test_a_count_that_a_clause_needs_is_asked_for(self):
        plan = plan_pool("n > 0.8 +/- 0.1", reliability=0.9, steps=1)
        with pytest.raises(UsageError, match="correct_new was not counted") as caught:
            decide(plan, Counts.paired(wins=5, losses=1, ties=plan.rows))
        assert caught.value.code == "missing-counts"

    def test_a_million_predictions_are_decided_within_a_second(self):
        rng = np.random.default_rng(5)
        labels, new, old = (rng.integers(0, 2, 1_000_000) for _ in range(3))
        plan = plan_pool("n - o > 0 +/- 0.02 /\\ d < 0.6 +/- 0.02", reliability=0.999, steps=32, reuse="max_passes:3")
        began = time.perf_counter()
        assert decide(plan, Counts.of_predictions(labels=labels, new=new, old=old)) is False
        assert time.perf_counter() - began < 1.0


class TestCounts:
    def test_predictions_are_counted_one_by_one(self):
        labels, new, old = np.array([0, 1, 2, 2, 1]), np.array([0, 1, 0, 2, 0]), np.array([0, 0, 1, 0, 1])
        counts = Counts.of_predictions(labels=labels, new=new, old=old)
        assert counts == Counts.overall(rows=5, correct_new=3, correct_old=2, differing=4)
        # Two wrong predictions that differ are neither a win nor a loss.
        assert counts.advantage == Counts.paired(wins=2, losses=1, ties=2, differing=4).advantage

    @pytest.mark.parametrize(
        "build",
        [
            lambda: Counts(rows=0),
            lambda: Counts(rows=5, correct_new=6),
            lambda: Counts(rows=5, differing=-1),
            lambda: Counts(rows=5, advantage=3, differing=2),
            lambda: Counts.paired(wins=-1, losses=0, ties=3),
            lambda: Counts.paired(wins=2, losses=2, ties=3, differing=3),
            lambda: Counts.overall(rows=9, correct_new=9, correct_old=1, differing=2),
            lambda: Counts.of_predictions(labels=np.zeros(3), new=np.zeros(2), old=np.zeros(3)),
        ],
    )
    def test_counts_that_cannot_be_are_refused(self, build):
        with pytest.raises(UsageError) as caught:
            build()
        assert caught.value.code == "invalid-counts"
