"""What a pool may still answer: the account of a ledger, as a value without storage.

Each recorded answer gives a new budget; steps only ever go down. Whoever keeps one records an answer
durably before giving it, so that a crash costs a step and never saves one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from foldstore.errors import RefusedError
from foldstore.validation.pools.plan import PoolPlan


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
        return 0 if self.passes_left == 0 else self.plan.steps - self.answered

    @property
    def passes_left(self) -> int | None:
        """How many passes may still be given; None when passes do not count."""
        limit = self.plan.reuse.pass_limit
        return None if limit is None else limit - self.passes

    @property
    def log_level(self) -> float:
        """Ln of the level of the next answer; the same at every place for these policies."""
        return self.plan.log_level

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
        limit = self.plan.reuse.pass_limit
        spent = f"all {self.plan.steps:,} steps" if self.passes_left != 0 else f"all {limit:,} passes"
        raise RefusedError(
            f"The pool is exhausted: {spent} are spent.",
            hint="Its rows may serve as validation data now; seal a fresh pool to go on testing.",
            code="pool-exhausted",
            **self.to_dict(),
        )

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
        return self.record(passed=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data: what is spent and what is left."""
        return {
            "answered": self.answered,
            "passes": self.passes,
            "steps_left": self.steps_left,
            "passes_left": self.passes_left,
        }
