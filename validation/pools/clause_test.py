"""One clause as a test: what it declares, in which direction, at which levels and by which method.

A wrong pass of a conjunction needs one particular false clause to be taken for true, so in fp-free mode every
clause may use the whole level (intersection-union test, Berger 1982); a wrong fail needs any of the k clauses
to be missed, so that error is divided by k. In fn-free mode the roles are exchanged.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from typing import Final

from foldstore.errors import UsageError
from foldstore.validation.pools.condition import Clause, Condition, LinearScore, Mode, Sense
from foldstore.validation.pools.estimators.concentration import Margin, bennett_rows, hoeffding_rows
from foldstore.validation.pools.estimators.paired import PairedTail
from foldstore.validation.pools.estimators.proportion import ProportionTail
from foldstore.validation.pools.estimators.two_point import Tail, TwoPoint

ADVANTAGE: Final = LinearScore(new=1, old=-1)
_PROPORTIONS: Final = (LinearScore(new=1), LinearScore(old=1), LinearScore(differing=1))


class Method(StrEnum):
    """How labels are counted: exactly, or by the bounds of ease.ml/ci."""

    EXACT = "exact"
    HOEFFDING = "hoeffding"
    BENNETT = "bennett"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClauseTest:
    """A clause and the test that decides it.

    Attributes
    ----------
    clause : Clause
    sign : int
        The test declares when `sign` times the score's sum reaches its threshold.
    declares : bool
        What it declares: that the clause holds (fp-free) or that it does not (fn-free).
    rule : TwoPoint or Margin
    """

    clause: Clause
    sign: int
    declares: bool
    rule: TwoPoint | Margin

    def passes(self, total: int, n: int) -> bool:
        """Decide the clause by its score's sum over n rows."""
        declared = self.sign * total >= _threshold(self.rule, n)
        return declared is self.declares

    def pass_bounds(self, n: int) -> tuple[int | None, int | None]:
        """Return the smallest and the largest sum over n rows that pass; one of them is None."""
        edge = self.sign * _threshold(self.rule, n)
        if self.declares:
            return (edge, None) if self.sign > 0 else (None, edge)
        return (None, edge - 1) if self.sign > 0 else (edge + 1, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """What a plan allows each answer to err by.

    Attributes
    ----------
    log_guarded : float
        ln of the level of the error that the mode guards against.
    log_other : float
        ln of the level of the other error.
    """

    log_guarded: float
    log_other: float


def clause_tests(condition: Condition, *, mode: Mode, method: Method, levels: Levels) -> tuple[ClauseTest, ...]:
    """Return the test of each clause, in the condition's order.

    Raises
    ------
    UsageError
        ``invalid-condition``: a tolerance is missing or leaves no room; ``unsupported-condition``: the method
        does not cover a clause.
    """
    return tuple(_clause_test(each, condition, mode, method, levels) for each in condition.clauses)


@lru_cache(maxsize=256)
def _threshold(rule: TwoPoint | Margin, n: int) -> int:
    return rule.threshold(n)


def _clause_test(clause: Clause, condition: Condition, mode: Mode, method: Method, levels: Levels) -> ClauseTest:
    tolerance = _tolerance(clause)
    guards_pass = mode is Mode.FP_FREE
    sign = 1 if (clause.sense is Sense.ABOVE) is guards_pass else -1
    null = sign * clause.bound
    _check_room(clause, sign, null + 2 * tolerance)
    rule: TwoPoint | Margin
    if method is Method.EXACT:
        null_tail, alternative_tail = _tails(clause, condition, mode, sign)
        shared = math.log(len(condition.clauses))
        rule = TwoPoint(
            null=null,
            alternative=null + 2 * tolerance,
            null_tail=null_tail,
            alternative_tail=alternative_tail,
            log_alpha=levels.log_guarded - (0.0 if guards_pass else shared),
            log_beta=levels.log_other - (shared if guards_pass else 0.0),
        )
    else:
        rows = _bounded_rows(clause, condition, method, levels.log_guarded)
        rule = Margin(null=null, tolerance=tolerance, rows=rows)
    return ClauseTest(clause=clause, sign=sign, declares=guards_pass, rule=rule)


def _tolerance(clause: Clause) -> Fraction:
    if clause.tolerance is None:
        raise UsageError(
            f"{clause} has no tolerance, and no number of labels tells apart what may be equal.",
            hint=f"Write for instance {clause} +/- 0.01: up to twice that beyond the bound, either answer will do.",
            code="invalid-condition",
            clause=str(clause),
        )
    return clause.tolerance


def _check_room(clause: Clause, sign: int, alternative: Fraction) -> None:
    """Refuse a tolerance so wide that no model could be told from the bound."""
    low, high = clause.score.range
    far = high if sign > 0 else -low
    if alternative > far:
        room = (far - sign * clause.bound) / 2
        raise UsageError(
            f"{clause} cannot be decided: {clause.score} lies between {low} and {high}, within the tolerance.",
            hint=f"With this bound the tolerance is at most {float(room):g}.",
            code="invalid-condition",
            clause=str(clause),
        )


def _tails(clause: Clause, condition: Condition, mode: Mode, sign: int) -> tuple[Tail, Tail]:
    if clause.score in _PROPORTIONS:
        return ProportionTail(sign), ProportionTail(sign)
    if clause.score != ADVANTAGE:
        raise UsageError(
            f"No exact method covers {clause.score}.",
            hint="Exact are n, o, d and n - o; method='hoeffding' covers every linear score.",
            code="unsupported-condition",
            clause=str(clause),
        )
    spread, wider = _spreads(condition, mode)
    null = sign * clause.bound
    alternative = null + 2 * _tolerance(clause)
    if abs(null) >= spread or abs(alternative) > wider:
        raise UsageError(
            f"{condition} cannot be decided: n - o is never further from 0 than d.",
            hint=f"Raise the bound on d, now {float(spread):g}, or lower the bound or the tolerance of {clause}.",
            code="invalid-condition",
            clause=str(clause),
        )
    return PairedTail(float(spread)), PairedTail(float(wider))


def _spreads(condition: Condition, mode: Mode) -> tuple[Fraction, Fraction]:
    """Return the largest d against which either error has to be kept: the guarded one, the other one.

    A clause d < D takes care of all larger d itself. In fn-free mode it does so for wrong passes only from
    2 eps beyond D on.
    """
    clause = condition.difference_clause
    if clause is None:
        return Fraction(1), Fraction(1)
    beyond = 2 * _tolerance(clause) if mode is Mode.FN_FREE else Fraction(0)
    return min(clause.bound, Fraction(1)), min(clause.bound + beyond, Fraction(1))


def _bounded_rows(clause: Clause, condition: Condition, method: Method, log_level: float) -> int:
    clauses = len(condition.clauses)
    tolerance = float(_tolerance(clause))
    if method is Method.BENNETT and clause.score == ADVANTAGE:
        bound = condition.difference_clause
        spread = min(1.0, float(bound.bound)) if bound else 1.0
        # The paper's pattern 1: two sides of the estimate and as much again for the filter on d.
        return bennett_rows(tolerance=tolerance, log_level=log_level, spread=spread, split=2 * max(clauses, 2))
    factors = [abs(each) for each in clause.score.factors if each]
    return hoeffding_rows(
        tolerance=tolerance,
        log_level=log_level - math.log(clauses),
        weight=float(sum(factors)),
        variables=len(factors),
    )
