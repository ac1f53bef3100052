"""How a form writes what it is given: everything visible, nothing longer than its place, the worst first."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from foldstore.types import Severity

if TYPE_CHECKING:
    from foldstore.validation.anomaly import Anomaly
    from foldstore.validation.drift.comparison import ColumnDrift
    from foldstore.validation.drift.nulls import NullDrift
    from foldstore.validation.report import Report

DATASET: Final = "(dataset)"
SEVERITIES: Final = (Severity.ERROR, Severity.WARN, Severity.INFO)
_CELL: Final = 200
_UNPRINTABLE: Final = re.compile(r"[^\n -~]")
# Verdicts of drift, as severities.
_VERDICTS: Final = {"error": Severity.ERROR, "warn": Severity.WARN, "untestable": Severity.INFO}


@dataclass(frozen=True, slots=True)
class ColumnOutcome:
    """What a report says of one column.

    Attributes
    ----------
    column : str or None
        None for the dataset as a whole.
    anomalies : tuple of Anomaly
        The gravest first.
    drift : ColumnDrift or None
    nulls : NullDrift or None
        Where the values were not compared, and the nulls were.
    """

    column: str | None
    anomalies: "tuple[Anomaly, ...]"
    drift: "ColumnDrift | None" = None
    nulls: "NullDrift | None" = None

    @property
    def name(self) -> str:
        """What it is called for people."""
        return DATASET if self.column is None else self.column

    @property
    def severity(self) -> Severity:
        """The gravest, `OFF` where there is nothing."""
        return gravest([each.severity for each in self.anomalies])


def gravest(severities: Iterable[Severity]) -> Severity:
    """Return the gravest of severities; `OFF` when there is none.

    Examples
    --------
    >>> gravest([Severity.INFO, Severity.ERROR]).value, gravest([]).value
    ('error', 'off')
    """
    found = set(severities)
    return next((each for each in SEVERITIES if each in found), Severity.OFF)


def severity_of(verdict: str) -> Severity:
    """Return the severity that stands for a verdict of drift.

    Examples
    --------
    >>> severity_of("untestable").value, severity_of("stable").value
    ('info', 'off')
    """
    return _VERDICTS.get(verdict, Severity.OFF)


def by_column(report: "Report") -> list[ColumnOutcome]:
    """Return the outcome of each column that a report knows, the dataset among them, the worst first."""
    found: dict[str | None, list[Anomaly]] = {}
    for anomaly in report.anomalies:
        found.setdefault(anomaly.column, []).append(anomaly)
    names: dict[str | None, None] = dict.fromkeys(
        [None, *report.columns, *report.drift.columns, *report.drift.nulls, *found]
    )
    alone = report.drift.nulls_alone
    outcomes = [
        ColumnOutcome(
            name,
            tuple(sorted(found.get(name, ()), key=lambda each: _rank(each.severity))),
            None if name is None else report.drift.columns.get(name),
            None if name is None else alone.get(name),
        )
        for name in names
    ]
    return sorted(outcomes, key=_worst_first)


def _worst_first(outcome: ColumnOutcome) -> tuple[Any, ...]:
    """Order by severity, then by how much is wrong, then by name."""
    grave = [each for each in outcome.anomalies if each.severity is outcome.severity]
    share = max((each.fraction or 0.0 for each in grave), default=0.0)
    effect = outcome.drift.effect if outcome.drift else 0.0
    return _rank(outcome.severity), outcome.column is not None, -len(grave), -max(share, effect), outcome.name


def _rank(severity: Severity) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


def visible(text: str, most: int = _CELL) -> str:
    r"""Write a text so that it can do nothing: what is not printable as an escape, lines stay lines.

    What comes out has no character that XML 1.0 forbids, none that steers a terminal or turns the direction of text.

    Examples
    --------
    >>> print(visible("a" + chr(27) + "[31m"), visible("x" * 9, 5))
    a\x1b[31m xxxx…
    """
    if len(text) > most:
        text = text[: most - 1] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str, most: int = _CELL) -> str:
    r"""Write a text as `visible` does, on one line.

    Examples
    --------
    >>> print(one_line("a" + chr(10) + "b"))
    a\nb
    """
    return visible(text, most).replace("\n", "\\n")


def show(value: Any, most: int = _CELL) -> str:
    """Write plain data for people, on one line.

    Examples
    --------
    >>> show(0.30000000000000004), show(None), show({"a": [1]}), show(True), show(12345)
    ('0.3', 'null', '{"a": [1]}', 'true', '12,345')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return one_line(f"{value:,}" if abs(value) < 10**30 else f"{value:#x}", most)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping | list | tuple):
        return one_line(json.dumps(plain(value, items=most), ensure_ascii=False), most)
    return one_line(str(value), most)


def plain(value: Any, items: int | None = None) -> Any:
    """Turn a value into JSON's kinds; numbers that JSON lacks become text. With `items`, longer lists are cut.

    Examples
    --------
    >>> plain({"x": (1, float("inf"))})
    {'x': [1, 'Infinity']}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item, items) for key, item in list(value.items())[:items]}
    if isinstance(value, list | tuple):
        return [plain(item, items) for item in value[:items]]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def write_json(value: Any, *, indent: int | None = None) -> str:
    """Write plain data as JSON that is strict and the same each time.

    What is not printable is written as an escape of JSON's own.
    """
    text = json.dumps(plain(value), ensure_ascii=False, allow_nan=False, indent=indent)
    return text if text.isprintable() else _UNPRINTABLE.sub(_escape, text)


def _escape(found: "re.Match[str]") -> str:
    character = found.group()
    return character if character.isprintable() else json.dumps(character)[1:-1]


def examples_text(rows: Sequence[Mapping[str, Any]], most: int) -> str:
    """Write where failing rows are, with what they hold; empty when none is known by its position.

    Examples
    --------
    >>> examples_text([{"row": 3, "value": None}, {"row": 5}, {"row": 7, "value": "x"}], 2)
    '3 (None), 5'
    """

    def value(row: Mapping[str, Any]) -> str:  # a row that repeats another holds nothing of its own
        return f" ({one_line(str(row['value']), 80)})" if "value" in row else ""

    return ", ".join(f"{each['row']}{value(each)}" for each in rows[:most] if "row" in each)
