"""Fields that say how much is tolerated, and in which direction: each makes a difference that a test can see."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

import foldstore
from foldstore.validation.check import drift_between, validate
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.column_domains import SharedDomain, TextDomain
from foldstore.validation.column_schema import ColumnSchema, Stage
from foldstore.validation.dataset_rules import JointDrift, Segment, TrendRule
from foldstore.validation.history import History
from foldstore.validation.inference import infer_schema
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import TableSubject
from foldstore.validation.surroundings import Surroundings


def judge(values, kind, **fields):
    domains = fields.pop("domains", {})
    schema = DataSchema(columns={"x": ColumnSchema(type=kind, **fields)}, domains=domains)
    table = pa.table({"x": values if isinstance(values, pa.ChunkedArray) else pa.array(values)})
    report = validate(TableSubject(table, "t"), schema)
    return {each.code: each.count for each in report.anomalies}


@pytest.mark.parametrize("form", [{"pattern": "[0-9]+"}, {"semantic": "email"}])
def test_texts_of_another_form_are_tolerated_up_to_their_share(form):
    good, code = ("7", "pattern_mismatch") if "pattern" in form else ("a@b.org", "semantic_class_changed")
    for strange, domain, count in (
        (10, TextDomain(**form, min_mass=0.9), None),
        (11, TextDomain(**form, min_mass=0.9), 11),
        (1, TextDomain(**form), 1),
        # Of 100 rows 11 may be strange by chance where one in ten is; 25 hardly.
        (11, TextDomain(**form, min_mass=0.9, confidence=0.99), None),
        (25, TextDomain(**form, min_mass=0.9, confidence=0.99), 25),
    ):
        texts = [good] * (100 - strange) + [f"no{n}!" for n in range(strange)]
        assert judge(texts, "string", domain=domain).get(code) == count


def test_shared_values_may_be_missed_as_often_as_each_column_says():
    domains = {"ports": ("EWR", "JFK")}
    values = ["EWR"] * 95 + ["XXX"] * 5
    tolerant = SharedDomain(ref="ports", min_mass=0.95)
    assert "value_outside_domain" not in judge(values, "string", domain=tolerant, domains=domains)
    assert judge(values, "string", domain=SharedDomain(ref="ports"), domains=domains)["value_outside_domain"] == 5


@pytest.mark.parametrize(("order", "wrong"), [("increasing", 2), ("decreasing", 3)])
def test_an_order_has_a_direction_and_goes_on_over_batches(order, wrong):
    values = pa.chunked_array([[1, 3], [2, 4, None], [0]])
    assert judge(values, "int64", monotone=order) == {"not_monotone": wrong}


def test_finer_times_lose_and_other_zones_do_not_fit():
    fine = pa.array([0], pa.timestamp("ns"))
    assert judge(fine, "timestamp[s]").keys() == {"type_lossy"}
    assert judge(fine.cast(pa.timestamp("s")), "timestamp[ns]").keys() == {"type_mismatch"}
    assert judge(pa.array([0], pa.timestamp("ns", "UTC")), "timestamp[s]").keys() == {"type_mismatch"}


def test_nulls_have_limits_of_their_own():
    draw = np.random.default_rng(0).normal(size=4_000)
    schema = infer_schema(TableSubject(pa.table({"x": draw}), "t").profile())
    some = pa.table({"x": pa.array(draw, mask=np.arange(4_000) % 20 == 0)})  # Cohen's h of 5 % beside none: 0.45
    for warn, error, severity in ((0.1, 0.2, "error"), (0.1, 0.6, "warn"), (0.5, 0.6, None)):
        policy = DriftPolicy(null_warn=warn, null_error=error)
        child = schema.with_column("x", drift=policy, nullable=True, min_fraction=0.0)
        found = validate(TableSubject(some, "t"), child).by_code().get("missingness_drift", ())
        assert [str(each.severity) for each in found] == ([] if severity is None else [severity])


def test_a_gate_has_limits_of_its_own(tmp_path):
    draw = np.random.default_rng(1)
    with foldstore.connect(tmp_path / "store") as store:
        for name, limits, status in (
            ("usual", DriftPolicy(), "quarantined"),
            ("wide", DriftPolicy(tau_warn=0.6, tau_error=0.7), "published"),
        ):
            data = store.create_dataset(name)
            data.append({"x": draw.normal(size=2_000)})
            data.set_gate(foldstore.GatePolicy(drift="previous", limits=limits))
            assert str(data.append({"x": draw.normal(size=2_000) + 0.8}).status) == status


def test_versions_before_are_those_that_the_rules_name():
    asked = []
    history = History(
        lambda text: asked.append(text) or 0, lambda season: asked.append(season) or SimpleNamespace(trends=())
    )
    for joint, trend, wanted in (
        (JointDrift(concept=True), TrendRule(), ["previous", 1]),
        (JointDrift(concept=True, vs="rolling", window=3), TrendRule(season=12), ["rolling(3)", 12]),
        (JointDrift(concept=True, vs="seasonal", lag=4), TrendRule(season=7), ["seasonal(4)", 7]),
    ):
        asked.clear()
        schema = DataSchema(columns={"x": ColumnSchema(type="double")}, joint_drift=joint, trend=trend)
        validate(TableSubject(pa.table({"x": [0.5]}), "t"), schema, Surroundings(history=history))
        assert asked == wanted


def test_a_correlation_changes_by_more_than_chance_at_the_level_that_is_asked_for():
    draw = np.random.default_rng(3)
    x, noise = draw.normal(size=(2, 60))
    before, after = (pa.table({"x": x, "y": slope * x + noise}) for slope in (0.0, 0.5))
    history = History(lambda _: TableSubject(before, "before"), lambda _: None)
    r = [np.corrcoef(each["x"], each["y"])[0, 1] for each in (before, after)]
    z = abs(np.arctanh(r[0]) - np.arctanh(r[1])) / np.sqrt(2 / 57)
    p = 2 * stats.norm.sf(z)
    assert 0.001 < p < 0.2
    for alpha, limit, is_found in ((p * 1.01, 0.2, True), (p * 0.99, 0.2, False), (p * 1.01, 0.99, False)):
        joint = JointDrift(correlation=limit, alpha=alpha)
        columns = {name: ColumnSchema(type="double") for name in "xy"}
        schema = DataSchema(columns=columns, joint_drift=joint)
        report = validate(TableSubject(after, "after"), schema, Surroundings(history=history))
        assert ("correlation_change" in report.by_code()) is is_found
        if is_found:
            assert report.by_code()["correlation_change"][0].evidence["p_adjusted"] == pytest.approx(p, rel=1e-9)


def test_a_slice_by_two_columns_holds_the_rows_of_both_values():
    places = np.arange(400)
    table = pa.table(
        {
            "a": places // 200,
            "b": places // 100 % 2,
            "x": pa.array(places, mask=(places >= 300) & (places < 360)),
        }
    )
    columns = {
        name: ColumnSchema(type="int64", min_fraction=0.8 if name == "x" else 0.0) for name in table.column_names
    }
    schema = DataSchema(columns=columns, segments=(Segment(name="both", by=("a", "b")),))
    (found,) = validate(TableSubject(table, "t"), schema).anomalies
    assert (found.code, found.evidence["slice"]) == ("null_fraction_high", "a=1, b=1")
    assert (found.count, found.fraction) == (60, 0.6)


def test_what_chance_does_to_nulls_is_taken_off_the_effect():
    n, m, before, after = 3_000, 2_400, 150, 230
    rows = [
        TableSubject(pa.table({"x": pa.array(np.arange(size) % 50, mask=np.arange(size) < nulls)}), "t")
        for size, nulls in ((n, before), (m, after))
    ]
    found = drift_between(*rows).columns["x"]
    h = 2 * abs(np.arcsin(np.sqrt(before / n)) - np.arcsin(np.sqrt(after / m)))
    pooled = (before + after) / (n + m)
    z = (before / n - after / m) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    assert found.null_effect == pytest.approx(np.sqrt(h * h - 1 / n - 1 / m), rel=1e-12)
    assert found.null_p_value == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-9)


def test_a_level_is_that_of_the_policy():
    draw = np.random.default_rng(4)
    before, after = (TableSubject(pa.table({"x": draw.normal(size=400) + by}), "t") for by in (0, 0.25))
    p = drift_between(before, after, policy=DriftPolicy(tau_warn=0.0, tau_error=0.0)).columns["x"].p_adjusted
    for alpha, is_found in ((p * 1.01, True), (p * 0.99, False)):
        policy = DriftPolicy(tau_warn=0.0, tau_error=0.0, alpha=alpha)
        assert ("x" in drift_between(before, after, policy=policy).drifted) is is_found


def test_nan_has_a_cell_of_its_own_on_both_sides():
    values = np.random.default_rng(6).normal(size=2_000)
    whole, holed = (
        TableSubject(pa.table({"x": np.where(np.arange(2_000) < n, np.nan, values)}), "t") for n in (0, 600)
    )
    for before, after in ((whole, holed), (holed, whole)):
        found = drift_between(before, after).columns["x"]
        assert str(found.verdict) == "error"
        assert found.largest_change["cell"] == "NaN"
    assert not drift_between(holed, holed).drifted


def test_a_disabled_column_is_not_looked_at_and_nulls_are_adjusted_over_columns():
    disabled = ColumnSchema(type="int64", nullable=False, stage=Stage.DISABLED)
    rows = TableSubject(pa.table({"x": pa.array([None, 1])}), "t")
    assert validate(rows, DataSchema(columns={"x": disabled})).anomalies == ()
    holes = [(np.arange(1_000) < nulls) for nulls in (50, 80, 50, 52, 49)]
    before = TableSubject(pa.table({f"c{n}": pa.array(np.arange(1_000) % 50, mask=holes[0]) for n in range(5)}), "t")
    after = TableSubject(pa.table({f"c{n}": pa.array(np.arange(1_000) % 50, mask=holes[n]) for n in range(5)}), "t")
    found = drift_between(before, after).columns.values()
    expected = stats.false_discovery_control([each.null_p_value for each in found])
    assert [each.null_p_adjusted for each in found] == pytest.approx(list(expected))


@pytest.mark.parametrize("stage", Stage)
def test_columns_in_beta_and_production_alone_have_to_be_there(stage):
    columns = {"x": ColumnSchema(type="int64"), "y": ColumnSchema(type="int64", stage=stage)}
    found = validate(TableSubject(pa.table({"x": [1]}), "t"), DataSchema(columns=columns)).by_code()
    assert ("column_missing" in found) is (stage in (Stage.BETA, Stage.PRODUCTION))
