"""Pages: whole, still, the worst first, and deaf to what the data says."""

import re

import numpy as np
import pyarrow as pa
import pytest

from foldstore.datastore.statistics.pinned import GridCounts
from foldstore.types import Severity
from foldstore.validation.check import drift_between, validate
from foldstore.validation.distribution import Distribution, summarize
from foldstore.validation.inference import infer_schema
from foldstore.validation.reporting.column_section import column_anchor
from foldstore.validation.reporting.markup import element
from foldstore.validation.reporting.plots import band_plot, distribution_plot, null_plot, share_plot
from foldstore.validation.reporting.wording import visible
from foldstore.validation.subject import TableSubject
from tests.validation.reporting.hostile_reports import HOSTILE, describe, find
from tests.validation.reporting.outline import check_drawing, check_page


def test_a_page_has_the_outcome_the_plots_the_evidence_and_the_fix(judged):
    page = judged.to_html()
    outline = check_page(page)
    words = " ".join(outline.words)
    assert "t@2: failed" in words
    assert "Distribution of x" in words
    assert "Nulls of x" in words
    assert "largest change" in words
    assert "- columns.x.domain.min: 0" in words
    assert "+ columns.x.domain.min: -7" in words
    assert "+ columns.town.domain.values: add '<b>'" in words
    assert "<b>" not in page
    assert "prefers-color-scheme:dark" in page
    assert "default-src 'none'" in page.replace("&#x27;", "'")
    assert "script" not in outline.tags


def test_the_worst_comes_first_and_every_column_is_in_the_table(judged):
    page = judged.to_html()
    sections = re.findall(r'<section id="([^"]+)"', page)
    assert sections.index(column_anchor("x")) < sections.index(column_anchor("stable"))
    overview = page[page.index("<nav") : page.index("</nav>")]
    assert all(name in overview for name in ("x", "town", "stable", "(dataset)"))


def test_anchors_are_the_same_in_every_report_and_apart_for_every_name():
    names = ["a b", "a-b", "A B", "", "<>", "ä", "x" * 1_000, "x" * 1_001]
    anchors = [column_anchor(name) for name in names]
    assert len(set(anchors)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9-]{1,60}", each) for each in anchors)
    assert column_anchor("a b") == "column-a-b-c8687a08"


@pytest.mark.parametrize("write", ["to_html", "_repr_html_"])
def test_hostile_texts_become_nothing_but_text(hostile, write):
    text = getattr(hostile, write)()
    outline = check_page(text)
    assert "script" not in outline.tags
    assert "img" not in outline.tags
    assert HOSTILE[0] in "".join(outline.words)
    assert len(text) < 200_000


def test_a_report_of_500_wide_columns_stays_small():
    names = [f"<i>{place}</i>{'n' * 500}" for place in range(500)]
    rows = {name: ["v" * 5_000, "w" * 5_000] * 300 for name in names[:3]} | {name: [1, 2] * 300 for name in names[3:]}
    before = TableSubject(pa.table(rows), "t")
    schema = infer_schema(before.profile())
    moved = {name: [2] * 500 + [None] * 100 if place > 2 else rows[name] for place, name in enumerate(names)}
    report = validate(TableSubject(pa.table(moved), "t"), schema)
    page = report.to_html()
    check_page(page)
    assert len(page.encode()) < 3_000_000
    assert page.count("<section") == 120
    assert "more columns, none worse than these, are in the table above alone." in page
    assert len(report._repr_html_()) < 100_000


def test_an_empty_report_is_a_page():
    outline = check_page(describe().to_html())
    assert "✔ passed" in outline.words


def test_a_notebook_shows_failures_first_with_at_most_five_examples(judged):
    rows = tuple({"row": place, "value": f"value{place}"} for place in range(10))
    report = describe(
        anomalies=(find("column_new", Severity.WARN, message="later"), find(column="y", example_rows=rows))
    )
    text = report._repr_html_()
    assert text.index("too low") < text.index("later")
    assert "value4" in text
    assert "value5" not in text
    check_page(judged._repr_html_())
    assert "<svg" in judged._repr_html_()


def test_drift_has_a_page_the_worst_first():
    generator = np.random.default_rng(1)
    before = {"far": generator.normal(size=2_000), "same": generator.normal(size=2_000), "one": [1] * 2_000}
    after = {"far": generator.normal(2, size=2_000), "same": generator.normal(size=2_000), "one": [1] * 2_000}
    found = drift_between(TableSubject(pa.table(before), "a"), TableSubject(pa.table(after), "b"))
    outline = check_page(found.to_html())
    words = " ".join(outline.words)
    assert "Drift: 1 of 2 columns" in words
    assert "all rows of both sides are the same" in words
    assert outline.ids.index(column_anchor("far")) < outline.ids.index(column_anchor("same"))
    assert found.to_html() == found.to_html()


def test_plots_tell_before_from_after_by_more_than_colour():
    drawn = distribution_plot("a", "t", Distribution(("'x'", "'y'"), (1, 3), (4, 0)))
    root = check_drawing(drawn)
    classes = [each.get("class") for each in root if each.tag.endswith("rect")]
    assert classes.count("old") == 3  # a legend and two bars
    assert classes.count("new") == 3
    assert "25 % → 100 %" in drawn
    assert "reference (outline)" in drawn
    assert "judged (filled)" in drawn


def test_the_bars_have_the_lengths_of_the_shares():
    drawn = distribution_plot("a", "t", Distribution(("1", "2", "3"), (1, 1, 2), (2, 2, 0), ordered=True))
    heights = [float(h) for h in re.findall(r'height="([\d.]+)" class="new"', drawn)[1:]]
    assert heights == [150.0, 150.0]  # a half each, on a scale up to a half
    bars = share_plot("b", "t", "null", 0.25, 0.5)
    old, new = (float(re.findall(rf'width="([\d.]+)" height="\d+" class="{name}"', bars)[0]) for name in ("old", "new"))
    assert new == pytest.approx(2 * old)


def test_bands_survive_gaps_single_versions_and_extreme_numbers():
    huge = (-1.7e308, -1.0, 0.0, 1.0, 1.7e308)
    flat = (2.0,) * 5
    for points in ([huge, None, huge, huge], [flat], [flat, None, flat], [None, huge]):
        check_drawing(band_plot("a", "t", [str(each) for each in range(len(points))], points, ("low", "high")))
    for shares in ([], [None], [0.0], [0.5, None, 1.0]):
        check_drawing(null_plot("a", "t", [str(each) for each in range(len(shares))], shares))


def test_long_distributions_are_cut_to_forty_cells_that_hold_the_same_rows():
    f, g = GridCounts(tuple(range(300)), 0, 2), GridCounts(tuple(range(300, 0, -1)))
    for ordered in (True, False):
        short = summarize([f"'{place}'" for place in range(300)], f, g, ordered=ordered)
        assert len(short.labels) <= 41
        assert sum(short.before) == sum(f.cells) + 2
        assert sum(short.after) == sum(g.cells)
        assert Distribution.from_dict(short.to_dict()) == short


def test_elements_escape_what_is_not_markup():
    assert element("p", "<", element("b", "&"), title="\"'") == ('<p title="&quot;&#x27;">&lt;<b>&amp;</b></p>')
    assert visible("a\u202eb\x00") == "a\\u202eb\\x00"
