"""Pruning by zone maps: the rows of a filtered view are the same, and batches without an answer are not touched."""

import numpy as np
import pyarrow as pa
import pytest

import foldstore
from foldstore.datastore.fragment_writer import ROWS_PER_BATCH

ROWS = 3 * ROWS_PER_BATCH + 100


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    with foldstore.connect(tmp_path_factory.mktemp("pruning") / "store") as store:
        rows = np.arange(ROWS)
        floats = np.where((rows % ROWS_PER_BATCH == 7) & (rows < 3 * ROWS_PER_BATCH), np.nan, rows / 2)
        table = pa.table(
            {
                "id": rows,
                "f": pa.array(floats, mask=rows % 11 == 0),
                "t": pa.array((rows // ROWS_PER_BATCH).astype(str)),
                "ts": pa.array(rows * 1_000_000, pa.timestamp("us")),
                "none": pa.nulls(ROWS, pa.int64()),
            }
        )
        dataset = store.create_dataset("events", key=["id"])
        dataset.append(table)
        yield dataset.delete("id % 5 = 0 AND id < 200000")


@pytest.mark.parametrize(
    ("predicate", "batches"),
    [
        ("id < 10", 1),
        ("id >= 393216", 1),
        ("id = 200000", 1),
        ("id <> 5", 4),
        ("id BETWEEN 131072 AND 262143", 1),
        ("id IN (3, 200000)", 2),
        ("id IN (3, 4) AND f > 1", 1),
        ("id IN (3, NULL)", 4),
        ("id NOT IN (3, 4)", 4),
        ("t IN ('0', '2')", 3),
        ("id < 10 AND id > 300000", 0),
        ("id < 10 OR id > 300000", 4),
        ("NOT id >= 10", 4),
        ("f > 1e6", 4),
        ("f > 1000000", 3),  # NaN is greater than all, and the last batch has none
        ("f < 100", 1),
        ("t = '2'", 1),
        ("t > '1' AND length(t) = 1", 2),
        ("ts < '1970-01-02'", 1),
        ("none = 5", 4),
    ],
)
def test_the_answer_is_that_of_all_batches(version, predicate, batches, monkeypatch):
    reader = version.rows
    whole = pa.Table.from_batches(reader.batches(), reader.arrow_schema)
    expected = version._storage.engine.filter_table(
        whole, version._storage.engine.parse_predicate(predicate, whole.schema)
    )
    looked_at = []
    real = type(reader)._one_batch
    monkeypatch.setattr(type(reader), "_one_batch", lambda *given: looked_at.append(1) or real(*given))
    assert _shown(version.view().where(predicate).to_arrow()).equals(_shown(expected))
    assert len(looked_at) == batches


def _shown(table):
    """Write the floats as text: no NaN equals another."""
    return table.set_column(1, "f", table["f"].cast(pa.string()))
