"""The verbs that define features: apply, plan, list, show, diff."""

import json
from pathlib import Path
from typing import Annotated

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
from foldstore.errors import UsageError

_HERE = "."
_FAILED = 1

features_app = typer.Typer(no_args_is_help=True, help="Feature services: one definition for training and serving.")

FileArgument = Annotated[Path, typer.Argument(help="Definitions in YAML, JSON or Python; a Python file is not run.")]


@features_app.command("list")
@features_app.command("ls", hidden=True)
def list_services(store: StoreOption = _HERE, output: FormatOption = Format.TABLE) -> None:
    """List the feature services and their features."""
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        fs = opened.features
        found = [(address, fs.service(address)) for address in fs.list_services()]
        rows = [
            (address, ", ".join(each.output_names(full_feature_names=True)), each.owner or "", ", ".join(each.tags))
            for address, each in found
        ]
        print_rows(["service", "features", "owner", "tags"], rows, output)


@features_app.command()
def show(
    service: Annotated[str, typer.Argument(help="The service: arrival@1.")],
    store: StoreOption = _HERE,
    output: Annotated[str, typer.Option("--output", "-o", help="yaml or json.")] = "yaml",
) -> None:
    """Print a service's definition; `features apply` reads it.

    Example: foldstore features show arrival@1 > arrival.yaml
    """
    import foldstore
    from foldstore.features.definition_file import write_definitions
    from foldstore.views.features.definition_set import DefinitionSet

    if output not in ("yaml", "json"):
        raise UsageError(f"--output {output!r} is not a choice.", hint="Write yaml or json.")
    with foldstore.connect(store, create=False) as opened:
        definition = opened.features.service(service)
    if output == "json":
        typer.echo(json.dumps(definition.to_dict(), indent=2))
    else:
        typer.echo(write_definitions(DefinitionSet.of([definition])), nl=False)


@features_app.command()
def apply(
    file: FileArgument,
    store: StoreOption = _HERE,
    message: Annotated[str, typer.Option("--message", "-m", help="Why.")] = "",
    allow_breaking: Annotated[
        bool, typer.Option("--allow-breaking", help="Apply it although somebody uses what it takes away.")
    ] = False,
) -> None:
    """Keep the services of a file as new, immutable versions, all or none.

    A change that would break who uses a service is refused, and the message says whom; `features plan` says it before.
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        for address in opened.features.apply_file(file, message=message, allow_breaking=allow_breaking):
            say(f"Applied {address}.")


@features_app.command()
def plan(file: FileArgument, store: StoreOption = _HERE, output: ReportFormatOption = ReportFormat.TABLE) -> None:
    """Say what applying a file would do, and whom it would break (then the exit code is 1); nothing is done.

    Example: foldstore features plan arrival.yaml
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        planned = opened.features.plan(file)
    if output is ReportFormat.JSON:
        print_json(planned.to_dict())
    else:
        typer.echo(str(planned))
    if planned.broken:
        raise typer.Exit(_FAILED)


@features_app.command()
def diff(
    before: Annotated[str, typer.Argument(help="A service: arrival@1.")],
    after: Annotated[str, typer.Argument(help="Another: arrival@2.")],
    store: StoreOption = _HERE,
    output: FormatOption = Format.TABLE,
) -> None:
    """List what changed from one service to another, and what of it breaks whoever uses the first."""
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        changes = opened.features.diff(before, after)
    columns = ["feature", "what", "before", "after", "breaks"]
    print_rows(columns, [[each.to_dict()[column] for column in columns] for each in changes], output)
