"""Law: the kernel for tables and the kernel for single rows give the same, to the bit, whatever the values are."""

import datetime as dt
import json
import math
import zoneinfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.errors import SchemaMismatchError, UsageError
from foldstore.views.transforms.golden import same
from foldstore.views.transforms.transform import OPERATIONS, FittedTransform, Transform

naive = dt.datetime.fromisoformat
FLOATS = st.one_of(st.none(), st.floats(), st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0**53 + 2]))
INTS = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(-3, 3))
TEXTS = st.one_of(st.none(), st.sampled_from(["UA", "B6", "ua ", "", "e\u0301", "Straße"]), st.text(max_size=8))
TIMES = st.one_of(st.none(), st.datetimes(naive("0001-01-02"), naive("9999-12-30")))
LISTS = st.one_of(st.none(), st.lists(st.one_of(st.none(), st.sampled_from("abc")), max_size=3))
BOOLS = st.one_of(st.none(), st.booleans())

ROWS = st.lists(
    st.fixed_dictionaries({"f": FLOATS, "i": INTS, "t": TEXTS, "at": TIMES, "l": LISTS, "b": BOOLS, "y": BOOLS}),
    min_size=1,
    max_size=12,
)
SCHEMA = pa.schema(
    {
        "f": pa.float64(),
        "i": pa.int64(),
        "t": pa.string(),
        "at": pa.timestamp("us"),
        "l": pa.list_(pa.string()),
        "b": pa.bool_(),
        "y": pa.bool_(),
    }
)
CASES = [
    foldstore.Impute("f"),
    foldstore.Impute("f", method="mean", indicator=True),
    foldstore.Impute("i", method="mean"),
    foldstore.Impute("i", method="median", indicator=True),
    foldstore.Impute("t", method="mode"),
    foldstore.Impute("t", method="const", value="?"),
    foldstore.Impute("b", method="mode"),
    foldstore.Clip("f", low=-1.5, high=2),
    foldstore.Clip("f", quantiles=(0.1, 0.9)),
    foldstore.Clip("i", quantiles=(0.1, 0.9)),
    foldstore.Clip("i", high=2),
    foldstore.ZScore("f"),
    foldstore.ZScore("i"),
    foldstore.ZScore("f", robust=True),
    foldstore.MinMax("f"),
    foldstore.MinMax("i"),
    foldstore.Log("f"),
    foldstore.Log("f", function="log1p"),
    foldstore.Log("i", function="sqrt"),
    foldstore.Bucketize("f", edges=[-1.0, 0.0, 1.0]),
    foldstore.Bucketize("f", edges=[-1.0, 0.0, 1.0], side="left"),
    foldstore.Bucketize("i", quantiles=4),
    foldstore.Vocabulary("t"),
    foldstore.Vocabulary("t", top_k=1, oov_buckets=7),
    foldstore.Vocabulary("t", values=["UA", "B6"], oov_buckets=0),
    foldstore.Vocabulary("i", top_k=2),
    foldstore.Vocabulary("b"),
    foldstore.OneHot("t", top_k=2),
    foldstore.OneHot("t", values=["UA"], other=False, keep=True),
    foldstore.OneHot("l", values=["a", "b"]),
    foldstore.OneHot("b"),
    foldstore.HashBucket("t", buckets=17),
    foldstore.HashBucket("i", buckets=5, seed=3),
    foldstore.CountEncode("t"),
    foldstore.CountEncode("i", share=True),
    foldstore.TargetEncode("t", target="y"),
    foldstore.TargetEncode("b", target="y", smoothing=0),
    foldstore.DateParts("at", parts=["year", "quarter", "month", "week", "day", "weekday", "hour"]),
    foldstore.DateParts("at", parts=["month", "hour"], timezone="America/New_York", cyclical=True),
    foldstore.DateParts("at", parts=["day_of_year", "minute"], timezone="Asia/Kathmandu", keep=True),
    foldstore.NormalizeText("t", steps=["nfkc", "casefold", "collapse"], mapping={"ua": "United"}),
    foldstore.Compute("r", "f / i"),
    foldstore.Compute("r", "(f - i) * 2 if t == 'UA' or f > 1 else coalesce(log(i), -f)"),
    foldstore.Compute("r", "min(f, i, 3) + max(abs(f), floor(f)) - ceil(f)"),
    foldstore.Compute("r", "not (b and f < 0) or is_null(i)"),
    foldstore.Compute("r", "sqrt(f) + exp(i / 4)"),
    foldstore.Drop("t"),
]


@pytest.mark.parametrize("operation", CASES, ids=lambda each: "-".join(str(v) for v in each.to_dict().values())[:60])
@settings(max_examples=8, deadline=None)
@given(train=ROWS, rows=ROWS)
def test_both_kernels_give_the_same(operation, train, rows):
    train, rows = (pa.Table.from_pylist(each, schema=SCHEMA) for each in (train, rows))
    try:
        fitted = Transform("one", [operation]).fit(train)
    except UsageError as error:
        assert error.code == "nothing-to-learn"  # noqa: PT017  # some rows teach nothing
        return
    assert fitted.compare_kernels(rows) == []
    assert fitted.check_golden() == []
    again = FittedTransform.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert again.hash == fitted.hash
    ours, theirs = fitted.apply(rows), again.apply(rows)
    assert ours.schema == theirs.schema
    assert all(
        same(x, y)
        for name in ours.column_names
        for x, y in zip(ours[name].to_pylist(), theirs[name].to_pylist(), strict=True)
        if name != "l"
    )


@pytest.mark.parametrize("operation", CASES, ids=lambda each: each.OP)
def test_types_are_known_before_anything_runs(operation):
    rows = pa.Table.from_pylist(
        [{"f": 1.0, "i": 2, "t": "UA", "at": naive("2024-05-01"), "l": ["a"], "b": True, "y": True}] * 20,
        schema=SCHEMA,
    )
    fitted = Transform("one", [operation]).fit(rows)
    kinds = fitted.output_kinds({field.name: field.type for field in SCHEMA})
    assert list(kinds.items()) == [(field.name, field.type) for field in fitted.apply(rows).schema]


def test_every_operation_is_tried():
    assert {each.OP for each in CASES} == set(OPERATIONS)


@pytest.mark.parametrize("operation", CASES, ids=lambda each: each.OP)
def test_a_definition_is_read_as_it_was_written(operation):
    transform = Transform("one", [operation])
    assert Transform.from_dict(json.loads(json.dumps(transform.to_dict()))) == transform


def fit(operation, **columns):
    return Transform("one", [operation]).fit(pa.table(columns))


def test_zscore_is_what_numpy_says():
    values = np.random.default_rng(1).normal(40, 7, 5_000)
    fitted = fit(foldstore.ZScore("x"), x=values)
    wanted = (values - values.mean()) / values.std(ddof=1)
    np.testing.assert_allclose(fitted.apply(pa.table({"x": values}))["x"], wanted, rtol=1e-12, atol=1e-13)


def test_a_robust_zscore_of_a_normal_column_is_near_the_plain_one():
    values = np.random.default_rng(1).normal(40, 7, 20_001)
    state = fit(foldstore.ZScore("x", robust=True), x=values).states[0]
    assert state["centre"] == np.median(values)
    assert abs(1 / state["factor"] - 7) < 0.2


def test_what_does_not_vary_becomes_nothing():
    for operation in (foldstore.ZScore("x"), foldstore.MinMax("x"), foldstore.ZScore("x", robust=True)):
        assert fit(operation, x=[3.0, 3.0]).apply_row({"x": 3.0}) == {"x": 0.0}


def test_medians_and_quantiles_are_values_that_occur():
    whole = [2**60 + 1, 2**60 + 3, 2**60 + 5, None]
    assert fit(foldstore.Impute("x"), x=whole).states[0] == {"value": 2**60 + 3}
    assert fit(foldstore.Clip("x", quantiles=(0.0, 0.5)), x=whole).states[0] == {"low": 2**60 + 1, "high": 2**60 + 3}


def test_a_vocabulary_counts_first_and_sorts_equals():
    fitted = fit(foldstore.Vocabulary("x", oov_buckets=2), x=["b", "a", "c", "c", None])
    assert fitted.states[0] == {"values": ["c", "a", "b"]}
    out = fitted.apply(pa.table({"x": ["a", "b", "c", None, "never", "seen"]}))["x"].to_pylist()
    assert out[:4] == [1, 2, 0, None]
    assert set(out[4:]) <= {3, 4}


def test_hashes_are_pinned_for_good():
    fitted = fit(foldstore.HashBucket("x", buckets=1000), x=["UA"])
    assert [fitted.apply_row({"x": x})["x"] for x in ("UA", "B6", "ü", None)] == [898, 28, 335, None]


def test_quantile_bins_hold_like_numbers_of_rows():
    values = np.random.default_rng(2).permutation(10_000).astype(float)
    fitted = fit(foldstore.Bucketize("x", quantiles=4), x=values)
    sizes = np.bincount(fitted.apply(pa.table({"x": values}))["x"].to_numpy())
    assert sizes.min() >= 2_499
    assert sizes.max() <= 2_501


def test_edges_belong_to_the_side_that_is_said():
    right = fit(foldstore.Bucketize("x", edges=[0, 10]), x=[1.0])
    left = fit(foldstore.Bucketize("x", edges=[0, 10], side="left"), x=[1.0])
    assert [right.apply_row({"x": x})["x"] for x in (-1.0, 0.0, 9.0, 10.0, math.nan, None)] == [0, 1, 1, 2, None, None]
    assert [left.apply_row({"x": x})["x"] for x in (-1.0, 0.0, 9.0, 10.0)] == [0, 0, 1, 1]


def test_parts_of_times_are_those_of_the_place():
    at = dt.datetime(2024, 3, 10, 6, 59, tzinfo=dt.UTC)  # a minute before New York's clocks go forward
    parts = ["hour", "minute", "weekday", "week", "day_of_year"]
    fitted = fit(foldstore.DateParts("at", parts=parts, timezone="America/New_York"), at=[at])
    assert list(fitted.apply_row({"at": at}).values()) == [1, 59, 6, 10, 70]
    assert fitted.apply_row({"at": at + dt.timedelta(minutes=1)})["at_hour"] == 3


def test_midnight_lies_beside_the_last_hour():
    at = [naive(f"2024-01-01T{hour:02}") for hour in range(24)]
    rows = fit(foldstore.DateParts("at", parts=["hour"], cyclical=True), at=at).apply(pa.table({"at": at})).to_pylist()
    points = [tuple(row.values()) for row in rows]
    steps = [math.dist(a, b) for a, b in zip(points, [*points[1:], points[0]], strict=True)]
    assert max(steps) - min(steps) < 1e-12


def test_operations_follow_each_other():
    train = pa.table({"x": [1.0, None, 3.0, 100.0]})
    steps = [foldstore.Impute("x"), foldstore.Clip("x", high=5), foldstore.MinMax("x")]
    fitted = Transform("chain", steps).fit(train)
    assert fitted.states == ({"value": 3.0}, {"low": None, "high": 5.0}, {"low": 1.0, "factor": 0.25})
    assert fitted.apply(train)["x"].to_pylist() == [0.0, 0.5, 0.5, 1.0]
    assert [(tally.operation.OP, tally.count) for tally in fitted.fitted_counts()] == [
        ("impute", 1),
        ("clip", 1),
        ("minmax", 0),
    ]


def test_other_columns_pass():
    fitted = fit(foldstore.MinMax("x"), x=[0.0, 1.0])
    assert fitted.apply(pa.table({"id": [7], "x": [0.5]})).to_pylist() == [{"id": 7, "x": 0.5}]
    assert fitted.apply_row({"id": 7, "x": 0.5}) == {"id": 7, "x": 0.5}


def test_served_rows_are_counted():
    fitted = fit(foldstore.Clip("x", high=1.0), x=[0.0, 1.0])
    for x in (0.5, 2.0, None, 7.0):
        fitted.serve({"x": x})
    fitted.note_served(fitted.apply_counted(pa.table({"x": [9.0, 0.1]}))[1])
    (tally,) = fitted.served_counts()
    assert (tally.count, tally.rows, tally.share) == (3, 6, 0.5)


def test_dictionaries_and_chunks_are_read_as_their_values():
    fitted = fit(foldstore.Vocabulary("x"), x=["a", "b", "b"])
    encoded = pa.table(
        {"x": pa.chunked_array([pa.array(["b"]).dictionary_encode(), pa.array(["a"]).dictionary_encode()])}
    )
    assert fitted.apply(encoded)["x"].to_pylist() == [0, 1]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"y": [1.0]}, "needs a column 'x'"),
        ({"x": ["1"]}, "not string"),
        ({"x": [True]}, "not bool"),
    ],
)
def test_columns_that_do_not_fit_are_refused(rows, message):
    fitted = fit(foldstore.MinMax("x"), x=[0.0, 1.0])
    with pytest.raises(SchemaMismatchError, match=message) as caught:
        fitted.apply(pa.table(rows))
    assert caught.value.code == "transform-schema-mismatch"


def test_whole_numbers_where_floats_were_are_taken_and_no_others():
    fitted = fit(foldstore.MinMax("x"), x=[0.0, 1.0])
    assert fitted.apply(pa.table({"x": [1]}))["x"].to_pylist() == [1.0]
    whole = fit(foldstore.MinMax("x"), x=[0, 1])
    with pytest.raises(SchemaMismatchError, match="fitted on"):
        whole.apply(pa.table({"x": [0.5]}))


@pytest.mark.parametrize(
    "make",
    [
        lambda: foldstore.Clip("x"),
        lambda: foldstore.Clip("x", low=3, high=1),
        lambda: foldstore.Clip("x", low=math.nan),
        lambda: foldstore.Clip("x", quantiles=(0.9, 0.1)),
        lambda: foldstore.Impute("x", method="const"),
        lambda: foldstore.Impute("x", method="average"),
        lambda: foldstore.Impute("x", max_rate=2),
        lambda: foldstore.Bucketize("x", edges=[1, 1]),
        lambda: foldstore.Bucketize("x", quantiles=1),
        lambda: foldstore.Vocabulary("x", top_k=0),
        lambda: foldstore.Vocabulary("x", values=["a", "a"]),
        lambda: foldstore.HashBucket("x", buckets=0),
        lambda: foldstore.TargetEncode("x"),
        lambda: foldstore.TargetEncode("x", target="x"),
        lambda: foldstore.TargetEncode("x", target="y", folds=1),
        lambda: foldstore.DateParts("x", parts=["fortnight"]),
        lambda: foldstore.DateParts("x", timezone="Mars/Olympus"),
        lambda: foldstore.DateParts("x", parts=["year"], cyclical=True),
        lambda: foldstore.NormalizeText("x", steps=["shout"]),
        lambda: foldstore.Log("x", function="log7"),
        lambda: Transform("t", []),
        lambda: Transform("t", ["impute"]),
        lambda: Transform.from_dict({"name": "t", "operations": [{"op": "clip", "colunm": "x"}]}),
        lambda: Transform.from_dict({"name": "t", "operations": [{"op": "clipp", "column": "x"}]}),
        lambda: Transform.from_dict({"name": "t", "operations": [{"op": "clip"}]}),
    ],
)
def test_definitions_that_mean_nothing_are_refused(make):
    with pytest.raises(UsageError) as caught:
        make()
    assert caught.value.hint


@pytest.mark.parametrize(
    "operation",
    [foldstore.Impute("x"), foldstore.Clip("x", quantiles=(0, 1)), foldstore.ZScore("x"), foldstore.MinMax("x")],
)
@pytest.mark.parametrize("rows", [[None, None], [math.nan], [math.inf]])
def test_rows_that_teach_nothing_are_refused(operation, rows):
    with pytest.raises(UsageError) as caught:
        Transform("t", [operation]).fit(pa.table({"x": pa.array(rows, pa.float64())}))
    assert caught.value.code == "nothing-to-learn"


def test_a_second_column_of_a_name_is_refused():
    with pytest.raises(SchemaMismatchError, match="second column 'x_missing'"):
        fit(foldstore.Impute("x", indicator=True), x=[1.0, None], x_missing=[1, 2])


def test_a_golden_sample_that_was_tampered_with_is_found():
    fitted = fit(foldstore.MinMax("x"), x=[0.0, 1.0])
    data = json.loads(json.dumps(fitted.to_dict()))
    data["states"][0]["factor"] = 2.0
    (first, *_) = FittedTransform.from_dict(data).check_golden()
    assert first.column == "x"
    assert "was fitted" in first.between


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_the_last_second_of_pythons_years_is_read_as_an_instant(unit, zone):
    ticks = 253_402_300_799 * {"s": 1, "ms": 10**3, "us": 10**6}[unit]
    kind = pa.timestamp(unit, zone)
    rows = pa.table({"at": pa.array([ticks - 86_400 * (ticks // 253_402_300_799), ticks], pa.int64()).view(kind)})
    fitted = Transform("t", [foldstore.DateParts("at", parts=["year", "hour"], timezone="Asia/Kolkata")]).fit(rows)
    at = dt.datetime(9999, 12, 31, 18, 59, 59, tzinfo=zoneinfo.ZoneInfo("America/New_York"))
    assert fitted.apply_row({"at": at}) == {"at_year": 10_000, "at_hour": 5}
    assert fitted.apply(rows)["at_hour"].to_pylist() == [5, 5]
