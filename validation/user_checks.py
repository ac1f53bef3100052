"""Checks in user code beside a schema: what they find stands in the same report."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from foldstore.validation.finding import gravest_first, settle
from foldstore.validation.report import Report
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import Subject


def with_user_checks(report: Report, subject: Subject, schema: DataSchema, checks: Sequence[Any]) -> Report:
    """Return a report with what pandera's schemas find in the same rows.

    Parameters
    ----------
    report : Report
        What the schema found.
    subject : Subject
        The rows.
    schema : DataSchema
        Its keys name rows in examples, its severities hold.
    checks : sequence of DataFrameSchema or DataFrameModel
    """
    if not checks:
        return report
    # Importing pandera takes longer than most judgements.
    from foldstore.validation.pandera_checks import check_contracts

    keys = schema.keys if all(key in subject.arrow_schema.names for key in schema.keys) else ()
    found = settle(check_contracts(checks, subject, keys), schema, subject, keys)
    return replace(report, anomalies=gravest_first([*report.anomalies, *found]))
