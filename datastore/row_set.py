"""Some rows of a reader, chosen by masks over fragments: read in order, or gathered by their places in the set."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.deletion import Mask
from foldstore.datastore.manifest import Fragment
from foldstore.datastore.reader import FragmentReader

Places = NDArray[np.int64]
RowIds = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Rows of one fragment: a mask over all rows of its files, or None for those that are live."""

    fragment: Fragment
    chosen: Mask | None = None

    @property
    def num_rows(self) -> int:
        """How many rows."""
        return self.fragment.live_rows if self.chosen is None else int(np.count_nonzero(self.chosen))


class RowSet:
    """Rows of a reader; a row's place is its position in the set.

    Parameters
    ----------
    reader : FragmentReader
        What reads them, and under which columns.
    parts : sequence of Part
        Which rows, by fragment.
    """

    def __init__(self, reader: FragmentReader, parts: Sequence[Part]) -> None:
        self.reader = reader
        self.parts = tuple(part for part in parts if part.num_rows)
        self._whole: dict[int, FragmentReader] = {}

    @property
    def num_rows(self) -> int:
        """How many rows."""
        return sum(part.num_rows for part in self.parts)

    @property
    def has_moved(self) -> bool:
        """Whether a compaction has put some of them into another fragment."""
        return any(part.fragment.moved for part in self.parts)

    def masks(self) -> dict[int, Mask]:
        """Return which rows of its files are in the set, by fragment id."""
        return {part.fragment.id: self._mask(part) for part in self.parts}

    def row_ids(self) -> RowIds:
        """Return the row id of each row, in order."""
        parts = [self._read_whole(part).row_ids()[self._mask(part)] for part in self.parts]
        return np.concatenate([np.empty(0, np.uint64), *parts])

    def where(self, kept: Mask) -> "RowSet":
        """Return the set of some of its rows, by a mask over the set."""
        parts, start = [], 0
        for part in self.parts:
            chosen = self._mask(part).copy()
            end = start + part.num_rows
            chosen[chosen] = kept[start:end]
            parts.append(Part(part.fragment, chosen))
            start = end
        return RowSet(self.reader, parts)

    def without(self, places: Places) -> "RowSet":
        """Return the set without the rows at some places."""
        if not len(places):
            return self
        kept = np.ones(self.num_rows, np.bool_)
        kept[places] = False
        return self.where(kept)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order."""
        for part in self.parts:
            mask = self._mask(part)
            if mask.all():
                yield from self._read_whole(part).batches(columns)
            else:
                yield from self._read_whole(part).batches_at(np.flatnonzero(mask), columns)

    def to_table(self, columns: Sequence[str] | None = None, limit: int | None = None) -> pa.Table:
        """Return the first rows as a table, all unless limited."""
        taken, rows = [], 0
        for batch in self.batches(columns):
            if limit is not None and rows >= limit:
                break
            taken.append(batch if limit is None else batch.slice(0, limit - rows))
            rows += taken[-1].num_rows
        return pa.Table.from_batches(taken, self.reader.project(columns))

    def take(self, places: Places, columns: Sequence[str]) -> pa.Table:
        """Return the rows at some places, in that order."""
        order = np.argsort(places, kind="stable")
        wanted, start = places[order], 0
        batches: list[pa.RecordBatch] = []
        for part in self.parts:
            first, last = np.searchsorted(wanted, [start, start + part.num_rows])
            if first < last:
                batches += self._gather(part, wanted[first:last] - start, columns)
            start += part.num_rows
        table = pa.Table.from_batches(batches, self.reader.project(columns)).combine_chunks()
        if np.array_equal(wanted, places):
            return table
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return table.take(pa.array(back))

    def _gather(self, part: Part, places: Places, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        return self._read_whole(part).batches_at(np.flatnonzero(self._mask(part))[places], columns)

    def _mask(self, part: Part) -> Mask:
        return self.reader.live(part.fragment) if part.chosen is None else part.chosen

    def _read_whole(self, part: Part) -> FragmentReader:
        """Return a reader of all rows of a fragment's files: masks count those."""
        found = self._whole.get(part.fragment.id)
        if found is None:
            found = self.reader.restricted([replace(part.fragment, deleted=None)])
            self._whole[part.fragment.id] = found
        return found
