"""The verbs that look after a store: verify, doctor, backup, restore-backup."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foldstore.cli.output import (
    Format,
    ReportFormat,
    ReportFormatOption,
    StoreOption,
    print_json,
    print_rows,
    printable,
    progress,
    say,
    show_bytes,
)
from foldstore.cli.place import folder_of

if TYPE_CHECKING:
    from foldstore.datastore.rebuild import Rebuild
    from foldstore.datastore.verify.verification import Verification

_HERE = "."


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    for verb in (verify, doctor, backup, restore_backup):
        app.command()(verb)


def verify(
    store: StoreOption = _HERE,
    sizes: Annotated[bool, typer.Option("--sizes", help="Look at the size of objects, and read none.")] = False,
    sample: Annotated[float | None, typer.Option(help="Read this share of the objects, drawn anew: 0.1.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Do what cannot lose anything.")] = False,
    repair_from: Annotated[
        Path | None, typer.Option(help="Repair, and take objects from this backup when their hash is right.")
    ] = None,
    output: ReportFormatOption = ReportFormat.TABLE,
) -> None:
    """Compare everything that is kept with what was written; exit 1 when something is damaged.

    Example: foldstore verify --repair-from /backups/mine
    """
    import foldstore

    objects = False if sizes else 1.0 if sample is None else sample
    with foldstore.connect(store, create=False) as opened, progress("Verifying", unit="bytes") as update:
        found = opened.verify(update, objects=objects, repair=repair, repair_from=repair_from)
    if output is ReportFormat.JSON:
        print_json(found.to_dict())
    else:
        _print_verification(found)
    if not found.passed:
        raise typer.Exit(1)


def _print_verification(found: "Verification") -> None:
    for fault in found.faults:
        done = f" Repaired: {fault.repaired}." if fault.repaired else ""
        typer.echo(printable(f"{fault.what} {fault.name} ({fault.kind}): {fault.message}{done}"))
    if found.damaged:
        typer.echo(printable(f"not whole: {', '.join(found.damaged)}"))
        typer.echo(printable(f"whole: {', '.join(found.whole) or 'none'}"))
    for item in found.unreferenced:
        rows = f", {item.num_rows:,} rows" if item.num_rows is not None else ""
        typer.echo(printable(f"unreferenced {item.what} {item.name} ({show_bytes(item.num_bytes)}{rows})"))
    for line in found.repairs:
        say(f"Repaired {line}")
    damaged = len([fault for fault in found.faults if not fault.repaired])
    say(
        f"{found.objects:,} objects ({show_bytes(found.num_bytes)}), {found.versions:,} versions, "
        f"{found.journals:,} journals: {f'{damaged} damaged' if damaged else 'all as written'}."
    )


def doctor(
    store: StoreOption = _HERE,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make a lost catalog again from the commit objects.")
    ] = False,
    accept_sealed: Annotated[
        bool, typer.Option("--accept-sealed", help="Rebuild a store with sealed cells, whose pools are gone then.")
    ] = False,
    output: ReportFormatOption = ReportFormat.TABLE,
) -> None:
    """Look at the environment and the store without reading its bytes; exit 1 when something is wrong.

    Example: foldstore doctor --store my_store
    """
    from foldstore.config import load_settings
    from foldstore.datastore.doctor import examine

    folder = folder_of(store, "doctor")
    settings = load_settings()
    url = settings.catalog_url.get_secret_value() if settings.catalog_url else None
    if rebuild:
        _rebuild(folder, url, settings.author or "doctor", output, accept_sealed=accept_sealed)
        return
    found = examine(folder, url)
    if output is ReportFormat.JSON:
        print_json(found.to_dict())
    else:
        rows = [(check.name, str(check.state), check.message, check.hint) for check in found.checks]
        print_rows(["check", "state", "found", "what to do"], rows, Format.TABLE)
    if found.exit_code:
        raise typer.Exit(found.exit_code)


def _rebuild(store: Path, url: str | None, actor: str, output: ReportFormat, *, accept_sealed: bool) -> None:
    from foldstore.datastore.rebuild import rebuild_catalog

    with progress("Reading objects", unit="bytes") as update:
        made = rebuild_catalog(store, url, accept_sealed=accept_sealed, actor=actor, progress=update)
    if output is ReportFormat.JSON:
        print_json(made.to_dict())
    else:
        _print_rebuild(made)
    if not made.passed:
        raise typer.Exit(1)


def _print_rebuild(made: "Rebuild") -> None:
    for line in made.lost:
        typer.echo(printable(f"lost {line}"))
    for object_id in made.damaged:
        typer.echo(printable(f"object {object_id} is missing or damaged"))
    for line in made.changed:
        typer.echo(printable(line))
    say(
        f"Made {made.versions:,} versions of {made.datasets:,} datasets again, with {made.objects:,} objects "
        f"({show_bytes(made.num_bytes)})."
    )
    say(made.gone)


def backup(
    target: Annotated[Path, typer.Argument(help="A new folder, or that of an earlier backup of this store.")],
    store: StoreOption = _HERE,
    sealed: Annotated[
        bool, typer.Option("--sealed/--no-sealed", help="Copy sealed cells too: a steward's decision.")
    ] = True,
    quick: Annotated[bool, typer.Option("--quick", help="Do not read again what the backup has already.")] = False,
    keep: Annotated[int, typer.Option(help="How many generations of the catalog are kept.")] = 10,
    output: ReportFormatOption = ReportFormat.TABLE,
) -> None:
    """Back a store up while it is used; a second backup copies what is new. Exit 1 when something is damaged.

    Example: foldstore backup /backups/mine --store my_store
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened, progress("Backing up", unit="bytes") as update:
        made = opened.backup(target, update, include_sealed=sealed, check=not quick, keep=keep)
    if output is ReportFormat.JSON:
        print_json(made.to_dict())
    else:
        for name in made.damaged:
            typer.echo(printable(f"damaged in the store, and not in the backup: {name}"))
        say(
            f"Generation {made.generation}: {made.versions:,} versions, {made.objects:,} objects; copied "
            f"{made.copied:,} files ({show_bytes(made.bytes_copied)})."
        )
    if not made.passed:
        raise typer.Exit(1)


def restore_backup(
    source: Annotated[Path, typer.Argument(help="The backup's folder.", metavar="BACKUP")],
    target: Annotated[Path, typer.Argument(help="A new or an empty folder.")],
    catalog_url: Annotated[
        str | None, typer.Option(help="An empty PostgreSQL database for the catalog; a file in the folder else.")
    ] = None,
    generation: Annotated[int | None, typer.Option(help="Which one; the newest unless given.")] = None,
    output: ReportFormatOption = ReportFormat.TABLE,
) -> None:
    """Make a store out of a backup, and verify it; exit 1 when something is missing or damaged.

    Example: foldstore restore-backup /backups/mine restored_store
    """
    from foldstore.datastore import restore

    with progress("Restoring", unit="bytes") as update:
        made = restore.restore_backup(source, target, catalog_url=catalog_url, generation=generation, progress=update)
    if output is ReportFormat.JSON:
        print_json(made.to_dict())
    else:
        for name in made.missing:
            typer.echo(printable(f"not whole in the backup: {name}"))
        for fault in made.verification.faults:
            if not fault.repaired:
                typer.echo(printable(f"{fault.what} {fault.name}: {fault.message}"))
        say(
            f"Restored generation {made.generation} of {made.created_at[:19]}Z: {made.verification.versions:,} "
            f"versions, {made.verification.objects:,} objects. Next: foldstore ls --store {target}"
        )
    if not made.passed:
        raise typer.Exit(1)
