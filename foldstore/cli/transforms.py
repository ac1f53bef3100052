"""The verbs on transforms: transforms fit, ls, show, validate."""

from pathlib import Path
from typing import Annotated

import typer

from foldstore.cli.judgement import JUDGEMENT_ENDINGS, FailOn, JudgementForm, write_report
from foldstore.cli.output import Format, FormatOption, StoreOption, print_json, print_rows
from foldstore.cli.report_forms import ToOption, choose_form, put
from foldstore.errors import UsageError
from foldstore.types import Severity

_HERE = "."
_MOST_BYTES = 10_000_000

transforms_app = typer.Typer(
    no_args_is_help=True, help="Transforms of features: fitted once on a train part, the same in serving."
)


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.add_typer(transforms_app, name="transforms")


@transforms_app.command()
def fit(
    file: Annotated[Path, typer.Argument(help="A definition in YAML: name, and a list of operations.")],
    on: Annotated[str, typer.Option(help="The train part of a split: training@1#split.train.")],
    store: StoreOption = _HERE,
    message: Annotated[str, typer.Option("--message", "-m", help="Why.")] = "",
) -> None:
    """Learn from a train part, and keep what was learnt as a new version; print its address.

    Example: foldstore transforms fit inputs.yaml --on training@1#by_month.train
    """
    import foldstore
    from foldstore.transforms import read_transform

    definition = read_transform(_read(file))
    with foldstore.connect(store, create=False) as opened:
        typer.echo(opened.transforms.fit(definition, on, message=message))


@transforms_app.command("ls")
def list_(store: StoreOption = _HERE, output: FormatOption = Format.TABLE) -> None:
    """List the fitted transforms, every version."""
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        rows = []
        for address in opened.transforms.list():
            fitted = opened.transforms.registry.load(address)
            rows.append((address, len(fitted.definition.operations), fitted.rows, fitted.fitted_on))
    print_rows(["transform", "operations", "rows", "fitted_on"], rows, output)


@transforms_app.command()
def show(
    address: Annotated[str, typer.Argument(help="A transform: inputs@1.")],
    store: StoreOption = _HERE,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show what a transform does and what it has learnt; its kernels are compared first.

    Example: foldstore transforms show inputs@1
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        fitted = opened.transforms.get(address)
    if output is not Format.TABLE:
        print_json(fitted.to_dict())
        return
    typer.echo(repr(fitted))
    rows = [
        (tally.operation.OP, tally.operation.column, tally.count, _brief(state))
        for tally, state in zip(fitted.fitted_counts(), fitted.states, strict=True)
    ]
    print_rows(["operation", "column", "counted", "learnt"], rows, output)


@transforms_app.command()
def validate(
    address: Annotated[str, typer.Argument(help="A transform: inputs@1.")],
    rows: Annotated[str, typer.Argument(help="A version, a view or a part: training@2, flights@3#by_month.test.")],
    store: StoreOption = _HERE,
    fail_on: Annotated[FailOn, typer.Option(help="The least severity that makes the command exit 1.")] = FailOn.ERROR,
    output: Annotated[
        JudgementForm | None,
        typer.Option("--output", "-o", help="The form; by the ending of --to unless given, else table (text)."),
    ] = None,
    to: ToOption = None,
) -> None:
    """Judge rows by what a transform knows: too many imputed, clipped or unseen, columns that do not fit.

    Example: foldstore transforms validate inputs@1 training@2 --fail-on warn
    """
    import foldstore

    form = choose_form(output, to, JUDGEMENT_ENDINGS)
    with foldstore.connect(store, create=False) as opened:
        judged = opened.transforms.validate(address, rows)
    put(write_report(judged, form, None), to, repr(judged))
    if judged.fails_on(Severity(fail_on.value)):
        raise typer.Exit(1)


def _read(file: Path) -> str:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise UsageError(f"{file} is too large for a transform.", hint="See foldstore transforms fit --help.")
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read as text: {error}.", hint="Name a YAML file.") from error


def _brief(state: object) -> str:
    text = str(state)
    return text if len(text) <= 60 else f"{text[:59]}…"
