"""The verbs on refs: branch, alias, tag, refs."""

from typing import Annotated

import typer

from foldstore.cli.output import Format, FormatOption, StoreOption, print_rows, say
from foldstore.errors import UsageError

_HERE = "."

DatasetArgument = Annotated[str, typer.Argument(help="The dataset's name.")]
VersionArgument = Annotated[str, typer.Argument(help="A version: a number, or a branch, an alias, a tag.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    for verb in (branch, alias, tag, refs):
        app.command()(verb)


def branch(
    dataset: DatasetArgument,
    name: Annotated[str, typer.Argument(help="The new branch.")],
    at: VersionArgument = "latest",
    store: StoreOption = _HERE,
) -> None:
    """Make a branch: a line of work that commits with --branch move, apart from main.

    Example: foldstore branch flights cleaning
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        made = opened.dataset(dataset).create_branch(name, at)
        say(f"{dataset}@{name} is a branch at {made.latest.address}. Next: foldstore ingest {dataset} FILE -b {name}")


def alias(
    dataset: DatasetArgument,
    name: Annotated[str, typer.Argument(help="The alias, such as champion.")],
    version: VersionArgument = "latest",
    store: StoreOption = _HERE,
) -> None:
    """Point an alias at a version, making it when it is new; its moves are kept.

    Example: foldstore alias flights champion 3
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        target = opened.dataset(dataset)
        target.set_alias(name, version)
        say(f"{dataset}@{name} is {target.version(name).address}.")


def tag(
    dataset: DatasetArgument,
    name: Annotated[str, typer.Argument(help="The tag, such as paper.")],
    version: VersionArgument = "latest",
    store: StoreOption = _HERE,
) -> None:
    """Give a version a name that never moves.

    Example: foldstore tag flights paper 3
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        target = opened.dataset(dataset)
        target.tag(name, version)
        say(f"{dataset}@{name} is {target.version(name).address}, for good.")


def refs(
    dataset: DatasetArgument,
    store: StoreOption = _HERE,
    history: Annotated[str | None, typer.Option(help="List the moves of this branch or alias instead.")] = None,
    remove: Annotated[str | None, typer.Option(help="Remove this branch, alias or tag; versions stay.")] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """List the branches, aliases and tags of a dataset, or the moves of one.

    Example: foldstore refs flights --history champion
    """
    import foldstore

    if history is not None and remove is not None:
        raise UsageError("--history and --remove exclude each other.", hint="Run the verb twice.")
    with foldstore.connect(store, create=False) as opened:
        target = opened.dataset(dataset)
        if remove is not None:
            target.remove_ref(remove)
            say(f"{dataset}@{remove} is gone.")
            return
        if history is not None:
            moves = target.history(history)
            columns = ["ref", "kind", "version", "author", "moved"]
            print_rows(columns, [(m.ref, m.kind, m.version, m.author, m.created_at) for m in moves], output)
            return
        print_rows(["name", "kind", "version"], [tuple(ref.values()) for ref in target.refs()], output)
