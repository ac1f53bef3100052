"""The verb that asks: sql."""

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldstore.cli.output import Format, FormatOption, StoreOption, print_rows, say
from foldstore.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foldstore.views.sql import SqlResult

_HERE = Path()


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(sql)


def sql(
    query: Annotated[str, typer.Argument(help="One query that only reads; - takes it from stdin.")],
    store: StoreOption = _HERE,
    output: FormatOption = Format.TABLE,
    param: Annotated[list[str] | None, typer.Option("--param", "-p", help="Text for each ? in turn.")] = None,
    limit: Annotated[int, typer.Option(help="Rows of a table to print (0: all); other formats print all.")] = 100,
) -> None:
    """Ask SQL over datasets, versions and views. Addresses with @ are quoted names.

    Example: foldstore sql 'SELECT origin, count(*) FROM "flights@3" GROUP BY 1'
    """
    import foldstore

    if limit < 0:
        raise UsageError("--limit is 0 or more.")
    text = sys.stdin.read() if query == "-" else query
    with foldstore.connect(store, create=False) as opened:
        result = opened.sql(text, param or None)
        rows = _rows(result)
        if output is not Format.TABLE or limit == 0:
            print_rows(result.arrow_schema.names, rows, output)
            return
        print_rows(result.arrow_schema.names, islice(rows, limit), output)
        if next(rows, None) is not None:
            say(f"The first {limit} rows; --limit 0 prints all, --output csv streams them.")


def _rows(result: "SqlResult") -> "Iterator[tuple[Any, ...]]":
    from foldstore.views.values import display_values

    for batch in result.to_batches():
        yield from zip(*(display_values(column) for column in batch.columns), strict=True)
