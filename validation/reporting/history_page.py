"""A history as a page, for a notebook, and for a terminal: those columns first that moved most."""

from typing import TYPE_CHECKING, Final

from foldstore.validation.anomaly import percent
from foldstore.validation.reporting.column_section import column_anchor
from foldstore.validation.reporting.markup import Markup, element, join, table
from foldstore.validation.reporting.page import fragment, page, scrolling
from foldstore.validation.reporting.plots import band_plot, null_plot
from foldstore.validation.reporting.wording import one_line, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foldstore.validation.reporting.history import ColumnHistory, ColumnPoint, ProfileHistory, VersionPoint

_CELL: Final = 80
_MOST_LINES: Final = 2_000
_MOST_SECTIONS: Final = 120
# Points that a page draws, over all of its sections.
_MOST_POINTS: Final = 6_000
_FEWEST_SECTIONS: Final = 10
_NOTEBOOK_PLOTS: Final = 3
_HEADS: Final = ("column", "type", "nulls, first → last", "median, first → last", "movement")


def history_page(history: "ProfileHistory") -> str:
    """Write a history as a page of its own."""
    most = min(_MOST_SECTIONS, max(_FEWEST_SECTIONS, _MOST_POINTS // max(1, len(history.versions))))
    columns = list(history.columns.items())
    drawn = {name for name, _ in columns[:most]}
    rows = []
    for name, each in columns[:_MOST_LINES]:
        shown = one_line(name, _CELL)
        link = element("a", shown, href=f"#{column_anchor(name)}") if name in drawn else shown
        rows.append((link, *_line(each)))
    parts = [scrolling(table(_HEADS, rows, "Every column; those that moved most from a version to the next first"))]
    if len(columns) > most:
        parts.append(element("p", f"{len(columns) - most:,} more columns have no plots here.", class_="soft"))
    title = _title(history)
    facts = [_version_line(each) for each in history.versions]
    versions = scrolling(table(("version", "committed", "rows", "errors", "warnings"), facts, _about(history)))
    return page(
        title,
        element("header", element("h1", title)),
        element("nav", *parts, aria_label="columns"),
        element("main", *(_section(name, each, history) for name, each in columns[:most]), _versions(versions)),
    )


def history_fragment(history: "ProfileHistory") -> str:
    """Write a history for a notebook: the columns that moved most."""
    shown = list(history.columns.items())[:_NOTEBOOK_PLOTS]
    parts = [join([element("h3", one_line(name, _CELL)), _plots(name, each, history)]) for name, each in shown]
    left_out = len(history.columns) - len(shown)
    more = [element("p", f"{left_out:,} more columns; to_html() has them.", class_="soft")] if left_out else []
    return fragment(element("p", _title(history)), *parts, *more)


def history_text(history: "ProfileHistory") -> str:
    """Write a history for a terminal."""
    rows = [_HEADS, *((one_line(name, 40), *_line(each)) for name, each in history.columns.items())]
    widths = [max(len(row[place]) for row in rows) for place in range(len(_HEADS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([_title(history), *(f"  {line}" for line in lines)])


def _title(history: "ProfileHistory") -> str:
    count = len(history.versions)
    return f"{one_line(history.subject)}: {len(history.columns):,} columns over {count:,} version{'s' * (count != 1)}"


def _about(history: "ProfileHistory") -> str:
    return "The rows that each version added" if history.rows == "added" else "All rows of each version"


def _version_line(each: "VersionPoint") -> tuple[str, ...]:
    found = ("not judged" if count is None else f"{count:,}" for count in (each.errors, each.warnings))
    return (one_line(each.address), one_line(each.created_at), f"{each.rows:,}", *found)


def _versions(listed: Markup) -> Markup:
    heading = element("h2", "Versions", id="versions-name")
    return element("section", heading, listed, id="versions", aria_labelledby="versions-name")


def _line(each: "ColumnHistory") -> tuple[str, ...]:
    nulls = [percent(point.null_fraction) for point in each.points if point.null_fraction is not None]
    medians = [each.show(point.quantiles[2]) for point in each.points if point.quantiles is not None]
    return one_line(each.type, 40), _ends(nulls), _ends(medians), f"{each.movement:.3f}"


def _ends(said: "Sequence[str]") -> str:
    return f"{said[0]} → {said[-1]}" if said else ""


def _section(name: str, each: "ColumnHistory", history: "ProfileHistory") -> Markup:
    ident = column_anchor(name)
    heading = element(
        "h2", one_line(name), " ", element("span", one_line(each.type, 40), class_="soft"), id=f"{ident}-name"
    )
    heads = ("version", "nulls", "distinct", "5 %", "25 %", "median", "75 %", "95 %")
    rows = [
        (one_line(version.address), *_numbers(each, point))
        for version, point in zip(history.versions, each.points, strict=True)
    ]
    numbers = element("details", element("summary", "In numbers"), scrolling(table(heads, rows)))
    return element("section", heading, _plots(name, each, history), numbers, id=ident, aria_labelledby=f"{ident}-name")


def _plots(name: str, each: "ColumnHistory", history: "ProfileHistory") -> Markup:
    ident, shown = column_anchor(name), one_line(name, _CELL)
    labels = [f"@{version.address.rpartition('@')[2]}" for version in history.versions]
    points = [point.quantiles for point in each.points]
    known = [point for point in points if point is not None]
    parts = []
    if known:
        ends = each.show(min(point[0] for point in known)), each.show(max(point[4] for point in known))
        parts.append(band_plot(f"{ident}-values", f"Quantiles of {shown} over versions", labels, points, ends))
    shares = [point.null_fraction for point in each.points]
    if any(shares):
        parts.append(null_plot(f"{ident}-nulls", f"Nulls of {shown} over versions", labels, shares))
    else:
        parts.append(element("p", "No nulls in any version.", class_="soft"))
    return join(parts)


def _numbers(each: "ColumnHistory", point: "ColumnPoint") -> tuple[str, ...]:
    nulls = "absent" if point.null_fraction is None else percent(point.null_fraction)
    distinct = "" if point.distinct is None else show(point.distinct)
    values = [""] * 5 if point.quantiles is None else [each.show(value) for value in point.quantiles]
    return (nulls, distinct, *values)
