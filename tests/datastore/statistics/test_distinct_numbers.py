"""The different ones of many numbers are those of a set, however they are looked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.datastore.statistics import distinct_numbers
from foldstore.datastore.statistics.distinct_numbers import DistinctNumbers

KINDS = ("<u1", "<u2", "<u4", "<u8")


@st.composite
def pieces(draw):
    kind = np.dtype(draw(st.sampled_from(KINDS)))
    number = st.integers(0, np.iinfo(kind).max) | st.sampled_from([0, 1, np.iinfo(kind).max])
    pool = draw(st.lists(number, min_size=1, max_size=40))
    piece = st.lists(st.sampled_from(pool), min_size=1, max_size=60)
    return [np.array(each, kind) for each in draw(st.lists(piece, min_size=1, max_size=5))]


@pytest.mark.parametrize("places_each", [1, 64])
@pytest.mark.parametrize(("many", "first"), [(8, 4), (4_096, 4_096)])
@given(cut=pieces(), unused=st.sampled_from([0, 0, 3]))
def test_all_different_numbers_are_found_once(places_each, many, first, cut, unused):
    """Bits above those that count are whatever stood behind a number: they tell no two apart."""
    kind = cut[0].dtype
    bits = 8 * kind.itemsize - unused
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distinct_numbers, "_PLACES_EACH", places_each)  # few: several numbers have one place
        patch.setattr(distinct_numbers, "_MANY", many)
        patch.setattr(distinct_numbers, "_FIRST", first)
        known = DistinctNumbers(kind, bits, 60)
        for piece in cut:
            known.add(piece)
    assert sorted(known.found.tolist()) == sorted({number % 2**bits for piece in cut for number in piece.tolist()})
    assert len(known) == len(known.found)
    assert known.found.dtype == kind


def test_numbers_that_are_known_are_not_searched_for(monkeypatch):
    """A hundred numbers, each often: the table finds all; of a new one only its rows are left."""
    draw = np.random.default_rng(7)
    pool = draw.integers(0, 2**24, 101, np.uint32)
    known, searched = DistinctNumbers(np.dtype(np.uint32), 24, 2**15), []
    known.add(np.concatenate([pool[:100], draw.choice(pool[:100], 20_000)]))
    real = distinct_numbers.pc.unique
    monkeypatch.setattr(distinct_numbers.pc, "unique", lambda values: searched.append(len(values)) or real(values))
    known.add(draw.choice(pool[:100], 20_000))
    assert searched == []
    known.add(np.concatenate([draw.choice(pool[:100], 20_000), pool[100:]]))
    assert searched == [1, 101]
    assert sorted(known.found.tolist()) == sorted(pool.tolist())
