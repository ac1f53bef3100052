"""Judging data by a schema: everything that is wrong is collected, nothing is raised for bad data.

The checks read the profile and the counts on pinned grids; rows are looked at again only for what failed.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime

import pyarrow as pa

from foldstore.datastore.engine import lend_engine
from foldstore.datastore.statistics.profile import Profile
from foldstore.datastore.statistics.reading import Kind
from foldstore.validation.clearance import judge_unprofiled
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.column_checks import check_column
from foldstore.validation.column_domains import CategoryDomain, SharedDomain
from foldstore.validation.column_schema import ColumnSchema, has_reference, plain_type
from foldstore.validation.dataset_checks import (
    check_freshness,
    check_keys,
    check_order,
    check_row_count,
    check_rules,
    check_unjudged,
)
from foldstore.validation.drift.adjustment import Adjustment
from foldstore.validation.drift.comparison import DriftResult, detect_drift
from foldstore.validation.drift.nulls import NullCounts, NullTarget
from foldstore.validation.drift_checks import (
    check_result,
    check_skew,
    code_of_shift,
    count_pinned,
    drift_from_schema,
    drift_targets,
    fit_policy,
    for_label,
    for_usual,
    refer_to_windows,
)
from foldstore.validation.evolution import Patch
from foldstore.validation.finding import Finding, gravest_first, settle
from foldstore.validation.fixes import name_replaced
from foldstore.validation.history import History
from foldstore.validation.inference import infer_column, infer_constant, infer_distributions, is_same
from foldstore.validation.inferred_grid import is_calendar
from foldstore.validation.joint_checks import check_joint, check_trends
from foldstore.validation.nested_paths import is_of, with_nested
from foldstore.validation.reference_shifts import check_shifts, may_shift
from foldstore.validation.renames import find_renames, report_renames
from foldstore.validation.report import Report
from foldstore.validation.row_sets import check_row_sets
from foldstore.validation.schema import DataSchema
from foldstore.validation.segment_checks import check_segments
from foldstore.validation.subject import Subject, TableSubject, sealed_columns
from foldstore.validation.surroundings import NOTHING_AROUND, Surroundings
from foldstore.validation.transform_checks import check_transforms
from foldstore.validation.type_checks import is_judged, type_finding, type_fits


def validate(subject: Subject, schema: DataSchema, around: Surroundings = NOTHING_AROUND) -> Report:
    """Judge data by a schema.

    Parameters
    ----------
    subject : Subject
        The rows to judge. Of a table in memory only those columns are profiled of which that is asked: by a policy of
        drift, by bounds, or because something is wrong; and all of them where `Report.profile_id` is asked for.
    schema : DataSchema
    around : Surroundings
        When it is, where the rows are from, and what was there before them.

    Returns
    -------
    Report
        Bad data is in `report.anomalies`; only a broken program raises.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from foldstore.validation.column_domains import NumericDomain
    >>> from foldstore.validation.subject import TableSubject
    >>> schema = DataSchema(columns={"x": ColumnSchema(type="int64", domain=NumericDomain(min=0))})
    >>> [str(each) for each in validate(TableSubject(pa.table({"x": [1, -7]}), "draft"), schema).anomalies]
    ['error: x: 1 values below 0 (min -7) [below_min]']
    """
    profiled = subject.profile()
    subject = with_nested(subject, list(schema.columns))
    profile = subject.profile()
    asked, findings = _enter(schema, around.environment)
    fitting = {name: _settled(name, c, schema) for name, c in asked.columns.items() if is_judged(profile, name, c)}
    findings += [*check_row_count(subject, profile, asked, around.previous_rows)]
    findings += [*_check_columns(profile, schema, asked), *check_order(subject, asked, schema.column_order)]
    findings += check_unjudged(asked)
    drift = DriftResult({})
    with ExitStack() as stack:
        if profile.rows:
            findings += [*check_keys(subject, asked, fitting), *check_freshness(profile, asked, around.now)]
            findings += check_row_sets(subject, asked, fitting, around.others)
            if asked.rules:
                elsewhere = schema.columns.keys() - asked.columns.keys()
                findings += check_rules(subject, asked, stack.enter_context(lend_engine(around.engine)), elsewhere)
            findings += _check_values(subject, fitting, around.now)
            fitting, drift, drifted = _check_distributions(subject, schema, asked, fitting, around.history)
            findings += [*drifted, *_check_against_others(subject, asked, fitting, around)]
        keys = asked.keys if all(key in fitting for key in asked.keys) else ()
        anomalies = settle(findings, schema, subject, keys)
        if asked.segments and profile.rows:
            found = {(each.code, each.column) for each in anomalies}
            sliced = check_segments(subject, asked, fitting, found, around)
            anomalies = gravest_first([*anomalies, *sliced])
    return Report(
        subject=subject.address,
        rows=profile.rows,
        schema_id=schema.id,
        schema_version=schema.version,
        profile=profiled,
        columns=tuple(dict.fromkeys([*schema.columns, *profile.columns])),
        anomalies=name_replaced(anomalies, schema),
        drift=drift,
        created_at=around.created_at,
        environment=around.environment,
    )


def _check_values(subject: Subject, fitting: Mapping[str, ColumnSchema], now: datetime | None) -> Iterator[Finding]:
    """Yield what is wrong with each column by itself; only of those that may have something the profile is made."""
    found = judge_unprofiled(subject, fitting, now)
    for name, column in fitting.items():
        if name in found:
            yield from found[name]
        else:
            yield from check_column(name, column, subject.profile().columns[name], subject, now)


def _check_against_others(
    subject: Subject, asked: DataSchema, fitting: Mapping[str, ColumnSchema], around: Surroundings
) -> Iterator[Finding]:
    """Yield what differs from rows that were served, versions before, and what transforms were fitted on."""
    yield from check_skew(subject, asked, fitting, around.others)
    yield from check_joint(subject, asked, fitting, around.history)
    yield from check_trends(asked, around.history)
    yield from check_transforms(subject, asked, around.transforms)


def _check_distributions(
    subject: Subject,
    schema: DataSchema,
    asked: DataSchema,
    columns: Mapping[str, ColumnSchema],
    history: History | None,
) -> tuple[dict[str, ColumnSchema], DriftResult, list[Finding]]:
    """Compare each column with its reference; return the columns as they were compared, too."""
    fitting, findings = refer_to_windows(columns, None if history is None else history.window)
    counts = count_pinned(subject, fitting)
    # Of all columns: so the noise that is drawn for a comparison belongs to these rows.
    seed = f"{schema.id}\n{subject.profile().id}" if any(each.drift for each in fitting.values()) else ""
    drift = drift_from_schema(counts, fitting, subject.profile(), seed=seed)
    profile = subject.profile()
    shifts: list[Finding] = []
    for name, column in fitting.items():
        if may_shift(column):
            shown = counts.get(name)
            shifts += check_shifts(name, column, profile.columns[name], shown, drifted=name in drift.drifted)
    turned = {each.column for each in shifts if each.code == "timezone_shift_suspect"}
    policies = {name: column.drift or DriftPolicy() for name, column in fitting.items()}
    for each in check_result(drift, policies.__getitem__, lambda name: code_of_shift(asked, name)):
        name = each.column or ""
        # Hours that another zone turned have a name: that they moved is not said again.
        if each.code == "missingness_drift" or name not in turned:
            findings.append(each if schema.columns[name].drift else for_usual(each, policies[name]))
    return fitting, drift, [*findings, *shifts]


def unreadable(schema: DataSchema, address: str, column: str, reason: str, *, created_at: str) -> Report:
    """Return the report of rows of which nothing else can be said: a column's texts are no texts."""
    finding = Finding(code="invalid_utf8", column=column, facts={"reason": reason})
    nothing = TableSubject(pa.table({}), address)
    return Report(
        subject=address,
        rows=0,
        schema_id=schema.id,
        schema_version=schema.version,
        profile=nothing.profile().id,
        columns=tuple(schema.columns),
        anomalies=settle([finding], schema, nothing, ()),
        drift=DriftResult({}),
        created_at=created_at,
    )


def drift_between(
    reference: Subject,
    current: Subject,
    *,
    policy: DriftPolicy | None = None,
    adjustment: Adjustment = "bh",
    label: str | None = None,
) -> DriftResult:
    """Compare two sets of rows column by column, on the grids that inference chooses for the reference.

    Left out, with the reason in `untested`, are columns that only one side has or that changed their type, and those
    without a distribution worth comparing: identifiers, what is the same in all rows, and calendar columns,
    but for the hours of the day and the days of the week of dates and timestamps. Where a metric needs an order, these
    and columns of categories are compared by the Jensen-Shannon distance. What is inside of nested columns is compared
    too. The usual limits of a label are half those of other columns.

    Shares of nulls are compared of all columns that both sides have. Of those whose values are left out, columns with
    cells that a test pool holds, which read as null, are left out here, too.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from foldstore.validation.subject import TableSubject
    >>> before, after = (TableSubject(pa.table({"x": [0, 1] * 500 + [1] * more}), "t") for more in (0, 500))
    >>> drift_between(before, after).columns["x"].largest_change["cell"]
    '<= 0'
    """
    paths = list(dict.fromkeys([*reference.profile().nested, *current.profile().nested]))
    reference, current = with_nested(reference, paths), with_nested(current, paths)
    before, after = reference.profile(), current.profile()
    columns = compared_columns(before, after, policy=policy, label=label)
    targets = drift_targets(count_pinned(current, columns), columns, after)
    nulls = nulls_compared(before, after, columns, policy=policy, sealed=sealed_columns(reference, current))
    found = detect_drift(targets, seed=f"{before.id}\n{after.id}", nulls=nulls, adjustment=adjustment)
    return with_untested(found, before, after)


def compared_columns(
    before: Profile, after: Profile, *, policy: DriftPolicy | None = None, label: str | None = None
) -> dict[str, ColumnSchema]:
    """Return the columns that `drift_between` compares, with grids, the reference's counts and policies."""
    chosen = infer_distributions(before)
    for name in before.columns.keys() & after.columns.keys() - chosen.keys():
        if (constant := infer_constant(name, before.columns[name], after.columns[name])) is not None:
            chosen[name] = constant
    columns = {
        name: column if policy is None else replace(column, drift=fit_policy(policy, column))
        for name, column in ((each, chosen[each]) for each in before.columns if each in chosen)
        if type_fits(after, name, column)
    }
    if label in columns:
        columns[label] = replace(columns[label], drift=for_label(columns[label].drift or DriftPolicy()))
    return columns


def nulls_compared(
    before: Profile,
    after: Profile,
    columns: Collection[str],
    *,
    policy: DriftPolicy | None = None,
    sealed: Collection[str] = (),
) -> list[NullTarget]:
    """Return the columns of which the nulls alone are compared: those of both sides whose values are not.

    Parameters
    ----------
    columns : collection of str
        Those whose values are compared.
    sealed : collection of str
        Those with cells that read as null and are none.
    """
    names = [name for name in before.columns if name in after.columns and name not in columns]
    return [
        NullTarget(
            column=name,
            reference=NullCounts.of_column(before.columns[name]),
            current=NullCounts.of_column(after.columns[name]),
            policy=policy or DriftPolicy(),
        )
        for name in names
        if not is_of(name, sealed)
    ]


def with_untested(found: DriftResult, before: Profile, after: Profile) -> DriftResult:
    """Say of the columns of either side whose values were not compared why they were not."""
    names = [*before.columns, *(name for name in after.columns if name not in before.columns)]
    return replace(found, untested={n: _why_untested(n, before, after) for n in names if n not in found.columns})


def _why_untested(name: str, before: Profile, after: Profile) -> str:
    """Say why a column has no distribution that could be compared."""
    if name not in before.columns or name not in after.columns:
        return f"only {'what is judged' if name in after.columns else 'the reference'} has it"
    column, observed = before.columns[name], after.columns[name].type
    if plain_type(column.type) != plain_type(observed):
        return f"its type changed from {column.type} to {observed}"
    if column.kind is Kind.OPAQUE or column.values is None:
        return f"there is no distribution of {column.type}"
    if is_same(column, after.columns[name]):
        return "all rows of both sides are the same"
    if not column.present:
        return "the reference has no value"
    if (column.distinct or 0) < 2:
        return "the reference has one value only"
    if is_calendar(name, column):
        return "it tells when a row is from"
    return "its values are too many to compare: an identifier, or free text"


def _enter(schema: DataSchema, environment: str | None) -> tuple[DataSchema, list[Finding]]:
    """Return what an environment asks; one that the schema does not know is a finding, and asks for everything."""
    if environment is None or environment in schema.environments:
        return schema.for_environment(environment), []
    facts = {"environment": environment, "known": ", ".join(schema.environments) or "none"}
    unknown = Finding(code="schema_unknown_environment", facts=facts, observed=environment)
    return schema.for_environment(None), [unknown]


def _settled(name: str, column: ColumnSchema, schema: DataSchema) -> ColumnSchema:
    """Return a column with what the schema says for all columns: shared values, the usual drift policy.

    The limits of a label are its own.
    """
    if isinstance(column.domain, SharedDomain):
        values = schema.domains[column.domain.ref]
        column = replace(column, domain=CategoryDomain(values=values, min_mass=column.domain.min_mass))
    if schema.drift is not None and column.drift is None and has_reference(column, schema.drift):
        column = replace(column, drift=fit_policy(schema.drift, column))
    if name == schema.label and column.drift is not None:
        column = replace(column, drift=for_label(column.drift))
    return column


def _check_columns(profile: Profile, schema: DataSchema, asked: DataSchema) -> Iterator[Finding]:
    for name, column in asked.columns.items():
        if name not in profile.columns:
            if column.stage.is_required:
                # Without it nothing would tell rows apart: that no schema can allow.
                fix: tuple[Patch, ...] | None = (
                    None if name in schema.keys else ({"op": "remove_column", "column": name},)
                )
                yield Finding(code="column_missing", column=name, facts={"stage": column.stage}, fix=fix)
        elif not type_fits(profile, name, column):
            yield type_finding(profile, name, column, is_key=name in schema.keys)
    renames = find_renames(profile, asked, schema)
    yield from report_renames(renames, schema)
    for name in profile.columns:
        if name not in schema.columns and name not in renames:
            found = profile.columns[name]
            value = infer_column(name, found).to_dict()
            yield Finding(
                code="column_new",
                column=name,
                facts={"type": plain_type(found.type)},
                observed=plain_type(found.type),
                fix=({"op": "add_column", "column": name, "value": value},),
            )
