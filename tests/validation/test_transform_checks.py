"""What transforms say of rows: each code is raised where it should be, and nowhere else."""

import json

import pyarrow as pa
import pytest

import foldstore
from foldstore.errors import InvalidSchemaError, RefusedError
from foldstore.types import Severity
from foldstore.validation.check import validate
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.intervals import is_more
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import TableSubject
from foldstore.validation.surroundings import Surroundings
from foldstore.validation.transform_checks import judge_transform
from foldstore.views.transforms.transform import FittedTransform, Transform

TRAIN = pa.table({"x": [float(n) for n in range(100)] * 10, "c": ["UA", "B6"] * 500})


def judge(operation, rows, train=TRAIN):
    fitted = Transform("t", [operation]).fit(train)
    return {a.code: a for a in judge_transform(TableSubject(rows, "later"), fitted, "t@1").anomalies}


def numbers(share, value, count=1_000):
    odd = int(share * count)
    return pa.table({"x": pa.array([value] * odd + [50.0] * (count - odd), pa.float64())})


def texts(share, count=1_000):
    odd = int(share * count)
    return pa.table({"c": ["ZZ"] * odd + ["UA"] * (count - odd)})


CASES = [
    ("oov_rate_high", foldstore.Vocabulary("c"), texts),
    ("oov_rate_high", foldstore.OneHot("c"), texts),
    ("oov_rate_high", foldstore.CountEncode("c"), texts),
    ("out_of_bucket", foldstore.Bucketize("x", edges=[10.0]), lambda share: numbers(share, 1e6)),
    ("clip_rate_high", foldstore.Clip("x", high=200.0), lambda share: numbers(share, 1e6)),
    ("impute_rate_high", foldstore.Impute("x"), lambda share: numbers(share, None)),
]


@pytest.mark.parametrize(("code", "operation", "rows"), CASES, ids=lambda each: getattr(each, "OP", None))
class TestOfRates:
    def test_too_many_are_said(self, code, operation, rows):
        (found,) = judge(operation, rows(0.05)).values()
        assert found.code == code
        assert found.severity is Severity.WARN
        assert (found.count, found.fraction, found.column) == (50, 0.05, operation.column)
        assert "t@1" in found.message
        assert found.evidence["share_when_fitted"] == 0

    def test_as_many_as_chance_brings_are_not(self, code, operation, rows):
        assert is_more(15, 1_000, 0.01, 0.99) is False
        assert judge(operation, rows(0.015)) == {}

    def test_a_limit_of_its_own_goes_first(self, code, operation, rows):
        given = {name: value for name, value in operation.to_dict().items() if name != "op"}
        wide, none = (type(operation)(**given, max_rate=rate) for rate in (0.2, 0.0))
        assert judge(wide, rows(0.05)) == {}
        assert list(judge(none, rows(0.001))) == [code]


def test_the_share_when_it_was_fitted_counts():
    # One in ten was clipped in training already: as many later are no news, thrice as many are.
    operation = foldstore.Clip("x", quantiles=(0.0, 0.9))
    assert judge(operation, TRAIN) == {}
    assert list(judge(operation, numbers(0.3, 1e6))) == ["clip_rate_high"]


def test_columns_that_are_missing_or_others_are_said():
    transform = Transform("t", [foldstore.MinMax("x"), foldstore.Vocabulary("c")])
    fitted = transform.fit(TRAIN)
    rows = pa.table({"x": ["a"]})
    found = judge_transform(TableSubject(rows, "later"), fitted, "t@1").anomalies
    assert [(a.code, a.column, a.severity) for a in found] == [
        ("transform_schema_mismatch", "x", Severity.ERROR),
        ("transform_schema_mismatch", "c", Severity.ERROR),
    ]
    assert "not string" in found[0].message


def test_values_that_the_type_cannot_hold_are_said():
    narrow = Transform("t", [foldstore.MinMax("n")]).fit(pa.table({"n": pa.array([1, 2], pa.int8())}))
    rows = TableSubject(pa.table({"n": [1, 70_000]}), "later")
    assert [a.code for a in judge_transform(rows, narrow, "t@1").anomalies] == ["transform_schema_mismatch"]


def tampered():
    fitted = Transform("t", [foldstore.MinMax("x")]).fit(TRAIN)
    data = json.loads(json.dumps(fitted.to_dict()))
    data["states"][0]["low"] = 1.0
    return FittedTransform.from_dict(data)


def test_kernels_that_differ_from_what_was_kept_are_said():
    (found,) = judge_transform(TableSubject(TRAIN, "later"), tampered(), "t@1").anomalies
    assert (found.code, found.column, found.severity) == ("transform_skew", "x", Severity.ERROR)
    assert found.evidence["rows"] == "the golden sample"


def test_kernels_that_differ_on_the_rows_are_said(monkeypatch):
    fitted = Transform("t", [foldstore.MinMax("x")]).fit(TRAIN)
    monkeypatch.setattr(fitted, "apply_row", lambda row: {**row, "x": 0.123})
    (found,) = judge_transform(TableSubject(TRAIN, "later"), fitted, "t@1").anomalies
    assert found.code == "transform_skew"
    assert found.evidence["rows"] == "the rows judged"


def test_no_rows_are_no_crash():
    fitted = Transform("t", [foldstore.MinMax("x"), foldstore.Vocabulary("c")]).fit(TRAIN)
    assert judge_transform(TableSubject(TRAIN.slice(0, 0), "none"), fitted, "t@1").anomalies == ()


class TestInASchema:
    SCHEMA = DataSchema(columns={"c": ColumnSchema(type="string")}, transforms=("t@1",))

    def test_the_transforms_it_names_judge_too(self):
        fitted = Transform("t", [foldstore.Vocabulary("c")]).fit(TRAIN)
        rows = TableSubject(texts(0.2), "later")
        report = validate(rows, self.SCHEMA, Surroundings(transforms={"t@1": fitted}.__getitem__))
        assert [a.code for a in report.anomalies] == ["oov_rate_high"]

    def test_what_is_not_at_hand_is_said(self):
        report = validate(TableSubject(texts(0.2), "later"), self.SCHEMA)
        assert [a.code for a in report.anomalies] == ["stats_unavailable"]

    def test_it_is_written_and_read(self):
        assert DataSchema.from_yaml(self.SCHEMA.to_yaml()) == self.SCHEMA

    def test_a_gate_asks_them(self, store):
        flights = store.create_dataset("flights", key=["id"])
        rows = {"id": list(range(1_000)), "c": ["UA", "B6"] * 500}
        flights.append(rows).split("half", train=0.5, test=0.5)
        store.transforms.fit(Transform("t", [foldstore.Vocabulary("c")]), on="flights@1#half.train")
        schema = DataSchema(
            keys=("id",),
            columns={"id": ColumnSchema(type="int64"), "c": ColumnSchema(type="string")},
            transforms=("t@1",),
            severity={"oov_rate_high": Severity.ERROR},
        )
        flights.set_schema(schema)
        good = flights.append({"id": list(range(1_000, 1_100)), "c": ["UA"] * 100})
        bad = flights.append({"id": list(range(2_000, 2_100)), "c": ["ZZ"] * 100})
        assert str(good.status) == "published"
        assert str(bad.status) == "quarantined"
        assert [a.code for a in bad.validate(rows="added").anomalies] == ["oov_rate_high"]

    def test_a_transform_that_is_not_there_is_refused_when_it_is_set(self, store):
        flights = store.create_dataset("flights")
        with pytest.raises(InvalidSchemaError, match="lacks a transform 'nope@1'"):
            flights.set_schema(DataSchema(columns={}, transforms=("nope@1",)))


class TestOfAStore:
    @pytest.fixture
    def flights(self, store):
        rows = {"id": list(range(1_000)), "c": ["UA", "B6"] * 500, "late": [n % 3 == 0 for n in range(1_000)]}
        return store.create_dataset("flights", key=["id"]).append(rows).split("half", train=0.5, test=0.5)

    def test_equal_ones_are_one_version(self, store, flights):
        transform = Transform("t", [foldstore.TargetEncode("c", target="late")])
        assert store.transforms.fit(transform, on=flights.train) == "t@1"
        assert store.transforms.fit(transform, on="flights@1#half.train") == "t@1"
        assert store.transforms.list() == ["t@1"]
        assert store.transforms.get("t").fitted_on == "flights@1#half.train"

    @pytest.mark.parametrize("where", ["flights@1", "flights@1#half.test", "flights@1#half"])
    def test_nothing_is_learnt_from_other_rows(self, store, flights, where):
        with pytest.raises(RefusedError) as caught:
            store.transforms.fit(Transform("t", [foldstore.Vocabulary("c")]), on=where)
        assert caught.value.code == "not-a-train-part"

    def test_what_was_kept_is_compared_when_it_is_loaded(self, store, flights):
        store.transforms.registry.put(tampered(), author="me")
        with pytest.raises(RefusedError) as caught:
            store.transforms.get("t@1")
        assert caught.value.code == "transform-skew"
        report = store.transforms.validate("t@1", TRAIN)
        assert [a.code for a in report.anomalies] == ["transform_skew"]

    def test_a_label_is_not_sealed_after_another_split_taught_it(self, store, flights):
        store.version("flights@1").split("other", train=0.5, test=0.5, seed=9)
        store.transforms.fit(Transform("t", [foldstore.TargetEncode("c", target="late")]), on="flights@1#other.train")
        plan = foldstore.plan_pool("n > 0.5 +/- 0.2", reliability=0.9, reuse="none", steps=1)
        with pytest.raises(RefusedError) as caught:
            store.pools.seal("p", flights.test, label="late", plan=plan)
        assert caught.value.code == "sealed-elsewhere"

    def test_a_label_is_sealed_after_its_own_train_part_taught_it(self, store, flights):
        store.transforms.fit(Transform("t", [foldstore.TargetEncode("c", target="late")]), on=flights.train)
        plan = foldstore.plan_pool("n > 0.5 +/- 0.2", reliability=0.9, reuse="none", steps=1)
        store.pools.seal("p", flights.test, label="late", plan=plan)
        assert store.transforms.get("t@1").check_golden() == []
