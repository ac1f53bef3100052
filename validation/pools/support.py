"""What a pool that is too small for its plan could support: fewer steps, fewer passes, a wider tolerance."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

from foldstore.errors import RefusedError, UsageError
from foldstore.validation.pools.condition import Condition
from foldstore.validation.pools.plan import PoolPlan, is_partial
from foldstore.validation.pools.reuse import Reuse
from foldstore.validation.pools.scores import Score

_WIDER: Final = 1.02
_WIDEST: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSupport:
    """What so many rows can do for a plan.

    Attributes
    ----------
    rows : int
        How many there are.
    needed : int
        How many the plan needs.
    steps : int
        How many steps they support, all else being equal; 0 when not even one.
    passes : int or None
        How many passes, all else being equal, where the policy counts them; 0 when not even one.
    condition : Condition or None
        The condition with tolerances widened until they fit; None when none does.
    """

    rows: int
    needed: int
    steps: int
    passes: int | None
    condition: Condition | None

    @property
    def fits(self) -> bool:
        """Whether the plan is supported as it is."""
        return self.rows >= self.needed

    def explain(self) -> str:
        """Say it in a sentence or two."""
        if self.fits:
            return f"{self.rows:,} rows support the plan, which needs {self.needed:,}."
        ways = [_counted(self.steps, "step")] if self.steps else []
        ways += [_counted(self.passes, "pass")] if self.passes else []
        ways += [f"the wider tolerance of {self.condition}"] if self.condition else []
        able = f"They would support {', or '.join(ways)}." if ways else "They support no such question at all."
        return f"{self.rows:,} rows are fewer than the {self.needed:,} that the plan needs. {able}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        condition = None if self.condition is None else str(self.condition)
        plain = {name: getattr(self, name) for name in ("rows", "needed", "steps", "passes", "fits")}
        return plain | {"condition": condition}


def supports(n_rows: int, plan: PoolPlan) -> PoolSupport:
    """Say what so many rows support: the plan, or what of it.

    Parameters
    ----------
    n_rows : int
        Labelled rows that there are.
    plan : PoolPlan

    Examples
    --------
    >>> from foldstore.validation.pools.plan import plan_pool
    >>> plan = plan_pool("n > 0.8 +/- 0.05", reliability=0.9999, steps=32)
    >>> support = supports(1_000, plan)
    >>> support.steps, str(support.condition)
    (4, 'n > 0.8 +/- 0.075')
    """
    if n_rows >= plan.rows:
        return PoolSupport(
            rows=n_rows, needed=plan.rows, steps=plan.steps, passes=plan.reuse.passes, condition=plan.condition
        )
    return PoolSupport(
        rows=n_rows,
        needed=plan.rows,
        steps=_most_steps(n_rows, plan),
        passes=_most_passes(n_rows, plan),
        condition=_widened(n_rows, plan),
    )


def require_rows(plan: PoolPlan, n_rows: int) -> None:
    """Refuse a pool that is too small for its plan, saying what it could support.

    Raises
    ------
    RefusedError
        With code ``pool-too-small``.
    """
    support = supports(n_rows, plan)
    if not support.fits:
        raise RefusedError(
            f"The plan needs {plan.rows:,} rows; the pool has {n_rows:,}.",
            hint=support.explain(),
            code="pool-too-small",
            **support.to_dict(),
        )


def _counted(number: int, word: str) -> str:
    plural = "es" if word.endswith("s") else "s"
    return f"{number:,} {word}{'' if number == 1 else plural}"


def _most_steps(n_rows: int, plan: PoolPlan) -> int:
    return _largest(plan.steps, lambda steps: replace(plan, steps=steps), n_rows)


def _most_passes(n_rows: int, plan: PoolPlan) -> int | None:
    if plan.reuse.passes is None:
        return None
    return _largest(plan.reuse.passes, lambda passes: replace(plan, reuse=Reuse.max_passes(passes)), n_rows)


def _largest(limit: int, variant: Callable[[int], PoolPlan], n_rows: int) -> int:
    """Return the largest number up to the limit whose plan fits; 0 when none does."""
    low, high = 0, limit + 1
    while n_rows > 0 and low + 1 < high:
        middle = (low + high) // 2
        if _holds(variant(middle), n_rows):
            low = middle
        else:
            high = middle
    while low and not _fits(variant(low), n_rows):
        low -= 1
    return low


def _widened(n_rows: int, plan: PoolPlan) -> Condition | None:
    for condition in _wider_conditions(plan.condition):
        candidate = replace(plan, condition=condition)
        try:
            if n_rows > 0 and _holds(candidate, n_rows) and _fits(candidate, n_rows):
                return condition
        except UsageError:
            # Wider still would only leave less room between the bound and the end of the range.
            return None
    return None


def _wider_conditions(condition: Condition) -> Iterator[Condition]:
    """Widen all tolerances alike, rounded up to two digits."""
    factor, last = _WIDER, condition
    while factor < _WIDEST:
        clauses = [
            replace(each, tolerance=None if each.tolerance is None else _two_digits(float(each.tolerance) * factor))
            for each in condition.clauses
        ]
        wider = Condition(tuple(clauses))
        if wider != last:
            yield wider
        factor, last = factor * _WIDER, wider


def _two_digits(value: float) -> Fraction:
    unit = Fraction(10) ** (math.floor(math.log10(value)) - 1)
    return math.ceil(Fraction(value) / unit - Fraction(1, 1000)) * unit


def _holds(plan: PoolPlan, n_rows: int) -> bool:
    """Whether so many rows keep the levels: quick, but blind to the saw-tooth that `_fits` sees."""
    rules = ((test.rule, test.clause.score) for test in plan.tests)
    return all(rule.holds(_counted_rows(n_rows, score, plan)) for rule, score in rules)


def _fits(plan: PoolPlan, n_rows: int) -> bool:
    return all(test.rule.fewest_rows() <= _counted_rows(n_rows, test.clause.score, plan) for test in plan.tests)


def _counted_rows(n_rows: int, score: Score, plan: PoolPlan) -> int:
    """Return how many of a pool's rows count for a score, at the prevalence that the plan assumes."""
    if plan.prevalence is None or not is_partial(score):
        return n_rows
    low, high = 1, n_rows
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if plan.pool_rows(score, middle) <= n_rows else (low, middle - 1)
    return low
