"""Measures against worked values, scipy, and each other."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from foldstore.errors import InvalidSchemaError
from foldstore.validation.column_bounds import DRIFT_METRICS, DriftPolicy
from foldstore.validation.drift import measures
from foldstore.validation.drift.adjustment import adjust
from foldstore.validation.drift.significance import compare_counts, seeded

P, Q = np.array([5, 3, 2]), np.array([4, 4, 2])
COUNTS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=2, max_size=12).filter(
    lambda pairs: all(map(sum, zip(*pairs, strict=True)))
)


def test_worked_values():
    assert float(measures.divergence(P, Q)) / np.log(2) == pytest.approx(0.0091859255, abs=1e-10)
    assert np.sqrt(float(measures.divergence(P, Q))) == pytest.approx(0.0797947222, abs=1e-8)
    assert float(measures.kullback_leibler(P, Q)) == pytest.approx(0.0252671539, abs=1e-10)
    assert float(measures.greatest_change(P, Q)) == pytest.approx(0.1)
    assert float(measures.total_variation(P, Q)) == pytest.approx(0.1)
    assert np.sqrt(float(measures.hellinger_squared(P, Q))) == pytest.approx(0.0798513806, abs=1e-10)
    many = 10**9
    assert float(measures.population_stability(P * many, Q * many)) == pytest.approx(0.0510825624, abs=1e-7)


def test_the_table_of_two_rows_has_its_worked_values():
    found = measures.contingency([50, 30, 20], [40, 40, 20])
    assert found["chi2"] == pytest.approx(2.5396825397, abs=1e-10)
    assert found["chi2_p"] == pytest.approx(0.2808762017, abs=1e-9)
    assert found["g"] == pytest.approx(2.5468793336, abs=1e-10)
    assert found["g_p"] == pytest.approx(0.2798673120, abs=1e-8)
    assert found["cramers_v"] == pytest.approx(0.1126872339, abs=1e-9)
    assert scipy.stats.fisher_exact([[8, 2], [1, 5]]).pvalue == pytest.approx(0.034965035, abs=1e-9)


def test_adjustments_have_their_worked_values():
    p = (0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216)
    assert adjust(p, "holm") == pytest.approx([0.01, 0.072, *[0.312] * 5, *[0.615] * 3])
    assert adjust([0.01, 0.02, 0.03, 0.04, 0.05], "by") == pytest.approx([0.1141666667] * 5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_is_the_step_down_procedure(p_values):
    order = sorted(range(len(p_values)), key=lambda place: (p_values[place], place))
    highest, expected = 0.0, [0.0] * len(p_values)
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        expected[place] = highest
    assert adjust(p_values, "holm") == pytest.approx(expected)


@given(COUNTS)
def test_measures_agree_with_scipy_and_the_definitions(pairs):
    f, g = (np.array(side) for side in zip(*pairs, strict=True))
    p, q = f / f.sum(), g / g.sum()
    kl = float(measures.kullback_leibler(f, g))
    assert kl == pytest.approx(scipy.stats.entropy(p, q), abs=1e-9) or np.isinf(kl)
    assert float(measures.total_variation(f, g)) == pytest.approx(
        max(0.0, sum(a - b for a, b in zip(p, q, strict=True) if a > b))
    )
    places = np.arange(len(f))
    expected = scipy.stats.ks_2samp(np.repeat(places, f), np.repeat(places, g)).statistic
    assert float(measures.kolmogorov(f, g)) == pytest.approx(expected, abs=1e-12)
    table = np.array([f, g])[:, (f + g) > 0]
    if table.shape[1] > 1:
        chi2 = scipy.stats.chi2_contingency(table, correction=False)
        assert measures.contingency(f, g)["chi2"] == pytest.approx(chi2.statistic, abs=1e-9)
        assert measures.contingency(f, g)["chi2_p"] == pytest.approx(chi2.pvalue, abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=4, max_size=9))
def test_the_wasserstein_distance_is_the_area_between_straight_lines(pairs):
    f, g = (np.array([0, *side, 0]) for side in zip(*pairs, strict=True))
    if not f.sum() or not g.sum():
        return
    edges = np.arange(len(f) - 1) * 2.0
    fine = np.linspace(0, edges[-1], 20_001)
    first, second = (np.interp(fine, edges, (np.cumsum(side) / side.sum())[:-1]) for side in (f, g))
    low, high = np.interp([0.25, 0.75], (np.cumsum(f) / f.sum())[:-1], edges)
    unit = (high - low) / 1.349 if high > low else edges[-1]
    area = np.trapezoid(np.abs(first - second), fine)
    assert float(measures.earth_mover(edges)(f, g)) == pytest.approx(area / unit, abs=2e-3 * max(1, area / unit))


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e12])
def test_the_wasserstein_distance_does_not_depend_on_the_unit(scale):
    edges = np.array([0.0, 1.0, 2.0, 4.0])
    f, g = np.array([1, 5, 7, 3, 1]), np.array([0, 2, 4, 9, 2])
    assert measures.earth_mover(edges * scale)(f, g) == pytest.approx(measures.earth_mover(edges)(f, g))


def test_a_normal_that_moves_by_a_quarter_has_the_effects_of_the_table():
    # Effects of a shift of 0.25 standard deviations on fine cells, from normal theory.
    edges = np.linspace(-4, 4, 801)
    p = np.diff(scipy.stats.norm.cdf(edges), prepend=0, append=1)
    q = np.diff(scipy.stats.norm.cdf(edges, 0.25), prepend=0, append=1)
    f, g = (np.round(side * 1e9).astype(np.int64) for side in (p, q))
    shown = measures.measure_all(f, g, edges.tolist())
    assert shown["ks"] == pytest.approx(0.099, abs=5e-4)
    assert shown["psi"] == pytest.approx(0.0625, abs=5e-3)
    assert shown["js"] == pytest.approx(0.105, abs=1e-3)
    assert shown["wasserstein"] == pytest.approx(0.25, abs=5e-3)


@pytest.mark.parametrize("metric", DRIFT_METRICS)
@pytest.mark.parametrize(("n", "m"), [(300, 100), (2_000, 1_000)])
def test_every_metric_holds_its_level_and_takes_chance_off(metric, n, m):
    generator, edges = np.random.default_rng(7), [1.0, 2.0, 3.0, 4.0]
    shares = [0.3, 0.3, 0.2, 0.15, 0.05]
    rejected, effects = 0, []
    for run in range(300):
        f, g = generator.multinomial(n, shares), generator.multinomial(m, shares)
        test = compare_counts(
            f, g, seeded(str(run), metric), measure=measures.measure_named(metric, edges), tau=0.0, alpha=0.05
        )
        rejected += test.p_value < 0.05
        effects.append(test.effect)
    assert rejected <= 2 * 0.05 * 300
    assert np.median(effects) < 0.6 * test.detectable or not np.median(effects)


def _moved(shares, move):
    return shares + np.array([0, move, 0, -move])


@pytest.mark.parametrize("metric", DRIFT_METRICS)
def test_what_is_called_detectable_is_found_about_half_of_the_time(metric):
    edges, n, m = [1.0, 2.0, 3.0], 4_000, 2_000
    measure = measures.measure_named(metric, edges)
    p = np.array([0.3, 0.3, 0.2, 0.2])
    generator = np.random.default_rng(3)
    null = compare_counts(
        generator.multinomial(n, p),
        generator.multinomial(m, p),
        seeded("", metric),
        measure=measure,
        tau=0.0,
        alpha=0.01,
    )
    moves = np.linspace(0, 0.2, 2_001)
    effects = [measure.show(float(measure.raw(p * 1e12, _moved(p, move) * 1e12))) for move in moves]
    move = moves[np.searchsorted(effects, null.detectable)]
    found = 0
    for run in range(150):
        f, g = generator.multinomial(n, p), generator.multinomial(m, _moved(p, move))
        found += compare_counts(f, g, seeded(str(run), metric), measure=measure, tau=0.0, alpha=0.01).p_value < 0.01
    assert 0.3 < found / 150 < 0.75


def test_a_measure_of_order_needs_one_and_names_are_checked():
    with pytest.raises(InvalidSchemaError, match="needs numbers in order"):
        measures.measure_named("wasserstein")
    with pytest.raises(InvalidSchemaError, match="no measure of drift 'jss'"):
        measures.measure_named("jss")
    with pytest.raises(InvalidSchemaError, match="no metric of drift"):
        DriftPolicy(metric="kolmogorov")
    assert set(DRIFT_METRICS) == set(measures.TITLES)


def test_more_rows_than_can_be_dealt_are_judged_all_the_same():
    f, g = np.array([10**9, 5 * 10**8, 1]), np.array([10**9, 6 * 10**8, 3])
    test = compare_counts(f, g, seeded("", "x"), tau=0.1, alpha=0.01)
    assert test.p_value < 1e-9
    assert test.effect == pytest.approx(measures.distance(f, g))
