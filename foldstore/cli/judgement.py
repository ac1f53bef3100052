"""The verb that judges: validate."""

from pathlib import Path
from typing import Annotated

import typer

from foldstore.cli.output import ReportFormat, ReportFormatOption, StoreOption, print_json, printable
from foldstore.errors import UsageError

_HERE = Path()


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(validate)


def validate(
    address: Annotated[str, typer.Argument(help="A version (trial@2), or a dataset with --data.")],
    store: StoreOption = _HERE,
    data: Annotated[Path | None, typer.Option(help="A file to judge before it is committed.")] = None,
    added: Annotated[bool, typer.Option("--added", help="Judge only the rows that the version added.")] = False,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit 0 even when checks fail.")] = False,
    output: ReportFormatOption = ReportFormat.TABLE,
) -> None:
    """Judge a version, or a file, by the dataset's schema; exit 1 when a check fails.

    Example: foldstore validate trial --data february.parquet
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        if data is not None:
            if added:
                raise UsageError("--added is about a version, --data about a file.", hint="Leave one out.")
            report = opened.dataset(address).validate(data)
        else:
            report = opened.version(address).validate(rows="added" if added else "all")
    if output is ReportFormat.JSON:
        print_json(report.to_dict())
    else:
        typer.echo(printable(report.to_text()))
    if not report.passed and not exit_zero:
        raise typer.Exit(1)
