"""What a test part can show, against scipy, brute force and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, special, stats

from foldstore.errors import UsageError
from foldstore.validation.power import interval_half_width, power_of_part, smallest_difference


@given(st.integers(1, 20_000), st.floats(0, 1))
def test_half_widths_are_those_of_scipy_s_exact_interval(rows, share):
    expected = stats.binomtest(round(share * rows), rows).proportion_ci(0.95, method="exact")
    assert interval_half_width(rows, share) == pytest.approx((expected.high - expected.low) / 2, abs=1e-9)


def connor_rows(disagreement, difference, level, power):
    z, y = stats.norm.ppf(1 - level / 2), stats.norm.ppf(power)
    return (z * math.sqrt(disagreement) + y * math.sqrt(disagreement - difference**2)) ** 2 / difference**2


@given(st.integers(10, 200_000), st.sampled_from([0.01, 0.05, 0.1, 0.3, 1.0]), st.sampled_from([0.5, 0.8, 0.95]))
def test_the_smallest_difference_needs_as_many_rows_as_connor_says(rows, disagreement, power):
    found = smallest_difference(rows, disagreement, power=power)
    if found is not None:
        assert connor_rows(disagreement, found, 0.05, power) == pytest.approx(rows, rel=1e-6)
        return
    assert connor_rows(disagreement, disagreement, 0.05, power) > rows


def test_the_smallest_difference_is_the_root_that_a_solver_finds():
    for rows, disagreement in ((500, 0.1), (10_000, 0.05), (2_000, 0.3)):
        root = optimize.brentq(lambda d: connor_rows(disagreement, d, 0.05, 0.8) - rows, 1e-6, disagreement)  # noqa: B023
        assert smallest_difference(rows, disagreement) == pytest.approx(root, rel=1e-6)


def test_a_worked_value_of_connor_s_formula():
    # psi = 0.3, d = 0.1, level 0.05, power 0.8: (1.95996 * 0.547723 + 0.841621 * sqrt(0.29))^2 / 0.01 = 233.09
    assert connor_rows(0.3, 0.1, 0.05, 0.8) == pytest.approx(233.09, abs=0.01)
    assert smallest_difference(233, 0.3) == pytest.approx(0.10002, abs=1e-4)


@pytest.mark.parametrize(("rows", "disagreement"), [(400, 0.2), (2_000, 0.1), (5_000, 0.05)])
def test_models_that_differ_by_it_are_told_apart_in_about_eighty_of_a_hundred_tests(rows, disagreement):
    difference = smallest_difference(rows, disagreement)
    rng = np.random.default_rng(8)
    wins, losses, _ = rng.multinomial(
        rows, [(disagreement + difference) / 2, (disagreement - difference) / 2, 1 - disagreement], size=20_000
    ).T
    z = np.abs(wins - losses) / np.sqrt(np.maximum(wins + losses, 1))  # McNemar 1947
    assert (z > special.ndtri(0.975)).mean() == pytest.approx(0.8, abs=0.02)
    same = rng.multinomial(rows, [disagreement / 2, disagreement / 2, 1 - disagreement], size=20_000)
    z = np.abs(same[:, 0] - same[:, 1]) / np.sqrt(np.maximum(same[:, 0] + same[:, 1], 1))
    assert (z > special.ndtri(0.975)).mean() == pytest.approx(0.05, abs=0.012)


def test_the_exact_power_by_brute_force_is_about_what_is_promised():
    rows, disagreement = 300, 0.2
    difference = smallest_difference(rows, disagreement)
    share = (1 + difference / disagreement) / 2
    power = 0.0
    for decided in range(1, rows + 1):
        wins = np.arange(decided + 1)
        found = np.abs(2 * wins - decided) / math.sqrt(decided) > special.ndtri(0.975)
        chance = stats.binom.pmf(wins, decided, share)[found].sum()
        power += stats.binom.pmf(decided, rows, disagreement) * chance
    assert power == pytest.approx(0.8, abs=0.02)


def test_the_rarer_class_decides_how_exactly_recall_is_known():
    power = power_of_part(1_000, accuracy=0.8, classes={"a": 950, "b": 50})
    assert (power.rare_class, power.rare_rows) == ("b", 50)
    assert power.recall_half_width == interval_half_width(50, 0.8)
    assert power.half_width == interval_half_width(1_000, 0.8) < power.worst_half_width
    assert power_of_part(10, classes={"a": 10}).rare_class is None
    assert list(power.differences) == [0.02, 0.05, 0.1, 0.2, 0.3]
    assert power.half_width_at(0.5) == power.worst_half_width
    assert power.smallest_difference(0.15) == smallest_difference(1_000, 0.15)


def test_no_rows_show_nothing():
    power = power_of_part(0, classes={"a": 0, "b": 0})
    assert (power.half_width, power.recall_half_width, set(power.differences.values())) == (None, None, {None})
    assert power_of_part(3).differences[0.3] is None
    assert smallest_difference(100, 0) is None


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), True, "0.5"])
def test_what_is_no_share_is_refused(value):
    with pytest.raises(UsageError, match=r"accuracy=.* is not a share"):
        interval_half_width(10, value)
    with pytest.raises(UsageError, match=r"disagreement=.* is not a share"):
        smallest_difference(10, value)


def test_a_power_is_plain_data():
    plain = power_of_part(100, classes={"a": 40, "b": 60}).to_dict()
    assert plain["differences"]["0.1"] == power_of_part(100).differences[0.1]
    assert plain["rare_rows"] == 40
