"""The verbs on aliases of feature services: set, ls, history, remove."""

from typing import Annotated

import typer

from foldstore.cli.output import Format, FormatOption, StoreOption, print_rows, say

_HERE = "."

alias_app = typer.Typer(no_args_is_help=True, help="Aliases of services: arrival@live moves traffic.")

AliasArgument = Annotated[str, typer.Argument(help="The alias: arrival@live.")]


@alias_app.command("set")
def set_alias(
    alias: AliasArgument,
    service: Annotated[str, typer.Argument(help="The version that it stands for: arrival@3.")],
    store: StoreOption = _HERE,
) -> None:
    """Point an alias at a version of its service, making it when it is new; servers that run follow at once.

    Example: foldstore features alias set arrival@live arrival@3
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        say(f"{alias} is {opened.features.aliases.set(alias, service)}.")


@alias_app.command("ls")
def list_aliases(
    service: Annotated[str | None, typer.Argument(help="Only those of this service.")] = None,
    store: StoreOption = _HERE,
    output: FormatOption = Format.TABLE,
) -> None:
    """List the aliases and the versions that they stand for.

    Example: foldstore features alias ls arrival
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        aliases = opened.features.aliases
        moves = {alias: aliases.history(alias)[-1] for alias in aliases.list(service)}
        rows = [(alias, move.service, move.author, move.created_at) for alias, move in moves.items()]
        print_rows(["alias", "service", "author", "moved_at"], rows, output)


@alias_app.command()
def history(alias: AliasArgument, store: StoreOption = _HERE, output: FormatOption = Format.TABLE) -> None:
    """List the moves of an alias, oldest first; nothing stands where it was removed.

    Example: foldstore features alias history arrival@live
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        rows = [(move.service, move.author, move.created_at) for move in opened.features.aliases.history(alias)]
        print_rows(["service", "author", "moved_at"], rows, output)


@alias_app.command()
def remove(alias: AliasArgument, store: StoreOption = _HERE) -> None:
    """Remove an alias: lookups by it fail from then on; its history stays.

    Example: foldstore features alias remove arrival@live
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        opened.features.aliases.remove(alias)
        say(f"{alias} is removed.")
