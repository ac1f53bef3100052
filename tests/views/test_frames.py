"""Every Arrow type comes out of every end with its values, or is refused by name; nothing crashes."""

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from foldstore.datastore.engine import Engine
from foldstore.errors import InvalidQueryError, UsageError
from foldstore.views import frames
from foldstore.views.display import html_table
from foldstore.views.values import display_values
from foldstore.views.view import View
from tests.views.arrow_types import ARRAYS, NAMES, readable, table_of
from tests.views.table_source import TableSource

_UNIONS = {"dense_union", "sparse_union"}
_INTERVALS = {"interval", "interval_ns", "list_of_interval"}
BEYOND_POLARS = _UNIONS | _INTERVALS | {
    "decimal128_negative", "decimal256", "decimal256_short", "duration_s_far", "large_list_view", "list_of_zone",
    "list_view", "run_end", "timestamp_s_far",
}  # fmt: skip
BEYOND_NUMPY = _UNIONS | _INTERVALS | {"list_of_time", "time64_ns"}
# Maps come to polars as lists of structs, and what is an extension type is none of ours.
KEPT = [name for name in NAMES if name not in {"uuid", "json", "bool8", "tensor"}]


def as_pairs(value: Any) -> Any:
    return [tuple(each.values()) if isinstance(each, dict) else each for each in value] if value else value


@pytest.mark.parametrize("name", [name for name in KEPT if name not in BEYOND_POLARS])
def test_polars_holds_the_values_that_went_in(engine: Engine, name: str) -> None:
    for frame in (
        frames.to_polars(table_of(name)),
        View(TableSource(table_of(name)), engine=engine).scan().collect(),
    ):
        found, expected = readable(frame["x"].to_arrow()), readable(ARRAYS[name])
        if name.startswith("date64"):  # instants at midnight, in polars
            expected = [None if value is None else int(value) * 86_400 * 10**9 for value in expected]
        assert ([as_pairs(value) for value in found] if name.startswith("map") else found) == expected


@pytest.mark.parametrize("name", sorted(BEYOND_POLARS))
def test_what_polars_cannot_hold_is_refused_in_words(name: str) -> None:
    with pytest.raises(UsageError, match="polars cannot hold") as caught:
        frames.to_polars(table_of(name))
    assert caught.value.code == "unsupported-type"


@pytest.mark.parametrize("name", sorted(BEYOND_POLARS - {"duration_s_far", "timestamp_s_far"}))
def test_a_lazy_frame_of_what_polars_cannot_hold_is_refused_when_it_is_made(engine: Engine, name: str) -> None:
    with pytest.raises(UsageError, match="polars cannot hold column 'x'"):
        View(TableSource(table_of(name)), engine=engine).scan()


@pytest.mark.parametrize("name", [name for name in KEPT if name not in BEYOND_NUMPY])
def test_numpy_holds_the_values_that_went_in(name: str) -> None:
    found = frames.to_numpy(table_of(name))["x"]
    expected = readable(ARRAYS[name])
    is_null = [value is None or bool(np.isscalar(value) and value != value) for value in found.tolist()]  # noqa: PLR0124 - NaN
    assert is_null == [value is None for value in expected]
    if found.dtype.kind in "mM":
        ticks = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1, "D": 1}[np.datetime_data(found.dtype)[0]]
        if name.startswith("date64"):
            expected = [None if value is None else int(value) * 86_400 * 10**9 for value in expected]
        whole = [None if null else int(each) * ticks for each, null in zip(found.astype("int64"), is_null, strict=True)]
        assert whole == expected
    elif found.dtype.kind == "f":
        assert np.array_equal(found, np.array(expected, dtype=found.dtype), equal_nan=True)
    elif name.startswith(("decimal", "string", "large_string", "binary", "large_binary", "bool", "dictionary")):
        assert found.tolist() == expected


@pytest.mark.parametrize("name", sorted(BEYOND_NUMPY))
def test_what_numpy_cannot_hold_is_refused_in_words(name: str) -> None:
    with pytest.raises(UsageError, match="numpy cannot hold column 'x'") as caught:
        frames.to_numpy(table_of(name))
    assert caught.value.facts["column"] == "x"


def test_a_null_of_a_dictionary_stays_null_in_numpy() -> None:
    codes = pa.array([0, None, 1, None], pa.int8())
    table = pa.table({"x": pa.DictionaryArray.from_arrays(codes, pa.array(["a", "b"]))})
    assert frames.to_numpy(table)["x"].tolist() == ["a", None, "b", None]


def test_instants_in_a_fixed_offset_come_to_polars_in_utc() -> None:
    table = pa.table({"x": pa.array([0], pa.timestamp("us", "+05:30"))})
    assert frames.to_polars(table)["x"].dtype == pl.Datetime("us", "UTC")


def test_names_that_repeat_are_refused_where_columns_are_reached_by_name() -> None:
    table = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    for end in (frames.to_polars, frames.to_numpy):
        with pytest.raises(InvalidQueryError, match="several named 'a'") as caught:
            end(table)
        assert caught.value.code == "repeated-column"
        assert "AS" in str(caught.value.hint)


@pytest.mark.parametrize("name", NAMES)
def test_every_type_can_be_shown(name: str) -> None:
    assert "<td>" in html_table(table_of(name), name)
    assert len(display_values(ARRAYS[name])) == len(ARRAYS[name])


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (pa.array([9_089_348_860_800_000_000], pa.timestamp("us")), "290000-01-01T00:00:00.000000"),
        (pa.array([1], pa.timestamp("ns")), "1970-01-01T00:00:00.000000001"),
        (pa.array([-1], pa.timestamp("ns", "Europe/Berlin")), "1969-12-31T23:59:59.999999999Z"),
        (pa.array([-62_135_596_801], pa.timestamp("s")), "0000-12-31T23:59:59"),
        (pa.array([-(2**31) + 10], pa.int32()).cast(pa.date32()), "-5877641-07-03"),
        (pa.array([1_500], pa.duration("ns")), "1500 ns"),
        (pa.array([86_399_999_999_999], pa.time64("ns")), "23:59:59.999999999"),
        (pa.array([[1]], pa.list_(pa.timestamp("ns"))), ["1970-01-01T00:00:00.000000001"]),
        (pa.array([{"t": 1}], pa.struct({"t": pa.time64("ns")})), {"t": "00:00:00.000000001"}),
        (pa.array([0], pa.timestamp("us", "No/Where")), "1970-01-01T00:00:00.000000Z"),
    ],
)  # fmt: skip
def test_what_python_has_no_value_for_is_shown_as_text(array: pa.Array, text: Any) -> None:
    assert display_values(array) == [text]


def test_dates_of_any_year_are_written_as_numpy_writes_them() -> None:
    days = np.arange(-800_000_000, 800_000_000, 7_654_321)
    written = display_values(pa.array([*days, 2**31 - 10], pa.int32()).cast(pa.date32()))
    for day, text in zip(days, written, strict=False):
        assert str(text) == str(np.datetime64(int(day), "D")).replace("+", "")
