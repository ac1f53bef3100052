from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foldstore.datastore.engine import Engine
from tests.views.table_source import TableSource

FLIGHTS = Path(__file__).parents[2] / "sample_data" / "flights" / "flights_2013-01.parquet"


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
