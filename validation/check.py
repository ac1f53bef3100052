"""Judging data by a schema: everything that is wrong is collected, nothing is raised for bad data.

The checks read the profile and the counts on pinned grids; rows are looked at again only for what failed.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from foldstore.datastore.statistics.column import json_value
from foldstore.datastore.statistics.pinned import CategoryGrid
from foldstore.datastore.statistics.profile import Profile
from foldstore.datastore.statistics.reading import Kind
from foldstore.validation.column_checks import check_column
from foldstore.validation.column_schema import ColumnSchema, DriftPolicy, plain_type
from foldstore.validation.drift.adjustment import Adjustment
from foldstore.validation.drift.comparison import DriftResult
from foldstore.validation.drift.measures import ORDERED
from foldstore.validation.drift_checks import check_drift, drift_from_schema
from foldstore.validation.evolution import WIDER, Patch
from foldstore.validation.finding import Finding, settle
from foldstore.validation.inference import infer_column, infer_distributions, is_calendar
from foldstore.validation.report import Report
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import Subject

_EXAMPLE_KEYS: Final = 10


def validate(subject: Subject, schema: DataSchema, *, created_at: str | None = None) -> Report:
    """Judge data by a schema.

    Parameters
    ----------
    subject : Subject
        The rows to judge.
    schema : DataSchema
    created_at : str, optional
        An instant to note on the report; nothing here reads a clock.

    Returns
    -------
    Report
        Bad data is in `report.anomalies`; only a broken program raises.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from foldstore.validation.column_schema import NumericDomain
    >>> from foldstore.validation.subject import TableSubject
    >>> schema = DataSchema(columns={"x": ColumnSchema(type="int64", domain=NumericDomain(min=0))})
    >>> [str(each) for each in validate(TableSubject(pa.table({"x": [1, -7]}), "draft"), schema).anomalies]
    ['error: x: 1 values below 0 (min -7) [below_min]']
    """
    profile = subject.profile()
    fitting = {name: column for name, column in schema.columns.items() if _type_fits(profile, name, column)}
    keys = schema.keys if all(key in fitting for key in schema.keys) else ()
    findings = [*_check_rows(subject, profile, schema), *_check_columns(profile, schema)]
    drift = DriftResult({})
    if profile.rows:
        findings += _check_keys(subject, keys)
        for name, column in fitting.items():
            findings += check_column(name, column, profile.columns[name], subject)
        drift = drift_from_schema(subject, fitting, seed=f"{schema.id}\n{profile.id}")
        for name, result in drift.columns.items():
            findings += check_drift(result, fitting[name].drift or DriftPolicy())
    return Report(
        subject=subject.address,
        rows=profile.rows,
        schema_id=schema.id,
        schema_version=schema.version,
        profile_id=profile.id,
        anomalies=settle(findings, schema, subject, keys),
        drift=drift,
        created_at=created_at,
    )


def drift_between(
    reference: Subject, current: Subject, *, policy: DriftPolicy | None = None, adjustment: Adjustment = "bh"
) -> DriftResult:
    """Compare two sets of rows column by column, on the grids that inference chooses for the reference.

    Left out, with the reason in `untested`, are columns that only one side has or that changed their type, and those
    without a distribution worth comparing: calendar columns, identifiers, constants. Where a metric needs an order,
    columns of categories are compared by the Jensen-Shannon distance.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from foldstore.validation.subject import TableSubject
    >>> before, after = (TableSubject(pa.table({"x": [0, 1] * 500 + [1] * more}), "t") for more in (0, 500))
    >>> drift_between(before, after).columns["x"].largest_change["cell"]
    '<= 0'
    """
    before, after = reference.profile(), current.profile()
    columns = {
        name: column if policy is None else replace(column, drift=_fitting(policy, column))
        for name, column in infer_distributions(before).items()
        if _type_fits(after, name, column)
    }
    found = drift_from_schema(current, columns, seed=f"{before.id}\n{after.id}", adjustment=adjustment)
    names = [*before.columns, *(name for name in after.columns if name not in before.columns)]
    return replace(found, untested={n: _why_untested(n, before, after) for n in names if n not in found.columns})


def _fitting(policy: DriftPolicy, column: ColumnSchema) -> DriftPolicy:
    """Return the policy for a column: categories have no order, so what needs one is the default distance there."""
    needs_order = policy.metric in ORDERED and isinstance(column.grid, CategoryGrid)
    return replace(policy, metric="js") if needs_order else policy


def _why_untested(name: str, before: Profile, after: Profile) -> str:
    """Say why a column has no distribution that could be compared."""
    if name not in before.columns or name not in after.columns:
        return f"only {'what is judged' if name in after.columns else 'the reference'} has it"
    column, observed = before.columns[name], after.columns[name].type
    if plain_type(column.type) != plain_type(observed):
        return f"its type changed from {column.type} to {observed}"
    if column.kind is Kind.OPAQUE or column.values is None:
        return f"there is no distribution of {column.type}"
    if not column.present:
        return "the reference has no value"
    if (column.distinct or 0) < 2:
        return "the reference has one value only"
    if is_calendar(name, column):
        return "it tells when a row is from"
    return "its values are too many to compare: an identifier, or free text"


def _type_fits(profile: Profile, name: str, column: ColumnSchema) -> bool:
    if name not in profile.columns:
        return False
    observed = plain_type(profile.columns[name].type)
    return observed == plain_type(column.type) or observed in column.coerce_from


def _check_rows(subject: Subject, profile: Profile, schema: DataSchema) -> Iterator[Finding]:
    if not profile.rows:
        yield Finding(code="no_data", facts={"address": subject.address}, observed=0, expected=schema.min_rows or 1)
    elif profile.rows < schema.min_rows:
        yield Finding(
            code="rows_too_few",
            facts={"rows": profile.rows, "expected": schema.min_rows},
            observed=profile.rows,
            expected=schema.min_rows,
            fix=({"op": "set_dataset", "field": "min_rows", "value": profile.rows},),
        )


def _check_columns(profile: Profile, schema: DataSchema) -> Iterator[Finding]:
    for name, column in schema.columns.items():
        if name not in profile.columns:
            if column.stage.is_required:
                fix: tuple[Patch, ...] = ({"op": "remove_column", "column": name},)
                yield Finding(code="column_missing", column=name, facts={"stage": column.stage}, fix=fix)
        elif not _type_fits(profile, name, column):
            yield _type_mismatch(profile, name, column, is_key=name in schema.keys)
    for name, found in profile.columns.items():
        if name not in schema.columns:
            value = infer_column(name, found).to_dict()
            yield Finding(
                code="column_new",
                column=name,
                facts={"type": plain_type(found.type)},
                observed=plain_type(found.type),
                fix=({"op": "add_column", "column": name, "value": value},),
            )


def _type_mismatch(profile: Profile, name: str, column: ColumnSchema, *, is_key: bool) -> Finding:
    """Report another type; where no value can be lost, declaring it is the fix."""
    observed = plain_type(profile.columns[name].type)
    fix: Patch = {"op": "add_column", "column": name}
    if column.type in WIDER.get(observed, ()):
        fix = {"op": "set", "column": name, "field": "coerce_from", "value": [*column.coerce_from, observed]}
    else:
        fix = {**fix, "value": infer_column(name, profile.columns[name], is_key=is_key).to_dict()}
    return Finding(
        code="type_mismatch",
        column=name,
        facts={"observed": observed, "expected": column.type},
        observed=observed,
        expected=column.type,
        fix=(fix,),
    )


def _check_keys(subject: Subject, keys: tuple[str, ...]) -> Iterator[Finding]:
    if not keys:
        return
    found = subject.duplicate_keys(keys, _EXAMPLE_KEYS)
    if not found.groups:
        return
    examples = [{key: json_value(each[key]) for key in keys} for each in found.examples[:_EXAMPLE_KEYS]]
    yield Finding(
        code="duplicate_key",
        facts={"groups": found.groups, "rows": found.rows, "example": _shown(examples)},
        observed=found.groups,
        expected=0,
        count=found.rows,
        of=max(subject.num_rows, found.rows),
        examples=tuple({"key": each} for each in examples),
        evidence={"keys": list(keys)},
    )


def _shown(examples: list[dict[str, object]]) -> str:
    return ", ".join(f"{key}={value}" for key, value in examples[0].items()) if examples else "none shown"
