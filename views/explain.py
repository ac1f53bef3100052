"""What reading a view costs, said before it is read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from foldstore.views.combination import Blend, Inputs, Pinned
from foldstore.views.cost import Flow, Part
from foldstore.views.display import shorten
from foldstore.views.rows.chain_rows import find_comparisons
from foldstore.views.source import Source
from foldstore.views.steps.order import AnyStep, OrderStep
from foldstore.views.steps.step import Effect, prune


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is read for a view, which parts of it are zero-copy, and how much the others copy and hold at most.

    Attributes
    ----------
    address : str
        The version that is read, or the versions.
    parts : tuple of Part
        What is read, then the steps in their order.
    rows : int or None
        How many rows the view has at most; None where that depends on the lengths of lists, or there is no end.
    """

    address: str
    parts: tuple[Part, ...]
    rows: int | None

    @property
    def zero_copy(self) -> bool:
        """Whether reading the view as Arrow copies nothing at all."""
        return all(part.zero_copy for part in self.parts)

    @property
    def read_bytes(self) -> int:
        """The most that is read of files."""
        return sum(part.read_bytes for part in self.parts)

    @property
    def copied_bytes(self) -> int | None:
        """The most that is copied over the whole view; None when a part's size depends on values."""
        sizes = [part.copied_bytes for part in self.parts]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def held_bytes(self) -> int | None:
        """The most that is kept in memory while the view is read: orders and choices of rows; None when it is open."""
        sizes = [part.held_bytes for part in self.parts]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def __str__(self) -> str:
        lines = [f"View of {shorten(self.address, 100)}"]
        lines += [
            f"  {'  ' * part.level}{part.name:<9} {shorten(part.detail, 96):<72} {_cost(part)}" for part in self.parts
        ]
        most = "Rows without a known bound" if self.rows is None else f"At most {self.rows:,} rows"
        lines.append(f"{most}, of at most {format_bytes(self.read_bytes)} that are read.")
        if self.zero_copy:
            lines.append("Zero-copy: Arrow reads the memory-mapped files themselves.")
        else:
            total = self.copied_bytes
            bound = "an amount that depends on values" if total is None else f"at most {format_bytes(total)}"
            lines.append(f"Copies {bound} in all; streamed with to_batches(), a batch or a buffer at a time.")
        if self.held_bytes != 0:
            held = "what depends on values" if self.held_bytes is None else f"at most {format_bytes(self.held_bytes)}"
            lines.append(f"Holds {held} to know which row comes when.")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def explain_view(inputs: Inputs, steps: Sequence[AnyStep], names: Sequence[str]) -> Explanation:
    """Estimate from schemas, numbers of rows, sizes of mapped buffers and zones of files; no value is read.

    Parameters
    ----------
    inputs : Inputs
        What is read.
    steps : sequence of AnyStep
        The steps as written.
    names : sequence of str
        The columns that are wanted in the end.
    """
    parts, flow = _explain(inputs, steps, names, 0)
    return Explanation(inputs.shown, tuple(parts), flow.rows)


def _explain(inputs: Inputs, steps: Sequence[AnyStep], names: Sequence[str], level: int) -> tuple[list[Part], Flow]:
    used, columns = _prune_all(steps, names, inputs.arrow_schema)
    parts: list[Part] = []
    if isinstance(inputs, Pinned):
        part, flow = _read(inputs.source, columns, used)
        parts.append(replace(part, level=level))
    else:
        flows = []
        for view in inputs.views:
            known = [name for name in columns if name in view.arrow_schema.names] or view.arrow_schema.names[:1]
            inner, flow = _explain(view.inputs, view.steps, known, level + 1)
            parts += inner
            flows.append(flow)
        part, flow = _combine(inputs, flows)
        parts.append(replace(part, level=level))
    orders = any(isinstance(step, OrderStep) for step in steps)
    for step in used:
        part, after = step.flow(flow)
        if orders and not isinstance(step, OrderStep) and step.effect is not Effect.KEEPS:
            part = replace(part, held_bytes=flow.num_held(1))
        parts.append(replace(part, level=level))
        flow = after
    return parts, flow


def _prune_all(steps: Sequence[AnyStep], wanted: Iterable[str], schema: pa.Schema) -> tuple[list[AnyStep], list[str]]:
    """Drop what no later step reads, also across steps that order rows; return the columns to read."""
    used: list[AnyStep] = []
    needed = list(wanted)
    index = len(steps)
    while index:
        step = steps[index - 1]
        if isinstance(step, OrderStep):
            before = steps[index - 2].arrow_schema if index > 1 else schema
            needed = [name for name in before.names if name in {*needed, *step.own_columns}] or before.names[:1]
            used.insert(0, step)
            index -= 1
            continue
        first = index
        while first and not isinstance(steps[first - 1], OrderStep):
            first -= 1
        before = steps[first - 1].arrow_schema if first else schema
        chain, needed = prune([each for each in steps[first:index] if not isinstance(each, OrderStep)], needed, before)
        used[:0] = chain
        index = first
    return used, needed


def _read(source: Source, columns: Sequence[str], used: Sequence[AnyStep]) -> tuple[Part, Flow]:
    rows, sizes = source.num_rows, source.column_sizes(columns)
    widths: dict[str, float | None] = {name: sizes[name] / rows if rows else 0.0 for name in columns}
    # A source without files has no tier.
    decoded = int(getattr(source, "cold_bytes", 0))
    how = "decoded from the cold tier" if decoded else "memory-mapped"
    detail = f"{source.address}: {rows:,} rows, {len(columns)} of {len(source.arrow_schema.names)} columns, {how}"
    chain = [step for step in used if not isinstance(step, OrderStep)]
    comparisons = find_comparisons(chain) if used and used[0] in chain else []
    read = sum(sizes.values())
    if comparisons:
        finder = source.find_rows()
        likely = finder.likely(comparisons)
        if len(likely) < finder.num_batches:
            detail += f"; zones leave {len(likely):,} of {finder.num_batches:,} record batches"
            left = finder.count_rows(likely)
            read, rows = read * left // max(1, rows), left
    return Part("source", detail, decoded, read_bytes=read), Flow(rows, widths)


def _combine(inputs: Inputs, flows: Sequence[Flow]) -> tuple[Part, Flow]:
    widths = {name: width for flow in flows for name, width in flow.widths.items()}
    if isinstance(inputs, Blend):
        sizes = [flow.rows for flow in flows]
        open_rows = inputs.rows if isinstance(inputs.rows, int) else None
        rows = open_rows if None in sizes else sum(inputs.count([size or 0 for size in sizes]))
        shown = ", ".join(f"{float(weight):.3g}" for weight in inputs.weights)
        after = Flow(rows, widths)
        return Part("blend", f"{len(flows)} views, weights {shown}, rows {inputs.rows}", after.num_bytes()), after
    return Part("union", f"{len(flows)} views, one after the other", 0), Flow(_add(f.rows for f in flows), widths)


def _add(rows: Iterable[int | None]) -> int | None:
    known = list(rows)
    return None if None in known else sum(each or 0 for each in known)


def _cost(part: Part) -> str:
    if part.copied_bytes is None:
        return "copies; how much depends on the values"
    verbs = {"where": "copies the rows that pass: at most", "source": "decodes", "select": "computes"}
    verb = verbs.get(part.name, "copies at most")
    return "zero-copy" if part.zero_copy else f"{verb} {format_bytes(part.copied_bytes)}"


def format_bytes(size: int) -> str:
    """Write a number of bytes for people.

    Examples
    --------
    >>> format_bytes(8_100_000)
    '8.1 MB'
    """
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"
