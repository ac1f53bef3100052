"""Which rows need a label, and labels asked for until it is clear: against the answer with all labels."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstore.errors import RefusedError, UsageError
from foldstore.validation.pools import registered
from foldstore.validation.pools.condition import parse_condition
from foldstore.validation.pools.decide import decide
from foldstore.validation.pools.evidence import Evidence
from foldstore.validation.pools.in_order import look_in_order
from foldstore.validation.pools.labelling import label_in_order, rows_to_label
from foldstore.validation.pools.plan import plan_pool
from foldstore.validation.pools.registered import register_score

PAIRED = "n - o > 0 +/- 0.05 /\\ d < 0.3 +/- 0.05"


class TestRowsToLabel:
    @given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("abc")), min_size=1, max_size=30))
    def test_of_two_models_just_the_rows_where_they_differ(self, drawn):
        new, old = (list(column) for column in zip(*drawn, strict=True))
        found = rows_to_label(PAIRED, new, baseline=old)
        assert found.rows.tolist() == [place for place, (a, b) in enumerate(drawn) if a != b]
        assert found.labels == len(found.rows)
        assert dict(found.clauses)["d < 0.3 +/- 0.05"] == 0
        assert found.to_dict()["rows"] == found.rows.tolist()

    def test_clauses_and_slices_add_up(self):
        new, old, x = ["a", "b", "a", "b"], ["a", "a", "a", "a"], [1, 1, 2, 2]
        found = rows_to_label(
            "precision(n = 'b', x = 2) > .5 +/- .1 /\\ n - o > 0 +/- .1", new, baseline=old, columns={"x": x}
        )
        assert found.rows.tolist() == [1, 3]
        assert str(found).splitlines() == [
            "2 of 4 rows need a label",
            "  n - o > 0 +/- 0.1: 2",
            "  precision(n = 'b', x = 2) > 0.5 +/- 0.1: 1",
        ]

    def test_scores_of_ones_own(self, monkeypatch):
        monkeypatch.setattr(registered, "_REGISTERED", {})
        register_score("near", lambda p, _: np.zeros(len(p)), low=0, high=1)
        register_score("cost", low=0, high=9)
        predictions = {"prediction": [1, 2, 3], "cost": [3, 4, 5]}
        assert rows_to_label("near(n) - near(o) > 0", predictions, baseline=[1, 2, 4]).rows.tolist() == [2]
        assert rows_to_label("near(n) > 0.5", predictions).labels == 3
        assert rows_to_label("cost(n) < 5", predictions).labels == 0

    @pytest.mark.parametrize(
        ("predictions", "options", "words"),
        [
            ([True, None], {"baseline": [True, True]}, "null"),
            ([True, False], {}, "no predictions of one"),
            ([True, False], {"baseline": [True]}, "1 baseline predictions for 2 rows"),
            ({"x": [1]}, {"baseline": [1]}, "no column 'prediction'"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, predictions, options, words):
        with pytest.raises(UsageError, match=words):
            rows_to_label("n - o > 0 +/- 0.1", predictions, **options)

    def test_a_slice_needs_its_column_in_full(self):
        for columns in (None, {"y": [1, 2]}):
            with pytest.raises(UsageError, match="no column 'x'"):
                rows_to_label("n[x = 1] > 0.5", [True, False], columns=columns)
        with pytest.raises(UsageError, match="3 rows of columns for 2"):
            rows_to_label("n[x = 1] > 0.5", [True, False], columns={"x": [1, 2, 3]})


def models(rows, mean, spread, seed=4):
    draw = np.random.default_rng(seed)
    at = draw.random(rows)
    truth = draw.random(rows) < 0.5
    wins, losses = at < (spread + mean) / 2, ((spread + mean) / 2 <= at) & (at < spread)
    return truth, truth ^ losses, truth ^ wins


class Asked:
    def __init__(self, truth):
        self.truth, self.rows = truth, []

    def __call__(self, rows):
        self.rows += rows.tolist()
        return self.truth[rows]


class TestLabelInOrder:
    @pytest.mark.parametrize(("mean", "passed"), [(0.2, True), (-0.1, False)])
    def test_asks_only_where_models_differ_and_stops_when_it_is_clear(self, mean, passed):
        plan = plan_pool(PAIRED, reliability=0.999, steps=1, method="betting")
        truth, new, old = models(plan.rows, mean, 0.2)
        asked = Asked(truth)
        look = label_in_order(plan, new, asked, baseline=old)
        assert look.passed is passed
        assert look.labels == len(asked.rows) == len(set(asked.rows))
        assert look.labels < 0.1 * plan.rows
        assert all(new[row] != old[row] for row in asked.rows)

    def test_where_nothing_is_clear_it_decides_with_all_labels_that_matter(self):
        plan = plan_pool(PAIRED, reliability=0.999, steps=1)
        truth, new, old = models(plan.rows, 0.05, 0.2)
        asked = Asked(truth)
        look = label_in_order(plan, new, asked, baseline=old)
        assert sorted(asked.rows) == rows_to_label(plan, new, baseline=old).rows.tolist()
        evidence = Evidence(labels=pa.array(truth), new=pa.array(new), old=pa.array(old))
        assert look.passed is decide(plan, evidence)

    def test_a_clause_on_d_that_fails_costs_no_label(self):
        plan = plan_pool(PAIRED, reliability=0.999, steps=1, method="betting")
        truth, new, old = models(plan.rows, 0.2, 0.6)
        asked = Asked(truth)
        assert label_in_order(plan, new, asked, baseline=old)[::2] == (False, 0)
        assert asked.rows == []

    @settings(max_examples=15)
    @given(st.integers(0, 10**6), st.floats(-0.1, 0.2), st.sampled_from(["n - o > 0 +/- 0.1", "f1(n) > 0.6 +/- 0.1"]))
    def test_answers_what_all_labels_in_that_order_answer(self, seed, mean, text):
        plan = plan_pool(text, reliability=0.9, steps=1, method="betting")
        truth, new, old = models(4 * plan.rows, mean, 0.3, seed)
        look = label_in_order(plan, new, Asked(truth), baseline=old, seed=seed)
        order = np.random.default_rng(seed).permutation(len(truth))
        labels, new, old = (pa.array(each[order]) for each in (truth, new, old))
        whole = look_in_order(plan, Evidence(labels=labels, new=new, old=old))
        assert (look.passed, look.rows) == (whole.passed, whole.rows)
        assert whole.labels <= look.labels

    def test_refuses_too_few_rows_and_labels_that_do_not_fit(self):
        plan = plan_pool("precision(n) > 0.6 +/- 0.1", reliability=0.9, steps=1, method="betting")
        rows = np.ones(plan.rows, bool)
        with pytest.raises(RefusedError, match="The plan needs"):
            label_in_order(plan, rows[1:], Asked(rows))
        with pytest.raises(RefusedError, match="the new model calls true; there are 0"):
            label_in_order(plan, ~rows, Asked(rows))
        for wrong, words in (
            (lambda places: rows[places][1:], "31 came"),
            (lambda places: [None] * len(places), "0 came"),
            (lambda places: ["yes"] * len(places), "not bool"),
            (lambda _: 7, "not bool"),
        ):
            with pytest.raises(UsageError, match=words) as caught:
                label_in_order(plan, rows, wrong)
            assert caught.value.code == "invalid-label"


def test_a_condition_may_be_text_parsed_or_a_plan():
    plan = plan_pool("n > 0.6 +/- 0.1", reliability=0.9, steps=1)
    for condition in (plan, plan.condition, "n > 0.6 +/- 0.1", parse_condition("n > 0.6")):
        assert rows_to_label(condition, [True, False]).labels == 2
