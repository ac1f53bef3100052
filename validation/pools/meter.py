"""A meter: N uses of a pool, then a new test set; a count, without a promise about errors."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from foldstore.errors import UsageError
from foldstore.validation.pools.clause_test import Method
from foldstore.validation.pools.condition import Clause, Mode, Sense, parse_condition
from foldstore.validation.pools.plan import ExpectedLabels, PassRule, PoolPlan
from foldstore.validation.pools.reuse import Reuse, check_steps
from foldstore.validation.pools.scores import RateScore

if TYPE_CHECKING:
    from foldstore.validation.pools.decide import Shown

KIND: Final = "meter"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Meter(PoolPlan):
    """What takes the place of a plan where only uses are counted: `meter_pool` makes one.

    Its reliability is 0: nothing is promised. What was measured is compared with the bound, as it is.
    """

    def __repr__(self) -> str:
        return f"Meter({str(self.condition)!r}, uses={self.steps})"

    @property
    def expected_labels(self) -> ExpectedLabels | None:
        """None: all labels are looked at."""
        return None

    def pass_rules(self, rows: int | None = None) -> tuple[PassRule, ...]:
        """Return what each clause takes to pass over so many rows, 1,000 unless given."""
        n = 1_000 if rows is None else rows
        return tuple(_rule(clause, n) for clause in self.condition.clauses)

    def holds(self, shown: "Shown") -> bool:
        """Return whether what rows show fulfils the condition, to the letter.

        Examples
        --------
        >>> from foldstore.validation.pools.decide import Counts
        >>> meter = meter_pool("n > 0.8", uses=20)
        >>> meter.holds(Counts(rows=10, correct_new=9)), meter.holds(Counts(rows=10, correct_new=8))
        (True, False)
        """
        passed = []
        for clause in self.condition.clauses:
            total, rows = shown.tally(clause.score)
            passed.append(rows > 0 and _is_beyond(clause, Fraction(total, rows)))
        return all(passed)

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data that `from_dict` reads."""
        # The name, for `super()` has no class to go by in a dataclass with slots.
        return {**PoolPlan.to_dict(self), "kind": KIND}

    def explain(self) -> str:
        """Say in words what is counted, and that nothing is promised."""
        return (
            f"{self.condition}\n  {self.steps:,} uses, then a new test set\n"
            "  nothing is promised: the more often it was used, the less a pass says"
        )


def meter_pool(condition: str, *, uses: int) -> Meter:
    """Return a plan for a pool of any size that is used N times and then replaced.

    For those who want nothing but that. Answers are pass or fail, charged and kept as every pool's; but a condition is
    compared with what was measured, so that chance and use after use make wrong passes likelier. `plan_pool` says how
    many rows a promise takes.

    Parameters
    ----------
    condition : str
        Without tolerances, such as ``n > 0.8`` or ``n - o > 0``.
    uses : int
        How many answers the pool gives.

    Raises
    ------
    UsageError
        With code ``invalid-condition``, for a tolerance and for a registered score, too.

    Examples
    --------
    >>> print(meter_pool("n > 0.8", uses=20).explain())
    n > 0.8
      20 uses, then a new test set
      nothing is promised: the more often it was used, the less a pass says
    """
    check_steps(uses)
    parsed = parse_condition(condition)
    for clause in parsed.clauses:
        if clause.tolerance is not None:
            raise UsageError(
                f"{clause} has a tolerance, and a meter compares with the bound itself.",
                hint="Leave it out, or plan with plan_pool().",
                code="invalid-condition",
                clause=str(clause),
            )
    if parsed.registered:
        raise UsageError(
            f"A meter counts rows; {parsed.registered[0].name} is a score of one's own.",
            hint="Plan with plan_pool().",
            code="invalid-condition",
        )
    return Meter(
        condition=parsed,
        reliability=Fraction(0),
        steps=uses,
        reuse=Reuse.parse("full"),
        method=Method.EXACT,
        mode=Mode.FP_FREE,
        beta=None,
        clause_rows=(1,) * len(parsed.clauses),
    )


def _is_beyond(clause: Clause, share: Fraction) -> bool:
    bound = _bound(clause)
    return share > bound if clause.sense is Sense.ABOVE else share < bound


def _bound(clause: Clause) -> Fraction:
    return clause.score.image(clause.bound) if isinstance(clause.score, RateScore) else clause.bound


def _rule(clause: Clause, rows: int) -> PassRule:
    edge = _bound(clause) * rows
    if clause.sense is Sense.ABOVE:
        return PassRule(clause=clause, rows=rows, at_least=math.floor(edge) + 1, at_most=None)
    return PassRule(clause=clause, rows=rows, at_least=None, at_most=math.ceil(edge) - 1)
