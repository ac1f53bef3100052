"""A report as annotations of GitHub Actions: workflow commands on stdout.

Source: GitHub's documentation of workflow commands, and the escapes of ``@actions/core`` (command.ts): percent, CR and
LF in a message, colon and comma too in a property. GitHub shows ten errors and ten warnings of a step, so the gravest
come first.
"""

from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from foldstore.types import Severity
from foldstore.validation.reporting.wording import visible

if TYPE_CHECKING:
    from foldstore.validation.report import Report

_LONGEST: Final = 2_000
_COMMANDS: Final = {Severity.ERROR: "error", Severity.WARN: "warning"}


def report_github(report: "Report", file: str | None) -> str:
    """Write a report as workflow commands, one a line."""
    place = [] if file is None else [f"file={_property(PurePath(file).as_posix())}"]
    lines = []
    for anomaly in report.anomalies:
        where = report.subject if anomaly.column is None else f"{report.subject}: {anomaly.column}"
        title = f"title={_property(f'{where} ({anomaly.code})')}"
        command = _COMMANDS.get(anomaly.severity, "notice")
        lines.append(f"::{command} {','.join([*place, title])}::{_message(anomaly.message)}\n")
    return "".join(lines)


def _message(text: str) -> str:
    return visible(text, _LONGEST).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
