"""The verb that measures how a label is shared out: bias."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldstore.cli.output import Format, FormatOption, StoreOption, print_json, print_rows, printable, say
from foldstore.errors import UsageError

if TYPE_CHECKING:
    from foldstore.validation.bias.report import BiasReport, Excess

_HERE = "."


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(bias)


def bias(
    address: Annotated[str, typer.Argument(help="A version, a saved view or a part of a split (flights#train).")],
    label: Annotated[str, typer.Option(help="The column whose values are shared out.")],
    sensitive: Annotated[str, typer.Option(help="The column whose values are the groups.")],
    store: StoreOption = _HERE,
    positive: Annotated[
        list[str] | None, typer.Option(help="A positive label, or a comparison such as '> 15'; repeatable.")
    ] = None,
    disadvantaged: Annotated[
        list[str] | None, typer.Option(help="A group to compare with all others, or '<= 25'; repeated, they are one.")
    ] = None,
    conditional_on: Annotated[str, typer.Option(help="Columns to look within, by commas.")] = "",
    where: Annotated[str | None, typer.Option(help="Measure only the rows that meet this SQL condition.")] = None,
    label_bins: Annotated[
        str | None, typer.Option(help="Cut the label at these numbers (15,60), or into so many ranges (4).")
    ] = None,
    sensitive_bins: Annotated[str | None, typer.Option(help="The same for the sensitive column.")] = None,
    condition_bins: Annotated[str | None, typer.Option(help="The same for the column to look within.")] = None,
    p: Annotated[float, typer.Option("--p", help="The norm of the L-p measure, from 1.")] = 2.0,
    smoothing: Annotated[float, typer.Option(help="Add this to each label's count before KL is taken.")] = 0.0,
    confidence: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    min_rows: Annotated[int, typer.Option(help="Flag facets with fewer rows.")] = 30,
    max_values: Annotated[int, typer.Option(help="How many values label and groups may have.")] = 100,
    max_strata: Annotated[int, typer.Option(help="How many values the columns to look within may have.")] = 1_000,
    fail_above: Annotated[
        str, typer.Option(help="Exit 1 when a metric's magnitude is above a limit: dpl=0.1,ci=0.8")
    ] = "",
    output: FormatOption = Format.TABLE,
) -> None:
    """Measure how a label is shared out over the groups of a sensitive column: CI, DPL, KL, JS, LP, TVD, KS, CDDL.

    Example: foldstore bias flights --label arr_delay --positive '> 15' --sensitive carrier --conditional-on origin
    """
    import foldstore

    limits = _read_limits(fail_above)
    how: dict[str, Any] = {"p": p, "smoothing": smoothing, "confidence": confidence, "min_rows": min_rows}
    how |= {"max_values": max_values, "max_strata": max_strata}
    how |= {"label_bins": _read_bins("--label-bins", label_bins)}
    how |= {"sensitive_bins": _read_bins("--sensitive-bins", sensitive_bins)}
    how |= {"condition_bins": _read_bins("--condition-bins", condition_bins)}
    with foldstore.connect(store, create=False) as opened:
        view = opened.view(address)
        report = foldstore.measure_bias(
            view if where is None else view.where(where),
            label=label,
            sensitive=sensitive,
            positive=positive or None,
            disadvantaged=disadvantaged or None,
            conditional_on=[name.strip() for name in conditional_on.split(",") if name.strip()],
            **how,
        )
    found = report.above(limits)
    _print(report, found, output)
    if found:
        raise typer.Exit(1)


def _print(report: "BiasReport", found: "Sequence[Excess]", output: Format) -> None:
    if output is Format.JSON:
        print_json({**report.to_dict(), "above": [each.to_dict() for each in found]})
    elif output is Format.TABLE:
        typer.echo(printable(report.to_text()))
    else:
        table = report.to_table()
        print_rows(table.column_names, [tuple(row.values()) for row in table.to_pylist()], output)
    for each in found:
        say(str(each))


def _read_limits(text: str) -> dict[str, float]:
    """Read ``dpl=0.1,ci=0.8``."""
    limits = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, limit = item.partition("=")
        try:
            limits[name.strip().lower()] = float(limit)
        except ValueError:
            raise UsageError(f"--fail-above {item!r} is not METRIC=LIMIT.", hint="E.g. dpl=0.1,ci=0.8") from None
    return limits


def _read_bins(option: str, text: str | None) -> list[float] | int | None:
    """Read edges by commas, or one whole number: how many ranges."""
    if text is None:
        return None
    try:
        if "," not in text:
            return int(text)
        return [float(part) if not part.strip().lstrip("+-").isdigit() else int(part) for part in _parts(text)]
    except ValueError:
        raise UsageError(
            f"{option} {text!r} is neither edges nor a number of ranges.",
            hint="E.g. 15,60 (15, alone is one edge), or 4.",
        ) from None


def _parts(text: str) -> list[str]:
    return [part for part in text.split(",") if part.strip()]
