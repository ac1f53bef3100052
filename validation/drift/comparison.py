"""Drift: whether a distribution moved by more than chance, and by enough to matter.

A column is flagged only when the adjusted p-value is below alpha AND the debiased effect reaches its
limit; where the rows are too few to show a change of that size the verdict says so. Everything is
computed from counts on a pinned grid, so no raw reference is needed and every result can be repeated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal

import numpy as np

from foldstore.datastore.statistics.pinned import GridCounts, WeekGrid
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.distribution import Distribution, summarize
from foldstore.validation.drift.adjustment import Adjustment, adjust
from foldstore.validation.drift.measures import Counts, measure_all, measure_named
from foldstore.validation.drift.nulls import NullCounts, NullDrift, NullTarget, compare_nulls, judge_nulls
from foldstore.validation.drift.significance import (
    HALF,
    CountTest,
    compare_counts,
    needed_rows,
    power,
    rows_to_show,
    seeded,
)
from foldstore.validation.drift.text import DRIFT_HEADS, drift_rows, drift_text, html_rows, nulls_text
from foldstore.validation.drift.verdict import FLAGS, DriftVerdict, gravest, verdict_of
from foldstore.validation.drift.week import WeekPart, split_week
from foldstore.validation.reporting.drift_page import drift_page
from foldstore.validation.reporting.file import save

_SAVING: Final = "the hours moved by one, as daylight saving time moves them on a clock that does not follow it"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftTarget:
    """A column to compare.

    Attributes
    ----------
    column : str
    labels : tuple of str
        What the cells hold.
    reference, current : GridCounts
        On the same grid.
    policy : DriftPolicy
    edges : tuple of numbers, optional
        Of a grid of numbers; what has none has no order.
    weeks : tuple of WeekGrid, optional
        Of times: the grids of both sides, which say what each covers.
    is_fixed_clock : bool
        Whether they are in UTC or at a fixed offset, where daylight saving time moves the hours.
    """

    column: str
    labels: tuple[str, ...]
    reference: GridCounts
    current: GridCounts
    policy: DriftPolicy
    edges: tuple[int | float, ...] | None = None
    weeks: tuple[WeekGrid, WeekGrid | None] | None = None
    is_fixed_clock: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnDrift:
    """How one column compares with its reference.

    Attributes
    ----------
    column : str
    effect : float
        The debiased distance by the policy's metric: unless it says otherwise the Jensen-Shannon distance, base 2,
        between 0 and 1.
    distance, noise : float
        The distance as it is, and what chance alone would give.
    p_value, p_adjusted : float
        Of the hypothesis that nothing changed; adjusted after Benjamini and Hochberg.
    method : str
        ``chi2``, ``permutation``, or ``none`` where there is nothing to compare.
    n_reference, n_current : int
        Values in cells.
    verdict : DriftVerdict
    largest_change : dict
        The cell whose share moved most: ``cell``, ``before``, ``after``.
    metric : str
        What `distance`, `noise` and `effect` are measured with.
    measures : mapping of str to float
        All measures that fit the column, as they are; see `foldstore.validation.drift.measures`.
    needed : int or None
        How many values would show a change of the limit, where these do not; None if no number would.
    detectable : float
        The effect that so many rows show half of the time.
    null_before, null_after, null_effect, null_p_value, null_p_adjusted, null_verdict
        The same for the fraction of nulls; the effect is Cohen's h, debiased. `DriftResult.nulls` has more.
    distribution : Distribution or None
        The counts that were compared, on forty cells at most, for plots.
    part : str
        Of times, what of them is shown: ``hour of the day`` or ``day of the week``, the one that moved more; empty of
        other columns. `largest_change` is then the cell that grew most.
    lag : int or None
        Of hours of the day, by how many hours later they fit the reference best; None where that is not known.
    reason : str
        Of times, why nothing can be said where more rows alone would not do, or why what moved is not flagged.
    """

    nulls_alone: ClassVar[Literal[False]] = False

    column: str
    effect: float
    distance: float
    noise: float
    p_value: float
    p_adjusted: float
    method: str
    n_reference: int
    n_current: int
    verdict: DriftVerdict
    largest_change: Mapping[str, Any]
    metric: str = "js"
    measures: Mapping[str, float] = field(default_factory=dict)
    needed: int | None = None
    detectable: float = 0.0
    null_before: float
    null_after: float
    null_effect: float
    null_p_value: float
    null_p_adjusted: float
    null_verdict: DriftVerdict
    distribution: Distribution | None = None
    part: str = ""
    lag: int | None = None
    reason: str = ""

    @property
    def verdicts(self) -> tuple[DriftVerdict, ...]:
        """The verdict of the values, and that of the nulls."""
        return self.verdict, self.null_verdict

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        plain = {each: getattr(self, each) for each in self.__slots__}
        plain |= {"verdict": str(self.verdict), "null_verdict": str(self.null_verdict)}
        plain["distribution"] = None if self.distribution is None else self.distribution.to_dict()
        return plain | {"largest_change": dict(self.largest_change), "measures": dict(self.measures)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "ColumnDrift":
        """Read what `to_dict` gave."""
        made = {**data, **{key: DriftVerdict(data[key]) for key in ("verdict", "null_verdict")}}
        if made.get("distribution") is not None:
            made["distribution"] = Distribution.from_dict(made["distribution"])
        return cls(**made)


@dataclass(frozen=True, slots=True)
class DriftResult:
    """How the columns of a dataset compare with their references.

    Attributes
    ----------
    columns : Mapping[str, ColumnDrift]
        Those whose values were compared.
    untested : Mapping[str, str]
        The columns whose values were not compared, and why.
    nulls : Mapping[str, NullDrift]
        The shares of nulls: of the columns whose values were compared, and of all others that both sides have.
    """

    columns: Mapping[str, ColumnDrift]
    untested: Mapping[str, str] = field(default_factory=dict)
    nulls: Mapping[str, NullDrift] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.__slots__:
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __repr__(self) -> str:
        return f"DriftResult({len(self.columns)} columns, drifted: {', '.join(self.drifted) or 'none'})"

    def __str__(self) -> str:
        return drift_text(self)

    def _repr_html_(self) -> str:
        return html_rows(DRIFT_HEADS, drift_rows(self), repr(self))

    def to_html(self, file: str | PathLike[str] | None = None) -> str:
        """Return a page with the distributions drawn over each other, the worst first; also write it to a file.

        Raises
        ------
        ExportError
            When the file cannot be written.

        Examples
        --------
        >>> DriftResult({}, {"day": "it tells when a row is from"}).to_html()[:15]
        '<!DOCTYPE html>'
        """
        return save(drift_page(self), file)

    @property
    def drifted(self) -> tuple[str, ...]:
        """The columns flagged for their values or their nulls, at either limit."""
        compared = (n for n, each in self.columns.items() if each.verdict in FLAGS or each.null_verdict in FLAGS)
        return *compared, *(name for name, each in self.nulls_alone.items() if each.is_flagged)

    @property
    def nulls_alone(self) -> dict[str, NullDrift]:
        """The shares of nulls of the columns whose values were not compared."""
        return {name: each for name, each in self.nulls.items() if name not in self.columns}

    def why_untested(self, name: str) -> str:
        """Say why a column's values were not compared, and how its nulls moved where they are not flagged.

        Examples
        --------
        >>> DriftResult({}, {"day": "it tells when a row is from"}).why_untested("day")
        'it tells when a row is from'
        """
        reason, nulls = self.untested[name], self.nulls_alone.get(name)
        if nulls is None or nulls.is_flagged or not (nulls.nulls_reference or nulls.nulls_current):
            return reason
        return f"{reason}; nulls {nulls_text(nulls)}"

    @property
    def verdict(self) -> DriftVerdict:
        """The gravest verdict of the columns, of their values and their nulls."""
        compared = (verdict for each in self.columns.values() for verdict in each.verdicts)
        return gravest([*compared, *(each.verdict for each in self.nulls_alone.values() if each.is_flagged)])

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        plain: dict[str, Any] = {"columns": {name: each.to_dict() for name, each in self.columns.items()}}
        plain |= {"untested": dict(self.untested)} if self.untested else {}
        return plain | ({"nulls": {name: each.to_dict() for name, each in self.nulls.items()}} if self.nulls else {})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "DriftResult":
        """Read what `to_dict` gave."""
        columns = {name: ColumnDrift.from_dict(each) for name, each in data["columns"].items()}
        nulls = {name: NullDrift.from_dict(each) for name, each in data.get("nulls", {}).items()}
        return cls(columns, data.get("untested", {}), nulls)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is compared of one set of rows.

    Attributes
    ----------
    targets : sequence of DriftTarget
    seed : str
        Any text that names the comparison, such as two ids; the same text gives the same p-values.
    nulls : sequence of NullTarget
        The columns whose shares of nulls alone are compared.
    """

    targets: Sequence[DriftTarget]
    seed: str
    nulls: Sequence[NullTarget] = ()


def detect_drift(
    targets: Sequence[DriftTarget], *, seed: str, nulls: Sequence[NullTarget] = (), adjustment: Adjustment = "bh"
) -> DriftResult:
    """Compare columns with their references.

    Parameters
    ----------
    targets, seed, nulls
        As in `Comparison`.
    adjustment : {'bh', 'by', 'holm'}
        How p-values are adjusted for the number of columns, those of values and those of nulls each for themselves; see
        `foldstore.validation.drift.adjustment.adjust`.
    """
    return _detect([Comparison(targets, seed, nulls)], adjustment, 1)[0]


def detect_drift_together(groups: Sequence[Comparison], *, adjustment: Adjustment = "bh") -> list[DriftResult]:
    """Compare the columns of several sets of rows, with p-values adjusted over all of them together.

    A change of the limit in one column of one set has to stand out from all comparisons: where the rows would show it
    less often than not at the level ``alpha / comparisons``, the verdict is ``untestable``.

    Parameters
    ----------
    groups : sequence of Comparison
    adjustment : {'bh', 'by', 'holm'}

    Returns
    -------
    list of DriftResult
        One for each group.
    """
    return _detect(groups, adjustment, max(1, sum(len(each.targets) for each in groups)))


def _detect(groups: Sequence[Comparison], adjustment: Adjustment, tests: int) -> list[DriftResult]:
    each_target = [target for group in groups for target in group.targets]
    tested = [_test(target, group.seed, tests) for group in groups for target in group.targets]
    adjusted = adjust([each.p_value for each in tested], adjustment)
    by_group = [[*map(_nulls_of, group.targets), *group.nulls] for group in groups]
    shares = _judge_nulls([target for targets in by_group for target in targets], adjustment)
    judged, of_nulls = zip(each_target, tested, adjusted, strict=True), iter(shares)
    results = []
    for group, targets in zip(groups, by_group, strict=True):
        nulls = {target.column: next(of_nulls) for target in targets}
        columns = {target.column: _judge(*next(judged), nulls[target.column]) for target in group.targets}
        told = {name: each for name, each in nulls.items() if each.rows_reference and each.rows_current}
        results.append(DriftResult(columns, nulls=told))
    return results


def _nulls_of(target: DriftTarget) -> NullTarget:
    f, g = NullCounts.of_grid(target.reference), NullCounts.of_grid(target.current)
    return NullTarget(column=target.column, reference=f, current=g, policy=target.policy)


def _judge_nulls(targets: Sequence[NullTarget], adjustment: Adjustment) -> list[NullDrift]:
    tested = [compare_nulls(each.reference, each.current) for each in targets]
    adjusted = adjust([p_value for _, p_value in tested], adjustment)
    return list(map(judge_nulls, targets, tested, adjusted))


def _cells(target: DriftTarget) -> tuple[Counts, Counts]:
    """Return the two count vectors; NaN has a cell of its own, nulls are judged apart."""
    f = np.array([*target.reference.cells, target.reference.nan], np.int64)
    g = np.array([*target.current.cells, target.current.nan], np.int64)
    return f, g


@dataclass(frozen=True, slots=True)
class _Tested:
    """What a column was tested by: of times the part of the week that says most."""

    test: CountTest
    p_value: float
    shown: DriftTarget
    is_hidden: bool
    needed: int | None = None
    part: WeekPart | None = None
    reason: str = ""


def _test(target: DriftTarget, seed: str, tests: int) -> _Tested:
    if target.weeks is not None:
        return _test_week(target, target.weeks, seed, tests)
    test = _compare(target, *_cells(target), seed)
    return _Tested(test, test.p_value, target, *_is_hidden(test, target.policy, tests))


def _compare(target: DriftTarget, f: Counts, g: Counts, seed: str) -> CountTest:
    policy = target.policy
    measure = measure_named(policy.metric, target.edges)
    return compare_counts(f, g, seeded(seed, target.column), measure=measure, tau=policy.tau_warn, alpha=policy.alpha)


def _test_week(target: DriftTarget, weeks: tuple[WeekGrid, WeekGrid | None], seed: str, tests_in_all: int) -> _Tested:
    """Test hours and weekdays, and take the part that would be flagged, or else is least likely by chance.

    Both are one column: the p-value is that of the part times the number of parts (Bonferroni).
    """
    f, g = (np.array(each.cells, np.int64) for each in (target.reference, target.current))
    parts = split_week(f, g, *weeks)
    tests = [_compare(target, *part.counted, f"{seed}\n{part.name}") for part in parts]
    tau = target.policy.tau_warn
    saving = [target.is_fixed_clock and part.is_turned_by_an_hour(tau) for part in parts]
    tests = [replace(test, p_value=1.0) if moved else test for test, moved in zip(tests, saving, strict=True)]
    told = [(test, part) for test, part in zip(tests, parts, strict=True) if not part.reason]
    best, part = min(told or zip(tests, parts, strict=True), key=lambda each: (each[0].effect < tau, each[0].p_value))
    hidden = [(part, _is_hidden(test, target.policy, tests_in_all)) for test, part in told]
    reasons = [each.reason for each in parts if each.reason]
    reasons += [f"too few rows by {each.name}, as these vary" for each, (is_hidden, _) in hidden if is_hidden]
    before, after = (GridCounts(tuple(each.tolist())) for each in (part.before, part.after))
    p_value = min(1.0, best.p_value * len(told)) if told else 1.0
    if not told:
        best = CountTest(n_reference=best.n_reference, n_current=best.n_current, cells=best.cells)
    sized = replace(best, n_reference=int(part.before.sum()), n_current=int(part.after.sum()))
    return _Tested(
        sized,
        p_value,
        replace(target, labels=part.labels, reference=before, current=after),
        is_hidden=bool(reasons),
        part=part,
        reason="; ".join(reasons) or (_SAVING if any(saving) and best.effect >= tau else ""),
    )


def _judge(target: DriftTarget, tested: _Tested, p: float, nulls: NullDrift) -> ColumnDrift:
    policy, test, shown, part = target.policy, tested.test, tested.shown, tested.part
    verdict = verdict_of(test.effect, p, (policy.tau_warn, policy.tau_error), policy.alpha)
    if verdict is DriftVerdict.STABLE and tested.is_hidden:
        verdict = DriftVerdict.UNTESTABLE
    if verdict is DriftVerdict.ERROR and part is not None and part.is_turned_by_an_hour(policy.tau_warn):
        verdict = DriftVerdict.WARN
    is_untestable = verdict is DriftVerdict.UNTESTABLE
    return ColumnDrift(
        column=target.column,
        effect=test.effect,
        distance=test.distance,
        noise=test.noise,
        p_value=tested.p_value,
        p_adjusted=p,
        method=test.method,
        n_reference=test.n_reference,
        n_current=test.n_current,
        verdict=verdict,
        largest_change=_largest_change(shown, grown=part is not None),
        metric=policy.metric,
        measures=measure_all(*_cells(shown), shown.edges),
        needed=tested.needed if is_untestable else None,
        detectable=test.detectable,
        null_before=nulls.before,
        null_after=nulls.after,
        null_effect=nulls.effect,
        null_p_value=nulls.p_value,
        null_p_adjusted=nulls.p_adjusted,
        null_verdict=nulls.verdict if nulls.is_flagged else DriftVerdict.STABLE,
        distribution=summarize(shown.labels, shown.reference, shown.current, ordered=shown.edges is not None),
        part="" if part is None else part.name,
        lag=None if part is None else part.lag,
        reason=tested.reason if verdict in (DriftVerdict.UNTESTABLE, DriftVerdict.STABLE) else "",
    )


def _is_hidden(test: CountTest, policy: DriftPolicy, tests: int) -> tuple[bool, int | None]:
    """Say whether a change of the limit would be missed more often than not, and how many rows would show it."""
    n, m, tau, alpha = test.n_reference, test.n_current, policy.tau_warn, policy.alpha / tests
    if not n:  # nothing to compare with: no number of rows would show anything
        return True, None
    if policy.metric != "js" and n and m:
        hidden = test.detectable > tau
        return hidden, rows_to_show(test, policy.metric, tau) if hidden else None
    if power(n, m, test.cells, tau, alpha) >= HALF:
        return False, None
    return True, needed_rows(n, test.cells, tau, alpha)


def _largest_change(target: DriftTarget, *, grown: bool) -> dict[str, Any]:
    f, g = _cells(target)
    if not f.sum() or not g.sum():
        return {}
    p, q = f / f.sum(), g / g.sum()
    moved = q - p if grown else np.abs(p - q)
    place = int(np.argmax(np.round(moved, 12)))  # of equal moves the first, whatever the last bit says
    return {"cell": (*target.labels, "NaN")[place], "before": float(p[place]), "after": float(q[place])}
