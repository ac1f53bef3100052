"""The report: what it says in words, what lies beyond a limit, its forms."""

import json
from math import inf

import pyarrow as pa
import pytest

import foldstore
from foldstore.errors import UsageError
from foldstore.validation.bias.metrics import METRICS


def rows(**groups):
    """Make rows of groups from how many of each label they have."""
    pairs = [(group, label) for group, labels in groups.items() for label, n in labels.items() for _ in range(n)]
    return pa.table({"group": [group for group, _ in pairs], "label": [label for _, label in pairs]})


def measure(table, **how):
    return foldstore.measure_bias(table, label="label", sensitive="group", **{"positive": "yes", **how})


@pytest.fixture
def report():
    return measure(rows(a={"yes": 100, "no": 300}, b={"yes": 300, "no": 300}))


def test_each_large_metric_has_words_and_no_other_has():
    report = measure(rows(a={"yes": 12, "no": 30}, b={"yes": 500, "no": 500, "maybe": 20}, c={"yes": 300, "no": 297}))
    for facet in report.facets.values():
        spoken = {key for key, value in facet.metrics.items() if value is not None and abs(value) >= METRICS[key].large}
        assert set(facet.words) == set(facet.large) == spoken
    assert {"ci", "dpl", "kl", "ks"} <= set(report.facets["a"].words)


def test_the_words_say_what_the_numbers_mean(report):
    words = report.facets["a"].words
    assert words["dpl"] == "The label is positive in 25 % of the rows of 'a', in 50 % of the others: 25.0 points less."
    assert words["dd"] == "'a' is 50 % of the rows with a negative label, 25 % of those with a positive one."
    assert words["ks"] == "The label 'no' differs most: 75 % of 'a', 50 % of the others."
    assert words["tvd"] == "25 % of the rows of 'a' would need another label to be shared out as the others."
    assert words["js"].startswith("The labels of 'a' are shared out otherwise: Jensen-Shannon divergence 0.03")
    assert "25.0 points more" in report.facets["b"].words["dpl"]
    assert "ci" not in words


def test_an_infinite_divergence_names_the_labels_that_are_missing():
    report = measure(rows(a={"yes": 40, "no": 60}, b={"yes": 100, "no": 80, "maybe": 20}))
    assert report.facets["a"].metrics["kl"] == inf
    assert report.facets["a"].words["kl"] == "No row of 'a' has the label 'maybe', which others have."
    assert "inf" in str(report)


def test_that_chance_alone_explains_a_large_value_is_said():
    report = measure(rows(a={"yes": 4, "no": 3}, b={"yes": 40, "no": 60}))
    facet = report.facets["a"]
    assert facet.p_adjusted > 0.05
    assert facet.words["dpl"].endswith(f"Chance alone gives that with p = {facet.p_adjusted:.2g}. The rows are few.")
    assert "Chance" not in facet.words["ci"]
    assert "label and group may be independent" in " ".join(report.notes)


def test_conditions_that_explain_a_disparity_are_said_to_do_so():
    table = rows(a={"yes": 100, "no": 300}, b={"yes": 300, "no": 100})
    # Within c the two groups have the same shares of each label.
    table = table.append_column("c", table["label"])
    facet = measure(table, conditional_on="c").facets["a"]
    assert facet.metrics["dd"] == pytest.approx(0.5)
    assert facet.metrics["cddl"] == 0
    assert facet.words["cddl"] == "Within c little of the disparity is left: 0.000 on average, 0.500 over all rows."


def test_a_disparity_that_stays_within_conditions_is_said_in_points():
    table = rows(a={"yes": 100, "no": 300}, b={"yes": 300, "no": 100})
    facet = measure(table.append_column("c", pa.array([1] * 800)), conditional_on="c").facets["a"]
    assert facet.words["cddl"] == "Within c, 'a' is 50.0 points more of the negative labels than of the positive ones."


def test_what_lies_beyond_a_limit_is_found_in_either_direction(report):
    found = report.above({"dpl": 0.2, "ci": 0.8})
    assert [(each.facet, each.metric, each.limit) for each in found] == [("a", "dpl", 0.2), ("b", "dpl", 0.2)]
    assert [each.value for each in found] == [pytest.approx(0.25), pytest.approx(-0.25)]
    assert str(found[0]) == "a: dpl 0.250 is beyond 0.2"
    assert report.above({"dpl": 0.25}) == ()
    assert report.above({}) == ()


def test_an_infinite_divergence_is_beyond_any_limit_and_few_rows_are_named():
    report = measure(rows(a={"no": 5}, b={"yes": 50, "no": 50}))
    (found,) = report.above({"kl": 1000})
    assert str(found) == "a: kl inf is beyond 1000 (few rows)"
    assert found.to_dict()["value"] == "Infinity"


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"dpI": 0.1}, "no measure 'dpI'"),
        ({"dpl": -0.1}, "no limit for 'dpl'"),
        ({"dpl": float("nan")}, "no limit for 'dpl'"),
        ({"dpl": "0.1"}, "no limit for 'dpl'"),
        ({"dpl": True}, "no limit for 'dpl'"),
        ({"cddl": 0.1}, "cddl was not measured"),
    ],
    ids=str,
)
def test_a_limit_that_cannot_be_judged_is_refused(report, limits, words):
    with pytest.raises(UsageError, match=words):
        report.above(limits)


def test_the_text_has_a_row_for_each_facet_under_a_title():
    report = measure(rows(a={"yes": 100, "no": 300}, b={"yes": 300, "no": 300}))
    lines = str(report).splitlines()
    assert lines[0] == "pyarrow.Table: label (yes is positive) by group"
    assert lines[1] == "  1,000 of 1,000 rows measured; left out: 0 without a label, 0 without a value of group."
    assert lines[2] == "  label and group are associated: p < 1e-9 (chi-squared)."
    assert " ".join(lines[4].split()) == "facet rows positive CI DPL interval KL JS LP TVD KS DD CDDL p"
    assert lines[5].split()[:6] == ["a", "400", "25", "%", "0.200", "0.250"]
    assert lines[5].endswith("·  < 1e-9")
    assert max(map(len, lines)) <= 120


def test_of_many_sentences_the_text_shows_the_first():
    groups = {f"g{n:02}": {"yes": 30 + 40 * (n % 2), "no": 70 - 40 * (n % 2)} for n in range(30)}
    lines = str(measure(rows(**groups))).splitlines()
    assert lines[-1].startswith("  … and ")
    assert len(lines) < 60


def test_names_from_data_stay_text_in_html_and_on_one_line():
    table = pa.table({"group": ["<script>", "a\nb"] * 20, "label": ["yes", "no"] * 20})
    report = measure(table)
    assert "<script>" not in report._repr_html_()
    assert "&lt;script&gt;" in report._repr_html_()
    assert "a\\nb" in str(report)
    assert "a\nb" not in str(report)


def test_the_table_has_a_row_for_each_facet_with_every_metric(report):
    table = report.to_table()
    assert table["facet"].to_pylist() == ["a", "b"]
    for key in METRICS:
        assert table[key].to_pylist() == [facet.metrics[key] for facet in report.facets.values()]
    assert table["dpl_low"][0].as_py() < 0.25 < table["dpl_high"][0].as_py()
    assert table["method"].to_pylist() == ["chi2", "chi2"]


def test_plain_data_is_json_and_holds_what_the_report_says():
    table = rows(a={"no": 5}, b={"yes": 50, "no": 50}).append_column("c", pa.array([1, 2, None] * 35))
    plain = json.loads(json.dumps(measure(table, conditional_on="c", p=inf).to_dict(), allow_nan=False))
    assert plain["facets"]["a"]["metrics"]["kl"] == "Infinity"
    assert plain["facets"]["a"]["too_few"] is True
    assert [stratum["name"] for stratum in plain["facets"]["a"]["strata"]] == ["(null)", "1", "2"]
    assert plain["facets"]["a"]["labels"] == {"no": [5, 50], "yes": [0, 50]}
    assert plain["options"]["p"] == "Infinity"
    assert plain["conditional_on"] == ["c"]
    assert plain["left_out"]["rows"] == 0
    assert plain["notes"][0].startswith("105 of 105 rows")


def test_a_report_cannot_be_changed(report):
    with pytest.raises(AttributeError):
        report.rows = 3
    with pytest.raises(TypeError):
        report.facets["a"].metrics["dpl"] = 0
    with pytest.raises(TypeError):
        report.metrics["a"]["dpl"] = 0
    assert report.metrics["a"]["dpl"] == report.facets["a"].metrics["dpl"]
    assert repr(report) == "BiasReport(label by group: 2 facets, 1,000 rows)"
    assert repr(report.facets["a"]).startswith("FacetBias('a', 400 rows: ci 0.200, dpl 0.250")
