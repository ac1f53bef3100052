"""The budget of answers: only ever spent, refused when gone, and what it is for: an attack that fails."""

import json
from fractions import Fraction
from functools import cache
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.errors import RefusedError
from foldstore.validation.pools.budget import Budget
from foldstore.validation.pools.decide import Counts, decide
from foldstore.validation.pools.plan import plan_pool

POLICIES = ["none", "first_change", "full", "max_passes:1", "max_passes:3"]


@cache
def small_plan(reuse="max_passes:3", steps=6):
    return plan_pool("n > 0.5 +/- 0.2", reliability=0.9, steps=steps, reuse=reuse)


class TestBudget:
    @given(st.sampled_from(POLICIES), st.lists(st.one_of(st.booleans(), st.none()), max_size=12))
    def test_an_answer_only_ever_spends(self, reuse, answers):
        plan = small_plan(reuse)
        budget = Budget(plan)
        for passed in answers:
            if not budget.affordable():
                with pytest.raises(RefusedError):
                    budget.record(passed=bool(passed))
                break
            after = budget.lapse() if passed is None else budget.record(passed=passed)
            assert 0 <= after.steps_left < budget.steps_left
            assert after.answered == budget.answered + 1 <= plan.steps
            assert after.passes - budget.passes == (1 if passed else 0)
            budget = after
        assert plan.reuse.pass_limit is None or budget.passes <= plan.reuse.pass_limit

    @pytest.mark.parametrize("reuse", POLICIES)
    def test_the_levels_of_all_reachable_answers_add_up_to_no_more_than_is_given(self, reuse):
        plan = small_plan(reuse)
        # With answers withheld nobody can adapt: each step is one place, whatever the answers are.
        histories = {(True,) * length for length in range(plan.steps)}
        if not plan.reuse.withholds_answers:
            histories = {h for length in range(plan.steps) for h in product((False, True), repeat=length)}
        reachable = [h for h in histories if self.reached(plan, h)]
        assert len(reachable) * plan.exact_level <= 1 - plan.reliability

    @staticmethod
    def reached(plan, history):
        try:
            return Budget.replay(plan, history).affordable()
        except RefusedError:
            return False

    def test_a_spent_pool_refuses_in_words(self):
        budget = Budget.replay(small_plan("max_passes:2"), [True, False, True])
        assert not budget.affordable()
        with pytest.raises(RefusedError, match="exhausted: all 2 passes are used") as caught:
            budget.require_affordable()
        assert caught.value.code == "pool-exhausted"
        assert caught.value.exit_code == 4
        assert json.loads(json.dumps(caught.value.to_dict()))["facts"]["steps_left"] == 0
        with pytest.raises(RefusedError, match="all 6 steps are used"):
            Budget.replay(small_plan("full"), [False] * 7)

    def test_a_charge_that_was_never_answered_costs_a_step_and_no_pass(self):
        budget = Budget.replay(small_plan("max_passes:1"), [None, None])
        assert (budget.steps_left, budget.passes_left) == (4, 1)

    def test_the_level_of_an_answer_does_not_depend_on_those_before(self):
        plan = small_plan()
        assert Budget(plan).log_level == Budget.replay(plan, [True, False]).log_level == plan.log_level


class TestUniversalPolicy:
    """No limit set beforehand: what the rows support decides."""

    PLAN = plan_pool("n > 0.5 +/- 0.1", reliability=0.95, steps=6, reuse="universal:2")

    def test_the_answers_that_the_plan_provides_for_are_affordable_in_any_order(self):
        for history in product((False, True), repeat=5):
            if sum(history) <= 2:
                assert Budget.replay(self.PLAN, history).affordable(), history

    def test_a_run_of_fails_costs_little_and_goes_on_beyond_the_plan(self):
        budget = Budget.replay(self.PLAN, [False] * 6)
        left = budget.steps_left
        assert left > 6
        assert Budget.replay(self.PLAN, [False] * (6 + left)).steps_left == 0
        with pytest.raises(RefusedError, match=f"support no answer after {6 + left}, 0 of them passes"):
            Budget.replay(self.PLAN, [False] * (6 + left + 1))

    @given(st.lists(st.sampled_from([True, False, None]), max_size=30))
    def test_the_level_of_an_answer_never_falls_below_what_the_rows_are_planned_for(self, answers):
        budget = Budget(self.PLAN)
        for answer in answers:
            if not budget.affordable():
                break
            assert budget.log_level >= self.PLAN.log_level
            budget = budget.lapse() if answer is None else budget.record(passed=answer)

    def test_the_levels_of_all_reachable_answers_add_up_to_no_more_than_is_given(self):
        total = Fraction(0)
        open_histories = [()]
        for _ in range(10):
            budgets = {h: Budget.replay(self.PLAN, h) for h in open_histories}
            total += sum(b.exact_level for b in budgets.values() if b.affordable())
            open_histories = [(*h, a) for h, b in budgets.items() if b.affordable() for a in (False, True)]
        assert total <= 1 - self.PLAN.reliability
        assert total > (1 - self.PLAN.reliability) / 2

    def test_a_thousand_questions_with_five_passes_cost_what_the_table_says(self):
        plan = plan_pool("n > 0.5 +/- 0.01", reliability=0.9999, steps=1_000, reuse="universal:5", method="hoeffding")
        assert plan.labels == 290_943


class TestMajorityVoteAttack:
    """Blum and Hardt 2015: ask for random predictions, keep what scored well, let them vote.

    Labels are coin flips, so every model's true accuracy is one half; whatever a vote seems to reach beyond that
    is overfitting to the pool.
    """

    ROWS, QUERIES, RUNS = 4_000, 400, 12

    def vote(self, rng, answer):
        """Ask for random predictions, turn round those that the answer speaks against, and vote."""
        labels = rng.integers(0, 2, self.ROWS)
        asked = rng.integers(0, 2, (self.QUERIES, self.ROWS))
        signs = np.array([answer(int(np.count_nonzero(each == labels))) for each in asked])
        voted = (signs @ (2 * asked - 1)) > 0
        return float(np.mean(voted == labels))

    def test_full_precision_scores_let_a_vote_overfit_the_pool(self):
        rng = np.random.default_rng(21)
        reported = [self.vote(rng, lambda right: 1 if 2 * right >= self.ROWS else -1) for _ in range(self.RUNS)]
        # Phi(sqrt(2 k / (pi n))) = 0.5996 for k = 400 queries and n = 4,000 rows.
        assert np.mean(reported) == pytest.approx(0.5996, abs=0.01)

    def test_the_gate_lets_no_vote_overfit_the_pool(self):
        rng = np.random.default_rng(21)
        plan = plan_pool("n > 0.5 +/- 0.05", reliability=0.95, steps=self.QUERIES + 1, reuse="max_passes:1")
        assert plan.rows <= self.ROWS
        reported, passes = [], 0
        for _ in range(self.RUNS):
            gate = Gate(plan, self.ROWS)
            reported.append(self.vote(rng, gate.ask))
            passes += gate.ask(round(reported[-1] * self.ROWS)) > 0
        assert passes == 0
        # One standard deviation of an honest score over 4,000 rows is 0.008; of the mean of 12, 0.0023.
        assert np.mean(reported) == pytest.approx(0.5, abs=4 * 0.0023)
        assert max(reported) < 0.54


class Gate:
    """What an attacker sees of a pool: 1 for pass, -1 for fail, 0 when it is exhausted."""

    def __init__(self, plan, rows):
        self.budget, self.rows = Budget(plan), rows

    def ask(self, right):
        if not self.budget.affordable():
            return 0
        passed = decide(self.budget.plan, Counts(rows=self.rows, correct_new=right))
        self.budget = self.budget.record(passed=passed)
        return 1 if passed else -1
