"""The verb that writes files: export."""

import time
from pathlib import Path
from typing import Annotated

import typer

from foldstore.cli.output import StoreOption, progress, say, show_bytes

_HERE = "."


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(export)


def export(
    address: Annotated[str, typer.Argument(help="A dataset, version or saved view: flights, flights@3.")],
    file: Annotated[Path, typer.Argument(help="Parquet, CSV, JSON lines or Arrow, by its ending.")],
    store: StoreOption = _HERE,
    columns: Annotated[str, typer.Option(help="Which columns, separated by commas; all unless given.")] = "",
    where: Annotated[str | None, typer.Option(help="Only the rows that meet this SQL condition.")] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="parquet, csv, tsv, jsonl, arrow or arrows; else by the ending.")
    ] = None,
    rows_per_file: Annotated[int | None, typer.Option(help="Cut into files of so many rows.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Take the place of a file that is there.")] = False,
) -> None:
    """Write rows to a file, which appears when it is whole.

    Example: foldstore export flights@3 jfk.parquet --where "origin = 'JFK'"
    """
    import foldstore

    started = time.perf_counter()
    with foldstore.connect(store, create=False) as opened, progress(f"Exporting {address}") as update:
        view = opened.view(address)
        view = view if where is None else view.where(where)
        names = [name.strip() for name in columns.split(",") if name.strip()] or None
        written = view.export(
            file, columns=names, format=form, overwrite=overwrite, rows_per_file=rows_per_file, progress=update
        )
    size = show_bytes(sum(path.stat().st_size for path in written))
    shown = str(written[0]) if len(written) == 1 else f"{len(written)} files, {written[0]} to {written[-1].name}"
    say(f"Exported {address} to {shown} ({size}, {time.perf_counter() - started:.2f} s)")
