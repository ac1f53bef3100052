"""Times that neither Python nor microseconds can hold are judged all the same."""

import datetime as dt

import pyarrow as pa
import pytest

from foldstore.datastore.statistics.profile import profile_table
from foldstore.validation.check import validate
from foldstore.validation.column_domains import TimeDomain
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.inference import infer_schema
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import TableSubject
from foldstore.validation.surroundings import Surroundings

NOW = "2026-03-01T12:00:00Z"
TYPES = ["timestamp[s]", "timestamp[ms]", "timestamp[us]", "timestamp[ns]", "timestamp[s, tz=UTC]", "date32[day]"]


def kind_of(text):
    if text.startswith("date32"):
        return pa.date32()
    unit, _, zone = text.removeprefix("timestamp[").rstrip("]").partition(", tz=")
    return pa.timestamp(unit, zone or None)


def ticks(values, text):
    kind = kind_of(text)
    return pa.array(values, pa.int32() if kind == pa.date32() else pa.int64()).cast(kind)


def judge(values, text, domain=None, **fields):
    schema = DataSchema(columns={"t": ColumnSchema(type=text, domain=domain)}, **fields)
    subject = TableSubject(pa.table({"t": ticks(values, text)}), "t")
    report = validate(subject, schema, Surroundings(created_at=NOW))
    accepted = validate(subject, schema.accept(report.anomalies), Surroundings(created_at=NOW))
    assert not {each.code for each in accepted.anomalies} & {"below_min", "above_max"}
    return {each.code: each for each in report.anomalies if each.code != "time_gap"}


@pytest.mark.parametrize("text", TYPES)
def test_far_times_lie_beyond_their_limits(text):
    most = 2**31 - 1 if text.startswith("date") else 2**62
    domain = TimeDomain(min="1960-01-01", max="2030-01-01", max_future="1d")
    late, early = judge([0, most], text, domain), judge([0, -most], text, domain)
    assert late.keys() >= {"above_max", "future_time"}
    assert late["above_max"].count == late["future_time"].count == 1
    assert early["below_min"].count == 1
    assert not early.keys() & {"above_max", "future_time"}


@pytest.mark.parametrize("text", TYPES)
def test_far_times_are_fresh_or_stale(text):
    most = 2**31 - 1 if text.startswith("date") else 2**62
    rules = {"time_column": "t", "freshness": "1h", "time_step": "1d"}
    assert "stale" not in judge([0, most], text, **rules)
    assert "stale" in judge([-most, -most + 1], text, **rules)


def test_the_last_day_that_python_knows_has_an_end():
    last = (dt.date(9999, 12, 31) - dt.date(1970, 1, 1)).days
    assert not judge([last], "date32[day]", time_column="t", freshness="1h")


def test_limits_are_exact_in_every_unit():
    noon = 1_772_366_400  # 2026-03-01T12:00:00Z
    for unit, factor in (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)):
        domain = TimeDomain(min=NOW, max=NOW)
        assert not judge([noon * factor], f"timestamp[{unit}]", domain)
        assert judge([noon * factor - 1], f"timestamp[{unit}]", domain)["below_min"].count == 1
        assert judge([noon * factor + 1], f"timestamp[{unit}]", domain)["above_max"].count == 1


def test_a_day_is_compared_by_its_first_instant():
    day = (dt.date(2026, 3, 1) - dt.date(1970, 1, 1)).days
    assert judge([day], "date32[day]", TimeDomain(min=NOW))["below_min"].count == 1
    assert not judge([day], "date32[day]", TimeDomain(max=NOW))


def test_a_future_may_reach_beyond_year_9999():
    assert not judge([0], "timestamp[us]", TimeDomain(max_future="9000000d"))


@pytest.mark.parametrize("end", [2**63 - 1, -(2**63)])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_at_the_ends_of_what_is_held_have_a_schema_that_they_pass(unit, end):
    table = pa.table({"t": pa.array([end, None, end], pa.int64()).cast(pa.timestamp(unit, "UTC"))})
    assert validate(TableSubject(table, "t"), infer_schema(profile_table(table))).passed
