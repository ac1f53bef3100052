"""Reuse policies: how many places the tree of answers has, and the level that each of them gets."""

import math
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.errors import UsageError
from foldstore.validation.pools.reuse import Reuse, answer_level, log_of_level, read_reliability


def asked_histories(steps, limit):
    """Every history of answers after which another question may follow, by brute force."""
    histories = [h for length in range(steps) for h in product((False, True), repeat=length)]
    return [h for h in histories if limit is None or sum(h) < limit]


@pytest.mark.parametrize("steps", [1, 2, 5, 9])
@pytest.mark.parametrize("passes", [1, 2, 3, 8, 20])
def test_max_passes_counts_every_place_where_a_question_can_stand(steps, passes):
    assert Reuse.max_passes(passes).places(steps) == len(asked_histories(steps, passes))


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_first_change_counts_one_place_a_step_and_full_never_too_few(steps):
    assert Reuse.parse("first_change").places(steps) == len(asked_histories(steps, 1)) == steps
    assert Reuse.parse("full").places(steps) == len(asked_histories(steps, None)) + 1


def test_the_places_agree_with_the_table(sample_sizes):
    for steps, row in sample_sizes["ln_places"].items():
        for passes, expected in row.items():
            assert math.log(Reuse.max_passes(int(passes)).places(int(steps))) == pytest.approx(expected, abs=6e-4)


def test_a_hundred_thousand_steps_are_counted_without_delay():
    assert Reuse.max_passes(100_000).places(100_000) == 2**100_000 - 1
    assert Reuse.max_passes(2).places(100_000) == 100_000 + 100_000 * 99_999 // 2


@given(st.integers(1, 10**9), st.integers(1, 3_000), st.sampled_from(["none", "full", "max_passes:3", "first_change"]))
def test_a_level_times_its_places_never_exceeds_what_may_be_spent(parts, steps, policy):
    reuse, reliability = Reuse.parse(policy), 1 - Fraction(1, parts + 1)
    level = answer_level(reliability, steps, reuse)
    assert level * reuse.places(steps) == 1 - reliability
    if level > Fraction(1, 10**300):
        assert Fraction(math.exp(log_of_level(level))) <= level * (1 + Fraction(1, 10**12))
    assert log_of_level(level) == pytest.approx(
        math.log(1 - reliability) - math.log(reuse.places(steps)), rel=1e-10, abs=1e-10
    )


@given(st.integers(1, 200), st.integers(1, 200))
def test_allowing_more_passes_or_steps_never_raises_the_level(steps, passes):
    here = Reuse.max_passes(passes).places(steps)
    assert Reuse.max_passes(passes + 1).places(steps) >= here
    assert Reuse.max_passes(passes).places(steps + 1) > here


@pytest.mark.parametrize("text", ["none", "first_change", "full", "max_passes:3"])
def test_a_policy_survives_its_text(text):
    reuse = Reuse.parse(text)
    assert str(reuse) == text
    assert Reuse.parse(reuse) is reuse
    assert reuse.withholds_answers is (text == "none")


@pytest.mark.parametrize(
    "text",
    ["max_passes", "max_passes:", "max_passes:0", "max_passes:-1", "max_passes:x", "full:2", "universal", "", "²"],
)
def test_an_unknown_policy_is_refused_with_what_there_is(text):
    with pytest.raises(UsageError) as caught:
        Reuse.parse(text)
    assert caught.value.code == "invalid-reuse"
    assert caught.value.hint


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0, -0.5, 1.5, float("nan"), float("inf"), True, None, "often", "1/0"])
def test_a_reliability_outside_its_range_is_refused(value):
    with pytest.raises(UsageError, match="lies between 0 and 1") as caught:
        read_reliability(value)
    assert caught.value.code == "invalid-reliability"


def test_a_reliability_is_the_decimal_that_was_written():
    assert read_reliability(0.9999) == read_reliability("0.9999") == Fraction(9999, 10000)


@pytest.mark.parametrize("steps", [0, -1, 1.5, True, "32", 100_001])
def test_steps_that_are_not_a_whole_positive_number_are_refused(steps):
    with pytest.raises(UsageError, match="number of steps") as caught:
        Reuse.parse("full").places(steps)
    assert caught.value.code == "invalid-steps"
