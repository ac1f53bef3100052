"""The forms of reports at the command: which one a file gets, and where it goes."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from foldstore.cli.output import printable, say
from foldstore.errors import UsageError

ToOption = Annotated[Path | None, typer.Option(help="A file to write instead of stdout; it appears when whole.")]
Form = TypeVar("Form", bound=StrEnum)


def choose_form(output: Form | None, to: Path | None, endings: Mapping[str, Form]) -> Form:
    """Return the form that was named, else that of the file's ending; the first of them without a file.

    Raises
    ------
    UsageError
        When neither says one.
    """
    if output is not None:
        return output
    if to is None:
        return next(iter(endings.values()))
    if to.suffix.lower() not in endings:
        raise UsageError(
            f"The ending of {to.name!r} tells no form.",
            hint=f"Name one with --output, or end the file in {', '.join(endings)}.",
        )
    return endings[to.suffix.lower()]


def put(text: str, to: Path | None, what: object) -> None:
    """Print a text, or write it to a file and say so."""
    if to is None:
        typer.echo(printable(text), nl=bool(text) and not text.endswith("\n"))
        return
    from foldstore.validation.reporting.file import save

    save(text, to)
    say(f"{what}: written to {to}.")
