"""The verbs that change rows and columns: delete, columns add, drop, rename, widen, restore, compact."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldstore.cli.output import StoreOption, progress, say, show_bytes
from foldstore.errors import UsageError

if TYPE_CHECKING:
    from foldstore.dataset import Dataset
    from foldstore.version import Version

_HERE = "."

DatasetArgument = Annotated[str, typer.Argument(help="The dataset's name.")]
MessageOption = Annotated[str, typer.Option("--message", "-m", help="Kept with the version.")]
BranchOption = Annotated[str | None, typer.Option("--branch", "-b", help="Commit to this branch instead of main.")]

columns_app = typer.Typer(no_args_is_help=True, help="Add, drop, rename and widen columns; one version each.")


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.command()(delete)
    app.add_typer(columns_app, name="columns")
    app.command()(restore)
    app.command()(compact)


def delete(
    dataset: DatasetArgument,
    where: Annotated[str | None, typer.Option(help="An SQL condition; rows for which it is true go.")] = None,
    key: Annotated[
        list[str] | None, typer.Option(help="COLUMN=VALUE of one row's key; repeat it for each column of the key.")
    ] = None,
    key_file: Annotated[Path | None, typer.Option(help="A file with the key columns of the rows to delete.")] = None,
    store: StoreOption = _HERE,
    branch: BranchOption = None,
    message: MessageOption = "",
) -> None:
    """Delete rows from the newest version; earlier versions keep them (see erase).

    Example: foldstore delete flights --where "carrier = 'XX'"
    """
    if sum(each is not None for each in (where, key or None, key_file)) != 1:
        raise UsageError("Say which rows: --where, --key or --key-file.", hint="E.g. --where \"carrier = 'XX'\".")
    keys: Any = key_file if key_file is not None else [read_pairs(key)] if key else None

    def change(target: "Dataset", update: Any) -> "Version":
        return target.delete(where, keys=keys, message=message, progress=update)

    _commit(store, dataset, branch, "Deleting", change)


@columns_app.command()
def add(
    dataset: DatasetArgument,
    column: Annotated[list[str], typer.Argument(help="NAME=EXPRESSION, or one file with the key and new columns.")],
    store: StoreOption = _HERE,
    branch: BranchOption = None,
    message: MessageOption = "",
) -> None:
    """Add columns: computed by SQL expressions, or joined from a file on the key.

    Example: foldstore columns add flights "late=arr_delay > 15"
    """
    from_file = len(column) == 1 and "=" not in column[0]
    columns: Any = Path(column[0]) if from_file else read_pairs(column, values=str)

    def change(target: "Dataset", update: Any) -> "Version":
        return target.add_columns(columns, message=message, progress=update)

    _commit(store, dataset, branch, "Adding columns", change)


@columns_app.command()
def drop(
    dataset: DatasetArgument,
    column: Annotated[list[str], typer.Argument(help="The columns.")],
    store: StoreOption = _HERE,
    branch: BranchOption = None,
    message: MessageOption = "",
) -> None:
    """Drop columns; no file changes, and earlier versions have them still."""
    _commit(store, dataset, branch, "Dropping", lambda target, _: target.drop_columns(column, message=message))


@columns_app.command()
def rename(
    dataset: DatasetArgument,
    name: Annotated[list[str], typer.Argument(help="OLD=NEW, repeatable.")],
    store: StoreOption = _HERE,
    branch: BranchOption = None,
    message: MessageOption = "",
) -> None:
    """Rename columns; no file changes.

    Example: foldstore columns rename flights dest=destination
    """
    names = read_pairs(name, values=str)
    _commit(store, dataset, branch, "Renaming", lambda target, _: target.rename_columns(names, message=message))


@columns_app.command()
def widen(
    dataset: DatasetArgument,
    column: Annotated[list[str], typer.Argument(help="COLUMN=TYPE, repeatable; types are named as in Arrow.")],
    store: StoreOption = _HERE,
    branch: BranchOption = None,
    message: MessageOption = "",
) -> None:
    """Give columns types that hold more; no file changes.

    Example: foldstore columns widen flights flight=int64
    """
    types = read_pairs(column, values=str)
    _commit(store, dataset, branch, "Widening", lambda target, _: target.widen_columns(types, message=message))


def restore(
    dataset: DatasetArgument,
    version: Annotated[str, typer.Argument(help="The version to go back to: a number, an alias or a tag.")],
    store: StoreOption = _HERE,
    branch: BranchOption = None,
    message: MessageOption = "",
) -> None:
    """Make an old version the newest one; nothing is written but the commit.

    Example: foldstore restore flights 3
    """
    _commit(store, dataset, branch, "Restoring", lambda target, _: target.restore(version, message=message))


def compact(
    dataset: DatasetArgument,
    store: StoreOption = _HERE,
    branch: BranchOption = None,
    message: MessageOption = "",
) -> None:
    """Write small files, and those with many deleted rows, anew as few full ones; rows and row ids stay.

    Example: foldstore compact flights
    """

    def change(target: "Dataset", update: Any) -> "Version":
        return target.compact(message=message, progress=update)

    _commit(store, dataset, branch, "Compacting", change)


def read_pairs(pairs: list[str] | None, *, values: Callable[[str], Any] | None = None) -> dict[str, Any]:
    """Read NAME=VALUE arguments; values are read as JSON where they are that, else as text.

    Raises
    ------
    UsageError
        When one has no name or no value.
    """
    found: dict[str, Any] = {}
    for pair in pairs or []:
        name, equals, text = pair.partition("=")
        if not (name.strip() and equals and text):
            raise UsageError(f"{pair!r} is not NAME=VALUE.", hint="E.g. id=7 or late='arr_delay > 15'.")
        found[name.strip()] = values(text) if values else _plain(text)
    return found


def _plain(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float | bool | str) else text


def _commit(store: str, name: str, branch: str | None, label: str, change: "Callable[[Dataset, Any], Version]") -> None:
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        target = opened.dataset(name)
        target = target.branch(branch) if branch else target
        with progress(label) as update:
            version = change(target, update)
        announce(version)


def announce(version: "Version") -> None:
    """Say what was committed; a version that its gate did not publish ends the command with 1."""
    say(
        f"Committed {version.address} ({version.record.operation}: {version.num_rows:,} rows, "
        f"{show_bytes(version.record.bytes_added)} written): {version.status}"
    )
    if version.report is not None and not version.report.passed:
        say(version.report.to_text())
        raise typer.Exit(1)
