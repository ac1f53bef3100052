"""The page of a comparison: a table of all columns, and the plots of each, the worst first."""

from typing import TYPE_CHECKING, Final

from foldstore.validation.anomaly import percent
from foldstore.validation.reporting.column_section import (
    column_anchor,
    column_details,
    grade,
    severity_of_column,
)
from foldstore.validation.reporting.markup import Child, Markup, element, table
from foldstore.validation.reporting.page import page, scrolling
from foldstore.validation.reporting.wording import one_line

if TYPE_CHECKING:
    from foldstore.validation.drift.comparison import ColumnDrift, DriftResult
    from foldstore.validation.drift.nulls import NullDrift

_MOST_SECTIONS: Final = 120
_MOST_LINES: Final = 2_000
_CELL: Final = 80
_ORDER: Final = ("error", "warn", "info", "off")


def drift_page(result: "DriftResult", what: str = "Drift") -> str:
    """Write a comparison as a page of its own."""
    flagged = (each for each in result.nulls_alone.values() if each.is_flagged)
    columns: list[ColumnDrift | NullDrift] = sorted(
        [*result.columns.values(), *flagged],
        key=lambda each: (_ORDER.index(str(severity_of_column(each))), -each.effect, each.column),
    )
    drifted = result.drifted
    title = f"{one_line(what)}: {len(drifted):,} of {len(columns):,} columns"
    named = ", ".join(one_line(name, _CELL) for name in drifted[:20]) or "none"
    more = f" and {len(drifted) - 20:,} more" if len(drifted) > 20 else ""
    heads = ("column", "verdict", "effect", "noise", "p, adjusted", "nulls")
    lines = [_line(each, is_linked=at < _MOST_SECTIONS) for at, each in enumerate(columns[:_MOST_LINES])]
    parts = [scrolling(table(heads, lines, "Every column, the worst first"))]
    left_out = len(columns) - _MOST_SECTIONS
    if left_out > 0:
        parts.append(element("p", f"{left_out:,} more columns have no plots here.", class_="soft"))
    untested = [(one_line(name, _CELL), one_line(result.why_untested(name))) for name in result.untested]
    if untested:
        parts.append(scrolling(table(("column", "why"), untested[:_MOST_LINES], "Values not compared")))
    return page(
        title,
        element("header", element("h1", title), element("p", f"Drifted: {named}{more}.")),
        element("nav", *parts, aria_label="columns"),
        element("main", *(_section(each) for each in columns[:_MOST_SECTIONS])),
    )


def _line(each: "ColumnDrift | NullDrift", *, is_linked: bool) -> tuple[Child, ...]:
    name: Child = one_line(each.column, _CELL)
    name = element("a", name, href=f"#{column_anchor(each.column)}") if is_linked else name
    shown = name, grade(severity_of_column(each))
    if each.nulls_alone:
        return *shown, "", "", "", f"{percent(each.before)} → {percent(each.after)}"
    nulls = f"{percent(each.null_before)} → {percent(each.null_after)}"
    return *shown, f"{each.effect:.3f}", f"{each.noise:.3f}", f"{each.p_adjusted:.2g}", nulls


def _section(each: "ColumnDrift | NullDrift") -> Markup:
    ident = column_anchor(each.column)
    heading = element("h2", one_line(each.column), " ", grade(severity_of_column(each)), id=f"{ident}-name")
    return element("section", heading, column_details(each, ident), id=ident, aria_labelledby=f"{ident}-name")
