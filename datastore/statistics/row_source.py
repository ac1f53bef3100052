"""Where rows come from that several columns are looked at together: part by part, in canonical order.

A scan sees columns by their place and not by their name, so that what it found can be kept with a
file whose columns are renamed later.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.memory_size import num_bytes

T = TypeVar("T")
# Wide rows are cut earlier, to hold memory.
_CHUNK_BYTES: Final = 128 << 20

Batches = Iterable[pa.RecordBatch]


@dataclass(frozen=True, slots=True)
class Scan(Generic[T]):
    """What is computed of some columns of a part, and how it is kept.

    Attributes
    ----------
    kind : str
        A name with a version: ``pairs/1``.
    columns : tuple of str
        Which columns; `compute` finds them as ``"0"``, ``"1"`` and so on.
    compute : callable
        From schema and batches.
    encode, decode : callable
        To bytes and back.
    parameters : object
        Plain JSON data that the result also depends on.
    """

    kind: str
    columns: tuple[str, ...]
    compute: Callable[[pa.Schema, Batches], T]
    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]
    parameters: Any = None


class RowSource(Protocol):
    """Rows in parts."""

    @property
    def arrow_schema(self) -> pa.Schema:
        """The columns of the rows."""

    @property
    def parts(self) -> int:
        """How many parts there are."""

    def batches(self, columns: Sequence[str]) -> Batches:
        """Yield some columns of all rows, in order."""

    def scan(self, part: int, scan: Scan[T]) -> T:
        """Return what a scan finds in a part, which may have been kept."""


@dataclass(frozen=True, slots=True)
class StreamedRows:
    """Rows in one part that are read anew for each scan: those of a view or a table.

    Attributes
    ----------
    arrow_schema : pa.Schema
    stream : callable
        Yields batches of the columns that it is given.
    """

    arrow_schema: pa.Schema
    stream: Callable[[Sequence[str]], Batches]
    parts: int = 1

    def batches(self, columns: Sequence[str]) -> Batches:
        """Yield some columns of all rows, in order."""
        return self.stream(columns)

    def scan(self, part: int, scan: Scan[T]) -> T:  # noqa: ARG002  (there is one part)
        """Return what a scan finds."""
        return run_scan(scan, self.arrow_schema, self.stream(scan.columns))


@dataclass(frozen=True, slots=True)
class JoinedRows:
    """The rows of several sources, one after the other; the columns are those of the last.

    Attributes
    ----------
    sources : tuple of RowSource
        At least one.
    """

    sources: tuple[RowSource, ...]

    @property
    def arrow_schema(self) -> pa.Schema:
        """The columns of the rows."""
        return self.sources[-1].arrow_schema

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return sum(each.parts for each in self.sources)

    def batches(self, columns: Sequence[str]) -> Batches:
        """Yield some columns of all rows, in order."""
        for each in self.sources:
            yield from each.batches(columns)

    def scan(self, part: int, scan: Scan[T]) -> T:
        """Return what a scan finds in a part, which may have been kept."""
        for each in self.sources:
            if part < each.parts:
                return each.scan(part, scan)
            part -= each.parts
        raise IndexError(part)


def run_scan(scan: Scan[T], schema: pa.Schema, batches: Batches) -> T:
    """Compute a scan over batches of its columns."""
    fields = [schema.field(name).with_name(str(place)) for place, name in enumerate(scan.columns)]
    return scan.compute(pa.schema(fields), _by_place(batches, pa.schema(fields)))


def _by_place(batches: Batches, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield pa.RecordBatch.from_arrays(batch.columns, names=schema.names)


def cut_rows(schema: pa.Schema, batches: Batches, limit: int) -> Iterator[pa.Table]:
    """Cut a stream into tables of so many rows, wherever its batches end; into smaller ones where rows are wide."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        rest = batch
        while rest.num_rows:
            piece = rest.slice(0, limit - rows)
            rest = rest.slice(piece.num_rows)
            held.append(piece)
            rows += piece.num_rows
            size += num_bytes(piece)
            if rows == limit or size >= _CHUNK_BYTES:
                yield pa.Table.from_batches(held, schema)
                held, rows, size = [], 0, 0
    if held:
        yield pa.Table.from_batches(held, schema)


def take_rows(table: pa.Table, places: NDArray[np.intp]) -> pa.Table:
    """Return some rows of a table; Arrow cannot take views of texts and bytes, which go through their large types."""
    wide = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    schema = table.schema
    if not any(field.type in wide for field in schema):
        return table.take(pa.array(places))
    large = pa.schema([field.with_type(wide.get(field.type, field.type)) for field in schema])
    return table.cast(large).take(pa.array(places)).cast(schema)
