"""The verb that asks: sql."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldstore.cli.output import Format, FormatOption, StoreOption, say, show_bytes
from foldstore.cli.sql_running import Printing, print_query, read_params, run_interruptibly, shown_progress
from foldstore.errors import IngestError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from foldstore.store import Store

_HERE = "."


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(sql)


def sql(
    query: Annotated[
        str | None, typer.Argument(help="One query that only reads; - takes it from stdin. A shell opens without.")
    ] = None,
    store: StoreOption = _HERE,
    output: FormatOption = Format.TABLE,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="Text for each ? in turn; name=value for $name.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Rows of a table to print (0: all); other formats print all.")] = 100,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Take the query from a file.")] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Write the rows to a file: Parquet, CSV, JSON lines or Arrow, by its ending."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Take the place of a file that is there.")] = False,
    memory_limit: Annotated[str | None, typer.Option(help="What a query may use, such as 2GB.")] = None,
    threads: Annotated[int | None, typer.Option(help="How many threads it may use.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Stop it after so many seconds of work.")] = None,
) -> None:
    """Ask SQL over datasets, versions, views and catalog tables. Addresses with @ are quoted names.

    Examples:
    foldstore sql 'SELECT origin, count(*) FROM "flights@3" GROUP BY 1'

    foldstore sql 'FROM flights WHERE origin = $airport' -p airport=JFK --to jfk.parquet

    foldstore sql 'SELECT address, rows, message FROM foldstore.versions'

    foldstore sql
    """
    import foldstore

    if limit < 0:
        raise UsageError("--limit is 0 or more.")
    text = _read_query(query, file)
    if text is None and (param or to):
        raise UsageError("There is no query to run.", hint="foldstore sql 'SELECT ...' takes --param and --to.")
    with foldstore.connect(store, create=False) as opened:
        limits = {"memory_limit": memory_limit, "threads": threads, "timeout": timeout}
        printing = Printing(form=output, limit=limit, limits=limits)
        if text is None:
            from foldstore.cli.sql_shell import Shell

            Shell(opened, printing).run()
        elif to is not None:
            _export(opened, text, read_params(text, param or ()), to, overwrite=overwrite, limits=limits)
        else:
            print_query(opened, text, read_params(text, param or ()), printing)


def _read_query(query: str | None, file: Path | None) -> str | None:
    """Return the text of the query; None when a person at a terminal is to be asked."""
    if query is not None and file is not None:
        raise UsageError("A query and --file are two queries.", hint="Give one of them.")
    if file is not None:
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise IngestError(f"{str(file)!r} cannot be read: {reason}.", hint="Check the path.") from error
    if query is None and sys.stdin.isatty() and sys.stdout.isatty():
        return None
    return sys.stdin.read() if query in (None, "-") else query


def _export(
    store: "Store",
    text: str,
    params: "Sequence[str] | Mapping[str, str] | None",
    path: Path,
    *,
    overwrite: bool,
    limits: "Mapping[str, Any]",
) -> None:
    started = time.perf_counter()
    written: list[Path] = []

    def work(_: object) -> None:
        with shown_progress() as told:
            written.extend(store.sql(text, params, progress=told, **limits).export(path, overwrite=overwrite))

    run_interruptibly(store, work)
    size = show_bytes(sum(each.stat().st_size for each in written))
    say(f"Wrote {path} ({size}, {time.perf_counter() - started:.2f} s)")
