"""A report as JUnit XML, which every CI service reads: a test case for each column and check.

The elements are those that the schema of Jenkins' xUnit plugin (junit-10.xsd) knows. An error is a failure; warnings
and notes are passed cases with a system-out.
"""

import xml.etree.ElementTree as ET  # only writes; nothing is parsed
from typing import TYPE_CHECKING, Final

from foldstore.types import Severity
from foldstore.validation.reporting.wording import by_column, examples_text, one_line, show, visible

if TYPE_CHECKING:
    from foldstore.validation.anomaly import Anomaly
    from foldstore.validation.report import Report
    from foldstore.validation.reporting.wording import ColumnOutcome

_EXAMPLES: Final = 5
_LONGEST: Final = 2_000
_PASSED: Final = "every check"


def report_junit(report: "Report") -> str:
    """Write a report as JUnit XML."""
    outcomes = by_column(report)
    suite = ET.Element("testsuite", name=one_line(report.subject))
    for each in outcomes:
        _add_cases(suite, report, each)
    failed = sum(each.severity is Severity.ERROR for each in report.anomalies)
    counts = {"tests": str(len(suite)), "failures": str(failed), "errors": "0", "time": "0"}
    for name, value in {**counts, "skipped": "0"}.items():  # of one suite only, by the schema
        suite.set(name, value)
    if report.created_at is not None:
        suite.set("timestamp", one_line(report.created_at))
    _add_properties(suite, report)
    suites = ET.Element("testsuites", {"name": "foldstore validate", **counts})
    suites.append(suite)
    ET.indent(suites)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(suites, encoding="unicode")}\n'


def _add_properties(suite: ET.Element, report: "Report") -> None:
    properties = ET.Element("properties")
    for name in ("rows", "schema_version", "schema_id", "profile_id"):
        ET.SubElement(properties, "property", name=name, value=one_line(str(getattr(report, name))))
    suite.insert(0, properties)


def _add_cases(suite: ET.Element, report: "Report", outcome: "ColumnOutcome") -> None:
    group = f"{one_line(report.subject)}.{one_line(outcome.name)}"
    if not outcome.anomalies:
        ET.SubElement(suite, "testcase", classname=group, name=_PASSED, time="0")
    for anomaly in outcome.anomalies:
        case = ET.SubElement(suite, "testcase", classname=group, name=one_line(anomaly.code), time="0")
        if anomaly.severity is Severity.ERROR:
            said = ET.SubElement(
                case, "failure", type=one_line(anomaly.code), message=one_line(anomaly.message, _LONGEST)
            )
        else:
            said = ET.SubElement(case, "system-out")
        said.text = _details(anomaly)


def _details(anomaly: "Anomaly") -> str:
    lines = [str(anomaly)]
    for name in ("observed", "expected", "count", "fraction"):
        value = getattr(anomaly, name)
        lines += [] if value is None else [f"{name}: {show(value)}"]
    shown = examples_text(anomaly.example_rows, _EXAMPLES)
    lines += [f"rows: {shown}"] if shown else []
    return "\n".join(visible(line, _LONGEST) for line in lines)
