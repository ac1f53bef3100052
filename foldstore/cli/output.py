"""How results are printed: a table for people, JSON, JSON lines or CSV for machines; progress on stderr."""

import csv
import json
import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime, time
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from foldstore.errors import InvalidQueryError
from foldstore.types import Progress

if TYPE_CHECKING:
    from rich.console import Console

    from foldstore.datastore.statistics.column import ColumnProfile

_PIPE_WIDTH = 240

# Told what is done, of how much, and what to write beside the bar.
Show = Callable[[int, int | None, str], None]
# The bar that is drawn.
SHOWN: Final[ContextVar[Show | None]] = ContextVar("foldstore_bar", default=None)

StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        "-s",
        metavar="FOLDER|URL",
        envvar="FOLDSTORE_STORE",
        help="The store's folder, or a server's https://; its token is in FOLDSTORE_TOKEN or FOLDSTORE_TOKEN_FILE.",
        show_default="here",
    ),
]


_UNPRINTABLE = re.compile(r"[^ -~]")


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


class ReportFormat(StrEnum):
    """How a report is printed: it has no rows."""

    TABLE = "table"
    JSON = "json"


ReportFormatOption = Annotated[ReportFormat, typer.Option("--output", "-o", help="table (text) or json.")]
FormatOption = Annotated[Format, typer.Option("--output", "-o", help="How to print.")]


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]], form: Format) -> None:
    """Print rows to stdout; everything but a table streams."""
    if form in (Format.JSON, Format.JSONL):
        _refuse_repeated(columns)
    if form is Format.TABLE:
        _print_table(columns, list(rows))
    elif form is Format.CSV:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_plain(value) for value in row] for row in rows)
    elif form is Format.JSONL:
        for row in rows:
            print_json(dict(zip(columns, row, strict=True)))
    else:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])


def _refuse_repeated(columns: Sequence[str]) -> None:
    repeated = [name for place, name in enumerate(columns) if name in columns[:place]]
    if repeated:
        raise InvalidQueryError(
            f"A JSON object has one value of a name, and the result has several columns named {repeated[0]!r}.",
            hint="Name them apart: SELECT a.x AS before, b.x AS after. --output csv keeps both.",
            code="repeated-column",
            columns=repeated,
        )


def print_json(value: Any) -> None:
    """Print plain data as one line of JSON; what would steer a terminal is escaped."""
    text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)
    typer.echo(text if text.isprintable() else _UNPRINTABLE.sub(_escape_for_json, text))


def _escape_for_json(found: "re.Match[str]") -> str:
    return found.group() if found.group().isprintable() else json.dumps(found.group())[1:-1]


def printable(text: str) -> str:
    r"""Escape what would steer a terminal; lines stay lines.

    Examples
    --------
    >>> print(printable("a" + chr(27) + "[31m"))
    a\x1b[31m
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def print_mapping(values: Mapping[str, Any], form: Format) -> None:
    """Print one thing: a line per property, or one JSON object."""
    if form in (Format.JSON, Format.JSONL):
        print_json(values)
    else:
        print_rows(["property", "value"], [(k, v) for k, v in values.items() if v not in (None, "", {})], form)


def console(*, err: bool = False) -> "Console":
    """Return a console for people; it obeys NO_COLOR and keeps quiet colours off pipes."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH  # whoever reads a pipe wants whole words
    return Console(stderr=err, highlight=False, soft_wrap=True, width=width)


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for position, name in enumerate(columns):
        numbers = [row[position] for row in rows if row[position] is not None]
        right = bool(numbers) and all(isinstance(n, int | float | Decimal) and not isinstance(n, bool) for n in numbers)
        table.add_column(Text(_cell(str(name))), justify="right" if right else "left")
    for row in rows:
        table.add_row(*(Text(show(value)) for value in row))  # Text: what data holds is never markup
    console().print(table)


def show(value: Any) -> str:
    """Write a value for a person."""
    if value is None:
        return "·"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds")[:19]
    if isinstance(value, list | tuple | dict):
        return _cell(json.dumps(_plain(value), ensure_ascii=False))
    return _cell(str(value))


def _cell(text: str) -> str:
    """Keep a text on one line of a table, and from steering the terminal."""
    return printable(text).replace("\n", "\\n")


def _plain(value: Any) -> Any:
    """Turn a value into JSON's kinds; what JSON has no number for becomes text, so that it is not mistaken for null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


STATISTICS = ("column", "type", "nulls", "distinct", "min", "max", "mean")


def statistics_row(name: str, column: "ColumnProfile") -> tuple[Any, ...]:
    """Return what a table of statistics says of a column; the mean of instants would be a count of ticks."""
    mean = column.mean if isinstance(column.minimum, int | float) else None
    return name, column.type, column.nulls, column.distinct, column.minimum, column.maximum, mean


@contextmanager
def progress(label: str, *, unit: str = "rows") -> Iterator[Progress | None]:
    """Show progress on stderr when somebody is watching: a terminal, and not a CI run."""
    if not is_watched():
        yield None
        return
    with bar(label) as show:
        mark = SHOWN.set(show)

        def update(done: int, total: int | None) -> None:
            show(done, total, f"{done:,} of {total:,} {unit}" if total else f"{done:,} {unit}")

        try:
            yield update
        finally:
            SHOWN.reset(mark)


def is_watched() -> bool:
    """Say whether somebody looks at stderr: a terminal, and not a CI run."""
    return sys.stderr.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"


@contextmanager
def bar(label: str) -> Iterator[Show]:
    """Draw a bar, which is gone in the end."""
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[shown]}"), TimeElapsedColumn())
    with Bars(*columns, console=console(err=True), transient=True) as bars:
        task = bars.add_task(label, total=None, shown="")

        def show(done: int, total: int | None, text: str) -> None:
            bars.update(task, completed=done, total=total, shown=text)

        yield show


def say(text: str) -> None:
    """Tell a person something on stderr."""
    typer.echo(printable(text), err=True)


@contextmanager
def told(category: type[Warning]) -> Iterator[None]:
    """Tell what is worth a look as a person is told things, not as Python warns programmers."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", category)
        yield
    for each in caught:
        if issubclass(each.category, category):
            say(f"warning: {each.message}")
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


def show_bytes(size: int) -> str:
    """Write a size for a person."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} B"
