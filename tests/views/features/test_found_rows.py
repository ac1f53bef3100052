"""Values taken by row: whatever the type, however a column is cut, they are those of the rows that were found."""

import datetime as dt
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.views.features.found_rows import FoundRows, order_exactly, order_nearly, take_rows

KINDS = [
    pa.int8(), pa.uint16(), pa.int64(), pa.float32(), pa.float64(), pa.timestamp("ns", "UTC"), pa.date32(),
    pa.bool_(), pa.string(), pa.list_(pa.int64()), pa.decimal128(9, 2), pa.dictionary(pa.int32(), pa.string()),
]  # fmt: skip


def column_of(kind, numbers, cuts):
    """Make a column in pieces, each a slice of something longer."""
    told = {
        pa.bool_(): lambda number: number % 2 == 0,
        pa.string(): str,
        pa.list_(pa.int64()): lambda number: [number],
        pa.date32(): lambda number: dt.date(2020, 1, 1) + dt.timedelta(days=number),
        pa.dictionary(pa.int32(), pa.string()): str,
    }.get(kind, lambda number: number)
    values = [None if number is None else told(number) for number in numbers]
    edges = [0, *sorted(cut % (len(values) + 1) for cut in cuts), len(values)]
    pieces = []
    for first, past in pairwise(edges):
        around = pa.array([None, *values[first:past], None], kind)
        pieces.append(around.slice(1, past - first))
    return pa.chunked_array(pieces, kind)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(data=st.data())
def test_law_what_is_taken_are_the_values_of_the_rows(kind, data):
    numbers = data.draw(st.lists(st.none() | st.integers(0, 100), max_size=40))
    if data.draw(st.booleans()):
        numbers = [number or 0 for number in numbers]
    column = column_of(kind, numbers, data.draw(st.lists(st.integers(0, 60), max_size=5)))
    other = column_of(pa.int64(), numbers, [])
    rows = np.array(data.draw(st.lists(st.integers(-1, len(numbers) - 1), max_size=60)), dtype=np.int64)
    askers = np.array(data.draw(st.permutations(range(len(rows)))), dtype=np.int64)
    asked = np.full(len(rows), -1, dtype=np.int64)
    asked[askers] = rows
    taken, beside = take_rows([column, other], FoundRows(rows, askers))
    assert taken.type == column.type
    taken.validate(full=True)
    whole = column.to_pylist()
    assert taken.to_pylist() == [None if row < 0 else whole[row] for row in asked]
    assert beside.to_pylist() == [None if row < 0 else numbers[row] for row in asked]


def test_under_a_null_lies_a_zero():
    column = pa.chunked_array([pa.array([7, 8, 9]).slice(0, 2), pa.array([5, 6], mask=np.array([True, False]))])
    (taken,) = take_rows([column], FoundRows(np.array([1, -1, 2, 3]), np.arange(4)))
    assert np.frombuffer(taken.chunk(0).buffers()[1], np.int64).tolist() == [8, 0, 0, 6]
    assert taken.to_pylist() == [8, None, None, 6]


@given(st.lists(st.integers(-1, 2**63 - 1), max_size=200))
def test_law_an_order_is_one_of_all_and_near_to_sorted(numbers):
    order = order_nearly(np.array(numbers, dtype=np.int64))
    assert sorted(order.tolist()) == list(range(len(numbers)))
    walk = [numbers[place] >> 8 for place in order.tolist()]
    assert walk == sorted(walk)


@given(st.lists(st.sampled_from([-1, 0, 1, 2**62, 2**62 + 1, 2**62 + 2**20, 2**63 - 1]), max_size=60))
def test_law_an_exact_order_is_the_stable_one(numbers):
    given_ = np.array(numbers, dtype=np.int64)
    order, walk = order_exactly(given_)
    assert order.tolist() == np.argsort(given_, kind="stable").tolist()
    assert walk.tolist() == sorted(numbers)


def test_rows_too_large_to_be_packed_are_sorted_all_the_same():
    rows = np.array([2**62, -1, 2**61])
    found = FoundRows(rows, np.array([2, 0, 1])).sorted_by_row()
    assert found.rows.tolist() == [-1, 2**61, 2**62]
    assert found.askers.tolist() == [0, 1, 2]
