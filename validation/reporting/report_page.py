"""The page of a report: the outcome, a table of all columns, and a section for each with findings; the worst first."""

from typing import TYPE_CHECKING, Final

from foldstore.types import Severity
from foldstore.validation.anomaly import percent
from foldstore.validation.reporting.column_section import column_anchor, column_section, grade
from foldstore.validation.reporting.markup import Child, Markup, element, join, table
from foldstore.validation.reporting.page import fragment, page, scrolling
from foldstore.validation.reporting.plots import distribution_plot
from foldstore.validation.reporting.text import outcome
from foldstore.validation.reporting.wording import ColumnOutcome, by_column, one_line, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foldstore.validation.report import Report

# What bounds a page: sections, and lines of the table.
MOST_SECTIONS: Final = 120
MOST_LINES: Final = 2_000
_NOTEBOOK_FINDINGS: Final = 12
_NOTEBOOK_PLOTS: Final = 2
_NOTEBOOK_EXAMPLES: Final = 5
_CELL: Final = 80


def report_page(report: "Report") -> str:
    """Write a report as a page of its own."""
    outcomes = by_column(report)
    worth = [each for each in outcomes if each.anomalies or each.drift is not None]
    shown = [column_section(each) for each in worth[:MOST_SECTIONS]]
    linked = {each.column for each in worth[:MOST_SECTIONS]}
    title = f"{one_line(report.subject)}: {outcome(report)}"
    return page(
        title,
        _header(report, title),
        element("nav", _overview(outcomes, linked), aria_label="columns"),
        element("main", *shown, *_left_out(len(worth) - len(shown)), _untested(report)),
    )


def report_fragment(report: "Report") -> str:
    """Write a report for a notebook: what failed first, a few examples, the distributions that moved most."""
    outcomes = [each for each in by_column(report) if each.anomalies]
    anomalies = [(each, anomaly) for each in outcomes for anomaly in each.anomalies]
    rows = [
        (
            one_line(each.name, _CELL),
            grade(anomaly.severity),
            one_line(anomaly.code),
            one_line(anomaly.message),
            "" if anomaly.count is None else show(anomaly.count),
            ", ".join(
                show(row.get("value"), 30) for row in anomaly.example_rows[:_NOTEBOOK_EXAMPLES] if "value" in row
            ),
        )
        for each, anomaly in anomalies[:_NOTEBOOK_FINDINGS]
    ]
    caption = f"{one_line(report.subject)}: {outcome(report)}, {report.rows:,} rows"
    heads = ("column", "severity", "code", "message", "rows", "examples")
    shown: list[Child] = [scrolling(table(heads, rows, caption))]
    if len(anomalies) > len(rows):
        shown.append(element("p", f"{len(anomalies) - len(rows):,} more; to_html() has them all.", class_="soft"))
    moved = [each.drift for each in outcomes if each.drift and each.severity in (Severity.ERROR, Severity.WARN)]
    for drift in moved[:_NOTEBOOK_PLOTS]:
        if drift.distribution is not None:
            title = f"Distribution of {one_line(drift.column, _CELL)}"
            shown += [element("h3", title), distribution_plot(column_anchor(drift.column), title, drift.distribution)]
    return fragment(*shown)


def _header(report: "Report", title: str) -> Markup:
    severity = Severity.OFF if report.passed else Severity.ERROR
    facts = [
        ("outcome", element("span", "✔ passed" if report.passed else "✖ failed", class_=f"grade {severity}")),
        ("rows", f"{report.rows:,}"),
        ("columns", f"{len(report.columns) or len(report.drift.columns):,}"),
        ("schema", f"{one_line(report.schema_version)} ({one_line(report.schema_id, 17)})"),
        ("profile", one_line(report.profile_id, 17)),
        *([] if report.environment is None else [("environment", one_line(report.environment))]),
        *([] if report.created_at is None else [("judged at", one_line(report.created_at))]),
    ]
    return element("header", element("h1", title), scrolling(table(None, facts)))


def _overview(outcomes: "Sequence[ColumnOutcome]", linked: set[str | None]) -> Markup:
    rows = [_line(each, each.column in linked) for each in outcomes[:MOST_LINES]]
    heads = ("column", "severity", "findings", "drift effect", "nulls", "largest change")
    parts = [scrolling(table(heads, rows, "Every column, the worst first"))]
    if len(outcomes) > MOST_LINES:
        parts.append(element("p", f"{len(outcomes) - MOST_LINES:,} more columns are left out.", class_="soft"))
    return join(parts)


def _line(each: ColumnOutcome, is_linked: bool) -> tuple[Child, ...]:  # noqa: FBT001
    name: Child = one_line(each.name, _CELL)
    if is_linked:
        name = element("a", name, href=f"#{column_anchor(each.column)}")
    codes = ", ".join(dict.fromkeys(one_line(anomaly.code) for anomaly in each.anomalies[:10]))
    drift, alone = each.drift, each.nulls
    if drift is None:
        nulls = "" if alone is None else f"{percent(alone.before)} → {percent(alone.after)}"
        return name, grade(each.severity), codes, "", nulls, ""
    change = drift.largest_change
    moved = ""
    if change:
        moved = f"{one_line(str(change['cell']), 40)}: {percent(change['before'])} → {percent(change['after'])}"
    nulls = f"{percent(drift.null_before)} → {percent(drift.null_after)}"
    return name, grade(each.severity), codes, f"{drift.effect:.3f}", nulls, moved


def _left_out(count: int) -> list[Markup]:
    if count <= 0:
        return []
    words = f"{count:,} more columns, none worse than these, are in the table above alone."
    return [element("p", words, class_="soft")]


def _untested(report: "Report") -> Markup | None:
    rows = [(one_line(name, _CELL), one_line(why)) for name, why in list(report.drift.untested.items())[:MOST_LINES]]
    return scrolling(table(("column", "why"), rows, "Not compared with a reference")) if rows else None
