"""Rates of error over columns x segments, by simulation: noise that is called drift, and changes that are seen.

Frames of rows, not counts: what is simulated is the whole comparison. A rate is called too high, or too low, only when
chance alone would do that once in a million.
"""

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.segment_drift import drift_by_segment
from foldstore.validation.subject import TableSubject

FRAMES = 200
LUCK = 1e-6
# Whatever is significant counts, so that the rates are those of the tests; limits only make fewer flags.
ANY_EFFECT = DriftPolicy(tau_warn=0.0, tau_error=0.0, null_warn=0.0, null_error=0.0)

pytestmark = pytest.mark.slow


def frame(draw, n, segments, *, shift=0.0):
    segment = draw.integers(0, segments, n)
    return TableSubject(
        pa.table(
            {
                "segment": pa.array([f"s{each}" for each in segment]),
                "normal": draw.normal(size=n) + shift * (segment == 0),
                "count": draw.poisson(4, n),
                "kind": pa.array(draw.choice(list("abcde"), n, p=[0.5, 0.3, 0.1, 0.06, 0.04])),
                "flag": pa.array(draw.random(n) < 0.2),
                "holes": pa.array(draw.normal(size=n), mask=draw.random(n) < 0.1),
            }
        ),
        "rows",
    )


def at_most(count, rate, frames=FRAMES):
    """Say whether so many of the frames may come from a rate."""
    return stats.binom.sf(count - 1, frames, rate) > LUCK


@pytest.mark.parametrize(("size", "segments"), [(400, 8), (4_000, 16)])
def test_noise_in_any_column_of_any_segment_is_flagged_no_more_often_than_twice_alpha(size, segments):
    values = nulls = within = 0
    for seed in range(FRAMES):
        draw = np.random.default_rng([seed, size, segments])
        sides = frame(draw, size, segments), frame(draw, size, segments)
        found = drift_by_segment(*sides, "segment", policy=ANY_EFFECT)
        columns = [each for segment in found.segments for each in segment.drift.columns.values()]
        assert found.tests >= 4 * segments
        values += any(each.p_adjusted < ANY_EFFECT.alpha for each in columns)
        nulls += any(each.null_p_adjusted < ANY_EFFECT.alpha for each in columns)
        within += any(each.within_p_adjusted < ANY_EFFECT.alpha for each in found.columns.values())
    for count in (values, nulls, within):
        assert at_most(count, 2 * ANY_EFFECT.alpha), (values, nulls, within)


def test_a_change_of_the_limit_in_one_segment_is_seen_or_said_to_be_beyond_so_many_rows():
    seen = untestable = false = 0
    for seed in range(60):
        draw = np.random.default_rng([seed, 9])
        before, after = frame(draw, 16_000, 8), frame(draw, 16_000, 8, shift=0.35)
        found = drift_by_segment(before, after, "segment")
        seen += ("s0", "normal") in found.drifted
        untestable += ("s0", "normal") in found.untestable
        false += any(segment != "s0" for segment, _ in found.drifted)
    # 0.35 standard deviations are a distance of 0.147, well above the limit of 0.1.
    assert seen >= 57
    assert untestable == 0
    assert at_most(false, 2 * DriftPolicy().alpha, 60)
