"""Decide pass or fail by a plan: counts in, one bit out, the same for the same counts."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from foldstore.errors import RefusedError, UsageError
from foldstore.validation.pools.clause_test import Method, is_advantage
from foldstore.validation.pools.plan import PoolPlan, count_name
from foldstore.validation.pools.scores import LinearScore, Score


class Tally(NamedTuple):
    """The sum of a score, and over how many rows: those that count for it."""

    total: int
    rows: int


class Shown(Protocol):
    """What rows show: totals alone, or row by row."""

    @property
    def rows(self) -> int:
        """How many rows there are."""
        ...

    def tally(self, score: Score) -> Tally:
        """Return the sum of a score over the rows that count for it, and how many those are."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What the rows of a pool show about two models.

    Attributes
    ----------
    rows : int
    advantage : int or None
        Rows where only the new model is right, minus rows where only the old one is.
    differing : int or None
        Rows on which their predictions differ.
    correct_new, correct_old : int or None
        Rows on which each is right. None stands for what was not counted; a clause that needs it is refused.
    """

    rows: int
    advantage: int | None = None
    differing: int | None = None
    correct_new: int | None = None
    correct_old: int | None = None

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise UsageError("Counts are over at least one row.", code="invalid-counts")
        for name in ("differing", "correct_new", "correct_old"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= self.rows:
                raise UsageError(f"{name} is {value:,} of {self.rows:,} rows.", code="invalid-counts")
        limit = self.rows if self.differing is None else self.differing
        if self.advantage is not None and abs(self.advantage) > limit:
            raise UsageError(
                f"wins - losses is {self.advantage:,} where at most {limit:,} rows differ.", code="invalid-counts"
            )

    @classmethod
    def paired(cls, *, wins: int, losses: int, ties: int, differing: int | None = None) -> "Counts":
        """Count rows where only the new model is right, only the old one, and the rest.

        Parameters
        ----------
        wins, losses, ties : int
        differing : int, optional
            Where two wrong predictions may differ from one another: more than two classes. Otherwise it is
            wins + losses.
        """
        if min(wins, losses, ties) < 0:
            raise UsageError("Counts are not negative.", code="invalid-counts")
        decided = wins + losses
        if differing is not None and differing < decided:
            raise UsageError(f"{differing:,} rows differ, but {decided:,} are wins or losses.", code="invalid-counts")
        return cls(rows=decided + ties, advantage=wins - losses, differing=decided if differing is None else differing)

    @classmethod
    def overall(cls, *, rows: int, correct_new: int, correct_old: int, differing: int) -> "Counts":
        """Count right answers of each model, and differing predictions."""
        return cls(
            rows=rows,
            advantage=correct_new - correct_old,
            differing=differing,
            correct_new=correct_new,
            correct_old=correct_old,
        )

    @classmethod
    def of_predictions(cls, *, labels: NDArray[Any], new: NDArray[Any], old: NDArray[Any]) -> "Counts":
        """Count over arrays of one length.

        Examples
        --------
        >>> counts = Counts.of_predictions(labels=np.array([1, 0, 1]), new=np.array([1, 0, 0]), old=np.array([1, 1, 0]))
        >>> counts.advantage, counts.differing
        (1, 1)
        """
        if not labels.shape == new.shape == old.shape or labels.ndim != 1:
            raise UsageError(
                f"Labels and predictions differ in shape: {labels.shape}, {new.shape}, {old.shape}.",
                code="invalid-counts",
            )
        return cls.overall(
            rows=len(labels),
            correct_new=int(np.count_nonzero(new == labels)),
            correct_old=int(np.count_nonzero(old == labels)),
            differing=int(np.count_nonzero(new != old)),
        )

    def tally(self, score: Score) -> Tally:
        """Return the sum of a score over the rows, and their number.

        Raises
        ------
        UsageError
            With code ``missing-counts`` when it was not counted.
        """
        if not isinstance(score, LinearScore) or score.where:
            raise UsageError(
                f"{count_name(score)} was not counted.", hint="Counts are of n, o and d.", code="missing-counts"
            )
        if is_advantage(score) and self.advantage is not None:
            return Tally(self.advantage, self.rows)
        counts = (self.correct_new, self.correct_old, self.differing)
        used = [(factor, count) for factor, count in zip(score.factors, counts, strict=True) if factor]
        known = [(factor, count) for factor, count in used if count is not None]
        if len(known) < len(used):
            raise UsageError(
                f"{count_name(score)} was not counted.",
                hint="Give correct_new, correct_old and differing.",
                code="missing-counts",
            )
        return Tally(sum(factor * count for factor, count in known), self.rows)


def decide(plan: PoolPlan, counts: Shown, *, log_level: float | None = None) -> bool:
    """Return whether a candidate passes.

    Parameters
    ----------
    plan : PoolPlan
    counts : Counts or Evidence
        Over all rows of the pool; more rows than planned sharpen the test at the same level.
    log_level : float, optional
        ln of the level of this answer, as its `Budget` had it when the answer was charged; the plan's unless given.

    Returns
    -------
    bool
        Whether every clause passes; which one did not is not told.

    Raises
    ------
    RefusedError
        With code ``pool-too-small`` for fewer rows than the plan needs.

    Examples
    --------
    >>> from foldstore.validation.pools.plan import plan_pool
    >>> plan = plan_pool("n - o > 0 +/- 0.05 /\\\\ d < 0.3 +/- 0.05", reliability=0.95, steps=4)
    >>> decide(plan, Counts.paired(wins=150, losses=60, ties=plan.rows - 210))
    True
    """
    if counts.rows < plan.rows:
        raise RefusedError(
            f"The plan needs {plan.rows:,} rows; these counts are over {counts.rows:,}.",
            hint="Seal more rows, or plan fewer steps or a wider tolerance.",
            code="pool-too-small",
            rows=counts.rows,
            needed=plan.rows,
        )
    if plan.method is Method.BETTING:
        raise UsageError(
            "A plan by betting looks at rows in order, and these are counts.",
            hint="Give the rows: look_in_order(plan, Evidence(...)).",
            code="missing-counts",
        )
    tests = plan.tests if log_level is None else plan.tests_at(log_level)
    # Every clause is computed, so that the time taken does not tell which one failed.
    passed = [test.passes(*counts.tally(test.clause.score)) for test in tests]
    return all(passed)
