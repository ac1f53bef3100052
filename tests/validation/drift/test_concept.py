"""Concept drift: the exact split of the divergence, calibration, and what is found."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from foldstore.validation.drift.concept import PairCounts, detect_concept_drift, split_divergence
from foldstore.validation.drift.verdict import DriftVerdict

TABLES = npst.arrays(np.int64, (2, 4, 3), elements=st.integers(0, 40)).filter(lambda t: t.sum(axis=(1, 2)).all())


def pair(f, g, feature="x"):
    f, g = np.asarray(f), np.asarray(g)
    return PairCounts(
        feature=feature,
        labels=tuple(f"cell {place}" for place in range(len(f))),
        classes=tuple(f"class {place}" for place in range(f.shape[1])),
        reference=f,
        current=g,
    )


def detect(f, g, **how):
    return detect_concept_drift([pair(f, g)], "y", seed="test", **how).features["x"]


@given(TABLES)
def test_the_two_parts_sum_to_the_divergence(tables):
    f, g = tables
    used = (f + g) > 0
    p, q = ((table + 0.5) * used for table in (f, g))
    whole = scipy.stats.entropy((p / p.sum())[used], (q / q.sum())[used])
    covariate, concept = split_divergence(f, g)
    assert covariate + concept == pytest.approx(whole, abs=1e-9)
    rows = used.any(axis=1)
    margin = scipy.stats.entropy((p.sum(axis=1) / p.sum())[rows], (q.sum(axis=1) / q.sum())[rows])
    assert covariate == pytest.approx(margin, abs=1e-9)


def test_a_feature_that_moves_alone_is_no_concept_drift():
    chances = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
    found = detect(chances * 10_000, chances * np.array([[2_000], [10_000], [30_000]]))
    assert found.verdict is DriftVerdict.STABLE
    assert found.covariate_part > 0.05
    assert found.concept_part < 1e-4
    assert found.effect == pytest.approx(0, abs=1e-9)


def test_a_label_that_moves_at_the_same_feature_is_found_and_the_cell_named():
    f = np.array([[900, 100], [500, 500], [200, 800]])
    g = np.array([[900, 100], [500, 500], [600, 400]])
    found = detect(f, g)
    assert found.verdict is DriftVerdict.ERROR
    worst = found.worst[0]
    assert (worst.cell, worst.label, worst.before, worst.after) == ("cell 2", "class 0", 0.2, 0.6)
    assert found.covariate_part == pytest.approx(0, abs=1e-6)
    assert found.concept_part > 0.1


def _drawn(generator, size, shares, chances):
    cells = zip(generator.multinomial(size, shares), chances, strict=True)
    return np.stack([generator.multinomial(n, p) for n, p in cells])


@pytest.mark.parametrize("size", [60, 2_000])
def test_p_values_hold_their_level_when_the_label_depends_as_before(size):
    generator, rejected = np.random.default_rng(11), 0
    chances = np.array([[0.9, 0.1], [0.5, 0.5], [0.3, 0.7], [0.05, 0.95]])
    for _ in range(300):
        # The feature may move: that is not what is tested.
        f, g = (
            np.stack(
                [generator.multinomial(n, p) for n, p in zip(generator.multinomial(size, shares), chances, strict=True)]
            )
            for shares in ([0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4])
        )
        rejected += detect(f, g).p_value < 0.05
    assert rejected <= 2 * 0.05 * 300


def test_few_rows_are_untestable_and_none_at_all_is_no_crash():
    assert detect([[3, 1], [1, 3]], [[2, 2], [2, 2]]).verdict is DriftVerdict.UNTESTABLE
    assert detect([[3, 1], [1, 3]], [[2, 2], [2, 2]]).needed is None, "the reference is too small itself"
    assert 8 < detect([[3_000, 1_000], [1_000, 3_000]], [[2, 2], [2, 2]]).needed < 10_000
    nothing = detect([[0, 0]], [[0, 0]])
    assert (nothing.verdict, nothing.method, nothing.worst) == (DriftVerdict.UNTESTABLE, "none", ())
    apart = detect([[50, 50], [0, 0]], [[0, 0], [50, 50]])
    assert (apart.verdict, apart.method) == (DriftVerdict.UNTESTABLE, "none")


def test_of_many_features_the_worst_comes_first_and_p_values_are_adjusted():
    same = np.array([[500, 500], [500, 500]])
    moved = np.array([[700, 300], [500, 500]])
    found = detect_concept_drift([pair(same, same, "a"), pair(same, moved, "b")], "y", seed="")
    assert list(found.features) == ["b", "a"]
    assert found.drifted == ("b",)
    assert found.features["b"].p_adjusted == pytest.approx(2 * found.features["b"].p_value)
    assert found.to_dict()["features"]["b"]["worst"][0]["cell"] == "cell 0"


def test_p_values_of_rows_dealt_anew_are_not_bound_by_how_often_they_are_dealt():
    """One feature among many has to stand out after adjustment."""
    before, after = np.array([[300, 4], [300, 3]]), np.array([[290, 5], [150, 160]])
    still = np.array([[300, 4], [300, 4]])
    pairs = [PairCounts(feature="x", labels=("a", "b"), classes=("0", "1"), reference=before, current=after)]
    pairs += [
        PairCounts(feature=f"still{each}", labels=("a", "b"), classes=("0", "1"), reference=still, current=still)
        for each in range(40)
    ]
    found = detect_concept_drift(pairs, "y", seed="many").features
    assert found["x"].method == "permutation"
    assert found["x"].p_value < 1e-9
    assert [name for name, each in found.items() if each.p_adjusted < 0.01] == ["x"]
    assert found["still7"].p_value > 0.5
