"""The distribution checks of a schema: its pinned grids compared, and what the comparison means."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from math import ceil
from typing import Any, TypeAlias

from foldstore.datastore.statistics.pinned import CategoryGrid, GridCounts, NumericGrid, PinnedGrid, WeekGrid
from foldstore.datastore.statistics.profile import Profile
from foldstore.types import Severity
from foldstore.validation.anomaly import percent
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.column_checks import set_field
from foldstore.validation.column_schema import ColumnSchema, metric_fits, plain_type
from foldstore.validation.dataset_checks import not_judged
from foldstore.validation.drift.adjustment import Adjustment
from foldstore.validation.drift.comparison import ColumnDrift, DriftResult, DriftTarget, detect_drift
from foldstore.validation.drift.nulls import NullCounts, NullDrift, NullTarget
from foldstore.validation.drift.verdict import DriftVerdict
from foldstore.validation.evolution import Patch
from foldstore.validation.finding import Finding
from foldstore.validation.inferred_week import infer_week
from foldstore.validation.nested_paths import with_nested
from foldstore.validation.row_sets import Others
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import Subject

_FIXED_CLOCK = re.compile(r", tz=(UTC|GMT|Z|Etc/.*|[+-][0-9]{2}:?[0-9]{2})\]$")
# How many hours or days that grew are named.
_MOST_GROWN = 3
_FLAGS = {DriftVerdict.WARN: Severity.WARN, DriftVerdict.ERROR: Severity.ERROR}


# Returns the rows of a window before those that are judged, or how many versions there are where these are too few.
Windows: TypeAlias = Callable[[str], Subject | int]


def refer_to_windows(
    columns: Mapping[str, ColumnSchema], windows: Windows | None
) -> tuple[dict[str, ColumnSchema], list[Finding]]:
    """Put the counts of versions before in place of the baseline, for the columns whose policy says so.

    A column for which there are too few versions is not compared; where no versions are at hand at all, the baseline
    is used. Either is said.
    """
    settled, findings = dict(columns), []
    rows: dict[str, Subject | int] = {}
    for name, column in columns.items():
        if column.drift is None or column.drift.vs == "baseline":
            continue
        if windows is None:
            reason = "no versions are at hand where these rows are judged"
            reason += "; the baseline is used" if column.reference is not None else ""
            facts = {"field": f"drift.vs {column.drift.vs}", "reason": reason}
            findings.append(Finding(code="stats_unavailable", column=name, facts=facts))
            continue
        text = window_text(column.drift)
        if text not in rows:
            found = windows(text)
            rows[text] = found if isinstance(found, int) else with_nested(found, list(columns))
        settled[name], unreferred = refer_to(name, column, text, rows[text])
        findings += unreferred
    return settled, findings


def window_text(policy: DriftPolicy) -> str:
    """Return the versions that a policy compares with, such as ``rolling(5)``."""
    count = policy.window if policy.vs == "rolling" else policy.lag
    return policy.vs if count is None else f"{policy.vs}({count})"


def refer_to(name: str, column: ColumnSchema, text: str, window: Subject | int) -> tuple[ColumnSchema, list[Finding]]:
    """Put the counts of some rows in place of a column's baseline; without a policy where they cannot be compared."""
    if isinstance(window, int):
        facts = {"reference": text, "versions": window}
        missing = Finding(code="comparator_missing_reference", column=name, facts=facts, observed=window)
        return replace(column, drift=None), [missing]
    found = window.profile().columns.get(name)
    if found is None or plain_type(found.type) not in (plain_type(column.type), *column.coerce_from):
        facts = {"field": f"drift.vs {text}", "reason": f"{window.address} has no such column of this type"}
        return replace(column, drift=None), [Finding(code="stats_unavailable", column=name, facts=facts)]
    if column.grid is None:  # its nulls alone
        return replace(column, reference=GridCounts((found.rows - found.nulls,), found.nulls)), []
    counts = window.grid_counts({name: column.grid})[name]
    if isinstance(column.grid, WeekGrid):  # which time is covered belongs to the rows
        return replace(column, grid=infer_week(found) or column.grid, reference=counts), []
    return replace(column, reference=counts), []


def count_pinned(subject: Subject, columns: Mapping[str, ColumnSchema]) -> Mapping[str, GridCounts]:
    """Count the rows on the grids of the columns that have a policy, or references of categories."""
    grids = pinned_grids(columns)
    return subject.grid_counts(grids) if grids else {}


def pinned_grids(columns: Mapping[str, ColumnSchema]) -> dict[str, PinnedGrid]:
    """Return the grids of the columns that have a policy, or references of categories."""
    return {
        name: column.grid
        for name, column in columns.items()
        if column.grid is not None
        and (column.drift is not None or (column.reference is not None and isinstance(column.grid, CategoryGrid)))
    }


def drift_from_schema(
    counts: Mapping[str, GridCounts],
    columns: Mapping[str, ColumnSchema],
    profile: Profile,
    *,
    seed: str,
    adjustment: Adjustment = "bh",
) -> DriftResult:
    """Compare every column that has a drift policy with its reference; the nulls alone of those without a grid.

    Parameters
    ----------
    counts : mapping of str to GridCounts
        From `count_pinned`.
    profile : Profile
        Of the rows that are judged: of times it says what they cover.
    """
    targets, nulls = drift_targets(counts, columns, profile), null_targets(columns, profile)
    return detect_drift(targets, seed=seed, nulls=nulls, adjustment=adjustment)


def null_targets(columns: Mapping[str, ColumnSchema], profile: Profile) -> list[NullTarget]:
    """Return what is compared of the columns that have a drift policy, and reference counts without a grid."""
    return [
        NullTarget(
            column=name,
            reference=NullCounts.of_grid(column.reference),
            current=NullCounts.of_column(profile.columns[name]),
            policy=column.drift,
        )
        for name, column in columns.items()
        if column.drift is not None and column.grid is None and column.reference is not None
    ]


def drift_targets(
    counts: Mapping[str, GridCounts], columns: Mapping[str, ColumnSchema], profile: Profile
) -> list[DriftTarget]:
    """Return what is compared of the columns that have a drift policy; see `drift_from_schema`."""
    targets = [
        target
        for name, column in columns.items()
        if column.drift is not None
        and column.grid is not None
        and (target := _target(name, column, column.grid, counts[name])) is not None
    ]
    return [
        replace(each, weeks=(each.weeks[0], infer_week(profile.columns[each.column]))) if each.weeks else each
        for each in targets
    ]


def code_of_shift(schema: DataSchema, column: str) -> str:
    """Return the code of drift of a column: what is learnt and what is predicted have codes of their own."""
    return {schema.prediction: "prediction_shift", schema.label: "label_shift"}.get(column, "drift")


def fit_policy(policy: DriftPolicy, column: ColumnSchema) -> DriftPolicy:
    """Return the policy for a column: what its cells have no order for is the default distance there."""
    fits = column.grid is None or metric_fits(policy.metric, column.grid)
    return policy if fits else replace(policy, metric="js")


def for_label(policy: DriftPolicy) -> DriftPolicy:
    """Return the policy of a label: half the usual limits, unless it has others than the usual.

    Examples
    --------
    >>> for_label(DriftPolicy()).tau_error, for_label(DriftPolicy(tau_error=0.3)).tau_error
    (0.1, 0.3)
    """
    return replace(policy, tau_warn=0.05, tau_error=0.10) if policy == DriftPolicy() else policy


def check_drift(result: ColumnDrift, policy: DriftPolicy, *, code: str = "drift") -> Iterator[Finding]:
    """Yield what a comparison found, by the code that stands for the column's role."""
    if result.verdict in _FLAGS:
        yield _drifted(result, policy, code)
    elif result.verdict is DriftVerdict.UNTESTABLE and result.n_current:
        yield _untestable(result, policy)
    if result.null_verdict in _FLAGS:
        names = ("null_effect", "null_p_value", "null_p_adjusted")
        shares, facts = (result.null_before, result.null_after), {name: getattr(result, name) for name in names}
        sizes = {"n_ref": result.n_reference, "n_cur": result.n_current}
        yield _nulls_drifted(result.column, shares, facts, sizes, result.null_verdict, policy)


def check_nulls(result: NullDrift, policy: DriftPolicy) -> Iterator[Finding]:
    """Yield what was found of the nulls of a column whose values were not compared."""
    if result.is_flagged:
        facts = {f"null_{name}": getattr(result, name) for name in ("effect", "p_value", "p_adjusted")}
        sizes = {"n_ref": result.rows_reference, "n_cur": result.rows_current}
        shares = result.before, result.after
        yield _nulls_drifted(result.column, shares, facts, sizes, result.verdict, policy)


def check_result(
    found: DriftResult, policy: Callable[[str], DriftPolicy], code: Callable[[str], str] = lambda _: "drift"
) -> Iterator[Finding]:
    """Yield what a comparison found in all of its columns, by the policy and the code that each has."""
    for name, result in found.columns.items():
        yield from check_drift(result, policy(name), code=code(name))
    for name, nulls in found.nulls_alone.items():
        yield from check_nulls(nulls, policy(name))


def check_skew(
    subject: Subject, schema: DataSchema, fitting: Mapping[str, ColumnSchema], others: Others | None
) -> Iterator[Finding]:
    """Yield where served rows are distributed otherwise than those that are judged, column by column.

    The rows that are judged are the reference: what a model learns from them it should meet when it serves.
    """
    asked = {name: column for name, column in fitting.items() if column.skew is not None and column.grid is not None}
    for name, column in fitting.items():
        if column.skew is not None and column.grid is None:
            yield not_judged("skew", "the column has no grid to count on", name)
    if not asked:
        return
    served = None if schema.serving is None or others is None else others(schema.serving)
    if served is None:
        reason = (
            "the schema names no dataset in `serving`" if schema.serving is None else f"no rows of {schema.serving}"
        )
        yield from (not_judged("skew", reason, name) for name in asked)
        return
    found = served.profile().columns
    same = {n: c for n, c in asked.items() if n in found and plain_type(found[n].type) == plain_type(c.type)}
    for name in asked.keys() - same.keys():
        yield not_judged("skew", f"{served.address} has no such column of this type", name)
    yield from _compare_served(subject, served, same)


def _compare_served(subject: Subject, served: Subject, columns: Mapping[str, ColumnSchema]) -> Iterator[Finding]:
    columns = {name: _repinned(name, column, subject) for name, column in columns.items()}
    grids = {name: column.grid for name, column in columns.items() if column.grid is not None}
    if not grids:
        return
    learnt, given = subject.grid_counts(grids), served.grid_counts(grids)
    policies = {name: replace(column, drift=column.skew, reference=learnt[name]) for name, column in columns.items()}
    seed = f"{subject.profile().id}\n{served.profile().id}"
    for name, result in drift_from_schema(given, policies, served.profile(), seed=seed).columns.items():
        for finding in check_drift(result, columns[name].skew or DriftPolicy(), code="skew"):
            facts = {**finding.facts, "dataset": served.address}
            yield replace(finding, facts=facts, fix=_for_skew(finding.fix))


def _repinned(name: str, column: ColumnSchema, subject: Subject) -> ColumnSchema:
    """Return a column of times with what the rows that are the reference cover."""
    if not isinstance(column.grid, WeekGrid):
        return column
    return replace(column, grid=infer_week(subject.profile().columns[name]) or column.grid)


def _for_skew(fix: tuple[Patch, ...] | None) -> tuple[Patch, ...] | None:
    """Return the patches of a drift policy for the column's policy of skew."""
    if fix is None:
        return None
    return tuple({**each, "field": str(each["field"]).replace("drift", "skew", 1)} for each in fix)


def _target(name: str, column: ColumnSchema, grid: PinnedGrid, current: GridCounts) -> DriftTarget | None:
    if column.reference is None or column.drift is None:
        return None
    return DriftTarget(
        column=name,
        labels=grid.labels,
        reference=column.reference,
        current=current,
        policy=column.drift,
        edges=grid.edges if isinstance(grid, NumericGrid) else None,
        weeks=(grid, None) if isinstance(grid, WeekGrid) else None,
        is_fixed_clock=_FIXED_CLOCK.search(column.type) is not None,
    )


def _drifted(result: ColumnDrift, policy: DriftPolicy, code: str) -> Finding:
    limit = policy.tau_error if result.verdict is DriftVerdict.ERROR else policy.tau_warn
    change = result.largest_change
    return Finding(
        code=code,
        column=result.column,
        severity=_FLAGS[result.verdict],
        facts={
            "effect": f"{result.effect:.2f}",
            "noise": f"{result.noise:.2f}",
            "limit": f"{limit:.2f}",
            "p": _p(result.p_adjusted),
            "change": f"{change['cell']} {percent(change['before'])} -> {percent(change['after'])}{_turned(result)}",
        },
        observed=result.effect,
        expected=limit,
        evidence=_evidence(result, "effect", "noise", "p_value", "p_adjusted", "method", "largest_change")
        | _of_week(result),
        fix=_raise_limits(result.column, result.effect, policy, "tau", code),
    )


def _turned(result: ColumnDrift) -> str:
    return f"; the hours fit best {abs(result.lag)} h {'later' if result.lag > 0 else 'earlier'}" if result.lag else ""


def _of_week(result: ColumnDrift) -> dict[str, Any]:
    """Return what is known of times: the part of the week, the cells that grew most, by what the hours are turned."""
    if not result.part or result.distribution is None:
        return {}
    shares = zip(result.distribution.labels, result.distribution.shares, strict=True)
    grew = sorted(((p - q, at, (label, p, q)) for at, (label, (p, q)) in enumerate(shares) if q > p))[:_MOST_GROWN]
    cells = [{"cell": label, "before": p, "after": q} for _, _, (label, p, q) in grew]
    return {"part": result.part, "grew": cells} | ({"lag": result.lag} if result.lag else {})


def _untestable(result: ColumnDrift, policy: DriftPolicy) -> Finding:
    needs = "a larger reference is needed" if result.needed is None else f"needs about {result.needed}"
    needs = result.reason or needs
    return Finding(
        code="drift_untestable",
        column=result.column,
        facts={"rows": result.n_current, "tau": f"{policy.tau_warn:.2f}", "needs": needs},
        observed=result.n_current,
        expected=result.needed,
        evidence=_evidence(result, "effect", "noise", "p_value", "p_adjusted", "method"),
    )


def _nulls_drifted(
    column: str,
    shares: tuple[float, float],
    facts: Mapping[str, float],
    sizes: Mapping[str, int],
    verdict: DriftVerdict,
    policy: DriftPolicy,
) -> Finding:
    limit = policy.null_error if verdict is DriftVerdict.ERROR else policy.null_warn
    before, after = shares
    return Finding(
        code="missingness_drift",
        column=column,
        severity=_FLAGS[verdict],
        facts={
            "before": percent(before),
            "after": percent(after),
            "effect": f"{facts['null_effect']:.2f}",
            "limit": f"{limit:.2f}",
            "p": _p(facts["null_p_adjusted"]),
        },
        observed=after,
        expected=before,
        evidence={**facts, **sizes},
        fix=_raise_limits(column, facts["null_effect"], policy, "null", "missingness_drift"),
    )


def _raise_limits(column: str, effect: float, policy: DriftPolicy, prefix: str, code: str) -> tuple[Patch, ...]:
    """Raise the limits to just above what was seen; the baseline stays where it is.

    Where no limit is above it the code is silenced.
    """
    limit = ceil(effect * 100 + 0.5) / 100
    if prefix == "tau" and limit > policy.greatest:
        return (set_field(column, f"severity.{code}", value="off"),)
    error = max(limit, getattr(policy, f"{prefix}_error"))
    return (
        set_field(column, f"drift.{prefix}_warn", value=limit),
        set_field(column, f"drift.{prefix}_error", value=error),
    )


def for_usual(finding: Finding, policy: DriftPolicy) -> Finding:
    """Return a finding by the policy of all columns: its fix gives the column one of its own that is else the same."""
    if finding.fix is None:
        return finding
    of_policy = {"base": policy.to_dict()}
    fix = tuple(
        patch | of_policy if str(patch["field"]).startswith("drift.") else patch for patch in map(dict, finding.fix)
    )
    return replace(finding, fix=fix)


def _evidence(result: ColumnDrift, *names: str) -> dict[str, Any]:
    plain = result.to_dict()
    return {**{name: plain[name] for name in names}, "n_ref": result.n_reference, "n_cur": result.n_current}


def _p(value: float) -> str:
    return "< 1e-9" if value < 1e-9 else f"{value:.1g}"
