"""The verbs that lay features out for lookups: materialize, push, status."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldstore.cli.feature_definitions import features_app
from foldstore.cli.output import Format, FormatOption, StoreOption, print_rows, progress, say
from foldstore.errors import UsageError

if TYPE_CHECKING:
    from foldstore.features.push import Target

_HERE = "."


@features_app.command("materialize")
def materialize(
    service: Annotated[str, typer.Argument(help="The service: arrival@1.")],
    store: StoreOption = _HERE,
    like: Annotated[str | None, typer.Option(help="A training set whose versions are read.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Lay everything out anew.")] = False,
) -> None:
    """Lay a service's features out for lookups, from the newest published inputs or a training set's.

    What changed since the version that is served is laid down, late and corrected rows too; a view over a query is laid
    out anew. A run that was killed is taken up by the next one.

    Example: foldstore features materialize arrival@1
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened, progress("Materializing", unit="views") as update:
        training = None if like is None else opened.training_set(like)
        say(f"Materialized {opened.features.materialize(service, like=training, full=full, progress=update)}.")


@features_app.command()
def push(
    view: Annotated[str, typer.Argument(help="The feature view.")],
    rows: Annotated[Path, typer.Argument(help="A file of rows: Parquet, CSV, JSON lines, Arrow.")],
    store: StoreOption = _HERE,
    to: Annotated[str, typer.Option(help="online, offline or online_and_offline.")] = "online",
    message: Annotated[str, typer.Option("--message", "-m", help="Kept with the dataset's version.")] = "",
) -> None:
    """Push rows to a feature view: looked up at once, kept in its dataset, or both.

    Of an entity the row with the greatest event time counts: a late row never takes the place of a newer one.

    Example: foldstore features push carrier_delay new_rows.parquet --to online_and_offline
    """
    import pyarrow as pa

    import foldstore
    from foldstore.datastore.ingest.source import open_source

    if not rows.is_file():
        raise UsageError(f"There is no file {str(rows)!r}.", hint="Name a file of rows.")
    source = open_source(rows)
    table = pa.Table.from_batches(source.batches, source.schema)
    target: Target | Any = to
    with foldstore.connect(store, create=False) as opened:
        done = opened.features.push(view, table, to=target, message=message)
    where = [*done.services, *([done.version] if done.version else [])]
    say(f"Pushed {done.rows:,} rows of {view} to {', '.join(where)}.")


@features_app.command()
def status(
    service: Annotated[str | None, typer.Argument(help="A service, arrival or arrival@1; all unless named.")] = None,
    store: StoreOption = _HERE,
    output: FormatOption = Format.TABLE,
) -> None:
    """List what is served: the versions, the rows, the files of changes, what was pushed since.

    Example: foldstore features status arrival --output json
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        found = [each.to_dict() for each in opened.features.online_status(service)]
    columns = ["service", "view", "watermark", "rows", "bytes", "changes", "pushed", "materialized_at"]
    rows = [[", ".join(each[name]) if name == "watermark" else each[name] for name in columns] for each in found]
    print_rows(columns, rows, output)
