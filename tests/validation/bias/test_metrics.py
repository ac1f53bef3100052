"""The measures against worked tables, scipy, and the laws that they obey."""

from math import inf, log, sqrt
from pathlib import Path

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st

from foldstore.validation.bias.metrics import (
    METRICS,
    class_imbalance,
    conditional_disparity,
    demographic_disparity,
    difference_in_proportions,
    jensen_shannon,
    kolmogorov_smirnov,
    kullback_leibler,
    lp_norm,
    most_imbalanced,
    total_variation,
)

# Admissions to the six largest departments of Berkeley, autumn 1973: admitted and rejected men, then women. The data of
# Bickel, Hammel, O'Connell 1975 (Science 187, 398-404) as Freedman, Pisani, Purves 1978 print them for departments.
BERKELEY = {
    "A": (512, 313, 89, 19),
    "B": (353, 207, 17, 8),
    "C": (120, 205, 202, 391),
    "D": (138, 279, 131, 244),
    "E": (53, 138, 94, 299),
    "F": (22, 351, 24, 317),
}

counts = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), min_size=1, max_size=6)


def sides(pairs):
    a, d = np.array(pairs).T
    assume(a.sum() and d.sum())
    return a, d


def test_the_page_on_bias_says_of_each_measure_what_the_code_says():
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "measure-bias.md").read_text(encoding="utf-8")
    plain = page.replace("\\|", "|")
    for key, metric in METRICS.items():
        assert f"`{key}`, {metric.name} | `{metric.formula}` | `{metric.range}`" in plain


def test_class_imbalance_is_the_difference_of_rows_over_their_sum():
    assert class_imbalance(70, 30) == pytest.approx((70 - 30) / (70 + 30))
    assert class_imbalance(30, 70) == -class_imbalance(70, 30)
    assert class_imbalance(5, 5) == 0


def test_the_difference_in_proportions_is_that_of_the_example_of_the_finance_paper():
    # 80 of 100 of the others are approved and 30 of 100 of the facet: 0.8 - 0.3.
    assert difference_in_proportions(80, 100, 30, 100) == pytest.approx(0.5)
    assert difference_in_proportions(30, 100, 80, 100) == pytest.approx(-0.5)


def test_divergences_have_the_values_of_the_worked_table():
    # Approved, refused: 80 and 20 of 100 others, 30 and 70 of 100 in the facet.
    a, d = [80, 20], [30, 70]
    # 0.8 ln(0.8/0.3) + 0.2 ln(0.2/0.7) = 0.8 * 0.98083 + 0.2 * -1.25276 = 0.78466 - 0.25055
    assert kullback_leibler(a, d) == pytest.approx(0.53411, abs=1e-5)
    # The mean is (0.55, 0.45): (0.8 ln(0.8/0.55) + 0.2 ln(0.2/0.45) + 0.3 ln(0.3/0.55) + 0.7 ln(0.7/0.45)) / 2
    # = (0.29975 - 0.16219 - 0.18184 + 0.30928) / 2
    assert jensen_shannon(a, d) == pytest.approx(0.13250, abs=1e-5)
    # Both shares are 0.5 apart: the root of 0.5^2 + 0.5^2, half of 0.5 + 0.5, the larger of 0.5 and 0.5.
    assert lp_norm(a, d) == pytest.approx(sqrt(0.5))
    assert total_variation(a, d) == pytest.approx(0.5)
    assert kolmogorov_smirnov(a, d) == pytest.approx(0.5)


def test_three_labels_have_the_values_of_the_worked_table():
    # Rejected, waiting, accepted: 40, 40, 20 of 100 and 20, 10, 70 of 100; apart by 0.2, 0.3, 0.5.
    a, d = [40, 40, 20], [20, 10, 70]
    assert kolmogorov_smirnov(a, d) == pytest.approx(0.5)
    assert total_variation(a, d) == pytest.approx((0.2 + 0.3 + 0.5) / 2)
    assert lp_norm(a, d) == pytest.approx(sqrt(0.04 + 0.09 + 0.25))
    assert lp_norm(a, d, 3) == pytest.approx((0.008 + 0.027 + 0.125) ** (1 / 3))
    assert kullback_leibler(a, d) == pytest.approx(0.4 * log(2) + 0.4 * log(4) + 0.2 * log(2 / 7))
    assert most_imbalanced(a, d, ["rejected", "waiting", "accepted"]) == "accepted"


def test_a_label_that_the_facet_lacks_makes_kl_infinite_and_one_that_the_others_lack_does_not():
    assert kullback_leibler([5, 5], [10, 0]) == inf
    assert kullback_leibler([10, 0], [5, 5]) == pytest.approx(log(2))
    assert kullback_leibler([0, 10], [0, 7]) == 0


def test_smoothing_makes_kl_finite_only_when_asked_for():
    # With 1 added to each: (6, 6) / 12 and (11, 1) / 12.
    expected = 0.5 * log(6 / 11) + 0.5 * log(6 / 1)
    assert kullback_leibler([5, 5], [10, 0], smoothing=1) == pytest.approx(expected)


def test_labels_that_never_meet_are_as_far_apart_as_can_be():
    a, d = [9, 0], [0, 4]
    assert jensen_shannon(a, d) == pytest.approx(log(2))
    assert lp_norm(a, d) == pytest.approx(sqrt(2))
    assert total_variation(a, d) == kolmogorov_smirnov(a, d) == 1


@given(counts)
def test_divergences_agree_with_scipy(pairs):
    a, d = sides(pairs)
    p, q = a / a.sum(), d / d.sum()
    assert kullback_leibler(a, d) == pytest.approx(scipy.stats.entropy(p, q), abs=1e-12)
    assert jensen_shannon(a, d) == pytest.approx(
        np.nan_to_num(scipy.spatial.distance.jensenshannon(p, q)) ** 2, abs=1e-9
    )
    assert lp_norm(a, d, 3.5) == pytest.approx(scipy.spatial.distance.minkowski(p, q, 3.5), abs=1e-12)
    assert kolmogorov_smirnov(a, d) == pytest.approx(scipy.spatial.distance.chebyshev(p, q))


@given(counts)
def test_distances_are_symmetric_and_lie_in_their_ranges(pairs):
    a, d = sides(pairs)
    for distance, most in (
        (jensen_shannon, log(2)),
        (lp_norm, sqrt(2)),
        (total_variation, 1.0),
        (kolmogorov_smirnov, 1.0),
    ):
        assert distance(a, d) == pytest.approx(distance(d, a), abs=1e-12)
        assert 0 <= distance(a, d) <= most + 1e-12


@given(counts)
def test_the_bounds_between_the_measures_hold(pairs):
    a, d = sides(pairs)
    ks, tvd, kl = kolmogorov_smirnov(a, d), total_variation(a, d), kullback_leibler(a, d)
    assert ks <= tvd + 1e-12
    assert tvd <= sqrt(kl / 2) + 1e-9  # Pinsker's inequality
    assert lp_norm(a, d, 1) >= lp_norm(a, d, 2) - 1e-12 >= ks - 2e-12


@given(counts, st.integers(1, 9), st.integers(1, 9))
def test_equal_shares_give_zero_whatever_the_sizes(pairs, m, n):
    shape = np.array(pairs)[:, 0]
    assume(shape.sum())
    a, d = shape * m, shape * n
    for measure in (kullback_leibler, jensen_shannon, lp_norm, total_variation, kolmogorov_smirnov):
        assert measure(a, d) == pytest.approx(0, abs=1e-9)


@given(st.integers(1, 99), st.integers(1, 99), st.data())
def test_of_two_labels_all_distances_are_the_difference_in_proportions(n_a, n_d, data):
    positive_a, positive_d = data.draw(st.integers(0, n_a)), data.draw(st.integers(0, n_d))
    a, d = [n_a - positive_a, positive_a], [n_d - positive_d, positive_d]
    dpl = difference_in_proportions(positive_a, n_a, positive_d, n_d)
    assert total_variation(a, d) == pytest.approx(abs(dpl))
    assert kolmogorov_smirnov(a, d) == pytest.approx(abs(dpl))
    assert lp_norm(a, d) == pytest.approx(sqrt(2) * abs(dpl))
    disparity = demographic_disparity([d[0]], [a[0] + d[0]], [d[1]], [a[1] + d[1]])[0]
    assert disparity * dpl >= 0
    assert (disparity == pytest.approx(0, abs=1e-12)) == (dpl == pytest.approx(0, abs=1e-12))


def test_demographic_disparity_is_that_of_the_college_example():
    # Women are 60 of 100 rejected and 50 of 100 accepted: 0.6 - 0.5.
    assert demographic_disparity([60], [100], [50], [100]) == pytest.approx([0.1])


def test_where_all_labels_are_alike_there_is_no_disparity():
    assert demographic_disparity([0, 7], [0, 9], [3, 0], [4, 0]).tolist() == [0, 0]


def test_in_berkeley_women_are_admitted_less_often_but_not_within_departments():
    table = np.array(list(BERKELEY.values()))
    men_in, men_out, women_in, women_out = table.T
    assert table.sum() == 4526
    # 1198 of 2691 men and 557 of 1835 women were admitted: 0.44519 - 0.30354.
    dpl = difference_in_proportions(
        men_in.sum(), (men_in + men_out).sum(), women_in.sum(), (women_in + women_out).sum()
    )
    assert dpl == pytest.approx(0.14165, abs=1e-5)
    # Women are 1278 of 2771 rejected and 557 of 1755 admitted: 0.46120 - 0.31738.
    overall = demographic_disparity(
        [women_out.sum()], [(men_out + women_out).sum()], [women_in.sum()], [(men_in + women_in).sum()]
    )
    assert overall[0] == pytest.approx(0.14383, abs=1e-5)
    parts = (women_out, men_out + women_out, women_in, men_in + women_in)
    # Department A: 19/332 - 89/601 = 0.05723 - 0.14809; and so on.
    assert demographic_disparity(*parts) == pytest.approx(
        [-0.09086, -0.00874, 0.02871, -0.02044, 0.04475, -0.04719], abs=1e-5
    )
    # Weighted by the applicants of each: (933 * -0.09086 + 585 * -0.00874 + 918 * 0.02871 + 792 * -0.02044
    # + 584 * 0.04475 + 714 * -0.04719) / 4526.
    assert conditional_disparity(*parts) == pytest.approx(-0.01928, abs=1e-5)


@given(st.lists(st.tuples(*[st.integers(0, 50)] * 4), min_size=1, max_size=5))
def test_conditional_disparity_is_the_mean_over_rows_of_the_disparity_of_their_stratum(table):
    assume(any(any(row) for row in table))
    total = rows = 0
    for negative_a, negative_d, positive_a, positive_d in table:
        here = negative_a + negative_d + positive_a + positive_d
        rows += here
        if negative_a + negative_d and positive_a + positive_d:
            total += here * (negative_d / (negative_a + negative_d) - positive_d / (positive_a + positive_d))
    negative_a, negative_d, positive_a, positive_d = np.array(table).T
    found = conditional_disparity(negative_d, negative_a + negative_d, positive_d, positive_a + positive_d)
    assert found == pytest.approx(total / rows, abs=1e-12)


def test_what_counts_as_large_is_a_tenth_of_points_seen_through_each_measure():
    a, d = [55, 45], [45, 55]
    for key, measure in (
        ("kl", kullback_leibler),
        ("js", jensen_shannon),
        ("lp", lp_norm),
        ("tvd", total_variation),
        ("ks", kolmogorov_smirnov),
    ):
        assert METRICS[key].large == pytest.approx(measure(a, d)), key
    assert METRICS["dpl"].large == pytest.approx(difference_in_proportions(55, 100, 45, 100))
