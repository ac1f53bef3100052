"""What a pool may still answer: the account of a ledger, as a value without storage.

Each recorded answer gives a new budget; steps only ever go down. Whoever keeps one records an answer
durably before giving it, so that a crash costs a step and never saves one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from foldstore.errors import RefusedError
from foldstore.validation.pools.plan import PoolPlan
from foldstore.validation.pools.reuse import MOST_STEPS, log_of_level


@dataclass(frozen=True, slots=True)
class Budget:
    """The answers that a pool has given, and what is left.

    Attributes
    ----------
    plan : PoolPlan
    answered : int
        Steps spent.
    passes : int
        How many of them were passes.
    unanswered : int
        How many of them were charged without an answer that anybody has seen.

    Examples
    --------
    >>> from foldstore.validation.pools.plan import plan_pool
    >>> plan = plan_pool("n > 0.8 +/- 0.1", reliability=0.95, steps=8, reuse="max_passes:1")
    >>> budget = Budget(plan).record(passed=False)
    >>> budget.steps_left, budget.record(passed=True).steps_left
    (7, 0)
    """

    plan: PoolPlan
    answered: int = 0
    passes: int = 0
    unanswered: int = 0

    @classmethod
    def replay(cls, plan: PoolPlan, answers: Iterable[bool | None]) -> "Budget":
        """Return the budget after so many answers; None is a charge whose answer was never given."""
        budget = cls(plan)
        for passed in answers:
            budget = budget.lapse() if passed is None else budget.record(passed=passed)
        return budget

    @property
    def steps_left(self) -> int:
        """How many answers may still be given if none of them is a pass."""
        if not self.plan.reuse.shares_alike:
            return self._steps_supported()
        return 0 if self.passes_left == 0 else self.plan.steps - self.answered

    @property
    def passes_left(self) -> int | None:
        """How many passes may still be given; None when passes do not count."""
        limit = self.plan.reuse.pass_limit
        return None if limit is None else limit - self.passes

    @property
    def exact_level(self) -> Fraction:
        """The level of the next answer, exactly; of the policies only ``universal`` lets it depend on the history."""
        return self.plan.spendable * self._weight(fails_more=0)

    @property
    def log_level(self) -> float:
        """Ln of the level of the next answer, never above the exact one: `decide` takes it."""
        return log_of_level(self.exact_level)

    @property
    def report_weight(self) -> Fraction:
        """The share of a final report's error that falls to this history; a level times it holds whatever was asked."""
        return self.plan.reuse.report_weight(self.plan.steps, passes=self.passes, fails=self._fails)

    @property
    def _fails(self) -> int:
        return self.answered - self.passes - self.unanswered

    def _weight(self, *, fails_more: int) -> Fraction:
        fails = self._fails + fails_more
        return self.plan.reuse.weight(self.plan.steps, passes=self.passes, fails=fails, unanswered=self.unanswered)

    def _steps_supported(self) -> int:
        """Return for how many more fails the level stays above the lowest that the plan has rows for."""
        least = self.plan.reuse.least_weight(self.plan.steps)
        low, high = -1, 1
        while self._weight(fails_more=high) >= least and self.answered + high < MOST_STEPS:
            low, high = high, 2 * high
        while low + 1 < high:
            middle = (low + high) // 2
            low, high = (middle, high) if self._weight(fails_more=middle) >= least else (low, middle)
        return low + 1

    def affordable(self) -> bool:
        """Whether another answer may be given."""
        return self.steps_left > 0

    def require_affordable(self) -> None:
        """Refuse a question that can no longer be answered; call it before any label is read.

        Raises
        ------
        RefusedError
            With code ``pool-exhausted``.
        """
        if self.affordable():
            return
        raise RefusedError(
            f"The pool is exhausted: {self.what_is_spent}.",
            hint="Its rows may serve as validation data now; seal a fresh pool to go on testing.",
            code="pool-exhausted",
            **self.to_dict(),
        )

    @property
    def what_is_spent(self) -> str:
        """Say why no other answer may be given."""
        if not self.plan.reuse.shares_alike:
            return f"its rows support no answer after {self.answered:,}, {self.passes:,} of them passes"
        if self.passes_left == 0:
            return f"all {self.plan.reuse.pass_limit:,} passes are used"
        return f"all {self.plan.steps:,} steps are used"

    def record(self, *, passed: bool) -> "Budget":
        """Return the budget after one more answer.

        Raises
        ------
        RefusedError
            With code ``pool-exhausted`` when none is left.
        """
        self.require_affordable()
        return replace(self, answered=self.answered + 1, passes=self.passes + bool(passed))

    def lapse(self) -> "Budget":
        """Return the budget after a step that was charged and never answered, as when a process dies."""
        self.require_affordable()
        return replace(self, answered=self.answered + 1, unanswered=self.unanswered + 1)

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data: what is spent and what is left."""
        return {
            "answered": self.answered,
            "passes": self.passes,
            "steps_left": self.steps_left,
            "passes_left": self.passes_left,
        }
