"""Tests of samples have their worked values."""

import numpy as np
import pytest

from foldstore.errors import UsageError
from foldstore.validation.drift.samples import compare_samples


def test_worked_values():
    found = compare_samples(range(1, 11), range(3, 13))
    assert found.ks == pytest.approx(0.2)
    assert found.ks_p_value == pytest.approx(0.9944575548, abs=1e-10)
    assert found.wasserstein == pytest.approx(2.0)
    assert found.energy == pytest.approx(0.8717797887, abs=1e-10)
    assert found.cramer_von_mises == pytest.approx(0.175)
    assert found.cramer_von_mises_p_value == pytest.approx(0.3605295633, abs=1e-9)
    assert found.mann_whitney == 32.0
    assert found.mann_whitney_p_value == pytest.approx(0.1845509344, abs=1e-8)
    assert found.anderson_darling == pytest.approx(0.3604259621, abs=1e-9)
    assert compare_samples([0, 1, 3], [5, 6, 8]).wasserstein == pytest.approx(5.0)
    assert compare_samples([0], [2]).energy == pytest.approx(2.0)


def test_what_is_no_number_is_left_out_and_nothing_is_refused_in_words():
    found = compare_samples([1, np.nan, np.inf, 2], [1, 2, -np.inf])
    assert (found.n_reference, found.n_current, found.ks) == (2, 2, 0.0)
    with pytest.raises(UsageError, match="the reference has 0 finite values"):
        compare_samples([np.nan], [1.0])
    with pytest.raises(UsageError, match="100,001 finite"):
        compare_samples([1.0], np.zeros(100_001))


def test_constant_samples_do_not_differ():
    found = compare_samples([3, 3, 3], [3, 3])
    assert (found.ks, found.wasserstein, found.anderson_darling) == (0, 0, 0)
    assert found.mann_whitney_p_value == 1.0
