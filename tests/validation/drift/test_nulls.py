"""Shares of nulls are compared for every column, whether its values can be compared or not."""

import pyarrow as pa
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

import foldstore
from foldstore.errors import InvalidSchemaError
from foldstore.validation.check import drift_between, validate
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.dataset_rules import Segment
from foldstore.validation.drift.adjustment import adjust
from foldstore.validation.drift.comparison import DriftResult, detect_drift
from foldstore.validation.drift.nulls import NullCounts, NullTarget, compare_nulls, fisher_p
from foldstore.validation.intervals import cohen_h, two_sided
from foldstore.validation.pools.sealed_subject import redact_report
from foldstore.validation.schema import DataSchema
from foldstore.validation.segment_drift import drift_by_segment
from foldstore.validation.subject import StreamSubject, TableSubject

N = 2_000


def rows(missing=0.0, start=0, n=N, zone=None):
    """Free text of which a share is missing, in one zone where one is named; numbers that stay as they are."""
    zones = ["in" if at % 2 else "out" for at in range(n)]
    is_gone = [(at // 2) % 1_000 < missing * 1_000 and zone in (None, zones[at]) for at in range(n)]
    note = [None if gone else f"Note {start + at}: {at * 7919 % 1009}" for at, gone in enumerate(is_gone)]
    return pa.table({"note": note, "km": [at % 97 for at in range(n)], "zone": zones})


def between(before, after, **how):
    return drift_between(TableSubject(before, "before"), TableSubject(after, "after"), **how)


def test_free_text_that_becomes_null_is_flagged_once_and_its_values_are_said_not_to_be_compared():
    found = between(rows(0.002), rows(0.8, start=N))
    assert found.drifted == ("note",)
    assert "note" not in found.columns
    assert found.untested["note"].startswith("its values are too many")
    nulls = found.nulls["note"]
    assert (nulls.before, nulls.after, nulls.nulls_current, nulls.rows_current) == (0.002, 0.8, 1_600, N)
    assert nulls.verdict.value == found.verdict.value == "error"
    assert nulls.effect == pytest.approx((cohen_h(0.002, 0.8) ** 2 - 2 / N) ** 0.5)
    text = str(found)
    assert text.splitlines()[2].split()[:2] == ["note", "untested"]
    assert text.count("0.2 % -> 80 % (error)") == 1
    assert "not compared: note (its values are too many" in text
    assert "nulls 0.2 % -> 0.2 %)" in str(between(rows(0.002), rows(0.002)))
    page = found.to_html()
    assert "Nulls of note" in page
    assert "Drift: 1 of 3 columns" in page


def test_columns_whose_values_are_compared_are_told_once_with_the_figures_that_they_have():
    holed = rows().set_column(1, "km", pa.array([None if at % 2 else at % 97 for at in range(N)]))
    found = between(rows(), holed)
    assert found.drifted == ("km",)
    km, nulls = found.columns["km"], found.nulls["km"]
    assert (nulls.before, nulls.after, nulls.effect, nulls.p_value) == (
        km.null_before, km.null_after, km.null_effect, km.null_p_value
    )  # fmt: skip
    assert set(found.nulls) == {"note", "km", "zone"}
    assert set(found.nulls_alone) == {"note"}


def test_p_values_of_nulls_are_adjusted_over_all_columns_together():
    before = {f"text{n}": [f"{n}-{at}" if at % (n + 2) else None for at in range(N)] for n in range(4)}
    after = {f"text{n}": [f"{n}+{at}" if at % (n + 3) else None for at in range(N)] for n in range(4)}
    same = {"km": [at % 97 for at in range(N)]}
    found = between(pa.table({**before, **same}), pa.table({**after, **same}))
    assert len(found.nulls) == 5
    assert [each.p_adjusted for each in found.nulls.values()] == adjust([each.p_value for each in found.nulls.values()])
    holm = between(pa.table({**before, **same}), pa.table({**after, **same}), adjustment="holm").nulls
    assert [each.p_adjusted for each in holm.values()] == adjust([each.p_value for each in holm.values()], "holm")


@given(st.integers(1, 60), st.integers(1, 400), st.data())
def test_few_nulls_are_judged_by_the_exact_test_of_scipy(n, m, data):
    a, b = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    expected = scipy.stats.fisher_exact([[a, n - a], [b, m - b]]).pvalue
    assert fisher_p((a, n), (b, m)) == pytest.approx(expected, rel=1e-7, abs=1e-300)
    assert fisher_p((b, m), (a, n)) == pytest.approx(fisher_p((n - a, n), (m - b, m)), rel=1e-9)


def test_many_nulls_are_judged_by_the_normal_law():
    effect, p = compare_nulls(NullCounts(300, 1_000), NullCounts(720, 2_000))
    table = [[300, 700], [720, 1_280]]
    assert p == pytest.approx(scipy.stats.chi2_contingency(table, correction=False).pvalue, rel=1e-9)
    assert effect == pytest.approx((cohen_h(0.3, 0.36) ** 2 - 1 / 1_000 - 1 / 2_000) ** 0.5)
    assert compare_nulls(NullCounts(0, 9), NullCounts(0, 0)) == (0.0, 1.0)


def test_too_few_rows_say_how_many_would_do():
    def nulls(m):
        given = NullTarget(column="x", reference=NullCounts(0, 50_000), current=NullCounts(0, m), policy=DriftPolicy())
        return detect_drift([], seed="", nulls=[given]).nulls["x"]

    few = nulls(60)
    assert few.verdict.value == "untestable"
    assert (few.detectable, few.is_flagged) == (
        pytest.approx(((two_sided(0.99) ** 2 - 1) * (1 / 60 + 2e-5)) ** 0.5),
        False,
    )
    assert nulls(few.needed).verdict.value == "stable"
    assert nulls(few.needed - 1).verdict.value == "untestable"


def test_another_type_and_what_is_inside_have_nulls_all_the_same():
    tags = pa.list_(pa.struct([("code", pa.string())]))
    before = pa.table({"x": [1, 2] * 500, "tags": pa.array([[{"code": f"c{n}"}] for n in range(1_000)], tags)})
    after = pa.table(
        {"x": ["a", None] * 500, "tags": pa.array([[{"code": None if n % 3 else f"d{n}"}] for n in range(1_000)], tags)}
    )
    found = between(before, after)
    assert found.drifted == ("x", "tags[].code")
    assert found.untested["x"] == "its type changed from int64 to string"
    assert found.nulls["tags[].code"].rows_current == 1_000
    only = between(before, before.rename_columns(["y", "tags"]))
    assert not {"x", "y"} & only.nulls.keys()


def test_a_side_without_rows_has_no_share_to_compare():
    assert between(rows(), rows(n=0)).nulls == {}
    assert between(rows(n=0), rows()).drifted == ()


def test_results_round_trip_and_older_ones_are_read():
    found = between(rows(), rows(0.5, start=N))
    plain = found.to_dict()
    assert DriftResult.from_dict(plain) == found
    assert (plain["nulls"]["note"]["before"], plain["nulls"]["note"]["after"]) == (0.0, 0.5)
    del plain["nulls"]
    older = DriftResult.from_dict(plain)
    assert (older.nulls, older.drifted) == ({}, ())


def test_nulls_of_text_are_compared_segment_by_segment():
    sides = TableSubject(rows(), "a"), TableSubject(rows(0.3, start=N, zone="out"), "b")
    found = drift_by_segment(*sides, "zone")
    assert found.drifted == (("out", "note"),)
    assert (found.segments[0].name, found.segments[0].verdict.value, found.flagged_nulls) == ("out", "error", 1)
    assert ["out", "note", "untested"] in [line.split()[:3] for line in str(found).splitlines()]
    assert "note where out" in found.to_html()
    assert found["in"].drift.nulls["note"].verdict.value != "error"
    assert type(found).from_dict(found.to_dict()) == found


@pytest.fixture
def trips(folder):
    with foldstore.connect(folder) as store:
        yield store.create_dataset("trips")


def test_a_schema_compares_nulls_of_text_with_versions_before(trips):
    first = trips.append(rows())
    second = trips.append(rows(0.4, start=N))
    schema = DataSchema(columns={"note": ColumnSchema(type="string", drift=DriftPolicy(vs="previous"))})
    assert DataSchema.from_json(schema.to_json()) == schema
    report = second.validate(schema, rows="added")
    (found,) = (each for each in report.anomalies if each.code != "column_new")
    assert (found.code, str(found.severity), found.column) == ("missingness_drift", "error", "note")
    assert found.message.startswith("null fraction moved from 0 % to 40 %: Cohen h 1.37 (limit 0.20)")
    assert (found.evidence["n_ref"], found.evidence["n_cur"]) == (N, N)
    assert report.drift.drifted == ("note",)
    assert "Nulls of note" in report.to_html()
    assert '"kind": "nulls", "subject": "trips@2", "column": "note"' in report.to_json_lines()
    assert "missingness_drift" in report.to_sarif()
    assert second.validate(schema.accept([found]), rows="added").passed
    assert "comparator_missing_reference" in first.validate(schema).by_code()
    (told,) = validate(TableSubject(rows().select(["note"]), "t"), schema).anomalies
    assert (told.code, "baseline" in told.message) == ("stats_unavailable", False)


def test_a_policy_for_all_columns_reaches_nulls_where_versions_are_the_reference(trips):
    inferred = trips.append(rows()).profile().infer_schema(history=False).to_dict()
    for column in inferred["columns"].values():
        column.pop("drift", None)
        column.pop("min_fraction", None)
        column.pop("nullable", None)
    second = trips.append(rows(0.4, start=N))
    for policy, expected in (({"vs": "previous"}, ["note"]), ({}, [])):
        schema = DataSchema.from_dict({**inferred, "drift": policy})
        found = second.validate(schema, rows="added").by_code()
        assert [each.column for each in found.get("missingness_drift", ())] == expected


def test_a_baseline_of_nulls_needs_counts_and_no_grid():
    plain = {"type": "string", "drift": {}, "reference": {"cells": [1_998], "nulls": 2}}
    schema = DataSchema.from_dict({"columns": {"note": plain}})
    assert schema.to_dict()["columns"]["note"]["reference"]["nulls"] == 2
    judged = [validate(TableSubject(rows(share).select(["note"]), "t"), schema) for share in (0.001, 0.5)]
    assert [[each.code for each in report.anomalies] for report in judged] == [[], ["missingness_drift"]]
    with pytest.raises(InvalidSchemaError, match="grid and reference"):
        ColumnSchema(type="string", drift=DriftPolicy())


def test_slices_of_a_schema_compare_nulls_of_text(trips):
    first = trips.append(rows())
    inferred = first.profile().infer_schema(history=False).to_dict()
    by_zone = Segment(name="zones", by=("zone",), drift=DriftPolicy(vs="previous"))
    inferred["columns"]["note"] = {"type": "string"}
    schema = DataSchema.from_dict({**inferred, "segments": [by_zone.to_dict()]})
    second = trips.append(rows(0.3, start=N, zone="out"))
    (found,) = [each for each in second.validate(schema, rows="added").anomalies if "slice" in each.evidence]
    assert (found.code, found.column, found.evidence["slice"]) == ("missingness_drift", "note", "zone=out")


def test_a_gate_and_a_monitor_see_nulls_of_text(folder):
    with foldstore.connect(folder) as store:
        gated = store.create_dataset("gated")
        gated.set_gate(foldstore.GatePolicy(drift="previous"))
        gated.append(rows())
        moved = gated.append(rows(0.8, start=N))
        assert str(moved.status) == "quarantined"
        (found,) = moved.report.by_code()["missingness_drift"]
        assert (found.column, found.fix) == ("note", None)
        open_ = store.create_dataset("open")
        store.monitors.set("daily", ["open"], drift="previous")
        for share in (0.0, 0.0, 0.8):
            open_.append(rows(share, start=N))
        seen = store.monitors.run("daily")
        assert [each.passed for each in seen] == [True, True, False]
        assert seen[-1].findings[0]["message"].endswith("(against previous)")


def test_cells_that_a_pool_holds_are_no_nulls():
    gone = rows(0.5, start=N)
    sealed = StreamSubject(
        gone.schema, lambda names: gone.select(names).to_batches(), "b", gone.num_rows, seals=[["note"]]
    )
    found = drift_between(TableSubject(rows(), "a"), sealed)
    assert "note" not in found.nulls
    assert found.drifted == ()


def test_sealing_takes_shares_of_nulls_from_reports():
    schema = DataSchema.from_dict(
        {"columns": {"note": {"type": "string", "drift": {}, "reference": {"cells": [N], "nulls": 0}}}}
    )
    report = validate(TableSubject(rows(0.5).select(["note"]), "t"), schema)
    sealed = redact_report(report.to_dict(), ["note"])
    assert sealed["drift"] == {"columns": {}, "nulls": {}}
    assert {each["message"] for each in sealed["anomalies"]} == {"withheld: cells of the column are sealed"}
