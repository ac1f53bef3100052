"""Columns that break kernels: narrow floats, times at the ends of calendars, types that no operation is made for."""

import datetime as dt
import json
import math

import numpy as np
import pyarrow as pa
import pytest

import foldstore
from foldstore.datastore.canonical import canonical_json
from foldstore.errors import FoldstoreError, SchemaMismatchError, UsageError
from foldstore.views.transforms.times import PARTS
from foldstore.views.transforms.transform import FittedTransform, Transform

FLOATS = [0.1, -0.0, 1 / 3, None, math.nan, math.inf, -math.inf, math.inf, 7.0]
SECONDS = [-62135596800, 253402300799, 0, None, -2717650800, 4_086_849_600, 10**12, -(10**12), 10**14]
COLUMNS = {
    "double": pa.array(FLOATS),
    "float": pa.array(FLOATS, pa.float32()),
    "mild float": pa.array([0.1, 0.2, 0.7, None], pa.float32()),
    "half": pa.array([0.1, None, 3.3, math.nan, 9.0], pa.float16()),
    "unsigned": pa.array([0, 2**64 - 1, 2**64 - 2, None], pa.uint64()),
    "tiny": pa.array([-128, 127, None], pa.int8()),
    "one": pa.array([7]),
    "all null": pa.array([None, None], pa.float64()),
    "null": pa.nulls(3),
    "bool": pa.array([True, None, False]),
    "text": pa.array(["a", "", None, "other", "e\u0301", "\x00", "A ", "None"]),
    "large text": pa.array(["a", None], pa.large_string()),
    "text view": pa.array(["a", None], pa.string_view()),
    "dictionary": pa.array(["a", "b", None]).dictionary_encode(),
    "list": pa.array([["a", None], [], None]),
    "list of floats": pa.array([[1.0, math.nan], None]),
    "struct": pa.array([{"x": 1}, None]),
    "binary": pa.array([b"\xff", None]),
    "decimal": pa.array([1, None], pa.decimal128(10, 2)),
    "seconds": pa.array(SECONDS, pa.int64()).cast(pa.timestamp("s")),
    "seconds in a zone": pa.array(SECONDS[:6], pa.int64()).cast(pa.timestamp("s", "America/New_York")),
    "nanoseconds": pa.array([0, -1, 999, 2**63 - 1, 1 - 2**63, None], pa.int64()).cast(pa.timestamp("ns", "UTC")),
    "microseconds": pa.array([2**63 - 1, -(2**63), None], pa.int64()).cast(pa.timestamp("us")),
    "dates": pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31), None]),
    "far dates": pa.array([10**7, 2**31 - 1, -(2**31), None], pa.int32()).cast(pa.date32()),
}
DAYS = [part for part in PARTS if part not in ("year", "hour", "minute")]
OPERATIONS = [
    *(foldstore.Impute("c", method=method, indicator=True) for method in ("median", "mean", "mode")),
    *(foldstore.Impute("c", method="const", value=value) for value in (0, 0.1, "x", math.inf, 1e39)),
    foldstore.Clip("c", quantiles=(0.1, 0.9)),
    foldstore.Clip("c", low=0.1, high=0.7),
    foldstore.Clip("c", low=0, high=2**65),
    foldstore.ZScore("c"),
    foldstore.MinMax("c"),
    foldstore.Log("c", function="log1p"),
    foldstore.Bucketize("c", quantiles=3),
    foldstore.Vocabulary("c"),
    foldstore.OneHot("c", top_k=2),
    foldstore.HashBucket("c"),
    foldstore.CountEncode("c", share=True),
    foldstore.TargetEncode("c", target="y"),
    foldstore.TargetEncode("c", target="huge"),
    foldstore.DateParts("c", parts=list(PARTS), timezone="Asia/Kolkata", keep=True),
    foldstore.DateParts("c", parts=list(PARTS), timezone="Africa/Monrovia"),
    foldstore.DateParts("c", parts=DAYS, cyclical=True),
    foldstore.NormalizeText("c", steps=["casefold"]),
    foldstore.Compute("c", "c + 1"),
    foldstore.Compute("r", "1 if is_null(c) else 0"),
    foldstore.Compute("r", "1"),
    foldstore.Drop("c"),
]


def table(column):
    size = len(column)
    return pa.table({"c": column, "y": np.arange(size) * 0.37, "huge": [1e308] * size})


def try_fit(operation, rows):
    try:
        return Transform("one", [operation]).fit(rows)
    except FoldstoreError as error:
        return error


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: "-".join(str(v) for v in each.to_dict().values()))
def test_a_column_gives_a_result_or_a_clear_error(operation):
    worked = 0
    for name, column in COLUMNS.items():
        rows = table(column)
        fitted = try_fit(operation, rows)
        if isinstance(fitted, FoldstoreError):
            assert fitted.hint, name
            continue
        again = FittedTransform.from_dict(json.loads(canonical_json(fitted.to_dict())))
        assert again.check_golden() == [], name
        assert again.compare_kernels(rows) == [], name
        made = again.apply(rows)
        assert again.output_kinds(dict(zip(rows.schema.names, rows.schema.types, strict=True))) == {
            field.name: field.type for field in made.schema
        }, name
        worked += 1
    assert worked or operation.to_dict().get("value") in (math.inf, "x") or getattr(operation, "target", "") == "huge"


def fit(operation, **columns):
    return Transform("one", [operation]).fit(pa.table(columns))


def test_a_mean_is_rounded_as_the_column_is():
    fitted = fit(foldstore.Impute("x", method="mean"), x=COLUMNS["mild float"])
    assert fitted.apply_row({"x": None}) == fitted.apply(pa.table({"x": pa.array([None], pa.float32())})).to_pylist()[0]


def test_the_most_frequent_number_is_a_finite_one():
    assert fit(foldstore.Impute("x", method="mode"), x=[math.inf, math.inf, 2.0, None]).states == ({"value": 2.0},)


@pytest.mark.parametrize("values", [[1, 1.0], [None, 1], [1, "a"]])
@pytest.mark.parametrize("kind", [foldstore.Vocabulary, foldstore.OneHot])
def test_given_values_are_distinct_ones_of_the_columns_type(kind, values):
    with pytest.raises(UsageError, match="distinct"):
        fit(kind("x", values=values), x=[1, 2])


def test_what_cannot_be_kept_is_refused_before_it_is():
    with pytest.raises(SchemaMismatchError, match="cannot work on 'c' of type struct"):
        fit(foldstore.Drop("c"), c=COLUMNS["struct"])


def test_a_target_beyond_a_double_teaches_nothing():
    with pytest.raises(UsageError, match="beyond a double"):
        fit(foldstore.TargetEncode("c", target="y"), c=["a", "b"], y=[1e308, 1e308])


def test_the_last_nanoseconds_do_not_run_over():
    at = pa.array([2**63 - 1], pa.int64()).cast(pa.timestamp("ns"))
    fitted = fit(foldstore.DateParts("at", parts=["year", "day"], timezone="Asia/Kolkata"), at=at)
    assert fitted.apply(pa.table({"at": at})).to_pylist() == [{"at_year": 2262, "at_day": 12}]


def test_times_beyond_the_calendar_have_no_parts():
    at = pa.array([0, 10**14], pa.int64()).cast(pa.timestamp("s"))
    fitted = fit(foldstore.DateParts("at", parts=["day_of_year"]), at=at)
    assert fitted.apply(pa.table({"at": at}))["at_day_of_year"].to_pylist() == [1, None]


def test_a_target_that_is_worked_on_first_means_the_same_out_of_fold():
    # Both ways learn from the scaled target: nearly the same means, not those of the raw one.
    rows = pa.table({"c": ["a", "b"] * 500, "y": [1_000.0, 3_000.0] * 500})
    fitted = Transform("t", [foldstore.ZScore("y"), foldstore.TargetEncode("c", target="y")]).fit(rows)
    inside, outside = (fitted.apply(rows, out_of_fold=each)["c"].to_numpy() for each in (False, True))
    assert np.abs(inside - outside).max() < 0.05


def test_a_column_that_is_made_need_not_come():
    operations = [foldstore.Compute("w", "x * 2"), foldstore.ZScore("w")]
    fitted = Transform("t", operations).fit(pa.table({"x": [1.0, 2.0], "w": [5.0, 6.0]}))
    assert fitted.inputs == ("x",)
    assert fitted.apply(pa.table({"x": [1.5]}))["w"].to_pylist() == [0.0]


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ({"op": "bucketize", "edges": [1, 10**400]}, "the edges"),
        ({"op": "bucketize", "edges": [1, "a"]}, "the edges"),
        ({"op": "clip", "high": 10**400}, "no finite number"),
        ({"op": "dateparts", "parts": [["hour"]]}, "no parts"),
        ({"op": "text", "steps": [["nfc"]]}, "no steps"),
        ({"op": "zscore", "robust": "no"}, "robust is 'no'"),
        ({"op": "impute", "indicator": 1}, "indicator is 1"),
        ({"op": "target", "target": "y", "folds": 10**9}, "too great"),
        ({"op": "target", "target": "y", "seed": 10**5000}, "too great"),
    ],
    ids=lambda each: each if isinstance(each, str) else each["op"],
)
def test_a_definition_that_means_nothing_says_what_is_wrong(operation, message):
    with pytest.raises(UsageError, match=message):
        Transform.from_dict({"name": "t", "operations": [{"column": "x", **operation}]})


@pytest.mark.parametrize("extra", [{"format": 9}, {"operations": []}])
def test_a_definition_has_a_name_and_operations_alone(extra):
    with pytest.raises(UsageError):
        Transform.from_dict({"name": "t", "operations": [{"op": "zscore", "column": "x"}]} | extra)


def test_a_whole_number_for_a_column_of_floats_is_one_of_them():
    fitted = fit(foldstore.Impute("x"), x=[1.0, 2.0])
    assert type(fitted.apply_row({"x": 5})["x"]) is float


@pytest.mark.parametrize(
    ("operation", "value"),
    [(foldstore.ZScore("x"), "abc"), (foldstore.Clip("x", low=0), [1]), (foldstore.Bucketize("x", edges=[1]), {})],
)
def test_a_value_of_another_type_is_named(operation, value):
    with pytest.raises(SchemaMismatchError, match="does not fit"):
        fit(operation, x=[1.0, 2.0]).apply_row({"x": value})
