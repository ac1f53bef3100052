"""The classifier two-sample test: its level, and what it finds that no column shows."""

import numpy as np
import pytest

from foldstore.errors import UsageError
from foldstore.validation.drift.classifier import tell_apart
from foldstore.validation.drift.verdict import DriftVerdict


def test_rows_of_one_distribution_are_told_apart_as_often_as_the_level_says():
    generator, rejected = np.random.default_rng(1), 0
    for run in range(200):
        sides = [
            {
                "x": generator.normal(size=200),
                "n": np.where(generator.random(200) < 0.2, np.nan, generator.exponential(size=200)),
                "c": generator.choice(["a", "b", None], 200),
            }
            for _ in range(2)
        ]
        rejected += tell_apart(*sides, seed=str(run)).p_value < 0.05
    assert rejected <= 2 * 0.05 * 200


def test_a_turned_correlation_is_found_though_every_column_is_as_before():
    generator = np.random.default_rng(2)
    x, noise = generator.normal(size=(2, 2_000))
    rise, fall = 0.7 * x + noise, -0.7 * x + noise
    found = tell_apart({"x": x, "y": rise, "z": noise[::-1]}, {"x": x[::-1], "y": fall[::-1], "z": noise})
    assert found.verdict is DriftVerdict.ERROR
    assert set(list(found.columns)[:2]) == {"x", "y"}


def test_the_power_of_a_shift_is_near_theory():
    # Of a shift of d standard deviations the best AUC is Phi(d / sqrt 2): 0.638 at 0.5.
    generator = np.random.default_rng(3)
    found = tell_apart({"x": generator.normal(size=20_000)}, {"x": generator.normal(0.5, size=20_000)})
    assert found.auc == pytest.approx(0.638, abs=0.012)
    assert found.verdict is DriftVerdict.ERROR


def test_new_nulls_and_new_categories_are_found():
    generator = np.random.default_rng(4)
    x = generator.normal(size=4_000)
    holes = np.where(np.arange(2_000) % 3 == 0, np.nan, x[:2_000])
    assert tell_apart({"x": x[2_000:]}, {"x": holes}).verdict is DriftVerdict.ERROR
    words = ["a", "b"] * 1_000
    assert tell_apart({"w": words}, {"w": ["a", "c"] * 1_000}).verdict is DriftVerdict.ERROR


def test_few_rows_are_untestable_and_so_many_as_are_said_to_be_needed_suffice():
    generator = np.random.default_rng(5)
    few = tell_apart({"x": generator.normal(size=40)}, {"x": generator.normal(size=40)})
    assert few.verdict is DriftVerdict.UNTESTABLE
    many = few.needed * 2 + 2
    enough = tell_apart({"x": generator.normal(size=many)}, {"x": generator.normal(size=many)})
    assert enough.verdict is not DriftVerdict.UNTESTABLE


def test_constants_do_not_crash_and_wrong_shapes_are_refused():
    assert tell_apart({"x": [1.0] * 10}, {"x": [1.0] * 10}).auc == 0.5
    with pytest.raises(UsageError, match="same columns"):
        tell_apart({"x": [1.0] * 10}, {"y": [1.0] * 10})
    with pytest.raises(UsageError, match="four rows"):
        tell_apart({"x": [1.0] * 3}, {"x": [1.0] * 10})
