"""The rows of a version as a plan reads them: batch by batch, each row with its id, those of a test pool marked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from foldstore.datastore.reader import FragmentReader
from foldstore.types import Progress
from foldstore.validation.cleaning.working import Chunk, RowIds

_POSITION_BITS: Final = 32


@dataclass(frozen=True, slots=True, eq=False)
class RowSource:
    """Reads rows; a `foldstore.validation.cleaning.working.Read` when called.

    Parameters
    ----------
    reader : FragmentReader
    sealed : array of uint64
        The places of the rows that a test pool holds, ascending.
    progress : callable, optional
        Told the rows done and the rows in all, in each pass.
    """

    reader: FragmentReader
    sealed: RowIds
    progress: Progress | None = None

    def __call__(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the rows in order."""
        done = 0
        for fragment in self.reader.fragments:
            positions = np.flatnonzero(self.reader.live(fragment))
            ids = self.reader.row_ids_of(fragment)
            free = np.ones(len(positions), np.bool_)
            if len(self.sealed):
                free = ~np.isin(np.uint64(fragment.id << _POSITION_BITS) + positions.astype(np.uint64), self.sealed)
            start = 0
            for batch in self.reader.restricted([fragment]).batches(columns):
                here = slice(start, start + batch.num_rows)
                yield Chunk(batch, ids[here], free[here], fragment, positions[here])
                start += batch.num_rows
            done += start
            if self.progress is not None:
                self.progress(done, self.reader.num_rows)
