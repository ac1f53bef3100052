"""Rows of a feature table by ranges of the hash of their key: what is too much for memory waits on the disk.

All rows of a key are in one range, in the order in which they came; ranges follow one another as their hashes do. A
range that is still too much is cut again, so that what is held at once does not grow with the table. The rows of one
key are not cut.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.views.online.put_aside import AsideFile

_BITS: Final = 6  # of the hash, for each cut
_RANGES: Final = 2**_BITS
_WORD: Final = 64
_ROWS_AT_ONCE: Final = 65_536

Hasher = Callable[[pa.Table], NDArray[np.uint64]]
Weigh = Callable[[pa.Table], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutting:
    """How rows are cut.

    Attributes
    ----------
    hash_rows : callable
        The hash of each row's key.
    weigh : callable
        How much memory the work on rows takes.
    memory : int
        How much of that is taken at once.
    folder : pathlib.Path
        Where rows wait.
    """

    hash_rows: Hasher
    weigh: Weigh
    memory: int
    folder: Path


def gather(batches: Iterable[pa.RecordBatch], cutting: Cutting) -> tuple[list[pa.RecordBatch], bool]:
    """Take rows until they are too much; return them, and whether these are all."""
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        held.append(batch)
        size += cutting.weigh(pa.Table.from_batches([batch]))
        if size > cutting.memory:
            return held, False
    return held, True


def put_aside(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, cutting: Cutting, stack: ExitStack, level: int = 0
) -> list[AsideFile]:
    """Write each range's rows into a file of its own; `stack` closes them."""
    ranges = [stack.enter_context(AsideFile(cutting.folder, schema)) for _ in range(_RANGES)]
    shift = np.uint64(_WORD - _BITS * (level + 1))
    for rows in _in_lots(batches, schema):
        numbers = (cutting.hash_rows(rows) >> shift) & np.uint64(_RANGES - 1)
        order = np.argsort(numbers, kind="stable")
        sorted_rows = rows.take(pa.array(order))
        ends = np.cumsum(np.bincount(numbers.astype(np.int64), minlength=_RANGES)).tolist()
        for number, end in enumerate(ends):
            start = ends[number - 1] if number else 0
            own = sorted_rows.slice(start, end - start)
            ranges[number].write(own, cutting.weigh(own) if own.num_rows else 0)
    return ranges


def read_ranges(ranges: Iterable[AsideFile], cutting: Cutting, level: int = 0) -> Iterator[pa.Table]:
    """Yield the rows of files by ranges of hashes, so that each is little enough."""
    for file in ranges:
        last = _BITS * (level + 2) > _WORD
        if file.size <= cutting.memory or last:
            if file.num_rows:
                yield file.read()
            continue
        with ExitStack() as stack:
            finer = put_aside(file.batches(), file.schema, cutting, stack, level + 1)
            if any(each.num_rows == file.num_rows for each in finer) and level:  # of one key, most likely
                yield file.read()
            else:
                yield from read_ranges(finer, cutting, level + 1)


def batches_of(ranges: Iterable[AsideFile]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of files, one file after the other."""
    return chain.from_iterable(each.batches() for each in ranges)


def _in_lots(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield rows in tables of neither few nor many."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
            held.append(batch.slice(start, _ROWS_AT_ONCE))
            count += held[-1].num_rows
            if count >= _ROWS_AT_ONCE:
                yield pa.Table.from_batches(held, schema)
                held, count = [], 0
    if held:
        yield pa.Table.from_batches(held, schema)
