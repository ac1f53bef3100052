"""A finding on its way to an anomaly: facts for its message, and what the rows still have to say."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from foldstore.types import Severity
from foldstore.validation.anomaly import CODES, Anomaly
from foldstore.validation.evolution import Patch
from foldstore.validation.failing_rows import Failure, Question, look_up
from foldstore.validation.intervals import is_more
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import Subject

_ORDER: Final = {Severity.ERROR: 0, Severity.WARN: 1, Severity.INFO: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """An anomaly before its rows are looked up.

    Attributes
    ----------
    code : str
    column : str or None
    facts : Mapping[str, Any]
        What the message is filled with; ``count`` comes from the rows where there is a question.
    severity : Severity or None
        None for the code's own.
    question : Question or None
        What fails, to find rows by.
    tolerated : float or None
        The share of `of` that may fail: only more is an anomaly. None where the statistics said already
        that something fails.
    confidence : float or None
        How sure it must be that more than that share fails; see `foldstore.validation.intervals.is_more`.
    observed, expected, count, of, evidence, examples, fix
        As in `Anomaly`; `of` is the number of rows that could have failed.
    """

    code: str
    column: str | None = None
    facts: Mapping[str, Any]
    severity: Severity | None = None
    question: Question | None = None
    tolerated: float | None = None
    confidence: float | None = None
    observed: Any = None
    expected: Any = None
    count: int | None = None
    of: int | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    examples: tuple[Mapping[str, Any], ...] = ()
    fix: tuple[Patch, ...] | None = None


def settle(
    findings: Iterable[Finding], schema: DataSchema, subject: Subject, keys: Sequence[str]
) -> tuple[Anomaly, ...]:
    """Turn findings into anomalies, the gravest first; what a schema silences is dropped unseen."""
    heard = [(each, severity) for each in findings if (severity := _severity(each, schema)) is not Severity.OFF]
    questions = {place: each.question for place, (each, _) in enumerate(heard) if each.question is not None}
    answers = look_up(subject, questions, keys) if questions else {}
    anomalies = [
        _anomaly(each, severity, answers.get(place))
        for place, (each, severity) in enumerate(heard)
        if not _is_tolerated(each, answers.get(place))
    ]
    return gravest_first(anomalies)


def gravest_first(anomalies: Iterable[Anomaly]) -> tuple[Anomaly, ...]:
    """Sort errors before warnings before notes, and leave the order of equals alone."""
    return tuple(sorted(anomalies, key=lambda each: _ORDER[each.severity]))


def _is_tolerated(finding: Finding, answer: Failure | None) -> bool:
    if finding.tolerated is None or answer is None:
        return False
    return not is_more(answer.count, finding.of or 0, finding.tolerated, finding.confidence)


def _severity(finding: Finding, schema: DataSchema) -> Severity:
    natural = finding.severity or CODES[finding.code].severity
    override = schema.severity.get(finding.code)
    if finding.column is not None and finding.column in schema.columns:
        override = schema.columns[finding.column].severity.get(finding.code, override)
    return natural if override is None else override


def _anomaly(finding: Finding, severity: Severity, answer: Failure | None) -> Anomaly:
    count = finding.count if answer is None else answer.count
    facts = {**finding.facts, "count": count}
    return Anomaly(
        code=finding.code,
        severity=severity,
        column=finding.column,
        message=CODES[finding.code].template.format(**facts),
        observed=finding.observed,
        expected=finding.expected,
        count=count,
        fraction=count / finding.of if count is not None and finding.of else None,
        example_rows=finding.examples if answer is None else answer.examples,
        evidence=finding.evidence,
        fix=finding.fix,
    )
