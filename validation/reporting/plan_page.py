"""Plans of a test pool as a page, for a notebook, as one drawing, and for a terminal."""

from typing import TYPE_CHECKING, Final

from foldstore.validation.reporting.line_plot import HEIGHT, WIDTH, Line, line_plot
from foldstore.validation.reporting.markup import Markup, element, join, table
from foldstore.validation.reporting.page import STYLE, fragment, page, scrolling

if TYPE_CHECKING:
    from foldstore.validation.pools.clause_test import Method
    from foldstore.validation.pools.plan_table import PlanRow, PlanTable

_METHODS: Final = {"exact": "exact", "bennett": "Bennett", "hoeffding": "Hoeffding"}
_HEADS: Final = ("tolerance", "answers", "reuse", "reliability", *_METHODS.values())
_AXES: Final = {
    "tolerance": "tolerance",
    "steps": "number of answers",
    "reuse": "reuse policy",
    "reliability": "reliability",
}
_ABOUT: Final = (
    "Exact is what plan_pool asks for. Bennett and Hoeffding are the closed forms of ease.ml/ci for the same promise; "
    "Bennett's is about n - o, all other clauses take Hoeffding's."
)
_SELF: Final = "*"


def plan_page(plans: "PlanTable") -> str:
    """Write a table of plans as a page of its own."""
    title = _title(plans)
    return page(
        title,
        element("header", element("h1", title), element("p", _ABOUT)),
        element("main", _section("plots", "Plots", join(_plots(plans))), _section("plans", "Plans", _numbers(plans))),
    )


def plan_fragment(plans: "PlanTable") -> str:
    """Write a table of plans for a notebook."""
    return fragment(element("p", _title(plans)), *_plots(plans), _numbers(plans))


def plan_svg(plans: "PlanTable") -> str:
    """Write the plots below each other as one drawing that needs nothing else."""
    drawn = _plots(plans, HEIGHT)
    tall = 30 + HEIGHT * len(drawn)
    title = _title(plans)
    inner = element("svg", *drawn, y=30, width=WIDTH, height=HEIGHT * len(drawn), class_="plots")
    heading = element("svg", element("text", title, x=8, y=20), width=WIDTH, height=30, class_="heading")
    paper = element("rect", width="100%", height="100%", class_="paper")
    # Style sheets outrank attributes: a height of `auto`, as plots have on a page, would be the whole drawing's here.
    sizes = (("heading", 30), ("plots", HEIGHT * len(drawn)), ("plots svg", HEIGHT))
    fixed = "".join(f".foldstore .{name}{{width:{WIDTH}px;height:{high}px;max-width:none}}" for name, high in sizes)
    style = element("style", Markup(f"{STYLE}.foldstore .paper{{fill:var(--paper)}}{fixed}"))
    svg = element(
        "svg",
        element("title", title),
        style,
        paper,
        heading,
        inner,
        xmlns="http://www.w3.org/2000/svg",
        class_="foldstore",
        width=WIDTH,
        height=tall,
        viewBox=f"0 0 {WIDTH} {tall}",
    )
    return f"{svg}\n"


def plan_text(plans: "PlanTable") -> str:
    """Write a table of plans for a terminal."""
    rows = [_HEADS, *(_cells(row) for row in plans.rows)]
    stars = ["", *(f"  {_SELF}" if row.setting == plans.base else "" for row in plans.rows)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(_HEADS))]
    numbers = len(_HEADS) - len(_METHODS)
    lines = [_title(plans)]
    for row, star in zip(rows, stars, strict=True):
        cells = [
            cell.ljust(width) if place < numbers else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"  {'  '.join(cells)}{star}".rstrip())
    return "\n".join(lines)


def _title(plans: "PlanTable") -> str:
    return f"{plans.condition}, {plans.mode}: {plans.about}"


def _cells(row: "PlanRow") -> tuple[str, ...]:
    counts = (row.counts[method] for method in row.counts)
    return (*row.setting.texts().values(), *("-" if count is None else f"{count:,}" for count in counts))


def _numbers(plans: "PlanTable") -> Markup:
    rows = []
    for row in plans.rows:
        first, *others = _cells(row)
        rows.append((f"{first} {_SELF}" if row.setting == plans.base else first, *others))
    said = f"{plans.unit.capitalize()} by method; {_SELF} is the plan that the others vary, - is no such plan"
    return scrolling(table(_HEADS, rows, said))


def _section(ident: str, name: str, inner: Markup) -> Markup:
    return element("section", element("h2", name, id=f"{ident}-name"), inner, id=ident, aria_labelledby=f"{ident}-name")


def _plots(plans: "PlanTable", spaced: int = 0) -> list[Markup]:
    """Draw each axis that has several values, all else as in the base."""
    drawn: list[Markup] = []
    for axis in plans.varied:
        rows = plans.along(axis)
        if len(rows) < 2 or not any(count for row in rows for count in row.counts.values()):
            continue
        kept = [f"{_AXES[each]} {text}" for each, text in plans.base.texts().items() if each != axis]
        title = f"{plans.unit.capitalize()} by {_AXES[axis]} ({', '.join(kept)})"
        places = [row.setting.texts()[axis] for row in rows]
        lines = [Line(name, [row.counts[method] for row in rows]) for method, name in _named(rows[0])]
        drawn.append(line_plot(f"by-{axis}", title, places, lines, float(spaced * len(drawn))))
    return drawn


def _named(row: "PlanRow") -> "list[tuple[Method, str]]":
    return [(method, _METHODS[str(method)]) for method in row.counts]
