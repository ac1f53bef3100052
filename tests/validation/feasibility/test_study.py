"""Studies of tasks whose Bayes error is known: the interval holds it, and the verdict follows from it."""

import json
import warnings

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import foldstore
from foldstore.errors import ColumnNotFoundError, RefusedError, UsageError
from foldstore.validation.feasibility.neighbours import find_neighbours, vote
from foldstore.validation.feasibility.result import FeasibilityVerdict
from foldstore.validation.feasibility.spanning_tree import count_crossing
from foldstore.validation.feasibility.study import clopper_pearson

REALISTIC, INFEASIBLE, INCONCLUSIVE = FeasibilityVerdict


def gaussians(distance, rows=6_000, dimensions=2, seed=1):
    """Two unit Gaussians: the Bayes error is Phi(-distance / 2)."""
    draw = np.random.default_rng(seed)
    label = draw.random(rows) < 0.5
    points = draw.normal(size=(rows, dimensions))
    points[:, 0] += distance * label
    columns = {f"x{place}": points[:, place] for place in range(dimensions)}
    return pa.table({**columns, "label": label}), float(stats.norm.cdf(-distance / 2))


def study(table, target=0.2, **how):
    return foldstore.feasibility(table, label="label", target_error=target, **how)


class TestKnownErrors:
    @pytest.mark.parametrize("distance", [1, 2, 3])
    def test_the_bayes_error_of_two_gaussians_lies_in_the_interval(self, distance):
        table, bayes = gaussians(distance)
        found = study(table)
        assert found.low <= bayes <= found.high
        assert found.high - found.low < 0.12

    @pytest.mark.parametrize("distance", [1, 2, 3])
    def test_the_other_estimates_lie_near_it(self, distance):
        table, bayes = gaussians(distance)
        found = study(table)
        assert found.density == pytest.approx(bayes, abs=0.03)
        assert found.tree_low - 0.05 <= bayes <= found.tree_high + 0.02
        assert found.dimension == pytest.approx(2, abs=0.4)

    def test_a_checkerboard_needs_neighbours_and_no_line(self):
        draw = np.random.default_rng(2)
        places = draw.integers(0, 2, size=(6_000, 2))
        points = places + draw.normal(size=(6_000, 2)) * 0.25
        table = pa.table({"x": points[:, 0], "y": points[:, 1], "label": places.sum(axis=1) % 2 == 1})
        q = stats.norm.cdf(-0.5 / 0.25)
        found = study(table)
        assert found.low <= 2 * q * (1 - q) <= found.high
        assert found.best.embedding != "lda"

    def test_noise_is_noise(self):
        draw = np.random.default_rng(3)
        table = pa.table({"x": draw.normal(size=3_000), "label": draw.integers(0, 4, 3_000)})
        found = study(table, 0.5)
        assert found.low <= 0.75 <= found.high
        assert found.majority_error == pytest.approx(0.75, abs=0.03)

    def test_texts_that_say_everything_leave_no_error(self):
        draw = np.random.default_rng(4)
        words = draw.choice(["a", "b", "c", None], 2_000)
        table = pa.table({"w": pa.array(words.tolist(), pa.string()), "label": [each in ("a", None) for each in words]})
        found = study(table, 0.01)
        assert found.best.error == 0.0
        assert found.verdict is REALISTIC

    def test_labels_replaced_at_random_raise_the_error_as_they_should(self):
        table, _ = gaussians(2)
        for rho, error, expected in study(table).noise:
            assert error == pytest.approx(expected, abs=0.04), rho

    def test_three_classes_on_a_circle(self):
        draw = np.random.default_rng(5)
        label = draw.integers(0, 3, 6_000)
        angle = 2 * np.pi * label / 3
        points = 2 * np.column_stack([np.cos(angle), np.sin(angle)]) + draw.normal(size=(6_000, 2))
        table = pa.table({"x": points[:, 0], "y": points[:, 1], "label": label})
        found = study(table)
        assert found.low <= 0.07384 <= found.high


class TestVerdicts:
    def test_a_target_above_what_neighbours_reach_is_realistic(self):
        table, bayes = gaussians(2)
        assert study(table, bayes + 0.06).verdict is REALISTIC

    def test_a_target_far_below_the_bayes_error_is_infeasible(self):
        table, bayes = gaussians(2)
        found = study(table, bayes / 2)
        assert found.verdict is INFEASIBLE
        assert found.more_rows is None

    def test_a_target_near_the_bayes_error_is_inconclusive(self):
        table, bayes = gaussians(2)
        assert study(table, bayes).verdict is INCONCLUSIVE

    def test_few_rows_ask_for_more_and_more_rows_settle_it(self):
        table, bayes = gaussians(2, rows=300)
        found = study(table, bayes + 0.05)
        assert found.verdict is INCONCLUSIVE
        assert found.more_rows > 0
        assert study(gaussians(2, rows=3_000)[0], bayes + 0.05).verdict is REALISTIC
        assert f"collect about {found.more_rows:,} more rows" in str(found)

    def test_a_bound_in_many_dimensions_is_not_trusted(self):
        table, bayes = gaussians(2, dimensions=40)
        found = study(table, bayes - 0.02, embeddings=["raw", "standardised"])
        assert found.verdict is not INFEASIBLE

    @given(st.integers(0, 10**6))
    def test_the_same_seed_gives_the_same_study(self, seed):
        table, _ = gaussians(1, rows=90)
        assert study(table, seed=seed).to_dict() == study(table, seed=seed).to_dict()


class TestWhatIsAsked:
    def test_own_embeddings_take_part(self):
        table, _ = gaussians(2)
        hidden = table.select(["x1", "label"]).append_column("v", table["x0"])
        found = study(
            hidden, features=["x1"], own_embeddings={"mine": lambda rows: np.asarray(rows["x1"]) * 0, "kept": ["v"]}
        )
        assert {arm.embedding for arm in found.arms} >= {"mine", "kept", "raw"}
        assert found.best.embedding == "kept"

    def test_rows_without_a_label_are_left_out_and_many_are_sampled(self):
        table, _ = gaussians(2)
        label = pa.array([None if n % 2 else each for n, each in enumerate(table["label"].to_pylist())])
        found = study(table.set_column(2, "label", label), max_rows=900)
        assert found.rows + found.held_out == 900

    @pytest.mark.parametrize(
        ("how", "kind"),
        [
            ({"target": 2}, UsageError),
            ({"target": float("nan")}, UsageError),
            ({"features": ["label"]}, UsageError),
            ({"features": ["nothing"]}, ColumnNotFoundError),
            ({"features": []}, UsageError),
            ({"embeddings": ["nothing"]}, UsageError),
            ({"sneed": 1}, UsageError),
            ({"own_embeddings": {"e": lambda rows: [[1.0]]}}, UsageError),
            ({"own_embeddings": {"e": lambda rows: "x"}}, UsageError),
            ({"own_embeddings": {"e": lambda rows: np.full(rows.num_rows, np.nan)}}, UsageError),
        ],
    )
    def test_what_means_nothing_is_refused(self, how, kind):
        table, _ = gaussians(1, rows=90)
        with pytest.raises(kind):
            study(table, **how)

    @pytest.mark.parametrize(
        "table",
        [
            pa.table({"x": [1.0] * 100, "label": ["a"] * 100}),
            pa.table({"x": [1.0] * 100, "label": list(range(100))}),
            pa.table({"x": [1.0, 2.0], "label": [True, False]}),
            pa.table({"x": [[1.0]] * 100, "label": [True, False] * 50}),
        ],
    )
    def test_rows_that_allow_no_study_are_refused(self, table):
        with pytest.raises(UsageError):
            study(table)

    def test_rows_that_are_all_alike_are_studied(self):
        found = study(
            pa.table({"x": [None] * 200, "y": [5] * 200, "label": [True, False] * 100}).cast(
                pa.schema({"x": pa.float64(), "y": pa.int64(), "label": pa.bool_()})
            )
        )
        assert found.verdict is not REALISTIC
        assert json.loads(json.dumps(found.to_dict()))["verdict"] in ("infeasible", "inconclusive")

    def test_a_test_pool_is_not_looked_at(self, folder):
        table, _ = gaussians(2, rows=3_000)
        table = table.append_column("id", pa.array(range(3_000)))
        with foldstore.connect(folder) as store:
            version = store.create_dataset("tasks", key=["id"]).append(table)
            split = version.split("half", train=0.5, test=0.5, seed=1)
            plan = foldstore.plan_pool("n > 0.6 +/- 0.1", reliability=0.9, steps=1)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                store.pools.seal("p", split.test, label="label", plan=plan)
            for rows in (store.view("tasks"), store.version("tasks"), split.test):
                with pytest.raises(RefusedError, match="test pool 'p'"):
                    foldstore.feasibility(rows, label="label", target_error=0.2, leave_out=["id"])
            found = foldstore.feasibility(split.train, label="label", target_error=0.3, leave_out=["id"])
            assert found.verdict is REALISTIC

    def test_it_draws_its_curve_and_escapes_what_it_says(self):
        table, _ = gaussians(2, rows=600)
        found = study(table, own_embeddings={"<b>": ["x0"]})
        page = found._repr_html_()
        assert page.count("<polyline") == len(found.arms) + 1
        assert "<b>" not in page


class TestNeighbours:
    @given(
        st.integers(1, 40).flatmap(
            lambda rows: st.tuples(
                st.lists(st.lists(st.integers(0, 3), min_size=9, max_size=9), min_size=rows, max_size=rows),
                st.integers(1, rows),
            )
        ),
        st.booleans(),
    )
    def test_they_are_as_near_as_those_of_a_loop(self, drawn, few_dimensions):
        points = np.array(drawn[0], float)[:, : 2 if few_dimensions else 9]
        asked = points[::-1] + 0.25
        (found,) = find_neighbours(points, asked, [(0, len(points))], drawn[1])
        for row, near in zip(asked, found, strict=True):
            distances = np.sort(((points - row) ** 2).sum(axis=1))[: drawn[1]]
            assert np.allclose(((points[near] - row) ** 2).sum(axis=1), distances)
            assert len(set(near.tolist())) == drawn[1]

    @given(st.lists(st.integers(0, 3), min_size=1, max_size=9))
    def test_the_vote_is_the_most_frequent_label(self, labels):
        winner = vote(np.arange(len(labels))[None, :], np.array(labels), 4)[0]
        assert labels.count(winner) == max(map(labels.count, labels))

    @given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 2)), min_size=2, max_size=12))
    def test_a_spanning_tree_is_one_of_least_length(self, drawn):
        from scipy.sparse.csgraph import minimum_spanning_tree
        from scipy.spatial import distance_matrix

        draw = np.random.default_rng(len(drawn))
        points = np.array([each[:2] for each in drawn], float) + draw.random((len(drawn), 2)) * 1e-3
        labels = np.array([each[2] for each in drawn])
        tree = minimum_spanning_tree(distance_matrix(points, points)).tocoo()
        assert count_crossing(points, labels) == int((labels[tree.row] != labels[tree.col]).sum())

    @given(st.integers(0, 50), st.integers(1, 50))
    def test_the_interval_is_that_of_scipy(self, count, more):
        of = count + more
        expected = stats.binomtest(count, of).proportion_ci(0.9, method="exact")
        assert clopper_pearson(count, of, 0.1) == pytest.approx((expected.low, expected.high))
