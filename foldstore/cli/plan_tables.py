"""Tables and plots of plans, for `foldstore pool plan --table` and `--plot`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foldstore.cli.output import Format, print_json, print_rows, say
from foldstore.errors import UsageError

if TYPE_CHECKING:
    from foldstore.validation.pools.plan import PoolPlan

PlotOption = Annotated[
    Path | None, typer.Option(help="Draw them into FILE: .svg, or .html for a page with the table.", metavar="FILE")
]
VaryOption = Annotated[
    list[str] | None,
    typer.Option(
        help="What the table varies: tolerance=0.01,0.02, steps=, reuse= or reliability=; repeatable.",
        metavar="AXIS=VALUES",
    ),
]
CrossOption = Annotated[bool, typer.Option("--cross", help="Every combination, not one change at a time.")]


def show_plans(made: "PoolPlan", vary: Sequence[str], plot: Path | None, output: Format, *, cross: bool) -> None:
    """Print what a plan would need if something else were asked of it; draw it into a file, if one is named."""
    _check_plot(plot)
    from foldstore.validation.pools.plan_table import plan_pool_table

    table = plan_pool_table(
        made.condition,
        reliability=made.reliability,
        steps=made.steps,
        reuse=made.reuse,
        mode=made.mode,
        beta=made.beta,
        lifetime=made.lifetime,
        prevalence=made.prevalence,
        vary=_read_axes(vary) if vary else None,
        cross=cross,
    )
    if plot is not None:
        write = table.to_svg if plot.suffix.lower() == ".svg" else table.to_html
        write(plot)
    if output is Format.TABLE:
        typer.echo(table.to_text())
    elif output is Format.JSON:
        print_json(table.to_dict())
    else:
        rows = [row.to_dict() for row in table.rows]
        print_rows(list(rows[0]), [list(row.values()) for row in rows], output)
    if plot is not None:
        say(f"Drawn: {plot}.")


def _check_plot(plot: Path | None) -> None:
    if plot is not None and plot.suffix.lower() not in (".svg", ".html"):
        raise UsageError(f"{plot} ends neither in .svg nor in .html.", hint="Write --plot plans.svg or plans.html.")


def _read_axes(vary: Sequence[str]) -> dict[str, list[str]]:
    axes: dict[str, list[str]] = {}
    for each in vary:
        axis, equals, values = each.partition("=")
        if not equals or not values.strip():
            raise UsageError(f"--vary {each!a} names no values.", hint="Write --vary steps=1,8,32.")
        axes.setdefault(axis.strip(), []).extend(value.strip() for value in values.split(","))
    return axes
