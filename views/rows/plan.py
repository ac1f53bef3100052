"""From what a view reads and its steps to what produces its rows."""

from collections.abc import Sequence
from itertools import takewhile

from foldstore.datastore.engine import Engine
from foldstore.views.combination import Blend, Inputs, Pinned, Union
from foldstore.views.rows.chain_rows import ChainRows
from foldstore.views.rows.ordered_rows import sample_rows, sort_rows
from foldstore.views.rows.repeated_rows import RepeatedRows
from foldstore.views.rows.rows import Rows
from foldstore.views.rows.sequences import SequenceRows
from foldstore.views.rows.shuffled_rows import BlendRows
from foldstore.views.rows.source_rows import SourceRows
from foldstore.views.rows.union_rows import UnionRows
from foldstore.views.steps.limit import Limit
from foldstore.views.steps.order import AnyStep, OrderBy, OrderStep, Repeat, Sample, Sequences, Shuffle
from foldstore.views.steps.step import StreamStep


def plan_rows(engine: Engine, inputs: Inputs, steps: Sequence[AnyStep]) -> Rows:
    """Return what produces the rows of a view; nothing is read.

    Steps that go row by row run together, up to a step that orders rows.
    """
    rows = _plan_inputs(engine, inputs)
    chain: list[StreamStep] = []
    for step in steps:
        if not isinstance(step, OrderStep):
            chain.append(step)
            continue
        rows = _order(engine, _chain(engine, rows, chain), step)
        chain = []
    return _chain(engine, rows, chain)


def _chain(engine: Engine, rows: Rows, steps: Sequence[StreamStep]) -> Rows:
    """Take steps row by row; below a repetition, as far as they do the same in each turn."""
    if not steps:
        return rows
    if not isinstance(rows, RepeatedRows):
        return ChainRows(engine, rows, steps)
    each = list(takewhile(lambda step: not isinstance(step, Limit), steps))
    repeated = RepeatedRows(_chain(engine, rows.before, each), rows.turns)
    return ChainRows(engine, repeated, steps[len(each) :]) if len(each) < len(steps) else repeated


def _plan_inputs(engine: Engine, inputs: Inputs) -> Rows:
    match inputs:
        case Pinned(source=source):
            return SourceRows(source)
        case Union():
            return UnionRows([view.rows for view in inputs.views], inputs.arrow_schema)
        case Blend():
            return BlendRows(engine, [view.rows for view in inputs.views], inputs.count, inputs.arrow_schema)


def _order(engine: Engine, rows: Rows, step: OrderStep) -> Rows:
    match step:
        case Sample():
            return sample_rows(rows, step)
        case OrderBy():
            return sort_rows(rows, step)
        case Sequences():
            return SequenceRows(rows, step)
        case Repeat():
            return RepeatedRows(rows, step.epochs)
        case Shuffle():
            return _shuffle(engine, rows, step)


def _shuffle(engine: Engine, rows: Rows, step: Shuffle) -> Rows:
    """Shuffle below what only shapes rows, and sequences below conditions too, so that they stay whole.

    Of what is ordered already, the order is replaced.
    """
    match rows:
        case ChainRows(keeps_rows=True):
            return ChainRows(engine, _shuffle(engine, rows.before, step), rows.steps)
        case ChainRows(before=SequenceRows()) if not any(isinstance(step, Limit) for step in rows.steps):
            return ChainRows(engine, _shuffle(engine, rows.before, step), rows.steps)
        case BlendRows():
            return rows.shuffled(step.seed, step.buffer_rows, step.blocks)
        case SequenceRows():
            return rows.shuffled(step.seed)
    how = {"seed": step.seed, "buffer_rows": step.buffer_rows, "blocks": step.blocks}
    return BlendRows(engine, [rows], None, rows.arrow_schema, **how)
