"""Counting on pinned grids is exact, whatever the cut and whatever the route."""

import datetime as dt
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.datastore.statistics.column import profile_array
from foldstore.datastore.statistics.pinned import (
    CategoryGrid,
    GridCounts,
    NumericGrid,
    count_array,
    count_batches,
    counts_from_column,
    grid_from_dict,
)
from foldstore.errors import ColumnNotFoundError, InvalidSchemaError, SchemaMismatchError

EDGES = st.lists(st.one_of(st.integers(-9, 9), st.floats(-9, 9)), max_size=6).map(
    lambda edges: NumericGrid(tuple(sorted(set(edges))))
)


def brute_force(values, edges):
    cells = [0] * (len(edges) + 1)
    for value in values:
        cells[sum(edge < value for edge in edges)] += 1
    return tuple(cells)


@given(st.lists(st.one_of(st.none(), st.floats(-10, 10), st.sampled_from([math.inf, -math.inf, math.nan]))), EDGES)
def test_floats_fall_into_the_cells_of_a_plain_loop(values, grid):
    array = pa.array(values, pa.float64())
    counts = count_array(array, grid)
    assert counts.cells == brute_force([v for v in values if v is not None and not math.isnan(v)], grid.edges)
    assert (counts.nulls, counts.nan) == (values.count(None), sum(v is not None and math.isnan(v) for v in values))
    assert counts_from_column(profile_array(array), grid) == counts


@given(st.lists(st.one_of(st.none(), st.integers(-10, 10))), EDGES)
def test_integers_fall_into_the_cells_of_a_plain_loop(values, grid):
    array = pa.array(values, pa.int8())
    counts = count_array(array, grid)
    assert counts.cells == brute_force([v for v in values if v is not None], grid.edges)
    assert counts_from_column(profile_array(array), grid) == counts


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64()], ids=str)
def test_edges_of_great_integers_are_exact(kind):
    values = [2**62, 2**62 + 1, 2**62 + 2]
    assert count_array(pa.array(values, kind), NumericGrid((-(2**70), 2**62 + 1, 2**70))).cells == (0, 2, 1, 0)


@given(st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "c", ""]))), st.integers(0, 9))
def test_categories_are_counted_alike_in_every_cut(values, place):
    table = pa.table({"x": pa.array(values, pa.string())})
    grid = CategoryGrid(("b", "zz", "a"))
    counts = count_batches(table.to_batches(), {"x": grid})["x"]
    known = [values.count("b"), 0, values.count("a")]
    assert counts == GridCounts((*known, len(values) - sum(known) - values.count(None)), values.count(None))
    parts = [count_array(part["x"], grid) for part in (table.slice(0, place), table.slice(place))]
    assert parts[0].merge(parts[1]) == counts
    assert counts_from_column(profile_array(table["x"]), grid) == counts


def test_integer_and_boolean_categories_are_counted():
    assert count_array(pa.array([1, 2, 2, None]), CategoryGrid((2, 300))).cells == (2, 0, 1)
    assert count_array(pa.array([1, 2], pa.uint64()), CategoryGrid((-1, 2))).cells == (0, 1, 1)
    assert count_array(pa.array([True, False, True]), CategoryGrid((True, False))).cells == (2, 1, 0)
    assert counts_from_column(profile_array(pa.array([True, None])), CategoryGrid((True, False))).cells == (1, 0, 0)


def test_edges_of_times_are_ticks():
    dates = pa.array([dt.date(1970, 1, 2), dt.date(1970, 1, 4)])
    assert count_array(dates, NumericGrid((2,))).cells == (1, 1)


@pytest.mark.parametrize("scale", [1.0, 1e-300, 5e-322, 1e300])
def test_counts_up_to_the_ends_of_free_bins_follow_from_a_profile_of_many_values(scale):
    x = np.random.default_rng(0).normal(size=40_000) * scale
    column = profile_array(pa.array(x))
    ends, _ = column.mass()
    grid = NumericGrid(tuple(sorted(set(ends[:: max(1, len(ends) // 20)].tolist()))))
    assert counts_from_column(column, grid) == count_array(pa.array(x), grid)


def test_counts_inside_a_free_bin_do_not_follow_from_a_profile():
    x = np.random.default_rng(0).normal(size=40_000)
    column = profile_array(pa.array(x))
    assert counts_from_column(column, NumericGrid((float(np.median(x)),))) is None
    assert counts_from_column(profile_array(pa.array(x).cast(pa.string())), CategoryGrid(("a",))) is None


@pytest.mark.parametrize("grid", [NumericGrid((1, 2.5)), CategoryGrid(("a",)), CategoryGrid((True,))], ids=str)
def test_grids_round_trip_as_plain_data(grid):
    assert grid_from_dict(grid.to_dict()) == grid


def test_counts_round_trip_as_plain_data():
    counts = GridCounts((1, 2), 3, 4)
    assert GridCounts.from_dict(counts.to_dict()) == counts


@pytest.mark.parametrize(
    "make",
    [
        lambda: NumericGrid((2, 1)),
        lambda: NumericGrid((math.nan,)),
        lambda: NumericGrid(("a",)),
        lambda: CategoryGrid(("a", "a")),
        lambda: CategoryGrid(("a", 1)),
        lambda: CategoryGrid((1.5,)),
        lambda: grid_from_dict({"edge": [1]}),
        lambda: GridCounts.from_dict({"cells": [-1]}),
    ],
)
def test_impossible_grids_are_refused(make):
    with pytest.raises(InvalidSchemaError):
        make()


def test_a_grid_of_another_kind_than_the_column_is_refused():
    with pytest.raises(SchemaMismatchError, match="vocabulary of str"):
        count_array(pa.array([1]), CategoryGrid(("a",)))
    with pytest.raises(SchemaMismatchError, match="string"):
        count_array(pa.array(["a"]), NumericGrid((1,)))
    with pytest.raises(ColumnNotFoundError, match="'y'"):
        count_batches([pa.record_batch({"x": [1]})], {"y": NumericGrid((1,))})
