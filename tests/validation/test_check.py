"""Each code is raised by data that deserves it and by no other; fixes make a schema that passes."""

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from foldstore.errors import ValidationFailedError
from foldstore.types import Severity
from foldstore.validation.anomaly import CODES
from foldstore.validation.check import validate
from foldstore.validation.column_bounds import Bounds, DriftPolicy, Uniqueness, Valency
from foldstore.validation.column_domains import (
    BinaryDomain,
    CategoryDomain,
    EmbeddingDomain,
    NumericDomain,
    TextDomain,
    TimeDomain,
    TokenDomain,
)
from foldstore.validation.column_schema import ColumnSchema, Stage
from foldstore.validation.dataset_rules import ForeignKey, RowRule, Segment
from foldstore.validation.inference import infer_schema
from foldstore.validation.report import Report
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import TableSubject
from foldstore.validation.surroundings import Surroundings
from tests.views.arrow_types import ARRAYS

# What else the judgement of a code's cases is told.
NOON = "2026-03-01T12:00:00.000000Z"
OPTIONS = {
    "stale": {"created_at": NOON},
    "future_time": {"created_at": NOON},
    "rows_ratio_low": {"previous_rows": 10},
    "rows_ratio_high": {"previous_rows": 10},
}


def judge(table, schema, code=None):
    return validate(TableSubject(table, "trial@2"), schema, Surroundings(**OPTIONS.get(code, {})))


def only(report):
    assert len(report.anomalies) == 1, report.to_text()
    return report.anomalies[0]


def column(**fields):
    return DataSchema(columns={"x": ColumnSchema(**fields)})


X = np.random.default_rng(0).normal(size=4_000)
SHIFTED = infer_schema(TableSubject(pa.table({"x": X}), "").profile())

# Per code: a schema, data that raises it, data that must not, and the message.
CASES = {
    "no_data": (column(type="int64"), {"x": pa.array([], pa.int64())}, {"x": [1]}, "trial@2 has no rows"),
    "rows_too_few": (
        DataSchema(columns={"x": ColumnSchema(type="int64")}, min_rows=2),
        {"x": [1]},
        {"x": [1, 1]},
        "1 rows, expected at least 2",
    ),
    "duplicate_key": (
        DataSchema(columns={"x": ColumnSchema(type="int64")}, keys=("x",)),
        {"x": [7, 8, 7]},
        {"x": [7, 8, 9]},
        "1 key values occur twice or more (2 rows), e.g. x=7",
    ),
    "column_missing": (
        DataSchema(columns={"x": ColumnSchema(type="int64"), "y": ColumnSchema(type="int64", nullable=False)}),
        {"x": [1]},
        {"x": [1], "y": [2]},
        "column absent (required: stage production)",
    ),
    "column_new": (column(type="int64"), {"x": [1], "y": ["a"]}, {"x": [1]}, "new column of type string"),
    "type_mismatch": (column(type="int64"), {"x": ["a"]}, {"x": [1]}, "type string, expected int64"),
    "null_fraction_high": (
        column(type="int64", min_fraction=0.9),
        {"x": [None] * 200 + [1] * 800},
        {"x": [None] * 105 + [1] * 895},
        "null in 20 % [17.2 %, 23.1 %], allowed 10 %",
    ),
    "all_null": (
        column(type="int64", min_fraction=0.5),
        {"x": pa.nulls(30, pa.int64())},
        {"x": [1, None]},
        "all 30 rows are null",
    ),
    "nan_present": (
        column(type="double", domain=NumericDomain(nan="deny")),
        {"x": [1.0, float("nan")]},
        {"x": [1.0, None]},
        "1 values are NaN",
    ),
    "below_min": (
        column(type="int64", domain=NumericDomain(min=0)),
        {"x": [-7, -1, 0, 5]},
        {"x": [0, 5, None]},
        "2 values below 0 (min -7)",
    ),
    "above_max": (
        column(type="double", domain=NumericDomain(max=1)),
        {"x": [1.5, 1.0, None]},
        {"x": [1.0]},
        "1 values above 1 (max 1.5)",
    ),
    "value_outside_domain": (
        column(type="string", domain=CategoryDomain(values=("a", "b"), min_mass=0.98)),
        {"x": ["a"] * 90 + ["ZZ"] * 6 + ["Y"] * 4},
        {"x": ["a"] * 98 + ["ZZ"] * 2},
        "10 % outside domain; new: 'ZZ' (6), 'Y' (4)",
    ),
    "constant_column": (
        column(type="int64", constant=False),
        {"x": [3] * 50},
        {"x": [3] * 50 + [4]},
        "all 50 values are 3",
    ),
    "drift": (SHIFTED, {"x": X + 1}, {"x": X[::-1] + 0.05}, "distribution drifted: JS 0.40"),
    "drift_untestable": (SHIFTED, {"x": X[:60]}, {"x": X[:3_000]}, "60 values cannot show a change of 0.10"),
    "missingness_drift": (
        SHIFTED.with_column("x", nullable=True, min_fraction=0.0),
        {"x": pa.array(X, mask=np.arange(4_000) % 2 == 0)},
        {"x": pa.array(X, mask=np.arange(4_000) % 1_000 == 0)},
        "null fraction moved from 0 % to 50 %: Cohen h 1.57 (limit 0.20), p < 1e-9",
    ),
}


TIMES = pa.timestamp("us")
FLOATS = pa.list_(pa.float64())


def moments(*texts):
    return pa.array([None if text is None else dt.datetime.fromisoformat(text) for text in texts], TIMES)


def dataset(type_="int64", **fields):
    return DataSchema(columns={"x": ColumnSchema(type=type_)}, **fields)


CASES |= {
    "rows_too_many": (dataset(max_rows=1), {"x": [1, 2]}, {"x": [1]}, "2 rows, expected at most 1"),
    "rows_ratio_low": (
        dataset(rows_vs_previous=(0.5, 2)),
        {"x": [1] * 4},
        {"x": [1] * 5},
        "rows fell to 40 % of the version before (allowed at least 50 %)",
    ),
    "rows_ratio_high": (
        dataset(rows_vs_previous=(None, 2)),
        {"x": [1] * 21},
        {"x": [1] * 20},
        "rows rose to 210 % of the version before (allowed at most 200 %)",
    ),
    "stale": (
        dataset("timestamp[us]", time_column="x", freshness="36h"),
        {"x": moments("2026-02-27T12:00", "2026-02-28T00:00").slice(0, 1)},
        {"x": moments("2026-02-27T12:00", "2026-02-28T00:00")},
        "newest time is 2026-02-27T12:00:00+00:00, 2 d 0 h old, allowed 36h",
    ),
    "future_time": (
        column(type="timestamp[us]", domain=TimeDomain(max_future="5m")),
        {"x": moments("2026-03-01T12:05:01", "2026-03-01T12:05:00", None)},
        {"x": moments("2026-03-01T12:05:00")},
        "1 times lie more than 5m after the judgement",
    ),
    "row_rule_failed": (
        dataset(rules=(RowRule(expr="x > 0", min_pass_fraction=0.5, name="positive"),)),
        {"x": [-1, 0, 1]},
        {"x": [-1, 1, None]},
        "positive fails for 2 rows (allowed 50 %)",
    ),
    "schema_unknown_environment": (
        dataset(environments=("training",)),
        {"x": [1]},
        {"x": [1]},
        "the schema has no environment 'serving'; it has training",
    ),
    "schema_invalid": (
        dataset(rules=(RowRule(expr="y > 0"),)),
        {"x": [1]},
        None,
        "y > 0 cannot be judged: ",
    ),
    "column_order_changed": (
        DataSchema(columns={n: ColumnSchema(type="int64") for n in "xyz"}, column_order=("x", "y", "z")),
        {"y": [1], "x": [1], "z": [1]},
        {"x": [1], "y": [1], "z": [1]},
        "columns come as y, x, z, expected x, y, z",
    ),
    "stats_unavailable": (
        column(type="int64", skew=DriftPolicy()),
        {"x": [1]},
        None,
        "skew is declared and was not judged",
    ),
    "column_deprecated_present": (
        DataSchema(columns={"x": ColumnSchema(type="int64"), "y": ColumnSchema(type="int64", stage=Stage.DEPRECATED)}),
        {"x": [1], "y": [1]},
        {"x": [1]},
        "column is deprecated and still there",
    ),
    "present_count_low": (
        column(type="int64", min_count=2),
        {"x": [1, None]},
        {"x": [1, 2]},
        "1 values, expected at least 2",
    ),
    "valency_low": (
        column(type="list<item: int64>", valency=Valency(min=1, max=2)),
        {"x": [[], [1], None]},
        {"x": [[1], [1, 2], None]},
        "1 lists have fewer than 1 items",
    ),
    "valency_high": (
        column(type="list<item: int64>", valency=Valency(max=2)),
        {"x": [[], [1, 2, 3], None]},
        {"x": [[], [1, 2], None]},
        "1 lists have more than 2 items",
    ),
    "shape_mismatch": (
        column(type="list<item: list<item: int64>>", fixed_shape=(2, 1)),
        {"x": [[[1], [2]], [[1], [2, 3]], [[1]], None, [[], [3]]]},
        {"x": [[[1], [2]], None]},
        "3 lists are not of shape [2, 1]",
    ),
    "inf_present": (
        column(type="double", domain=NumericDomain(inf="deny")),
        {"x": [1.0, float("inf"), float("-inf"), None]},
        {"x": [1.0, float("nan"), None]},
        "2 values are infinite",
    ),
    "not_integer_valued": (
        column(type="double", domain=NumericDomain(integer=True)),
        {"x": [1.0, 1.5, None, float("nan")]},
        {"x": [1.0, 1e300, None, float("nan")]},
        "1 values are not whole",
    ),
    "pattern_mismatch": (
        column(type="string", domain=TextDomain(pattern="[A-Z]{3}|x")),
        {"x": ["JFK", "JFKx", "", None, "x", "JFK\n"]},
        {"x": ["JFK", None, "x"]},
        "3 texts do not match [A-Z]{3}|x",
    ),
    "length_low": (
        column(type="string", domain=TextDomain(min_length=2)),
        {"x": ["ä", "ab", None]},
        {"x": ["äö", None]},
        "1 values are shorter than 2 characters",
    ),
    "length_high": (
        column(type="binary", domain=BinaryDomain(max_bytes=1)),
        {"x": [b"ab", b"a", None]},
        {"x": [b"a", b""]},
        "1 values are longer than 1 bytes",
    ),
    "semantic_class_changed": (
        column(type="string", domain=TextDomain(semantic="ipv4")),
        {"x": ["10.0.0.1", "10.0.0.256", None]},
        {"x": ["255.255.255.255", "0.0.0.1", None]},
        "1 texts do not read as ipv4",
    ),
    "bool_unexpected": (
        column(type="string", domain=TokenDomain(true_tokens=("yes",), false_tokens=("no",))),
        {"x": ["yes", "no", "", "Yes", None]},
        {"x": ["yes", "no", None]},
        "2 texts mean neither true nor false ('yes', 'no')",
    ),
    "unique_low": (column(type="int64", unique=Uniqueness(min=2)), {"x": [1, 1]}, {"x": [1, 2]}, "1 different values"),
    "unique_high": (column(type="int64", unique=Uniqueness(max=1)), {"x": [1, 2]}, {"x": [1, 1]}, "2 different values"),
    "unique_ratio": (
        column(type="int64", unique=Uniqueness(min_ratio=0.75)),
        {"x": [1, 1]},
        {"x": [1, 2, 3, 3]},
        "50 % of the values differ, allowed at least 0.75",
    ),
    "near_constant": (
        column(type="int64", bounds=Bounds(max_top_share=0.5)),
        {"x": [1, 1, 2]},
        {"x": [1, 2]},
        "66.7 % of the values are 1, allowed 50 %",
    ),
    "not_monotone": (
        column(type="int64", monotone="increasing"),
        {"x": [1, 3, None, 2, 3, 2, 4]},
        {"x": [1, 1, None, 2]},
        "2 values break the increasing order",
    ),
    "embedding_dim": (
        column(type="list<item: double>", domain=EmbeddingDomain(dim=2)),
        {"x": pa.array([[1, 2], [1], None], FLOATS)},
        {"x": pa.array([[1, 2], None], FLOATS)},
        "1 vectors do not have 2 numbers",
    ),
    "embedding_norm": (
        column(type="list<item: double>", domain=EmbeddingDomain(dim=2, norm=(0.99, 1.01))),
        {"x": pa.array([[3, 4], [0.6, 0.8], None], FLOATS)},
        {"x": pa.array([[0.6, 0.8], None], FLOATS)},
        "1 vectors have a length outside [0.99, 1.01]",
    ),
    "mean_out_of_bounds": (
        column(type="int64", bounds=Bounds(mean=(0, 2))),
        {"x": [2, 3]},
        {"x": [2, 2]},
        "mean 2.5, allowed 0 to 2",
    ),
    "std_out_of_bounds": (
        column(type="int64", bounds=Bounds(std=(None, 1))),
        {"x": [0, 2]},
        {"x": [0, 1]},
        "standard deviation 1.41421, allowed at most 1",
    ),
    "quantile_out_of_bounds": (
        column(type="int64", bounds=Bounds(quantiles={"0.5": (None, 1), "0.99": (None, 9)})),
        {"x": [0, 2, 2]},
        {"x": [0, 1, 9]},
        "quantile 0.5 is 2, allowed at most 1",
    ),
}
CASES |= {
    "null_encoded_as_value": (
        column(type="string"),
        {"x": ["a", "?", "?", "NA", "NA", "NA", None, "?"]},
        {"x": ["a", "?", "none", "NA", None, "Null"]},
        "6 values are '?', 'NA', which may stand for no value",
    ),
    "domain_near_miss": (
        column(type="string", domain=CategoryDomain(values=("Newark", "JFK", "N12345"), min_mass=0.5)),
        {"x": ["Newark"] * 9 + ["newark ", "Newakr", "jfk", "N12346"]},
        {"x": ["Newark"] * 9 + ["JFQ", "N12346", "Boston", None]},
        "3 values are known ones written otherwise: 'Newakr' -> 'Newark', 'jfk' -> 'JFK', 'newark ' -> 'Newark'",
    ),
    "type_coercible": (
        column(type="int64", domain=NumericDomain(min=0)),
        {"x": pa.array([1], pa.int32())},
        {"x": [1]},
        "type int32, which int64 can hold without loss",
    ),
    "type_lossy": (
        column(type="float"),
        {"x": [1]},
        {"x": pa.array([1], pa.float32())},
        "type int64, which float cannot hold without loss",
    ),
    "column_renamed_suspect": (
        DataSchema(columns={"zip": SHIFTED.columns["x"], "id": ColumnSchema(type="int64")}, keys=("id",)).with_column(
            "zip", stage=Stage.ALPHA
        ),
        {"id": np.arange(4_000), "zipcode": X[::-1]},
        {"id": np.arange(4_000)},
        "'zip' missing and 'zipcode' new look the same (distance 0.000): was it renamed?",
    ),
}
DAY = dt.datetime.fromisoformat("2026-03-01T00:00")
# Most of the day's rows come between 8 and 12.
MORNINGS = [DAY + dt.timedelta(days=each % 50, hours=8 + each % 4, minutes=each % 60) for each in range(2_000)]
UNJUDGED = SHIFTED.with_column("x", drift=None, bounds=None)
TEXTS = infer_schema(TableSubject(pa.table({"x": [f"v{each % 150}" for each in range(3_000)]}), "").profile())

CASES |= {
    "unit_change_suspect": (
        UNJUDGED.with_column("x", evidence={}),
        {"x": X[::-1] * 1_000},
        {"x": X * 1.2},
        "values look multiplied by 1000: distance 0.87 from the reference, 0.0",
    ),
    "timezone_shift_suspect": (
        infer_schema(TableSubject(pa.table({"x": MORNINGS}), "").profile()).with_column("x", drift=None),
        {"x": [each + dt.timedelta(hours=5) for each in MORNINGS]},
        {"x": [each + dt.timedelta(hours=1, days=90) for each in MORNINGS]},
        "the hours of the day look shifted: 5 h later than the reference",
    ),
    "new_category_mass": (
        TEXTS.with_column("x", drift=None),
        {"x": [f"v{each % 150}" for each in range(2_910)] + ["new"] * 90},
        {"x": [f"v{each % 150}" for each in range(2_991)] + ["new"] * 9},
        "3.6 % of the values are none of the reference's common ones, 0.667 % were",
    ),
    "tail_mass": (
        UNJUDGED,
        {"x": np.concatenate([X[:960], [99.0] * 20, [-99.5] * 20])},
        {"x": np.concatenate([X[:992], [99.0] * 8])},
        "4 % of the values lie outside -3.",
    ),
    "label_shift": (
        SHIFTED.with_changes(label="x"),
        {"x": X + 0.4},
        {"x": X[::-1] + 0.02},
        "the label moved: JS 0.1",
    ),
}
CASES["nesting_mismatch"] = (
    column(type="list<item: int64>"),
    {"x": [[[1], [2, 3]], None]},
    {"x": [[1], None]},
    "type list<item: list<item: int64>>, whose lists nest otherwise than those of list<item: int64>",
)
CASES["too_many_segments"] = (
    dataset(segments=(Segment(name="each", by=("x",)),)),
    {"x": list(range(51))},
    {"x": [1, 2, None] * 20},
    "each has 51 segments, the largest 50 were judged",
)
PORTS = TableSubject(pa.table({"code": ["EWR", "JFK"], "id": [1, 2]}), "ports@1")

CASES |= {
    "time_gap": (
        dataset("timestamp[us]", time_column="x", time_step="1h"),
        {"x": moments("2026-03-01T01:59", "2026-03-01T04:00", "2026-03-01T06:30", None)},
        {"x": moments("2026-03-01T01:59", "2026-03-01T03:00", "2026-03-01T02:30", None)},
        "no rows for 3 of 6 periods of 1h (first: 2026-03-01 02:00:00)",
    ),
    "duplicate_rows": (
        DataSchema(columns={n: ColumnSchema(type="int64") for n in "xy"}, max_duplicate_fraction=0.2),
        {"x": [1, 1, None, None], "y": [1, 1, 2, 2]},
        {"x": [1, 1, None, None, 3], "y": [1, 1, 3, 2, 3]},
        "50 % of the rows repeat another (allowed 20 %)",
    ),
    "foreign_key_missing": (
        dataset("string", refs=(ForeignKey(columns=("x",), dataset="ports", to=("code",), max_missing_fraction=0.5),)),
        {"x": ["EWR", "JFX", "LGA", None, "LGB"]},
        {"x": ["EWR", "JFX", "LGA", None]},
        "x of 3 rows is not in ports (allowed 50 %)",
    ),
    "split_overlap": (
        DataSchema(columns={"id": ColumnSchema(type="int64")}, keys=("id",), overlap={"ports": 0.5}),
        {"id": [1, 2, 3]},
        {"id": [1, 3]},
        "66.7 % of the keys are also in ports (allowed 50 %)",
    ),
}
OPTIONS |= {key: {"others": {"ports": PORTS}.__getitem__} for key in ("foreign_key_missing", "split_overlap")}
OPTIONS["schema_unknown_environment"] = {"environment": "serving"}
GOOD_OPTIONS = {"schema_unknown_environment": {"environment": "training"}}


# What the gate says for itself, not a schema: tests/test_review.py raises these.
BY_THE_GATE = {"comparator_missing_reference", "review_needed"}


# What needs rows of other versions or datasets, or bytes that are no text: tests/validation/test_joint_checks.py.
OF_SEVERAL = {
    "concept_drift",
    "correlation_change",
    "invalid_utf8",
    "multivariate_drift",
    "precision_lost",
    "prediction_shift",
    "skew",
    "trend",
}


# What checks in user code find; see test_user_checks.py.
BY_CODE = {"user_check_failed", "user_check_broken"}


# What transforms make of rows; see test_transform_checks.py.
OF_TRANSFORMS = {
    "clip_rate_high",
    "impute_rate_high",
    "oov_rate_high",
    "out_of_bucket",
    "transform_schema_mismatch",
    "transform_skew",
}


def test_every_code_has_a_case():
    assert set(CASES) | BY_THE_GATE | OF_SEVERAL | BY_CODE | OF_TRANSFORMS == set(CODES)
    said = (Path(__file__).parent / "test_joint_checks.py").read_text(encoding="utf-8")
    assert [code for code in OF_SEVERAL if f'"{code}"' not in said] == []


@pytest.mark.parametrize("code", CASES)
def test_data_that_deserves_a_code_raises_it_alone(code):
    schema, bad, _, message = CASES[code]
    report = judge(pa.table(bad), schema, code)
    anomaly = only(report)
    assert anomaly.code == code
    assert anomaly.message.startswith(message)
    assert report.passed == (anomaly.severity is not Severity.ERROR)
    assert anomaly.severity == CODES[code].severity


@pytest.mark.parametrize("code", CASES)
def test_sound_data_raises_nothing(code):
    schema, _, good, _ = CASES[code]
    if good is None:
        pytest.skip("what is wrong is the schema, or this release: no data is sound")
    options = GOOD_OPTIONS.get(code, OPTIONS.get(code, {}))
    assert validate(TableSubject(pa.table(good), "trial@2"), schema, Surroundings(**options)).anomalies == ()


def test_rules_on_what_is_there_are_judged_and_said_no_more_of():
    # What must not raise schema_invalid or stats_unavailable.
    schema = DataSchema(columns={"x": ColumnSchema(type="int64")}, rules=(RowRule(expr="x > 0"),))
    assert judge(pa.table({"x": [1]}), schema).anomalies == ()


@pytest.mark.parametrize("code", CASES)
def test_accepting_the_fix_makes_a_schema_that_passes(code):
    schema, bad, _, _ = CASES[code]
    table = pa.table(bad)
    report = judge(table, schema, code)
    child = schema.accept(report.anomalies, reason="seen")
    if report.anomalies[0].fix is None:
        assert child is schema
        return
    assert child.parent == schema.id
    assert child.provenance["reason"] == "seen"
    assert DataSchema.from_yaml(child.to_yaml()) == child
    again = judge(table, child, code)
    assert not [each for each in again.anomalies if each.code != "drift_untestable"], again.to_text()


@pytest.mark.parametrize("code", CASES)
def test_a_severity_of_off_silences_a_code(code):
    schema, bad, _, _ = CASES[code]
    silent = DataSchema.from_dict({**schema.to_dict(), "severity": {code: "off"}})
    assert judge(pa.table(bad), silent, code).anomalies == ()


@pytest.mark.parametrize("code", CASES)
def test_reports_travel_as_plain_data(code):
    schema, bad, _, _ = CASES[code]
    report = judge(pa.table(bad), schema, code)
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    back = Report.from_dict(plain)
    assert back.to_dict() == json.loads(json.dumps(report.to_dict()))
    assert back.passed == report.passed
    assert plain["passed"] == report.passed


def test_a_columns_own_severity_goes_before_the_datasets():
    schema = DataSchema(
        columns={
            "x": ColumnSchema(type="int64", domain=NumericDomain(min=0), severity={"below_min": Severity.WARN}),
        },
        severity={"below_min": Severity.OFF},
    )
    report = judge(pa.table({"x": [-1]}), schema)
    assert report.passed
    assert only(report).severity is Severity.WARN


def test_a_rules_own_severity_goes_before_that_of_its_code():
    rules = (RowRule(expr="x > 5", severity="info", name="soft"), RowRule(expr="x > 6", name="hard"))
    found = judge(pa.table({"x": [1]}), dataset(rules=rules)).anomalies
    assert {each.message.split()[0]: str(each.severity) for each in found} == {"soft": "info", "hard": "error"}


def test_example_rows_name_position_key_and_value_and_are_at_most_ten():
    columns = {"id": ColumnSchema(type="string"), "x": ColumnSchema(type="int64", domain=NumericDomain(min=0))}
    table = pa.table({"id": [f"k{i}" for i in range(50)], "x": [-i if i % 2 else i for i in range(50)]})
    batches = pa.concat_tables([table.slice(0, 20), table.slice(20)])
    anomaly = only(judge(batches, DataSchema(columns=columns, keys=("id",))))
    assert anomaly.count == 25
    assert anomaly.fraction == 0.5
    assert len(anomaly.example_rows) == 10
    assert anomaly.example_rows[1] == {"row": 3, "key": {"id": "k3"}, "value": -3}
    table_positions = [row["row"] for row in anomaly.example_rows]
    assert table_positions == list(range(1, 20, 2))


def test_a_declared_widening_is_no_mismatch_and_is_still_checked():
    schema = column(type="int64", coerce_from=("int32",), domain=NumericDomain(min=0))
    assert judge(pa.table({"x": pa.array([1], pa.int32())}), schema).passed
    assert only(judge(pa.table({"x": pa.array([-1], pa.int32())}), schema)).code == "below_min"
    fixed = column(type="int64").accept(
        judge(pa.table({"x": pa.array([1], pa.int32())}), column(type="int64")).anomalies
    )
    assert fixed.columns["x"].coerce_from == ("int32",)
    assert fixed.version == "1.1.0"


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())], ids=str)
def test_every_layout_of_text_is_text(kind):
    schema = column(type="string", domain=CategoryDomain(values=("a",)))
    assert judge(pa.table({"x": pa.array(["a"], kind)}), schema).passed
    bad = only(judge(pa.table({"x": pa.array(["b"], kind)}), schema))
    assert bad.example_rows[0]["value"] == "b"


def test_a_missing_column_raises_nothing_but_its_absence():
    schema = DataSchema(
        columns={"x": ColumnSchema(type="int64"), "y": ColumnSchema(type="int64", nullable=False)}, keys=("x", "y")
    )
    assert only(judge(pa.table({"x": [1, 1]}), schema)).code == "column_missing"


def test_a_column_that_is_not_yet_or_no_longer_required_may_be_absent():
    for stage in (Stage.PLANNED, Stage.DEPRECATED):
        schema = DataSchema(columns={"x": ColumnSchema(type="int64"), "y": ColumnSchema(type="int64", stage=stage)})
        assert judge(pa.table({"x": [1]}), schema).anomalies == ()


def test_one_null_fails_a_column_that_is_not_nullable():
    report = judge(pa.table({"x": [1] * 999 + [None]}), column(type="int64", nullable=False))
    assert only(report).example_rows[0]["row"] == 999


def test_keys_with_nulls_equal_no_other():
    schema = DataSchema(columns={"x": ColumnSchema(type="int64")}, keys=("x",))
    assert judge(pa.table({"x": [1, None, None]}), schema).passed


def test_limits_are_exact_for_great_integers():
    schema = column(type="int64", domain=NumericDomain(max=2**60))
    assert only(judge(pa.table({"x": [2**60, 2**60 + 1]}), schema)).count == 1


def test_limits_beyond_the_type_hold_all_or_none():
    table = pa.table({"x": pa.array([1, 2], pa.uint64())})
    assert judge(table, column(type="uint64", domain=NumericDomain(min=-5))).passed
    assert only(judge(table, column(type="uint64", domain=NumericDomain(max=-5)))).count == 2


def test_infinity_lies_above_any_limit():
    anomaly = only(judge(pa.table({"x": [1.0, float("inf")]}), column(type="double", domain=NumericDomain(max=5))))
    assert anomaly.observed == "inf"
    json.dumps(anomaly.to_dict(), allow_nan=False)


def test_categories_beyond_exact_counts_are_counted_in_the_rows():
    values = [f"v{i}" for i in range(12_000)] + ["a"] * 5
    schema = column(type="string", domain=CategoryDomain(values=("a",)))
    anomaly = only(judge(pa.table({"x": values}), schema))
    assert anomaly.count == 12_000
    child = schema.accept([anomaly])
    assert judge(pa.table({"x": values}), child).passed


def test_failures_are_raised_on_request_only():
    report = judge(pa.table({"x": ["<a>"]}), column(type="int64"))
    with pytest.raises(ValidationFailedError, match=r"trial@2 did not pass: error: x: type string") as caught:
        report.raise_for_failures()
    assert caught.value.exit_code == 1
    judge(pa.table({"x": [1]}), column(type="int64")).raise_for_failures()


def test_reports_read_well_and_are_escaped():
    schema = column(type="string", domain=CategoryDomain(values=("a",)))
    report = judge(pa.table({"x": ["<script>"]}), schema)
    assert repr(report) == "Report(trial@2: failed (1 error))"
    assert "<script>" not in report._repr_html_()
    assert "rows 0 (<script>)" in report.to_text()
    assert list(report.by_code()) == ["value_outside_domain"]


def test_the_clock_is_the_callers():
    report = validate(
        TableSubject(pa.table({"x": [1]}), "t"), column(type="int64"), Surroundings(created_at="2026-01-01T00:00:00Z")
    )
    assert report.created_at == "2026-01-01T00:00:00Z"
    assert judge(pa.table({"x": [1]}), column(type="int64")).created_at is None


def test_times_appear_in_examples_as_text():
    table = pa.table({"id": pa.array([dt.datetime(2013, 1, 1, tzinfo=dt.UTC)]), "x": [-1]})
    columns = {
        "id": ColumnSchema(type=str(table.schema.field("id").type)),
        "x": column(type="int64", domain=NumericDomain(min=0)).columns["x"],
    }
    anomaly = only(judge(table, DataSchema(columns=columns, keys=("id",))))
    assert anomaly.example_rows[0]["key"] == {"id": "2013-01-01 00:00:00+00:00"}


@pytest.mark.parametrize("name", ["timestamp_ns", "timestamp_us_far", "duration_ns", "date32_far", "time64_ns"])
def test_failing_values_that_python_does_not_have_are_shown_as_text(name):
    column = pa.chunked_array([ARRAYS[name], ARRAYS[name]])
    subject = TableSubject(pa.table({"x": column}), "t@1")
    required = ColumnSchema(type=str(column.type), nullable=False)
    report = validate(
        subject, DataSchema(columns={"x": required}, keys=("x",)), Surroundings(created_at="2026-01-01T00:00:00Z")
    )
    assert {"duplicate_key", "null_fraction_high"} & {anomaly.code for anomaly in report.anomalies}
    assert json.loads(json.dumps(report.to_dict())) == report.to_dict()
    shown = [example["x"] for example in subject.duplicate_keys(["x"], 5).examples]
    assert len(shown) == 2
    assert all(isinstance(value, str) for value in shown) or name != "timestamp_ns"
