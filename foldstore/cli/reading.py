"""How the command reads files: its options as `Dataset.append` takes them, and what was found, shown."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foldstore.cli.output import Format, print_mapping, print_rows, say
from foldstore.errors import UsageError

if TYPE_CHECKING:
    from foldstore.version import Version

_SHOWN = 3
_TAB = {"tab": "\t", "\\t": "\t"}


def read_options(
    *,
    null_token: Sequence[str] | None,
    types: Sequence[str] | None,
    delimiter: str | None,
    encoding: str | None,
    columns: str,
    on_broken_row: str | None,
    quarantine_to: Path | None,
) -> dict[str, Any]:
    """Return the options that were given."""
    pairs = [item.partition("=") for item in types or ()]
    for column, equals, kind in pairs:
        if not (column and equals and kind):
            raise UsageError(f"--type {column!r} is not COLUMN=TYPE.", hint="E.g. --type zip=string.")
    given = {
        "null_tokens": list(null_token) if null_token else None,
        "types": {column.strip(): kind.strip() for column, _, kind in pairs} or None,
        "delimiter": _TAB.get(delimiter, delimiter) if delimiter is not None else None,
        "encoding": encoding,
        "columns": [name.strip() for name in columns.split(",")] if columns else None,
        "on_broken_row": on_broken_row or ("quarantine" if quarantine_to else None),
        "quarantine_to": quarantine_to,
    }
    return {name: value for name, value in given.items() if value is not None}


def fitting(file: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options for one of several files: null tokens are for CSV and left out for others."""
    from foldstore.datastore.ingest.file_kind import kind_of
    from foldstore.datastore.ingest.folder import names_many

    others = not names_many(file) and kind_of(file) not in ("csv", None)
    return {name: value for name, value in options.items() if not (others and name == "null_tokens")}


def show_reading(file: Path, description: Mapping[str, Any], columns: Sequence[tuple[str, str]], form: Format) -> None:
    """Print how a file would be read, and its columns."""
    facts = {name: value for name, value in description.items() if name not in ("types", "broken_rows")}
    if form in (Format.TABLE, Format.JSON, Format.JSONL):
        print_mapping({**facts, **({} if form is Format.TABLE else {"columns": dict(columns)})}, form)
    if form in (Format.TABLE, Format.CSV):
        print_rows(["column", "type"], columns, form)
    say(f"{file}: {len(columns)} columns; nothing was committed.")


def say_broken(version: "Version", quarantine_to: Path | None) -> None:
    """Say how many rows were set aside, and show the first."""
    found = version.record.properties.get("source", {}).get("broken_rows", {})
    if not found.get("count"):
        return
    where = f"; all of them are in {quarantine_to}" if quarantine_to else ""
    say(f"{found['count']:,} broken rows were set aside{where}:")
    for row in found["examples"][:_SHOWN]:
        column = f", column {row['column']}" if row["column"] else ""
        say(f"  {row['file']}, line {row['line']}{column}: {row['reason']}")
