"""What reading a view costs, said before it is read."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from foldstore.views.display import shorten
from foldstore.views.source import Source
from foldstore.views.steps import Limit, Select, Step, Where


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of a view does with memory.

    Attributes
    ----------
    name, detail : str
        The step, and what it says.
    copied_bytes : int or None
        The most it copies over the whole view; 0 where it copies nothing, None where that depends on values.
    """

    name: str
    detail: str
    copied_bytes: int | None

    @property
    def zero_copy(self) -> bool:
        """Whether it copies nothing."""
        return self.copied_bytes == 0


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which parts of a view are zero-copy, and how much the others copy at most.

    Attributes
    ----------
    address : str
        The version that is read.
    parts : tuple of Part
        The source, then the steps in their order.
    """

    address: str
    parts: tuple[Part, ...]

    @property
    def zero_copy(self) -> bool:
        """Whether reading the view as Arrow copies nothing at all."""
        return all(part.zero_copy for part in self.parts)

    @property
    def copied_bytes(self) -> int | None:
        """The most that is copied over the whole view; None when a part's size depends on values."""
        sizes = [part.copied_bytes for part in self.parts]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def __str__(self) -> str:
        lines = [f"View of {self.address}"]
        lines += [f"  {part.name:<7} {shorten(part.detail, 60):<60} {_cost(part)}" for part in self.parts]
        if self.zero_copy:
            lines.append("Zero-copy: Arrow reads the memory-mapped files themselves.")
        else:
            total = self.copied_bytes
            bound = "an amount that depends on values" if total is None else f"at most {format_bytes(total)}"
            lines.append(f"Copies {bound} in all; streamed with to_batches(), one batch at a time.")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def explain_steps(source: Source, steps: Sequence[Step], columns: Sequence[str], used: Sequence[Step]) -> Explanation:
    """Estimate from the schema, the rows and the sizes of the mapped buffers; no value is read.

    Parameters
    ----------
    source : Source
        The version.
    steps, used : sequence of Step
        The steps as written, and the same without what no later step reads.
    columns : sequence of str
        What is read of the source.
    """
    rows = source.num_rows
    sizes = source.column_sizes(columns)
    widths: dict[str, float | None] = {name: sizes[name] / rows if rows else 0.0 for name in columns}
    # A source without files has no tier.
    decoded = int(getattr(source, "cold_bytes", 0))
    how = "decoded from the cold tier" if decoded else "memory-mapped"
    detail = f"{source.num_rows:,} rows, {len(columns)} of {len(source.arrow_schema.names)} columns, {how}"
    parts = [Part("source", detail, decoded)]
    for written, step in zip(steps, used, strict=True):
        if isinstance(step, Where):
            copied = _sized([widths[name] for name in widths if name in step.arrow_schema.names], rows)
            parts.append(Part("where", step.predicate.text, copied))
        elif isinstance(step, Limit):
            rows = min(rows, step.rows)
            parts.append(Part("limit", f"{step.rows:,} rows", 0))
        else:
            computed = {name: _type_width(each.type) for name, each in step.expressions.items()}
            parts.append(Part("select", _selected(written), _sized(list(computed.values()), rows)))
            widths = {**{name: widths[name] for name in step.columns}, **computed}
    return Explanation(source.address, tuple(parts))


def _selected(step: Step) -> str:
    if not isinstance(step, Select):
        raise TypeError(step)
    return ", ".join([*step.columns, *(f"{name} = {each.text}" for name, each in step.expressions.items())])


def _sized(widths: Sequence[float | None], rows: int) -> int | None:
    if None in widths:
        return None
    return round(sum(width for width in widths if width is not None) * rows)


def _type_width(kind: pa.DataType) -> float | None:
    try:
        return float(kind.bit_width) / 8 + 0.125
    except ValueError:
        return None


def _cost(part: Part) -> str:
    if part.copied_bytes is None:
        return "copies; how much depends on the values"
    verbs = {"where": "copies the rows that pass: at most", "source": "decodes"}
    verb = verbs.get(part.name, "computes")
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
