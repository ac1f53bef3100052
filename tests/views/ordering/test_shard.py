"""Shards: every row belongs to one reader, and batches go round."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.errors import UsageError
from foldstore.views.ordering.shard import Shard, check_rank, cut_batches


def _cut(rows, sizes):
    start, batches = 0, []
    for size in sizes:
        batches.append(pa.record_batch({"n": np.arange(start, min(start + size, rows))}))
        start = min(start + size, rows)
    return [*batches, pa.record_batch({"n": np.arange(start, rows)})]


@given(
    rows=st.integers(0, 200), sizes=st.lists(st.integers(0, 40), max_size=6), batch=st.integers(1, 17),
    world=st.integers(1, 5), start=st.integers(0, 50),
)  # fmt: skip
def test_readers_share_rows_batch_by_batch(rows, sizes, batch, world, start):
    found = []
    for rank in range(world):
        shard = Shard(batch, rank, world, start)
        stream = (each.set_column(0, "n", pa.array(each.column(0).to_numpy() + start)) for each in _cut(rows, sizes))
        mine = [n for part in shard.pick(stream, start) for n in part.column(0).to_pylist()]
        assert all((n - start) // batch % world == rank for n in mine)
        assert mine == sorted(mine)
        assert shard.owned(start, rows).tolist() == [n in set(mine) for n in range(start, start + rows)]
        found += mine
    assert sorted(found) == list(range(start, start + rows))


@given(rows=st.integers(0, 200), sizes=st.lists(st.integers(0, 40), max_size=6), batch=st.integers(1, 17))
def test_batches_are_cut_to_multiples_and_keep_their_rows(rows, sizes, batch):
    parts = list(cut_batches(iter(_cut(rows, sizes)), batch))
    assert [n for part in parts for n in part.column(0).to_pylist()] == list(range(rows))
    assert all(part.num_rows % batch == 0 for part in parts[:-1])
    assert all(part.num_rows for part in parts)


@pytest.mark.parametrize(("rank", "world"), [(-1, 1), (1, 1), (0, 0), (True, 2), ("0", 1), (0, None)])
def test_impossible_readers_are_refused(rank, world):
    with pytest.raises(UsageError, match="is no reader"):
        check_rank(rank, world)
