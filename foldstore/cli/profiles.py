"""The verb that says what is in rows: profile."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldstore.cli.output import (
    Format,
    FormatOption,
    StoreOption,
    print_json,
    print_mapping,
    print_rows,
    progress,
    show,
)
from foldstore.errors import UsageError, column_not_found

if TYPE_CHECKING:
    from foldstore.datastore.statistics.column import ColumnProfile
    from foldstore.datastore.statistics.crosstab import LabelTables
    from foldstore.datastore.statistics.pairs import Correlations
    from foldstore.datastore.statistics.profile import Profile
    from foldstore.datastore.statistics.row_profile import RowProfile
    from foldstore.datastore.statistics.segments import SegmentedProfile
    from foldstore.store import Store
    from foldstore.version import Version
    from foldstore.views.view import View

_HERE = "."
_FACTS = ("column", "type", "nulls", "distinct", "min", "max", "mean", "std", "skewness", "most frequent")
_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(profile)


def profile(
    address: Annotated[str, typer.Argument(help="A version, a saved view or a part of a split (flights#train).")],
    store: StoreOption = _HERE,
    by: Annotated[str, typer.Option(help="One column or two, by a comma: a profile of each value.")] = "",
    column: Annotated[str | None, typer.Option(help="Say all of this column.")] = None,
    against: Annotated[str | None, typer.Option(help="Rank columns by how much they say of this label.")] = None,
    correlations: Annotated[bool, typer.Option("--correlations", help="Rank pairs of columns of numbers.")] = False,
    where: Annotated[str | None, typer.Option(help="Only the rows that meet this SQL condition.")] = None,
    max_segments: Annotated[int, typer.Option(help="With --by: so many stand alone, the rest is one.")] = 50,
    output: FormatOption = Format.TABLE,
) -> None:
    """Say what is in the rows: counts, extremes, spread, forms of texts, hours of times; by segment or pair too.

    Files that were profiled before are not read again. With --output json everything is there.

    Example: foldstore profile flights --by origin --column arr_delay
    """
    import foldstore

    if sum(map(bool, (by, against, correlations))) > 1:
        raise UsageError("--by, --against and --correlations are three questions.", hint="Ask one at a time.")
    with foldstore.connect(store, create=False) as opened:
        rows = _open(opened, address, where)
        if by:
            names = [name.strip() for name in by.split(",") if name.strip()]
            _print_segments(rows.profile(by=names, max_segments=max_segments), column, output)
            return
        found = _profile(rows, address)
        if correlations:
            _print_correlations(found.correlations(), output)
        elif against is not None:
            _print_tables(found.against(against), column, output)
        elif column is not None:
            facts = _column(found, column).to_dict()
            facts.pop("inside", None)  # it has lines of its own
            print_mapping(_flat(facts, output), output)
        else:
            _print_columns(found, output)


def _open(store: "Store", address: str, where: str | None) -> "Version | View":
    """Open a version, whose profile is kept, or else a view."""
    name = address.partition("@")[0]
    if where is None and "#" not in address and name in {dataset.name for dataset in store.datasets()}:
        return store.version(address)
    view = store.view(address)
    return view if where is None else view.where(where)


def _profile(rows: "Version | View", address: str) -> "RowProfile":
    from foldstore.version import Version

    if not isinstance(rows, Version):
        return rows.profile()
    with progress(f"Profiling {address}") as update:
        return rows.profile(progress=update)


def _column(found: "Profile", name: str) -> "ColumnProfile":
    known = dict(found.walk())
    if name not in known:
        raise column_not_found(name, known, where="the rows")
    return known[name]


def _facts(name: str, column: "ColumnProfile") -> tuple[Any, ...]:
    """Return a line of the table; the mean of instants would be a count of ticks."""
    numbers = isinstance(column.minimum, int | float) and not isinstance(column.minimum, bool)
    spread = (column.mean, column.std, column.skewness) if numbers else (None, None, None)
    most = ", ".join(f"{show(value)} {count:,}" for value, count in column.top(2) if count > 1)
    return name, column.type, column.nulls, column.distinct, column.minimum, column.maximum, *spread, most or None


def _flat(facts: dict[str, Any], output: Format) -> dict[str, Any]:
    """Write lists and mappings as text, for people."""
    if output in (Format.JSON, Format.JSONL):
        return facts
    return {name: _text(value) if isinstance(value, list | dict) else value for name, value in facts.items()}


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items())
    return ", ".join(f"{each[0]} {each[1]}" if isinstance(each, list) else str(each) for each in value)


def _print_columns(found: "Profile", output: Format) -> None:
    if output is Format.JSON:
        print_json(found.to_dict())
        return
    print_rows(_FACTS, (_facts(name, column) for name, column in found.walk()), output)


def _print_segments(found: "SegmentedProfile", column: str | None, output: Format) -> None:
    if column is not None:
        for part in found.values():
            _column(part, column)
    if output is Format.JSON:
        print_json(found.to_dict())
        return
    print_rows(("segment", "rows", *_FACTS), _segment_rows(found, column), output)


def _segment_rows(found: "SegmentedProfile", column: str | None) -> Iterator[tuple[Any, ...]]:
    from foldstore.datastore.statistics.segments import show_key

    for key, part in found.items():
        for name in part.columns if column is None else [column]:
            yield show_key(key), part.rows, *_facts(name, part.columns[name])


def _print_correlations(found: "Correlations", output: Format) -> None:
    if output is Format.JSON:
        print_json(found.to_dict())
        return
    many = _SHOWN if output is Format.TABLE else len(found.columns) ** 2
    lines = ((a, b, r, found.rows_of(a, b)) for a, b, r in found.strongest(many))
    print_rows(("a", "b", "correlation", "rows"), lines, output)


def _print_tables(found: "LabelTables", column: str | None, output: Format) -> None:
    if output is Format.JSON:
        print_json(found[column].to_dict() if column is not None else found.to_dict())
    elif column is not None:
        table = found[column]
        lines = ((name, *counts) for name, counts in zip(table.rows, table.counts.tolist(), strict=True))
        print_rows((column, *table.columns), lines, output)
    else:
        tables = [found[name] for name, _ in found.strongest(len(found))]
        rest = [table for table in found.values() if table.cramers_v_corrected is None]
        lines = (
            (t.feature, t.cramers_v_corrected, t.mutual_information, t.information_bias, t.labelled)
            for t in [*tables, *rest]
        )
        print_rows(("column", "Cramer's V", "bits", "bits by chance", "rows"), lines, output)
