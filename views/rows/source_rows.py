"""The rows of a pinned version, or of a part of one."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.comparison import Comparison
from foldstore.views.ordering.shard import Shard
from foldstore.views.rows.rows import Batches, Change, Ranks, RowIds, pick_shard, stream_index
from foldstore.views.source import RowFinder, Source


class SourceRows:
    """All rows of a source, in its order."""

    def __init__(self, source: Source) -> None:
        self.source = source

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns."""
        schema: pa.Schema = self.source.arrow_schema
        return schema

    @property
    def is_endless(self) -> bool:
        """They end."""
        return False

    @property
    def change(self) -> Change:
        """Every epoch is the same."""
        return Change.NOTHING

    def count(self, epoch: int = 0) -> int:  # noqa: ARG002
        """Return what the catalog says."""
        return self.source.num_rows

    def stream(
        self,
        columns: Sequence[str],
        *,
        epoch: int = 0,  # noqa: ARG002
        start: int = 0,
        shard: Shard | None = None,
    ) -> Batches:
        """Yield the mapped record batches."""
        batches = stream_index(self.index(), columns, start) if start else self.source.to_batches(columns)
        return pick_shard(batches, shard, start)

    def scan(self, columns: Sequence[str], comparisons: Sequence[Comparison]) -> Batches:
        """Yield the record batches in which a row may meet all comparisons."""
        if not comparisons:
            return self.source.to_batches(columns)
        return (batch for _, batch in self.finder.scan(columns, comparisons))

    @cached_property
    def finder(self) -> RowFinder:
        """What finds rows by rank."""
        return self.source.find_rows()

    def index(self, epoch: int = 0) -> "SourceIndex":  # noqa: ARG002
        """Return the index of the rows."""
        return self._index

    def until(self, rows: int, epoch: int = 0) -> "SourceRows":  # noqa: ARG002
        """They end."""
        return self

    @cached_property
    def _index(self) -> "SourceIndex":
        return SourceIndex(self.source, self.finder)


class SourceIndex:
    """The rows of a source by rank; what `RowFinder` finds, as a view sees it."""

    def __init__(self, source: Source, finder: RowFinder) -> None:
        self.sources = (source,)
        self.finder = finder

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns."""
        schema: pa.Schema = self.sources[0].arrow_schema
        return schema

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return self.finder.num_rows

    @property
    def num_bytes(self) -> int:
        """What deletions and parts take."""
        return 0

    def slices(self, start: int, stop: int, columns: Sequence[str]) -> Batches:
        """Yield parts of the mapped record batches."""
        return self.finder.slices(start, stop, columns)

    def take(self, ranks: Ranks, columns: Sequence[str]) -> Batches:
        """Yield rows by rank."""
        return self.finder.take(ranks, columns)

    def origins(self, ranks: Ranks) -> tuple[NDArray[np.int64], Ranks]:
        """Return the ranks themselves."""
        return np.zeros(len(ranks), np.int64), ranks

    def identities(self, start: int, stop: int) -> RowIds:
        """Return the row ids."""
        return self.finder.row_ids(np.arange(start, stop, dtype=np.int64))
