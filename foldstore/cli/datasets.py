"""The verbs on stores and datasets: init, ingest, ls, show, log."""

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldstore.cli.output import (
    STATISTICS,
    Format,
    FormatOption,
    StoreOption,
    print_json,
    print_mapping,
    print_rows,
    progress,
    say,
    show_bytes,
    statistics_row,
)
from foldstore.cli.place import folder_of
from foldstore.cli.reading import fitting, read_options, say_broken, show_reading
from foldstore.errors import AlreadyExistsError, NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foldstore.dataset import Dataset
    from foldstore.store import Store

_HERE = "."


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    for verb in (init, ingest, ls, show, log):
        app.command()(verb)


def init(folder: Annotated[str, typer.Argument(help="A new or empty folder.")] = _HERE) -> None:
    """Make an empty store.

    Example: foldstore init my_store
    """
    import foldstore

    with foldstore.connect(folder_of(folder, "init")) as store:
        say(f"The store is in {store.root}. Next: foldstore ingest NAME FILE --create --store {folder}")


def ingest(
    dataset: Annotated[str, typer.Argument(help="The dataset's name.")],
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Parquet, CSV, JSON lines, Arrow or Feather files: a version each. A folder, or a pattern in quotes "
            "('2013-*.csv'), is one version of all its files."
        ),
    ],
    store: StoreOption = _HERE,
    create: Annotated[bool, typer.Option("--create", help="Make the dataset when it is not there.")] = False,
    key: Annotated[str, typer.Option(help="Key columns, separated by commas (with --create).")] = "",
    event_time: Annotated[str | None, typer.Option(help="The event time column (with --create).")] = None,
    derive: Annotated[list[str] | None, typer.Option(help="NAME=EXPRESSION, repeatable (with --create).")] = None,
    order_by: Annotated[str, typer.Option(help="Sort rows by these columns, separated by commas.")] = "",
    null_token: Annotated[list[str] | None, typer.Option(help="CSV cells that mean null; repeatable.")] = None,
    types: Annotated[
        list[str] | None, typer.Option("--type", help="COLUMN=TYPE for text files, repeatable: zip=string.")
    ] = None,
    delimiter: Annotated[str | None, typer.Option(help="Between CSV cells; found unless given. tab for a tab.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of text; UTF-8 or by its mark unless given.")] = None,
    columns: Annotated[str, typer.Option(help="Names for CSV without a header, separated by commas.")] = "",
    on_broken_row: Annotated[str | None, typer.Option(help="error (nothing is committed) or quarantine.")] = None,
    quarantine_to: Annotated[Path | None, typer.Option(help="A new file for the rows that are set aside.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show how files would be read; commit nothing.")] = False,
    message: Annotated[str, typer.Option("--message", "-m", help="Kept with each version.")] = "",
    output: FormatOption = Format.TABLE,
) -> None:
    """Commit files as versions, one each, in the order given; or show with --dry-run how they would be read.

    Example: foldstore ingest planes planes.csv --create --key tailnum
    """
    import foldstore

    options = read_options(
        null_token=null_token,
        types=types,
        delimiter=delimiter,
        encoding=encoding,
        columns=columns,
        on_broken_row=on_broken_row,
        quarantine_to=quarantine_to,
    )
    with foldstore.connect(store, create=False) as opened:
        _check_files(files, options, open_first=create and not dry_run)
        if dry_run:
            _show_readings(opened, dataset, files, options, output)
            return
        target = _find_or_create(opened, dataset, create=create, key=key, event_time=event_time, derive=derive or [])
        failed = False
        for file in files:
            started = time.perf_counter()
            with progress(f"Committing {file.name}") as update, _taken_back(opened, target, created=create):
                version = target.append(
                    file,
                    order_by=_split(order_by),
                    message=message or file.name,
                    progress=update,
                    **fitting(file, options),
                )
            spent = time.perf_counter() - started
            say(
                f"Committed {version.address} ({version.record.rows_added:,} rows, "
                f"{show_bytes(version.record.bytes_added)}, {spent:.2f} s): {version.status}"
            )
            say_broken(version, quarantine_to)
            if version.report is not None and not version.report.passed:
                say(version.report.to_text())
                failed = True
    if failed:
        raise typer.Exit(1)


@contextmanager
def _taken_back(store: "Store", dataset: "Dataset", *, created: bool) -> "Iterator[None]":
    """When its first commit fails, take a new dataset back: its name and key are free again."""
    try:
        yield
    except BaseException:
        if created and not dataset.versions():
            store.remove_empty_dataset(dataset.name)
        raise


def _show_readings(store: "Store", name: str, files: list[Path], options: dict[str, Any], output: Format) -> None:
    """Show how files would be read: as the dataset's types where it is there and has versions."""
    from foldstore.datastore.ingest.source import open_source

    versions = store.dataset(name).versions() if name in {each.name for each in store.datasets()} else []
    target = versions[-1].arrow_schema if versions else None
    for file in files:
        source = open_source(file, target, **fitting(file, options))
        show_reading(file, source.description, [(f.name, str(f.type)) for f in source.schema], output)


def _check_files(files: list[Path], options: dict[str, Any], *, open_first: bool) -> None:
    """Refuse files that are not there before anything is made; a new dataset waits until its first file opens."""
    from foldstore.datastore.ingest.file import check_readable
    from foldstore.datastore.ingest.source import open_source

    if len(files) > 1 and "quarantine_to" in options:
        raise UsageError("--quarantine-to goes with one file, folder or pattern.", hint="Ingest them one by one.")
    for file in files:
        check_readable(file)
    if open_first:
        open_source(files[0], None, **fitting(files[0], options))


def _find_or_create(
    store: "Store", name: str, *, create: bool, key: str, event_time: str | None, derive: list[str]
) -> "Dataset":
    if not create:
        if key or event_time or derive:
            raise UsageError("--key, --event-time and --derive are for a new dataset.", hint="Add --create.")
        try:
            return store.dataset(name)
        except NotFoundError as error:
            raise NotFoundError(error.message, hint=f"{error.hint} Add --create to make it.", name=name) from error
    pairs = [item.partition("=") for item in derive]
    for column, equals, expression in pairs:
        if not (column and equals and expression):
            raise UsageError(
                f"--derive {column!r} is not NAME=EXPRESSION.", hint="E.g. --derive late='arr_delay > 15'."
            )
    expressions = {column.strip(): expression for column, _, expression in pairs}
    if name not in {dataset.name for dataset in store.datasets()}:
        return store.create_dataset(name, key=_split(key), event_time=event_time, derive=expressions)
    found = store.dataset(name)
    if (key and tuple(_split(key)) != found.key) or (event_time and event_time != found.event_time) or expressions:
        raise AlreadyExistsError(
            f"There is already a dataset {name!r}, with key {', '.join(found.key) or 'none'}.",
            hint="Leave --create, --key, --event-time and --derive out to append to it, or choose another name.",
        )
    return found


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def ls(
    store: StoreOption = _HERE,
    output: FormatOption = Format.TABLE,
    search: Annotated[
        str | None, typer.Option(help="Only those with this text in name, description, owner, tags or columns.")
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Only datasets that have this tag.")] = None,
) -> None:
    """List datasets and saved views.

    Example: foldstore ls --search carrier
    """
    import foldstore

    columns = ["name", "kind", "latest", "rows", "versions", "key"]
    with foldstore.connect(store, create=False) as opened:
        rows: list[tuple[object, ...]] = []
        for dataset in opened.datasets(search=search, tag=tag):
            versions = dataset.versions()
            published = [version for version in versions if version.status == "published"]
            newest = published[-1] if published else None
            number, count = (newest.number, newest.num_rows) if newest else (None, None)
            rows.append((dataset.name, "dataset", number, count, len(versions), ", ".join(dataset.key)))
        views = [name for name in opened.views() if tag is None and (search or "").casefold() in name]
        rows += [(name, "view", None, None, None, "") for name in views]
        print_rows(columns, rows, output)


def show(
    address: Annotated[str, typer.Argument(help="A dataset or version: flights, flights@3.")],
    store: StoreOption = _HERE,
    output: FormatOption = Format.TABLE,
    stats: Annotated[bool, typer.Option("--stats", help="Add statistics of each column (reads new files).")] = False,
) -> None:
    """Show a version: what it is, its columns, and with --stats what is in them."""
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        version = opened.version(address)
        facts = version.to_dict()
        schema = version.arrow_schema
        if not stats:
            columns = ["column", "type"]
            rows: list[tuple[object, ...]] = [(field.name, str(field.type)) for field in schema]
        else:
            columns = list(STATISTICS)
            with progress(f"Profiling {version.address}") as update:
                profile = version.profile(progress=update)
            rows = [statistics_row(name, column) for name, column in profile.columns.items()]
        if output in (Format.JSON, Format.JSONL):
            print_json({**facts, "columns": [dict(zip(columns, row, strict=True)) for row in rows]})
            return
        if output is Format.TABLE:
            print_mapping(facts, output)
        print_rows(columns, rows, output)


def log(
    dataset: Annotated[str, typer.Argument(help="The dataset's name.")],
    store: StoreOption = _HERE,
    output: FormatOption = Format.TABLE,
) -> None:
    """List the versions of a dataset, newest first, with what each one added."""
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        columns = [
            "version",
            "status",
            "operation",
            "rows",
            "rows_added",
            "bytes_added",
            "author",
            "created",
            "message",
        ]
        rows = []
        for version in reversed(opened.dataset(dataset).versions()):
            r = version.record
            created = version.created_at.strftime("%Y-%m-%d %H:%M:%S")
            rows.append(
                (
                    r.number,
                    str(r.status),
                    str(r.operation),
                    r.num_rows,
                    r.rows_added,
                    r.bytes_added,
                    r.author,
                    created,
                    r.message,
                )
            )
        print_rows(columns, rows, output)
