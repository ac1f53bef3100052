"""Tails, limits and sizes against scipy, exact enumeration and the published table."""

import math
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import special, stats

from foldstore.errors import UsageError
from foldstore.validation.pools.estimators.concentration import bennett_rows, hoeffding_rows
from foldstore.validation.pools.estimators.lattice import log_upper_tail, rounding_slack
from foldstore.validation.pools.estimators.paired import PairedTail
from foldstore.validation.pools.estimators.proportion import (
    ProportionTail,
    clopper_pearson,
    rows_for_unknown_bound,
)
from foldstore.validation.pools.estimators.two_point import TwoPoint
from foldstore.validation.pools.reuse import Reuse, answer_level, log_of_level


def enumerate_sums(n, minus, plus):
    """The exact law of n steps, by convolution of fractions."""
    law = {0: Fraction(1)}
    for _ in range(n):
        longer = {}
        for total, weight in law.items():
            for step, chance in ((-1, minus), (0, 1 - minus - plus), (1, plus)):
                longer[total + step] = longer.get(total + step, Fraction(0)) + weight * chance
        law = longer
    return law


def trinomial_tail(n, total, mean, spread):
    """P(S >= total) as a sum over the number of decided rows: the textbook form, with scipy's binomials."""
    decided = np.arange(n + 1)
    needed = np.ceil((total + decided) / 2)
    return float(
        np.sum(stats.binom.pmf(decided, n, spread) * stats.binom.sf(needed - 1, decided, (1 + mean / spread) / 2))
    )


class TestLatticeTails:
    @given(st.integers(1, 1_000_000), st.floats(0.0005, 0.9995), st.floats(-6, 14))
    def test_agree_with_the_incomplete_beta_function(self, n, p, deviations):
        k = math.ceil(n * p + deviations * math.sqrt(n * p * (1 - p)))
        assume(1 <= k <= n)
        exact = special.betainc(k, n - k + 1, p)
        assume(exact > 1e-280)
        assert log_upper_tail(n, k, minus=0.0, plus=p) == pytest.approx(math.log(exact), abs=rounding_slack(n))

    @pytest.mark.parametrize("n", [1, 2, 5, 17])
    @pytest.mark.parametrize(
        ("minus", "plus"),
        [
            ("0", "0"),
            ("0", "1"),
            ("1", "0"),
            ("0", "0.3"),
            ("0.3", "0"),
            ("0.5", "0.5"),
            ("0.01", "0.9"),
            ("0.2", "0.3"),
        ],
    )
    def test_agree_with_enumeration_at_every_point(self, n, minus, plus):
        law = enumerate_sums(n, Fraction(minus), Fraction(plus))
        for total in range(-n - 1, n + 2):
            exact = sum(weight for value, weight in law.items() if value >= total)
            found = log_upper_tail(n, total, minus=float(minus), plus=float(plus))
            if exact == 0:
                assert found == -math.inf
            else:
                assert found == pytest.approx(math.log(exact), abs=1e-9)

    def test_keep_their_digits_far_below_the_smallest_float(self):
        # P(K = n) = p^n has a closed form; n - 1 of n too.
        n, p = 3_000, 0.25
        last_two = (n - 1) * math.log(p) + math.log(p + n * (1 - p))
        assert log_upper_tail(n, n - 1, minus=0.0, plus=p) == pytest.approx(last_two, abs=1e-9)
        assert log_upper_tail(n, n, minus=0.0, plus=p) == pytest.approx(n * math.log(p), abs=1e-9)

    @given(st.integers(2, 400), st.floats(0, 0.5), st.floats(0, 0.5), st.integers(-400, 400))
    def test_never_grow_with_the_point(self, n, minus, plus, total):
        here = log_upper_tail(n, total, minus=minus, plus=plus)
        beyond = log_upper_tail(n, total + 1, minus=minus, plus=plus)
        assert beyond <= here + rounding_slack(n)


class TestPairedTail:
    @pytest.mark.parametrize("spread", [0.05, 0.12, 0.4, 0.5])
    @pytest.mark.parametrize("mean", [-0.03, 0.0, 0.02])
    def test_is_the_textbook_sum_at_the_widest_spread(self, spread, mean):
        n = 900
        total = math.ceil(n * mean + 3.5 * math.sqrt(n * spread))
        found = PairedTail(spread).log_at_least(n, total, mean)
        assert found == pytest.approx(math.log(trinomial_tail(n, total, mean, spread)), abs=1e-8)

    @given(
        st.integers(2, 3_000),
        st.floats(-0.3, 0.3),
        st.floats(0.01, 1.0),
        st.floats(0, 1),
        st.floats(0.5, 8),
    )
    def test_bounds_the_tail_at_every_smaller_spread(self, n, mean, spread, share, deviations):
        assume(abs(mean) <= spread)
        true_spread = abs(mean) + share * (spread - abs(mean))
        total = math.ceil(n * mean + deviations * math.sqrt(n * spread))
        tail = log_upper_tail(
            n, total, minus=max(0.0, (true_spread - mean) / 2), plus=max(0.0, (true_spread + mean) / 2)
        )
        assert tail <= PairedTail(spread).log_at_least(n, total, mean) + rounding_slack(n)

    @pytest.mark.parametrize("n", [40, 41, 200])
    def test_bounds_the_oscillation_near_a_spread_of_one(self, n):
        # With d = 1 the sum has the parity of n, so the tail is not monotone in d there.
        for total in range(8, n, 3):
            worst = max(
                log_upper_tail(n, total, minus=(d - 0.1) / 2, plus=(d + 0.1) / 2)
                for d in 1 - np.geomspace(1e-6, 0.9, 300)
            )
            assert worst <= PairedTail(1.0).log_at_least(n, total, 0.1) + rounding_slack(n)


class TestClopperPearson:
    @given(st.integers(1, 5_000), st.floats(0, 1), st.sampled_from([0.5, 0.9, 0.999, 1 - 1e-9]))
    def test_agrees_with_scipy(self, n, share, confidence):
        k = round(n * share)
        expected = stats.binomtest(k, n).proportion_ci(confidence, method="exact")
        assert clopper_pearson(k, n, confidence=confidence) == pytest.approx((expected.low, expected.high), abs=1e-7)

    def test_covers_the_truth_as_often_as_it_says(self):
        n, p = 40, 0.3
        limits = [clopper_pearson(k, n, confidence=0.9) for k in range(n + 1)]
        covered = sum(stats.binom.pmf(k, n, p) for k, (low, high) in enumerate(limits) if low <= p <= high)
        assert covered >= 0.9

    def test_impossible_counts_are_refused(self):
        with pytest.raises(UsageError, match="no interval for 5 of 4"):
            clopper_pearson(5, 4, confidence=0.9)


class TestSampleSizes:
    def test_every_row_of_the_table_by_hoeffding(self, sample_sizes):
        for row in sample_sizes["hoeffding"]:
            weight = {"F1": 1, "F2": 2}[row["family"]]
            found = hoeffding_rows(
                tolerance=float(row["eps"]), log_level=level_of(row), weight=weight, variables=weight
            )
            assert found == row["rows"], row

    def test_every_row_of_the_table_by_exact_tails_for_an_unknown_bound(self, sample_sizes):
        for row in sample_sizes["hoeffding"]:
            if "worst_case" in row:
                halves = {"F1": 1, "F2": 2}[row["family"]]
                found = rows_for_unknown_bound(tolerance=float(row["eps"]) / halves, log_level=level_of(row))
                assert found == row["worst_case"], row

    def test_the_unknown_bound_is_never_missed_more_often_than_said(self):
        # By brute force over the truth: the worst chance that K/n - p exceeds the tolerance.
        n = rows_for_unknown_bound(tolerance=0.1, log_level=math.log(0.01))

        def worst(rows):
            truths = np.linspace(0.001, 0.999, 4_001)
            counts = np.floor(rows * (truths + 0.1) + 1e-9) + 1
            return float(np.max(stats.binom.sf(counts - 1, rows, truths)))

        assert worst(n) <= 0.01 < worst(n - 10)

    @pytest.mark.parametrize(
        ("steps", "split", "eps", "level", "full", "expected"),
        [
            (32, 4, 0.01, 1e-4, False, 29_048),
            (32, 4, 0.01, 1e-4, True, 67_706),
            (7, 2, 0.02, 2e-3, False, 4_713),
            (7, 2, 0.022, 2e-3, True, 5_204),
            (7, 2, 0.02, 2e-3, True, 6_260),
        ],
        ids=["29K", "67K", "SemEval none", "SemEval full .022", "SemEval full"],
    )
    def test_bennett_gives_the_figures_of_the_paper(self, steps, split, eps, level, full, expected):
        log_level = math.log(level) - (steps * math.log(2) if full else math.log(steps))
        assert abs(bennett_rows(tolerance=eps, log_level=log_level, spread=0.1, split=split) - expected) <= 1

    @pytest.mark.parametrize(
        ("steps", "full", "eps", "level", "family", "expected"),
        [
            (1, False, 0.01, 1e-4, 1, 46_052),
            (7, False, 0.02, 2e-3, 2, 44_268),
            (7, True, 0.02, 2e-3, 2, 58_798),
            (32, True, 0.05, 1e-4, 1, 6_279),
            (32, True, 0.1, 1e-2, 2, 5_496),
        ],
        ids=["46K", "SemEval none", "SemEval full", "6,279", "the authors' notebook"],
    )
    def test_hoeffding_gives_the_figures_of_the_paper(self, steps, full, eps, level, family, expected):
        log_level = math.log(level) - (steps * math.log(2) if full else math.log(steps))
        found = hoeffding_rows(tolerance=eps, log_level=log_level, weight=family, variables=family)
        assert abs(found - expected) <= 1

    def test_two_point_designs_match_the_table(self, sample_sizes):
        for row in sample_sizes["two_point"]:
            # The table walks a shorter stretch of the saw-tooth; ours may ask for part of a tooth more.
            allowed = max(1 / row["eps"], 0.01 * row["exact_beta10"])
            assert abs(design(row).fewest_rows() - row["exact"]) <= allowed, row
            assert abs(design(row, beta=0.1).fewest_rows() - row["exact_beta10"]) <= allowed, row

    def test_the_sizes_of_the_table_are_the_first_that_hold_to_the_row(self, sample_sizes):
        for row in sample_sizes["two_point"]:
            # Over all d up to 1 ours is a bound, which takes up to 11 rows more; the table's is the tail at d = 1.
            tail = AlwaysDiffering() if row["spread"] == "1" else None
            for beta, rows in ((None, row["exact"]), (0.1, row["exact_beta10"])):
                test = design(row, beta=beta)
                if tail is not None:
                    test = replace(test, null_tail=tail, alternative_tail=tail)
                assert test.holds(rows), row
                assert not test.holds(rows - 1), row

    def test_a_level_split_between_clause_and_filter_matches_the_table_to_the_row(self, sample_sizes):
        rows = {row["name"]: row for row in sample_sizes["two_point"]}
        rows["F2c"] = {**rows["F2d"], "reuse": "none"}
        for name, expected in sample_sizes["delta_split"].items():
            row = rows[name]
            halved = design(row, beta=math.exp(level_of(row)) / 2, alpha=math.exp(level_of(row)) / 2)
            assert halved.holds(expected), name
            assert not halved.holds(expected - 1), name

    @pytest.mark.parametrize(("name", "expected"), [("F2a", 29_401), ("F2c", 4_323)])
    def test_two_cells_apart_need_more_than_the_exact_paired_test(self, sample_sizes, name, expected):
        """Limits of Clopper and Pearson for wins and for losses, each at half the level: the plain way.

        Planned by the normal quantile of wins - losses beyond the tolerance, with the rows that differ at their mean.
        """
        rows = {row["name"]: row for row in sample_sizes["two_point"]}
        rows["F2c"] = {**rows["F2d"], "reuse": "none"}
        row = rows[name]
        test, level, differ = design(row), math.exp(level_of(row)), float(row["spread"])
        bound, mean = float(test.null), float(test.alternative)

        def passes(n):
            advantage = mean - stats.norm.isf(level) * math.sqrt((differ - mean * mean) / n)
            wins, losses = n * (differ + advantage) / 2, n * (differ - advantage) / 2
            at_least = special.betaincinv(wins, n - wins + 1, level / 2)
            at_most = special.betainccinv(losses + 1, n - losses, level / 2)
            return at_least - at_most > bound

        assert passes(expected)
        assert not passes(expected - 1)
        assert test.fewest_rows() < 0.7 * expected


class TestTwoPoint:
    @given(
        st.sampled_from([ProportionTail(1), PairedTail(0.4), PairedTail(1.0)]),
        st.integers(5, 2_000),
        st.integers(0, 30),
        st.floats(-40, -0.7),
    )
    def test_a_threshold_is_the_smallest_total_that_is_rare(self, tail, n, percent, log_alpha):
        mean = Fraction(percent, 100)
        test = TwoPoint(
            null=mean,
            alternative=mean + Fraction(1, 50),
            null_tail=tail,
            alternative_tail=tail,
            log_alpha=log_alpha,
            log_beta=log_alpha,
        )
        threshold = test.threshold(n)
        assert tail.log_at_least(n, threshold, float(mean)) <= log_alpha
        assert tail.log_at_least(n, threshold - 1, float(mean)) + rounding_slack(n) > log_alpha
        assert test.threshold(n, near=threshold + 17) == threshold
        assert test.threshold(n, near=threshold - 40) == threshold

    def test_all_larger_pools_hold_as_well(self, sample_sizes):
        row = next(each for each in sample_sizes["two_point"] if each["name"] == "F2d")
        test = design(row)
        rows = test.fewest_rows()
        assert not test.holds(rows - 1)
        assert all(test.holds(n) for n in range(rows, rows + 300))

    def test_the_levels_hold_by_enumeration_of_both_errors(self):
        test = TwoPoint(
            null=Fraction(1, 10),
            alternative=Fraction(4, 10),
            null_tail=PairedTail(0.45),
            alternative_tail=PairedTail(0.45),
            log_alpha=math.log(0.05),
            log_beta=math.log(0.1),
        )
        n = test.fewest_rows()
        threshold = test.threshold(n)
        for spread in (Fraction(x, 100) for x in (10, 20, 45)):
            law = enumerate_sums(n, (spread - test.null) / 2, (spread + test.null) / 2)
            assert sum(w for s, w in law.items() if s >= threshold) <= Fraction(5, 100)
        for spread in (Fraction(x, 100) for x in (40, 45)):
            law = enumerate_sums(n, (spread - test.alternative) / 2, (spread + test.alternative) / 2)
            assert sum(w for s, w in law.items() if s < threshold) <= Fraction(1, 10)

    def test_a_pool_beyond_all_bounds_is_refused(self):
        tail = ProportionTail(1)
        test = TwoPoint(
            null=Fraction(1, 2),
            alternative=Fraction(1, 2) + Fraction(1, 10**6),
            null_tail=tail,
            alternative_tail=tail,
            log_alpha=-20.0,
            log_beta=-20.0,
        )
        with pytest.raises(UsageError, match="more than 20,000,000 rows") as caught:
            test.fewest_rows()
        assert caught.value.code == "too-many-rows"


def test_rows_grow_as_the_level_falls():
    rows = [hoeffding_rows(tolerance=0.05, log_level=-level) for level in range(1, 40)]
    assert all(low < high for low, high in pairwise(rows))


def level_of(row):
    level = answer_level(Fraction(row["reliability"]), row["steps"], Reuse.parse(row["reuse"]))
    return log_of_level(level)


class AlwaysDiffering:
    """The tail of wins minus losses where each row is either, which is Bin(n, (1 + mean) / 2) in other units."""

    def log_at_least(self, n, total, mean):
        return float(stats.binom.logsf(math.ceil((n + total) / 2) - 1, n, (1 + mean) / 2))

    def reflected(self):
        return self

    def variance(self, mean):
        return 1 - mean * mean


def design(row, *, alpha=None, beta=None):
    bound, eps = (Fraction(each) for each in row["clause"].split(">")[1].split("+/-"))
    tail = ProportionTail(1) if row["spread"] is None else PairedTail(float(row["spread"]))
    level = level_of(row)
    return TwoPoint(
        null=bound,
        alternative=bound + 2 * eps,
        null_tail=tail,
        alternative_tail=tail,
        log_alpha=level if alpha is None else math.log(alpha),
        log_beta=level if beta is None else math.log(beta),
    )
