"""Shards: which batches of a stream of rows belong to which process."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.errors import UsageError


@dataclass(frozen=True, slots=True)
class Shard:
    """The batches of one reader among several.

    Rows are dealt out in batches, one batch to each reader in turn. So what has been read by all together is told by
    one number of rows, whoever many readers there are afterwards.

    Attributes
    ----------
    batch_rows : int
        How many rows a batch has.
    rank, world_size : int
        Which reader it is, and how many there are.
    start : int
        The row of the stream with which the first batch begins.
    """

    batch_rows: int
    rank: int
    world_size: int
    start: int = 0

    def owned(self, first: int, count: int) -> NDArray[np.bool_]:
        """Return which of a run of rows belong to the reader."""
        batch = (np.arange(first, first + count) - self.start) // self.batch_rows
        return np.asarray(batch % self.world_size == self.rank)

    def runs(self, first: int, count: int) -> Iterator[tuple[int, int]]:
        """Yield (begin, end) of the rows that belong to the reader, counted from the first of a run of rows."""
        round_rows = self.batch_rows * self.world_size
        begin = self.start + (first - self.start) // round_rows * round_rows + self.rank * self.batch_rows
        while begin < first + count:
            if begin + self.batch_rows > first:
                yield max(begin, first) - first, min(begin + self.batch_rows, first + count) - first
            begin += round_rows

    def pick(self, batches: Iterator[pa.RecordBatch], first: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a stream that belong to the reader; the stream begins with a row."""
        if self.world_size == 1:
            yield from batches
            return
        for batch in batches:
            for begin, end in self.runs(first, batch.num_rows):
                yield batch.slice(begin, end - begin)
            first += batch.num_rows


def check_rank(rank: object, world_size: object) -> tuple[int, int]:
    """Return which reader of how many it is.

    Raises
    ------
    UsageError
        When that is impossible.
    """
    numbers = [each for each in (rank, world_size) if isinstance(each, int) and not isinstance(each, bool)]
    if len(numbers) < 2 or not 0 <= numbers[0] < numbers[1]:
        raise UsageError(
            f"rank={ascii(rank)[:20]} of world_size={ascii(world_size)[:20]} is no reader.",
            hint="Ranks begin with 0: rank=0, world_size=1.",
        )
    return numbers[0], numbers[1]


def cut_batches(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a stream in runs of a multiple of so many rows; only the last may have less.

    What lies together stays together: a run is copied only where it is put together of two.
    """
    waiting: list[pa.RecordBatch] = []
    held = 0
    for batch in batches:
        if held:
            needed = min(rows - held, batch.num_rows)
            waiting.append(batch.slice(0, needed))
            held += needed
            batch = batch.slice(needed)  # noqa: PLW2901  # what is left of it
            if held < rows:
                continue
            yield _join(waiting)
            waiting, held = [], 0
        whole = batch.num_rows // rows * rows
        if whole:
            yield batch.slice(0, whole)
        if whole < batch.num_rows:
            waiting, held = [batch.slice(whole)], batch.num_rows - whole
    if held:
        yield _join(waiting)


def _join(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    columns = [pa.concat_arrays([b.column(place) for b in batches]) for place in range(batches[0].num_columns)]
    return pa.RecordBatch.from_arrays(columns, schema=batches[0].schema)
