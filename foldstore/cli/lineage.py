"""The verbs on where things come from: lineage, runs, describe."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldstore.cli.output import Format, FormatOption, StoreOption, print_json, print_mapping, print_rows, say
from foldstore.errors import UsageError

if TYPE_CHECKING:
    from foldstore.run import Run

_HERE = "."


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    for verb in (lineage, runs, describe):
        app.command()(verb)


def lineage(
    address: Annotated[str, typer.Argument(help="A version, dataset or view; or run:ID, consumer:KIND:NAME.")],
    store: StoreOption = _HERE,
    output: FormatOption = Format.TABLE,
    upstream: Annotated[bool, typer.Option("--upstream", help="Only what it came from.")] = False,
    downstream: Annotated[bool, typer.Option("--downstream", help="Only what came from it.")] = False,
    depth: Annotated[int | None, typer.Option(help="How many steps to go; to the end unless given.")] = None,
    history: Annotated[bool, typer.Option("--history", help="Count the parents of versions, too.")] = False,
) -> None:
    """Show what a version, view or run came from, and what came from it.

    Example: foldstore lineage flights@3 --downstream
    """
    import foldstore

    both = upstream == downstream
    with foldstore.connect(store, create=False) as opened:
        found = opened.lineage(address)
        graphs = [found.upstream(depth, history=history)] if upstream or both else []
        graphs += [found.downstream(depth, history=history)] if downstream or both else []
    if output is Format.JSON:
        print_json({str(graph.direction): graph.to_dict() for graph in graphs})
        return
    rows = [
        (str(graph.direction), deep, relation, node.kind, node.label, node.status)
        for graph in graphs
        for deep, relation, node in graph.rows()[1:]
    ]
    print_rows(["direction", "steps", "relation", "kind", "name", "status"], rows, output)
    if any(graph.truncated for graph in graphs):
        say("There is more; --depth shows the nearer part.")


def runs(
    name: Annotated[str | None, typer.Argument(help="Only runs of this name.")] = None,
    store: StoreOption = _HERE,
    output: FormatOption = Format.TABLE,
    status: Annotated[str | None, typer.Option(help="Only those: running, succeeded, failed.")] = None,
    limit: Annotated[int, typer.Option(help="How many at most, the newest first.")] = 50,
    run_id: Annotated[
        str | None, typer.Option("--id", help="Show one run whole, by the first digits of its id.")
    ] = None,
) -> None:
    """List runs, newest first, or show one with what it read and wrote.

    A run whose process was killed stays "running"; its age says since when.

    Example: foldstore runs train --status failed
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        if run_id is not None:
            _print_run(opened.runs.get(run_id), output)
            return
        now = opened.clock()
        found = opened.runs.list(name, status=status, limit=limit)
    words = output is Format.TABLE
    times = ["age", "took"] if words else ["age_seconds", "took_seconds"]
    columns = ["run", "name", "status", "started", *times, "inputs", "outputs", "author", "message"]
    print_rows(columns, [_run_row(each, now, words=words) for each in found], output)


def _run_row(run: "Run", now: datetime, *, words: bool) -> tuple[Any, ...]:
    from foldstore.types import parse_time

    started = parse_time(run.record.started_at)
    age, took = now - started, run.duration
    shown = [_show_duration(age), _show_duration(took)] if words else [_seconds(age), _seconds(took)]
    versions = [", ".join(dict.fromkeys(each.address for each in used)) for used in (run.inputs, run.outputs)]
    number = run.id[:12] if words else run.id
    return number, run.name, run.status, started, *shown, *versions, run.record.author, run.record.message


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()


def _show_duration(duration: timedelta | None) -> str | None:
    if duration is None:
        return None
    seconds = max(duration.total_seconds(), 0.0)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{seconds:.1f} s"


def _print_run(run: "Run", output: Format) -> None:
    facts = run.to_dict()
    if output is not Format.TABLE:
        print_mapping(facts, output)
        return
    used = [("input", each) for each in run.inputs] + [("output", each) for each in run.outputs]
    print_mapping({key: value for key, value in facts.items() if key not in ("inputs", "outputs")}, output)
    print_rows(["role", "asked", "version", "status"], [(r, e.asked, e.address, e.status) for r, e in used], output)


def describe(
    dataset: Annotated[str, typer.Argument(help="The dataset's name.")],
    store: StoreOption = _HERE,
    output: FormatOption = Format.TABLE,
    description: Annotated[str | None, typer.Option("--description", "-d", help="What it holds.")] = None,
    owner: Annotated[str | None, typer.Option(help="Whose it is; an empty text takes the owner away.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; repeatable; in place of those before.")] = None,
    no_tags: Annotated[bool, typer.Option("--no-tags", help="Take all tags away.")] = False,
) -> None:
    """Say what a dataset holds, whose it is, and tag it; without options, show what was said.

    Example: foldstore describe flights --owner data@example.org --tag public
    """
    import foldstore

    if tag and no_tags:
        raise UsageError("--tag and --no-tags exclude each other.", hint="--tag replaces the tags before.")
    tags = [] if no_tags else (tag or None)
    with foldstore.connect(store, create=False) as opened:
        target = opened.dataset(dataset)
        if description is None and owner is None and tags is None:
            said = target.description
        else:
            said = target.describe(description, owner=owner, tags=tags)
            say(f"Described {dataset}: version {said.version} of its description.")
    print_mapping({"dataset": dataset, **said.to_dict()}, output)
