"""Cells of values, against the counts that profiles keep."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.datastore.statistics.pinned import CategoryGrid, NumericGrid, count_array
from foldstore.datastore.statistics.pinned_cells import NULL, cell_numbers, count_pairs
from foldstore.errors import SchemaMismatchError

EDGES = st.lists(st.integers(-300, 300) | st.floats(-300, 300), min_size=1, max_size=6, unique=True).map(
    lambda edges: tuple(sorted(set(map(float, edges))))
)
TYPES = {
    pa.float64(): st.floats(width=32),
    pa.int8(): st.integers(-128, 127),
    pa.uint64(): st.integers(0, 2**64 - 1) | st.integers(0, 300),
    pa.int64(): st.integers(-400, 400),
    pa.bool_(): st.booleans(),
}


@st.composite
def arrays(draw):
    kind = draw(st.sampled_from(list(TYPES)))
    return pa.array(draw(st.lists(st.none() | TYPES[kind], max_size=30)), kind)


@given(arrays(), EDGES)
def test_numbers_fall_into_the_cells_that_counts_say(array, edges):
    grid = NumericGrid(edges)
    cells = cell_numbers(array, grid)
    counts = count_array(array, grid)
    assert tuple(np.bincount(cells[cells != NULL], minlength=grid.cells + 1)) == (*counts.cells, counts.nan)
    assert (cells == NULL).sum() == counts.nulls


@pytest.mark.parametrize(
    ("array", "values"),
    [
        (pa.array(["a", "c", None, "b", "a"]), ("b", "a")),
        (pa.array(["a", "c", None, "b", "a"]).dictionary_encode(), ("b", "a")),
        (pa.array([1, 2, None, 3]), (3, -1)),
        (pa.array([1, 2, None, 3], pa.uint64()), (-1, 3)),
        (pa.array([True, None, False]), (True,)),
    ],
)
def test_categories_fall_into_the_cells_that_counts_say(array, values):
    grid = CategoryGrid(values)
    cells = cell_numbers(array, grid)
    counts = count_array(array, grid)
    assert tuple(np.bincount(cells[cells != NULL], minlength=grid.cells)) == counts.cells
    assert (cells == NULL).sum() == counts.nulls


def test_pairs_are_counted_like_by_hand():
    batch = pa.record_batch({"x": [1.0, 5.0, None, float("nan"), 1.0], "y": ["a", "b", "a", None, "z"]})
    table = count_pairs([batch, batch], ("x", NumericGrid((3,))), ("y", CategoryGrid(("a", "b"))))
    assert table.tolist() == [
        [2, 0, 2, 0, 0],
        [0, 2, 0, 0, 0],
        [0, 0, 0, 0, 2],
        [2, 0, 0, 0, 0],
    ]


def test_values_without_a_place_are_refused():
    with pytest.raises(SchemaMismatchError, match="no place"):
        cell_numbers(pa.array(["a"]), NumericGrid((1,)))
    with pytest.raises(SchemaMismatchError, match="no place"):
        cell_numbers(pa.array([1.5]), CategoryGrid((1,)))
