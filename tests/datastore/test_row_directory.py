"""Rows by rank, against the rows in their order: of versions with deletions and moved rows, and of parts of splits."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.datastore.comparison import Comparison

COLUMNS = ["id", "name"]


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """Versions of one dataset: appended, deleted from, with a new column, compacted; and a part of a split."""
    with foldstore.connect(tmp_path_factory.mktemp("directory") / "store") as store:
        data = store.create_dataset("d", key=["id"])
        for start in range(0, 5_000, 1_000):
            rows = {"id": list(range(start, start + 1_000)), "name": [f"n{i % 7}" for i in range(1_000)]}
            data.append(rows)
        data.delete("id % 10 = 3 OR id BETWEEN 1000 AND 1999")
        data.upsert({"id": [5, 6, 7], "name": ["x", "y", "z"]})
        data.compact()
        split = data.latest.split("s", train=0.6, test=0.4)
        yield [data.version(5), data.version(6), data.version(7), data.latest, split.train, split.test]


@pytest.mark.parametrize("number", range(6))
@settings(max_examples=30)
@given(data=st.data())
def test_any_rank_gives_the_row_of_that_rank(versions, number, data):
    source = versions[number]
    whole = source.to_arrow(COLUMNS)
    directory = source.find_rows()
    assert directory.num_rows == whole.num_rows
    start = data.draw(st.integers(0, whole.num_rows))
    stop = data.draw(st.integers(start, whole.num_rows))
    found = pa.Table.from_batches(directory.slices(start, stop, COLUMNS), whole.schema)
    assert found.equals(whole.slice(start, stop - start))
    ranks = np.sort(np.array(data.draw(st.lists(st.integers(0, whole.num_rows - 1), max_size=20)), np.int64))
    taken = pa.Table.from_batches(directory.take(ranks, COLUMNS), whole.schema)
    assert taken.to_pylist() == whole.take(pa.array(ranks)).to_pylist()


@pytest.mark.parametrize("number", range(6))
def test_a_scan_gives_all_rows_and_their_ranks(versions, number):
    source = versions[number]
    whole = source.to_arrow(COLUMNS)
    parts = list(source.find_rows().scan(COLUMNS))
    assert [rank for rank, _ in parts] == np.cumsum([0, *(b.num_rows for _, b in parts)])[:-1].tolist()
    assert pa.Table.from_batches([batch for _, batch in parts], whole.schema).equals(whole)


@pytest.mark.parametrize("number", range(4))
def test_row_ids_are_those_of_the_version(versions, number):
    source = versions[number]
    ranks = np.arange(source.num_rows, dtype=np.int64)
    assert source.find_rows().row_ids(ranks).tolist() == source.row_ids().tolist()
    assert source.find_rows().row_ids(ranks[5:9]).tolist() == source.row_ids()[5:9].tolist()


def test_masks_lead_back_to_the_files(versions):
    train, test = versions[4], versions[5]
    masks = train.find_rows().masks_of(np.ones(train.num_rows, np.bool_))
    assert {number: mask.sum() for number, mask in masks.items() if mask.any()} == {
        number: mask.sum() for number, mask in train.masks.items() if mask.any()
    }
    none = test.find_rows().masks_of(np.zeros(test.num_rows, np.bool_))
    assert not any(mask.any() for mask in none.values())


def test_zones_leave_batches_out_whose_rows_cannot_pass(store):
    rows = pa.table({"n": np.arange(400_000)})
    source = store.create_dataset("n").append(rows)
    directory = source.find_rows()
    assert directory.num_batches > 1
    wanted = Comparison("n", ">=", pa.scalar(399_000))
    assert directory.likely([wanted]) == [directory.num_batches - 1]
    ((rank, batch),) = directory.scan(["n"], [wanted])
    assert batch.column(0)[0].as_py() == rank


def test_reading_by_rank_touches_only_what_holds_the_rows(store):
    source = store.create_dataset("n").append(pa.table({"n": np.arange(400_000)}))
    before = pa.total_allocated_bytes()
    (batch,) = source.find_rows().slices(200_000, 200_100, ["n"])
    assert batch.num_rows == 100
    assert pa.total_allocated_bytes() - before < 1_000
