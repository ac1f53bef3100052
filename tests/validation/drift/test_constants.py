"""Columns that hold one value, or none: what they were may change, and that is no silence."""

import datetime as dt
import math
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
import scipy.spatial.distance
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from foldstore.validation.check import drift_between
from foldstore.validation.subject import TableSubject

ROWS = 400
INF = math.inf
# A type, the value that is held, and another.
CHANGES = [
    (pa.int64(), 7, 8),
    (pa.int64(), -(2**63), 2**63 - 1),
    (pa.uint8(), 0, 255),
    (pa.uint64(), 2**64 - 1, 0),
    (pa.float64(), 1.5, math.nextafter(1.5, 2)),
    (pa.float64(), 5e-324, 0.0),
    (pa.float64(), -1.7976931348623157e308, 1.0),
    (pa.float64(), INF, -INF),
    (pa.float64(), -INF, 1e308),
    (pa.float64(), math.nan, 0.0),
    (pa.float32(), 1.1, 1.2),
    (pa.float16(), np.float16(1), np.float16(2)),
    (pa.bool_(), True, False),
    (pa.string(), "a", "b"),
    (pa.dictionary(pa.int8(), pa.string()), "a", "b"),
    (pa.decimal128(10, 2), Decimal("1.50"), Decimal("1.51")),
    (pa.time32("s"), dt.time(1), dt.time(2)),
]


def compare(type_, before, after):
    return drift_between(*(TableSubject(pa.table({"x": pa.array(each, type_)}), "t") for each in (before, after)))


@pytest.mark.parametrize(("type_", "value", "other"), CHANGES)
def test_another_value_than_the_only_one_is_a_change(type_, value, other):
    found = compare(type_, [value] * ROWS, [value, other] * (ROWS // 2)).columns["x"]
    p, q = [1, 0], [0.5, 0.5]
    assert found.verdict.value == "error"
    assert found.distance == pytest.approx(scipy.spatial.distance.jensenshannon(p, q, base=2))
    assert {found.largest_change["before"], found.largest_change["after"]} <= {0.0, 0.5, 1.0}


@pytest.mark.parametrize(("type_", "value", "other"), CHANGES)
def test_where_all_rows_are_the_same_nothing_is_compared(type_, value, other):
    for held in (value, other, None):
        found = compare(type_, [held] * ROWS, [held] * 3)
        assert not found.columns
        assert set(found.untested) == {"x"}


@pytest.mark.parametrize(("before", "after"), [([7], [None]), ([None], [7]), ([7, None], [7]), ([7], [7, None])])
def test_nulls_of_a_constant_are_judged(before, after):
    found = compare(pa.int64(), before * ROWS, after * ROWS)
    assert found.columns["x"].null_verdict.value == "error"
    assert found.columns["x"].verdict.value in ("stable", "untestable")


def test_one_other_value_among_many_is_chance():
    found = compare(pa.int64(), [7] * 1_000, [7] * 999 + [8]).columns["x"]
    assert found.verdict.value == "stable"
    assert found.p_value == pytest.approx(scipy.stats.fisher_exact([[1_000, 0], [999, 1]]).pvalue)


def test_a_reference_without_rows_compares_nothing():
    found = compare(pa.int64(), [], [7] * ROWS)
    assert not found.columns
    assert found.untested == {"x": "the reference has no value"}


@given(st.integers(-3, 3), st.lists(st.integers(-3, 3), min_size=1, max_size=60), st.sampled_from(["int", "float"]))
def test_the_counts_are_those_of_the_value_and_the_others(value, after, kind):
    type_ = pa.int64() if kind == "int" else pa.float64()
    found = compare(type_, [value] * 20, after).columns
    if set(after) == {value}:
        assert not found
        return
    shown = found["x"].distribution
    below, same = sum(each < value for each in after), after.count(value)
    assert shown.before == (0, 20, 0)
    assert shown.after == (below, same, len(after) - below - same)
