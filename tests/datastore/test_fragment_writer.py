"""Fragments: batches are cut by rows and by bytes, and every row that comes is written."""

from itertools import pairwise
from uuid import uuid4

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.datastore import fragment_writer
from foldstore.datastore.files import LocalFiles
from foldstore.datastore.fragment_writer import even_batches, row_bytes, write_fragments
from foldstore.errors import CorruptObjectError, FoldstoreError, SchemaMismatchError

LIMIT = 1_000


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(fragment_writer, "_BYTES_PER_BATCH", LIMIT)
    monkeypatch.setattr(fragment_writer, "ROWS_PER_BATCH", 64)
    monkeypatch.setattr(fragment_writer, "BYTES_PER_FRAGMENT", 4 * LIMIT)


def batch_of(lengths):
    return pa.record_batch({"n": pa.array(lengths, pa.int32()), "text": pa.array(["x" * n for n in lengths])})


@given(batches=st.lists(st.lists(st.one_of(st.integers(0, 30), st.integers(0, 3_000)), max_size=150), max_size=6))
def test_every_row_comes_out_in_order_and_batches_are_full(batches):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fragment_writer, "_BYTES_PER_BATCH", LIMIT)
        patch.setattr(fragment_writer, "ROWS_PER_BATCH", 64)
        found = list(even_batches(batch_of(lengths) for lengths in batches))
    rows = [n for batch in found for n in batch["n"].to_pylist()]
    assert rows == [n for lengths in batches for n in lengths]
    assert [len(text) for batch in found for text in batch["text"].to_pylist()] == rows
    for batch in found:
        assert 0 < batch.num_rows <= 64
        assert row_bytes(batch) <= LIMIT or batch.num_rows == 1
    for batch, following in pairwise(found):
        # A batch ends where the next row has no more room: in rows or (offsets and bits apart) in bytes.
        assert batch.num_rows == 64 or row_bytes(batch) + row_bytes(following.slice(0, 1)) > LIMIT - 2 * len(batches)


def test_a_small_first_batch_does_not_decide_how_much_is_joined(small):
    found = list(even_batches([batch_of([0])] + [batch_of([200])] * 40))
    assert max(row_bytes(batch) for batch in found) <= LIMIT
    assert sum(batch.num_rows for batch in found) == 41


def test_a_huge_first_row_does_not_make_batches_of_one_row(small):
    found = list(even_batches([batch_of([100_000] + [1] * 640)]))
    assert [batch.num_rows for batch in found] == [1] + [64] * 10


def test_a_large_dictionary_does_not_make_batches_of_one_row(small):
    words = pa.DictionaryArray.from_arrays(pa.array([0, 1] * 64, pa.int32()), ["x" * 100_000, "y"])
    found = list(even_batches([pa.record_batch({"d": words})]))
    assert [batch.num_rows for batch in found] == [64, 64]


def test_whole_batches_pass_through_uncopied(small):
    batch = pa.record_batch({"n": pa.array(range(64), pa.int64())})
    (found,) = even_batches([batch])
    assert found["n"].buffers()[1].address == batch["n"].buffers()[1].address


def test_fragments_hold_the_rows_in_order(small, tmp_path):
    batches = [batch_of(range(part, part + 50)) for part in range(0, 500, 50)]
    staged = write_fragments(LocalFiles(), lambda: tmp_path / uuid4().hex, batches[0].schema, batches)
    assert len(staged) > 10
    assert sum(item.num_rows for item in staged) == 500
    found = [n for item in staged for n in pa.ipc.open_file(str(item.files[0].path)).read_all()["n"].to_pylist()]
    assert found == list(range(500))


def test_rows_that_are_lost_on_the_way_are_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(fragment_writer, "_join", lambda parts: iter(parts[:1]))
    with pytest.raises(CorruptObjectError, match="20 rows came and 10 were written") as caught:
        write_fragments(LocalFiles(), lambda: tmp_path / uuid4().hex, batch_of([1]).schema, [batch_of([1] * 10)] * 2)
    assert caught.value.facts == {"came": 20, "written": 10}


def test_dictionaries_that_have_no_room_together_are_refused_by_name(tmp_path):
    parts = [
        pa.record_batch(
            {"d": pa.DictionaryArray.from_arrays(pa.array(range(100), pa.int8()), [f"{p}{n}" for n in range(100)])}
        )
        for p in "ab"
    ]
    with pytest.raises(SchemaMismatchError, match="'d'") as caught:
        write_fragments(LocalFiles(), lambda: tmp_path / uuid4().hex, parts[0].schema, parts)
    assert isinstance(caught.value, FoldstoreError)
