"""The verbs on shadows: start, report, stop, ls."""

from typing import TYPE_CHECKING, Annotated

import typer

from foldstore.cli.output import (
    Format,
    FormatOption,
    ReportFormat,
    ReportFormatOption,
    StoreOption,
    print_json,
    print_rows,
    say,
)

if TYPE_CHECKING:
    from foldstore.features.shadow_report import ShadowReport

_HERE = "."
_FAILED = 1

shadow_app = typer.Typer(no_args_is_help=True, help="Shadows: ask the next version too, before traffic is moved.")

LiveArgument = Annotated[str, typer.Argument(help="The version that answers: arrival@2, or an alias.")]


@shadow_app.command()
def start(
    live: LiveArgument,
    candidate: Annotated[str, typer.Argument(help="The version that is asked too: arrival@3.")],
    store: StoreOption = _HERE,
    share: Annotated[float, typer.Option(help="Which share of the requests.")] = 0.1,
    seed: Annotated[int | None, typer.Option(help="Which ones; drawn and recorded unless given.")] = None,
) -> None:
    """Ask a version too, from now on, what the live one is asked; servers that run begin at once.

    The live answer is what it would be without: faults of the other version are counted, and delay nobody.

    Example: foldstore features shadow start arrival@live arrival@3 --share 0.05
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        begun = opened.features.shadows.start(live, candidate, share=share, seed=seed)
    say(f"{begun.candidate} is asked beside {begun.live}: {begun.share:.2%} of the requests, seed {begun.seed}.")


@shadow_app.command()
def report(
    live: LiveArgument,
    store: StoreOption = _HERE,
    at_most: Annotated[
        float | None,
        typer.Option(help="Exit 1 when a larger share of a feature's values differs, or of requests is unanswered."),
    ] = None,
    output: ReportFormatOption = ReportFormat.TABLE,
) -> None:
    """Say by feature how often and how far the two answered differently; read it before the alias is moved.

    Example: foldstore features shadow report arrival@live --at-most 0.001
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        found = opened.features.shadows.report(live)
    _print(found, output)
    if at_most is not None and max(found.unequal_share, found.error_share) > at_most:
        raise typer.Exit(_FAILED)


@shadow_app.command()
def stop(live: LiveArgument, store: StoreOption = _HERE, output: ReportFormatOption = ReportFormat.TABLE) -> None:
    """End a shadow, and print what it found.

    Example: foldstore features shadow stop arrival@live
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        _print(opened.features.shadows.stop(live), output)


@shadow_app.command("ls")
def list_shadows(store: StoreOption = _HERE, output: FormatOption = Format.TABLE) -> None:
    """List the shadows, of each version the last one.

    Example: foldstore features shadow ls
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        found = [each.to_dict() for each in opened.features.shadows.list()]
    columns = ["live", "candidate", "share", "seed", "run", "running"]
    print_rows(columns, [[each[column] for column in columns] for each in found], output)


def _print(found: "ShadowReport", output: ReportFormat) -> None:
    if output is ReportFormat.JSON:
        print_json(found.to_dict())
    else:
        typer.echo(str(found))
