"""Drift policies that compare with the versions before instead of the schema's baseline."""

import numpy as np
import pytest

import foldstore
from foldstore.errors import InvalidSchemaError
from foldstore.validation.check import validate
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.drift.verdict import DriftVerdict
from foldstore.validation.subject import TableSubject

RANDOM = np.random.default_rng(11)


def rows(mean, count=3_000):
    return {"x": RANDOM.normal(mean, 1.0, count)}


@pytest.fixture
def walk(tmp_path):
    """A dataset whose versions will move by a seventh of a standard deviation each."""
    with foldstore.connect(tmp_path / "store") as store:
        dataset = store.create_dataset("walk")
        dataset.append(rows(0.0))
        yield dataset


def follow(dataset, **policy):
    schema = dataset.version(1).profile().infer_schema()
    dataset.set_schema(schema.with_column("x", drift=DriftPolicy(**policy), severity={"tail_mass": "off"}))


def codes(report):
    return [each.code for each in report.anomalies]


def test_a_slow_walk_is_drift_from_the_baseline_and_none_from_the_version_before(walk):
    follow(walk, vs="previous")
    versions = [walk.append(rows(0.15 * step)) for step in range(1, 6)]
    assert [codes(each.report) for each in versions] == [[]] * 5
    schema = walk.schema
    assert codes(versions[-1].validate(schema, rows="added")) == []
    baseline = schema.with_column("x", drift=DriftPolicy())
    assert codes(versions[-1].validate(baseline, rows="added")) == ["drift"]
    assert codes(walk.append(rows(3.0)).report) == ["drift"]
    assert codes(walk.validate(rows(0.8))) == []
    assert codes(walk.validate(rows(0.0))) == ["drift"]


def test_the_reference_is_what_the_window_held(walk):
    walk.append(rows(1.0))
    walk.append(rows(2.0))
    for policy, mean in (({"vs": "rolling", "window": 3}, None), ({"vs": "seasonal", "lag": 2}, 1.0)):
        schema = walk.version(1).profile().infer_schema().with_column("x", drift=DriftPolicy(**policy))
        report = walk.validate(rows(1.0), schema=schema)
        found = report.drift.columns["x"]
        assert found.n_reference == (9_000 if mean is None else 3_000)
        assert (found.verdict is DriftVerdict.STABLE) == (mean == 1.0)


def test_too_few_versions_are_said(walk):
    follow(walk, vs="rolling", window=3)
    first = walk.append(rows(0.0))
    assert codes(first.report) == ["comparator_missing_reference"]
    assert first.report.passed
    assert "rolling(3) needs more than the 1 published versions before" in first.report.anomalies[0].message
    walk.append(rows(0.0))
    assert codes(walk.append(rows(0.0)).report) == []


def test_without_versions_the_baseline_is_used_and_that_is_said(walk):
    schema = walk.version(1).profile().infer_schema().with_column("x", drift=DriftPolicy(vs="previous"))
    report = validate(TableSubject(walk.latest.to_arrow(), "t"), schema)
    assert codes(report) == ["stats_unavailable"]
    assert "x" in report.drift.columns


def test_a_window_without_a_length_is_refused():
    with pytest.raises(InvalidSchemaError):
        DriftPolicy(vs="rolling")
