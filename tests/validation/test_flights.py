"""A year of real flights judged by the schema of January: what fires is what happened."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from foldstore.validation.check import validate
from foldstore.validation.inference import infer_schema
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import TableSubject

FLIGHTS = Path(__file__).parents[2] / "sample_data" / "flights"
KEYS = ["carrier", "flight", "origin", "time_hour"]
CALENDAR = {"year", "month", "day", "time_hour"}


def month(number: int) -> TableSubject:
    return TableSubject(pq.read_table(FLIGHTS / f"flights_2013-{number:02}.parquet"), f"flights@{number}")


@pytest.fixture(scope="module")
def january() -> DataSchema:
    return infer_schema(month(1).profile(), keys=KEYS, name="flights")


def test_january_passes_its_own_schema(january):
    assert validate(month(1), january).anomalies == ()


def test_the_february_blizzard_shows_in_the_nulls_and_nowhere_else(january):
    report = validate(month(2), january)
    outcome = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"}
    fired = {code: {each.column for each in found} for code, found in report.by_code().items()}
    # Cancelled flights have no departure, no arrival and often no tail number.
    assert fired == {"null_fraction_high": outcome | {"tailnum"}, "missingness_drift": outcome}
    assert not report.passed


def test_february_passes_the_child_that_accepts_it(january):
    report = validate(month(2), january)
    child = january.accept(report.anomalies)
    assert child.version == "1.1.0"
    assert child.parent == january.id
    assert validate(month(2), child).anomalies == ()
    assert validate(month(1), child).passed


@pytest.mark.parametrize("number", range(3, 13))
def test_the_calendar_never_fires(january, number):
    report = validate(month(number), january)
    assert not {each.column for each in report.anomalies} & CALENDAR
    assert "duplicate_key" not in report.by_code()


def test_summer_brings_the_islands(january):
    (anomaly,) = validate(month(7), january).by_code()["value_outside_domain"]
    assert anomaly.column == "dest"
    assert {value for value, _ in anomaly.evidence["new"]} >= {"ACK", "MVY"}  # Nantucket, Martha's Vineyard


def test_the_schema_of_january_can_be_reviewed_as_text(january):
    assert DataSchema.from_yaml(january.to_yaml()).id == january.id
