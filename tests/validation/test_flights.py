"""A year of real flights judged by the schema of January: what fires is what happened."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from foldstore.datastore.statistics.profile import profile_table
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


@pytest.mark.parametrize("file", ["flights/flights_2013-01.parquet", "planes.csv", "airlines.csv"])
def test_half_of_the_rows_pass_the_schema_of_the_other_half(file):
    path = FLIGHTS.parent / file
    table = csv.read_csv(path) if path.suffix == ".csv" else pq.read_table(path)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(table.num_rows)
        halves = [table.take(pa.array(part)) for part in np.array_split(order, 2)]
        schema = infer_schema(profile_table(halves[0]))
        assert set(validate(TableSubject(halves[1], "t"), schema).by_code()) <= {"drift_untestable"}


def test_only_the_long_delays_of_summer_leave_their_quantiles(january):
    soft = {"quantile_out_of_bounds", "length_low", "length_high", "duplicate_key", "semantic_class_changed"}
    found = {
        (number, anomaly.code, anomaly.column)
        for number in range(2, 13)
        for anomaly in validate(month(number), january).anomalies
        if anomaly.code in soft
    }
    assert found == {(each, "quantile_out_of_bounds", "dep_delay") for each in (6, 7)}


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
