"""The verbs of training sets: features training-set, features reproduce."""

from typing import Annotated

import typer

from foldstore.cli.output import ReportFormat, ReportFormatOption, StoreOption, print_json, say
from foldstore.types import Status

_HERE = "."
_DIFFERENT = 1
_FAILED = 1


def register(app: typer.Typer) -> None:
    """Add the verbs to `features`."""
    app.command("training-set")(create)
    app.command()(reproduce)


def create(
    name: Annotated[str, typer.Argument(help="Its dataset, new or that of the versions before.")],
    labels: Annotated[str, typer.Option(help="The address of a split: flights@5#by_month.")],
    features: Annotated[str, typer.Option(help="The service: arrival@1.")],
    event_timestamp: Annotated[
        str | None, typer.Option(help="The column of asking times; the event time of the labels unless given.")
    ] = None,
    full_feature_names: Annotated[bool, typer.Option(help="Name the features view__feature.")] = False,
    filter_by_created_timestamp: Annotated[
        bool, typer.Option(help="Only join what had been written down by each row's time.")
    ] = False,
    allow_exact_match: Annotated[
        bool, typer.Option(help="Whether a row stamped exactly at the asking time is seen.")
    ] = True,
    message: Annotated[str, typer.Option("--message", "-m", help="Why.")] = "",
    store: StoreOption = _HERE,
    output: ReportFormatOption = ReportFormat.TABLE,
) -> None:
    """Join features to the rows of a split and commit the result, its split and its lineage; print its address.

    Made again of newer labels, features or sources it is the next version; of the very same, the version that was made
    of that. Exit 1 when it does not pass the gate of its dataset.

    Example: foldstore features training-set arrival_training --labels flights@5#by_month --features arrival@1
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        made = opened.features.create_training_set(
            name,
            labels=labels,
            features=features,
            event_timestamp=event_timestamp,
            full_feature_names=full_feature_names,
            filter_by_created_timestamp=filter_by_created_timestamp,
            allow_exact_match=allow_exact_match,
            message=message,
        )
        address, status, inputs, found = made.address, str(made.version.status), made.inputs, made.found
    if output is ReportFormat.JSON:
        print_json({"address": address, "status": status, "inputs": inputs.to_dict(), "found": found})
    else:
        typer.echo(address)
    sizes = ", ".join(f"{part} {rows:,}" for part, rows in inputs.sizes.items())
    read = ", ".join(inputs.versions)
    say(
        f"{inputs.features} at {inputs.labels} ({sizes}), read from {read}: {status}{', made before' if found else ''}."
    )
    if status == Status.QUARANTINED:
        raise typer.Exit(_FAILED)


def reproduce(
    training_set: Annotated[str, typer.Argument(help="The training set: arrival_training@1.")],
    store: StoreOption = _HERE,
    output: ReportFormatOption = ReportFormat.TABLE,
) -> None:
    """Make a training set again from its definition and pinned inputs, and compare it to the bit; nothing is written.

    Exit 0 when it is equal, 1 when it differs (the output says in what), 3 when rows of its inputs are gone.

    Example: foldstore features reproduce arrival_training@1
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        found = opened.features.reproduce(training_set)
    if output is ReportFormat.JSON:
        print_json(found.to_dict())
    else:
        typer.echo(str(found))
    if not found.equal:
        raise typer.Exit(_DIFFERENT)
