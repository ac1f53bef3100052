"""The page of a comparison by segment: the segments, why columns moved, and the plots of what drifted."""

from typing import TYPE_CHECKING, Final

from foldstore.validation.anomaly import percent
from foldstore.validation.drift.nulls import NullDrift
from foldstore.validation.drift.segment_text import PART_HEADS, joined, part_rows, standing, summary
from foldstore.validation.reporting.column_section import column_details, grade, severity_of_column
from foldstore.validation.reporting.markup import Child, Markup, anchor, element, table
from foldstore.validation.reporting.page import page, scrolling
from foldstore.validation.reporting.wording import one_line, severity_of

if TYPE_CHECKING:
    from foldstore.validation.drift.comparison import ColumnDrift
    from foldstore.validation.drift.segments import SegmentDrift, SegmentedDrift

_MOST_SECTIONS: Final = 120
_MOST_LINES: Final = 2_500
_CELL: Final = 80
_HEADS: Final = ("segment", "rows before", "rows", "share", "verdict", "drifted columns")


def segment_page(result: "SegmentedDrift") -> str:
    """Write a comparison by segment as a page of its own."""
    flagged: list[tuple[SegmentDrift, ColumnDrift | NullDrift]] = [
        (segment, each)
        for segment in result.segments
        if segment.drift is not None
        for name in segment.drifted
        if (each := segment.drift.columns.get(name) or segment.drift.nulls.get(name)) is not None
    ]
    flagged.sort(key=lambda pair: (str(severity_of_column(pair[1])) != "error", -_effect(pair[1])))
    segments = sum(bool(each.drifted) for each in result.segments)
    by = one_line(", ".join(result.by))
    title = f"Drift by {by}: {segments:,} of {len(result.segments):,} segments"
    shown = flagged[:_MOST_SECTIONS]
    linked = {(segment.name, each.column) for segment, each in shown}
    lines = [_line(each, linked) for each in result.segments[:_MOST_LINES]]
    parts = [
        element("p", f"{summary(result)}.", class_="soft"),
        element("p", f"{joined(result)}.", class_="soft") if result.left_over else None,
        scrolling(table(_HEADS, lines, "Every segment, the worst first")),
        _reasons(result),
    ]
    left_out = len(flagged) - len(shown)
    if left_out:
        parts.append(element("p", f"{left_out:,} more columns of segments have no plots here.", class_="soft"))
    mix = element("h2", f"Shares of the segments by {by} ", grade(severity_of_column(result.mix)), id="mix-name")
    return page(
        title,
        element("header", element("h1", title)),
        element("nav", *parts, aria_label="segments"),
        element(
            "main",
            element("section", mix, column_details(result.mix, "mix"), id="mix", aria_labelledby="mix-name"),
            *(_section(segment, each) for segment, each in shown),
        ),
    )


def _reasons(result: "SegmentedDrift") -> Markup | None:
    rows = [tuple(one_line(str(cell), _CELL) for cell in row) for row in part_rows(result)[:_MOST_LINES]]
    return scrolling(table(PART_HEADS, rows, "Why columns moved")) if rows else None


def _line(each: "SegmentDrift", linked: set[tuple[str, str]]) -> tuple[Child, ...]:
    shares = f"{percent(each.share_reference)} → {percent(each.share_current)}"
    columns: list[Child] = []
    for name in each.drifted:
        shown = one_line(name, _CELL)
        columns += [
            ", " if columns else None,
            element("a", shown, href=f"#{_anchor(each, name)}") if (each.name, name) in linked else shown,
        ]
    standing_ = standing(each) if each.drift is None else grade(severity_of(str(each.verdict)))
    named = element("span", *columns)
    return one_line(each.name, _CELL), f"{each.rows_reference:,}", f"{each.rows_current:,}", shares, standing_, named


def _effect(each: "ColumnDrift | NullDrift") -> float:
    return each.effect if isinstance(each, NullDrift) else max(each.effect, each.null_effect)


def _section(segment: "SegmentDrift", each: "ColumnDrift | NullDrift") -> Markup:
    ident = _anchor(segment, each.column)
    name = f"{one_line(each.column)} where {one_line(segment.name)}"
    heading = element("h2", name, " ", grade(severity_of_column(each)), id=f"{ident}-name")
    return element("section", heading, column_details(each, ident), id=ident, aria_labelledby=f"{ident}-name")


def _anchor(segment: "SegmentDrift", column: str) -> str:
    return anchor("segment", f"{segment.name} {column} {segment.values!r}")
