"""The verbs on monitors: set, list, run, history."""

import time
from typing import Annotated, Any

import typer

from foldstore.cli.output import Format, FormatOption, StoreOption, print_json, print_rows, say
from foldstore.errors import UsageError

_HERE = "."
_SHORTEST = 1.0

monitor_app = typer.Typer(no_args_is_help=True, help="Look at new versions as they come, and tell somebody.")
_Heads = ("version", "passed", "status", "checked at", "found", "worst", "told")


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.add_typer(monitor_app, name="monitor")


@monitor_app.command("set")
def set_monitor(
    name: Annotated[str, typer.Argument(help="What the monitor is called.")],
    dataset: Annotated[list[str], typer.Argument(help="The datasets to look at.")],
    store: StoreOption = _HERE,
    drift: Annotated[
        str | None, typer.Option(help="Compare new rows with previous, rolling(5) or seasonal(12).")
    ] = None,
    metric: Annotated[str, typer.Option(help="js, psi, hellinger, tvd, l_inf, ks or wasserstein.")] = "js",
    warn: Annotated[float, typer.Option(help="The least change that is noted.")] = 0.10,
    error: Annotated[float, typer.Option(help="The least change that fails.")] = 0.20,
    trends: Annotated[bool, typer.Option("--trends/--no-trends", help="Note changes of level over versions.")] = True,
    message: Annotated[str, typer.Option("--message", "-m", help="Why.")] = "",
) -> None:
    """Keep a monitor; it begins with the datasets' first versions.

    Example: foldstore monitor set nightly flights weather --drift "rolling(5)"
    """
    import foldstore
    from foldstore.validation.column_bounds import DriftPolicy

    limits = DriftPolicy(metric=metric, tau_warn=warn, tau_error=max(warn, error))
    with foldstore.connect(store, create=False) as opened:
        made = opened.monitors.set(name, dataset, drift=drift, limits=limits, trends=trends, message=message)
    say(f"{made.name} looks at {', '.join(made.datasets)}. Next: foldstore monitor run {made.name}")


@monitor_app.command("list")
@monitor_app.command("ls", hidden=True)
def list_monitors(store: StoreOption = _HERE, output: FormatOption = Format.TABLE) -> None:
    """List the monitors."""
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        found = [opened.monitors.find(name) for name in opened.monitors.list_names()]
    rows = [(each.name, ", ".join(each.datasets), each.drift, each.trends) for each in found]
    print_rows(("monitor", "datasets", "drift", "trends"), rows, output)


@monitor_app.command()
def run(
    name: Annotated[str | None, typer.Argument(help="One monitor; all of them unless given.")] = None,
    store: StoreOption = _HERE,
    every: Annotated[float | None, typer.Option(help="Look again after so many seconds, until interrupted.")] = None,
    at_commit: Annotated[
        bool, typer.Option("--at-commit", help="Look at each version as it is committed, until interrupted.")
    ] = False,
    webhook: Annotated[
        str | None, typer.Option(envvar="FOLDSTORE_WEBHOOK", help="Post what fails to this address.")
    ] = None,
    command: Annotated[str | None, typer.Option(help="Give what fails to this command, as JSON on stdin.")] = None,
    on: Annotated[str, typer.Option(help="Tell of failure, or always.")] = "failure",
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit 0 even when something failed.")] = False,
    output: FormatOption = Format.TABLE,
) -> None:
    """Look at the versions that came since the last run; exit 1 when one of them failed.

    Example: foldstore monitor run nightly --webhook https://example.org/hook
    """
    import foldstore
    from foldstore.notify import Notify

    if every is not None and every < _SHORTEST:
        raise UsageError("--every is a second or more.")
    if every is not None and at_commit:
        raise UsageError("--every and --at-commit are two ways to wait.", hint="Give one of them.")
    notify = Notify.from_text(webhook=webhook, command=command, on=on)
    with foldstore.connect(store, create=False) as opened:
        failed = False
        if at_commit:  # until it is interrupted
            for each in opened.monitors.follow(name, notify=notify):
                print_json(each.to_dict())
        while True:
            found = opened.monitors.run(name, notify=notify)
            failed |= any(not each.passed for each in found)
            if every is None:
                print_rows(_Heads, [_row(each) for each in found], output)
                break
            for each in found:
                print_json(each.to_dict())
            time.sleep(every)
    if failed and not exit_zero:
        raise typer.Exit(1)


@monitor_app.command()
def history(
    name: Annotated[str, typer.Argument(help="The monitor.")],
    store: StoreOption = _HERE,
    output: FormatOption = Format.TABLE,
) -> None:
    """List what a monitor has found, the oldest first."""
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        found = opened.monitors.history(name)
    if output is Format.JSON:
        print_json([each.to_dict() for each in found])
    else:
        print_rows(_Heads, [_row(each) for each in found], output)


def _row(each: Any) -> tuple[Any, ...]:
    worst = each.findings[0] if each.findings else None
    shown = "" if worst is None else f"{worst['column'] or '(dataset)'}: {worst['message']}"
    return each.address, each.passed, each.status, each.checked_at, len(each.findings), shown, ", ".join(each.told)
