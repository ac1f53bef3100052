"""The verbs on test pools: pool plan, seal, ls, status, features, evaluate."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldstore.cli.output import Format, FormatOption, StoreOption, print_json, print_mapping, print_rows, say
from foldstore.cli.plan_tables import CrossOption, PlotOption, VaryOption, show_plans
from foldstore.errors import UsageError
from foldstore.names import PARTS, parse_address

if TYPE_CHECKING:
    from foldstore.validation.pools.plan import PoolPlan

_HERE = Path()

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
    method: Annotated[str, typer.Option(help="exact, hoeffding or bennett.")] = "exact",
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
    baseline: Annotated[Path | None, typer.Option(help="A file with the key columns and 'prediction'.")] = None,
    outcomes_feed_features: Annotated[
        bool, typer.Option(help="Features may be computed from sealed outcomes.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: the cells are moved out of every version.")] = False,
) -> None:
    """Seal rows as a test pool: hidden cells read as null from now on, in every version, for everyone."""
    import foldstore

    if not yes and not sys.stdin.isatty():
        raise UsageError("Sealing is for good, and there is no terminal to ask on: give --yes.", hint="Add --yes.")
    split, role = _read_part(part)
    made = _plan(condition, reliability, steps, reuse, "exact")
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
            baseline=None if baseline is None else _read_table(baseline),
            outcomes_feed_features=outcomes_feed_features,
        )
        say(f"Sealed {sealed!r}; hidden: {', '.join(sealed.hidden)}.")


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
    """Say what a pool has left; never an accuracy."""
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        print_mapping(opened.pools.get(name).status().to_dict(), output)


@pool_app.command()
def features(
    name: Annotated[str, typer.Argument(help="The pool.")],
    file: Annotated[Path, typer.Argument(help="Where to write: a .parquet file.")],
    store: StoreOption = _HERE,
) -> None:
    """Write what a model needs to predict: the pool's rows without hidden columns, in a secret order."""
    _check_target(file)
    import pyarrow.parquet as pq

    import foldstore

    with foldstore.connect(store, create=False) as opened:
        table = opened.pools.get(name).features()
        try:
            pq.write_table(table, file)
        except OSError as error:
            raise _unwritable(file, error) from None
        say(f"Wrote {table.num_rows:,} rows to {file}; predictions are a file with 'pool_row' and 'prediction'.")


@pool_app.command()
def evaluate(
    name: Annotated[str, typer.Argument(help="The pool.")],
    predictions: Annotated[Path, typer.Argument(help="A file with 'pool_row' (or the key) and 'prediction'.")],
    store: StoreOption = _HERE,
    model: Annotated[str, typer.Option(help="What the model is, for the ledger.")] = "",
    output: FormatOption = Format.TABLE,
) -> None:
    """Ask a pool: exit 0 when the model passes, 1 when it fails, 4 when the pool is spent."""
    import foldstore

    table = _read_table(predictions)
    with foldstore.connect(store, create=False) as opened:
        pool = opened.pools.get(name)
        verdict = pool.evaluate(table, model=model)
        left = pool.status()
    answer = {None: "withheld", True: "passed", False: "failed"}[verdict.passed]
    facts = {"pool": name, "answer": answer, "charged": verdict.charged, "steps_left": left.steps_left}
    print_mapping(facts, output)
    if verdict.passed is False:
        raise typer.Exit(1)


def _read_part(text: str) -> tuple[str, str]:
    """Return the address of a split and the name of its part; both are to be said, for sealing is for good."""
    address = parse_address(text)
    if address.split is None:
        raise UsageError(
            f"{text!r} names no part of a split: the rows to seal are not said.",
            hint=f"Make a split (foldstore split {text} by_month ...), then write {text}#by_month.test.",
        )
    if address.part is None:
        parts = ", ".join(f"{text}.{part}" for part in PARTS)
        raise UsageError(f"{text!r} is a whole split: which part is to be sealed?", hint=f"Write one of {parts}.")
    return str(replace(address, part=None)), address.part


def _check_target(file: Path) -> None:
    """Refuse what cannot become a Parquet file before the pool is asked for anything."""
    if file.suffix.lower() != ".parquet":
        raise UsageError(f"{file} does not end in .parquet.", hint="The rows are written as Parquet: FILE.parquet.")
    try:
        is_folder, has_folder = file.is_dir(), file.parent.is_dir()
    except OSError as error:
        raise _unwritable(file, error) from None
    if is_folder:
        raise UsageError(f"{file} is a folder.", hint="Give the file to write.")
    if not has_folder:
        raise UsageError(f"There is no folder {file.parent}.", hint="Make it first, or choose another.")


def _unwritable(file: Path, error: OSError) -> UsageError:
    return UsageError(f"{file} cannot be written: {error.strerror or error}.", hint="Choose another file.")


def _read_script(file: Path, method: str) -> "PoolPlan":
    from foldstore.validation.pools.script import CiScript

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}.", hint="Name a text file.") from error
    return CiScript.read(text).plan(method)


def _plan(condition: str, reliability: float, steps: int, reuse: str, method: str) -> "PoolPlan":
    from foldstore.validation.pools.plan import plan_pool

    if method not in ("exact", "hoeffding", "bennett"):
        raise UsageError(f"--method {method!r} is not a choice.", hint="Write exact, hoeffding or bennett.")
    return plan_pool(condition, reliability=reliability, steps=steps, reuse=reuse, method=method)


def _read_table(file: Path) -> Any:
    from foldstore.datastore.ingest.source import open_source

    source = open_source(file)
    import pyarrow as pa

    return pa.Table.from_batches(source.batches, source.schema)
