"""The verbs that judge, and that draw what was judged: validate, report."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from foldstore.cli.output import StoreOption
from foldstore.cli.report_forms import ToOption, choose_form, put
from foldstore.errors import UsageError
from foldstore.types import Severity

if TYPE_CHECKING:
    from foldstore.validation.report import Report
    from foldstore.validation.reporting.history import ProfileHistory

_HERE = "."


class JudgementForm(StrEnum):
    """How a report is printed or written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    JUNIT = "junit"
    SARIF = "sarif"
    GITHUB = "github"
    HTML = "html"


class HistoryForm(StrEnum):
    """How a history is printed or written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    HTML = "html"


class FailOn(StrEnum):
    """What makes a report fail."""

    WARN = "warn"
    ERROR = "error"


JUDGEMENT_ENDINGS: Final = {
    ".txt": JudgementForm.TABLE,
    ".html": JudgementForm.HTML,
    ".htm": JudgementForm.HTML,
    ".json": JudgementForm.JSON,
    ".jsonl": JudgementForm.JSONL,
    ".xml": JudgementForm.JUNIT,
    ".sarif": JudgementForm.SARIF,
}
_HISTORY_ENDINGS: Final = {
    ".txt": HistoryForm.TABLE,
    ".html": HistoryForm.HTML,
    ".htm": HistoryForm.HTML,
    ".json": HistoryForm.JSON,
    ".jsonl": HistoryForm.JSONL,
}


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.command()(validate)
    app.command()(report)


def validate(
    address: Annotated[str, typer.Argument(help="A version (trial@2), or a dataset with --data.")],
    store: StoreOption = _HERE,
    data: Annotated[Path | None, typer.Option(help="A file to judge before it is committed.")] = None,
    added: Annotated[bool, typer.Option("--added", help="Judge only the rows that the version added.")] = False,
    environment: Annotated[
        str | None, typer.Option(help="Where the rows are from, such as serving: only its columns are asked for.")
    ] = None,
    fail_on: Annotated[FailOn, typer.Option(help="The least severity that makes the command exit 1.")] = FailOn.ERROR,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit 0 even when checks fail.")] = False,
    output: Annotated[
        JudgementForm | None,
        typer.Option("--output", "-o", help="The form; by the ending of --to unless given, else table (text)."),
    ] = None,
    to: ToOption = None,
) -> None:
    """Judge a version, or a file, by the dataset's schema; exit 1 when a check fails.

    Examples:
        foldstore validate trial --data february.parquet

        foldstore validate trial@2 --added --to report.html

        foldstore validate requests --data today.parquet --environment serving

        foldstore validate trial --data february.parquet --output github --fail-on warn
    """
    form = choose_form(output, to, JUDGEMENT_ENDINGS)
    judged = _judge(address, store, data, environment, added=added)
    put(write_report(judged, form, None if data is None else str(data)), to, repr(judged))
    if judged.fails_on(Severity(fail_on.value)) and not exit_zero:
        raise typer.Exit(1)


def report(
    address: Annotated[str, typer.Argument(help="A dataset.")],
    store: StoreOption = _HERE,
    column: Annotated[list[str] | None, typer.Option("--column", "-c", help="Only this column; repeatable.")] = None,
    last: Annotated[int, typer.Option(help="At most so many versions, the newest.")] = 50,
    whole: Annotated[bool, typer.Option("--all", help="All rows of each version, not those that it added.")] = False,
    output: Annotated[
        HistoryForm | None,
        typer.Option("--output", "-o", help="The form; by the ending of --to unless given, else table (text)."),
    ] = None,
    to: ToOption = None,
) -> None:
    """Show how the columns of a dataset went over its published versions: quantiles and nulls, from kept profiles.

    As a page, each column is drawn; those that moved most come first.

    Example: foldstore report flights --to flights.html
    """
    import foldstore

    form = choose_form(output, to, _HISTORY_ENDINGS)
    with foldstore.connect(store, create=False) as opened:
        found = opened.dataset(address).report_history(column, last=last, rows="all" if whole else "added")
    put(_write_history(found, form), to, repr(found))


def _judge(address: str, store: str, data: Path | None, environment: str | None, *, added: bool) -> "Report":
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        if data is None:
            return opened.version(address).validate(rows="added" if added else "all", environment=environment)
        if added:
            raise UsageError("--added is about a version, --data about a file.", hint="Leave one out.")
        return opened.dataset(address).validate(data, environment=environment)


def write_report(judged: "Report", form: JudgementForm, source: str | None) -> str:
    """Return a report in a form; `source` is the file that was judged, where there is one."""
    if form is JudgementForm.SARIF:
        return judged.to_sarif(source=source)
    if form is JudgementForm.GITHUB:
        return judged.to_github(source=source)
    if form is JudgementForm.JSON:
        return _to_json(judged)
    simple = {
        JudgementForm.JSONL: judged.to_json_lines,
        JudgementForm.JUNIT: judged.to_junit,
        JudgementForm.HTML: judged.to_html,
        JudgementForm.TABLE: judged.to_text,
    }
    return simple[form]()


def _write_history(found: "ProfileHistory", form: HistoryForm) -> str:
    if form is HistoryForm.JSON:
        return _to_json(found)
    simple = {
        HistoryForm.JSONL: found.to_json_lines,
        HistoryForm.HTML: found.to_html,
        HistoryForm.TABLE: found.to_text,
    }
    return simple[form]()


def _to_json(found: "Report | ProfileHistory") -> str:
    from foldstore.validation.reporting.wording import write_json

    return write_json(found.to_dict()) + "\n"
