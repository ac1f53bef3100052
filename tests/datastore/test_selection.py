"""A selection against a plain mask over all rows."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.datastore.selection import Selection, pick_rows

CHUNKS = st.lists(st.lists(st.booleans(), max_size=200), max_size=6)


def _masks(chunks):
    return [np.array(chunk, np.bool_) for chunk in chunks]


@given(chunks=CHUNKS, data=st.data())
def test_ranks_and_places_are_those_of_a_plain_mask(chunks, data):
    selection = Selection([len(chunk) for chunk in chunks], _masks(chunks))
    places = np.flatnonzero(np.concatenate([np.empty(0, np.bool_), *_masks(chunks)]))
    assert selection.num_rows == len(places)
    start = data.draw(st.integers(0, len(places)))
    stop = data.draw(st.integers(start, len(places)))
    assert selection.places(start, stop).tolist() == places[start:stop].tolist()
    ranks = np.sort(np.array(data.draw(st.lists(st.integers(0, max(0, len(places) - 1)), max_size=9)), np.int64))
    if len(places):
        found = [offset + selection.starts[chunk] for chunk, offsets in selection.locate(ranks) for offset in offsets]
        assert found == places[ranks].tolist()


@given(chunks=CHUNKS, others=CHUNKS)
def test_a_narrowed_selection_has_the_rows_that_both_have(chunks, others):
    count = min(len(chunks), len(others))
    pairs = [(a[: min(len(a), len(b))], b[: min(len(a), len(b))]) for a, b in zip(chunks, others, strict=False)]
    one, two = _masks([a for a, _ in pairs]), _masks([b for _, b in pairs])
    narrowed = Selection([len(mask) for mask in one], one).narrowed(two)
    whole = [a & b for a, b in zip(one, two, strict=True)]
    assert [narrowed.offsets(n).tolist() for n in range(count)] == [np.flatnonzero(mask).tolist() for mask in whole]


@given(places=st.sets(st.integers(0, 299_999), max_size=50), cuts=st.lists(st.integers(0, 50), max_size=4))
def test_places_make_a_selection_however_they_come(places, cuts):
    ordered = np.array(sorted(places), np.int64)
    bounds = [0, *sorted(min(cut, len(ordered)) for cut in cuts), len(ordered)]
    parts = [ordered[a:b] for a, b in pairwise(bounds)]
    selection = Selection.from_places(300_000, parts)
    assert selection.places(0, selection.num_rows).tolist() == ordered.tolist()


@pytest.mark.parametrize(("kept", "most"), [(0, 0), (10, 50), (5_000, 12_501), (99_999, 12_501), (100_000, 0)])
def test_a_choice_takes_at_most_a_bit_a_row(kept, most):
    mask = np.zeros(100_000, np.bool_)
    mask[:kept] = True
    assert Selection([len(mask)], [mask]).num_bytes <= most


class TestPickedRows:
    def test_long_runs_are_slices_of_the_batch(self):
        batch = pa.record_batch({"n": np.arange(10_000)})
        offsets = np.concatenate([np.arange(0, 4_000), np.arange(5_000, 9_000)])
        picked = list(pick_rows(batch, offsets))
        assert [rows.num_rows for rows in picked] == [4_000, 4_000]
        address = batch.column(0).buffers()[1].address
        assert [rows.column(0).buffers()[1].address for rows in picked] == [address, address]

    def test_scattered_rows_are_one_copy(self):
        batch = pa.record_batch({"n": np.arange(100)})
        (picked,) = pick_rows(batch, np.arange(0, 100, 3))
        assert picked.column(0).to_pylist() == list(range(0, 100, 3))

    def test_no_rows_are_no_batch(self):
        assert list(pick_rows(pa.record_batch({"n": [1]}), np.empty(0, np.int64))) == []
