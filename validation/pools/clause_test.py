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

import numpy as np
from numpy.typing import NDArray

from foldstore.errors import UsageError
from foldstore.validation.pools.condition import Clause, Condition, Mode, Sense
from foldstore.validation.pools.estimators.bounded import BoundedTail
from foldstore.validation.pools.estimators.concentration import Margin, bennett_rows, hoeffding_rows
from foldstore.validation.pools.estimators.paired import PairedTail
from foldstore.validation.pools.estimators.proportion import ProportionTail
from foldstore.validation.pools.estimators.sequential import Sequential
from foldstore.validation.pools.estimators.two_point import Tail, TwoPoint
from foldstore.validation.pools.scores import ROW_OUTCOMES, LinearScore, MeanScore, RateScore, Score, decimal_text

_DIFFERS: Final = tuple(bool(row[2]) for row in ROW_OUTCOMES)
# A registered score is counted in whole parts of its range; rounding shifts a mean by half a part at most.
PARTS: Final = 2**20


class Method(StrEnum):
    """How labels are counted: exactly, in order with an early stop, or by the bounds of ease.ml/ci."""

    EXACT = "exact"
    BETTING = "betting"
    HOEFFDING = "hoeffding"
    BENNETT = "bennett"


Rule = TwoPoint | Sequential | Margin


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
    rule : TwoPoint, Sequential or Margin
    """

    clause: Clause
    sign: int
    declares: bool
    rule: Rule

    def passes(self, total: int, n: int) -> bool:
        """Decide the clause by its score's sum over the n rows that count for it; without rows nothing is declared."""
        declared = n > 0 and self.sign * total >= _threshold(self.rule, n)
        return declared is self.declares

    def look(self, values: NDArray[np.int64], total: int) -> tuple[bool, int]:
        """Decide the clause by the rows that count for it, in order; return whether it passes, and after how many.

        `total` is how many rows there are, those included that do not count.
        """
        if not isinstance(self.rule, Sequential):
            return self.passes(int(values.sum(dtype=np.int64)), len(values)), len(values)
        declared, seen = self.rule.run(self.sign * values, total)
        return declared is self.declares, seen

    def stop(self, values: NDArray[np.int64], total: int) -> tuple[bool, int] | None:
        """Return whether the clause passes and after how many rows, where the first rows make it clear."""
        found = self.rule.stop(self.sign * values, total) if isinstance(self.rule, Sequential) else None
        return None if found is None else (found[0] is self.declares, found[1])

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
        ``invalid-condition``: a tolerance is missing or leaves no room.
    """
    return tuple(_clause_test(each, condition, mode, method, levels) for each in condition.clauses)


def is_advantage(score: Score) -> bool:
    """Whether it is n - o."""
    return isinstance(score, LinearScore) and score.factors == (1, -1, 0)


def is_proportion(score: Score) -> bool:
    """Whether a row that counts adds 0 or 1."""
    return isinstance(score, RateScore) or (isinstance(score, LinearScore) and sorted(score.factors) == [0, 0, 1])


@lru_cache(maxsize=256)
def _threshold(rule: Rule, n: int) -> int:
    return rule.threshold(n)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Points:
    """The two means between which a test decides, in the direction of what it declares."""

    sign: int
    null: Fraction
    alternative: Fraction


def _clause_test(clause: Clause, condition: Condition, mode: Mode, method: Method, levels: Levels) -> ClauseTest:
    guards_pass = mode is Mode.FP_FREE
    points = _points(clause, 1 if (clause.sense is Sense.ABOVE) is guards_pass else -1)
    rule: Rule
    if method in (Method.EXACT, Method.BETTING):
        shared = math.log(len(condition.clauses))
        log_alpha = levels.log_guarded - (0.0 if guards_pass else shared)
        log_beta = levels.log_other - (shared if guards_pass else 0.0)
        half = math.log(2.0) if method is Method.BETTING else 0.0
        rule = _two_point(clause, condition, mode, points, log_alpha - half, log_beta - half)
        if method is Method.BETTING:
            rule = _sequential(clause, condition, mode, points.sign, rule)
    else:
        tolerance = (points.alternative - points.null) / 2
        rows = _bounded_rows(clause, condition, method, levels.log_guarded, tolerance)
        rule = Margin(null=points.null, tolerance=tolerance, rows=rows)
    return ClauseTest(clause=clause, sign=points.sign, declares=guards_pass, rule=rule)


def _two_point(
    clause: Clause, condition: Condition, mode: Mode, points: "_Points", log_alpha: float, log_beta: float
) -> TwoPoint:
    null_tail, alternative_tail = _tails(clause, condition, mode, points)
    return TwoPoint(
        null=points.null,
        alternative=points.alternative,
        null_tail=null_tail,
        alternative_tail=alternative_tail,
        log_alpha=log_alpha,
        log_beta=log_beta,
        smooth=isinstance(null_tail, BoundedTail),
        grain=PARTS // 64 if isinstance(clause.score, MeanScore) else 1,
    )


def _sequential(clause: Clause, condition: Condition, mode: Mode, sign: int, cap: TwoPoint) -> Sequential:
    score, spread, wider = clause.score, Fraction(1), Fraction(1)
    values: tuple[int, ...] = (0, PARTS) if isinstance(score, MeanScore) else (0, 1)
    differs: tuple[bool, ...] = (True, True)
    if isinstance(score, LinearScore) and not is_proportion(score):
        values, differs = score.row_values, _DIFFERS
        spread, wider = _spreads(clause, condition, mode)
    return Sequential(
        cap=cap,
        log_alpha=cap.log_alpha + math.log(2.0),
        log_beta=cap.log_beta + math.log(2.0),
        values=tuple(sign * each for each in values),
        differs=differs,
        spread=float(spread),
        wider=float(wider),
    )


def _points(clause: Clause, sign: int) -> _Points:
    score, far = clause.score, clause.bound + 2 * sign * _tolerance(clause)
    _check_room(clause, sign, far)
    null, alternative = sign * score.image(clause.bound), sign * score.image(far)
    if isinstance(score, MeanScore):
        low, high = score.range
        null, alternative = ((each - sign * low) / (high - low) * PARTS for each in (null, alternative))
        null, alternative = null + Fraction(1, 2), alternative - Fraction(1, 2)
    return _Points(sign=sign, null=null, alternative=alternative)


def _tolerance(clause: Clause) -> Fraction:
    if clause.tolerance is None:
        raise UsageError(
            f"{clause} has no tolerance, and no number of labels tells apart what may be equal.",
            hint=f"Write for instance {clause} +/- 0.01: up to twice that beyond the bound, either answer will do.",
            code="invalid-condition",
            clause=str(clause),
        )
    return clause.tolerance


def _check_room(clause: Clause, sign: int, far: Fraction) -> None:
    """Refuse a tolerance so wide that no model could be told from the bound."""
    low, high = clause.score.range
    if not low <= far <= high:
        room = ((high if sign > 0 else low) - clause.bound) / (2 * sign)
        raise UsageError(
            f"{clause} cannot be decided: {clause.score} lies between {decimal_text(Fraction(low))} and "
            f"{decimal_text(Fraction(high))}, within the tolerance.",
            hint=f"With this bound the tolerance is at most {float(room):g}.",
            code="invalid-condition",
            clause=str(clause),
        )


def _tails(clause: Clause, condition: Condition, mode: Mode, points: _Points) -> tuple[Tail, Tail]:
    score = clause.score
    if is_proportion(score):
        return ProportionTail(points.sign), ProportionTail(points.sign)
    if isinstance(score, MeanScore):
        ends = (0, points.sign * PARTS)
        return BoundedTail(ends, (True, True)), BoundedTail(ends, (True, True))
    spread, wider = _spreads(clause, condition, mode)
    if is_advantage(score):
        if abs(points.null) >= spread or abs(points.alternative) > wider:
            raise _undecidable(clause, condition, spread, "n - o is never further from 0 than d")
        return PairedTail(float(spread)), PairedTail(float(wider))
    assert isinstance(score, LinearScore)  # noqa: S101  # the other two are dealt with
    values = tuple(points.sign * each for each in score.row_values)
    null_tail = BoundedTail(values, _DIFFERS, float(spread))
    alternative_tail = BoundedTail(values, _DIFFERS, float(wider))
    if not alternative_tail.reflected().is_possible(-float(points.alternative)):
        raise _undecidable(clause, condition, spread, f"{score} does not get that far where d is small")
    return null_tail, alternative_tail


def _undecidable(clause: Clause, condition: Condition, spread: Fraction, why: str) -> UsageError:
    return UsageError(
        f"{condition} cannot be decided: {why}.",
        hint=f"Raise the bound on d, now {float(spread):g}, or lower the bound or the tolerance of {clause}.",
        code="invalid-condition",
        clause=str(clause),
    )


def _spreads(clause: Clause, condition: Condition, mode: Mode) -> tuple[Fraction, Fraction]:
    """Return the largest d against which either error has to be kept: the guarded one, the other one.

    A clause d < D on the same rows takes care of all larger d itself. In fn-free mode it does so for wrong
    passes only from 2 eps beyond D on.
    """
    bound = condition.difference_clause(clause.score.where)
    if bound is None:
        return Fraction(1), Fraction(1)
    beyond = 2 * _tolerance(bound) if mode is Mode.FN_FREE else Fraction(0)
    return min(bound.bound, Fraction(1)), min(bound.bound + beyond, Fraction(1))


def _bounded_rows(clause: Clause, condition: Condition, method: Method, log_level: float, tolerance: Fraction) -> int:
    clauses, score = len(condition.clauses), clause.score
    if method is Method.BENNETT and is_advantage(score):
        bound = condition.difference_clause(score.where)
        spread = min(1.0, float(bound.bound)) if bound else 1.0
        # The paper's pattern 1: two sides of the estimate and as much again for the filter on d.
        return bennett_rows(tolerance=float(tolerance), log_level=log_level, spread=spread, split=2 * max(clauses, 2))
    factors = [abs(each) for each in score.factors if each] if isinstance(score, LinearScore) else [1]
    return hoeffding_rows(
        tolerance=float(tolerance) / (PARTS if isinstance(score, MeanScore) else 1),
        log_level=log_level - math.log(clauses),
        weight=float(sum(factors)),
        variables=len(factors),
    )
