"""What may be known of a pool: how many answers are spent and left, and nothing of the labels."""

from dataclasses import dataclass
from typing import Any

from foldstore.datastore.storage import Storage
from foldstore.validation.pools.budget import Budget
from foldstore.validation.pools.ledger import Ledger
from foldstore.validation.pools.plan import PoolPlan
from foldstore.validation.pools.pool import PoolRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus:
    """What may be known of a pool: a function of the answers that were given.

    Attributes
    ----------
    steps_left : int
        How many answers may still be given if none is a pass.
    passes_left : int or None
        How many passes may still be given; None when they do not count, or answers are withheld.
    pending : int
        Charges without an answer; the same predictions again get it free of charge.
    """

    name: str
    num_rows: int
    plan: PoolPlan
    steps_used: int
    steps_left: int
    passes_left: int | None
    pending: int

    @property
    def spent(self) -> bool:
        """Whether the pool can answer no more."""
        return self.steps_left == 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        names = ("name", "num_rows", "steps_used", "steps_left", "passes_left", "pending", "spent")
        return {**{name: getattr(self, name) for name in names}, "plan": self.plan.to_dict()}


def pool_status(storage: Storage, pool: PoolRecord) -> PoolStatus:
    """Return what is spent and what is left; never an accuracy, nor which clause failed."""
    account = Ledger(storage, pool.id).read()
    budget = Budget.replay(pool.plan, account.answers)
    return PoolStatus(
        name=pool.name,
        num_rows=pool.num_rows,
        plan=pool.plan,
        steps_used=budget.answered,
        steps_left=budget.steps_left,
        passes_left=budget.passes_left,
        pending=account.pending,
    )
