"""Times compared by hour of the day and day of the week: only over what both sides cover."""

import datetime as dt
import json
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from foldstore.datastore.statistics.column import profile_array
from foldstore.datastore.statistics.pinned import GridCounts, WeekGrid, count_array, grid_from_dict
from foldstore.datastore.statistics.profile import profile_table
from foldstore.errors import InvalidSchemaError
from foldstore.validation.check import drift_between, validate
from foldstore.validation.drift.comparison import DriftResult
from foldstore.validation.drift.week import BY_DAY, BY_HOUR, split_week
from foldstore.validation.inference import infer_schema
from foldstore.validation.inferred_week import infer_week
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import TableSubject

MONDAY = 4 * 24  # 1970-01-05, in hours since 1970-01-01
# Few at night, most in the afternoon, and half as many on Saturdays and Sundays.
OF_DAY = np.exp(1.5 * np.sin((np.arange(24) - 9) / 12 * np.pi))
RUSH = np.array([1, 1, 1, 1, 2, 4, 9, 14, 12, 7, 6, 6, 7, 6, 6, 8, 12, 14, 10, 6, 4, 3, 2, 1], float)
OF_WEEK = np.array([1, 1, 1, 1, 1, 0.5, 0.5])


def draw(days, *, first=MONDAY, hours=None, rows=400, of_day=OF_DAY, of_week=OF_WEEK, turned=0, vary=0.0, seed=0):
    """Return times of a span of hours, Poisson by hour, each day by a factor of its own."""
    random = np.random.default_rng(seed)
    span = first + np.arange(24 * days if hours is None else hours)
    shares = np.roll(of_day, turned)[span % 24] * of_week[(span // 24 + 3) % 7] / (of_day.mean() * 24)
    factors = random.gamma(1 / vary**2, vary**2, span.max() // 24 + 1) if vary else np.ones(span.max() // 24 + 1)
    counts = random.poisson(rows * shares * factors[span // 24])
    return np.sort(np.repeat(span, counts) * 3_600 + random.integers(0, 3_600, counts.sum()))


def stamps(seconds, zone=None):
    return TableSubject(pa.table({"at": pa.array(seconds, pa.timestamp("s", zone))}), "t")


def compare(before, after):
    return drift_between(stamps(before), stamps(after)).columns["at"]


def flagged(found):
    return found.verdict.value in ("warn", "error")


def test_an_hour_of_the_week_is_that_of_the_clock_of_the_zone():
    zone = "America/New_York"
    random = np.random.default_rng(1)
    seconds = np.sort(random.integers(-2_208_988_800, 2_145_916_800, 2_000))
    kept = np.zeros(168, int)
    for each in seconds.tolist():
        local = dt.datetime.fromtimestamp(each, ZoneInfo(zone))
        kept[local.weekday() * 24 + local.hour] += 1
    assert list(profile_array(pa.array(seconds, pa.timestamp("s", zone))).week) == kept.tolist()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "+05:30", "Asia/Kathmandu"])
def test_rows_are_counted_in_a_week_as_the_profile_counts_them(unit, zone):
    times = pa.array([*draw(9, seed=2).tolist(), None], pa.timestamp("s", zone)).cast(pa.timestamp(unit, zone))
    column = profile_array(times)
    assert count_array(times, infer_week(column)) == GridCounts(column.week, nulls=1)


def test_a_profile_of_a_week_does_not_depend_on_the_cut():
    times = pa.array(draw(20, seed=3), pa.timestamp("s", "Europe/Berlin"))
    whole = profile_table(pa.table({"at": times}))
    parts = [profile_table(pa.table({"at": p})) for p in (times[:7], times[7:])]
    merged = type(whole).merge(*reversed(parts)).columns["at"]
    assert merged.week == whole.columns["at"].week
    assert infer_week(merged) == infer_week(whole.columns["at"])


def test_zones_that_nobody_knows_and_times_far_away_are_counted_too():
    far = [-(2**63), -62_135_596_800, 253_402_300_799, 2**63 - 1]
    assert sum(profile_array(pa.array(far, pa.timestamp("s"))).week) == 4
    zoned = profile_array(pa.array(far, pa.timestamp("s", "Europe/Berlin")))
    assert sum(zoned.week) == 4
    assert infer_week(zoned).first <= infer_week(zoned).last
    odd = pa.array([0, 3_600], pa.int64()).view(pa.timestamp("s", "Mars/Olympus"))
    assert profile_array(odd).week[72:74] == (1, 1)


@pytest.mark.parametrize("unit", ["s", "ns"])
def test_the_time_that_is_covered_leaves_out_cut_hours_and_stray_rows(unit):
    seconds = draw(14, first=MONDAY + 10, seed=4)
    late = np.concatenate([seconds[:30] - 400 * 86_400, seconds])
    for each in (seconds, late):
        grid = infer_week(profile_array(pa.array(each, pa.timestamp("s")).cast(pa.timestamp(unit))))
        assert abs(grid.first - (MONDAY + 10)) <= 12
        assert abs(grid.last - (MONDAY + 10 + 14 * 24)) <= 24
    today = np.concatenate([draw(3, seed=5)[::8], draw(1, first=MONDAY + 72, seed=5)])
    grid = infer_week(profile_array(pa.array(today, pa.timestamp("s"))))
    assert MONDAY + 72 <= grid.first < grid.last <= MONDAY + 96


def test_dates_cover_whole_days():
    days = pa.array(np.repeat(np.arange(4, 18), 50), pa.int32()).cast(pa.date32())
    grid = infer_week(profile_array(days))
    assert (grid.first, grid.last, grid.by_hour, grid.days_vary) == (4, 18, False, 0.0)
    written = infer_week(profile_array(days.cast(pa.timestamp("us"))))
    assert (written.first, written.last) == (4 * 24, 18 * 24)
    assert infer_week(profile_array(days.cast(pa.date64()))) == grid


@pytest.mark.parametrize(
    ("days", "first"),
    [(1, MONDAY), (1, MONDAY + 5 * 24), (3, MONDAY + 10), (7, MONDAY + 31), (10, MONDAY), (31, MONDAY)],
)
def test_fewer_or_other_days_are_no_drift(days, first):
    before = draw(56, seed=6)
    found = compare(before, draw(days, first=first, seed=7))
    assert not flagged(found)
    assert (found.verdict.value == "untestable") == (days < 7)
    assert ("day of the week" in found.reason) == (days < 7)


@pytest.mark.parametrize("hours", [1, 5, 12])
def test_less_than_a_day_says_nothing_of_the_hours(hours):
    found = compare(draw(56, seed=8), draw(0, hours=hours, rows=5_000, seed=9))
    assert found.verdict.value == "untestable"
    assert "hour of the day" in found.reason


def test_hours_that_moved_are_flagged_with_the_lag():
    found = compare(draw(28, seed=10), draw(28, turned=3, seed=11))
    assert flagged(found)
    assert (found.part, found.lag) == (BY_HOUR, 3)
    assert found.largest_change["after"] > found.largest_change["before"]
    day = compare(draw(28, seed=10), draw(1, turned=3, rows=4_000, seed=11))
    assert flagged(day)
    assert (day.part, day.lag) == (BY_HOUR, None)


def test_one_hour_is_never_more_than_a_warning():
    sharp = np.zeros(24)
    sharp[[8, 12, 17]] = 1
    counts = np.rint(np.tile(sharp, 28) * 50).astype(int)
    before = np.repeat(np.arange(28 * 24), counts) * 3_600 + 60
    found = compare(before, before + 3_600)
    assert (found.verdict.value, found.lag, found.effect > 0.2) == ("warn", 1, True)
    assert compare(before, before + 2 * 3_600).verdict.value == "error"


@pytest.mark.parametrize(("zone", "flags"), [("UTC", False), ("+00:00", False), ("Africa/Abidjan", True), (None, True)])
@pytest.mark.parametrize("since", [0, 9])
def test_daylight_saving_on_a_clock_that_does_not_follow_it_is_no_drift(zone, flags, since):
    before = draw(28, of_day=RUSH, rows=2_000, seed=20)
    after = draw(28, of_day=RUSH, rows=2_000, seed=21)
    moved = after + np.where(after >= (MONDAY + since * 24) * 3_600, 3_600, 0)
    found = drift_between(stamps(before, zone), stamps(np.sort(moved), zone)).columns["at"]
    assert found.effect >= 0.1
    assert flagged(found) == flags
    assert ("daylight saving" in found.reason) == (not flags)
    assert flagged(drift_between(stamps(before, zone), stamps(before + 3 * 3_600, zone)).columns["at"])


def test_a_day_that_is_missing_from_now_on_is_flagged():
    closed = np.array([1, 1, 1, 1, 1, 0.5, 0])
    found = compare(draw(28, seed=12), draw(28, of_week=closed, seed=13))
    assert flagged(found)
    assert found.part == BY_DAY
    opened = compare(draw(28, of_week=closed, seed=13), draw(28, seed=12))
    assert (opened.largest_change["cell"], opened.largest_change["before"]) == ("Sunday", 0.0)


def test_days_that_vary_from_week_to_week_are_no_days_that_drifted():
    flags = [flagged(compare(draw(28, vary=0.5, seed=seed), draw(28, vary=0.5, seed=100 + seed))) for seed in range(20)]
    assert sum(flags) <= 2
    steady = infer_week(stamps(draw(28, seed=1)).profile().columns["at"])
    wild = infer_week(stamps(draw(28, vary=0.5, seed=1)).profile().columns["at"])
    assert steady.days_vary < 0.02
    assert 0.08 < wild.days_vary < 0.8


def test_a_side_that_covers_a_cell_more_often_counts_there_pro_rata():
    f, g = np.array([20, 20, 20, 20, 20, 20, 20]), np.array([20, 20, 20, 10, 10, 10, 10])
    before, after = WeekGrid(4, 18, by_hour=False, days_vary=0.0), WeekGrid(4, 14, by_hour=False)
    (part,) = split_week(f, g, before, after)
    assert part.reason == ""
    assert part.before.sum() < f.sum() or part.after.sum() < g.sum()
    assert np.allclose(part.before / part.before.sum(), 1 / 7)
    assert np.allclose(part.after / part.after.sum(), 1 / 7)


def test_two_sides_that_share_no_time_of_the_week_are_untestable():
    f, g = np.array([9, 0, 0, 0, 0, 0, 0]), np.array([0, 9, 0, 0, 0, 0, 0])
    (part,) = split_week(f, g, WeekGrid(4, 5, by_hour=False), WeekGrid(5, 6, by_hour=False))
    assert part.reason
    (part,) = split_week(f, g, WeekGrid(4, 5, by_hour=False), None)
    assert part.reason


def test_a_schema_compares_times_and_names_what_grew():
    schema = infer_schema(stamps(draw(28, seed=14)).profile())
    column = schema.columns["at"]
    assert isinstance(column.grid, WeekGrid)
    assert column.evidence["why"]["grid"] == f"the week of {column.reference.total:,} times in 27 days"
    assert DataSchema.from_yaml(schema.to_yaml()).id == schema.id
    evening = draw(28, turned=1, seed=15)
    night = np.concatenate([evening, evening[::3] // 86_400 * 86_400 + 3 * 3_600])
    report = validate(stamps(np.sort(night)), schema)
    (anomaly,) = [each for each in report.anomalies if each.code == "drift"]
    assert anomaly.evidence["part"] == BY_HOUR
    assert anomaly.evidence["grew"][0]["cell"] == "03:00"
    assert "03:00" in anomaly.message
    assert "by hour of the day" in report.to_html()
    assert not [each for each in validate(stamps(draw(28, seed=16)), schema).anomalies if "drift" in each.code]
    few = [each for each in validate(stamps(draw(1, seed=16)), schema).anomalies if "drift" in each.code]
    assert [each.code for each in few] == ["drift_untestable"]
    assert "day of the week" in few[0].message
    again = DriftResult.from_dict(json.loads(json.dumps(report.drift.to_dict())))
    assert again.columns["at"] == report.drift.columns["at"]


def test_another_zone_is_said_once():
    schema = infer_schema(stamps(draw(28, seed=17)).profile())
    codes = [each.code for each in validate(stamps(draw(28, turned=5, seed=18)), schema).anomalies]
    assert codes.count("timezone_shift_suspect") == 1
    assert "drift" not in codes


def test_nulls_of_times_are_compared_too():
    before = draw(28, seed=19)
    after = pa.array([None if each % 4 == 0 else each for each in before.tolist()], pa.timestamp("s"))
    found = drift_between(stamps(before), TableSubject(pa.table({"at": after}), "t")).columns["at"]
    assert found.null_verdict.value == "error"


@pytest.mark.parametrize(
    "data",
    [
        {"week": "months", "first": 0, "last": 1},
        {"week": "hours", "first": 2, "last": 1},
        {"week": "hours", "first": 0.5, "last": 1},
        {"week": "hours", "first": 0, "last": 1, "days_vary": -1},
        {"week": "hours", "first": 0, "last": 1, "more": 1},
        {"week": "hours", "first": 0, "last": 2**60},
    ],
)
def test_a_grid_of_a_week_that_is_none_is_refused(data):
    with pytest.raises(InvalidSchemaError):
        grid_from_dict(data)
