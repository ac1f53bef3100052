from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foldstore.datastore.engine import Engine

FLIGHTS = Path(__file__).parents[2] / "sample_data" / "flights" / "flights_2013-01.parquet"


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


class ViewDrawer:
    """A place for views, in memory."""

    def __init__(self) -> None:
        self.saved: list[tuple[str, Mapping[str, Any]]] = []

    def save_view(self, name: str, spec: Mapping[str, Any]) -> int:
        self.saved.append((name, spec))
        return len(self.saved)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with Engine(threads=2) as engine:
        yield engine


@pytest.fixture(scope="session")
def flights(tmp_path_factory: pytest.TempPathFactory) -> TableSource:
    """January 2013 as a memory-mapped Arrow file of several batches."""
    path = tmp_path_factory.mktemp("flights") / "january.arrow"
    table = pq.read_table(FLIGHTS)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=5_000)
    with pa.memory_map(str(path)) as mapped:
        return TableSource(pa.ipc.open_file(mapped).read_all())
