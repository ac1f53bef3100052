"""Reuse policies: how many places the tree of answers has, and the level that each of them gets."""

import math
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from foldstore.errors import UsageError
from foldstore.validation.pools.reuse import (
    Reuse,
    answer_level,
    answer_probability,
    lifetime_share,
    log_of_level,
    read_reliability,
)


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


@pytest.mark.parametrize("text", ["none", "first_change", "full", "max_passes:3", "universal", "universal:5"])
def test_a_policy_survives_its_text(text):
    reuse = Reuse.parse(text)
    assert str(reuse) == text
    assert Reuse.parse(reuse) is reuse
    assert reuse.withholds_answers is (text == "none")


@pytest.mark.parametrize(
    "text",
    [
        "max_passes",
        "max_passes:",
        "max_passes:0",
        "max_passes:-1",
        "max_passes:x",
        "full:2",
        "universal:0",
        "universe",
        "",
        "²",
    ],
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


class TestUniversal:
    @pytest.mark.parametrize("depth", range(13))
    def test_the_weights_of_all_histories_of_a_length_add_up_to_the_share_of_that_step(self, depth):
        universal = Reuse.parse("universal")
        weights = [
            universal.weight(1, passes=sum(h), fails=depth - sum(h)) for h in product((False, True), repeat=depth)
        ]
        assert sum(weights) == Fraction(1, (depth + 1) * (depth + 2))
        assert sum(universal.report_weight(1, passes=sum(h), fails=depth - sum(h)) for h in
                   product((False, True), repeat=depth)) == 1  # fmt: skip

    @given(st.integers(0, 60), st.integers(0, 60))
    def test_the_probability_of_a_string_is_the_beta_integral(self, passes, fails):
        expected = special.betaln(passes + 0.5, fails + 0.5) - special.betaln(0.5, 0.5)
        assert math.log(answer_probability(passes, fails)) == pytest.approx(expected, abs=1e-9)

    @given(st.lists(st.sampled_from(["pass", "fail", "unknown"]), max_size=10))
    def test_what_is_asked_before_an_answer_is_known_has_the_weight_of_all_its_outcomes(self, history):
        """Whether the answer comes later or never: the completed histories share exactly what was given."""
        universal = Reuse.parse("universal")
        counts = {kind: history.count(kind) for kind in ("pass", "fail", "unknown")}
        whole = universal.weight(1, passes=counts["pass"], fails=counts["fail"], unanswered=counts["unknown"])
        parts = sum(
            universal.weight(1, passes=counts["pass"] + sum(rest), fails=counts["fail"] + len(rest) - sum(rest))
            for rest in product((False, True), repeat=counts["unknown"])
        )
        assert parts == whole

    @pytest.mark.parametrize("passes", [None, 1, 3])
    @pytest.mark.parametrize("steps", [1, 2, 7, 12])
    def test_the_least_weight_is_that_of_the_dearest_history_the_plan_provides_for(self, steps, passes):
        reuse = Reuse.parse("universal" if passes is None else f"universal:{passes}")
        reached = [
            h for length in range(steps) for h in product((False, True), repeat=length)
            if passes is None or sum(h) <= passes
        ]  # fmt: skip
        dearest = min(reuse.weight(steps, passes=sum(h), fails=len(h) - sum(h)) for h in reached)
        assert reuse.least_weight(steps) == dearest


@pytest.mark.parametrize("policy", ["full", "first_change", "max_passes:1", "max_passes:3", "max_passes:9"])
def test_the_ends_of_every_tree_of_answers_share_a_reports_error(policy):
    steps, reuse = 6, Reuse.parse(policy)
    limit = reuse.pass_limit
    inner = set(asked_histories(steps, limit))
    ends = {(*h, answer) for h in inner for answer in (False, True)} - inner
    shares = [reuse.report_weight(steps, passes=sum(h), fails=len(h) - sum(h)) for h in ends]
    assert sum(shares) <= 1


def test_a_line_of_pools_never_spends_more_than_its_share():
    shares = [lifetime_share(pool) for pool in range(1, 3_000)]
    assert 0.999 < sum(shares) < 1
    assert shares[1] * 4 == shares[0]
    assert answer_level(Fraction("0.9"), 2, Reuse.parse("none"), lifetime=2) == Fraction(1, 20) * shares[1]


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "2", None])
def test_the_number_of_a_pool_in_its_line_is_whole(wrong):
    with pytest.raises(UsageError) as caught:
        lifetime_share(wrong)
    assert caught.value.code == "invalid-lifetime"


@pytest.mark.parametrize(
    "text", ["max_passes", "max_passes:0", "full:2", "universal:0", "universal:x", "fulll", "first"]
)
def test_a_policy_that_does_not_exist_is_refused_with_the_way_out(text):
    with pytest.raises(UsageError) as caught:
        Reuse.parse(text)
    assert caught.value.code == "invalid-reuse"
    assert caught.value.hint


def test_the_spellings_of_easeml_ci_are_read():
    assert Reuse.parse("firstChange") == Reuse.parse("hybrid") == Reuse.parse("first_change")
