"""Rates of error of shares of nulls, by simulation: frames of many columns, and each column by itself.

Two thousand frames of seventeen columns for each pair of sizes, drawn as binomials. A rate is called too high, or too
low, only when chance alone would do that once in a million.
"""

import numpy as np
import pytest
from scipy import optimize, stats

from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.drift.comparison import detect_drift
from foldstore.validation.drift.nulls import NullCounts, NullTarget
from foldstore.validation.intervals import cohen_h

FRAMES = 2_000
LUCK = 1e-6
SHARES = (0.0, 0.0001, 0.001, 0.003, 0.01, 0.02, 0.05, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8, 0.97, 0.999, 1.0)
# Whatever is significant counts, so that the rates are those of the tests; limits only make fewer flags.
ANY_EFFECT = DriftPolicy(null_warn=0.0, null_error=0.0)
SIZES = [(60, 60), (60, 5_000), (60, 10_000_000), (500, 500), (5_000, 10_000_000), (200_000, 200_000)]

pytestmark = pytest.mark.slow


def frames(n, m, shares, policy):
    draw = np.random.default_rng([n, m])
    before, after = (
        draw.binomial(size, share, (FRAMES, len(share))) for size, share in zip((n, m), shares, strict=True)
    )
    for f, g in zip(before.tolist(), after.tolist(), strict=True):
        targets = [
            NullTarget(column=str(at), reference=NullCounts(a, n), current=NullCounts(b, m), policy=policy)
            for at, (a, b) in enumerate(zip(f, g, strict=True))
        ]
        yield list(detect_drift([], seed="", nulls=targets).nulls.values())


def at_most(count, rate, of):
    """Say whether so many may come from a rate."""
    return stats.binom.sf(count - 1, of, rate) > LUCK


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_noise_is_flagged_in_no_column_and_no_frame_more_often_than_twice_alpha(n, m):
    alpha = ANY_EFFECT.alpha
    found = list(frames(n, m, [np.array(SHARES)] * 2, ANY_EFFECT))
    assert at_most(sum(any(each.is_flagged for each in frame) for frame in found), 2 * alpha, FRAMES)
    for column in zip(*found, strict=True):
        assert at_most(sum(each.p_value < alpha for each in column), 2 * alpha, FRAMES)


@pytest.mark.parametrize("size", [600, 1_200, 5_000])
def test_a_change_of_the_limit_is_significant_as_often_as_is_stated(size):
    """Where `detectable` is the limit half of the changes of that size show, and more where it lies below."""
    policy = DriftPolicy()
    shares = np.array([0.1, 0.3, 0.6])
    moved = np.array([optimize.brentq(lambda q, p=p: cohen_h(p, q) - policy.null_warn, p, 1.0) for p in shares])
    unit = (2 / size) ** 0.5
    stated = stats.norm.sf(stats.norm.isf(policy.alpha / 2) - policy.null_warn / unit)
    for column in zip(*frames(size, size, [shares, moved], policy), strict=True):
        count = sum(each.p_value < policy.alpha for each in column)
        assert stats.binom.cdf(count, FRAMES, min(0.9 * stated, stated - 0.03)) > LUCK, (count / FRAMES, stated)
