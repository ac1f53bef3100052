"""Durations and instants, read by one function each."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.errors import UsageError
from foldstore.views.instant import (
    format_duration,
    format_instant,
    parse_duration,
    parse_instant,
)
from foldstore.views.time_column import to_nanoseconds

HOUR = 3_600_000_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [("7d", 7 * 24 * HOUR), ("1h30m", HOUR * 3 // 2), ("2w", 14 * 24 * HOUR), ("1500us", 1_500_000), ("0", 0)],
)
def test_a_duration_is_read_from_text(text, expected):
    assert parse_duration(text) == expected


def test_a_duration_is_read_from_a_timedelta_to_the_microsecond():
    assert parse_duration(dt.timedelta(seconds=1, microseconds=1)) == 1_000_001_000


@pytest.mark.parametrize("wrong", ["", "7", "d", "-7d", "7 days", "1.5h", "9" * 18 + "w", 7, None, dt.timedelta(-1)])
def test_what_is_no_duration_is_refused(wrong):
    with pytest.raises(UsageError, match=r"length of time|negative or longer"):
        parse_duration(wrong)


@given(st.integers(0, 2**63 - 2))
def test_a_duration_survives_being_written(nanoseconds):
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01", 0),
        ("1970-01-01T01:00:00Z", HOUR),
        ("1970-01-01T01:00:00", HOUR),
        ("1970-01-01 02:00:00+01:00", HOUR),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1969-12-31T23:59:59.5Z", -500_000_000),
    ],
)
def test_an_instant_is_read_from_text(text, expected):
    assert parse_instant(text) == expected


@pytest.mark.parametrize(
    "wrong", ["", "yesterday", "2013-13-01", "2013-10-01T25:00:00Z", "9999-12-31", None, True, 1.5]
)
def test_what_is_no_instant_is_refused(wrong):
    with pytest.raises(UsageError, match=r"instant|outside the years"):
        parse_instant(wrong)


@given(st.integers(-(2**63) + 2, 2**63 - 2))
def test_an_instant_survives_being_written(nanoseconds):
    assert parse_instant(format_instant(nanoseconds)) == nanoseconds


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_a_column_reads_alike_in_every_unit_and_zone(unit, zone):
    column = pa.chunked_array([pa.array([HOUR, None], pa.timestamp("ns")).cast(pa.timestamp(unit)).cast(pa.int64())])
    read = to_nanoseconds(column.cast(pa.timestamp(unit, zone)))
    assert read.values.tolist() == [HOUR, 0]
    assert read.nulls is not None
    assert read.nulls.tolist() == [False, True]


def test_dates_are_midnight_in_utc():
    read = to_nanoseconds(pa.array([dt.date(1970, 1, 2)]))
    assert read.values.tolist() == [24 * HOUR]
    assert read.nulls is None


def test_a_year_that_nanoseconds_cannot_hold_is_refused_with_a_way_out():
    column = pa.array([np.datetime64("9999-12-31T00:00:00", "s")])
    with pytest.raises(UsageError, match="outside the years") as error:
        to_nanoseconds(column, where="'until'")
    assert "null" in (error.value.hint or "")


def test_a_column_of_numbers_is_not_taken_for_times():
    with pytest.raises(UsageError, match="int64, not a time"):
        to_nanoseconds(pa.array([1]))
