"""Drift within the slices of a schema's segments, against versions before."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import foldstore
from foldstore.errors import InvalidSchemaError
from foldstore.validation.check import validate
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.dataset_rules import Segment
from foldstore.validation.drift.adjustment import adjust
from foldstore.validation.drift.significance import compare_counts, seeded
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import TableSubject


def frame(seed, n=4_000, *, shift=0.0, zones=("in", "out"), holes=0.0):
    draw = np.random.default_rng(seed)
    zone = draw.integers(0, len(zones), n)
    km = draw.normal(size=n) + shift * (zone == 1)
    return pa.table(
        {
            "zone": pa.array([zones[each] for each in zone], pa.string()),
            "km": pa.array(km, mask=draw.random(n) < holes * (zone == 1)),
            "kind": pa.array(draw.choice(list("abcd"), n)),
        }
    )


@pytest.fixture
def trips(folder):
    with foldstore.connect(folder) as store:
        yield store.create_dataset("trips")


def schema_of(version, *segments, **how):
    inferred = version.profile().infer_schema(history=False)
    return DataSchema.from_dict({**inferred.to_dict(), **how, "segments": [each.to_dict() for each in segments]})


def of_slices(report):
    return [each for each in report.anomalies if "slice" in each.evidence]


BY_ZONE = Segment(name="zones", by=("zone",), drift=DriftPolicy(vs="previous"))


def test_what_moves_within_a_slice_is_found_there_and_adjusted_over_all(trips):
    first = trips.append(frame(1))
    second = trips.append(frame(2, shift=1.0))
    schema = schema_of(first, BY_ZONE)
    (found,) = of_slices(second.validate(schema, rows="added"))
    assert (found.code, found.column, found.evidence["slice"], found.fix) == ("drift", "km", "zone=out", None)
    assert found.message.startswith("where zone=out: distribution drifted: JS ")
    assert found.severity == "error"
    # By hand: the counts on the schema's grid, tested slice by slice and column by column.
    ps, effects = [], []
    for zone in ("in", "out"):
        for name in ("km", "kind"):
            cut = [t.filter(pc.equal(t["zone"], zone)).select([name]) for t in (frame(1), frame(2, shift=1.0))]
            counts = [
                TableSubject(each, "t").grid_counts({name: schema.columns[name].grid})[name].cells for each in cut
            ]
            test = compare_counts(*map(np.array, counts), seeded("", name), tau=0.1, alpha=0.01)
            ps.append(test.p_value)
            effects.append(test.effect)
    assert found.evidence["p_adjusted"] == pytest.approx(adjust(ps)[2], rel=1e-9)
    assert found.observed == pytest.approx(effects[2], rel=1e-9)


def test_rolling_windows_conditions_and_nulls_are_compared(trips):
    for seed in range(3):
        newest = trips.append(frame(seed))
    policy = DriftPolicy(vs="rolling", window=3)
    schema = schema_of(newest, Segment(name="far", where="zone = 'out'", drift=policy))
    fourth = trips.append(frame(4, holes=0.3))
    (found,) = of_slices(fourth.validate(schema, rows="added"))
    assert (found.code, found.column, found.evidence["slice"]) == ("missingness_drift", "km", "zone = 'out'")
    assert found.evidence["n_ref"] > 3 * 1_800


def test_without_change_nothing_is_said(trips):
    first = trips.append(frame(1))
    second = trips.append(frame(2))
    assert of_slices(second.validate(schema_of(first, BY_ZONE), rows="added")) == []


def test_slices_of_one_side_and_small_ones_are_told(trips):
    first = trips.append(frame(1, zones=("in", "out", "old")))
    small = pa.concat_tables([frame(2, zones=("in", "new")), frame(3, n=20, zones=("out",))])
    second = trips.append(small)
    told = of_slices(second.validate(schema_of(first, BY_ZONE), rows="added"))
    found = {each.evidence["slice"]: each for each in told if each.code == "drift_untestable"}
    assert set(found) == {"zone=new", "zone=out", "zone=old"}
    assert "previous has no such rows" in found["zone=new"].message
    assert "there are none; 33" in found["zone=old"].message
    assert found["zone=out"].message == "where zone=out: 20 values cannot show a change of 0.10 (by km, kind)"
    assert {each.severity for each in found.values()} == {"info"}


def test_too_few_versions_and_no_versions_are_said(trips):
    first = trips.append(frame(1))
    few = Segment(name="zones", by=("zone",), drift=DriftPolicy(vs="seasonal", lag=12))
    codes = [each.code for each in first.validate(schema_of(first, few)).anomalies]
    assert codes == ["comparator_missing_reference"]
    (found,) = validate(TableSubject(frame(2), "t"), schema_of(first, BY_ZONE)).anomalies
    assert found.code == "stats_unavailable"
    assert "segment zones: drift" in found.message


def test_a_label_has_its_own_limits_and_code(trips):
    first = trips.append(frame(1, n=20_000))
    second = trips.append(frame(2, n=20_000, shift=0.2))
    assert of_slices(second.validate(schema_of(first, BY_ZONE), rows="added")) == []
    (found,) = of_slices(second.validate(schema_of(first, BY_ZONE, label="km"), rows="added"))
    assert (found.code, found.expected) == ("label_shift", 0.05)


def test_a_gate_judges_by_it(trips):
    first = trips.append(frame(1))
    trips.set_schema(schema_of(first, BY_ZONE))
    second = trips.append(frame(2, shift=1.5))
    assert str(second.status) == "quarantined"
    assert ("drift", "zone=out") in {(each.code, each.evidence.get("slice")) for each in second.report.anomalies}


def test_documents_hold_it_and_the_baseline_is_refused():
    text = "columns: {zone: {type: string}}\nsegments:\n- {name: z, by: [zone], drift: {vs: rolling, window: 5}}\n"
    schema = DataSchema.from_yaml(text)
    assert schema.segments[0].drift == DriftPolicy(vs="rolling", window=5)
    assert DataSchema.from_dict(schema.to_dict()) == schema
    assert DataSchema.from_yaml(schema.to_yaml()) == schema
    for drift in ({"tau_warn": 0.1}, {"vs": "rolling"}, {"vs": "soon"}, 7):
        with pytest.raises(InvalidSchemaError):
            DataSchema.from_dict(
                {"columns": {"zone": {"type": "string"}}, "segments": [{"name": "z", "by": ["zone"], "drift": drift}]}
            )
