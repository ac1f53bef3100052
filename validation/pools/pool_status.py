"""What may be known of a pool: how many answers are spent and left, where it stands, and nothing of the labels."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from foldstore.datastore.storage import Storage
from foldstore.types import format_time
from foldstore.validation.pools.account import Account
from foldstore.validation.pools.budget import Budget
from foldstore.validation.pools.ledger import Ledger
from foldstore.validation.pools.plan import PoolPlan
from foldstore.validation.pools.pool import PoolRecord


class PoolState(StrEnum):
    """Where a pool stands in its life; only its ledger and its date of expiry move it on.

    ``sealed``: nobody has asked. ``active``: some answers are spent. ``exhausted``: all are. ``expired``: its date has
    come. ``validation``: retired, its labels may be read. ``train``: retired, and so is the pool that followed it.
    """

    SEALED = "sealed"
    ACTIVE = "active"
    EXHAUSTED = "exhausted"
    EXPIRED = "expired"
    VALIDATION = "validation"
    TRAIN = "train"

    @property
    def answers(self) -> bool:
        """Whether new questions may be asked."""
        return self in (PoolState.SEALED, PoolState.ACTIVE)

    @property
    def retired(self) -> bool:
        """Whether the labels may be read."""
        return self in (PoolState.VALIDATION, PoolState.TRAIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus:
    """What may be known of a pool: a function of the answers that were given, and of the time.

    Attributes
    ----------
    state : PoolState
        Where it stands.
    steps_left : int
        How many answers may still be given if none is a pass.
    passes_left : int or None
        How many passes may still be given; None when they do not count, or answers are withheld.
    pending : int
        Charges without an answer; the same predictions again get it free of charge.
    baseline : str or None
        The model that was promoted last; None while it is the sealed one.
    draws : int
        How many times rows were drawn.
    expires_at : str or None
        When it stops answering.
    """

    name: str
    state: PoolState
    num_rows: int
    plan: PoolPlan
    steps_used: int
    steps_left: int
    passes_left: int | None
    pending: int
    baseline: str | None
    draws: int
    expires_at: str | None

    @property
    def spent(self) -> bool:
        """Whether the pool can answer no more."""
        return self.steps_left == 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        names = ("name", "num_rows", "steps_used", "steps_left", "passes_left", "pending", "spent")
        later = ("baseline", "draws", "expires_at")
        return {
            **{name: getattr(self, name) for name in names},
            "state": str(self.state),
            **{name: getattr(self, name) for name in later},
            "plan": self.plan.to_dict(),
        }


def pool_status(storage: Storage, pool: PoolRecord) -> PoolStatus:
    """Return what is spent and what is left; never an accuracy, nor which clause failed."""
    account = Ledger(storage, pool.id).read()
    budget = Budget.replay(pool.plan, account.answers)
    state = pool_state(storage, pool, account)
    return PoolStatus(
        name=pool.name,
        state=state,
        num_rows=pool.num_rows,
        plan=pool.plan,
        steps_used=budget.answered,
        steps_left=budget.steps_left if state.answers else 0,
        passes_left=budget.passes_left,
        pending=account.pending,
        baseline=account.promotions[-1].model if account.promotions else None,
        draws=len(account.draws),
        expires_at=pool.expires_at,
    )


def pool_state(storage: Storage, pool: PoolRecord, account: Account) -> PoolState:
    """Return where a pool stands."""
    if account.retirement is not None:
        return PoolState.TRAIN if _is_followed_twice(storage, account) else PoolState.VALIDATION
    if not Budget.replay(pool.plan, account.answers).affordable():
        return PoolState.EXHAUSTED
    if is_expired(storage, pool, account):
        return PoolState.EXPIRED
    return PoolState.ACTIVE if account.charges else PoolState.SEALED


def is_expired(storage: Storage, pool: PoolRecord, account: Account) -> bool:
    """Say whether a pool's date has come, by the clock or by the newest entry of the ledger, whichever is later."""
    return pool.expires_at is not None and max(format_time(storage.clock()), account.last_moment) >= pool.expires_at


def _is_followed_twice(storage: Storage, account: Account) -> bool:
    successor = account.retirement.successor if account.retirement else None
    return successor is not None and Ledger(storage, successor).read().retirement is not None
