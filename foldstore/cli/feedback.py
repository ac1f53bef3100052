"""The verbs of feedback: features predictions, outcomes, labels."""

from pathlib import Path
from typing import Annotated

import typer

from foldstore.cli.output import StoreOption, say

_HERE = "."

ServiceArgument = Annotated[str, typer.Argument(help="The service: arrival@3 of predictions, arrival of outcomes.")]
FileArgument = Annotated[Path, typer.Argument(help="Rows with a column request_id: Parquet, CSV, JSON lines, Arrow.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to `features`."""
    for verb in (predictions, outcomes, labels):
        app.command()(verb)


def predictions(
    service: ServiceArgument,
    file: FileArgument,
    model: Annotated[str, typer.Option(help="Which model predicted: git:abc123.")],
    store: StoreOption = _HERE,
) -> None:
    """Keep what a model predicted: columns request_id, prediction, and perhaps request_row and predicted_at.

    Example: foldstore features predictions arrival@3 predictions.parquet --model git:abc123
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        made = opened.features.feedback.log_predictions(service, file, model=model)
        say(f"{made.address} has {made.num_rows:,} predictions.")


def outcomes(service: ServiceArgument, file: FileArgument, store: StoreOption = _HERE) -> None:
    """Keep what came of requests: columns request_id, those of the outcome, perhaps request_row and observed_at.

    Example: foldstore features outcomes arrival landed.csv
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        made = opened.features.feedback.log_outcomes(service, file)
        say(f"{made.address} has {made.num_rows:,} outcomes. Next: foldstore features labels {service}")


def labels(service: ServiceArgument, store: StoreOption = _HERE) -> None:
    """Join outcomes to the lookups that were logged, and commit them as rows to learn from; split and train next.

    Example: foldstore features labels arrival
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        made = opened.features.feedback.make_labels(service)
        say(f"{made.address} has {made.num_rows:,} labels. Next: foldstore split {made.address} …")
