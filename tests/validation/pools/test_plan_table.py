"""Tables of plans: each number is a plan's own, each line changes one thing, drawings show what the numbers say."""

import math
import re
import xml.etree.ElementTree as ET
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstore.errors import ExportError, UsageError
from foldstore.validation.pools.plan import plan_pool
from foldstore.validation.pools.plan_table import METHODS, plan_pool_table
from foldstore.validation.reporting.line_plot import Line, line_plot
from tests.validation.reporting.outline import check_drawing, check_page

PAIRED = "n - o > 0 +/- 0.05 /\\ d < 0.4 +/- 0.1"


def table_of(condition="n > 0.8 +/- 0.05", **options):
    return plan_pool_table(condition, **({"reliability": 0.99, "steps": 8} | options))


@pytest.fixture(scope="module")
def usual():
    return table_of(PAIRED, reuse="max_passes:2")


class TestNumbers:
    @pytest.mark.parametrize(
        ("condition", "widened"),
        [
            ("n > 0.8 +/- 0.05", "n > 0.8 +/- {0}"),
            (PAIRED, "n - o > 0 +/- {0} /\\ d < 0.4 +/- 0.1"),
            ("d < 0.4 +/- 0.05", "d < 0.4 +/- {0}"),
        ],
    )
    def test_each_is_the_plans_own(self, condition, widened):
        for row in table_of(condition, reuse="max_passes:2").rows:
            setting = row.setting
            for method in METHODS:
                plan = plan_pool(
                    widened.format(float(setting.tolerance)),
                    reliability=setting.reliability,
                    steps=setting.steps,
                    reuse=setting.reuse,
                    method=method,
                )
                assert row.counts[method] == (plan.labels or plan.rows), (setting, method)

    def test_published_figures_stand_in_their_columns(self):
        table = table_of(
            "n - o > 0.02 +/- 0.01 /\\ d < 0.1 +/- 0.01",
            reliability=0.9999,
            steps=32,
            vary={"reuse": ["first_change", "full"]},
        )
        # Renggli et al. (arXiv 1903.00278), pattern 1: 29K and 67K labels by Bennett's inequality.
        assert [row.counts["bennett"] for row in table.along("reuse")] == [29_048, 67_706]
        assert all(row.counts["exact"] < row.counts["bennett"] for row in table.rows)

    def test_the_tolerances_of_labelled_clauses_keep_their_proportion(self):
        table = table_of("n > 0.6 +/- 0.05 /\\ o > 0.2 +/- 0.1 /\\ d < 0.9 +/- 0.03", vary={"tolerance": [0.1]})
        widened = table.along("tolerance")[1]
        plan = plan_pool("n > 0.6 +/- 0.1 /\\ o > 0.2 +/- 0.2 /\\ d < 0.9 +/- 0.03", reliability=0.99, steps=8)
        assert widened.setting.tolerance == Fraction(1, 10)
        assert widened.counts["exact"] == plan.labels

    def test_a_tolerance_without_room_leaves_its_cells_empty(self):
        table = table_of(vary={"tolerance": [0.3]})
        assert table.rows[1].counts == dict.fromkeys(METHODS)
        assert table.to_arrow()["exact"].to_pylist() == [787, None]
        assert table.to_text().splitlines()[-1].split()[-3:] == ["-", "-", "-"]
        check_page(table.to_html())

    def test_a_score_without_an_exact_method_has_the_closed_forms_alone(self):
        table = table_of("n - 1.1*o > 0 +/- 0.05", vary={"steps": [4]})
        for row in table.rows:
            assert row.counts["hoeffding"] == row.counts["bennett"]

    def test_a_line_of_pools_is_planned_as_one(self):
        table = table_of(vary={"steps": [2]}, lifetime=2)
        for row in table.rows:
            plan = plan_pool("n > 0.8 +/- 0.05", reliability=0.99, steps=row.setting.steps, lifetime=2)
            assert row.counts["exact"] == plan.labels

    def test_of_a_class_the_rows_that_count_are_told_unless_its_share_is(self):
        options = {"reliability": 0.99, "steps": 8}
        alone, whole = (table_of("recall(n) > 0.8 +/- 0.05", vary={"steps": [2]}, prevalence=p) for p in (None, 0.25))
        assert "at least, in rows of the class or slice" in alone.to_text()
        assert "must hold, 0.25 of them of the class or slice" in whole.to_html()
        plan = plan_pool("recall(n) > 0.8 +/- 0.05", **options)
        assert alone.along("steps")[1].counts["exact"] == plan.labels
        assert whole.along("steps")[1].counts["exact"] == plan.at_prevalence(0.25).labels > 3 * plan.labels

    @pytest.mark.parametrize("mode", ["fp-free", "fn-free"])
    @pytest.mark.parametrize("condition", ["n > 0.9 +/- 0.04", "n < 0.9 +/- 0.04", "d < 0.1 +/- 0.04"])
    def test_the_usual_tolerances_all_have_plans(self, condition, mode):
        table = table_of(condition, mode=mode)
        assert len(table.along("tolerance")) >= 2
        assert all(row.counts["exact"] for row in table.rows)

    def test_beta_reaches_every_plan(self):
        table = table_of(beta=0.2, vary={"steps": [2, 32]})
        for row in table.rows:
            options = {"reliability": 0.99, "steps": row.setting.steps, "beta": 0.2}
            assert row.counts["exact"] == plan_pool("n > 0.8 +/- 0.05", **options).labels


class TestSettings:
    def test_each_line_changes_one_thing(self, usual):
        for row in usual.rows:
            changed = [
                name
                for name in ("tolerance", "steps", "reuse", "reliability")
                if getattr(row.setting, name) != getattr(usual.base, name)
            ]
            assert len(changed) <= 1
        assert [row.setting for row in usual.rows].count(usual.base) == 1
        assert usual.varied == ("tolerance", "steps", "reuse", "reliability")

    @settings(max_examples=20)
    @given(
        st.sets(st.sampled_from(["0.02", "0.05", "0.1"]), max_size=2),
        st.sets(st.integers(1, 40), max_size=3),
        st.sets(st.sampled_from(["none", "full", "max_passes:2", "universal"]), max_size=3),
        st.booleans(),
    )
    def test_a_table_has_what_was_named_once_and_more_answers_never_need_fewer_labels(self, eps, steps, reuse, cross):
        table = table_of(vary={"tolerance": eps, "steps": steps, "reuse": reuse}, cross=cross)
        found = [row.setting for row in table.rows]
        sizes = [len({Fraction("0.05"), *map(Fraction, eps)}), len(steps | {8}), len(reuse | {"full"})]
        assert len(found) == (math.prod(sizes) if cross else sum(sizes) - 2) == len(set(found))
        for method in METHODS:
            along = [row.counts[method] for row in table.along("steps")]
            assert all(few <= many for few, many in pairwise(along))

    def test_a_table_says_what_it_holds(self, usual):
        assert repr(usual) == (
            "PlanTable('n - o > 0 +/- 0.05 /\\\\ d < 0.4 +/- 0.1', 12 plans, "
            "varied: tolerance, steps, reuse, reliability)"
        )
        lines = usual.to_text().splitlines()
        assert len(lines) == len(usual.rows) + 2
        assert [line for line in lines if line.endswith("*")] == [lines[2 + find_base(usual)]]
        assert str(usual) == usual.to_text()

    def test_a_table_is_arrow_and_plain_data_with_the_same_numbers(self, usual):
        assert usual.to_arrow().to_pylist() == usual.to_dict()["rows"]

    @pytest.mark.parametrize(
        ("options", "code"),
        [
            ({"vary": {"stepz": [1]}}, "invalid-axis"),
            ({"vary": {"reuse": "full"}}, "invalid-axis"),
            ({"vary": {"steps": 3}}, "invalid-axis"),
            ({"vary": {"tolerance": [0]}}, "invalid-tolerance"),
            ({"vary": {"tolerance": ["wide"]}}, "invalid-tolerance"),
            ({"vary": {"steps": [0]}}, "invalid-steps"),
            ({"vary": {"steps": ["many"]}}, "invalid-steps"),
            ({"vary": {"reliability": [1]}}, "invalid-reliability"),
            ({"vary": {"reuse": ["never"]}}, "invalid-reuse"),
            ({"vary": {"steps": range(1, 600)}}, "too-many-plans"),
            ({"condition": "n > 0.8"}, "invalid-condition"),
            ({"condition": "n > 0.9 +/- 0.2"}, "invalid-condition"),
            ({"steps": 0}, "invalid-steps"),
            ({"prevalence": 2}, "invalid-prevalence"),
        ],
    )
    def test_what_cannot_be_a_table_is_refused_in_words(self, options, code):
        with pytest.raises(UsageError) as caught:
            table_of(**options)
        assert caught.value.code == code
        assert caught.value.hint

    def test_an_axis_that_is_none_is_refused(self, usual):
        with pytest.raises(UsageError, match="no axis 'step'") as caught:
            usual.along("step")
        assert "steps" in caught.value.hint


class TestDrawings:
    def test_a_page_has_every_number_and_asks_for_nothing(self, usual):
        page = usual.to_html()
        words = " ".join(check_page(page).words)
        for row in usual.rows:
            assert all(f"{count:,}" in words for count in row.counts.values())
        assert page.count("<svg") == 4
        assert "prefers-color-scheme:dark" in page

    def test_a_notebook_gets_plots_and_numbers(self, usual):
        outline = check_page(usual._repr_html_())
        assert (outline.tags.count("svg"), outline.tags.count("table")) == (4, 1)

    def test_the_drawing_stands_alone(self, usual, tmp_path):
        text = usual.to_svg(tmp_path / "plans.svg")
        assert (tmp_path / "plans.svg").read_text(encoding="utf-8") == text
        root = ET.fromstring(text)  # noqa: S314  (our own text)
        plots = [each for each in root.iter("{http://www.w3.org/2000/svg}svg") if each.get("role") == "img"]
        tops = [float(plot.get("y") or 0) for plot in plots]
        assert len(plots) == 4
        assert all(b - a >= float(plots[0].get("height")) for a, b in pairwise(tops))
        assert max(tops) + float(plots[0].get("height")) + 30 <= float(root.get("height"))
        assert "prefers-color-scheme:dark" in text
        assert ".foldstore .plots svg{width:680px;height:250px;max-width:none}" in text
        assert not re.search(r"url\(|@import|<script|href", text)

    def test_a_file_that_cannot_be_written_is_an_error_in_words(self, usual, tmp_path):
        with pytest.raises(ExportError, match="cannot be written"):
            usual.to_html(tmp_path / "nowhere" / "plans.html")

    @given(st.lists(st.integers(1, 20_000_000), min_size=2, max_size=6))
    def test_heights_are_logarithms(self, values):
        drawn = line_plot("p", "Labels", [str(at) for at in range(len(values))], [Line("exact", values)])
        check_drawing(drawn)
        heights = [float(y) for y in re.findall(r'<circle cx="[^"]*" cy="([^"]*)"', drawn)]
        marks = re.findall(r'<text x="78" y="([^"]*)"[^>]*>([\d,]+)</text>', drawn)
        (low_y, low), *_, (high_y, high) = [(float(y) - 4, int(text.replace(",", ""))) for y, text in marks] * 2
        assert len(heights) == len(values)
        if low != high:
            slope = (high_y - low_y) / math.log(high / low)
            for y, value in zip(heights, values, strict=True):
                assert y == pytest.approx(low_y + slope * math.log(value / low), abs=0.1)
        assert all(30 <= y <= 210 for y in heights)

    def test_a_gap_breaks_a_line_and_lines_that_end_together_share_a_name(self):
        lines = [Line("exact", [10, None, 30]), Line("Bennett", [20, 40, 60]), Line("Hoeffding", [20, 40, 60])]
        drawn = line_plot("p", "Labels", ["a", "b", "c"], lines)
        check_drawing(drawn)
        paths = re.findall(r'<path d="([^"]*)" class="(old|peer)"', drawn)
        assert sorted(path.count("M") for path, _ in paths) == [1, 1, 2]
        assert "Bennett, Hoeffding" in drawn
        assert "exact: a: 10; b: none; c: 30." in drawn


def find_base(table):
    return next(place for place, row in enumerate(table.rows) if row.setting == table.base)
