"""Intervals of fractions against published tables and by their coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from foldstore.validation.intervals import is_more, newcombe, two_sided, wilson


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        # Newcombe 1998, table II, method 10.
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((6, 7, 2, 7), (0.0582, 0.8062)),
        ((5, 56, 0, 29), (-0.0381, 0.1926)),
        ((0, 10, 0, 20), (-0.1611, 0.2775)),
        ((0, 10, 0, 10), (-0.2775, 0.2775)),
        ((10, 10, 0, 20), (0.6791, 1.0)),
        ((10, 10, 0, 10), (0.6075, 1.0)),
    ],
)
def test_the_interval_of_a_difference_is_that_of_the_published_table(table, expected):
    assert newcombe(*table, two_sided(0.95)) == pytest.approx(expected, abs=5e-5)


@given(st.integers(1, 500), st.integers(1, 500), st.data())
def test_the_interval_of_a_difference_holds_it_and_turns_with_its_sign(n, m, data):
    x, y = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    low, high = newcombe(x, n, y, m, 1.96)
    assert -1 <= low <= x / n - y / m + 1e-12
    assert x / n - y / m - 1e-12 <= high <= 1
    assert newcombe(y, m, x, n, 1.96) == pytest.approx((-high, -low))


def test_the_interval_covers_the_difference_about_as_often_as_it_says():
    generator = np.random.default_rng(5)
    x, y = generator.binomial(60, 0.3, 4_000), generator.binomial(200, 0.2, 4_000)
    z = two_sided(0.9)
    covered = np.mean(
        [low <= 0.1 <= high for low, high in (newcombe(a, 60, b, 200, z) for a, b in zip(x, y, strict=True))]
    )
    assert covered == pytest.approx(0.9, abs=0.02)


def test_two_sided_gives_the_normal_quantile():
    assert two_sided(0.99) == pytest.approx(2.5758293, abs=1e-7)
    assert wilson(10, 100, two_sided(0.95)) == pytest.approx((0.05523, 0.17437), abs=1e-5)


@given(st.integers(0, 200), st.integers(1, 200), st.sampled_from([0.0, 0.001, 0.05, 0.5]))
def test_more_than_a_share_is_what_the_exact_binomial_test_calls_more(count, n, allowed):
    count = min(count, n)
    expected = count > allowed * n and (
        allowed == 0 or binomtest(count, n, allowed, alternative="greater").pvalue < 0.01
    )
    assert is_more(count, n, allowed, 0.99) == expected
    assert is_more(count, n, allowed, None) == (count > allowed * n)
