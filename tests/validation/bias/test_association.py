"""Tests of independence, against scipy and by simulation."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from foldstore.validation.bias.association import associate


@given(st.lists(st.lists(st.integers(30, 400), min_size=3, max_size=3), min_size=2, max_size=5))
def test_dense_tables_are_judged_by_chi_squared_as_in_scipy(rows):
    found = associate(rows)
    expected = scipy.stats.chi2_contingency(rows, correction=False)
    assert found.method == "chi2"
    assert found.degrees == expected.dof
    assert found.statistic == pytest.approx(expected.statistic, abs=1e-9)
    assert found.p_value == pytest.approx(expected.pvalue, abs=1e-12)


def test_a_sparse_table_of_two_by_two_is_judged_exactly():
    found = associate([[8, 2], [1, 5]])
    assert (found.method, found.p_value) == ("fisher", pytest.approx(0.034965, abs=1e-6))


def test_a_sparse_larger_table_is_judged_by_drawing_tables_with_the_same_sums():
    table = [[6, 1, 0], [1, 4, 3]]
    found = associate(table)
    exact = _exact(np.array(table))
    assert found.method == "permutation"
    assert found.p_value == pytest.approx(exact, abs=0.02)
    assert associate(table) == found


def _exact(table):
    """Deal the rows in every way, weighted by how many ways there are."""
    columns, first = table.sum(axis=0), table[0].sum()
    limit = scipy.stats.chi2_contingency(table, correction=False).statistic
    law = scipy.stats.multivariate_hypergeom(columns, first)
    total = 0.0
    for a in range(columns[0] + 1):
        for b in range(columns[1] + 1):
            c = first - a - b
            if 0 <= c <= columns[2]:
                dealt = np.array([[a, b, c], columns - [a, b, c]])
                statistic = scipy.stats.chi2_contingency(dealt, correction=False).statistic
                total += law.pmf([a, b, c]) if statistic >= limit * (1 - 1e-9) else 0
    return total


def test_an_overwhelming_association_in_a_sparse_table_has_the_smallest_p_that_draws_can_give():
    assert associate([[500, 2, 0], [3, 600, 1], [0, 0, 2]]).p_value == 1 / 10_000


def test_a_table_that_is_one_of_few_with_its_sums_is_judged_all_the_same():
    # The one row of the second group is of a label with its share: 1/4, 1/4, 1/2, and 3/7, 3/7, 1/7.
    assert associate([[1, 1, 1], [0, 0, 1]]).p_value == 1
    assert associate([[3, 3, 0], [0, 0, 1]]).p_value == pytest.approx(1 / 7, abs=0.05)


@pytest.mark.parametrize("table", [[[3, 4]], [[3, 4], [0, 0]], [[3, 0], [5, 0]], np.zeros((0, 0))])
def test_where_there_is_one_group_or_one_label_there_is_nothing_to_test(table):
    found = associate(table)
    assert (found.method, found.p_value, found.degrees) == ("none", 1.0, 0)


def test_p_values_are_calibrated_when_groups_and_labels_are_independent():
    generator = np.random.default_rng(3)
    rejected = {}
    for n in (12, 40, 400):
        tables = [generator.multinomial(n, np.outer([0.7, 0.3], [0.5, 0.3, 0.2]).ravel()) for _ in range(300)]
        rejected[n] = sum(associate(table.reshape(2, 3)).p_value < 0.05 for table in tables)
    assert max(rejected.values()) <= scipy.stats.binom.isf(1e-4, 300, 0.05)
    assert rejected[400] > 3


def test_sums_beyond_32_bits_are_no_obstacle():
    assert associate([[4_000_000_000, 4_000_000_000], [4_000_000_000, 4_000_000_000]]).p_value == 1
