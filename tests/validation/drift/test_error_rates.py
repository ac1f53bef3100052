"""Rates of error by simulation: how often noise is called drift, and how often a change of the limit is seen.

Two thousand pairs of samples for each size; the counts are drawn as multinomials, which is what rows that are
independent give. A rate is called too high, or too low, only when chance alone would do that once in a million.
"""

import numpy as np
import pytest
from scipy import optimize, stats
from scipy.spatial.distance import jensenshannon

from foldstore.datastore.statistics.pinned import GridCounts, NumericGrid
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.drift.comparison import DriftTarget, detect_drift
from foldstore.validation.drift.significance import compare_counts, power, seeded
from foldstore.validation.drift.verdict import DriftVerdict

PAIRS = 2_000
LUCK = 1e-6
POLICY = DriftPolicy()
SHAPES = {
    "ten equal cells": np.full(10, 0.1),
    "twenty cells, most in few": 0.6 ** np.arange(20) / (0.6 ** np.arange(20)).sum(),
    "two cells": np.array([0.9, 0.1]),
    "three hundred rare cells": 1 / np.arange(1, 301) / (1 / np.arange(1, 301)).sum(),
}
SIZES = (60, 500, 5_000, 200_000, 10_000_000)
# Where most cells are rare each comparison deals the rows anew, thousands of times: two sizes take a minute each.
CASES = [(shape, size) for shape in SHAPES for size in SIZES if "rare" not in shape or size in (60, 10_000_000)]

pytestmark = pytest.mark.slow


def draws(shares, size, seed):
    """Return the counts of one sample for each pair."""
    return np.random.default_rng(seed).multinomial(size, shares, size=PAIRS)


def at_most(count, rate):
    """Say whether so many of the pairs may come from a rate."""
    return stats.binom.sf(count - 1, PAIRS, rate) > LUCK


def flagged(before, after):
    """Judge one column as a schema does: significant, and at least as great as the limit."""
    grid = NumericGrid(tuple(range(len(before) - 1)))
    target = DriftTarget(
        column="x",
        labels=grid.labels,
        reference=GridCounts(tuple(before.tolist())),
        current=GridCounts(tuple(after.tolist())),
        policy=POLICY,
        edges=grid.edges,
    )
    found = detect_drift([target], seed=f"{before.tolist()}\n{after.tolist()}").columns["x"]
    return found.verdict in (DriftVerdict.WARN, DriftVerdict.ERROR)


@pytest.mark.parametrize(("shape", "size"), CASES)
def test_noise_is_called_drift_no_more_often_than_twice_alpha(shape, size):
    before, after = (draws(SHAPES[shape], size, seed) for seed in (1, 2))
    assert at_most(sum(map(flagged, before, after)), 2 * POLICY.alpha)


@pytest.mark.parametrize(("shape", "size"), CASES)
def test_p_values_of_noise_lie_below_alpha_no_more_often_than_twice_alpha(shape, size):
    before, after = (draws(SHAPES[shape], size, seed) for seed in (3, 4))
    count = sum(
        compare_counts(f, g, seeded("noise", str(n)), tau=0.0, alpha=POLICY.alpha).p_value < POLICY.alpha
        for n, (f, g) in enumerate(zip(before, after, strict=True))
    )
    assert at_most(count, 2 * POLICY.alpha)


def moved(shares, tau):
    """Return shares at a Jensen-Shannon distance from others: some of each second cell's goes to the one before."""

    def shift(part):
        changed = shares.copy()
        changed[1::2] -= part * shares[1::2]
        changed[0::2][: len(shares[1::2])] += part * shares[1::2]
        return changed

    part = optimize.brentq(lambda part: jensenshannon(shares, shift(part), base=2) - tau, 0.0, 1.0)
    return shift(part)


@pytest.mark.parametrize("size", [60, 150, 300, 600, 1_000, 2_000])
@pytest.mark.parametrize("shape", ["ten equal cells", "two cells"])
def test_a_change_of_the_limit_is_significant_as_often_as_is_stated(shape, size):
    shares = SHAPES[shape]
    stated = power(size, size, len(shares), POLICY.tau_warn, POLICY.alpha)
    before, after = draws(shares, size, 5), draws(moved(shares, POLICY.tau_warn), size, 6)
    count = sum(
        compare_counts(f, g, seeded("moved", str(n)), tau=0.0, alpha=POLICY.alpha).p_value < POLICY.alpha
        for n, (f, g) in enumerate(zip(before, after, strict=True))
    )
    # The law is of large counts: a tenth of the stated power, or three in a hundred, is what small ones may lack.
    least = min(0.9 * stated, stated - 0.03)
    assert least <= 0 or stats.binom.cdf(count, PAIRS, least) > LUCK, (count / PAIRS, stated)


@pytest.mark.parametrize("size", [1_000, 10_000, 1_000_000])
def test_a_change_of_one_and_a_half_limits_is_flagged_almost_always(size):
    shares = SHAPES["ten equal cells"]
    before, after = draws(shares, size, 7), draws(moved(shares, 1.5 * POLICY.tau_warn), size, 8)
    assert sum(map(flagged, before, after)) > 0.95 * PAIRS
