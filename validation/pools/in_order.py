"""Looking at labels in order: a plan by betting stops as soon as it knows, and most labels are never needed.

How many were looked at tells more than an answer: it is for whoever pays for labels, and never for whoever asks.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foldstore.validation.pools.clause_test import ClauseTest
from foldstore.validation.pools.evidence import Evidence
from foldstore.validation.pools.plan import PoolPlan


class Look(NamedTuple):
    """What came of looking at rows in order.

    Attributes
    ----------
    passed : bool
    rows : int
        How many rows were looked at.
    labels : int
        For how many of them a label was needed.
    """

    passed: bool
    rows: int
    labels: int


@dataclass(frozen=True, slots=True)
class _ClauseLook:
    test: ClauseTest
    passed: bool
    stop: int


def look_in_order(plan: PoolPlan, evidence: Evidence, *, log_level: float | None = None) -> Look:
    """Decide by rows in order; of a plan by another method than betting, after the last row.

    Parameters
    ----------
    plan : PoolPlan
    evidence : Evidence
        In an order that says nothing of the labels.
    log_level : float, optional
        ln of the level of this answer; the plan's unless given.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from foldstore.validation.pools.plan import plan_pool
    >>> plan = plan_pool("n > 0.6 +/- 0.05", reliability=0.99, steps=1, method="betting")
    >>> right = pa.array([True] * plan.rows)
    >>> plan.labels, look_in_order(plan, Evidence(labels=right, new=right))
    (732, Look(passed=True, rows=16, labels=16))
    """
    tests = plan.tests if log_level is None else plan.tests_at(log_level)
    # Every clause is computed to its end, so that the time taken does not tell which one failed, or when.
    looks = [_look(test, evidence) for test in tests]
    failed = [each for each in looks if not each.passed]
    stop = min(each.stop for each in failed) if failed else max(each.stop for each in looks)
    if any(not each.test.clause.score.needs_labels for each in failed):
        return Look(passed=False, rows=stop, labels=0)  # what needs no label is looked at first
    needed = np.zeros(stop, np.bool_)
    for each in looks:
        until = min(stop, each.stop)
        needed[:until] |= evidence.label_matters(each.test.clause.score)[:until]
    return Look(not failed, stop, int(np.count_nonzero(needed)))


def _look(test: ClauseTest, evidence: Evidence) -> _ClauseLook:
    score = test.clause.score
    counted = evidence.counted(score)
    passed, seen = test.look(evidence.values(score, counted), evidence.rows)
    return _ClauseLook(test, passed, place_after(counted, seen))


def place_after(counted: NDArray[Any] | None, seen: int) -> int:
    """Return how many rows are passed when so many of those that count were seen."""
    if counted is None:
        return seen
    places = np.flatnonzero(counted)
    return len(counted) if seen >= len(places) else int(places[seen - 1]) + 1
