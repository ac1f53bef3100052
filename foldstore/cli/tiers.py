"""The verbs on the cold tier: freeze, thaw."""

from typing import TYPE_CHECKING, Annotated

import typer

from foldstore.cli.output import StoreOption, printable, progress, say, show_bytes

if TYPE_CHECKING:
    from foldstore.datastore.freezing import Tiering

_HERE = "."
Target = Annotated[str, typer.Argument(help="A version (flights@3), or a dataset: all its old versions.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    for verb in (freeze, thaw):
        app.command()(verb)


def freeze(
    address: Target,
    store: StoreOption = _HERE,
    older_than: Annotated[str | None, typer.Option(help="Of a dataset, versions committed before this time.")] = None,
    keep: Annotated[int, typer.Option(min=0, help="Of a dataset, leave so many of the newest versions out.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Move files that other versions need, too.")] = False,
) -> None:
    """Move files that only old versions need into the cold tier: Parquet, smaller, and slower to read.

    Example: foldstore freeze flights --older-than 2026-01-01
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened, progress(f"Freezing {address}", unit="files") as update:
        done = opened.freeze(address, older_than=older_than, keep=keep, force=force, progress=update)
    say(_said("Froze", done))
    if done.needed:
        say(f"{done.needed:,} files stay hot: newer versions need them.")
    for what, why in done.kept:
        say(printable(f"{what} stays hot: {why}"))


def thaw(address: Target, store: StoreOption = _HERE) -> None:
    """Bring the files of a version, or of all versions of a dataset, back from the cold tier.

    Example: foldstore thaw flights@3
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened, progress(f"Thawing {address}", unit="files") as update:
        done = opened.thaw(address, progress=update)
    say(_said("Thawed", done))


def _said(verb: str, done: "Tiering") -> str:
    sizes = f": {show_bytes(done.hot_bytes)} as Arrow, {show_bytes(done.cold_bytes)} as Parquet" if done.objects else ""
    return f"{verb} {done.objects:,} files{sizes}."
