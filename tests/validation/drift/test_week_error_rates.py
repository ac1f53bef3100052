"""Rates of error of times by simulation: rows that come independently, volumes that swing, hours that moved by one."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from foldstore.datastore.statistics.pinned import GridCounts, WeekGrid
from foldstore.validation.check import drift_between
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.drift.comparison import DriftTarget, detect_drift
from foldstore.validation.drift.verdict import DriftVerdict
from foldstore.validation.subject import TableSubject

PAIRS = 1_000
FEWER = 200
LUCK = 1e-6
ALPHA = DriftPolicy().alpha
MONDAY = 4 * 24
# Rush hours, and half as many rows at the weekend.
OF_DAY = np.array([1, 1, 1, 1, 2, 4, 9, 14, 12, 7, 6, 6, 7, 6, 6, 8, 12, 14, 10, 6, 4, 3, 2, 1], float)
OF_WEEK = np.array([1, 1, 1, 1, 1, 0.5, 0.5])

pytestmark = pytest.mark.slow


def rates(first, hours, rows, turned=0):
    """Return how many rows each hour of a span expects, so many a working day."""
    span = first + np.arange(hours)
    return span, rows * np.roll(OF_DAY, turned)[span % 24] / OF_DAY.sum() * OF_WEEK[(span // 24 + 3) % 7]


def count(first, hours, rows, random, turned=0):
    """Draw independent rows, and count them by hour of the week."""
    span, expected = rates(first, hours, rows, turned)
    cells = np.zeros(168, np.int64)
    np.add.at(cells, (span + 72) % 168, random.poisson(expected))
    return GridCounts(tuple(cells.tolist())), WeekGrid(first, first + hours, hours_vary=0.0, days_vary=0.0)


def is_flagged(before, after, seed):
    target = DriftTarget(
        column="at",
        labels=before[1].labels,
        reference=before[0],
        current=after[0],
        policy=DriftPolicy(),
        weeks=(before[1], after[1]),
    )
    found = detect_drift([target], seed=str(seed)).columns["at"]
    return found.verdict in (DriftVerdict.WARN, DriftVerdict.ERROR)


@pytest.mark.parametrize(
    ("before", "after"), [(28 * 24, 28 * 24), (28 * 24, 10 * 24), (28 * 24, 24), (364 * 24, 31 * 24), (14 * 24, 100)]
)
@pytest.mark.parametrize("rows", [60, 1_000, 100_000])
def test_other_spans_of_the_same_rows_are_flagged_no_more_often_than_twice_alpha(before, after, rows):
    random = np.random.default_rng(rows)
    flags = sum(
        is_flagged(
            count(MONDAY, before, rows, random), count(MONDAY + int(random.integers(168)), after, rows, random), seed
        )
        for seed in range(PAIRS)
    )
    assert stats.binom.sf(flags - 1, PAIRS, 2 * ALPHA) > LUCK, flags / PAIRS


def table(first, days, rows, vary, random, turned=0):
    """Draw rows of which each day, and each hour, has a volume of its own."""
    span, expected = rates(first, days * 24, rows, turned)
    days_by = random.gamma(1 / vary**2, vary**2, span.max() // 24 + 1)[span // 24]
    counts = random.poisson(expected * days_by * random.gamma(1 / vary**2, vary**2, len(span)))
    seconds = np.repeat(span, counts) * 3_600 + random.integers(0, 3_600, counts.sum())
    return TableSubject(pa.table({"at": pa.array(np.sort(seconds), pa.timestamp("s"))}), "t")


@pytest.mark.parametrize("vary", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("days", [(28, 28), (28, 10), (56, 1)])
def test_volumes_that_swing_are_flagged_no_more_often_than_twice_alpha(vary, days):
    random = np.random.default_rng(int(vary * 10))
    flags = 0
    for _ in range(FEWER):
        before = table(MONDAY, days[0], 400, vary, random)
        after = table(MONDAY + int(random.integers(168)), days[1], 400, vary, random)
        flags += bool(drift_between(before, after).drifted)
    assert stats.binom.sf(flags - 1, FEWER, 2 * ALPHA) > LUCK, flags / FEWER


@pytest.mark.parametrize(("days", "rows"), [(28, 200), (28, 2_000), (1, 4_000)])
def test_hours_that_moved_by_one_are_flagged_almost_always(days, rows):
    random = np.random.default_rng(rows)
    flags = sum(
        is_flagged(count(MONDAY, 28 * 24, rows, random), count(MONDAY, days * 24, rows, random, turned=1), seed)
        for seed in range(FEWER)
    )
    assert flags > 0.95 * FEWER, flags / FEWER
