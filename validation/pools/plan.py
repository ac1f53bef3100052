"""How many labels a pool needs, for a condition, a reliability and a reuse policy; and what an answer takes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import Any, Final, NamedTuple, TypeVar

from foldstore.errors import UsageError, did_you_mean
from foldstore.validation.pools.clause_test import PARTS, ClauseTest, Levels, Method, clause_tests, is_advantage
from foldstore.validation.pools.condition import Clause, Condition, Mode, parse_condition
from foldstore.validation.pools.estimators.proportion import rows_for_successes
from foldstore.validation.pools.estimators.sequential import Sequential
from foldstore.validation.pools.reuse import (
    Reuse,
    answer_level,
    check_steps,
    lifetime_share,
    log_of_level,
    read_reliability,
)
from foldstore.validation.pools.scores import (
    LinearScore,
    MeanScore,
    Rate,
    RateScore,
    Score,
    decimal_text,
    score_of_record,
    score_record,
)

Choice = TypeVar("Choice", bound=StrEnum)

_COUNT_NAMES: Final = ("correct_new", "correct_old", "differing")


@dataclass(frozen=True, slots=True, kw_only=True)
class PassRule:
    """What a clause takes to pass, over a number of rows.

    Attributes
    ----------
    clause : Clause
    rows : int
        How many rows count for it.
    at_least, at_most : int or None
        The sum of the clause's score over the rows, of a registered score in parts of its range; one is None.
    """

    clause: Clause
    rows: int
    at_least: int | None
    at_most: int | None

    def __str__(self) -> str:
        least, most = self._bounds
        edge, sign = (most, "<=") if least is None else (least, ">=")
        share = (edge or 0) / self.rows
        score = self.clause.score
        shown = f"{edge:,}" if isinstance(edge, int) else f"{edge:,.3f}"
        return f"{count_name(score)} {sign} {shown} of {self.rows:,} {score.counted} ({share:.4g})"

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        least, most = self._bounds
        counts = {"count": count_name(self.clause.score), "at_least": least, "at_most": most}
        return {"clause": str(self.clause), "rows": self.rows, **counts}

    @property
    def _bounds(self) -> tuple[float | None, float | None]:
        score = self.clause.score
        if not isinstance(score, MeanScore):
            return self.at_least, self.at_most
        low, high = map(float, score.range)
        part = (high - low) / PARTS
        real = (None if each is None else each * part + self.rows * low for each in (self.at_least, self.at_most))
        return next(real), next(real)


class ExpectedLabels(NamedTuple):
    """About how many labels an answer rests on.

    Attributes
    ----------
    at_bound : int
        Where a model lies on the bound of the slowest clause.
    beyond : int
        Where it lies twice the tolerance beyond every bound.
    between : int
        Where it lies in between and nothing is clear until the last row.
    """

    at_bound: int
    beyond: int
    between: int


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PoolPlan:
    """The rows that a pool must hold, and the rule that its answers follow.

    Attributes
    ----------
    condition : Condition
    reliability : Fraction
        The probability that no answer errs in the direction that the mode guards against.
    steps : int
        How many answers at most.
    reuse : Reuse
    method : Method
    mode : Mode
    beta : Fraction or None
        The probability per answer of the other error; None: the same as the guarded one.
    clause_rows : tuple of int
        The rows that each clause needs, in the condition's order: of those that count for it.
    lifetime : int or None
        Which pool of a line this is, where the reliability is that of the whole line.
    prevalence : Fraction or None
        The share of the pool's rows that count for a clause on a class or a slice, where one was assumed.
    """

    condition: Condition
    reliability: Fraction
    steps: int
    reuse: Reuse
    method: Method
    mode: Mode
    beta: Fraction | None
    clause_rows: tuple[int, ...]
    lifetime: int | None = None
    prevalence: Fraction | None = None

    def __repr__(self) -> str:
        return (
            f"PoolPlan({str(self.condition)!r}, labels={self.labels:,}, reliability={decimal_text(self.reliability)}, "
            f"steps={self.steps}, reuse={str(self.reuse)!r}, mode={str(self.mode)!r}, method={str(self.method)!r})"
        )

    @property
    def labels(self) -> int:
        """How many labelled rows the condition needs; 0 when it is about d alone."""
        needed = zip(self.condition.clauses, self.clause_rows, strict=True)
        return max((self._labels_for(clause.score, rows) for clause, rows in needed), default=0)

    @property
    def rows(self) -> int:
        """How many rows the pool must hold; more than `labels` where a clause on d asks for more."""
        needed = zip(self.condition.clauses, self.clause_rows, strict=True)
        return max(self.pool_rows(clause.score, rows) for clause, rows in needed)

    def at_prevalence(self, prevalence: float | str | Fraction) -> "PoolPlan":
        """Return the plan for a pool of which so large a share counts for a clause on a class or a slice.

        It says how many rows the pool must hold so that, in 99 of 100 pools, enough of them count.

        Examples
        --------
        >>> plan = plan_pool("recall(n) > 0.8 +/- 0.05", reliability=0.999, steps=8)
        >>> plan.rows, plan.at_prevalence(0.1).rows
        (1001, 10722)
        """
        return replace(self, prevalence=_read_prevalence(prevalence))

    def pool_rows(self, score: Score, counted: int) -> int:
        """Return how many rows of a pool so many that count for a score take, at the prevalence that was assumed.

        So many that there are fewer with a probability of 1 % at most.
        """
        if self.prevalence is None or not is_partial(score):
            return counted
        return rows_for_successes(counted, float(self.prevalence), shortfall=0.01)

    def _labels_for(self, score: Score, counted: int) -> int:
        if not score.needs_labels:
            return 0
        by_label = isinstance(score, RateScore) and score.rate is not Rate.PRECISION
        return self.pool_rows(score, counted) if by_label else counted

    @property
    def spendable(self) -> Fraction:
        """The probability of error that all answers of the pool may have together."""
        share = Fraction(1) if self.lifetime is None else lifetime_share(self.lifetime)
        return (1 - self.reliability) * share

    @property
    def exact_level(self) -> Fraction:
        """The level of each answer, exactly; the lowest, where the policy lets it depend on the answers before."""
        return answer_level(self.reliability, self.steps, self.reuse, lifetime=self.lifetime)

    @property
    def log_level(self) -> float:
        """Ln of the level of each answer, never above the exact one."""
        return log_of_level(self.exact_level)

    @property
    def level(self) -> float:
        """The level of each answer; 0.0 where it is below the smallest float, which `log_level` is not."""
        return math.exp(self.log_level)

    @property
    def tests(self) -> tuple[ClauseTest, ...]:
        """The test of each clause, at the plan's level."""
        return self.tests_at(self.log_level)

    def tests_at(self, log_level: float) -> tuple[ClauseTest, ...]:
        """Return the test of each clause for an answer of a level, ln of which is given."""
        guarded = log_level
        other = guarded if self.beta is None else log_of_level(self.beta)
        levels = Levels(log_guarded=guarded, log_other=other)
        return clause_tests(self.condition, mode=self.mode, method=self.method, levels=levels)

    @property
    def expected_labels(self) -> ExpectedLabels | None:
        """About how many labels an answer rests on, where only those are read that matter; None where nothing is said.

        By betting, an answer stops when it is clear; by other methods it looks at all rows. Of n - o, labels matter on
        rows where the models differ, which are as many as the clause on d allows, at most.
        """
        found = [(0.0, 0.0, 0.0)]
        for test, rows in zip(self.tests, self.clause_rows, strict=True):
            if test.clause.score.needs_labels:
                share = self._share_labelled(test.clause.score)
                expected = test.rule.expected_rows() if isinstance(test.rule, Sequential) else (math.inf, math.inf)
                at_bound, beyond = (min(each, float(rows)) for each in expected)
                found.append((at_bound * share, beyond * share, rows * share))
        return ExpectedLabels(*(round(max(each)) for each in zip(*found, strict=True)))

    def _share_labelled(self, score: Score) -> float:
        """Return for which share of the rows that are looked at a label is needed: of n - o, where models differ."""
        bound = self.condition.difference_clause(score.where) if is_advantage(score) else None
        return 1.0 if bound is None else min(1.0, float(bound.bound))

    def pass_rules(self, rows: int | None = None) -> tuple[PassRule, ...]:
        """Return what each clause takes to pass over so many rows, as many as the plan needs unless given.

        A clause on a class or a slice is told for the rows that it needs.
        """
        counted = [
            needed if is_partial(clause.score) else (self.rows if rows is None else rows)
            for clause, needed in zip(self.condition.clauses, self.clause_rows, strict=True)
        ]
        bounds = [(test.clause, n, *test.pass_bounds(n)) for test, n in zip(self.tests, counted, strict=True)]
        return tuple(PassRule(clause=each, rows=n, at_least=low, at_most=high) for each, n, low, high in bounds)

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data that `from_dict` reads, with what follows from it."""
        return {
            "condition": str(self.condition),
            "scores": [score_record(each) for each in self.condition.registered],
            "reliability": str(self.reliability),
            "steps": self.steps,
            "reuse": str(self.reuse),
            "method": str(self.method),
            "mode": str(self.mode),
            "beta": None if self.beta is None else str(self.beta),
            "clause_rows": list(self.clause_rows),
            "lifetime": self.lifetime,
            "prevalence": None if self.prevalence is None else str(self.prevalence),
            "labels": self.labels,
            "rows": self.rows,
            "log_level": self.log_level,
            "expected_labels": None if self.expected_labels is None else self.expected_labels._asdict(),
            "pass_rules": [each.to_dict() for each in self.pass_rules()],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "PoolPlan":
        """Read what `to_dict` gave, without searching again."""
        return cls(
            condition=parse_condition(data["condition"], map(score_of_record, data.get("scores", ()))),
            reliability=Fraction(data["reliability"]),
            steps=data["steps"],
            reuse=Reuse.parse(data["reuse"]),
            method=Method(data["method"]),
            mode=Mode(data["mode"]),
            beta=None if data["beta"] is None else Fraction(data["beta"]),
            clause_rows=tuple(data["clause_rows"]),
            # Plans that were kept before there were any have none.
            lifetime=data.get("lifetime"),
            prevalence=None if data.get("prevalence") is None else Fraction(data["prevalence"]),
        )

    def explain(self) -> str:
        """Say in words what the plan asks for, and what it promises."""
        lines = [
            str(self.condition),
            f"  reliability {decimal_text(self.reliability)}, up to {self.steps:,} answers, reuse {self.reuse}, "
            f"{self.mode}, {self.method}",
            f"  each answer may be a wrong {self._guarded} with a probability of at most {self._level_text}",
            f"  and {self._promise}",
            f"  the pool must hold {self._at_least}{self.rows:,} rows, {self.labels:,} of them with labels",
        ]
        looked = self.expected_labels
        if looked is not None and self.method is Method.BETTING:
            lines.append(
                f"  looked at in order, about {looked.beyond:,} labels settle it beyond twice each tolerance, "
                f"{looked.at_bound:,} on a bound, {looked.between:,} in between"
            )
        elif looked is not None and looked.between < max(self.clause_rows) and self.labels:
            lines.append(f"  labels matter where the models differ: about {looked.between:,} of them an answer")
        for clause, rows, rule in zip(self.condition.clauses, self.clause_rows, self.pass_rules(), strict=True):
            lines += [f"  {clause}", f"    needs {self._need(clause.score, rows)}; passes at {rule}"]
            if is_partial(clause.score) and self.prevalence is None:
                tenth, hundredth = (rows_for_successes(rows, share, shortfall=0.01) for share in (0.1, 0.01))
                lines.append(
                    f"    if they are a tenth of the pool, it must hold {tenth:,} rows; a hundredth, {hundredth:,}"
                )
        return "\n".join(lines)

    @property
    def _at_least(self) -> str:
        unknown = self.prevalence is None and any(is_partial(each.score) for each in self.condition.clauses)
        return "at least " if unknown else ""

    def _need(self, score: Score, rows: int) -> str:
        if is_partial(score):
            return f"{rows:,} {score.counted}" + ("" if score.needs_labels else ", no labels")
        return f"{rows:,} {'labels' if score.needs_labels else 'rows, no labels'}"

    @property
    def _guarded(self) -> str:
        return "pass" if self.mode is Mode.FP_FREE else "fail"

    @property
    def _promise(self) -> str:
        other = "fail" if self.mode is Mode.FP_FREE else "pass"
        if self.method in (Method.HOEFFDING, Method.BENNETT):
            return f"a wrong {other} with no greater one, beyond twice each tolerance"
        beta = self._level_text if self.beta is None else decimal_text(self.beta)
        return f"a wrong {other} with at most {beta}, beyond twice each tolerance"

    @property
    def _level_text(self) -> str:
        return f"{self.level:.3g}" if self.level > 0 else f"exp({self.log_level:.1f})"


def plan_pool(
    condition: str | Condition,
    *,
    reliability: float | str | Fraction,
    steps: int,
    reuse: str | Reuse = "full",
    method: str | Method = Method.EXACT,
    mode: str | Mode = Mode.FP_FREE,
    beta: float | str | Fraction | None = None,
    lifetime: int | None = None,
) -> PoolPlan:
    r"""Say how many labels a test pool needs.

    Parameters
    ----------
    condition : str or Condition
        What is asked of each candidate, such as ``n - o > 0.02 +/- 0.01 /\ d < 0.1 +/- 0.01``.
    reliability : float, str or Fraction
        The probability that no answer of the pool, ever, is a wrong pass (in fn-free mode: a wrong fail).
    steps : int
        How many answers the pool may give; with ``universal`` how many it must be able to give.
    reuse : str or Reuse
        ``full``, ``max_passes:k``, ``first_change``, ``none``, ``universal`` or ``universal:k``.
    method : str or Method
        ``exact``; ``betting`` looks at labels in order and stops early, see `PoolPlan.expected_labels`; ``hoeffding``
        and ``bennett`` compute as ease.ml/ci does.
    mode : str or Mode
        ``fp-free`` or ``fn-free``.
    beta : float, str or Fraction, optional
        The probability per answer of the error that the mode does not guard against, by exact and betting; the
        same as the level of an answer unless given.
    lifetime : int, optional
        Plans the j-th pool of a line whose pools share the reliability for good: it may spend 6/(pi j)^2 of the
        error. Unless given, each pool has the reliability for itself.

    Notes
    -----
    With delta = 1 - reliability and N places in the tree of answers (see `Reuse.places`) an answer has the
    level delta/N. The promise of a clause ``x > c +/- eps``, fp-free: where x <= c it passes with at most that
    probability, where x >= c + 2 eps it fails with at most beta/k, k the number of clauses.

    Raises
    ------
    UsageError
        With a code such as ``invalid-condition``, ``invalid-reliability``, ``invalid-steps``.

    Examples
    --------
    >>> plan = plan_pool("n > 0.8 +/- 0.05", reliability=0.9999, steps=32)
    >>> plan.labels, plan_pool("n > 0.8 +/- 0.05", reliability=0.9999, steps=32, method="hoeffding").labels
    (2825, 6279)
    >>> print(plan.pass_rules()[0])
    correct_new >= 2,415 of 2,825 rows (0.8549)
    """
    check_steps(steps)
    draft = PoolPlan(
        condition=_read_condition(condition),
        reliability=read_reliability(reliability),
        steps=steps,
        reuse=Reuse.parse(reuse),
        method=_choice(Method, method, "method"),
        mode=_choice(Mode, mode, "mode"),
        beta=None if beta is None else _read_beta(beta),
        clause_rows=(),
        lifetime=lifetime,
    )
    return _sized(draft)


def is_partial(score: Score) -> bool:
    """Whether only some of a pool's rows count for a score."""
    return isinstance(score, RateScore) or bool(score.where)


def count_name(score: Score) -> str:
    """Return what the sum of a score over the rows is called."""
    if isinstance(score, RateScore):
        return f"true positives of {score.model}"
    if not isinstance(score, LinearScore):
        return f"sum of {score}"
    if is_advantage(score):
        return "wins - losses"
    named = zip(_COUNT_NAMES, score.factors, strict=True)
    parts = [f"{'-' if f < 0 else '+'} {'' if abs(f) == 1 else f'{abs(f)}*'}{name}" for name, f in named if f]
    return " ".join(parts).removeprefix("+ ")


def _read_condition(condition: object) -> Condition:
    if isinstance(condition, Condition):
        return condition
    if not isinstance(condition, str):
        raise UsageError(
            f"A condition is text, not {ascii(condition)[:40]}.",
            hint='Write "n - o > 0 +/- 0.01".',
            code="invalid-condition",
        )
    return parse_condition(condition)


def _sized(draft: PoolPlan) -> PoolPlan:
    rows = tuple(test.rule.fewest_rows() for test in draft.tests)
    return replace(draft, clause_rows=rows)


def _choice(kind: type[Choice], word: str, what: str) -> Choice:
    if not isinstance(word, str) or word not in set(kind):
        raise UsageError(
            f"There is no {what} {word!a}.", hint=did_you_mean(str(word), map(str, kind)), code=f"invalid-{what}"
        )
    return kind(word)


def _read_beta(beta: float | str | Fraction) -> Fraction:
    return _read_share(
        beta,
        "beta is a probability between 0 and 1, both excluded",
        hint="Leave it out to guard against both errors alike.",
        code="invalid-beta",
    )


def _read_prevalence(prevalence: float | str | Fraction) -> Fraction:
    return _read_share(
        prevalence,
        "A prevalence is a share between 0 and 1, both excluded",
        hint="Leave it out where all rows count, or where it is not known.",
        code="invalid-prevalence",
    )


def _read_share(value: float | str | Fraction, what: str, *, hint: str, code: str) -> Fraction:
    try:
        return read_reliability(value)
    except UsageError:
        raise UsageError(f"{what}, not {str(value)[:40]!a}.", hint=hint, code=code) from None
