"""Accepting what a report proposes gives a schema that can be read, and that asks for all that it asked besides."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from foldstore.errors import InvalidSchemaError, UsageError
from foldstore.validation.anomaly import choose_anomalies
from foldstore.validation.check import drift_between, validate
from foldstore.validation.column_bounds import Bounds, DriftPolicy, Valency
from foldstore.validation.column_domains import EmbeddingDomain, SharedDomain
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.dataset_rules import ForeignKey, RowRule, Segment
from foldstore.validation.drift.verdict import DriftVerdict
from foldstore.validation.inference import infer_schema
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import TableSubject

INT, MOMENT = ColumnSchema(type="int64"), ColumnSchema(type="timestamp[us]")
ROLES = ["label", "prediction", "weight", "group"]


def accept(schema, **rows):
    return schema.accept(validate(TableSubject(pa.table(rows), "t"), schema).anomalies)


@pytest.mark.parametrize(
    "named",
    [
        *({role: "y"} for role in ROLES),
        {"other_keys": (("x", "y"), ("y",))},
        {"column_order": ("y", "x")},
        {"refs": (ForeignKey(columns=("y",), dataset="d"),)},
        {"segments": (Segment(name="by_y", by=("y",)),)},
    ],
)
def test_a_missing_column_leaves_nothing_that_names_it(named):
    schema = DataSchema(columns={"x": INT, "y": INT}, **named)
    without = DataSchema(columns={"x": INT})
    for child in (accept(schema, x=[1]), schema.without_column("y")):
        assert child.diff(without.with_changes(column_order=child.column_order)) == []
        assert DataSchema.from_json(child.to_json()).id == child.id


def test_a_key_is_never_narrowed_by_accepting_that_a_column_of_it_is_missing():
    schema = DataSchema(columns={"x": INT, "y": INT}, keys=("x", "y"))
    (missing,) = validate(TableSubject(pa.table({"x": [1, 1]}), "t"), schema).anomalies
    assert (missing.code, missing.column, missing.fix) == ("column_missing", "y", None)
    assert schema.accept([missing]) is schema
    assert schema.without_column("y").keys == ()
    for name in ("column_missing", "column_missing:y", "all"):
        with pytest.raises(UsageError, match=f"Nothing that '{name}' names proposes a change"):
            choose_anomalies([missing], [name])
    other = replace(missing, column="z", fix=({"op": "remove_column", "column": "z"},))
    assert choose_anomalies([missing, other], ["column_missing"]) == [missing, other]


def test_without_its_time_column_nothing_is_fresh_and_no_period_has_rows():
    schema = DataSchema(columns={"x": INT, "t": MOMENT}, time_column="t", freshness="1h", time_step="1h")
    for child in (accept(schema, x=[1]), schema.without_column("t")):
        assert (child.time_column, child.freshness, child.time_step) == (None, None, None)


def test_what_names_other_columns_stays():
    rules = {
        "other_keys": (("x",),),
        "refs": (ForeignKey(columns=("x",), dataset="d"),),
        "segments": (Segment(name="by_x", by=("x",)),),
    }
    schema = DataSchema(columns={"x": INT, "y": INT}, label="x", **rules)
    assert accept(schema, x=[1]).diff(DataSchema(columns={"x": INT}, label="x", **rules)) == []


def test_a_renamed_column_is_renamed_wherever_it_is_named():
    schema = DataSchema(
        columns={"zip_code": INT, "x": INT},
        group="zip_code",
        other_keys=(("x", "zip_code"),),
        refs=(ForeignKey(columns=("zip_code",), dataset="places"), ForeignKey(columns=("x",), dataset="d")),
        segments=(Segment(name="by_zip", by=("zip_code",)),),
    )
    child = accept(schema, x=[1], zip_codes=[2])
    assert (child.group, child.other_keys, child.segments[0].by) == (
        "zip_codes",
        (("x", "zip_codes"),),
        ("zip_codes",),
    )
    assert (child.refs[0].columns, child.refs[0].to) == (("zip_codes",), ("zip_code",))
    assert child.refs[1] == schema.refs[1]


DRAW = np.random.default_rng(0)
BEFORE = infer_schema(TableSubject(pa.table({"k": list("abcd") * 500, "x": DRAW.normal(size=2_000)}), "t").profile())
POLICY = DriftPolicy(tau_warn=0.05, tau_error=0.1, metric="psi", alpha=0.05)


def by_one_policy(policy):
    schema = BEFORE
    for name in BEFORE.columns:
        schema = schema.with_column(name, drift=None)
    return schema.with_changes(drift=policy)


def test_accepted_drift_leaves_the_rest_of_the_usual_policy_as_it_was():
    schema = by_one_policy(POLICY)
    moved = {"k": list("aaad") * 500, "x": pa.array(DRAW.normal(size=2_000) + 1, mask=np.arange(2_000) % 4 == 0)}
    report = validate(TableSubject(pa.table(moved), "t"), schema)
    only_drift = schema.accept(report.by_code()["drift"])
    for column in only_drift.columns.values():
        assert column.drift.to_dict().keys() == {"tau_warn", "tau_error", "metric", "alpha"}
        assert (column.drift.metric, column.drift.alpha) == ("psi", 0.05)
    again = {(each.code, each.column) for each in validate(TableSubject(pa.table(moved), "t"), only_drift).anomalies}
    assert ("missingness_drift", "x") in again
    assert not {code for code, _ in again} & {"drift"}
    both = schema.accept(report.anomalies).columns["x"].drift
    assert both.tau_warn > 0.05
    assert both.null_warn > 0.1
    assert both.metric == "psi"


def test_a_distribution_with_nothing_in_common_is_accepted_and_its_nulls_are_still_watched():
    schema = BEFORE
    rows = {"k": pa.array(["zz"] * 1_000 + [None] * 1_000), "x": DRAW.normal(size=2_000)}
    report = validate(TableSubject(pa.table(rows), "t"), schema)
    child = schema.accept(each for each in report.anomalies if each.code in ("drift", "missingness_drift"))
    assert "drift" not in validate(TableSubject(pa.table(rows), "t"), child).by_code()
    assert child.columns["k"].drift is not None


def test_an_order_that_categories_lack_is_not_asked_of_them():
    with pytest.raises(InvalidSchemaError, match="has categories"):
        BEFORE.with_column("k", drift=DriftPolicy(metric="ks"))
    with pytest.raises(InvalidSchemaError, match="has categories"):
        BEFORE.with_column("k", skew=DriftPolicy(metric="wasserstein"))
    moved = {"k": list("aaad") * 500, "x": DRAW.normal(size=2_000) + 1}
    found = validate(TableSubject(pa.table(moved), "t"), by_one_policy(DriftPolicy(metric="ks"))).drift
    assert {name: each.metric for name, each in found.columns.items()} == {"k": "js", "x": "ks"}


def test_two_cells_have_no_distance_to_move_over():
    before, after = (TableSubject(pa.table({"x": x}), "t") for x in ([0, 1] * 2_000, [1, 1, 1, 0] * 1_000))
    for metric in ("wasserstein", "ks", "js"):
        found = drift_between(before, after, policy=DriftPolicy(metric=metric)).columns["x"]
        assert found.verdict is DriftVerdict.ERROR
        assert found.metric == ("js" if metric == "wasserstein" else metric)
    with pytest.raises(InvalidSchemaError, match="two cells only"):
        infer_schema(before.profile()).with_column("x", drift=DriftPolicy(metric="wasserstein"))


def test_limits_above_one_are_for_metrics_that_go_there():
    assert DriftPolicy(metric="wasserstein", tau_warn=1.5, tau_error=2).tau_error == 2
    for metric in ("js", "ks", "tvd", "l_inf", "hellinger"):
        with pytest.raises(InvalidSchemaError):
            DriftPolicy(metric=metric, tau_warn=1.5, tau_error=2)
    with pytest.raises(InvalidSchemaError):
        DriftPolicy(metric="psi", tau_error=float("inf"))


def test_to_ask_a_rule_of_rows_in_place_of_values_inside_is_another_demand():
    schema = DataSchema(
        columns={"x": ColumnSchema(type="list<item: int64>")}, rules=(RowRule(expr="a > 0", each="x[]"),)
    )
    assert schema.with_changes(rules=(RowRule(expr="a > 0"),)).version == "2.0.0"


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("list<item: string>", {"domain": EmbeddingDomain(dim=2)}),
        ("list<item: struct<a: double>>", {"domain": EmbeddingDomain(dim=2)}),
        ("list<item: list<item: double>>", {"domain": EmbeddingDomain(dim=2)}),
        ("struct<list: double>", {"domain": EmbeddingDomain(dim=2)}),
        ("struct<list: int64>", {"valency": Valency(min=1)}),
        ("struct<a: list<item: int64>>", {"fixed_shape": (2,)}),
    ],
)
def test_vectors_and_lists_are_asked_of_nothing_else(kind, fields):
    with pytest.raises(InvalidSchemaError):
        ColumnSchema(type=kind, **fields)


@pytest.mark.parametrize(
    "kind",
    ["list<item: double>", "large_list<item: float not null>", "fixed_size_list<item: float>[3]",
     "list<element: decimal128(4, 2)>", "list_view<item: halffloat>", "list<item: int8>"],
)  # fmt: skip
def test_vectors_of_any_numbers_may_have_a_length(kind):
    assert ColumnSchema(type=kind, domain=EmbeddingDomain(dim=3, norm=(0, 1)))


def test_a_vector_of_nulls_has_no_length_within_limits():
    vectors = pa.array([[0.6, 0.8], [None, None], [0.6, None], None], pa.list_(pa.float64()))
    schema = DataSchema(
        columns={"v": ColumnSchema(type="list<item: double>", domain=EmbeddingDomain(dim=2, norm=(0.9, 1.1)))}
    )
    (found,) = validate(TableSubject(pa.table({"v": vectors}), "t"), schema).anomalies
    assert (found.code, found.count) == ("embedding_norm", 2)


def test_shared_values_are_of_the_type_of_each_column_that_shares_them():
    columns = {"n": ColumnSchema(type="int64", domain=SharedDomain(ref="words"))}
    with pytest.raises(InvalidSchemaError, match="'words' does not fit values of type int64"):
        DataSchema(columns=columns, domains={"words": ("a", "b")})


def test_keys_of_lists_are_said_to_be_not_compared():
    lists = ColumnSchema(type="list<item: int64>")
    rows = TableSubject(pa.table({"l": [[1], [1]], "x": [1, 1]}), "t")
    schema = DataSchema(columns={"l": lists, "x": INT}, keys=("x", "l"))
    (found,) = validate(rows, schema).anomalies
    assert (found.code, found.column) == ("stats_unavailable", "l")


def test_bounds_of_values_that_are_all_nan_are_not_passed():
    schema = DataSchema(columns={"x": ColumnSchema(type="double", bounds=Bounds(mean=(0, 1)))})
    (found,) = validate(TableSubject(pa.table({"x": [float("nan")] * 9}), "t"), schema).anomalies
    assert found.code == "stats_unavailable"
