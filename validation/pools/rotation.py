"""Rotation: a fresh pool takes over from a spent one, after a look at whether its rows are like the old ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from foldstore.datastore.catalog.records import DatasetRecord
from foldstore.datastore.storage import Storage
from foldstore.errors import RefusedError, UsageError
from foldstore.validation.check import drift_between
from foldstore.validation.drift.comparison import DriftResult
from foldstore.validation.pools.plan import PoolPlan, plan_pool
from foldstore.validation.pools.pool import PoolRecord
from foldstore.validation.pools.pool_rows import opened_pool
from foldstore.validation.pools.sealed_subject import open_version
from foldstore.validation.subject import TableSubject

_SHOWN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationCheck:
    """How fresh rows compare with those of the pool that they are to follow.

    Attributes
    ----------
    missing, added, changed : tuple of str
        Columns that only the old pool has, only the fresh rows have, or that have another type.
    drift : DriftResult or None
        The distributions of the columns that both have, the label among them; None where columns differ.
    """

    missing: tuple[str, ...]
    added: tuple[str, ...]
    changed: tuple[str, ...]
    drift: DriftResult | None

    @property
    def drifted(self) -> tuple[str, ...]:
        """The columns that are distributed otherwise."""
        return () if self.drift is None else self.drift.drifted

    @property
    def passed(self) -> bool:
        """Whether the fresh rows are like the old ones, as far as the columns tell."""
        return not (self.missing or self.added or self.changed or self.drifted)


def check_rotation(
    storage: Storage,
    pool: PoolRecord,
    dataset: DatasetRecord,
    columns: pa.Schema,
    read: Callable[[list[str]], pa.Table],
) -> RotationCheck:
    """Compare fresh rows with a pool's: the columns and their types, then each distribution.

    Key columns and the event time are left out: they differ of themselves. The sealed columns are compared inside;
    whoever may rotate a pool may be told whether they moved.

    Parameters
    ----------
    columns : Schema
        The columns of the fresh rows.
    read : callable
        Reads some columns of them.
    """
    before = open_version(storage, pool.dataset, pool.version).arrow_schema
    old, new = (dict(zip(each.names, each.types, strict=True)) for each in (before, columns))
    missing, added = (tuple(name for name in a if name not in b) for a, b in ((old, new), (new, old)))
    changed = tuple(name for name in old if name in new and old[name] != new[name])
    if missing or added or changed:
        return RotationCheck(missing=missing, added=added, changed=changed, drift=None)
    left_out = {*pool.dataset.key, *dataset.key, pool.dataset.event_time, dataset.event_time}
    compared = [name for name in old if name not in left_out]
    was, now = TableSubject(opened_pool(storage, pool, compared), pool.name), TableSubject(read(compared), dataset.name)
    # Holm: one false alarm, of any column, stops a rotation.
    drift = drift_between(was, now, adjustment="holm") if compared else None
    return RotationCheck(missing=(), added=(), changed=(), drift=drift)


def require_like(pool: PoolRecord, check: RotationCheck, *, accept_drift: bool) -> None:
    """Refuse fresh rows that are not like those of the pool.

    Raises
    ------
    UsageError
        With code ``pool-columns-differ``, which nothing excuses.
    RefusedError
        With code ``pool-drifted``, unless drift is accepted.
    """
    differing = [*check.missing, *check.added, *check.changed]
    if differing:
        raise UsageError(
            f"The fresh rows do not have the columns of the pool {pool.name!r}: {', '.join(differing[:_SHOWN])}.",
            hint="Rows with the same columns and types may follow a pool; seal others as a pool of their own.",
            code="pool-columns-differ",
            missing=list(check.missing),
            added=list(check.added),
            changed=list(check.changed),
        )
    if check.drifted and not accept_drift:
        raise RefusedError(
            f"The fresh rows are distributed otherwise than those of the pool {pool.name!r}: "
            f"{', '.join(check.drifted[:_SHOWN])}.",
            hint="What passed the old pool may fail the new one. Take rows of the same kind, or accept_drift=True.",
            code="pool-drifted",
            columns=list(check.drifted),
        )


def next_plan(plan: PoolPlan) -> PoolPlan:
    """Return the plan of the pool that follows one: the same, but for its place in a line with one reliability.

    Examples
    --------
    >>> first = plan_pool("n > 0.8 +/- 0.1", reliability=0.95, steps=4, lifetime=1)
    >>> second = next_plan(first)
    >>> second.lifetime, second.labels > first.labels
    (2, True)
    """
    if plan.lifetime is None:
        return plan
    return plan_pool(
        plan.condition,
        reliability=plan.reliability,
        steps=plan.steps,
        reuse=plan.reuse,
        method=plan.method,
        mode=plan.mode,
        beta=plan.beta,
        lifetime=plan.lifetime + 1,
    )
