"""The verb that shows it all: demo."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from foldstore.errors import StoreError, UsageError


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(demo)


def demo(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder for the store; it is kept.")] = Path(
        "flights_store"
    ),
    replace: Annotated[bool, typer.Option("--replace", help="Remove an earlier demo's store first.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the account as one JSON document.")] = False,
) -> None:
    """Run the main job on a year of real flights, and say what to type next."""
    from foldstore.cli.demo import run_demo

    if replace:
        _remove_demo(folder)
    elif folder.is_dir() and any(folder.iterdir()):
        raise UsageError(
            f"{folder} is not empty.", hint="Name a new folder; --replace removes the store of an earlier demo."
        )
    run_demo(folder, quiet=as_json)


def _remove_demo(folder: Path) -> None:
    """Remove the store of an earlier demo, and nothing else."""
    from foldstore.datastore.storage import is_store

    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if folder.is_symlink() or not is_store(folder) or not _holds_demo(folder):
        raise StoreError(
            f"{folder} does not hold an earlier demo's store; it is left as it is.",
            hint="Name another folder, or remove it yourself.",
        )
    shutil.rmtree(folder)


def _holds_demo(folder: Path) -> bool:
    import foldstore

    with foldstore.connect(folder, create=False) as store:
        return {dataset.name for dataset in store.datasets()} <= {
            "flights",
            "weather",
            "planes",
            "trial",
            "arrival_training",
        }
