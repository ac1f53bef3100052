"""Plans side by side: the labels that a condition needs as its tolerance, its answers or its reliability change."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from os import PathLike
from typing import Any, Final

import pyarrow as pa

from foldstore.errors import UsageError, did_you_mean
from foldstore.validation.pools.clause_test import Method
from foldstore.validation.pools.condition import Clause, Condition, Mode, Sense
from foldstore.validation.pools.plan import PoolPlan, is_partial, plan_pool
from foldstore.validation.pools.reuse import MOST_STEPS, Reuse, check_steps, read_reliability
from foldstore.validation.pools.scores import decimal_text
from foldstore.validation.reporting.file import save
from foldstore.validation.reporting.plan_page import plan_fragment, plan_page, plan_svg, plan_text

AXES: Final = ("tolerance", "steps", "reuse", "reliability")
METHODS: Final = (Method.EXACT, Method.BENNETT, Method.HOEFFDING)
_MOST_PLANS: Final = 500
# What makes one plan of a table impossible and leaves the others be.
_IMPOSSIBLE: Final = ("invalid-condition", "too-many-rows")
_TIMES: Final = (Fraction(1, 2), Fraction(1), Fraction(2))
_POLICIES: Final = ("first_change", "max_passes:3", "universal:3", "full")
_SCHEMA: Final = pa.schema(
    [
        ("tolerance", pa.float64()),
        ("steps", pa.int64()),
        ("reuse", pa.string()),
        ("reliability", pa.float64()),
        *((str(method), pa.int64()) for method in METHODS),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSetting:
    """What one plan of a table is made for.

    Attributes
    ----------
    tolerance : Fraction
        Of the first clause that needs labels; those of the others keep their proportion to it.
    steps : int
    reuse : Reuse
    reliability : Fraction
    """

    tolerance: Fraction
    steps: int
    reuse: Reuse
    reliability: Fraction

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        return {
            "tolerance": float(self.tolerance),
            "steps": self.steps,
            "reuse": str(self.reuse),
            "reliability": float(self.reliability),
        }

    def texts(self) -> dict[str, str]:
        """Return what each axis is called here, for people."""
        return {
            "tolerance": decimal_text(self.tolerance),
            "steps": f"{self.steps:,}",
            "reuse": str(self.reuse),
            "reliability": decimal_text(self.reliability),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    """One line of a table: a setting, and what each method asks for.

    Attributes
    ----------
    setting : PlanSetting
    counts : Mapping[Method, int or None]
        None where the method has no such plan: the tolerance leaves no room, or the rows are beyond all bounds.
    """

    setting: PlanSetting
    counts: Mapping[Method, int | None]

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        return self.setting.to_dict() | {str(method): count for method, count in self.counts.items()}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PlanTable:
    """Labels against tolerance, answers, reuse policy and reliability, by the exact method and by the closed forms.

    Attributes
    ----------
    condition : Condition
        As it was asked about.
    mode : Mode
    base : PlanSetting
        The setting that the others vary.
    rows : tuple of PlanRow
        In the order of the axes.
    prevalence : Fraction or None
        The share of rows that were assumed to count for clauses on a class or a slice.
    """

    condition: Condition
    mode: Mode
    base: PlanSetting
    rows: tuple[PlanRow, ...]
    prevalence: Fraction | None = None

    def __repr__(self) -> str:
        varied = ", ".join(self.varied) or "nothing"
        return f"PlanTable({str(self.condition)!r}, {len(self.rows)} plans, varied: {varied})"

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return plan_fragment(self)

    @property
    def unit(self) -> str:
        """What is counted: labels, or rows where the condition needs no labels."""
        return "labels" if self.condition.needs_labels else "rows"

    @property
    def about(self) -> str:
        """What is counted, in words; of a class or a slice whose share is not known, its rows alone."""
        partial = any(is_partial(each.score) for each in self.condition.clauses)
        if not partial:
            return f"{self.unit} that a pool must hold"
        if self.prevalence is None:
            return f"{self.unit} that a pool must hold at least, in rows of the class or slice"
        return f"{self.unit} that a pool must hold, {float(self.prevalence):g} of them of the class or slice"

    @property
    def varied(self) -> tuple[str, ...]:
        """The axes along which the table has more than one value."""
        return tuple(axis for axis in AXES if len({getattr(row.setting, axis) for row in self.rows}) > 1)

    def along(self, axis: str) -> tuple[PlanRow, ...]:
        """Return the rows that differ from the base in one axis alone.

        Raises
        ------
        UsageError
            When there is no such axis.

        Examples
        --------
        >>> table = plan_pool_table("n > 0.8 +/- 0.05", reliability=0.99, steps=8, vary={"steps": [1, 64]})
        >>> [(row.setting.steps, row.counts["exact"]) for row in table.along("steps")]
        [(1, 346), (8, 787), (64, 4539)]
        """
        _check_axis(axis)
        kept = [each for each in AXES if each != axis]
        return tuple(
            row for row in self.rows if all(getattr(row.setting, each) == getattr(self.base, each) for each in kept)
        )

    def to_text(self) -> str:
        """Return the table for a terminal; the line of the base has a star."""
        return plan_text(self)

    def to_html(self, file: str | PathLike[str] | None = None) -> str:
        """Return a page that needs nothing else, with plots and the table; also write it to a file.

        Raises
        ------
        ExportError
            When the file cannot be written.
        """
        return save(plan_page(self), file)

    def to_svg(self, file: str | PathLike[str] | None = None) -> str:
        """Return the plots as one drawing, for light and dark screens; also write it to a file.

        Raises
        ------
        ExportError
            When the file cannot be written.
        """
        return save(plan_svg(self), file)

    def to_arrow(self) -> pa.Table:
        """Return a row for each plan; a column for each method, null where it has no plan."""
        return pa.Table.from_pylist([row.to_dict() for row in self.rows], schema=_SCHEMA)

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        return {
            "condition": str(self.condition),
            "mode": str(self.mode),
            "unit": self.unit,
            "prevalence": None if self.prevalence is None else float(self.prevalence),
            "base": self.base.to_dict(),
            "varied": list(self.varied),
            "rows": [row.to_dict() for row in self.rows],
        }


def plan_pool_table(
    condition: str | Condition,
    *,
    reliability: float | str | Fraction,
    steps: int,
    reuse: str | Reuse = "full",
    vary: Mapping[str, Iterable[Any]] | None = None,
    cross: bool = False,
    **how: Any,
) -> PlanTable:
    r"""Say how many labels a test pool needs, and how many it would if something else were asked of it.

    Parameters
    ----------
    condition, reliability, steps, reuse
        As of `plan_pool`; the plan in the middle of the table.
    vary : mapping of str to sequence, optional
        Other values of ``tolerance``, ``steps``, ``reuse`` and ``reliability``. Unless given: half and twice the
        tolerance, one answer, a quarter and four times as many, each policy, ten times the error and a tenth of it.
        A tolerance is that of the first clause which needs labels; the others of that kind keep their proportion.
    cross : bool
        Whether every combination is planned, and not one change at a time.
    **how
        ``mode=``, ``beta=`` and ``lifetime=`` as of `plan_pool`; ``prevalence=``, the share of a pool's rows that count
        for clauses on a class or a slice: unless it is given, those rows alone are counted.

    Raises
    ------
    UsageError
        As `plan_pool` for the plan in the middle, and where `vary` names no axis or more than 500 plans.

    Examples
    --------
    >>> table = plan_pool_table("n > 0.8 +/- 0.05", reliability=0.9999, steps=32, vary={"tolerance": [0.1]})
    >>> print(table)
    n > 0.8 +/- 0.05, fp-free: labels that a pool must hold
      tolerance  answers  reuse  reliability  exact  Bennett  Hoeffding
      0.05       32       full   0.9999       2,825    6,279      6,279  *
      0.1        32       full   0.9999         141    1,570      1,570
    """
    prevalence = how.pop("prevalence", None)
    asked = plan_pool(condition, reliability=reliability, steps=steps, reuse=reuse, method=Method.HOEFFDING, **how)
    asked = asked if prevalence is None else asked.at_prevalence(prevalence)
    base = PlanSetting(
        tolerance=_tolerance(asked.condition),
        steps=asked.steps,
        reuse=asked.reuse,
        reliability=asked.reliability,
    )
    values = _values(base, _usual(base, asked) if vary is None else vary)
    settings = _crossed(values) if cross else _one_at_a_time(base, values)
    if len(settings) > _MOST_PLANS:
        raise UsageError(
            f"The table would have {len(settings):,} plans, more than {_MOST_PLANS}.",
            hint="Name fewer values in vary=, or leave cross= out.",
            code="too-many-plans",
        )
    rows = tuple(PlanRow(setting=each, counts=_count(asked, each, how)) for each in settings)
    return PlanTable(condition=asked.condition, mode=asked.mode, base=base, rows=rows, prevalence=asked.prevalence)


def _count(base: PoolPlan, setting: PlanSetting, options: Mapping[str, Any]) -> dict[Method, int | None]:
    asked = _with_tolerance(base.condition, setting.tolerance)
    counts: dict[Method, int | None] = {}
    for method in METHODS:
        try:
            plan = plan_pool(
                asked,
                reliability=setting.reliability,
                steps=setting.steps,
                reuse=setting.reuse,
                method=method,
                **options,
            )
        except UsageError as error:
            if error.code not in _IMPOSSIBLE:
                raise
            counts[method] = None
        else:
            counts[method] = _unit_of(replace(plan, prevalence=base.prevalence))
    return counts


def _unit_of(plan: PoolPlan) -> int:
    return plan.labels if plan.condition.needs_labels else plan.rows


def _leading(condition: Condition) -> Clause:
    """Return the clause whose tolerance is the table's: the first that needs labels, else the first."""
    return next((each for each in condition.clauses if each.score.needs_labels), condition.clauses[0])


def _tolerance(condition: Condition) -> Fraction:
    """Return the tolerance of the leading clause; without one there is no plan."""
    return _leading(condition).tolerance or Fraction(0)


def _with_tolerance(condition: Condition, tolerance: Fraction) -> Condition:
    """Widen or narrow the clauses that are counted alike, so that the leading one has the tolerance."""
    factor = tolerance / _tolerance(condition)
    labelled = condition.needs_labels
    clauses = [
        each
        if each.tolerance is None or each.score.needs_labels is not labelled
        else replace(each, tolerance=each.tolerance * factor)
        for each in condition.clauses
    ]
    return Condition(tuple(clauses))


def _values(base: PlanSetting, given: Mapping[str, Iterable[Any]]) -> dict[str, list[Any]]:
    """Return what each axis takes, the base's own value among it, in order."""
    readers: dict[str, Callable[[Any], Any]] = {
        "tolerance": _read_tolerance,
        "steps": _read_steps,
        "reuse": Reuse.parse,
        "reliability": read_reliability,
    }
    found: dict[str, list[Any]] = {axis: [getattr(base, axis)] for axis in AXES}
    for axis, several in given.items():
        _check_axis(axis)
        if isinstance(several, str) or not isinstance(several, Iterable):
            raise UsageError(
                f"The values of {axis} are a list, not {several!a}.",
                hint=f"Write vary={{{axis!r}: [...]}}.",
                code="invalid-axis",
            )
        read = {readers[axis](each) for each in several} | {getattr(base, axis)}
        found[axis] = sorted(read, key=_policy_order if axis == "reuse" else None)
    return found


def _usual(base: PlanSetting, asked: PoolPlan) -> dict[str, list[Any]]:
    clause = _leading(asked.condition)
    low, high = clause.score.range
    upwards = (clause.sense is Sense.ABOVE) is (asked.mode is Mode.FP_FREE)
    room = (high - clause.bound if upwards else clause.bound - low) / 2
    error = 1 - base.reliability
    return {
        "tolerance": [each for times in _TIMES if (each := base.tolerance * times) <= room],
        "steps": [1, max(1, base.steps // 4), min(MOST_STEPS, base.steps * 4)],
        "reuse": list(_POLICIES),
        "reliability": [1 - each for each in (error * 10, error / 10) if each < 1],
    }


def _crossed(values: Mapping[str, list[Any]]) -> list[PlanSetting]:
    return [PlanSetting(**dict(zip(AXES, each, strict=True))) for each in product(*(values[axis] for axis in AXES))]


def _one_at_a_time(base: PlanSetting, values: Mapping[str, list[Any]]) -> list[PlanSetting]:
    changed = [replace(base, **{axis: each}) for axis in AXES for each in values[axis]]
    places = {setting: tuple(values[axis].index(getattr(setting, axis)) for axis in AXES) for setting in changed}
    return sorted(places, key=places.__getitem__)


def _policy_order(reuse: Reuse) -> tuple[int, str, int]:
    """The policies as they are documented, then by passes."""
    names = ("none", "first_change", "max_passes", "universal", "full")
    return names.index(str(reuse.policy)), str(reuse.policy), reuse.passes or MOST_STEPS


def _read_tolerance(value: Any) -> Fraction:
    try:
        exact = Fraction(str(value)) if len(str(value)) <= 40 and not isinstance(value, bool) else Fraction(0)
    except (ValueError, ZeroDivisionError):
        exact = Fraction(0)
    if exact <= 0:
        raise UsageError(
            f"A tolerance is a number above 0, not {ascii(value)[:60]}.",
            hint="0.01 says that up to 0.02 beyond the bound either answer will do.",
            code="invalid-tolerance",
        )
    return exact


def _read_steps(value: Any) -> int:
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else value
    check_steps(number)
    return int(number)


def _check_axis(axis: str) -> None:
    if axis not in AXES:
        raise UsageError(
            f"There is no axis {axis!a} of a table of plans.", hint=did_you_mean(str(axis), AXES), code="invalid-axis"
        )
