"""Finding whole numbers: by halves, by a table of bits, and the same as by looking at each."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstore.datastore.number_search import NumberSearch, whole_numbers

_SMALL = st.integers(-30, 30)
_ANY = st.one_of(_SMALL, st.integers(-(2**63), 2**63 - 1))


@settings(max_examples=60)
@given(wanted=st.lists(_ANY, min_size=1, unique=True), values=st.lists(_ANY), ascending=st.booleans())
def test_the_rows_are_those_that_looking_at_each_finds(wanted, values, ascending):
    values = sorted(set(values)) if ascending else values
    search = NumberSearch.of(np.array(wanted, np.int64))
    rows, which = search.match(np.array(values, np.int64))
    assert rows.tolist() == [row for row, value in enumerate(values) if value in wanted]
    assert [wanted[place] for place in which] == [values[row] for row in rows]


@pytest.mark.parametrize("wanted", [[], [4, 5, 4]])
def test_a_number_that_is_wanted_twice_is_left_to_another_search(wanted):
    assert NumberSearch.of(np.array(wanted, np.int64)) is None


@pytest.mark.parametrize(
    ("column", "numbers"),
    [
        (pa.array([1, 2], pa.int8()), [1, 2]),
        (pa.array([1, 2], pa.uint32()), [1, 2]),
        (pa.array([5], pa.timestamp("us", "UTC")), [5]),
        (pa.array([5], pa.date32()), [5]),
        (pa.array([1, None]), None),
        (pa.array([2**63], pa.uint64()), None),
        (pa.array([1.0]), None),
        (pa.array(["1"]), None),
        (pa.array([5], pa.duration("s")), None),
    ],
)
def test_columns_of_whole_numbers_are_read_as_such_and_no_others(column, numbers):
    found = whole_numbers(column)
    assert (None if found is None else found.tolist()) == numbers
