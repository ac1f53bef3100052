"""A report for a terminal: a line for the outcome, then one for each anomaly, the gravest first."""

from collections import Counter
from typing import TYPE_CHECKING, Final

from foldstore.validation.reporting.wording import DATASET, SEVERITIES, examples_text, one_line

if TYPE_CHECKING:
    from foldstore.validation.report import Report

_EXAMPLES: Final = 3
_LONGEST: Final = 2_000


def outcome(report: "Report") -> str:
    """Say in a few words how a validation ended."""
    counts = Counter(anomaly.severity for anomaly in report.anomalies)
    found = [f"{counts[each]} {each}" for each in SEVERITIES if counts[each]]
    return f"{'passed' if report.passed else 'failed'} ({', '.join(found) or 'no anomalies'})"


def report_text(report: "Report") -> str:
    """Write a report for a terminal."""
    where = "" if report.environment is None else f", environment {report.environment}"
    lines = [f"{report.subject}: {outcome(report)}", f"  {report.rows} rows, schema {report.schema_version}{where}"]
    for anomaly in report.anomalies:
        lines.append(f"  {anomaly.severity!s:5}  {anomaly.column or DATASET}: {anomaly.message}")
        shown = examples_text(anomaly.example_rows, _EXAMPLES)
        lines += [f"         rows {shown}"] if shown else []
    return "\n".join(one_line(line, _LONGEST) for line in lines)
