"""Files as sources: Parquet, Arrow IPC (Feather), CSV and JSON lines, told apart by their ending."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from foldstore.datastore.ingest.arrow_file import UNREADABLE, open_arrow, unreadable
from foldstore.datastore.ingest.batch_source import BatchSource
from foldstore.datastore.ingest.broken_rows import read_policy
from foldstore.datastore.ingest.csv_file import CSV_OPTIONS, open_csv
from foldstore.datastore.ingest.file_kind import ENDINGS, check_first_bytes, kind_of
from foldstore.datastore.ingest.folder import names_many, open_files
from foldstore.datastore.ingest.json_lines import JSON_OPTIONS, open_json_lines
from foldstore.datastore.ingest.parquet_file import open_parquet
from foldstore.datastore.ingest.soundness import checked
from foldstore.errors import IngestError, UsageError, did_you_mean

_OPTIONS: Final[Mapping[str, Sequence[str]]] = {"csv": CSV_OPTIONS, "json lines": JSON_OPTIONS}
_SAID: Final = {"csv": "CSV files", "json lines": "JSON lines"}


def open_path(path: Path, target: pa.Schema | None, **options: Any) -> BatchSource:
    """Open a file, or the files of a folder or pattern as one source."""
    _check_path(path)
    if "on_broken_row" in options or "quarantine_to" in options:
        # One for all files: their broken rows are counted together.
        options["on_broken_row"] = read_policy(
            options.get("on_broken_row", "error"), options.pop("quarantine_to", None)
        )
    if names_many(path):
        try:
            return open_files(path, target, partial(open_file, **options))
        except OSError as error:  # a folder that may not be entered
            raise unreadable(path, error) from error
    return open_file(path, target, **options)


def _check_path(path: Path) -> None:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:  # too long a name, a zero byte, a folder that may not be entered
        raise IngestError(
            f"{str(path)[:200]!r} cannot be opened: {getattr(error, 'strerror', None) or error}.",
            hint="Check the path.",
            code="file-not-found",
        ) from error


def open_file(path: Path, target: pa.Schema | None, **options: Any) -> BatchSource:
    """Open a file for ingest.

    Raises
    ------
    IngestError
        When it is missing, is not a file, or is not what its ending says.
    UsageError
        When its ending is not known, or an option is not one of its format.
    """
    check_readable(path)
    kind = kind_of(path)
    if kind is None:
        raise UsageError(
            f"{path.name!r}: the ending {path.suffix!r} is not a known format.",
            hint=f"Known are {', '.join(ENDINGS)}.",
            path=str(path),
        )
    _check_options(path, kind, options)
    try:
        found = check_first_bytes(path, kind)
        if kind == "csv":
            return open_csv(path, target, **options)
        if kind == "json lines":
            return open_json_lines(path, target, **options)
        # The readers of text make their arrays themselves; these come as they are.
        return checked(open_parquet(path) if kind == "parquet" else open_arrow(path, stream="stream" in (found or "")))
    except UNREADABLE as error:
        raise unreadable(path, error) from error


def _check_options(path: Path, kind: str, options: Mapping[str, Any]) -> None:
    if options and kind not in _OPTIONS:
        raise UsageError(
            f"{', '.join(sorted(options))}: only CSV files and JSON lines are read with options.", path=str(path)
        )
    for name in options:
        if name not in _OPTIONS[kind]:
            raise UsageError(f"There is no option {name!r} for {_SAID[kind]}.", hint=did_you_mean(name, _OPTIONS[kind]))


def check_readable(path: Path) -> None:
    """Refuse what is not a regular file (a pipe would block for ever); folders and patterns are looked at later."""
    _check_path(path)
    if names_many(path):
        return
    if not path.exists():
        close = [p.name for p in sorted(path.parent.glob("*")) if p.suffix == path.suffix][:5] if path.suffix else []
        raise IngestError(
            f"There is no file {str(path)!r}.",
            hint=f"In that folder: {', '.join(close)}." if close else "Check the path.",
            code="file-not-found",
            path=str(path),
        )
    if not path.is_file():
        raise IngestError(f"{str(path)!r} is not a file.", hint="Name one file.", path=str(path))
