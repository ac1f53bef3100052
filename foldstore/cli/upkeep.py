"""The verbs that keep a store in order: gc, usage, retain, pin, unpin, deprecate."""

from typing import TYPE_CHECKING, Annotated

import typer

from foldstore.cli.output import (
    Format,
    FormatOption,
    StoreOption,
    print_json,
    print_rows,
    progress,
    say,
    show_bytes,
)

if TYPE_CHECKING:
    from foldstore.datastore.collection import GcReport
    from foldstore.store import Store

_HERE = "."


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    for verb in (gc, usage, retain, pin, unpin, deprecate):
        app.command()(verb)


def gc(
    store: StoreOption = _HERE,
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without this nothing is changed.")] = False,
    grace: Annotated[str, typer.Option(help="How long something must have been on its way out: 1d, 12h, 0.")] = "1d",
    output: FormatOption = Format.TABLE,
) -> None:
    """Let versions expire by their datasets' retention, and remove the files that nothing needs.

    A file is removed by a later run than the one that found it useless: run it regularly.

    Example: foldstore gc --apply
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened, progress("Collecting", unit="files") as update:
        report = opened.gc(dry_run=not apply, grace=grace, progress=update)
    if output in (Format.JSON, Format.JSONL):
        print_json(report.to_dict())
        return
    _print_report(report, output)
    if not apply and not report.is_clean:
        say("Nothing was changed. foldstore gc --apply does it.")


def _print_report(report: "GcReport", output: Format) -> None:
    rows = [
        ("remove", report.removed, report.bytes_freed, "condemned by an earlier run"),
        ("condemn", report.condemned, report.bytes_condemned, "nothing needs them; a later run removes them"),
        ("wait", report.waiting, report.bytes_waiting, "condemned, in their grace"),
    ]
    print_rows(["step", "files", "bytes", "which"], rows, output)
    for each in report.expired:
        say(f"{each.address} {'would expire' if report.dry_run else 'expired'}: {each.reason}")
    for dataset in report.datasets:
        for each in dataset.waiting:
            say(f"{each.address} will expire when a later run finds it still so: {each.reason}")
    if report.lost_transactions or report.staging_folders:
        say(f"{report.lost_transactions} silent commits given up, {report.staging_folders} staging folders removed")
    if report.staged_files:
        say(f"{report.staged_files} half-written files for lookups {'would be' if report.dry_run else 'were'} removed")


def usage(
    dataset: Annotated[str | None, typer.Argument(help="A dataset; all of them unless given.")] = None,
    store: StoreOption = _HERE,
    output: FormatOption = Format.TABLE,
) -> None:
    """Say how many bytes datasets take, or the versions and branches of one, and how many are shared.

    Example: foldstore usage flights
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        if dataset is None:
            _print_store(opened, output)
            return
        account = opened.dataset(dataset).usage()
    if output in (Format.JSON, Format.JSONL):
        print_json(account.to_dict())
        return
    rows: list[tuple[object, ...]] = [
        (v.address, "expired" if v.expired else "", v.num_bytes, v.own, v.added) for v in account.versions
    ]
    rows += [(f"{account.name}@{b.name}", f"{b.versions} versions", b.num_bytes, b.own, None) for b in account.branches]
    print_rows(["address", "what", "bytes", "own", "added"], rows, output)
    say(f"{account.name}: {show_bytes(account.num_bytes)}, {show_bytes(account.shared)} of it shared with others")


def _print_store(opened: "Store", output: Format) -> None:
    account = opened.usage()
    if output in (Format.JSON, Format.JSONL):
        print_json(account.to_dict())
        return
    print_rows(
        ["dataset", "bytes", "own", "shared"],
        [(d.name, d.num_bytes, d.own, d.shared) for d in account.datasets],
        output,
    )
    say(
        f"{show_bytes(account.num_bytes)} of data, {show_bytes(account.garbage)} of garbage, "
        f"{show_bytes(account.staged)} under way, catalog {show_bytes(account.catalog)}"
    )


def retain(
    dataset: Annotated[str, typer.Argument(help="The dataset's name.")],
    store: StoreOption = _HERE,
    keep_last: Annotated[int | None, typer.Option(help="Keep this many versions of each branch.")] = None,
    keep_days: Annotated[str | None, typer.Option(help="Keep younger versions: 30d, 12h.")] = None,
    quarantined_days: Annotated[str | None, typer.Option(help="Keep younger quarantined versions.")] = None,
    max_bytes: Annotated[int | None, typer.Option(help="A ceiling; the oldest versions go first.")] = None,
    message: Annotated[str, typer.Option("--message", "-m", help="Why.")] = "",
) -> None:
    """Say which versions of a dataset gc keeps; without any rule all that a branch, alias or tag reaches.

    Example: foldstore retain readings --keep-last 10 --keep-days 30d
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        policy = opened.dataset(dataset).set_retention(
            keep_last=keep_last,
            keep_days=keep_days,
            quarantined_days=quarantined_days,
            max_bytes=max_bytes,
            message=message,
        )
    rules = ", ".join(f"{name}={value:g}" for name, value in policy.to_dict().items())
    say(f"{dataset} keeps {rules or 'every version that a branch, an alias or a tag reaches'}. Next: foldstore gc")


def pin(
    address: Annotated[str, typer.Argument(help="The version.")],
    name: Annotated[str, typer.Argument(help="The pin's name.")],
    store: StoreOption = _HERE,
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why.")] = "",
) -> None:
    """Keep a version, whatever retention says.

    Example: foldstore pin flights@3 audit-2013 -m 'asked for by the auditors'
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        version = opened.version(address)
        version.pin(name, reason)
        say(f"{version.address} stays until foldstore unpin {version.address} {name}")


def unpin(
    address: Annotated[str, typer.Argument(help="The version.")],
    name: Annotated[str, typer.Argument(help="The pin's name.")],
    store: StoreOption = _HERE,
) -> None:
    """Take a pin out."""
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        version = opened.version(address)
        version.unpin(name)
        say(f"{version.address} has no pin {name} any more.")


def deprecate(
    address: Annotated[str, typer.Argument(help="The version.")],
    store: StoreOption = _HERE,
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why.")] = "",
    replacement: Annotated[str | None, typer.Option(help="What to use in its place.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Publish it again.")] = False,
) -> None:
    """Say that a version should not be used any more; it stays readable by its number.

    Example: foldstore deprecate flights@3 -m 'delays in the wrong unit' --replacement flights@4
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        version = opened.version(address)
        if undo:
            version.undeprecate(reason)
        else:
            version.deprecate(reason, replacement=replacement)
        say(f"{version.address} is {version.status}.")
