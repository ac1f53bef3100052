"""The verb that judges: validate, in the forms that people and CI services read."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from foldstore.cli.output import StoreOption, print_json, printable, say
from foldstore.errors import UsageError
from foldstore.types import Severity

if TYPE_CHECKING:
    from foldstore.validation.report import Report

_HERE = Path()


class JudgementForm(StrEnum):
    """How a report is printed or written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    JUNIT = "junit"
    SARIF = "sarif"
    GITHUB = "github"
    HTML = "html"


class FailOn(StrEnum):
    """What makes a report fail."""

    WARN = "warn"
    ERROR = "error"


_ENDINGS: Final = {
    ".html": JudgementForm.HTML,
    ".htm": JudgementForm.HTML,
    ".json": JudgementForm.JSON,
    ".jsonl": JudgementForm.JSONL,
    ".xml": JudgementForm.JUNIT,
    ".sarif": JudgementForm.SARIF,
    ".txt": JudgementForm.TABLE,
}


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(validate)


def validate(
    address: Annotated[str, typer.Argument(help="A version (trial@2), or a dataset with --data.")],
    store: StoreOption = _HERE,
    data: Annotated[Path | None, typer.Option(help="A file to judge before it is committed.")] = None,
    added: Annotated[bool, typer.Option("--added", help="Judge only the rows that the version added.")] = False,
    fail_on: Annotated[FailOn, typer.Option(help="The least severity that makes the command exit 1.")] = FailOn.ERROR,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit 0 even when checks fail.")] = False,
    output: Annotated[
        JudgementForm | None,
        typer.Option("--output", "-o", help="The form; by the ending of --to unless given, else table (text)."),
    ] = None,
    to: Annotated[Path | None, typer.Option(help="A file to write instead of stdout; it appears when whole.")] = None,
) -> None:
    """Judge a version, or a file, by the dataset's schema; exit 1 when a check fails.

    Examples:
        foldstore validate trial --data february.parquet

        foldstore validate trial@2 --added --to report.html

        foldstore validate trial --data february.parquet --output github --fail-on warn
    """
    form = choose_form(output, to)
    report = _judge(address, store, data, added=added)
    text = _write(report, form, None if data is None else str(data))
    if to is not None:
        from foldstore.validation.reporting.file import save

        save(text, to)
        say(f"{report!r}: written to {to}.")
    elif form is JudgementForm.JSON:
        print_json(report.to_dict())
    else:
        typer.echo(printable(text), nl=form is JudgementForm.TABLE)
    if report.fails_on(Severity(fail_on.value)) and not exit_zero:
        raise typer.Exit(1)


def choose_form(output: JudgementForm | None, to: Path | None) -> JudgementForm:
    """Return the form that was named, else that of the file's ending.

    Raises
    ------
    UsageError
        When neither says one.
    """
    if output is not None or to is None:
        return output or JudgementForm.TABLE
    if to.suffix.lower() not in _ENDINGS:
        raise UsageError(
            f"The ending of {to.name!r} tells no form.",
            hint=f"Name one with --output, or end the file in {', '.join(_ENDINGS)}.",
        )
    return _ENDINGS[to.suffix.lower()]


def _judge(address: str, store: Path, data: Path | None, *, added: bool) -> "Report":
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        if data is None:
            return opened.version(address).validate(rows="added" if added else "all")
        if added:
            raise UsageError("--added is about a version, --data about a file.", hint="Leave one out.")
        return opened.dataset(address).validate(data)


def _write(report: "Report", form: JudgementForm, source: str | None) -> str:
    if form is JudgementForm.JSON:
        from foldstore.validation.reporting.wording import write_json

        return write_json(report.to_dict()) + "\n"
    if form is JudgementForm.SARIF:
        return report.to_sarif(source=source)
    if form is JudgementForm.GITHUB:
        return report.to_github(source=source)
    simple = {
        JudgementForm.JSONL: report.to_json_lines,
        JudgementForm.JUNIT: report.to_junit,
        JudgementForm.HTML: report.to_html,
        JudgementForm.TABLE: report.to_text,
    }
    return simple[form]()
