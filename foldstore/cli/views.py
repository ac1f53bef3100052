"""The verbs on saved views: view ls, show, save, publish, explain, diff, moved, leakage, clone, archive, deprecate."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldstore.cli.output import (
    Format,
    FormatOption,
    ReportFormat,
    ReportFormatOption,
    StoreOption,
    print_json,
    print_mapping,
    print_rows,
    say,
)
from foldstore.errors import UnreadableError, UsageError

if TYPE_CHECKING:
    from foldstore.store import Store
    from foldstore.views.view import View

_HERE = "."
_MOST_SPEC_BYTES = 4_000_000

view_app = typer.Typer(
    no_args_is_help=True, help="Views: saved queries over pinned versions, which store nothing but what they say."
)

Address = Annotated[str, typer.Argument(help="A saved view (jfk, jfk@2, jfk@draft), a version or a part.")]
Name = Annotated[str, typer.Argument(help="The view's name.")]
Message = Annotated[str, typer.Option("--message", "-m", help="Why, for people.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.add_typer(view_app, name="view")


@view_app.command("ls")
def list_views(
    store: StoreOption = _HERE,
    output: FormatOption = Format.TABLE,
    archived: Annotated[bool, typer.Option("--archived", help="Those in the archive, too.")] = False,
) -> None:
    """List saved views: their newest versions, what these read, and whether there is a draft."""
    import foldstore

    columns = ["name", "latest", "status", "reads", "draft", "archived", "created_at"]
    with foldstore.connect(store, create=False) as opened:
        rows: list[tuple[object, ...]] = []
        for saved in opened.saved_views.list(archived=archived):
            newest = saved.versions[-1] if saved.versions else None
            facts = (newest.number, newest.status, ", ".join(newest.reads)) if newest else (None, "draft", "")
            made = newest.created_at if newest else None
            rows.append((saved.name, *facts, saved.draft is not None, saved.is_archived, made))
        print_rows(columns, rows, output)


@view_app.command()
def show(address: Address, store: StoreOption = _HERE, output: ReportFormatOption = ReportFormat.TABLE) -> None:
    """Show a view: what it reads, its steps, its columns and its hash; --output json prints its specification.

    Example: foldstore view show jfk@1 --output json > jfk.json
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        view = opened.view(address)
        if output is ReportFormat.JSON:
            print_json(view.spec())
            return
        print_mapping({"view": repr(view), "hash": view.hash}, Format.TABLE)
        print_rows(["column", "type"], [(field.name, str(field.type)) for field in view.arrow_schema], Format.TABLE)


@view_app.command()
def save(
    name: Name,
    inputs: Annotated[
        list[str] | None, typer.Argument(help="Addresses that it reads: flights@3; or address=weight, to blend.")
    ] = None,
    store: StoreOption = _HERE,
    spec: Annotated[
        Path | None, typer.Option(help="A file with a specification, as `view show --output json` prints it.")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="Keep the rows that meet this SQL condition; repeatable.")
    ] = None,
    select: Annotated[str, typer.Option(help="Which columns, separated by commas; a.b reaches into a struct.")] = "",
    compute: Annotated[
        list[str] | None, typer.Option(help="A further column: name=expression; repeatable, with --select.")
    ] = None,
    sample: Annotated[str | None, typer.Option(help="Keep this share of the rows: 0.1 or 1/3.")] = None,
    order_by: Annotated[str, typer.Option(help="Sort by these columns; -name for falling values.")] = "",
    shuffle: Annotated[bool, typer.Option("--shuffle", help="Give the rows in a random order.")] = False,
    seed: Annotated[int, typer.Option(help="Of the sample and the shuffle.")] = 0,
    limit: Annotated[int | None, typer.Option(help="Keep the first rows.")] = None,
    columns: Annotated[str, typer.Option(help="Of several inputs: same, common or all columns.")] = "same",
    rows: Annotated[str, typer.Option(help="Rows of a blend: all, once, largest, or a number.")] = "all",
    draft: Annotated[
        bool, typer.Option("--draft", help="Keep a draft, to go on with; `view publish` ends it.")
    ] = False,
    message: Message = "",
) -> None:
    """Save a view: nothing but what it says is kept, and it always gives the same rows in the same order.

    Steps apply in the order of the options above, whatever order they are typed in; a file of a specification may
    have any steps in any order.

    Example: foldstore view save jfk flights@13 --where "origin = 'JFK'" --select carrier,dep_delay
    """
    import foldstore
    from foldstore.views.arguments import check_choice
    from foldstore.views.combination import COLUMN_RULES

    if (spec is None) == (not inputs):
        raise UsageError("A view reads addresses, or is given by --spec.", hint="foldstore view save jfk flights@13")
    check_choice(columns, COLUMN_RULES, "--columns")
    with foldstore.connect(store, create=False) as opened:
        view = opened.view(_read_spec(spec)) if spec is not None else _combine(opened, inputs or [], columns, rows)
        for condition in where or []:
            view = view.where(condition)
        view = _select(view, select, compute or [])
        view = view if sample is None else view.sample(sample, seed=seed)
        names = _split(order_by)
        if names:
            falling = [each[1:] for each in names if each.startswith("-")]
            view = view.order_by(*(each.removeprefix("-") for each in names), descending=falling)
        view = view.shuffle(seed) if shuffle else view
        view = view if limit is None else view.limit(limit)
        if draft:
            view.save_draft(name, message=message)
            say(f"Kept a draft: {name}@draft. foldstore view publish {name} makes a version of it.")
            return
        number = view.save(name, message=message)
        say(f"Saved {name}@{number}: {view.hash}")


@view_app.command()
def publish(name: Name, store: StoreOption = _HERE, message: Message = "") -> None:
    """Publish the draft of a view: it becomes a version that never changes."""
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        version = opened.saved_views.publish(name, message=message)
        say(f"Published {version.address}: {version.hash}")


@view_app.command()
def explain(address: Address, store: StoreOption = _HERE) -> None:
    """Say what reading a view reads, copies and holds at most; reads no values."""
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        typer.echo(str(opened.view(address).explain()))


@view_app.command()
def diff(
    before: Address,
    after: Annotated[str, typer.Argument(help="The view to compare it with.")],
    store: StoreOption = _HERE,
    output: ReportFormatOption = ReportFormat.TABLE,
) -> None:
    """Compare two views: what they read, what they say, and which rows they have.

    Example: foldstore view diff jfk@1 jfk@2
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        found = opened.view(before).diff(opened.view(after))
        print_json(found.to_dict()) if output is ReportFormat.JSON else typer.echo(str(found))


@view_app.command()
def moved(address: Address, store: StoreOption = _HERE, output: ReportFormatOption = ReportFormat.TABLE) -> None:
    """Say what would change if a view were saved anew: its aliases and branches may have moved since."""
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        found = opened.view(address).moved()
        print_json(found.to_dict()) if output is ReportFormat.JSON else typer.echo(str(found))


@view_app.command()
def leakage(address: Address, store: StoreOption = _HERE, output: ReportFormatOption = ReportFormat.TABLE) -> None:
    """Look for rows that should not be learned from: of test pools, or of several parts of a split. Exit code 1: some.

    Example: foldstore view leakage training_mix@1
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        report = opened.view(address).leakage()
        print_json(report.to_dict()) if output is ReportFormat.JSON else typer.echo(str(report))
    if not report.passed:
        raise typer.Exit(1)


@view_app.command()
def clone(
    address: Address, name: Annotated[str, typer.Argument(help="The name of the copy.")], store: StoreOption = _HERE
) -> None:
    """Copy a view to another name, as a draft to be edited."""
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        opened.saved_views.clone(address, name)
        say(f"Kept a draft: {name}@draft.")


@view_app.command()
def archive(name: Name, store: StoreOption = _HERE) -> None:
    """Leave a view out of lists; its addresses work as before."""
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        opened.saved_views.archive(name)
        say(f"Archived {name}; foldstore view restore {name} takes it back.")


@view_app.command()
def restore(name: Name, store: StoreOption = _HERE) -> None:
    """Take a view out of the archive."""
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        opened.saved_views.restore(name)
        say(f"Restored {name}.")


@view_app.command()
def deprecate(
    address: Annotated[str, typer.Argument(help="A version of a view: jfk@1.")],
    reason: Annotated[str, typer.Option(help="Why it should not be used any more.")],
    store: StoreOption = _HERE,
    replacement: Annotated[str | None, typer.Option(help="The address of what to use in its place.")] = None,
) -> None:
    """Say that a version of a view should not be used any more: whoever opens it is warned."""
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        opened.saved_views.deprecate(address, reason, replacement=replacement)
        say(f"Deprecated {address}.")


def _combine(store: "Store", inputs: list[str], columns: str, rows: str) -> "View":
    weighed = [each.rpartition("=") for each in inputs if "=" in each]
    if not weighed:
        return store.view(inputs[0]) if len(inputs) == 1 else store.view(inputs, columns=columns)
    if len(weighed) < len(inputs):
        raise UsageError("Either all inputs have a weight or none.", hint="flights@3=1 charters@1=5")
    views = [store.view(address) for address, _, _ in weighed]
    is_number = rows.isascii() and rows.isdigit()
    return store.blend(views, [weight for _, _, weight in weighed], rows=int(rows) if is_number else rows)


def _select(view: "View", select: str, compute: list[str]) -> "View":
    names = _split(select)
    if select and not names:
        raise UsageError(f"--select {select!r} names no column.", hint="--select carrier,dep_delay")
    computed: dict[str, str] = {}
    for each in compute:
        name, equals, expression = each.partition("=")
        if not equals:
            raise UsageError(f"{each[:60]!r} computes no column.", hint="--compute 'late=arr_delay > 15'")
        computed[name.strip()] = expression
    if not names and not computed:
        return view
    return view.select(*(names or view.arrow_schema.names), **computed)


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _read_spec(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_SPEC_BYTES:
            raise UsageError(f"{path} is too large for a specification.", hint="See foldstore view show --output json.")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableError(
            f"{path} holds no specification: {error}", hint="See foldstore view show --output json."
        ) from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} holds no specification.", hint="See foldstore view show --output json.")
    return found
