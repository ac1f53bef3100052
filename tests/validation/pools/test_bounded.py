"""Tails of bounded rows: against exact convolutions, scipy's linear programs and the closed forms."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import optimize, special

from foldstore.validation.pools.estimators.bounded import BoundedTail, worst_laws
from foldstore.validation.pools.estimators.proportion import rows_for_successes
from foldstore.validation.pools.estimators.two_point import TwoPoint
from foldstore.validation.pools.plan import plan_pool

# What a row adds to 10 n - 11 o, and where the models differ.
VALUES, DIFFERS = (-1, 10, -11, 0, 0), (False, True, True, False, True)


def convolve(values, law, n):
    """The exact law of the sum of n rows."""
    low, high = min(values), max(values)
    one = np.zeros(high - low + 1)
    for value, chance in zip(values, law, strict=True):
        one[value - low] += chance
    total = np.ones(1)
    for _ in range(n):
        total = np.convolve(total, one)
    return n * low, total


@given(st.lists(st.floats(0, 1), min_size=5, max_size=5).filter(lambda x: sum(x) > 0.1), st.integers(1, 40), st.data())
def test_no_law_has_a_larger_tail_than_the_bound(weights, n, data):
    law = np.array(weights) / sum(weights)
    mean, spread = float(law @ VALUES), float(law @ DIFFERS)
    start, total = convolve(VALUES, law, n)
    at = data.draw(st.integers(start, start + len(total) - 1))
    truth = total[at - start :].sum()
    assume(truth > 1e-200)
    for tail in (
        BoundedTail(VALUES, DIFFERS, spread),
        BoundedTail(VALUES, DIFFERS),
        BoundedTail((-11, 10), (True, True)),
    ):
        assert tail.log_at_least(n, at, mean) >= math.log(truth) - 1e-6


@given(st.floats(-9, 9), st.floats(0.02, 1.0), st.lists(st.floats(-3, 3), min_size=5, max_size=5), st.booleans())
def test_the_worst_laws_are_those_of_a_linear_program(mean, spread, gain, tilted):
    gain = np.exp(np.array(VALUES) / 10) if tilted else np.array(gain)
    found = optimize.linprog(
        -gain, A_ub=[VALUES, DIFFERS], b_ub=[mean, spread], A_eq=[[1] * 5], b_eq=[1], bounds=[(0, 1)] * 5
    )
    laws = worst_laws(VALUES, DIFFERS, spread, mean)
    if not found.success:
        assume(len(laws) > 0)
    assert (laws @ gain).max() == pytest.approx(-found.fun, abs=1e-6)


@given(st.integers(1, 2000), st.floats(0.05, 0.9), st.floats(0.01, 0.09))
def test_a_range_alone_gives_hoeffdings_first_bound_or_less(n, mean, excess):
    """exp(-n KL(x | p)), from his theorem 1."""
    k = math.ceil(n * (mean + excess))
    x = k / n
    assume(mean < x < 1)
    entropy = x * math.log(x / mean) + (1 - x) * math.log((1 - x) / (1 - mean))
    found = BoundedTail((0, 1), (True, True)).log_at_least(n, k, mean)
    assert found <= -n * entropy * 0.998 + 1e-6
    # The binomial itself is one of the laws.
    assert found >= math.log(special.betainc(k, n - k + 1, mean)) - 1e-6
    # Bentkus: no more than e times it, where k is whole.
    assert found <= math.log(special.betainc(k, n - k + 1, mean)) + 1 + 1e-6


def test_bounds_between_whole_numbers_of_the_binomial_fall_steadily():
    tail = BoundedTail((0, 1000), (True, True))
    bounds = [tail.log_at_least(200, total, 300.0) for total in range(75_000, 78_001, 250)]
    assert all(a > b for a, b in pairwise(bounds))


def test_a_design_of_bounded_rows_keeps_both_levels():
    tail = BoundedTail(VALUES, DIFFERS, 0.2)
    rule = TwoPoint(
        null=Fraction(0),
        alternative=Fraction(1, 2),
        null_tail=tail,
        alternative_tail=tail,
        log_alpha=math.log(1e-3),
        log_beta=math.log(1e-2),
        smooth=True,
    )
    n = rule.fewest_rows()
    threshold = rule.threshold(n)
    assert tail.log_at_least(n, threshold - 1, 0.0) + 1e-6 > math.log(1e-3) >= tail.log_at_least(n, threshold, 0.0)
    assert rule.holds(n)
    assert not rule.holds(n - 1)
    assert all(rule.holds(n + more) for more in (1, 2, 3, 10, 100, 1000))


def test_a_bound_on_d_saves_labels_for_a_ratio():
    options = {"reliability": 0.999, "steps": 8, "reuse": "none"}
    alone = plan_pool("n / o > 1.02 +/- 0.01", **options)
    both = plan_pool("n / o > 1.02 +/- 0.01 /\\ d < 0.1 +/- 0.01", **options)
    assert both.clause_rows[0] < alone.labels / 6


@given(st.integers(1, 500), st.floats(0.01, 0.9), st.floats(0.001, 0.2))
def test_rows_for_successes_is_the_smallest_number(successes, chance, shortfall):
    rows = rows_for_successes(successes, chance, shortfall=shortfall)
    assert special.bdtr(successes - 1, rows, chance) <= shortfall
    assert rows == successes or special.bdtr(successes - 1, rows - 1, chance) > shortfall
