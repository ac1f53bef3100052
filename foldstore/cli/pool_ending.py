"""The verbs that end a test pool: pool reserve, rotate, retire, report. The last three act as a steward."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foldstore.cli.output import (
    Format,
    FormatOption,
    ReportFormat,
    ReportFormatOption,
    StoreOption,
    print_json,
    print_mapping,
    printable,
    say,
)
from foldstore.cli.pool_asking import PoolArgument
from foldstore.cli.pool_files import check_target, read_part, read_table, write_parquet
from foldstore.cli.pools import pool_app
from foldstore.errors import UsageError

if TYPE_CHECKING:
    from foldstore.pool import Pool
    from foldstore.validation.pools.retirement import RetirementReport

_HERE = "."

ConfidenceOption = Annotated[float, typer.Option(help="How sure all intervals of the report together are to hold.")]
RowsOption = Annotated[
    Path | None, typer.Option(help="Write the rows with their labels, validation data now: a .parquet file.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask: the pool answers no more from then on.")]


def register(_app: typer.Typer) -> None:
    """Add the verbs to the command."""
    for verb in (reserve, rotate, retire, report):
        pool_app.command()(verb)


def reserve(
    name: Annotated[str, typer.Argument(help="The reserve's name; one that is there is shown.")],
    dataset: Annotated[str | None, typer.Argument(help="Whose new versions it fills from.")] = None,
    store: StoreOption = _HERE,
    pool: Annotated[str | None, typer.Option(help="The pool to follow: label, hidden columns, plan are its.")] = None,
    share: Annotated[float, typer.Option(help="Which share of the rows that come.")] = 0.1,
    group_by: Annotated[
        list[str] | None, typer.Option(help="Rows with this column in common stay together; repeatable.")
    ] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Put a share of the rows that come aside for the next pool, sealed as they come; or show how far it is.

    Example: foldstore pool reserve late-next flights --pool late-2013 --share 0.2
    then: foldstore pool rotate late-2013 late-2014 --reserve late-next --yes
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        if dataset is not None:
            if pool is None:
                raise UsageError("It is not said which pool the reserve is to follow.", hint="Add --pool NAME.")
            old = opened.pools.get(pool).record
            opened.pools.reserve(
                name,
                dataset,
                label=old.label,
                hide=[column for column in old.hidden if column != old.label],
                plan=old.plan,
                share=share,
                group_by=group_by or [],
            )
        print_mapping(opened.pools.get_reserve(name).status().to_dict(), output)


def rotate(
    name: PoolArgument,
    successor: Annotated[str, typer.Argument(help="The next pool's name.")],
    part: Annotated[str | None, typer.Argument(help="Its rows: flights@14#by_month.test.")] = None,
    store: StoreOption = _HERE,
    reserve: Annotated[str | None, typer.Option(help="Take the rows of a reserve, in place of a part.")] = None,
    baseline: Annotated[Path | None, typer.Option(help="A file with the key columns and 'prediction'.")] = None,
    accept_drift: Annotated[bool, typer.Option(help="Rotate though columns are distributed otherwise.")] = False,
    expires: Annotated[str | None, typer.Option(help="When the next pool stops answering: 2030-01-31.")] = None,
    confidence: ConfidenceOption = 0.95,
    yes: YesOption = False,
) -> None:
    """Seal fresh rows as the next pool, with the same question, and retire this one; exit 4 when they are not alike.

    Columns, types and distributions are compared first (the label's inside), and no row may have been in a pool.

    Example: foldstore pool rotate late-2013 late-2014 flights@25#by_month.test --yes
    """
    import foldstore

    if (part is None) == (reserve is None):
        raise UsageError("Give a part or a --reserve, one of the two.", hint="foldstore pool rotate --help")
    _confirm(f"Seal {part or reserve} as {successor} and retire {name}, for good?", yes=yes)
    split, role = ("", "") if part is None else read_part(part)
    with foldstore.connect(store, create=False, role="steward") as opened:
        rows = opened.split(split).part(role) if reserve is None else opened.pools.get_reserve(reserve)
        given = None if baseline is None else read_table(baseline)
        made = opened.pools.get(name).rotate(
            successor, rows, baseline=given, accept_drift=accept_drift, expires=expires, confidence=confidence
        )
        say(f"Sealed {made!r}; {name} is retired: foldstore pool report {name}.")


def retire(
    name: PoolArgument,
    store: StoreOption = _HERE,
    reason: Annotated[str, typer.Option(help="Why, for the ledger.")] = "",
    confidence: ConfidenceOption = 0.95,
    rows: RowsOption = None,
    yes: YesOption = False,
    output: ReportFormatOption = ReportFormat.TABLE,
) -> None:
    """End a pool's answers for good, and print what it withheld: every answer, charge and figure, with intervals.

    Example: foldstore pool retire late-2013 --reason 'the season is over' --rows late-2013.parquet --yes
    """
    import foldstore

    _confirm(f"Retire {name}, for good? It answers no more, and its labels may be read.", yes=yes)
    if rows is not None:
        check_target(rows)
    with foldstore.connect(store, create=False, role="steward") as opened:
        pool = opened.pools.get(name)
        _show(pool, pool.retire(reason=reason, confidence=confidence), rows, output)


def report(
    name: PoolArgument,
    store: StoreOption = _HERE,
    rows: RowsOption = None,
    output: ReportFormatOption = ReportFormat.TABLE,
) -> None:
    """Print the report of a retired pool again; exit 4 while it is in use.

    Example: foldstore pool report late-2013 --output json
    """
    if rows is not None:
        check_target(rows)
    import foldstore

    with foldstore.connect(store, create=False, role="steward") as opened:
        pool = opened.pools.get(name)
        _show(pool, pool.report(), rows, output)


def _show(pool: "Pool", told: "RetirementReport", rows: Path | None, output: ReportFormat) -> None:
    if rows is not None:
        write_parquet(pool.rows(), rows)
        say(f"Wrote {told.rows:,} rows to {rows}.")
    if output is ReportFormat.JSON:
        print_json(told.to_dict())
    else:
        typer.echo(printable(told.explain()))


def _confirm(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("Retiring is for good, and there is no terminal to ask on: give --yes.", hint="Add --yes.")
    typer.confirm(question, abort=True, err=True)
