"""The verb that says who consumes which feature: features usage."""

from typing import Annotated, Any

import typer

from foldstore.cli.output import Format, FormatOption, StoreOption, print_rows

_HERE = "."


def register(app: typer.Typer) -> None:
    """Add the verb to `features`."""
    app.command()(usage)


def usage(
    feature: Annotated[str | None, typer.Argument(help="One feature alone: view:feature.")] = None,
    store: StoreOption = _HERE,
    dataset: Annotated[str | None, typer.Option(help="Only features that are read from this dataset.")] = None,
    column: Annotated[str | None, typer.Option(help="And of these such that may be read from this column.")] = None,
    unused: Annotated[bool, typer.Option("--unused", help="Only features that nobody uses, and since when.")] = False,
    since: Annotated[str | None, typer.Option(help="What was done before this instant is no use any more.")] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """List which services, models, runs and lookups consume which features; with --dataset, whom a change would break.

    Example: foldstore features usage --dataset weather --column temp

    Example: foldstore features usage --unused --since 2026-01-01
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        found = opened.features.usage(feature=feature, dataset=dataset, column=column, since=since)
    if unused:
        rows = [(e.feature, ", ".join(e.services), e.lookups, e.last_used_at, e.unused_since) for e in found.unused]
        print_rows(["feature", "services", "lookups", "last_used_at", "unused_since"], rows, output)
        return
    by = [(each, consumer) for each in found.features for consumer in each.consumers]
    lines: list[tuple[Any, ...]] = [
        (e.feature, c.service, c.kind, c.name, c.count or None, c.at or None) for e, c in by
    ]
    lines += [(e.feature, ", ".join(e.services), "nobody", None, None, e.unused_since) for e in found.unused]
    print_rows(["feature", "service", "kind", "consumer", "count", "at"], sorted(lines, key=lambda e: e[0]), output)
