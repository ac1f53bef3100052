"""The verbs on test pools before they are asked: pool plan, seal, ls, status."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foldstore.cli.output import Format, FormatOption, StoreOption, print_json, print_mapping, print_rows, say
from foldstore.cli.plan_tables import CrossOption, PlotOption, VaryOption, show_plans
from foldstore.cli.pool_files import read_part, read_table
from foldstore.errors import UsageError

if TYPE_CHECKING:
    from foldstore.validation.pools.plan import PoolPlan

_HERE = "."

Condition = Annotated[str, typer.Option("--condition", "-c", help=r"E.g. 'n - o > 0 +/- 0.01 /\ d < 0.12 +/- 0.01'.")]
Reliability = Annotated[float, typer.Option(help="How sure every answer together is to be right.")]
Steps = Annotated[int, typer.Option(help="How often it may be asked.")]
Reuse = Annotated[str, typer.Option(help="none, full, first_change, max_passes:K or universal.")]

pool_app = typer.Typer(
    no_args_is_help=True, help="Test pools: sealed rows that answer pass or fail, a limited number of times."
)


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.add_typer(pool_app, name="pool")


@pool_app.command()
def plan(
    condition: Annotated[str, typer.Argument(help=r"E.g. 'n - o > 0 +/- 0.01 /\ d < 0.12 +/- 0.01'.")] = "",
    reliability: Reliability = 0.999,
    steps: Steps = 32,
    reuse: Reuse = "full",
    script: Annotated[Path | None, typer.Option(help="Read an ease.ml/ci script, in place of a condition.")] = None,
    method: Annotated[str, typer.Option(help="exact, betting, hoeffding or bennett.")] = "exact",
    prevalence: Annotated[
        float | None, typer.Option(help="Which share of the rows is of the class or slice that is asked about.")
    ] = None,
    table: Annotated[bool, typer.Option("--table", help="Plans beside it, by every method.")] = False,
    plot: PlotOption = None,
    vary: VaryOption = None,
    cross: CrossOption = False,
    output: FormatOption = Format.TABLE,
) -> None:
    r"""Say how many labels a condition needs; no store is touched.

    Example: foldstore pool plan 'n - o > 0 +/- 0.01' --steps 8 --reuse max_passes:2
    """
    if (script is None) == (not condition):
        raise UsageError("Give a condition or a --script, one of the two.", hint="foldstore pool plan --help")
    made = _plan(condition, reliability, steps, reuse, method) if script is None else _read_script(script, method)
    made = made if prevalence is None else made.at_prevalence(prevalence)
    if table or plot is not None or vary or cross:
        show_plans(made, vary or [], plot, output, cross=cross)
    elif output in (Format.JSON, Format.JSONL):
        print_json(made.to_dict())
    else:
        typer.echo(made.explain())


@pool_app.command()
def seal(
    name: Annotated[str, typer.Argument(help="The new pool's name.")],
    part: Annotated[str, typer.Argument(help="The rows: flights@13#by_month.test.")],
    label: Annotated[str, typer.Option(help="The column that is predicted.")],
    condition: Condition,
    store: StoreOption = _HERE,
    hide: Annotated[list[str] | None, typer.Option(help="A column that gives the label away; repeatable.")] = None,
    reliability: Reliability = 0.999,
    steps: Steps = 32,
    reuse: Reuse = "full",
    method: Annotated[str, typer.Option(help="exact, or betting: answers stop at the first clear row.")] = "exact",
    uses: Annotated[
        int | None, typer.Option(help="Count uses alone, then a new test set: no tolerances, nothing promised.")
    ] = None,
    baseline: Annotated[Path | None, typer.Option(help="A file with the key columns and 'prediction'.")] = None,
    outcomes_feed_features: Annotated[
        bool, typer.Option(help="Features may be computed from sealed outcomes.")
    ] = False,
    expires: Annotated[str | None, typer.Option(help="When it stops answering: 2030-01-31.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: the cells are moved out of every version.")] = False,
) -> None:
    """Seal rows as a test pool: hidden cells read as null from now on, in every version, for everyone.

    Example: foldstore pool seal late-2013 flights@13#by_month.test --label late --hide arr_delay -c 'n > 0.8 +/- 0.02'
    """
    import foldstore

    if not yes and not sys.stdin.isatty():
        raise UsageError("Sealing is for good, and there is no terminal to ask on: give --yes.", hint="Add --yes.")
    split, role = read_part(part)
    made = _plan(condition, reliability, steps, reuse, method) if uses is None else _meter(condition, uses)
    with foldstore.connect(store, create=False) as opened:
        rows = opened.split(split).part(role)
        hidden = ", ".join([label, *(hide or [])])
        if not yes:
            typer.confirm(
                f"Move {hidden} of {rows.num_rows:,} rows out of every version, for good?", abort=True, err=True
            )
        sealed = opened.pools.seal(
            name,
            rows,
            label=label,
            hide=hide or [],
            plan=made,
            baseline=None if baseline is None else read_table(baseline),
            outcomes_feed_features=outcomes_feed_features,
            expires=expires,
        )
        say(f"Sealed {sealed!r}; hidden: {', '.join(sealed.hidden)}.")


@pool_app.command()
def key(file: Annotated[Path, typer.Argument(help="A file that is not there yet.")]) -> None:
    """Make a key that sealed labels are enciphered with; keep it where the server alone can read it.

    A store that is opened with FOLDSTORE_SEAL_KEY_FILE=FILE enciphers what it seals. Without the key that is lost.

    Example: foldstore pool key /etc/foldstore/seal.key
    """
    from foldstore.datastore.seal_cipher import make_key_file

    make_key_file(file)
    say(f"Made a key in {file}: set FOLDSTORE_SEAL_KEY_FILE to it where pools are sealed and asked.")


@pool_app.command()
def ls(store: StoreOption = _HERE, output: FormatOption = Format.TABLE) -> None:
    """List the pools and what they have left."""
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        rows = []
        for pool in opened.pools.list_pools():
            left = pool.status()
            rows.append(
                (
                    pool.name,
                    pool.record.dataset.name,
                    str(left.state),
                    left.num_rows,
                    left.steps_used,
                    left.steps_left,
                    left.passes_left,
                )
            )
        print_rows(["pool", "dataset", "state", "rows", "steps used", "steps left", "passes left"], rows, output)


@pool_app.command()
def status(
    name: Annotated[str, typer.Argument(help="The pool.")],
    store: StoreOption = _HERE,
    output: FormatOption = Format.TABLE,
) -> None:
    """Say where a pool stands and what it has left; never an accuracy.

    Example: foldstore pool status late-2013
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        found = opened.pools.get(name).status()
    facts = found.to_dict()
    if output in (Format.TABLE, Format.CSV):
        plan = facts.pop("plan")
        facts |= {key: plan[key] for key in ("condition", "steps", "reuse", "mode")}
        facts["reliability"] = float(found.plan.reliability)
    print_mapping(facts, output)


def _meter(condition: str, uses: int) -> "PoolPlan":
    from foldstore.validation.pools.meter import meter_pool

    return meter_pool(condition, uses=uses)


def _read_script(file: Path, method: str) -> "PoolPlan":
    from foldstore.validation.pools.script import CiScript

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}.", hint="Name a text file.") from error
    return CiScript.read(text).plan(method)


def _plan(condition: str, reliability: float, steps: int, reuse: str, method: str) -> "PoolPlan":
    from foldstore.validation.pools.plan import plan_pool

    if method not in ("exact", "betting", "hoeffding", "bennett"):
        raise UsageError(f"--method {method!r} is not a choice.", hint="Write exact, betting, hoeffding or bennett.")
    return plan_pool(condition, reliability=reliability, steps=steps, reuse=reuse, method=method)
