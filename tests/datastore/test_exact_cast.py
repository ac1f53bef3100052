"""Exact casts: every value is what it was, at any depth, or the column is refused by name."""

import datetime as dt
import math
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.datastore.exact_cast import can_cast, cast_exactly, same_values
from foldstore.errors import SchemaMismatchError

D = Decimal
NUMBERS = [
    pa.int8(), pa.int32(), pa.int64(), pa.uint8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(),
    pa.decimal32(5, 2), pa.decimal64(12, 3), pa.decimal128(10, 2), pa.decimal256(50, 4),
]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "target"),
    [
        (pa.array([1.25, 0.5]), pa.decimal128(5, 1)),
        (pa.array([0.123456]), pa.decimal64(10, 2)),
        (pa.array([[0.1]]), pa.list_(pa.float32())),
        (pa.array([[0.125]]), pa.list_(pa.decimal128(5, 2))),
        (pa.array([[[0.1]]], pa.large_list(pa.list_(pa.float64()))), pa.list_(pa.large_list(pa.float32()))),
        (pa.array([{"a": 0.1}]), pa.struct({"a": pa.float32()})),
        (pa.array([[("k", 0.1)]], pa.map_(pa.string(), pa.float64())), pa.map_(pa.string(), pa.float32())),
        (pa.array([[0.1, 0.2]], pa.list_(pa.float64(), 2)), pa.list_(pa.float32(), 2)),
        (pa.array([2**63 - 1]), pa.float64()),
        (pa.array([2**53 + 1]), pa.float64()),
        (pa.array([D("1.5")]), pa.int32()),
        (pa.array([D("123456789.123456789")]), pa.float32()),
        (pa.array([100_000]), pa.decimal128(5, 2)),
        (pa.array([math.nan]), pa.int64()),
        (pa.array([math.inf]), pa.decimal128(5, 2)),
        (pa.array([1e300]), pa.float32()),
        (pa.array([0.1]), pa.float16()),
        (pa.array([D("0.3001")]), pa.float16()),
        (pa.array([1], pa.timestamp("us")), pa.timestamp("s")),
        (pa.array([dt.time(0, 0, 0, 1)]), pa.time32("s")),
        (pa.array([[1, 2], [3]]), pa.list_(pa.int64(), 2)),
        (pa.array(list("abcdefghij") * 20).dictionary_encode(), pa.list_(pa.string())),
        (pa.array([str(n) for n in range(200)]), pa.dictionary(pa.int8(), pa.string())),
    ],
    ids=lambda each: f"{each.type}" if isinstance(each, pa.Array) else str(each),
)
def test_a_value_that_would_change_is_refused_by_the_columns_name(column, target):
    with pytest.raises(SchemaMismatchError, match="Column 'the column' comes as") as caught:
        cast_exactly(column, target, name="the column")
    assert caught.value.code == "type-mismatch"
    assert caught.value.facts["expected"] == str(target)


@pytest.mark.parametrize(
    ("column", "target"),
    [
        (pa.array([1, None]), pa.decimal128(5, 2)),
        (pa.array([2**64 - 1], pa.uint64()), pa.decimal128(20, 0)),
        (pa.array([D("2.00")]), pa.int8()),
        (pa.array([0.25, None]), pa.decimal32(5, 2)),
        (pa.array([D("0.25")]), pa.float16()),
        (pa.array([[1], None, [2, None]]), pa.large_list(pa.float32())),
        (pa.array([[1, 2], None, [3, 4]]), pa.list_(pa.int8(), 2)),
        (pa.array([[1, 2], None], pa.list_(pa.int8(), 2)), pa.list_(pa.int64())),
        (pa.array([[1, 2], None, [3, None]], pa.list_(pa.int8(), 2)), pa.list_(pa.int16(), 2)),
        (pa.array([[1], None, [2, 3]], pa.list_view(pa.int64())), pa.list_(pa.int8())),
        (pa.array([{"a": 1, "b": ["x"]}, None]), pa.struct({"b": pa.list_(pa.large_string()), "a": pa.int8()})),
        (pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())), pa.map_(pa.large_string(), pa.int8())),
        (pa.array([["a", None]], pa.list_(pa.string_view())), pa.list_(pa.string())),
        (pa.array(["a", None]).dictionary_encode(), pa.string()),
        (pa.array(["a", None], pa.string_view()), pa.dictionary(pa.int32(), pa.string())),
        (pa.DictionaryArray.from_arrays([0, 1], ["a", None]), pa.dictionary(pa.int64(), pa.string())),
        (pa.array([None, None]), pa.struct({"a": pa.int8()})),
        (pa.array([[None]]), pa.list_(pa.dictionary(pa.int32(), pa.string()))),
    ],
    ids=lambda each: f"{each.type}" if isinstance(each, pa.Array) else str(each),
)
def test_a_cast_that_loses_nothing_keeps_every_value(column, target):
    cast = cast_exactly(column, target, name="c")
    cast.validate(full=True)
    assert cast.type == target
    assert cast.to_pylist() == column.to_pylist()
    sliced = cast_exactly(column.slice(1), target, name="c")
    sliced.validate(full=True)
    assert sliced.to_pylist() == column.to_pylist()[1:]


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.integers(-(2**63), 2**63 - 1).map(D),
            st.integers(-300, 300).map(lambda n: D(n) / 4),
            st.floats(allow_nan=False, allow_infinity=False, width=64).map(D),
        ),
        max_size=4,
    ),
    st.sampled_from(NUMBERS),
    st.sampled_from(NUMBERS),
    st.booleans(),
)
def test_a_number_is_itself_after_a_cast_or_there_is_no_cast(values, source, target, nested):
    try:
        held = values if pa.types.is_decimal(source) else [None if v is None else float(v) for v in values]
        if pa.types.is_integer(source):
            held = [None if v is None else int(v) for v in values]
        column = pa.array(held, source)
    except (pa.ArrowException, OverflowError, ValueError):
        return
    before = column.to_pylist()
    if nested:
        column, target = pa.array([before], pa.list_(source)), pa.large_list(target)
    try:
        cast = cast_exactly(column, target, name="c")
    except SchemaMismatchError:
        return
    after = cast.to_pylist()[0] if nested else cast.to_pylist()
    assert [v is None for v in after] == [v is None for v in before]
    for old, new in zip(before, after, strict=True):
        if old is not None and not isinstance(old, float) and not isinstance(new, float):
            assert old == new  # exact kinds are compared as they are
        elif old is not None:  # a float and a decimal stand for each other when each gives the other back
            back = pa.array([new], cast.type.value_type if nested else cast.type).cast(pa.float64()).to_pylist()
            assert float(back[0]) == float(old)


def test_types_without_anything_in_common_are_told_apart():
    assert can_cast(pa.null(), pa.struct({"a": pa.int8()}))
    assert can_cast(pa.struct({"a": pa.int8()}), pa.struct({"a": pa.float64()}))
    assert not can_cast(pa.struct({"a": pa.int8()}), pa.struct({"a": pa.int8(), "b": pa.int8()}))
    assert not can_cast(pa.struct({"a": pa.int8(), "b": pa.int8()}), pa.struct({"a": pa.int8()}))
    assert not can_cast(pa.list_(pa.int8()), pa.int8())
    assert not can_cast(pa.list_(pa.int8(), 2), pa.list_(pa.int8(), 3))
    assert not can_cast(pa.list_(pa.string()), pa.list_(pa.int8()))
    assert not can_cast(pa.timestamp("us"), pa.timestamp("us", "UTC"))
    assert not can_cast(pa.bool_(), pa.int8())


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ([1.0, math.nan, None], [1.0, math.nan, None], True),
        ([math.nan], [None], False),
        ([1.0], [1.5], False),
        ([[math.nan], None], [[math.nan], None], True),
        ([[math.nan], []], [[], [math.nan]], False),
        ([{"a": math.nan}], [{"a": math.nan}], True),
        ([{"a": math.nan}], [{"a": 1.0}], False),
    ],
)
def test_nan_equals_nan_at_any_depth(first, second, same):
    assert same_values(pa.array(first), pa.array(second)) is same
