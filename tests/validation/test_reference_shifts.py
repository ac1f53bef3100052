"""Named changes since the reference: units, time zones, new categories, tails; and rows beside the version before."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

import foldstore
from foldstore.validation.check import validate
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.inference import infer_schema
from foldstore.validation.subject import TableSubject

RANDOM = np.random.default_rng(7)
MINUTES = RANDOM.gamma(2.0, 45.0, 6_000).round()
DEGREES = RANDOM.normal(12.0, 8.0, 6_000)


def infer(values):
    return infer_schema(TableSubject(pa.table({"x": values}), "").profile())


def judge(values, schema):
    return {each.code: each for each in validate(TableSubject(pa.table({"x": values}), "t"), schema).anomalies}


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (MINUTES, MINUTES * 60, "multiplied by 60"),
        (MINUTES, MINUTES / 60, "divided by 60"),
        (MINUTES.astype("int64"), (MINUTES * 1_000).astype("int64"), "multiplied by 1000"),
        (MINUTES.astype("int64"), MINUTES / 60, None),  # another type: that is said instead
        (MINUTES, MINUTES * 1.609344, "multiplied by 1.609344"),
        (DEGREES, DEGREES * 1.8 + 32, "turned from degrees Celsius into Fahrenheit"),
        (DEGREES * 1.8 + 32, DEGREES, "turned from degrees Fahrenheit into Celsius"),
        (DEGREES, DEGREES + 273.15, "turned from degrees Celsius into kelvins"),
        (MINUTES, MINUTES + 60, None),
        (MINUTES, MINUTES * 1.2, None),
        (MINUTES, np.zeros(6_000), None),
        (MINUTES, MINUTES[:50] * 60, None),  # too few to say
        (MINUTES, np.full(6_000, np.nan), None),
        (MINUTES, np.full(6_000, np.inf), None),
    ],
)
def test_a_change_of_unit_is_named(before, after, words):
    found = judge(after, infer(before)).get("unit_change_suspect")
    assert (found is None) == (words is None)
    assert found is None or words in found.message


def test_other_rows_of_the_same_kind_in_another_unit_are_found():
    other = np.random.default_rng(8).gamma(2.0, 45.0, 900).round()
    assert judge(other * 3_600, infer(MINUTES))["unit_change_suspect"].observed == 3_600
    assert "unit_change_suspect" not in judge(other, infer(MINUTES))


@pytest.mark.filterwarnings("error")
def test_edges_near_the_greatest_double_are_compared_quietly():
    assert "unit_change_suspect" not in judge(MINUTES, infer([1e308, -1e308, 1.7e308, 1.0] * 500))


START = dt.datetime.fromisoformat("2026-03-01T00:00")
HOURS = RANDOM.choice(24, 4_000, p=np.array([0] * 7 + [1, 4, 6, 5, 4, 3, 3, 3, 3, 4, 5, 3, 1, 1] + [0] * 3) / 46)
TIMES = [START + dt.timedelta(days=each % 30, hours=int(hour)) for each, hour in enumerate(HOURS)]


@pytest.mark.parametrize("lag", [-11, -5, -1, 0, 1, 2, 8, 12])
@pytest.mark.parametrize("zone", [None, "UTC"])
def test_a_shift_of_hours_is_measured(lag, zone):
    before = pa.array(TIMES, pa.timestamp("us", zone))
    after = pa.array([each + dt.timedelta(days=40, hours=lag) for each in TIMES], pa.timestamp("us", zone))
    found = judge(after, infer(before)).get("timezone_shift_suspect")
    assert (found.observed if found else None) == (lag if abs(lag) > 1 else None)  # one hour is daylight saving


def test_hours_all_alike_and_other_hours_are_no_shift():
    flat = [START + dt.timedelta(hours=each) for each in range(4_000)]
    spread = [START + dt.timedelta(days=each % 30, hours=each % 12 + 6) for each in range(4_000)]
    assert "timezone_shift_suspect" not in judge(pa.array(flat), infer(pa.array(flat)))
    assert "timezone_shift_suspect" not in judge(pa.array(spread), infer(pa.array(TIMES)))


def test_evidence_that_a_person_broke_is_no_evidence():
    for hours in ("many", [1, 2], [-1] * 24, ["x"] * 24, None):
        schema = infer(pa.array(TIMES)).with_column("x", evidence={"hours": hours}, drift=None)
        assert not judge(pa.array([each + dt.timedelta(hours=5) for each in TIMES]), schema)
    for edge in ("low", None, True):
        schema = infer(MINUTES).with_column("x", evidence={"minimum": edge, "maximum": 1}, drift=None)
        assert not judge(MINUTES, schema)


def test_tails_are_counted_as_a_loop_counts_them():
    schema = infer(MINUTES)
    for size in (900, 40_000):  # exact counts, and the bins of a grid
        values = np.concatenate([np.random.default_rng(9).gamma(2.0, 45.0, size), np.full(size // 20, 9e5)])
        found = judge(values, schema.with_column("x", drift=None))["tail_mass"]
        expected = sum(not MINUTES.min() <= each <= MINUTES.max() for each in values.tolist())
        assert found.count == expected
        assert found.observed == pytest.approx(expected / len(values), rel=0.02)


def test_a_label_has_limits_of_its_own():
    labels = np.arange(20_000) % 10 < 3
    moved = np.arange(20_000) % 10 < 4
    schema = infer(labels)
    assert "drift" not in judge(moved, schema)
    assert judge(moved, schema.with_changes(label="x"))["label_shift"].severity == "warn"
    wider = schema.with_column("x", drift=DriftPolicy(tau_error=0.3)).with_changes(label="x")
    assert "label_shift" not in judge(moved, wider)


def test_rows_are_compared_with_those_of_the_version_before(tmp_path):
    def codes(version):
        return [each.code for each in version.report.anomalies]

    with foldstore.connect(tmp_path / "store") as store:
        data = store.create_dataset("d")
        rows = {"x": list(range(100))}
        data.append(rows)
        schema = data.latest.profile().infer_schema().with_changes(rows_vs_previous=(0.5, 2))
        data.set_schema(schema.with_column("x", domain=None, drift=None))
        assert codes(data.append(rows)) == []  # 100 rows beside the 100 that came before, not beside all
        assert codes(data.append({"x": list(range(40))})) == ["rows_ratio_low"]
        assert codes(data.append({"x": list(range(81))})) == ["rows_ratio_high"]
        assert codes(data.overwrite({"x": list(range(10))})) == ["rows_ratio_low"]  # of 321
        third = data.version(3)
        assert [each.code for each in third.validate(rows="added").anomalies] == ["rows_ratio_low"]
        assert [each.code for each in third.validate().anomalies] == []  # 240 of 200
        assert [each.code for each in data.version(1).validate().anomalies] == ["stats_unavailable"]
