"""A source and a place for views that live in memory."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.comparison import Comparison


class TableSource:
    """A pinned version made of a table; it notes which columns were asked for."""

    def __init__(self, table: pa.Table, address: str = "flights@5", version_id: str = "v-5") -> None:
        self.table = table
        self.address = address
        self.version_id = version_id
        self.generation = 0
        self.asked: list[list[str] | None] = []

    @property
    def arrow_schema(self) -> pa.Schema:
        return self.table.schema

    @property
    def num_rows(self) -> int:
        return self.table.num_rows

    def to_table(self, columns: Sequence[str] | None = None) -> pa.Table:
        self.asked.append(None if columns is None else list(columns))
        return self.table if columns is None else self.table.select(list(columns))

    def to_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        return iter(self.to_table(columns).to_batches(max_chunksize=131_072))

    def find_rows(self) -> "TableFinder":
        return TableFinder(self)

    def column_sizes(self, columns: Sequence[str]) -> dict[str, int]:
        return {name: self.table[name].nbytes for name in columns}


class TableFinder:
    """Finds rows of a table by rank."""

    def __init__(self, source: TableSource) -> None:
        self._source = source

    @property
    def num_rows(self) -> int:
        return self._source.num_rows

    @property
    def num_batches(self) -> int:
        return len(self._source.table.to_batches())

    def scan(
        self, columns: Sequence[str], comparisons: Sequence[Comparison] = ()
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        del comparisons  # a table has no zones
        rank = 0
        for batch in self._source.to_batches(columns):
            yield rank, batch
            rank += batch.num_rows

    def likely(self, comparisons: Sequence[Comparison]) -> list[int]:
        del comparisons
        return list(range(self.num_batches))

    def count_rows(self, batches: Sequence[int]) -> int:
        return sum(self._source.table.to_batches()[number].num_rows for number in batches)

    def slices(self, start: int, stop: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from self._source.to_table(columns).slice(start, stop - start).to_batches()

    def take(self, ranks: NDArray[np.int64], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from self._source.to_table(columns).take(pa.array(ranks)).to_batches()

    def row_ids(self, ranks: NDArray[np.int64]) -> NDArray[np.uint64]:
        return ranks.astype(np.uint64)


class ViewDrawer:
    """A place for views, in memory."""

    def __init__(self) -> None:
        self.saved: list[tuple[str, Mapping[str, Any]]] = []

    def save_view(self, name: str, spec: Mapping[str, Any], *, message: str = "") -> int:
        del message
        self.saved.append((name, spec))
        return len(self.saved)

    def save_draft(self, name: str, spec: Mapping[str, Any], *, message: str = "") -> None:
        del message
        self.saved.append((name, spec))

    def check_leakage(self, view: Any) -> Any:
        del view

    def warn_of_leakage(self, view: Any) -> None:
        del view

    def repin_view(self, view: Any) -> Any:
        return view

    def split_view(self, version_id: str, predicates: Sequence[str], name: str, how: Mapping[str, Any]) -> Any:
        return version_id, list(predicates), name, dict(how)
