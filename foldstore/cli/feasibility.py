"""The verb that asks whether a label can be predicted: feasibility."""

from html import escape
from pathlib import Path
from typing import Annotated

import typer

from foldstore.cli.output import ReportFormat, ReportFormatOption, StoreOption, print_json

_HERE = "."
_EXITS = {"realistic": 0, "infeasible": 1, "inconclusive": 3}


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(feasibility)


def feasibility(
    address: Annotated[str, typer.Argument(help="Rows to learn from: a version, a view, or flights#train.")],
    label: Annotated[str, typer.Option(help="The column that is to be predicted, or NAME=EXPRESSION.")],
    target_error: Annotated[float, typer.Option(help="The share of wrong predictions that would be good enough.")],
    store: StoreOption = _HERE,
    feature: Annotated[list[str] | None, typer.Option(help="A column to predict from; repeatable.")] = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(help="A column not to predict from: a key, or what is known too late; repeatable."),
    ] = None,
    where: Annotated[str | None, typer.Option(help="Only the rows that meet this SQL condition.")] = None,
    max_rows: Annotated[int, typer.Option(help="How many rows are looked at; more are sampled.")] = 12_000,
    seed: Annotated[int, typer.Option(help="Of the sample.")] = 0,
    confidence: Annotated[float, typer.Option(help="Of all intervals together.")] = 0.95,
    html: Annotated[Path | None, typer.Option(help="Write the curve as a page, too.")] = None,
    output: ReportFormatOption = ReportFormat.TABLE,
) -> None:
    """Say whether a label can be predicted as well as is wanted, before anybody trains a model.

    Exit 0 when it is realistic, 1 when no model can, 3 when these rows do not say.

    Example: foldstore feasibility flights#train --label 'late=arr_delay > 15' --target-error 0.2 --feature hour
    """
    import foldstore

    name, made, expression = label.partition("=")
    with foldstore.connect(store, create=False) as opened:
        view = opened.view(address)
        if where is not None:
            view = view.where(where)
        if made:
            view = view.select(*view.arrow_schema.names, **{name.strip(): expression})
        found = foldstore.feasibility(
            view,
            label=name.strip(),
            target_error=target_error,
            features=feature,
            leave_out=leave_out or [],
            max_rows=max_rows,
            seed=seed,
            confidence=confidence,
        )
    if html is not None:
        page = (
            f"<!doctype html><meta charset=utf-8><title>Feasibility of {escape(address)}</title>{found._repr_html_()}"
        )
        html.write_text(page, encoding="utf-8")
    if output is ReportFormat.JSON:
        print_json(found.to_dict())
    else:
        typer.echo(str(found))
    raise typer.Exit(_EXITS[str(found.verdict)])
