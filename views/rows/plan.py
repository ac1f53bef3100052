"""From what a view reads and its steps to what produces its rows."""

from collections.abc import Sequence

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
        rows = _order(engine, ChainRows(engine, rows, chain) if chain else rows, step)
        chain = []
    return ChainRows(engine, rows, chain) if chain else rows


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
    """Shuffle below what only shapes rows; of what is ordered already, the order is replaced."""
    match rows:
        case ChainRows(keeps_rows=True):
            return ChainRows(engine, _shuffle(engine, rows.before, step), rows.steps)
        case BlendRows():
            return rows.shuffled(step.seed, step.buffer_rows, step.blocks)
        case SequenceRows():
            return rows.shuffled(step.seed)
    how = {"seed": step.seed, "buffer_rows": step.buffer_rows, "blocks": step.blocks}
    return BlendRows(engine, [rows], None, rows.arrow_schema, **how)
