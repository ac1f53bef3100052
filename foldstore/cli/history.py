"""The verbs that compare and join lines of work: diff, merge."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldstore.cli.output import (
    Format,
    FormatOption,
    StoreOption,
    print_json,
    print_rows,
    progress,
    say,
    show_bytes,
)
from foldstore.errors import UsageError
from foldstore.names import parse_address

if TYPE_CHECKING:
    from foldstore.datastore.diff import VersionDiff

_HERE = "."

VersionArgument = Annotated[str, typer.Argument(help="A version: flights@3, flights@cleaning.")]


class RowKind(StrEnum):
    """Which rows of a difference are printed."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class Side(StrEnum):
    """Whose side wins a conflict."""

    OURS = "ours"
    THEIRS = "theirs"


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.command()(diff)
    app.command()(merge)


def diff(
    before: VersionArgument,
    after: VersionArgument,
    store: StoreOption = _HERE,
    rows: Annotated[RowKind | None, typer.Option(help="Print these rows instead of counts.")] = None,
    limit: Annotated[int, typer.Option(help="Rows to print (0: all).")] = 100,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 1 when the versions differ.")] = False,
    output: FormatOption = Format.TABLE,
) -> None:
    """Compare two versions of a dataset: columns, and rows added, removed and changed by key or row id.

    Example: foldstore diff flights@1 flights@3 --rows changed
    """
    import foldstore

    if limit < 0:
        raise UsageError("--limit is 0 or more.")
    name, other = parse_address(before).name, parse_address(after).name
    if name != other:
        raise UsageError(
            f"{before!r} and {after!r} are versions of two datasets.", hint="Compare versions of one dataset."
        )
    with foldstore.connect(store, create=False) as opened:
        found = opened.dataset(name).diff(opened.version(before), opened.version(after))
        if rows is None:
            _print_summary(found, output)
        else:
            _print_rows(found, rows, limit or None, output)
    if exit_code and not found.is_empty:
        raise typer.Exit(1)


def _print_summary(found: "VersionDiff", output: Format) -> None:
    if output is Format.JSON:
        print_json(found.summary())
        return
    columns = found.columns
    lines: list[tuple[Any, ...]] = [("column added", name, None, kind, None) for name, kind in columns.added]
    lines += [("column dropped", name, kind, None, None) for name, kind in columns.dropped]
    lines += [("column renamed", new, old, new, None) for old, new in columns.renamed]
    lines += [("column retyped", name, old, new, None) for name, old, new in columns.retyped]
    lines += [("column redefined", name, old, new, None) for name, old, new in columns.redefined]
    lines += [("column replaced", name, None, None, None) for name in columns.replaced]
    lines += [(f"rows {kind}", None, None, None, count) for kind, count in found.summary()["rows"].items()]
    lines += [("values changed", name, None, None, count) for name, count in found.changed_columns.items()]
    print_rows(["what", "column", "before", "after", "rows"], lines, output)


def _print_rows(found: "VersionDiff", kind: RowKind, limit: int | None, output: Format) -> None:
    from foldstore.views.values import display_values

    if kind is RowKind.CHANGED:
        table, total = found.rows_changed(limit=limit), found.num_changed
    elif kind is RowKind.ADDED:
        table, total = found.rows_added(limit=limit), found.num_added
    else:
        table, total = found.rows_removed(limit=limit), found.num_removed
    values = zip(*(display_values(column) for column in table.columns), strict=True)
    print_rows(table.column_names, values, output)
    if table.num_rows < total:
        say(f"The first {table.num_rows:,} of {total:,} rows; --limit 0 prints all.")


def merge(
    dataset: Annotated[str, typer.Argument(help="The dataset's name.")],
    theirs: Annotated[str, typer.Argument(help="The branch to merge, or a version of it.")],
    store: StoreOption = _HERE,
    into: Annotated[str, typer.Option(help="The branch that the merge is committed to.")] = "main",
    prefer: Annotated[Side | None, typer.Option(help="Whose side wins where both changed the same thing.")] = None,
    message: Annotated[str, typer.Option("--message", "-m", help="Kept with the version.")] = "",
) -> None:
    """Merge a branch into another, three-way; what both changed is named, and nothing is committed then.

    Example: foldstore merge flights cleaning
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        target = opened.dataset(dataset).branch(into)
        before = target.latest
        words: dict[str, Any] = {"message": message} if message else {}
        with progress(f"Merging {theirs}") as update:
            merged = target.merge(theirs, prefer=str(prefer) if prefer else None, progress=update, **words)
        if merged.number == before.number:
            say(f"{dataset}@{into} has all of {theirs} already: {before.address} stays.")
            return
        size = show_bytes(merged.record.bytes_added)
        say(f"Committed {merged.address} ({merged.num_rows:,} rows, {size} written): {merged.status}")
        if merged.report is not None and not merged.report.passed:
            say(merged.report.to_text())
            raise typer.Exit(1)
