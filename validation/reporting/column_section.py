"""What a page says of one column: its findings with evidence, examples and fixes, and how its values moved."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from foldstore.types import Severity
from foldstore.validation.anomaly import percent
from foldstore.validation.reporting.fix_lines import fix_lines
from foldstore.validation.reporting.markup import Markup, anchor, element, join, table
from foldstore.validation.reporting.page import scrolling
from foldstore.validation.reporting.plots import distribution_plot, share_plot
from foldstore.validation.reporting.wording import gravest, one_line, severity_of, show, visible

if TYPE_CHECKING:
    from foldstore.validation.anomaly import Anomaly
    from foldstore.validation.drift.comparison import ColumnDrift
    from foldstore.validation.drift.nulls import NullDrift
    from foldstore.validation.reporting.wording import ColumnOutcome

_MOST_FINDINGS: Final = 20
_MOST_EVIDENCE: Final = 20
_LEAST_P: Final = 1e-9
_MOST_KEYS: Final = 8
_MESSAGE: Final = 1_000
_CELL: Final = 80
_GRADES: Final = {
    Severity.ERROR: "✖ error",
    Severity.WARN: "▲ warn",
    Severity.INFO: "ⓘ info",
    Severity.OFF: "✔ nothing found",
}


def grade(severity: Severity) -> Markup:
    """Return a severity in words, with a sign, so that it does not hang on its colour."""
    return element("span", _GRADES[severity], class_=f"grade {severity}")


def column_anchor(name: str | None) -> str:
    """Return the id of a column's section; the dataset's has no hash."""
    return "dataset" if name is None else anchor("column", name)


def column_section(outcome: "ColumnOutcome", examples: int = 10) -> Markup:
    """Return the section of a column."""
    ident = column_anchor(outcome.column)
    heading = element("h2", one_line(outcome.name), " ", grade(outcome.severity), id=f"{ident}-name")
    shown = [_finding(each, examples) for each in outcome.anomalies[:_MOST_FINDINGS]]
    if len(outcome.anomalies) > _MOST_FINDINGS:
        left_out = len(outcome.anomalies) - _MOST_FINDINGS
        shown.append(element("p", f"{left_out:,} more findings are left out here.", class_="soft"))
    found = outcome.drift or outcome.nulls
    moved = None if found is None else column_details(found, ident)
    return element("section", heading, *shown, moved, id=ident, aria_labelledby=f"{ident}-name")


def severity_of_column(drift: "ColumnDrift | NullDrift") -> Severity:
    """Return the severity that stands for the verdicts of a column."""
    return gravest([severity_of(str(each)) for each in drift.verdicts])


def column_details(drift: "ColumnDrift | NullDrift", ident: str) -> Markup:
    """Return how a column moved: its values and nulls, or its nulls alone where no more was compared."""
    return _null_details(drift, ident) if drift.nulls_alone else drift_details(drift, ident)


def _null_details(nulls: "NullDrift", ident: str) -> Markup:
    title = f"Nulls of {one_line(nulls.column, _CELL)}"
    rows = [
        ("verdict", str(nulls.verdict)),
        ("effect (Cohen's h)", show(nulls.effect)),
        ("p, adjusted", _fact("p_adjusted", nulls.p_adjusted)),
        ("before → after", f"{percent(nulls.before)} → {percent(nulls.after)}"),
        ("rows", f"{nulls.rows_reference:,} → {nulls.rows_current:,}"),
    ]
    plot = share_plot(f"{ident}-nulls", title, "null", nulls.before, nulls.after)
    return join([plot, scrolling(table(("measure", "nulls"), rows))])


def drift_details(drift: "ColumnDrift", ident: str) -> Markup:
    """Return how a column's values and nulls moved: plots, and the same in numbers."""
    parts: list[Markup] = []
    name = one_line(drift.column, _CELL)
    if drift.distribution is not None:
        title = f"Distribution of {name}" + (f" by {drift.part}" if drift.part else "")
        parts.append(distribution_plot(f"{ident}-values", title, drift.distribution))
    if drift.null_before or drift.null_after:
        title = f"Nulls of {name}"
        parts.append(share_plot(f"{ident}-nulls", title, "null", drift.null_before, drift.null_after))
    parts.append(scrolling(table(("measure", "values", "nulls"), _drift_rows(drift))))
    if drift.distribution is not None:
        cells = zip(drift.distribution.labels, drift.distribution.shares, strict=True)
        rows = [(one_line(label, _CELL), percent(p), percent(q)) for label, (p, q) in cells]
        numbers = scrolling(table(("cell", "reference", "judged"), rows))
        parts.append(element("details", element("summary", "The distribution in numbers"), numbers))
    return join(parts)


def _drift_rows(drift: "ColumnDrift") -> list[tuple[str, str, str]]:
    change = drift.largest_change
    rows = [
        ("verdict", str(drift.verdict), str(drift.null_verdict)),
        (f"effect ({drift.metric}; nulls Cohen's h)", show(drift.effect), show(drift.null_effect)),
        ("noise", show(drift.noise), ""),
        ("p, adjusted", _fact("p_adjusted", drift.p_adjusted), _fact("p_adjusted", drift.null_p_adjusted)),
        ("before → after", "", f"{percent(drift.null_before)} → {percent(drift.null_after)}"),
    ]
    if change:
        rows.append(("largest change", _fact("largest_change", change), ""))
    if drift.lag:
        rows.append(("the hours fit best", f"{abs(drift.lag)} h {'later' if drift.lag > 0 else 'earlier'}", ""))
    if drift.reason:
        rows.append(("not to be told", one_line(drift.reason), ""))
    return [*rows, ("values in cells", f"{drift.n_reference:,} → {drift.n_current:,}", "")]


def _finding(anomaly: "Anomaly", examples: int) -> Markup:
    heading = element("h3", grade(anomaly.severity), " ", element("code", one_line(anomaly.code)))
    said = element("p", visible(anomaly.message, _MESSAGE))
    parts = [heading, said]
    facts = {name: getattr(anomaly, name) for name in ("observed", "expected", "count", "fraction")}
    known = {name: value for name, value in facts.items() if value is not None}
    known |= dict(list(anomaly.evidence.items())[:_MOST_EVIDENCE])
    if known:
        rows = [(one_line(str(name), _CELL), _fact(str(name), value)) for name, value in known.items()]
        parts.append(scrolling(table(("evidence", "value"), rows)))
    if anomaly.example_rows and examples:
        parts.append(_examples([dict(each) for each in anomaly.example_rows[:examples]]))
    if anomaly.fix:
        parts.append(_fix(fix_lines(anomaly.fix)))
    return element("article", *parts)


def _fact(name: str, value: Any) -> str:
    """Write a fact as messages do: a p-value below any that means something, a change from one share to another."""
    if name.startswith("p_") and isinstance(value, float) and value < _LEAST_P:
        return f"< {_LEAST_P:.0e}".replace("e-0", "e-")
    if isinstance(value, Mapping) and value.keys() == {"cell", "before", "after"}:
        return f"{one_line(str(value['cell']), _CELL)}: {percent(value['before'])} → {percent(value['after'])}"
    return show(value)


def _examples(rows: list[dict[str, Any]]) -> Markup:
    keys = list(dict.fromkeys(key for row in rows for key in _key(row)))[:_MOST_KEYS]
    has_place, has_value = (any(name in row for row in rows) for name in ("row", "value"))
    heads = [
        *(["row"] if has_place else []),
        *(one_line(key, _CELL) for key in keys),
        *(["value"] if has_value else []),
    ]
    cells = [
        [
            *([show(row.get("row"))] if has_place else []),
            *(show(_key(row).get(key), _CELL) for key in keys),
            *([show(row.get("value"), _CELL)] if has_value else []),
        ]
        for row in rows
    ]
    return scrolling(table(heads, cells, "Example rows")) if heads else Markup()


def _key(row: Mapping[str, Any]) -> Mapping[str, Any]:
    key = row.get("key")
    return key if isinstance(key, Mapping) else {}


def _fix(lines: list[str]) -> Markup:
    kinds = {"-": "del", "+": "ins"}
    shown = [element(kinds.get(line[:1], "span"), line + "\n") for line in lines]
    return join([element("p", "What accepting it would change in the schema:"), element("pre", *shown)])
