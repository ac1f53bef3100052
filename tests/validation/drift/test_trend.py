"""Changes over versions: found soon, dated right, and seldom where there are none."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.validation.drift.time_trends import trends_over_time
from foldstore.validation.drift.trend import date_change, find_changes, noise_floor
from foldstore.validation.drift.trends import MEAN, Trends, make_trend
from foldstore.validation.subject import TableSubject


def test_stable_series_seldom_raise_an_alarm():
    generator = np.random.default_rng(5)
    alarms = sum(bool(find_changes(generator.normal(size=50))) for _ in range(1_000))
    # Known parameters would give one alarm in about 1,250 values; 42 of each 50 are judged.
    assert 10 <= alarms <= 45


def test_a_step_is_found_at_once_and_a_ramp_soon():
    generator = np.random.default_rng(6)
    delays, dates = [], []
    for _ in range(200):
        series = np.concatenate([generator.normal(size=30), generator.normal(6, size=20)])
        changes = [change for change in find_changes(series) if change.alarm >= 30]
        delays += [change.alarm - 30 for change in changes[:1]]
        dates += [change.start for change in changes[:1]]
    assert len(dates) >= 195  # a false alarm shortly before leaves too few values to learn from
    assert np.median(delays) <= 1
    assert np.mean([abs(date - 30) <= 1 for date in dates]) > 0.9
    rise = 0.8 * np.maximum(0, np.arange(60) - 30)
    ramps = [find_changes(generator.normal(size=60) + rise)[0].alarm for _ in range(50)]
    assert np.median(ramps) <= 36


@given(st.lists(st.integers(-1_000, 1_000), max_size=60), st.sampled_from([2.0**-60, 0.5, 2.0**40]))
def test_the_unit_of_a_series_does_not_matter(values, scale):
    first = [(change.start, change.alarm) for change in find_changes(values)]
    assert [(change.start, change.alarm) for change in find_changes([value * scale for value in values])] == first


def test_what_was_constant_changes_at_its_first_other_value():
    series = [0.25] * 40 + [0.25, 0.26, 0.2, 0.3, 0.24]
    (change, *_) = find_changes(series)
    assert (change.start, change.alarm, change.before) == (41, 41, 0.25)
    assert np.isfinite(change.score)


def test_missing_values_are_passed_over_and_positions_kept():
    series = [None, 1.0, float("nan")] + [1.0] * 20 + [None, 2.0]
    assert [(change.start, change.alarm) for change in find_changes(series)] == [(24, 24)]
    assert find_changes([]) == []
    assert find_changes([1.0] * 3) == []


def test_after_a_change_the_series_starts_anew():
    generator = np.random.default_rng(8)
    series = np.concatenate([generator.normal(level, size=40) for level in (0, 9, 0)])
    starts = [change.start for change in find_changes(series)]
    assert [round(start, -1) for start in starts] == [40, 80]
    falls = [change.score < 0 for change in find_changes(series)]
    assert falls == [False, True]


def test_the_noise_floor_is_robust_and_needs_a_history():
    assert noise_floor([0.1] * 7) is None
    effects = [0.02, 0.03, 0.025, 0.02, 0.03, 0.028, 0.022, 0.9]
    assert noise_floor(effects) < 0.05


@given(st.integers(2, 60), st.integers(2, 60), st.integers(0, 2**32 - 1))
def test_a_change_is_dated_like_by_brute_force(before, after, seed):
    generator = np.random.default_rng(seed)
    values = np.concatenate([generator.normal(size=before), generator.normal(3, 2, size=after)])
    floor = values.var() * 1e-12

    def cost(k):
        return k * np.log(max(values[:k].var(), floor)) + (len(values) - k) * np.log(max(values[k:].var(), floor))

    best = min(cost(k) for k in range(1, len(values)))
    assert cost(date_change(values)) == pytest.approx(best, abs=1e-6)
    low, high = sorted(generator.integers(-1, len(values) + 2, size=2).tolist())
    places = range(max(1, low), min(len(values), high))
    found = date_change(values, low, high)
    if not places:
        assert found is None
    else:
        assert found in places
        assert cost(found) == pytest.approx(min(map(cost, places)), abs=1e-6)


def date_rows(seed, shift, rows=50, spans=50):
    """Return where a level shifts, and the changes that are found: of spans of so many rows."""
    generator = np.random.default_rng(seed)
    true = int(generator.integers(20 * rows, 35 * rows))
    values = generator.normal(size=rows * spans) + shift * (np.arange(rows * spans) >= true)
    seconds = pa.array(np.arange(rows * spans), pa.timestamp("s"))
    subject = TableSubject(pa.table({"ts": seconds, "x": values}), "t")
    return true, trends_over_time(subject, "ts", rows * 10**9).of("x").changes


@pytest.mark.parametrize(("shift", "most"), [(0.3, 40), (0.5, 20), (1.0, 5)])
def test_a_row_lies_in_the_span_of_its_change_or_the_one_before_and_near_the_truth(shift, most):
    errors = []
    for seed in range(60):
        true, changes = date_rows(seed, shift)
        for change in changes:
            begins = int(np.datetime64(change.at.removesuffix("Z"), "s").astype(int))
            assert begins - 50 <= change.row < begins + 50
        errors += [min(abs(change.row - true) for change in changes)] if changes else []
    # Where any row up to the alarm could be told, the median errors were 130, 92 and 5.
    assert len(errors) >= 55
    assert np.median(errors) <= most


def test_equal_values_have_no_change():
    assert date_change(np.array([2.0, 2.0])) is None
    assert date_change(np.array([2.0])) is None


def test_what_only_rises_has_no_level_and_is_told_for_itself():
    labels = [f"t@{n}" for n in range(20)]
    generator = np.random.default_rng(0)
    series = {
        "id": np.arange(20.0) * 1_000,
        "month": np.repeat(np.arange(10.0), 2),
        "left": -np.arange(20.0),
        "price": np.repeat([1.0, 9.0], 10) + generator.normal(0, 0.1, 20),
        "rate": np.repeat([7.0, 19.0], 10),
    }
    made = [make_trend(name, MEAN, labels, values.tolist(), 1, None) for name, values in series.items()]
    assert [each.steady for each in made] == ["rises", "rises", "falls", None, None]
    found = Trends("t", tuple(made))
    assert "price" in found.changed
    assert not set(found.changed) & {"id", "month", "left"}
    assert str(found).splitlines()[-1] == "  only rise or fall: id, month, left"
    assert "id:" not in str(found)
    assert made[0].to_dict()["steady"] == "rises"


@pytest.mark.parametrize("season", [2, 3, 10])
def test_a_season_that_is_longer_than_the_series_shows_no_change(season):
    found = make_trend("x", "mean", ["1", "2"], [1.0, 90.0], season, None)
    assert (found.values, found.changes) == ((1.0, 90.0), ())
