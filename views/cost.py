"""What parts of a view cost: rows and widths as they flow from step to step, and what each step copies."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of a view does with memory.

    Attributes
    ----------
    name, detail : str
        The step, and what it says.
    copied_bytes : int or None
        The most it copies over the whole view; 0 where it copies nothing, None where that depends on values.
    held_bytes : int or None
        What it keeps in memory while the view is read, such as the order of rows, at most; None where that depends on
        values.
    read_bytes : int
        What it reads of files, at most.
    level : int
        How deep it lies among views of views.
    """

    name: str
    detail: str
    copied_bytes: int | None
    held_bytes: int | None = 0
    read_bytes: int = 0
    level: int = 0

    @property
    def zero_copy(self) -> bool:
        """Whether it copies nothing."""
        return self.copied_bytes == 0


@dataclass(frozen=True, slots=True)
class Flow:
    """What reaches a step.

    Attributes
    ----------
    rows : int or None
        How many rows at most; None where that depends on values, or there is no end.
    widths : mapping of str to float or None
        How many bytes a row of each column takes, None where that depends on values.
    """

    rows: int | None
    widths: Mapping[str, float | None]

    def num_bytes(self, columns: Iterable[str] | None = None) -> int | None:
        """Return how many bytes columns (all unless given) take at most; None where that depends on values."""
        widths = [self.widths[name] for name in (self.widths if columns is None else columns) if name in self.widths]
        if None in widths or self.rows is None:
            return None
        return round(sum(width for width in widths if width is not None) * self.rows)

    def num_held(self, row_bits: int) -> int | None:
        """Return how many bytes so many bits for each row take at most; None where the rows depend on values."""
        return None if self.rows is None else self.rows * row_bits // 8


def type_width(kind: pa.DataType) -> float | None:
    """Return the bytes that a value of a type takes, its validity bit included; None for texts and lists.

    Examples
    --------
    >>> type_width(pa.int64())
    8.125
    """
    try:
        return float(kind.bit_width) / 8 + 0.125
    except ValueError:
        return None
