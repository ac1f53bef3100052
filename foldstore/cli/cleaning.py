"""The verbs that clean: clean suggest, preview, apply, undo, deny."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldstore.cli.output import Format, FormatOption, StoreOption, print_json, print_rows, progress, say
from foldstore.errors import UnreadableError, UsageError

if TYPE_CHECKING:
    from foldstore.cleaning import CleaningPlan
    from foldstore.store import Store
    from foldstore.version import Version

_HERE = "."
_HEADS = ("#", "sure", "code", "op", "column", "reason")

clean_app = typer.Typer(
    no_args_is_help=True,
    help="Clean a version: suggest a plan, preview it, apply it as a new version, undo it.",
)

AddressArgument = Annotated[str, typer.Argument(help="A version, such as flights@2 or flights.")]
PlanArgument = Annotated[Path, typer.Argument(help="A file with a plan, as suggest --out writes it.")]
OnlyOption = Annotated[list[int] | None, typer.Option("--only", help="Only this action, by its number; repeatable.")]
SplitOption = Annotated[str | None, typer.Option("--split", help="Learn from the train part of this split alone.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.add_typer(clean_app, name="clean")


@clean_app.command()
def suggest(
    address: AddressArgument,
    store: StoreOption = _HERE,
    column: Annotated[list[str] | None, typer.Option("--column", "-c", help="Only this column; repeatable.")] = None,
    dependency: Annotated[
        list[str] | None, typer.Option("--dependency", help="'zip -> city': known to hold; repeatable.")
    ] = None,
    split: SplitOption = None,
    confidence: Annotated[float, typer.Option(help="Leave out what is less sure.")] = 0.5,
    out: Annotated[Path | None, typer.Option(help="Write the plan to this file, to choose from and to apply.")] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Look at the rows and suggest what to clean; nothing is changed.

    Example: foldstore clean suggest shops --out plan.json
    """
    with _opened(store) as opened, progress("Looking") as update:
        plan = opened.version(address).suggest_cleaning(
            columns=column or None,
            dependencies=dependency or (),
            split=split,
            min_confidence=confidence,
            progress=update,
        )
    if out is not None:
        out.write_text(plan.to_json(), encoding="utf-8")
        say(f"{len(plan)} actions are in {out}; see: foldstore clean preview {out}")
    _print_plan(plan, output)


@clean_app.command()
def preview(
    plan: PlanArgument,
    store: StoreOption = _HERE,
    address: Annotated[str | None, typer.Option("--on", help="Another version than the plan was made for.")] = None,
    only: OnlyOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Say what a plan would do: counts, examples, statistics before and after; nothing is changed.

    Example: foldstore clean preview plan.json --only 1 --only 3
    """
    with _opened(store) as opened, progress("Trying") as update:
        found = _read_plan(opened, plan, address, only).preview(progress=update)
    if output is Format.JSON:
        print_json(found.to_dict())
        return
    rows = [(n, each.changed, each.kept_out, each.action.op, each.action.column, each.action.reason)
            for n, each in enumerate(found.actions, 1)]  # fmt: skip
    print_rows(("#", "changed", "kept out", "op", "column", "reason"), rows, output)
    say(
        f"{found.version}: {found.rows_changed:,} of {found.rows:,} rows would change, {found.rows_dropped:,} would go."
    )
    for note in found.notes:
        say(f"note: {note}")


@clean_app.command()
def apply(
    plan: PlanArgument,
    store: StoreOption = _HERE,
    address: Annotated[str | None, typer.Option("--on", help="Another version than the plan was made for.")] = None,
    only: OnlyOption = None,
    branch: Annotated[str | None, typer.Option("--branch", "-b", help="Commit to this branch.")] = None,
    message: Annotated[str, typer.Option("--message", "-m", help="Kept with the version.")] = "",
) -> None:
    """Do what a plan says, as one new version that keeps the plan.

    Example: foldstore clean apply plan.json -m "spring cleaning"
    """
    with _opened(store) as opened, progress("Cleaning") as update:
        chosen = _read_plan(opened, plan, address, only)
        version = chosen.commit(message=message, branch=branch, progress=update)
        made = version != opened.version(chosen.subject.address)
        _say_version(version, made=made)


@clean_app.command()
def undo(
    address: AddressArgument,
    store: StoreOption = _HERE,
    message: Annotated[str, typer.Option("--message", "-m", help="Kept with the version.")] = "",
) -> None:
    """Bring back what was there before a cleaning, as a new version; what came later must go first.

    Example: foldstore clean undo shops
    """
    with _opened(store) as opened:
        _say_version(opened.version(address).undo_cleaning(message=message), made=True)


@clean_app.command()
def deny(
    address: AddressArgument,
    rule: Annotated[str, typer.Argument(help="'t.zip = u.zip AND t.city <> u.city': what no rows may meet.")],
    store: StoreOption = _HERE,
    out: Annotated[Path | None, typer.Option(help="Write a plan that puts few rows aside to this file.")] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Find the rows that break a rule over rows (t) or pairs of rows (t and u); exit 1 when there are some.

    Example: foldstore clean deny shops "t.zip = u.zip AND t.city <> u.city"
    """
    with _opened(store) as opened:
        version = opened.version(address)
        found = version.deny(rule)
        if out is not None:
            out.write_text(version.cleaning_plan(found.repair()).to_json(), encoding="utf-8")
    if output is Format.JSON:
        print_json(found.to_dict())
    else:
        rows = [(", ".join(map(str, each["rows"])), *map(str, each["cells"])) for each in found.examples]
        width = max((len(row) for row in rows), default=2)
        heads = ("rows", "t", "u")[:width]
        print_rows(heads, rows, output)
        least = "" if found.complete else "at least "
        say(
            f"{least}{found.violations:,} violations in {found.rows:,} rows; without {len(found.cover):,} none is left."
        )
    if not found.passed:
        raise typer.Exit(1)


def _opened(store: str) -> "Store":
    import foldstore

    return foldstore.connect(store, create=False)


def _read_plan(opened: "Store", path: Path, address: str | None, only: list[int] | None) -> "CleaningPlan":
    from foldstore.validation.cleaning.plan_document import MOST_BYTES, PlanDocument

    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"{path} is no plan: it is too large.", hint="suggest --out writes one.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableError(f"{path} cannot be read: {error}.", hint="suggest --out writes a plan.") from error
    document = PlanDocument.from_json(text)
    plan = opened.version(address or document.version).cleaning_plan(document)
    return plan.only(*only) if only else plan


def _print_plan(plan: "CleaningPlan", output: Format) -> None:
    if output is Format.JSON:
        print_json(plan.document.to_dict())
        return
    rows: list[tuple[Any, ...]] = [
        (n, each.confidence, each.code, each.op, each.column, each.reason) for n, each in enumerate(plan, 1)
    ]
    print_rows(_HEADS, rows, output)


def _say_version(version: "Version", *, made: bool) -> None:
    if made:
        say(f"{version.address}: {version.num_rows:,} rows, {version.status}")
    else:
        say("Nothing would change: no version was made.")
    typer.echo(version.address)
