"""What produces rows, and what finds them by rank.

The *rank* of a row is its number in the order in which a stream gives it.
"""

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.errors import UsageError
from foldstore.views.ordering.shard import Shard
from foldstore.views.source import Source

Batches: TypeAlias = Iterator[pa.RecordBatch]
Ranks: TypeAlias = NDArray[np.int64]
RowIds: TypeAlias = NDArray[np.uint64]

BATCH_ROWS = 131_072


class Index(Protocol):
    """Rows that can be reached by rank."""

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns."""

    @property
    def num_rows(self) -> int:
        """How many rows there are."""

    @property
    def num_bytes(self) -> int:
        """How much memory it takes to know where they are."""

    @property
    def sources(self) -> tuple[Source, ...]:
        """The versions and parts that the rows come from."""

    def slices(self, start: int, stop: int, columns: Sequence[str]) -> Batches:
        """Yield the rows of a range of ranks."""

    def take(self, ranks: Ranks, columns: Sequence[str]) -> Batches:
        """Yield rows by rank; ranks ascend, and may be asked for more than once."""

    def origins(self, ranks: Ranks) -> tuple[NDArray[np.int64], Ranks]:
        """Return the number of the source that each row comes from, and its rank there; ranks ascend."""

    def identities(self, start: int, stop: int) -> RowIds:
        """Return a word for each row of a range of ranks, different for different rows.

        A row keeps it where other rows come or go, as far as what it comes from tells rows apart.
        """


class Change(IntEnum):
    """What another epoch changes in rows; each includes what stands before it."""

    NOTHING = 0
    # The same rows come in another order.
    ORDER = 1
    # As many rows come, and some of them are others.
    ROWS = 2
    # Another number of rows comes.
    NUMBER = 3


class Rows(Protocol):
    """The rows of a view, or of a part of it."""

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns."""

    @property
    def is_endless(self) -> bool:
        """Whether the rows never end."""

    @property
    def change(self) -> Change:
        """What another epoch changes."""

    def count(self, epoch: int = 0) -> int:
        """Count the rows of an epoch, by reading what that needs."""

    def stream(self, columns: Sequence[str], *, epoch: int = 0, start: int = 0, shard: Shard | None = None) -> Batches:
        """Yield some columns of the rows of an epoch, from a rank on: all of them, or those of one reader."""

    def index(self, epoch: int = 0) -> Index:
        """Return the index of the rows of an epoch; that of the first is made once. Rows without end have none."""

    def until(self, rows: int, epoch: int = 0) -> "Rows":
        """Return rows that end, and begin with the same so many rows in an epoch; themselves where they end."""


def gather(index: Index, ranks: Ranks, columns: Sequence[str]) -> pa.RecordBatch:
    """Return rows by rank, in the order asked for.

    Each record batch behind them is touched once: they are read in their own order, and then put in the one asked for.
    """
    schema = project(index.arrow_schema, columns)
    if not len(ranks):
        return empty_batch(schema)
    order = np.argsort(ranks, kind="stable")
    read = join_batches(list(index.take(ranks[order], columns)), schema)
    if (order[1:] > order[:-1]).all():
        return read
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return read.take(pa.array(back))


def join_batches(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    """Return batches as one; dictionaries that differ become one dictionary."""
    kept = [batch for batch in batches if batch.num_rows]
    if not kept:
        return empty_batch(schema)
    if len(kept) == 1:
        return kept[0]
    columns = [pa.concat_arrays([batch.column(place) for batch in kept]) for place in range(len(schema))]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def empty_batch(schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch without rows."""
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)


def project(schema: pa.Schema, columns: Sequence[str]) -> pa.Schema:
    """Return the schema of some columns."""
    return pa.schema([schema.field(name) for name in columns])


def stream_index(index: Index, columns: Sequence[str], start: int = 0) -> Batches:
    """Yield the rows of an index from a rank on."""
    for first in range(start, index.num_rows, BATCH_ROWS):
        yield from index.slices(first, min(first + BATCH_ROWS, index.num_rows), columns)


def pick_shard(batches: Batches, shard: Shard | None, start: int) -> Batches:
    """Return those rows of a stream that belong to a reader; the stream begins with a rank."""
    return batches if shard is None else shard.pick(batches, start)


def skip_rows(batches: Batches, count: int) -> Batches:
    """Leave the first rows of a stream out; they are read all the same."""
    for batch in batches:
        if count < batch.num_rows:
            yield batch.slice(count)
        count = max(0, count - batch.num_rows)


class _EndlessViewError(UsageError, TypeError):
    """What Python expects of a length that there is not: list() and progress bars go on without it."""


def endless(what: str) -> UsageError:
    """Build the error for what needs an end."""
    return _EndlessViewError(
        f"The view never ends, so {what}.",
        hint="Cut it with limit(), give repeat() a number of epochs, or read it batch by batch.",
        code="endless-view",
    )
