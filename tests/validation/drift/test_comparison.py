"""Drift against known answers, calibration under no change, power at the limit."""

import numpy as np
import pyarrow as pa
import pytest
import scipy.spatial.distance
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from foldstore.datastore.statistics.pinned import GridCounts
from foldstore.validation.check import drift_between
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.drift.adjustment import adjust
from foldstore.validation.drift.comparison import DriftResult, DriftTarget, detect_drift
from foldstore.validation.drift.measures import distance
from foldstore.validation.drift.significance import needed_rows, power
from foldstore.validation.subject import TableSubject


def target(f, g, column="x", nulls=(0, 0), policy=None):
    return DriftTarget(
        column=column,
        labels=tuple(map(str, range(len(f)))),
        reference=GridCounts(tuple(f), nulls[0]),
        current=GridCounts(tuple(g), nulls[1]),
        policy=policy or DriftPolicy(),
    )


def compare(f, g, nulls=(0, 0)):
    return detect_drift([target(f, g, nulls=nulls)], seed="test").columns["x"]


def tables(*columns):
    return (TableSubject(pa.table({"x": values}), "t") for values in columns)


def test_the_distance_has_its_known_value():
    assert distance([50, 30, 20], [40, 40, 20]) == pytest.approx(0.0958432338, abs=1e-10)
    assert distance([10, 0], [0, 10]) == pytest.approx(1.0)
    assert distance([1, 2], [10, 20]) == pytest.approx(0.0, abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1))
def test_the_distance_agrees_with_scipy(pairs):
    f, g = zip(*pairs, strict=True)
    if not sum(f) or not sum(g):
        return
    expected = scipy.spatial.distance.jensenshannon(f, g, base=2)
    assert distance(f, g) == pytest.approx(0 if np.isnan(expected) else expected, abs=1e-7)


def test_p_values_are_adjusted_as_in_the_worked_table():
    p = (0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216)
    expected = (0.01, 0.04, 0.084, 0.084, 0.084, 0.1, 0.1057142857, 0.216, 0.216, 0.216)
    assert adjust(p) == pytest.approx(expected)
    assert adjust([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05] * 5)
    assert adjust([]) == []


def test_dense_cells_are_judged_by_chi_squared():
    result = compare([500, 300, 200], [400, 400, 200])
    divergence = 0.0091859255 * np.log(2)
    assert result.method == "chi2"
    assert result.p_value == pytest.approx(scipy.stats.chi2.sf(8 * divergence / (2 / 1000), 2), rel=1e-6)
    assert result.effect == pytest.approx(np.sqrt((divergence - 2 * (2 / 1000) / 8) / np.log(2)), rel=1e-6)
    assert result.largest_change == {"cell": "0", "before": 0.5, "after": 0.4}


def test_sparse_cells_are_judged_by_permutation_like_the_exact_test():
    result = compare([8, 2], [1, 5])
    assert result.method == "permutation"
    # Fisher's two-sided p-value of the same table is 0.0350; for 2x2 tables both order by the same statistic.
    assert result.p_value == pytest.approx(0.034965, abs=0.02)


def test_the_same_seed_gives_the_same_p_value():
    sparse = target([8, 2, 1], [1, 5, 2])
    results = [detect_drift([sparse], seed=seed).columns["x"].p_value for seed in ("a", "a")]
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("cells", "n", "m", "runs"),
    [(20, 5000, 100, 300), (20, 1000, 1000, 300), (100, 5000, 1000, 150), (1000, 5000, 500, 40)],
)
def test_p_values_are_calibrated_when_nothing_changed(cells, n, m, runs):
    generator = np.random.default_rng(cells + m)
    shares = generator.dirichlet(np.ones(cells))
    # Effects must not shorten the permutation test here, so the limit is 0.
    policy = DriftPolicy(tau_warn=0.0, alpha=0.0)
    rejected = 0
    for run in range(runs):
        pair = target(generator.multinomial(n, shares), generator.multinomial(m, shares), policy=policy)
        rejected += detect_drift([pair], seed=str(run)).columns["x"].p_value < 0.05
    assert rejected <= scipy.stats.binom.isf(1e-4, runs, 0.05)


@pytest.mark.parametrize(("n", "m"), [(5000, 60), (1000, 100), (200, 200), (50_000, 50_000)])
def test_nothing_is_flagged_when_nothing_changed(n, m):
    generator = np.random.default_rng(7)
    flagged = 0
    for _ in range(40):
        before, after = tables(generator.normal(size=n), generator.normal(size=m))
        flagged += len(drift_between(before, after).drifted)
    assert flagged <= 2


def test_a_harmless_shift_of_many_rows_is_not_flagged_and_a_real_one_is():
    generator = np.random.default_rng(1)
    reference = generator.normal(size=50_000)
    for shift, verdict in ((0.02, "stable"), (0.1, "stable"), (0.5, "error"), (0.3, "warn")):
        before, after = tables(reference, generator.normal(loc=shift, size=50_000))
        result = drift_between(before, after).columns["x"]
        assert result.verdict == verdict
        assert result.effect <= result.distance


def test_drift_of_a_column_of_tiny_numbers_is_found():
    generator = np.random.default_rng(2)
    before, after = tables(generator.normal(size=5_000) * 1e-5, (generator.normal(size=2_000) + 5) * 1e-5)
    assert drift_between(before, after).columns["x"].verdict == "error"


@pytest.mark.parametrize("scale", [2.0**-40, 2.0**20])
def test_the_effect_does_not_depend_on_the_unit(scale):
    generator = np.random.default_rng(3)
    a, b = generator.normal(size=5_000), generator.normal(loc=0.4, size=3_000)
    plain, scaled = (drift_between(*tables(a * c, b * c)).columns["x"] for c in (1.0, scale))
    assert scaled.effect == plain.effect


def test_half_the_rows_turning_null_is_drift_of_missingness():
    x = np.random.default_rng(4).normal(size=2_000)
    half = pa.array(x, mask=np.arange(2_000) % 2 == 0)
    result = drift_between(*tables(x, half)).columns["x"]
    assert result.null_verdict == "error"
    assert result.verdict == "stable"
    assert (result.null_before, result.null_after) == (0.0, 0.5)


def test_few_nulls_are_judged_by_fishers_test():
    result = compare([10], [6], nulls=(0, 3))
    expected = scipy.stats.fisher_exact([[0, 10], [3, 6]]).pvalue
    assert result.null_p_value == pytest.approx(expected)


def test_too_few_rows_are_untestable_and_the_number_needed_suffices():
    result = compare([250] * 20, [3] * 20)
    assert result.verdict == "untestable"
    assert power(5000, result.needed, 20, 0.10, 0.01) >= 0.5
    assert power(5000, result.needed - 1, 20, 0.10, 0.01) < 0.5
    assert needed_rows(50, 20, 0.10, 0.01) is None


def test_stated_power_is_reached_by_simulation():
    generator = np.random.default_rng(5)
    p = np.full(20, 0.05)
    q = p * np.where(np.arange(20) % 2, 1.24, 0.76)
    tau = distance((p * 1e6).astype(int), (q * 1e6).astype(int))
    stated = power(5000, 800, 20, tau, 0.01)
    hits = sum(
        compare(generator.multinomial(5000, p), generator.multinomial(800, q)).p_value < 0.01 for _ in range(200)
    )
    assert hits / 200 == pytest.approx(stated, abs=0.12)


def test_the_effect_grows_with_the_shift():
    generator = np.random.default_rng(6)
    x = generator.normal(size=20_000)
    effects = [drift_between(*tables(x, x + shift)).columns["x"].effect for shift in (0.2, 0.5, 1.0, 3.0)]
    assert effects == sorted(effects)
    assert effects[-1] < 1


def test_a_sparse_vocabulary_that_drifts_is_flagged_even_among_many_columns():
    generator = np.random.default_rng(8)
    shares = 1 / np.arange(1, 501)
    moved = shares.copy()
    moved[5:15] *= 4
    targets = [
        target(generator.multinomial(5000, [0.5, 0.5]), generator.multinomial(1000, [0.5, 0.5]), column=str(i))
        for i in range(200)
    ]
    pair = (generator.multinomial(5000, shares / shares.sum()), generator.multinomial(1000, moved / moved.sum()))
    result = detect_drift([*targets, target(*pair, column="sparse")], seed="")
    assert result.drifted == ("sparse",)
    assert result.columns["sparse"].method == "permutation"


def test_nothing_to_compare_is_no_drift():
    assert compare([10], [10]).verdict == "stable"
    assert compare([0, 0], [5, 5]).method == "none"
    assert detect_drift([], seed="").drifted == ()


def test_results_round_trip_as_plain_data():
    result = detect_drift([target([500, 300], [100, 400], nulls=(3, 90))], seed="")
    back = DriftResult.from_dict(result.to_dict())
    assert back == result
    assert repr(back) == "DriftResult(1 columns, drifted: x)"
