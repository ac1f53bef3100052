"""The directory of a reader's rows: where each lies, so that rows can be read from any place and in any order.

A row's *rank* is its number among the rows that are there: those that were not deleted and that belong to a part,
where the directory is one of a part. Reading touches only the record batches that hold what is asked for.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.comparison import Comparison
from foldstore.datastore.manifest import Fragment
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.selection import Mask, Offsets, Selection, pick_rows

_MOST_KNOWN: Final = 512


class RowDirectory:
    """Where the rows of a reader lie.

    Parameters
    ----------
    reader : FragmentReader
        What reads them.
    masks : mapping of int to ndarray of bool, optional
        Which rows of the files of each fragment belong, by fragment id; a fragment without a mask has none that does.
    """

    def __init__(self, reader: FragmentReader, masks: Mapping[int, Mask] | None = None) -> None:
        self.reader = reader
        self._masks = masks
        # Mapped batches cost no memory of their own; a seal makes the fragments, and so these, other ones.
        self._known: tuple[Sequence[Fragment], OrderedDict[tuple[Any, ...], pa.RecordBatch]] = ((), OrderedDict())
        self._schemas: dict[tuple[str, ...], pa.Schema] = {}

    @cached_property
    def _kept(self) -> list[int]:
        """The numbers of the fragments that rows may lie in, among the reader's."""
        fragments = self.reader.fragments
        return [n for n, each in enumerate(fragments) if self._masks is None or each.id in self._masks]

    @property
    def fragments(self) -> list[Fragment]:
        """The fragments that rows may lie in, as they are stored now."""
        now = self.reader.fragments
        return [now[number] for number in self._kept]

    @cached_property
    def _batches(self) -> list[tuple[int, int]]:
        """Each record batch: the number of its fragment, and its own there."""
        counts = [len(self._batch_rows(fragment)) for fragment in self.fragments]
        return [(self._kept[n], index) for n, count in enumerate(counts) for index in range(count)]

    @cached_property
    def selection(self) -> Selection:
        """The rows that are there, among all rows of the record batches."""
        sizes: list[int] = []
        masks: list[Mask | None] = []
        self.reader.opened()
        for fragment in self.fragments:
            rows = self._batch_rows(fragment)
            whole = self._mask(fragment)
            ends = np.cumsum(rows).tolist()
            sizes += rows
            masks += [None if whole is None else whole[end - size : end] for size, end in zip(rows, ends, strict=True)]
        return Selection(sizes, masks)

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return self.selection.num_rows

    @property
    def num_batches(self) -> int:
        """How many record batches there are."""
        return len(self._batches)

    def scan(
        self, columns: Sequence[str], comparisons: Sequence[Comparison] = ()
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield the rank of a first row, and rows from there on, record batch by record batch.

        Those in which, by the zones of their files, no row meets all comparisons are left out.
        """
        for number in self.likely(comparisons):
            yield from self._whole(number, tuple(columns))

    def likely(self, comparisons: Sequence[Comparison]) -> list[int]:
        """Return the numbers of the record batches in which a row may meet all comparisons."""
        if not comparisons:
            return list(range(self.num_batches))
        found: list[int] = []
        first = 0
        for fragment in self.fragments:
            count = len(self._batch_rows(fragment))
            likely = self.reader.likely_batches(fragment, comparisons) or [True] * count
            found += [first + index for index in range(count) if likely[index]]
            first += count
        return found

    def count_rows(self, batches: Sequence[int]) -> int:
        """Count the rows in some record batches."""
        return sum(self.selection.first_rank(n + 1) - self.selection.first_rank(n) for n in batches)

    def slices(self, start: int, stop: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a range of ranks: parts of the mapped files where they lie side by side."""
        names = tuple(columns)
        for number, first, last in self.selection.runs(start, stop):
            batch = self._read(number, names)
            if self.selection.is_whole(number):
                yield batch.slice(first, last - first)
            else:
                yield from pick_rows(batch, self.selection.offsets(number)[first:last])

    def take(self, ranks: Offsets, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield copies of rows by rank; ranks ascend, and may be asked for more than once."""
        names = tuple(columns)
        for number, offsets in self.selection.locate(ranks):
            yield self._read(number, names).take(pa.array(offsets))

    def row_ids(self, ranks: Offsets) -> NDArray[np.uint64]:
        """Return the row ids of ranks that ascend; see `FragmentReader.row_ids`."""
        parts = [np.empty(0, np.uint64)]
        for number, offsets in self.selection.locate(ranks):
            fragment, index = self._batches[number]
            start = int(self.selection.starts[number] - self.selection.starts[number - index])
            parts.append(self.reader.batch_row_ids(self.reader.fragments[fragment], index, start)[offsets])
        return np.concatenate(parts)

    def masks_of(self, chosen: Mask) -> dict[int, Mask]:
        """Return which rows of the files of each fragment some of the rows are, given a mask over the ranks."""
        masks, rank = {}, 0
        for fragment in self.fragments:
            mask = self._mask(fragment)
            mask = np.ones(self._file_rows(fragment), np.bool_) if mask is None else mask.copy()
            count = int(np.count_nonzero(mask))
            mask[mask] = chosen[rank : rank + count]
            masks[fragment.id] = mask
            rank += count
        return masks

    def _file_rows(self, fragment: Fragment) -> int:
        return sum(self._batch_rows(fragment))

    def _batch_rows(self, fragment: Fragment) -> list[int]:
        return self.reader.open_group(fragment.groups[0].object_id).batch_rows

    def _mask(self, fragment: Fragment) -> Mask | None:
        part = None if self._masks is None else self._masks[fragment.id]
        if fragment.deleted is None:
            return part
        live = self.reader.live(fragment)
        return live if part is None else live & part

    def _read(self, number: int, columns: tuple[str, ...]) -> pa.RecordBatch:
        """Return a record batch; those that were used last are kept, since blocks of rows come from each in turn."""
        fragments = self.reader.fragments
        if self._known[0] is not fragments:
            self._known = (fragments, OrderedDict())
        known, wanted = self._known[1], (number, columns)
        found = known.get(wanted)
        if found is None:
            fragment, index = self._batches[number]
            found = known[wanted] = self.reader.read_batch(fragments[fragment], index, self._schema(columns))
            if len(known) > _MOST_KNOWN:
                known.popitem(last=False)
        return found

    def _schema(self, columns: tuple[str, ...]) -> pa.Schema:
        """Return the schema of some columns, made once."""
        found = self._schemas.get(columns)
        if found is None:
            found = self._schemas[columns] = self.reader.project(columns)
        return found

    def _whole(self, number: int, columns: tuple[str, ...]) -> Iterator[tuple[int, pa.RecordBatch]]:
        rank = self.selection.first_rank(number)
        if self.selection.is_whole(number):
            yield rank, self._read(number, columns)
            return
        offsets = self.selection.offsets(number)
        if len(offsets):
            for rows in pick_rows(self._read(number, columns), offsets):
                yield rank, rows
                rank += rows.num_rows
