"""A source and a place for views that live in memory."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa


class TableSource:
    """A pinned version made of a table; it notes which columns were asked for."""

    def __init__(self, table: pa.Table, address: str = "flights@5", version_id: str = "v-5") -> None:
        self.table = table
        self.address = address
        self.version_id = version_id
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

    def column_sizes(self, columns: Sequence[str]) -> dict[str, int]:
        return {name: self.table[name].nbytes for name in columns}


class ViewDrawer:
    """A place for views, in memory."""

    def __init__(self) -> None:
        self.saved: list[tuple[str, Mapping[str, Any]]] = []

    def save_view(self, name: str, spec: Mapping[str, Any]) -> int:
        self.saved.append((name, spec))
        return len(self.saved)

    def split_view(self, version_id: str, predicates: Sequence[str], name: str, how: Mapping[str, Any]) -> Any:
        return version_id, list(predicates), name, dict(how)
