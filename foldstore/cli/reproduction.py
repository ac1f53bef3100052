"""The verb that makes a training set again: features reproduce."""

from typing import Annotated

import typer

from foldstore.cli.output import ReportFormat, ReportFormatOption, StoreOption, print_json

_HERE = "."
_DIFFERENT = 1


def register(app: typer.Typer) -> None:
    """Add the verb to `features`."""
    app.command()(reproduce)


def reproduce(
    training_set: Annotated[str, typer.Argument(help="The training set: arrival_training@1.")],
    store: StoreOption = _HERE,
    output: ReportFormatOption = ReportFormat.TABLE,
) -> None:
    """Make a training set again from its definition and pinned inputs, and compare it to the bit; nothing is written.

    Exit 0 when it is equal, 1 when it differs (the output says in what), 3 when rows of its inputs are gone.

    Example: foldstore features reproduce arrival_training@1
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        found = opened.features.reproduce(training_set)
    if output is ReportFormat.JSON:
        print_json(found.to_dict())
    else:
        typer.echo(str(found))
    if not found.equal:
        raise typer.Exit(_DIFFERENT)
