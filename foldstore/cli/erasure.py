"""The verb of erasure: erase, which only looks unless it is told --yes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldstore.cli.output import ReportFormat, ReportFormatOption, StoreOption, print_json, printable, say
from foldstore.errors import UsageError

if TYPE_CHECKING:
    from foldstore.dataset import Dataset

_HERE = "."


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(erase)


def erase(
    dataset: Annotated[str, typer.Argument(help="The dataset's name.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept, so name nobody.")],
    store: StoreOption = _HERE,
    key: Annotated[
        list[str] | None,
        typer.Option(help="COLUMN=VALUE, repeatable: the columns of one key, or several keys of one column."),
    ] = None,
    key_file: Annotated[Path | None, typer.Option(help="A file with the key's columns.")] = None,
    where: Annotated[str | None, typer.Option(help="An SQL condition instead of keys.")] = None,
    reference: Annotated[str, typer.Option(help="A number of yours, such as a ticket's; it is kept.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Erase. It cannot be undone.")] = False,
    output: ReportFormatOption = ReportFormat.TABLE,
) -> None:
    """Erase rows from every version by right; without --yes, say what would go.

    Example: foldstore erase people --key id=7 --reason 'asked to be forgotten' --reference ticket-17 --yes
    """
    import foldstore

    if (bool(key) + (key_file is not None) + (where is not None)) != 1:
        raise UsageError("Say in one way which rows to erase.", hint="Give --key, --key-file or --where.")
    with foldstore.connect(store, create=False) as opened:
        target = opened.dataset(dataset)
        keys: Any = key_file if key_file is not None else _read_keys(target, key) if key else None
        done = target.erase(keys, where=where, reason=reason, reference=reference, dry_run=not yes)
        if output is ReportFormat.JSON:
            print_json(done.to_dict())
        else:
            typer.echo(printable(str(done)))
        if not yes:
            say("Nothing was erased; add --yes to erase.")


def _read_keys(dataset: "Dataset", pairs: list[str]) -> Any:
    """Return the keys as a table, in the types of the newest version."""
    values: dict[str, list[str]] = {}
    for pair in pairs:
        column, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--key {pair!r} is not COLUMN=VALUE.", hint="E.g. --key id=7.")
        values.setdefault(column.strip(), []).append(value)
    if len(values) > 1 and any(len(each) > 1 for each in values.values()):
        raise UsageError("--key names one key of several columns.", hint="Put several keys into a file: --key-file.")
    return {column: _cast(dataset, column, each) for column, each in values.items()}


def _cast(dataset: "Dataset", column: str, texts: list[str]) -> Any:
    import pyarrow as pa

    versions = dataset.versions()
    schema = versions[-1].arrow_schema if versions else pa.schema([])
    if column not in schema.names:
        return texts
    kind = schema.field(column).type
    try:
        return pa.array(texts).cast(kind.value_type if pa.types.is_dictionary(kind) else kind)
    except pa.ArrowException as error:
        raise UsageError(f"--key {column}: not a {kind}: {error}.", hint="Write it as the column has it.") from error
