"""The verbs that ask a test pool: pool features, draw, rows-to-label, evaluate, promote."""

from pathlib import Path
from typing import Annotated, Any

import typer

from foldstore.cli.output import Format, FormatOption, StoreOption, print_mapping, print_rows, say
from foldstore.cli.pool_files import check_target, read_table, write_parquet
from foldstore.cli.pools import pool_app
from foldstore.errors import RefusedError, UsageError

_HERE = "."

PoolArgument = Annotated[str, typer.Argument(help="The pool.")]
DrawOption = Annotated[int | None, typer.Option("--draw", help="The number of a draw: its rows alone.")]


def register(_app: typer.Typer) -> None:
    """Add the verbs to the command."""
    for verb in (features, draw, rows_to_label, evaluate, promote):
        pool_app.command()(verb)


def features(
    name: PoolArgument,
    file: Annotated[Path, typer.Argument(help="Where to write: a .parquet file.")],
    store: StoreOption = _HERE,
    draw: DrawOption = None,
) -> None:
    """Write what a model needs to predict: the pool's rows without hidden columns, in a secret order.

    Example: foldstore pool features late-2013 rows.parquet
    """
    check_target(file)
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        table = opened.pools.get(name).features(draw=draw)
        write_parquet(table, file)
        say(f"Wrote {table.num_rows:,} rows to {file}; predictions are a file with 'pool_row' and 'prediction'.")


def draw(
    name: PoolArgument,
    rows: Annotated[int, typer.Argument(help="How many rows; at least what the plan needs.")],
    file: Annotated[Path | None, typer.Argument(help="Where to write them: a .parquet file.")] = None,
    store: StoreOption = _HERE,
    seed: Annotated[int | None, typer.Option(help="Which rows; random unless given. The ledger keeps it.")] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Draw some of a pool's rows at random; asking them with --draw is charged as any question is.

    Example: foldstore pool draw late-2013 5000 some.parquet
    then: foldstore pool evaluate late-2013 said.parquet --draw 1
    """
    if file is not None:
        check_target(file)
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        pool = opened.pools.get(name)
        drawn = pool.draw(rows, seed=seed)
        if file is not None:
            write_parquet(pool.features(draw=drawn.number), file)
            say(f"Wrote {drawn.rows:,} rows to {file}.")
    print_mapping({"draw": drawn.number, "rows": drawn.rows, "seed": drawn.seed}, output)


def rows_to_label(
    name: PoolArgument,
    predictions: Annotated[Path, typer.Argument(help="A file with 'pool_row' (or the key) and 'prediction'.")],
    store: StoreOption = _HERE,
    draw: DrawOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """List the rows whose labels an answer for predictions would rest on; none is read and nothing is charged.

    Example: foldstore pool rows-to-label late-2013 said.parquet --output csv
    """
    import foldstore

    table = read_table(predictions)
    with foldstore.connect(store, create=False) as opened:
        found = opened.pools.get(name).rows_to_label(table, draw=draw)
    say(f"{found.num_rows:,} of {table.num_rows:,} rows need a label.")
    print_rows(found.column_names, [tuple(row.values()) for row in found.to_pylist()], output)


def evaluate(
    name: PoolArgument,
    predictions: Annotated[Path, typer.Argument(help="A file with 'pool_row' (or the key) and 'prediction'.")],
    store: StoreOption = _HERE,
    model: Annotated[str, typer.Option(help="What the model is, for the ledger.")] = "",
    draw: DrawOption = None,
    junit: Annotated[Path | None, typer.Option(help="Write the answer as JUnit XML, one test case.")] = None,
    commit_status: Annotated[
        Path | None, typer.Option(help="Write the body of a commit status: pass or fail, nothing else.")
    ] = None,
    forge: Annotated[str, typer.Option(help="Whose commit status: github or gitlab.")] = "github",
    output: FormatOption = Format.TABLE,
) -> None:
    """Ask a pool: exit 0 when the model passes, 1 when it fails, 4 when the pool is spent, expired or retired.

    The same predictions again get the same answer, free of charge. Files are written whatever the answer is.

    Example: foldstore pool evaluate late-2013 said.parquet --model git:abc123 --junit pool.xml
    """
    import foldstore
    from foldstore.validation.pools.gate_answer import Answer, Forge, GateAnswer
    from foldstore.validation.reporting.file import save

    if forge not in set(Forge):
        raise UsageError(f"--forge {forge!a} is not a choice.", hint="Write github or gitlab.")
    table = read_table(predictions)
    with foldstore.connect(store, create=False) as opened:
        pool = opened.pools.get(name)
        said: Any
        try:
            said = pool.evaluate(table, model=model, draw=draw)
        except RefusedError as refusal:
            said = refusal
        answer: GateAnswer = GateAnswer.of(pool.status(), said, model=model, rows=table.num_rows)
    for file, text in ((junit, answer.to_junit()), (commit_status, answer.to_commit_status(forge))):
        if file is not None:
            save(text, file)
    if answer.refusal is not None:
        raise answer.refusal
    print_mapping(answer.to_dict(), output)
    if answer.answer is Answer.FAILED:
        raise typer.Exit(1)


def promote(
    name: PoolArgument,
    model: Annotated[str, typer.Argument(help="What --model called a model that passed.")],
    store: StoreOption = _HERE,
) -> None:
    """Let a model that passed be the baseline, o, of every later question.

    Example: foldstore pool promote late-2013 git:abc123
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        say(f"The baseline of {name} is {opened.pools.get(name).promote(model)} now.")
