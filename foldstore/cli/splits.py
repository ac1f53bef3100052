"""The verb that shares rows out: split."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from foldstore.cli.output import Format, FormatOption, StoreOption, print_json, print_rows, say
from foldstore.errors import UsageError

_HERE = Path()


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(split)


def split(
    address: Annotated[str, typer.Argument(help="A version to split (flights@13), or a split to report (f@13#name).")],
    name: Annotated[str | None, typer.Argument(help="The new split's name.")] = None,
    store: StoreOption = _HERE,
    where: Annotated[str | None, typer.Option(help="Split only the rows that meet this SQL condition.")] = None,
    by_time: Annotated[str | None, typer.Option(help="The column of times to split by, with --boundary.")] = None,
    boundary: Annotated[
        list[str] | None, typer.Option(help="Where parts begin; one or two, the earlier first.")
    ] = None,
    train: Annotated[float | None, typer.Option(help="Share of rows.")] = None,
    validation: Annotated[float | None, typer.Option(help="Share of rows.")] = None,
    test: Annotated[float | None, typer.Option(help="Share of rows.")] = None,
    group_by: Annotated[str, typer.Option(help="Columns whose equal rows stay together, by commas.")] = "",
    stratify: Annotated[str | None, typer.Option(help="A column whose values are spread evenly.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed is another split.")] = 0,
    column: Annotated[
        list[str] | None, typer.Option(help="A column whose distribution is reported; repeatable.")
    ] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Share rows out to train, validation and test, for good, or report on a split.

    Example: foldstore split flights@13 by_month --by-time departs --boundary 2013-10-01 --boundary 2013-11-01
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        if name is None:
            found = opened.split(address)
        else:
            if "#" in address:
                raise UsageError(f"{address!r} is a split already.", hint="Split a version: flights@13.")
            how: dict[str, Any] = {"train": train, "validation": validation, "test": test, "stratify": stratify}
            how |= {"group_by": [part for part in group_by.split(",") if part], "seed": seed}
            if by_time is not None:
                how = {"by_time": by_time, "boundaries": boundary or []}
            view = opened.view(address)
            found = (view if where is None else view.where(where)).split(name, **how)
            say(f"Made {found!r}: no row will ever move.")
        report = found.report(columns=column or [])
    if output in (Format.JSON, Format.JSONL):
        print_json(json.loads(json.dumps(report.to_dict(), default=str)))
        return
    rows = [
        (part, report.sizes[part], report.shares.get(part), *((report.times or {}).get(part, (None, None))))
        for part in ("train", "validation", "test", "unassigned")
    ]
    print_rows(["part", "rows", "share", "first", "last"], rows, output)
    for label, parts in report.columns.items():
        summaries = [(part, each.nulls, each.mean, each.difference) for part, each in parts.items()]
        print_rows([f"{label} in", "nulls", "mean", "difference from train"], summaries, output)
