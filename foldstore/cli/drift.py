"""The verbs that tell change from noise: drift, skew and trends."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldstore.cli.output import Format, FormatOption, StoreOption, print_json, print_rows, printable, say
from foldstore.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foldstore.validation.drift.comparison import DriftResult
    from foldstore.validation.drift.concept import ConceptDrift
    from foldstore.validation.drift.segments import SegmentedDrift
    from foldstore.version import Version

_HERE = "."
_WINDOWS = ("previous", "rolling(", "seasonal(")


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.command()(drift)
    app.command()(skew)
    app.command()(trends)


def drift(
    address: Annotated[str, typer.Argument(help="A version, such as flights@2 or flights.")],
    reference: Annotated[
        str, typer.Argument(help="A version, view or part; or previous, rolling(5), seasonal(12): rows added before.")
    ] = "previous",
    store: StoreOption = _HERE,
    by: Annotated[
        list[str] | None, typer.Option("--by", help="Compare the rows of each value of a column; twice for pairs.")
    ] = None,
    max_segments: Annotated[
        int | None, typer.Option(help="How many segments stand alone, with --by; 50 unless given.")
    ] = None,
    added: Annotated[bool, typer.Option("--added", help="Compare only the rows that the version added.")] = False,
    metric: Annotated[str, typer.Option(help="js, psi, hellinger, tvd, l_inf; for numbers ks, wasserstein.")] = "js",
    warn: Annotated[float, typer.Option(help="The least effect that counts.")] = 0.10,
    error: Annotated[float, typer.Option(help="The least effect that fails.")] = 0.20,
    alpha: Annotated[float, typer.Option(help="The level, after adjustment over the columns.")] = 0.01,
    label: Annotated[str | None, typer.Option(help="Ask how this column depends on the others, instead.")] = None,
    together: Annotated[
        bool, typer.Option("--together", help="Ask whether a classifier tells the rows apart, instead.")
    ] = False,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit 0 even when something drifted.")] = False,
    output: FormatOption = Format.TABLE,
    to: Annotated[Path | None, typer.Option(help="A page with the plots to write, such as drift.html.")] = None,
) -> None:
    """Compare distributions and nulls with a reference; exit 1 when a column drifted by its error limit.

    Exit 3 when no column could be compared, as with a reference that has no rows.

    A column is flagged when the change is significant and large: both, so that many rows alone raise no alarm. With
    --by each segment is compared with the same of the reference, adjusted over columns and segments together; the
    table has a line for each column that is flagged, and says how the shares of the segments moved.

    Example: foldstore drift flights@2 flights@1 --added --to drift.html
    """
    import foldstore
    from foldstore.validation.column_bounds import DriftPolicy

    _check_choice(by, max_segments, label, together=together, to=to)
    compared = True
    with foldstore.connect(store, create=False) as opened:
        version = opened.version(address)
        against: Any = reference if reference.startswith(_WINDOWS) else opened.view(reference)
        rows = "added" if added else "all"
        if label is not None:
            found = version.concept_drift(against, label, rows=rows)
            failed, compared = _print_concept(found, output), bool(found.features)
        elif together:
            told = version.two_sample_test(against, rows=rows)
            failed = str(told.verdict) == "error"
            _print_plain(str(told), told.to_dict(), output)
        else:
            policy = DriftPolicy(metric=metric, tau_warn=warn, tau_error=max(error, warn), alpha=alpha)
            how: dict[str, Any] = {"rows": rows, "policy": policy}
            failed, compared = _print_compared(version, against, how, (by, max_segments), output, to)
    if failed and not exit_zero:
        raise typer.Exit(1)
    if not compared and not exit_zero:
        say("Nothing was compared, so this says nothing about drift.")
        raise typer.Exit(3)


def _check_choice(
    by: list[str] | None, max_segments: int | None, label: str | None, *, together: bool, to: Path | None
) -> None:
    if label is not None and together:
        raise UsageError("--label and --together ask different questions.", hint="Leave one out.")
    if to is not None and (label is not None or together or to.suffix.lower() not in (".html", ".htm")):
        raise UsageError("--to writes the distributions as a page.", hint="End the file in .html; leave others out.")
    if by and (label is not None or together):
        raise UsageError("--by is about distributions.", hint="Leave --label and --together out.")
    if max_segments is not None and not by:
        raise UsageError("--max-segments is about segments.", hint="Name a column: --by carrier.")


def _print_compared(
    version: "Version",
    against: Any,
    how: dict[str, Any],
    segments: tuple[list[str] | None, int | None],
    output: Format,
    to: Path | None,
) -> tuple[bool, bool]:
    """Compare, print, and write the page; return whether something failed, and whether anything was compared."""
    by, most = segments
    found: DriftResult | SegmentedDrift
    if by:
        how |= {} if most is None else {"max_segments": most}
        sliced: SegmentedDrift = version.drift(against, by=by, **how)
        failed, compared, found = (
            _print_segments(sliced, output),
            bool(sliced.tests or any(each.drift and each.drift.nulls for each in sliced.segments)),
            sliced,
        )
    else:
        whole: DriftResult = version.drift(against, **how)
        failed, compared, found = _print_drift(whole, output), bool(whole.columns or whole.nulls), whole
    if to is not None:
        found.to_html(to)
        say(f"{found!r}: written to {to}.")
    return failed, compared


def skew(  # one option for each thing that may be asked
    service: Annotated[str, typer.Argument(help="A feature service; with a number, its lookups alone: arrival@1.")],
    training: Annotated[str, typer.Argument(help="What the model learnt from: a training set, a version, a part.")],
    store: StoreOption = _HERE,
    since: Annotated[str | None, typer.Option(help="Only what was served from this instant on.")] = None,
    until: Annotated[str | None, typer.Option(help="Only what was served before this instant.")] = None,
    metric: Annotated[str, typer.Option(help="js, psi, hellinger, tvd, l_inf; for numbers ks, wasserstein.")] = "js",
    warn: Annotated[float, typer.Option(help="The least effect that counts.")] = 0.10,
    error: Annotated[float, typer.Option(help="The least effect that fails.")] = 0.20,
    alpha: Annotated[float, typer.Option(help="The level, after adjustment over the features.")] = 0.01,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit 0 even when something is skewed.")] = False,
    output: FormatOption = Format.TABLE,
    to: Annotated[Path | None, typer.Option(help="A page with the plots to write, such as skew.html.")] = None,
) -> None:
    """Compare training data with the lookups that were logged, by feature; exit 1 when one reached its error limit.

    Of a training set the train part is compared. `foldstore features log` begins a log.

    Example: foldstore skew arrival arrival_training --since 2013-12-01 --to skew.html
    """
    import foldstore
    from foldstore.validation.column_bounds import DriftPolicy

    if to is not None and to.suffix.lower() not in (".html", ".htm"):
        raise UsageError("--to writes the distributions as a page.", hint="End the file in .html.")
    policy = DriftPolicy(metric=metric, tau_warn=warn, tau_error=max(error, warn), alpha=alpha)
    with foldstore.connect(store, create=False) as opened:
        learnt: Any = opened.view(training) if "#" in training else training
        found = opened.features.skew(service, learnt, since=since, until=until, policy=policy)
        if output is Format.JSON:
            print_json(found.to_dict())
        else:
            _print_drift(found.result, output)
        if to is not None:
            found.to_html(to)
            say(f"{found!r}: written to {to}.")
    if not found.passed and not exit_zero:
        raise typer.Exit(1)


def trends(
    address: Annotated[str, typer.Argument(help="A dataset, for its versions; with --every a version, for its time.")],
    store: StoreOption = _HERE,
    column: Annotated[list[str] | None, typer.Option("--column", "-c", help="Only this column; repeatable.")] = None,
    every: Annotated[str | None, typer.Option(help="Look at spans of time, such as 1d or 6h.")] = None,
    time: Annotated[str | None, typer.Option(help="The column of time; the dataset's event time unless given.")] = None,
    last: Annotated[int | None, typer.Option(help="Only so many versions, the newest.")] = None,
    season: Annotated[int, typer.Option(help="Compare with that many before: 7 for days, 12 for months.")] = 1,
    output: FormatOption = Format.TABLE,
) -> None:
    """Find where columns changed their level, over versions or over time, with the first row of the new level.

    A column that only rises, or only falls, as row numbers and dates do, has no level: it is named below the table, and
    in it only where it is asked for by -c.

    Example: foldstore trends prices --every 1d --season 7 -c price
    """
    import foldstore

    if every is None and time is not None:
        raise UsageError("--time belongs to spans of time.", hint="Give --every 1d, too.")
    if every is not None and last is not None:
        raise UsageError("--last is about versions, --every about time.", hint="Leave one out.")
    with foldstore.connect(store, create=False) as opened:
        if every is None:
            found = opened.dataset(address).trends(column, last=last, season=season)
        else:
            found = opened.version(address).trends(every, column, time=time, season=season)
    if output is Format.JSON:
        print_json(found.to_dict())
        return
    heads = ("column", "statistic", "at", "row", "time", "before", "after", "score", "certain at")
    rows = [
        (trend.column, trend.statistic, each.at, each.row, each.time, each.before, each.after, each.score, each.alarm)
        for trend in found.trends
        for each in trend.changes
        if column or not trend.steady
    ]
    print_rows(heads, rows, output)
    if found.steady and not column and output is Format.TABLE:
        say(f"Only rise, or only fall: {', '.join(found.steady)}.")
    if not rows and output is Format.TABLE:
        say(f"No change of level in {len(found.trends)} series of {found.subject}.")


def _print_drift(found: "DriftResult", output: Format) -> bool:
    from foldstore.validation.drift.text import DRIFT_HEADS, drift_rows

    _print_result(found.to_dict(), DRIFT_HEADS, drift_rows(found), output)
    if output is Format.TABLE:
        for name in found.untested:
            say(f"not compared: {name} ({found.why_untested(name)})")
    return str(found.verdict) == "error"


def _print_segments(found: "SegmentedDrift", output: Format) -> bool:
    """Print the segments; to people as a text, to machines a row for each column of each segment."""
    from foldstore.validation.drift.segment_text import PAIR_HEADS, pair_rows

    if output is Format.TABLE:
        typer.echo(printable(str(found)))
    else:
        _print_result(found.to_dict(), PAIR_HEADS, pair_rows(found), output)
    return str(found.verdict) == "error"


def _print_concept(found: "ConceptDrift", output: Format) -> bool:
    from foldstore.validation.drift.text import CONCEPT_HEADS, concept_rows

    _print_result(found.to_dict(), CONCEPT_HEADS, concept_rows(found), output)
    return any(str(each.verdict) == "error" for each in found.features.values())


def _print_result(plain: dict[str, Any], heads: "Sequence[str]", rows: list[tuple[Any, ...]], output: Format) -> None:
    if output is Format.JSON:
        print_json(plain)
    else:
        print_rows(heads, rows, output)


def _print_plain(text: str, plain: dict[str, Any], output: Format) -> None:
    if output is Format.TABLE:
        typer.echo(printable(text))
    else:
        print_json(plain)
