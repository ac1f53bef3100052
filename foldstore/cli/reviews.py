"""The verbs on what publishing needs: gate, and review for versions that wait for a person."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldstore.cli.output import Format, FormatOption, StoreOption, print_mapping, print_rows, say

if TYPE_CHECKING:
    from foldstore.review import Review

_HERE = "."

gate_app = typer.Typer(no_args_is_help=True, help="What a dataset's versions need to be published.")
review_app = typer.Typer(
    no_args_is_help=True, help="Versions that did not pass: look, release, reject, ask again later."
)

_Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; it is kept.")]
_Version = Annotated[str, typer.Argument(help="The version, such as flights@3.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.add_typer(gate_app, name="gate")
    app.add_typer(review_app, name="review")


@gate_app.command("show")
def show_gate(
    dataset: Annotated[str, typer.Argument(help="The dataset.")],
    store: StoreOption = _HERE,
    output: FormatOption = Format.TABLE,
) -> None:
    """Print what publishing needs: the newest schema, the policy."""
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        found = opened.dataset(dataset)
        schema, policy = found.schema, found.gate
        limits = policy.limits
        print_mapping(
            {
                "schema": schema.version if schema else "none",
                "fail_on": policy.fail_on,
                "review": policy.review,
                "drift": policy.drift or "none",
                "metric": limits.metric,
                "tau_warn": limits.tau_warn,
                "tau_error": limits.tau_error,
            },
            output,
        )


@gate_app.command("set")
def set_gate(
    dataset: Annotated[str, typer.Argument(help="The dataset.")],
    store: StoreOption = _HERE,
    fail_on: Annotated[str, typer.Option(help="The least severity that quarantines: error or warn.")] = "error",
    review: Annotated[bool, typer.Option("--review", help="A person releases every version.")] = False,
    drift: Annotated[
        str | None, typer.Option(help="Compare new rows with previous, rolling(5) or seasonal(12).")
    ] = None,
    metric: Annotated[str, typer.Option(help="js, psi, hellinger, tvd, l_inf, ks or wasserstein.")] = "js",
    warn: Annotated[float, typer.Option(help="The least change from the window that is noted.")] = 0.10,
    error: Annotated[float, typer.Option(help="The least change from the window that fails.")] = 0.20,
    environment: Annotated[
        str | None, typer.Option(help="Where the rows are from, such as serving: only its columns are asked for.")
    ] = None,
    message: Annotated[str, typer.Option("--message", "-m", help="Why.")] = "",
) -> None:
    """Set what publishing needs, beside the schema; what is not given is the default.

    Example: foldstore gate set flights --drift "rolling(5)" --fail-on warn
    """
    import foldstore
    from foldstore.validation.column_bounds import DriftPolicy

    limits = DriftPolicy(metric=metric, tau_warn=warn, tau_error=max(warn, error))
    choices: dict[str, Any] = {"fail_on": fail_on, "review": review, "drift": drift, "limits": limits}
    choices["environment"] = environment
    policy = foldstore.GatePolicy(**choices)
    with foldstore.connect(store, create=False) as opened:
        opened.dataset(dataset).set_gate(policy, message=message)
    say(f"{dataset}: {policy.to_dict() or 'the default policy'} decides what is published.")


@review_app.command("list")
@review_app.command("ls", hidden=True)
def list_queue(
    dataset: Annotated[str | None, typer.Argument(help="Only this dataset.")] = None,
    store: StoreOption = _HERE,
    every: Annotated[bool, typer.Option("--all", help="Also what is postponed or decided.")] = False,
    output: FormatOption = Format.TABLE,
) -> None:
    """List the versions that wait for a person, the oldest first."""
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        found = opened.dataset(dataset).reviews(every=every) if dataset else opened.reviews(every=every)
    heads = ("version", "state", "since", "author", "rows", "why", "decided by", "reason", "released as")
    print_rows(heads, [_row(each) for each in found], output)
    if not found and output is Format.TABLE:
        say("Nothing waits for a review.")


@review_app.command("show")
def show(version: _Version, store: StoreOption = _HERE, output: FormatOption = Format.TABLE) -> None:
    """Print one review; foldstore validate shows the whole report."""
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        found = opened.version(version)
        print_mapping(
            found.review.to_dict() if found.review else {"version": version, "state": str(found.status)}, output
        )


@review_app.command()
def release(version: _Version, reason: _Reason, store: StoreOption = _HERE) -> None:
    """Publish what a quarantined version changed, as a new version.

    Example: foldstore review release flights@3 -r "The strike was real."
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        made = opened.version(version).release(reason)
        say(f"Released {version} as {made.address}: {made.status}")


@review_app.command()
def reject(version: _Version, reason: _Reason, store: StoreOption = _HERE) -> None:
    """Write down that a version will not be published."""
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        opened.version(version).reject(reason)
        say(f"Rejected {version}; it stays quarantined.")


@review_app.command()
def later(
    version: _Version,
    until: Annotated[str, typer.Argument(help="A length of time (3d) or an instant.")],
    store: StoreOption = _HERE,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; it is kept.")] = "",
) -> None:
    """Take a version out of the queue until a time.

    Example: foldstore review later flights@3 3d
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        say(f"{version} waits again from {opened.version(version).postpone(until, reason)} on.")


def _row(each: "Review") -> tuple[Any, ...]:
    why = each.reasons[0] if each.reasons else ""
    more = f" (and {len(each.reasons) - 1} more)" if len(each.reasons) > 1 else ""
    return (
        each.address,
        str(each.state),
        each.since,
        each.author,
        each.rows,
        why + more,
        each.decided_by,
        each.reason,
        each.released_as,
    )
