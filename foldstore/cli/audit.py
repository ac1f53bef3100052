"""The verb that says who did what over HTTP."""

from itertools import islice
from typing import Annotated

import typer

from foldstore.cli.output import Format, FormatOption, StoreOption, print_rows
from foldstore.cli.place import folder_of

_HERE = "."
_COLUMNS = ("at", "method", "route", "named", "status", "times", "token", "role", "label", "address", "request")


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(audit)


def audit(
    store: StoreOption = _HERE,
    since: Annotated[str | None, typer.Option(help="From this instant on, RFC 3339.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this instant.")] = None,
    token: Annotated[str | None, typer.Option(help="What the holder of this token did: its id.")] = None,
    name: Annotated[str | None, typer.Option(help="What was done with what has this name.")] = None,
    limit: Annotated[int, typer.Option(help="How many lines at most.", min=1)] = 1000,
    output: FormatOption = Format.TABLE,
) -> None:
    """List who read and who changed what over HTTP, oldest first.

    Example: foldstore audit --name flights --since 2026-01-31T00:00:00Z
    """
    import foldstore
    from foldstore.api.audit import FOLDER, read_audit

    with foldstore.connect(folder_of(store, "audit"), create=False) as opened:
        found = list(islice(read_audit(opened.root / FOLDER, since=since, until=until, token=token, name=name), limit))
    rows = [
        [", ".join(v.values()) if isinstance(v := line.get(column), dict) else v for column in _COLUMNS]
        for line in found
    ]
    print_rows(list(_COLUMNS), rows, output)
