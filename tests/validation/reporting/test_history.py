"""Histories: quantiles and nulls over versions, against numpy, and their pages."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from foldstore.datastore.statistics.profile import profile_table
from foldstore.errors import ColumnNotFoundError, UsageError
from foldstore.validation.reporting.column_section import column_anchor
from foldstore.validation.reporting.history import QUANTILES, VersionPoint, history_of_profiles
from tests.validation.reporting.hostile_reports import HOSTILE
from tests.validation.reporting.outline import check_page


def history(*tables, columns=None):
    points = [VersionPoint(address=f"t@{at + 1}", created_at="", rows=each.num_rows) for at, each in enumerate(tables)]
    return history_of_profiles("t", "all", points, [profile_table(each) for each in tables], columns)


@pytest.fixture
def trips(store):
    """Twelve months; in the last one the distances are others, and half of the towns are missing."""
    made = store.create_dataset("trips")
    generator = np.random.default_rng(7)
    for month in range(12):
        km = generator.normal(100 if month < 11 else 400, 10, 300)
        towns = ["Oslo", "Rome" if month < 11 else None] * 150
        hours = [datetime(2026, month + 1, 1, tzinfo=UTC) + timedelta(hours=each) for each in range(300)]
        made.append({"km": km, "town": towns, "at": hours, "still": [1, 2] * 150})
    return made


def test_the_points_are_the_quantiles_of_the_rows_that_each_version_added(trips):
    found = trips.report_history()
    assert [each.address for each in found.versions] == [f"trips@{number}" for number in range(1, 13)]
    for version, point in zip(trips.versions(), found.columns["km"].points, strict=True):
        values = version.to_arrow(columns=["km"])["km"].to_numpy()[-300:]
        assert point.quantiles == pytest.approx(np.quantile(values, QUANTILES, method="inverted_cdf"))
    assert [each.null_fraction for each in found.columns["town"].points] == [0.0] * 11 + [0.5]
    assert all(each.rows == 300 for each in found.versions)


def test_all_rows_count_when_they_are_asked_for(trips):
    found = trips.report_history(["km"], rows="all", last=3)
    assert [each.rows for each in found.versions] == [3_000, 3_300, 3_600]
    assert list(found.columns) == ["km"]
    values = trips.latest.to_arrow(columns=["km"])["km"].to_numpy()
    assert found.columns["km"].points[-1].quantiles == pytest.approx(
        np.quantile(values, QUANTILES, method="inverted_cdf")
    )


def test_what_moved_most_comes_first(trips):
    found = trips.report_history()
    assert list(found.columns) == ["km", "town", "still", "at"]  # times move with every version
    assert found.columns["km"].movement == 1.0
    assert found.columns["town"].movement == 0.5
    page = found.to_html()
    outline = check_page(page)
    assert outline.ids.index(column_anchor("km")) < outline.ids.index(column_anchor("still"))
    assert page == trips.report_history().to_html()
    assert "2026-01-" in page  # ticks are shown as times
    assert "Quantiles of km over versions" in page
    assert "Nulls of town over versions" in page


def test_the_verdict_of_the_gate_stands_beside_each_version(trips):
    trips.set_schema(trips.version(1).profile().infer_schema())
    trips.append(trips.version(1).to_arrow())
    found = trips.report_history(["km"], last=2)
    assert [(each.errors, each.address) for each in found.versions[:1]] == [(None, "trips@12")]
    assert found.versions[1].errors == 0
    assert "not judged" in found.to_html()


def test_quarantined_versions_are_no_part_of_it(trips):
    trips.set_schema(trips.version(1).profile().infer_schema())
    bad = trips.append({"km": [1e9] * 300, "town": [None] * 300, "at": [None] * 300, "still": [1] * 300})
    assert str(bad.status) == "quarantined"
    assert "trips@13" not in [each.address for each in trips.report_history().versions]


def test_choices_that_are_none_are_refused(trips):
    for last in (0, -1, 1_001, True, 2.0):
        with pytest.raises(UsageError):
            trips.report_history(last=last)
    with pytest.raises(UsageError):
        trips.report_history(rows="some")
    with pytest.raises(ColumnNotFoundError, match="town"):
        trips.report_history(["twon"])


def test_a_dataset_whose_newest_version_is_its_first_has_one_point(store):
    store.create_dataset("one").append({"x": [1, None, 3]})
    found = store.dataset("one").report_history()
    check_page(found.to_html())
    check_page(found._repr_html_())
    assert found.columns["x"].movement == 0.0


def test_columns_come_go_and_change_their_type():
    days = pa.array([1, 2], pa.date32())
    found = history(
        pa.table({"old": [1, 2], "x": [1, 2], "t": [1, 2]}),
        pa.table({"x": [1.5, None], "t": days}),
        pa.table({"x": pa.array([], pa.float64()), "new": pa.array([], pa.string())}),
    )
    assert [point.null_fraction for point in found.columns["old"].points] == [0.0, None, None]
    assert [point.quantiles is None for point in found.columns["x"].points] == [False, False, True]
    assert [point.quantiles is None for point in found.columns["t"].points] == [True, False, True]
    assert "1970-01-02" in found.to_html()
    check_page(found.to_html())
    check_page(found._repr_html_())


def test_hostile_names_and_extreme_numbers_do_no_harm():
    extremes = [float("inf"), float("-inf"), float("nan"), 1.7e308, -1.7e308, None, 0.0]
    names = [each for each in HOSTILE if (each and each.isprintable()) or "\u202e" in each]
    found = history(*[pa.table(dict.fromkeys(names, extremes[at:])) for at in range(3)])
    outline = check_page(found.to_html())
    assert "script" not in outline.tags
    check_page(found._repr_html_())
    json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert found.to_text().count("\n") == len(names) + 1


def test_many_columns_and_versions_stay_small():
    tables = [pa.table({f"c{place}": [at, at + 1, None] for place in range(300)}) for at in range(60)]
    page = history(*tables).to_html()
    check_page(page)
    assert page.count("<section") == 100 + 1
    assert len(page) < 3_000_000


def test_json_lines_have_the_versions_then_the_columns(trips):
    lines = [json.loads(line) for line in trips.report_history(["km"]).to_json_lines().splitlines()]
    assert [line["kind"] for line in lines] == ["version"] * 12 + ["column"]
    assert len(lines[-1]["points"]) == 12
