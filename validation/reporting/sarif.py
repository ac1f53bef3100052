"""A report in SARIF 2.1.0, the form of code scanning (OASIS standard, sections 3.13 to 3.27 and 3.49)."""

import hashlib
import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from foldstore import __version__
from foldstore.types import Severity
from foldstore.validation.anomaly import CODES
from foldstore.validation.reporting.wording import one_line, plain, visible, write_json

if TYPE_CHECKING:
    from foldstore.validation.anomaly import Anomaly
    from foldstore.validation.report import Report

SARIF_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS: Final = {Severity.ERROR: "error", Severity.WARN: "warning", Severity.INFO: "note"}
_LONGEST: Final = 2_000
_PLACE: Final = re.compile(r"\{(\w+)[^{}]*\}")


def report_sarif(report: "Report", file: str | None) -> str:
    """Write a report in SARIF 2.1.0; `file` is what findings are shown beside."""
    codes = list(report.by_code())
    run = {
        "tool": {"driver": {"name": "foldstore", "version": __version__, "rules": [_rule(code) for code in codes]}},
        "results": [_result(report, each, codes.index(each.code), file) for each in report.anomalies],
        "columnKind": "unicodeCodePoints",
        "properties": {
            "subject": visible(report.subject),
            "rows": report.rows,
            "schema": f"{report.schema_version} {report.schema_id}",
            "profile": report.profile_id,
            "passed": report.passed,
        },
    }
    return write_json({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(code: str) -> dict[str, Any]:
    """Describe a code by what `CODES` says of it; one that it lacks is described by its own name."""
    known = CODES.get(code)
    words = code.replace("_", " ")
    said = words if known is None else _PLACE.sub(r"<\1>", known.template)
    help_text = f"{words[:1].upper()}{words[1:]}. The message: {said}. See docs/anomalies.md of Foldstore."
    return {
        "id": code,
        "name": "".join(part.capitalize() for part in code.split("_")),
        "shortDescription": _text(words),
        "fullDescription": _text(said),
        "help": _text(help_text),
        "defaultConfiguration": {"level": "warning" if known is None else _LEVELS.get(known.severity, "none")},
    }


def _result(report: "Report", anomaly: "Anomaly", rule: int, file: str | None) -> dict[str, Any]:
    where = "" if anomaly.column is None else f"{anomaly.column}: "
    names = [report.subject] if anomaly.column is None else [report.subject, anomaly.column]
    logical = {"name": one_line(names[-1]), "fullyQualifiedName": one_line("/".join(names), 2 * _LONGEST)}
    location: dict[str, Any] = {"logicalLocations": [{**logical, "kind": "object" if where else "module"}]}
    if file is not None:
        # A region of a first line is what code scanning asks for; a finding is about the whole file.
        location["physicalLocation"] = {
            "artifactLocation": {"uri": quote(PurePath(file).as_posix())},
            "region": {"startLine": 1},
        }
    return {
        "ruleId": anomaly.code,
        "ruleIndex": rule,
        "level": _LEVELS.get(anomaly.severity, "none"),
        "message": _text(f"{where}{anomaly.message}"),
        "locations": [location],
        "partialFingerprints": {"codeAndColumn/v1": _fingerprint(anomaly)},
        "properties": {
            each: plain(value)
            for each in ("observed", "expected", "count", "fraction")
            if (value := getattr(anomaly, each)) is not None
        },
    }


def _text(text: str) -> dict[str, str]:
    """Return a message; braces are doubled (3.11.5), and nothing reads as a link (3.11.6)."""
    shown = visible(text, _LONGEST).replace("](", "] (")
    return {"text": shown.replace("{", "{{").replace("}", "}}")}


def _fingerprint(anomaly: "Anomaly") -> str:
    """Return what stays the same when the finding comes again with other numbers."""
    key = f"{anomaly.code}\0{'' if anomaly.column is None else 'column:' + anomaly.column}"
    return hashlib.sha256(key.encode("utf-8", "backslashreplace")).hexdigest()
