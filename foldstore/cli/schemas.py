"""The verbs on schemas: schema infer, show, set, diff, accept, import, export, log."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foldstore.cli.output import Format, FormatOption, StoreOption, print_json, print_rows, printable, say, told
from foldstore.errors import EmptyReferenceWarning, NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foldstore.dataset import Dataset
    from foldstore.validation.report import Report
    from foldstore.validation.schema import DataSchema
    from foldstore.validation.schema_forms import SchemaForm

_HERE = "."
_MAX_TEXT = 64 << 20

schema_app = typer.Typer(
    no_args_is_help=True,
    help="Versioned schemas: infer one, review it as text, set it to gate what is published.",
)


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.add_typer(schema_app, name="schema")


@schema_app.command()
def infer(
    address: Annotated[str, typer.Argument(help="The version to learn from.")],
    store: StoreOption = _HERE,
    label: Annotated[str | None, typer.Option(help="What is learnt: a column that serving lacks.")] = None,
    categorical: Annotated[
        list[str] | None, typer.Option(help="A column of whole numbers that are names; repeat it.")
    ] = None,
    history: Annotated[
        bool, typer.Option(help="Learn limits of drift from the versions before, from eight on.")
    ] = True,
    set_it: Annotated[bool, typer.Option("--set", help="Set it as the dataset's schema at once.")] = False,
    message: Annotated[str, typer.Option("--message", "-m", help="Why (with --set).")] = "",
) -> None:
    """Infer a schema from a version's statistics and print it as YAML.

    Types that texts could have are suggested on the error stream, and never applied.

    Example: foldstore schema infer trial@1 --label late --categorical zone > trial.yaml
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        version = opened.version(address)
        with told(EmptyReferenceWarning):
            schema = version.profile().infer_schema(label=label, categorical=categorical or (), history=history)
        typer.echo(schema.to_yaml(), nl=False)
        for name, column in schema.columns.items():
            if (suggested := column.suggested_type) is not None:
                typer.echo(f"{name}: {suggested}; nothing is cast.", err=True)
        if set_it:
            dataset = opened.dataset(version.address.partition("@")[0])
            _announce(dataset, dataset.set_schema(schema, message=message or f"inferred from {version.address}"))


@schema_app.command()
def show(
    dataset: Annotated[str, typer.Argument(help="The dataset.")],
    store: StoreOption = _HERE,
    number: Annotated[int | None, typer.Option("--number", "-n", help="Which of its schemas, from 1.")] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="yaml or json.")] = "yaml",
) -> None:
    """Print a dataset's schema."""
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        kept = opened.dataset(dataset).schemas()
        schema = _choose(dataset, kept, number)
        if output not in ("yaml", "json"):
            raise UsageError(f"--output {output!r} is not a choice.", hint="Write yaml or json.")
        typer.echo(schema.to_yaml() if output == "yaml" else schema.to_json() + "\n", nl=False)


@schema_app.command("set")
def set_schema(
    dataset: Annotated[str, typer.Argument(help="The dataset.")],
    file: Annotated[Path, typer.Argument(help="A schema as YAML or JSON.")],
    store: StoreOption = _HERE,
    message: Annotated[str, typer.Option("--message", "-m", help="Why.")] = "",
) -> None:
    """Set a schema from a file: from now on it gates what is published."""
    import foldstore
    from foldstore.validation.schema import DataSchema

    with foldstore.connect(store, create=False) as opened:
        target = opened.dataset(dataset)
        _announce(target, target.set_schema(DataSchema.from_yaml(_read(file)), message=message))


@schema_app.command()
def diff(
    dataset: Annotated[str, typer.Argument(help="The dataset.")],
    file: Annotated[Path | None, typer.Argument(help="A schema as YAML or JSON; the newest one unless given.")] = None,
    store: StoreOption = _HERE,
    since: Annotated[int | None, typer.Option(help="Compare with this one of its schemas, from 1.")] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Say what a schema changes, and how much each change weighs.

    A patch accepts the same data, a minor change more; a major one may refuse what was accepted. Review a file before
    you set it:

    Example: foldstore schema diff trial trial.yaml
    """
    import foldstore
    from foldstore.validation.evolution import bump
    from foldstore.validation.schema import DataSchema

    with foldstore.connect(store, create=False) as opened:
        kept = opened.dataset(dataset).schemas()
        if file is None and since is None:
            since = max(len(kept) - 1, 1)
        before = _choose(dataset, kept, since)
        after = _choose(dataset, kept, None) if file is None else DataSchema.from_yaml(_read(file))
        changes = before.diff(after)
        if output is Format.JSON:
            print_json([change.to_dict() for change in changes])
            return
        rows = [
            (change.compat.name.lower(), change.op, change.path, str(change).split(": ", 2)[2]) for change in changes
        ]
        print_rows(["weight", "op", "path", "change"], rows, output)
        say(f"{before.version} would become {bump(before.version, changes)}." if changes else "Nothing changes.")


@schema_app.command("import")
def import_schema(
    file: Annotated[
        Path, typer.Argument(help="A contract (YAML or JSON), a JSON Schema, schema.pbtxt, or YAML of pandera.")
    ],
    form: Annotated[str, typer.Option("--format", "-f", help="odcs, json-schema, pandera or tfdv.")],
    table: Annotated[str | None, typer.Option(help="Which table of a contract, if it has more.")] = None,
) -> None:
    """Read a schema of another system and print it as YAML; what was left out is warned of.

    odcs is the Open Data Contract Standard 3.1, tfdv the text format of TensorFlow Data Validation, pandera what its
    to_yaml() writes of a schema for polars or pandas.

    Example: foldstore schema import schema.pbtxt --format tfdv > trial.yaml
    """
    from foldstore.validation.schema_forms import SchemaForm, import_schema

    schema, left_out = import_schema(
        _read(file), _form(form, [each for each in SchemaForm if each != "yaml"]), table=table
    )
    _tell("This was not imported", left_out)
    typer.echo(schema.to_yaml(), nl=False)


@schema_app.command("export")
def export_schema(
    dataset: Annotated[str, typer.Argument(help="The dataset.")],
    form: Annotated[str, typer.Option("--format", "-f", help="yaml, odcs, json-schema or pandera.")],
    store: StoreOption = _HERE,
    number: Annotated[int | None, typer.Option("--number", "-n", help="Which of its schemas, from 1.")] = None,
) -> None:
    """Print a dataset's schema for another system: a data contract as YAML, a JSON Schema, or pandera's YAML.

    The first two keep beside their own words what they have none for, and can be imported again without loss; what
    pandera cannot say is warned of. Python reads its YAML by pandera.io.polars_io.from_yaml().

    Example: foldstore schema export trial --format odcs > trial.odcs.yaml
    """
    import foldstore
    from foldstore.validation.schema_forms import EXPORTED, export_schema

    chosen = _form(form, EXPORTED)
    with foldstore.connect(store, create=False) as opened:
        schema = _choose(dataset, opened.dataset(dataset).schemas(), number)
    text, left_out = export_schema(schema, chosen)
    _tell("pandera cannot say", left_out)
    typer.echo(text, nl=False)


@schema_app.command()
def accept(
    dataset: Annotated[str, typer.Argument(help="The dataset.")],
    codes: Annotated[list[str], typer.Argument(help="Anomalies to accept: code or code:column, or 'all'.")],
    store: StoreOption = _HERE,
    version: Annotated[int | None, typer.Option(help="Whose report: a version, e.g. a quarantined one.")] = None,
    data: Annotated[Path | None, typer.Option(help="Or a file to judge first.")] = None,
    message: Annotated[str, typer.Option("--message", "-m", help="Why.")] = "",
) -> None:
    """Apply the fixes that a report proposes, as a child schema.

    Example: foldstore schema accept trial null_fraction_high --data february.parquet
    """
    import foldstore
    from foldstore.validation.anomaly import choose_anomalies

    with foldstore.connect(store, create=False) as opened:
        target = opened.dataset(dataset)
        report = _find_report(target, version, data)
        chosen = choose_anomalies(report.anomalies, codes)
        current = target.schema
        if current is None:
            raise NotFoundError(f"{dataset!r} has no schema.", hint="foldstore schema infer … --set makes one.")
        child = current.accept(chosen, reason=message or None)
        for change in current.diff(child):
            typer.echo(printable(str(change)))
        _announce(target, target.set_schema(child, message=message or f"accepted {', '.join(codes)}"))


@schema_app.command("history", hidden=True)
@schema_app.command()
def log(
    dataset: Annotated[str, typer.Argument(help="The dataset.")],
    store: StoreOption = _HERE,
    output: FormatOption = Format.TABLE,
) -> None:
    """List the schemas that a dataset has had, oldest first.

    Example: foldstore schema log trial
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        kept = opened.dataset(dataset).schemas()
        rows = [(n, s.version, len(s.columns), s.id[:12], (s.parent or "")[:12]) for n, s in enumerate(kept, start=1)]
        columns = ["number", "version", "columns", "id", "parent"]
        if output is Format.JSON:
            print_json([dict(zip(columns, row, strict=True)) for row in rows])
        else:
            print_rows(columns, rows, output)


def _form(name: str, forms: "Sequence[SchemaForm]") -> "SchemaForm":
    if name not in forms:
        *most, last = forms
        raise UsageError(f"--format {name!r} is not a choice.", hint=f"Write {', '.join(most)} or {last}.")
    return next(each for each in forms if each == name)


def _tell(what: str, left_out: list[str]) -> None:
    if left_out:
        say(f"warning: {what}: {'; '.join(left_out)}.")


def _choose(dataset: str, kept: "list[DataSchema]", number: int | None) -> "DataSchema":
    if not kept:
        raise NotFoundError(f"{dataset!r} has no schema.", hint="foldstore schema infer … --set makes one.")
    if number is None:
        return kept[-1]
    if not 1 <= number <= len(kept):
        raise NotFoundError(f"{dataset!r} has no schema number {number}.", hint=f"They run from 1 to {len(kept)}.")
    return kept[number - 1]


def _find_report(dataset: "Dataset", version: int | None, data: Path | None) -> "Report":
    if (version is None) == (data is None):
        raise UsageError("Say whose anomalies: --version NUMBER or --data FILE.")
    if data is not None:
        return dataset.validate(data)
    assert version is not None  # noqa: S101  # one of the two is given
    found = dataset.version(version)
    return found.report or found.validate()


def _read(file: Path) -> str:
    try:
        if file.stat().st_size > _MAX_TEXT:
            raise UsageError(f"{file} is too large to be a schema.")
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read as text: {error}.", hint="Name a YAML or JSON file.") from error


def _announce(dataset: "Dataset", schema: "DataSchema") -> None:
    say(f"{dataset.name}: schema {schema.version} ({schema.id[:12]}) gates what is published.")
