"""Columns together, predictions, what was served, and levels over versions: changes are found, and none is imagined."""

import numpy as np
import pyarrow as pa
import pytest

import foldstore
from foldstore.errors import InvalidSchemaError
from foldstore.validation.check import validate
from foldstore.validation.column_domains import NumericDomain
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.dataset_rules import JointDrift, TrendRule
from foldstore.validation.history import History
from foldstore.validation.inference import infer_schema
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import TableSubject
from foldstore.validation.surroundings import Surroundings

N = 3_000


def draw(seed, *, slope=1.0, flip=False, shift=0.0):
    """Rows of two numbers that go together, and a label that follows the first of them."""
    random = np.random.default_rng(seed)
    x = random.normal(size=N) + shift
    y = slope * x + random.normal(size=N)
    label = np.where((x > 0) != flip, "yes", "no")
    return pa.table({"x": x, "y": y, "label": np.where(random.random(N) < 0.1, "maybe", label)})


def judge(before, after, **fields):
    schema = DataSchema(
        columns={
            "x": ColumnSchema(type="double"),
            "y": ColumnSchema(type="double"),
            "label": ColumnSchema(type="string"),
        },
        **fields,
    )
    history = History(lambda _: TableSubject(before, "before"), lambda _: None)
    return validate(TableSubject(after, "after"), schema, Surroundings(history=history)).anomalies


def codes(anomalies):
    return {(a.code, a.column) for a in anomalies}


class TestOfColumnsTogether:
    def test_a_label_that_turned_round_is_a_changed_concept(self):
        found = judge(draw(1), draw(2, flip=True), label="label", joint_drift=JointDrift(concept=True))
        assert ("concept_drift", "x") in codes(found)
        anomaly = next(a for a in found if a.column == "x")
        assert anomaly.evidence["p_adjusted"] < 1e-9
        assert [(patch["field"], patch["value"]) for patch in anomaly.fix] == [("joint_drift", None)]

    def test_the_same_concept_is_none(self):
        assert codes(judge(draw(1), draw(2), label="label", joint_drift=JointDrift(concept=True))) == set()

    def test_without_a_label_there_is_no_concept_to_judge(self):
        found = judge(draw(1), draw(2), joint_drift=JointDrift(concept=True))
        assert codes(found) == {("stats_unavailable", None)}

    def test_columns_that_go_together_no_more(self):
        (found,) = judge(draw(1), draw(2, slope=0.0), joint_drift=JointDrift(correlation=0.2))
        assert (found.code, found.column, found.evidence["other"]) == ("correlation_change", "x", "y")
        assert found.expected == pytest.approx(np.corrcoef(draw(1)["x"], draw(1)["y"])[0, 1])
        assert abs(found.observed) < 0.1

    def test_columns_that_go_together_as_before(self):
        assert judge(draw(1), draw(2), joint_drift=JointDrift(correlation=0.05)) == ()

    def test_a_change_below_the_limit_is_none(self):
        assert judge(draw(1), draw(2, slope=0.9), joint_drift=JointDrift(correlation=0.2)) == ()

    def test_rows_that_a_classifier_tells_from_those_before(self):
        (found,) = judge(draw(1), draw(2, slope=-1.0), joint_drift=JointDrift(multivariate=0.05))
        assert found.code == "multivariate_drift"
        assert found.observed > 0.6

    def test_rows_that_no_classifier_tells_from_those_before(self):
        assert judge(draw(1), draw(2), joint_drift=JointDrift(multivariate=0.05)) == ()

    def test_too_few_versions_before_are_said(self):
        schema = DataSchema(columns={"x": ColumnSchema(type="double")}, joint_drift=JointDrift(correlation=0.1))
        history = History(lambda _: 0, lambda _: None)
        (found,) = validate(TableSubject(draw(1).select(["x"]), "t"), schema, Surroundings(history=history)).anomalies
        assert (found.code, found.observed) == ("comparator_missing_reference", 0)
        (unjudged,) = validate(TableSubject(draw(1).select(["x"]), "t"), schema).anomalies
        assert unjudged.code == "stats_unavailable"

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"correlation": 0},
            {"correlation": "0.1"},
            {"multivariate": 0.7},
            {"concept": 1},
            {"concept": True, "window": 3},
        ],
    )
    def test_what_compares_nothing_is_refused(self, fields):
        with pytest.raises(InvalidSchemaError):
            JointDrift(**fields)

    def test_it_survives_yaml(self):
        schema = DataSchema(
            columns={"x": ColumnSchema(type="double")},
            joint_drift=JointDrift(vs="rolling", window=3, correlation=0.2, concept=True),
            trend=TrendRule(season=12),
            serving="served",
            prediction="x",
        )
        assert DataSchema.from_yaml(schema.to_yaml()) == schema


class TestOfPredictions:
    def judge(self, shift):
        schema = infer_schema(TableSubject(draw(1), "t").profile())
        schema = DataSchema.from_dict({**schema.to_dict(), "prediction": "y"})
        return codes(validate(TableSubject(draw(2, shift=shift), "after"), schema).anomalies)

    def test_a_shift_is_named_for_what_it_is(self):
        found = self.judge(2.0)
        assert ("prediction_shift", "y") in found
        assert ("drift", "x") in found
        assert ("drift", "y") not in found

    def test_without_one_nothing_is_found(self):
        assert not {code for code, _ in self.judge(0.0)} & {"prediction_shift", "drift"}


class TestOfWhatWasServed:
    def judge(self, folder, served, **fields):
        with foldstore.connect(folder) as store:
            learnt = store.create_dataset("learnt").append(draw(1))
            if served is not None:
                store.create_dataset("served").append(served)
            plain = learnt.profile().infer_schema().to_dict()
            for column in ("x", "y"):
                plain["columns"][column]["skew"] = {}
            schema = DataSchema.from_dict({**plain, "serving": "served", **fields})
            return [a for a in learnt.validate(schema).anomalies if a.code in ("skew", "stats_unavailable")]

    def test_values_that_differ_are_skew(self, folder):
        (found,) = self.judge(folder, draw(2, shift=2.0).drop_columns("y").append_column("y", draw(3)["y"]))
        assert (found.code, found.column, str(found.severity)) == ("skew", "x", "error")
        assert "served@1" in found.message
        assert {patch["field"] for patch in found.fix} == {"skew.tau_warn", "skew.tau_error"}

    def test_values_that_agree_are_none(self, folder):
        assert self.judge(folder, draw(2)) == []

    def test_what_cannot_be_compared_is_said(self, folder):
        found = self.judge(folder, draw(2).select(["x"]))
        assert [(a.code, a.column) for a in found] == [("stats_unavailable", "y")]

    def test_without_a_dataset_it_is_said_for_each_column(self, folder):
        found = self.judge(folder, None, serving=None)
        assert [(a.code, a.column) for a in found] == [("stats_unavailable", "x"), ("stats_unavailable", "y")]


class TestOverVersions:
    def versions(self, folder, last):
        with foldstore.connect(folder) as store:
            trips = store.create_dataset("trips")
            random = np.random.default_rng(5)
            for _ in range(12):
                version = trips.append({"km": random.normal(10, 1, 200)})
            schema = DataSchema(columns={"km": ColumnSchema(type="double")}, trend=TrendRule())
            new = {"km": random.normal(last, 1, 200)}
            judged = codes(trips.validate(new, schema=schema).anomalies)
            version = trips.append(new)
            committed = codes(version.validate(schema).anomalies)
            trips.set_schema(schema)
            gated = trips.append({"km": random.normal(last, 1, 200)})
            return judged, committed, codes(gated.report.anomalies)

    def test_a_new_level_gives_the_alarm_with_the_rows_that_bring_it(self, folder):
        judged, committed, _ = self.versions(folder, 20)
        assert judged == committed == {("trend", "km")}

    def test_the_usual_level_gives_none(self, folder):
        assert self.versions(folder, 10) == (set(), set(), set())

    def test_rows_without_versions_say_so(self):
        schema = DataSchema(columns={"x": ColumnSchema(type="double")}, trend=TrendRule())
        (found,) = validate(TableSubject(draw(1).select(["x"]), "t"), schema).anomalies
        assert found.code == "stats_unavailable"


class TestPrecision:
    def judge(self, values, decimals=2):
        schema = DataSchema(columns={"x": ColumnSchema(type="double", domain=NumericDomain(decimals=decimals))})
        return codes(validate(TableSubject(pa.table({"x": values}), "t"), schema).anomalies)

    @pytest.mark.parametrize("decimals", [1, 2, 5])
    def test_values_that_were_rounded_lost_it(self, decimals):
        values = np.random.default_rng(1).normal(1e4, 100, 500).round(decimals)
        assert self.judge(values, decimals) == set()
        assert self.judge(values.round(decimals - 1), decimals) == {("precision_lost", "x")}

    def test_few_values_say_nothing(self):
        assert self.judge([1.0] * 99) == set()
        assert self.judge([1.0, float("nan"), float("inf"), None] * 200) == {("precision_lost", "x")}

    @pytest.mark.parametrize("decimals", [0, 13, -1, True, "2"])
    def test_a_number_of_decimals_that_is_none_is_refused(self, decimals):
        with pytest.raises(InvalidSchemaError):
            NumericDomain(decimals=decimals)


class TestTextThatIsNone:
    def table(self, data):
        offsets = pa.array([0, 2, 4], pa.int32()).buffers()[1]
        return pa.table({"t": pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(data)])})

    def test_is_found_and_not_raised(self, folder):
        with foldstore.connect(folder) as store:
            words = store.create_dataset("words")
            schema = words.append({"t": ["ab", "cd"]}).profile().infer_schema()
            report = words.validate(self.table(b"ab\xff\xfe"), schema=schema)
            assert codes(report.anomalies) == {("invalid_utf8", "t")}
            assert report.passed is False
            assert codes(words.validate(self.table(b"abcd"), schema=schema).anomalies) == set()
