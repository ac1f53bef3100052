"""Whatever a table holds, judging it gives a result or a clear error: no crash, and nothing passes unseen."""

import datetime as dt
import json
from contextlib import nullcontext

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import foldstore
from foldstore.datastore.statistics.pinned import GridCounts
from foldstore.datastore.statistics.profile import profile_table
from foldstore.errors import FoldstoreError, UsageError
from foldstore.validation.check import drift_between, validate
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.drift.verdict import DriftVerdict
from foldstore.validation.inference import infer_schema
from foldstore.validation.report import Report
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import TableSubject

ROWS = 1_000
RNG = np.random.default_rng(0)
GOOD = pa.table(
    {
        "x": RNG.normal(size=ROWS),
        "n": RNG.integers(0, 50, ROWS),
        "s": [f"v{each % 5}" for each in range(ROWS)],
        "t": pa.array([dt.datetime.fromisoformat("2020-01-01") + dt.timedelta(hours=each) for each in range(ROWS)]),
        "l": [[each % 3] * (each % 4) for each in range(ROWS)],
        "y": [each % 2 for each in range(ROWS)],
    }
)
HOSTILE = ["\x00", "a\x00b", "\u2028", "\ufeff", "<script>", "]]>", "\x1b[31m", "x" * 100_000]


def ticks(values, kind):
    wide = pa.int32() if kind == pa.date32() else pa.int64()
    return pa.array(values * (ROWS // len(values)), wide).cast(kind)


def alternating(*values, kind=None):
    return pa.array(list(values) * (ROWS // len(values)), kind)


# Per input: the column, its values, and a code that it must raise by the schema of good rows.
BAD = {
    "NaN": ("x", alternating(float("nan")), "nan_present"),
    "some NaN": ("x", alternating(float("nan"), 1.5), "nan_present"),
    "infinities": ("x", alternating(np.inf, -np.inf), "inf_present"),
    "some infinities": ("x", pa.array([np.inf if each % 50 == 0 else each / 9 for each in range(ROWS)]), "inf_present"),
    "denormals": ("x", alternating(5e-324, -5e-324, 1e-310, 0.0, -0.0), "drift"),
    "1e308": ("x", alternating(1e308, -1e308), "quantile_out_of_bounds"),
    "the ends of int64": ("n", alternating(-(2**63), 2**63 - 1), "below_min"),
    "all null": ("x", pa.nulls(ROWS, pa.float64()), "all_null"),
    "all null texts": ("s", pa.nulls(ROWS, pa.string()), "all_null"),
    "all null times": ("t", pa.nulls(ROWS, pa.timestamp("us")), "all_null"),
    "all null lists": ("l", pa.nulls(ROWS, pa.list_(pa.int64())), "all_null"),
    "constant": ("x", alternating(1.0), "constant_column"),
    "constant texts": ("s", alternating("v1"), "constant_column"),
    "constant times": ("t", alternating(dt.datetime.fromisoformat("2020-01-01")), "constant_column"),
    "different texts": ("s", pa.array([f"{each:07}-q" for each in range(ROWS)]), "value_outside_domain"),
    "hostile texts": ("s", alternating(*HOSTILE), "value_outside_domain"),
    "lists of lists": ("l", alternating([[1, 2]], [[3]]), "nesting_mismatch"),
    "no lists": ("l", alternating(1, 2), "nesting_mismatch"),
    "other lists": ("l", alternating([9]), "drift"),
    "whole texts": ("s", alternating(1, 2), "type_mismatch"),
    "texts of numbers": ("x", alternating("1", "2"), "type_mismatch"),
    "broken numbers": ("n", pa.array(RNG.normal(size=ROWS)), "type_lossy"),
    "narrow numbers": ("n", pa.array(np.arange(ROWS) % 50, pa.int32()), "type_coercible"),
    "nothing": ("x", pa.nulls(ROWS), "type_mismatch"),
    "years 1 and 9999": ("t", alternating(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)), "null_encoded_as_value"),  # noqa: DTZ001
    "far times": ("t", ticks([-(2**62), 2**62], pa.timestamp("us")), "null_encoded_as_value"),
    "the ends of nanoseconds": ("t", ticks([-(2**63) + 1, 2**63 - 1], pa.timestamp("ns")), "type_lossy"),
    "far days": ("t", ticks([-(2**31), 2**31 - 1], pa.date32()), "type_mismatch"),
}  # fmt: skip
TABLES = {
    name: GOOD.set_column(GOOD.schema.get_field_index(column), column, values)
    for name, (column, values, _) in BAD.items()
}
EXPECTED = {name: (column, code) for name, (column, _, code) in BAD.items()}
TABLES |= {
    "empty": GOOD.slice(0, 0),
    "one row": GOOD.slice(0, 1),
    "two rows": GOOD.slice(0, 2),
    "a column less": GOOD.drop_columns("s"),
    "a column more": GOOD.append_column("z", GOOD["y"]),
    "other case": GOOD.rename_columns([name.upper() for name in GOOD.column_names]),
}
EXPECTED |= {
    "other lists": ("l[]", "drift"),
    "empty": (None, "no_data"),
    "one row": ("x", "drift_untestable"),
    "two rows": ("x", "drift_untestable"),
    "a column less": ("s", "column_missing"),
    "a column more": ("z", "column_new"),
    "other case": ("x", "column_renamed_suspect"),
}
FORMS = ("to_html", "to_text", "to_json_lines", "to_junit", "to_sarif", "to_github")


@pytest.fixture(scope="module")
def schema():
    return infer_schema(profile_table(GOOD))


@pytest.mark.parametrize("name", TABLES)
def test_bad_input_is_judged_and_every_form_of_the_report_can_be_written(schema, name):
    subject = TableSubject(TABLES[name], "t")
    json.dumps(subject.profile().to_dict(), allow_nan=False)
    assert subject.profile()._repr_html_()
    report = validate(subject, schema)
    column, code = EXPECTED[name]
    assert (code, column) in {(each.code, each.column) for each in report.anomalies}
    for form in FORMS:
        assert getattr(report, form)()
    again = Report.from_dict(json.loads(json.dumps(report.to_dict(), allow_nan=False)))
    assert again.to_html() == report.to_html()
    accepted = schema.accept(report.anomalies)
    assert not {"error"} & {str(each.severity) for each in validate(subject, accepted).anomalies if each.fix}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("metric", ["js", "ks", "wasserstein", "psi"])
def test_bad_input_is_compared_with_good_and_with_itself(name, metric):
    good, bad = TableSubject(GOOD, "good"), TableSubject(TABLES[name], "bad")
    for before, after in ((good, bad), (bad, good), (bad, bad)):
        drift = drift_between(before, after, policy=DriftPolicy(metric=metric))
        known = {path for each in (before, after) for path, _ in each.profile().walk()}
        assert drift.columns.keys() | drift.untested.keys() == known
        assert drift.to_html()
        assert str(drift)
        assert after is not before or not drift.drifted


@pytest.mark.parametrize("name", TABLES)
def test_bad_input_can_be_looked_at_by_every_tool_of_a_version(tmp_path, name):
    with foldstore.connect(tmp_path / "store") as store:
        data = store.create_dataset("data")
        version = data.append(TABLES[name])
        warned = pytest.warns(foldstore.EmptyReferenceWarning, match="types alone")
        with warned if name == "empty" else nullcontext():
            own = version.profile().infer_schema()
        assert DataSchema.from_yaml(own.to_yaml()).id == own.id
        assert version.validate(own).passed is (name != "empty")
        version.profile().correlations()
        plan = version.suggest_cleaning()
        assert plan.preview()
        assert plan._repr_html_()
        version.find_dependencies()
        assert data.report_history().to_html()
        if "t" in TABLES[name].column_names:
            try:
                version.trends("30d", time="t")
            except UsageError as error:
                assert "t holds instants outside" in str(error) or "not a time" in str(error)  # noqa: PT017


ACTIONS = [
    {"op": "impute", "column": "x", "params": {"method": "mean", "nan": True}},
    {"op": "impute", "column": "n", "params": {"method": "median"}},
    {"op": "impute", "column": "s", "params": {"method": "mode"}},
    {"op": "clip", "column": "x", "params": {"low": -1, "high": 1}},
    {"op": "winsorize", "column": "n", "params": {"quantiles": [0.05, 0.95]}},
    {"op": "set_null", "column": "x", "params": {"nan": True}},
    {"op": "normalise", "column": "s", "params": {"form": "NFKC", "trim": True, "spaces": True, "case": "lower"}},
    {"op": "fix_mojibake", "column": "s"},
    {"op": "replace", "column": "s", "params": {"mapping": [["v1", "v2"]]}},
    {"op": "cast", "column": "s", "params": {"type": "double", "on_error": "null"}},
    {"op": "repair_dependency", "column": "s", "params": {"determinants": ["n"]}},
    {"op": "drop_rows", "where": "n > 3"},
    {"op": "quarantine_rows", "where": "x > 0"},
    {"op": "deduplicate"},
]
VERBS = {
    "label issues": lambda good, bad: bad.label_issues("y").repair(),
    "priority": lambda good, bad: bad.cleaning_priority(bad.suggest_cleaning(), "y"),
    "deny": lambda good, bad: bad.deny("t1.n = t2.n and t1.s <> t2.s"),
    "concepts": lambda good, bad: (bad.concept_drift(good, "y"), good.concept_drift(bad, "y")),
    "two samples": lambda good, bad: (bad.two_sample_test(good, sample=128), good.two_sample_test(bad, sample=128)),
    "against a label": lambda good, bad: bad.profile().against("y"),
    "bias": lambda good, bad: foldstore.measure_bias(bad, label="y", sensitive="s"),
}


# What is found once rows are cast as an append would cast them: to wider numbers, and nothing to any type.
FITTED = {"narrow numbers": (None, None), "nothing": ("x", "all_null")}


@pytest.mark.parametrize("name", TABLES)
def test_bad_input_gives_every_verb_a_result_or_a_clear_error(tmp_path, name):
    """A verb that raises anything but an error of ours, which says what is wrong and what to do, fails here."""
    with foldstore.connect(tmp_path / "store") as store:
        good, bad = store.create_dataset("good"), store.create_dataset("bad").append(TABLES[name])
        first = good.append(GOOD)
        good.set_schema(first.profile().infer_schema())
        found = {(each.code, each.column) for each in good.validate(TABLES[name]).anomalies}
        column, code = FITTED.get(name, EXPECTED[name])
        assert (code, column) in found or (code is None and not found)
        refused = {}
        for verb, ask in VERBS.items():
            try:
                ask(first, bad)
            except FoldstoreError as error:
                refused[verb] = error
        for action in ACTIONS:
            try:
                preview = bad.cleaning_plan([action]).preview()
                assert str(preview)
            except FoldstoreError as error:
                refused[f"{action['op']} {action.get('column')}"] = error
        assert all(each.message and each.hint for each in refused.values())
        assert len(refused) < len(VERBS) + len(ACTIONS) or name == "other case"  # which lacks the columns


def invalid_text():
    buffers = pa.array(["good", "bad!"]).buffers()
    return pa.StringArray.from_buffers(2, buffers[1], pa.py_buffer(b"good\xff\xfe\x00!"))


@pytest.mark.parametrize("values", [invalid_text(), invalid_text().dictionary_encode(), pa.array([1, 2])])
def test_texts_that_are_not_utf8_are_refused_with_their_column(values):
    table = pa.table({"s": pa.StructArray.from_arrays([values], ["inner"]), "t": values})
    if values.type == pa.int64():
        assert profile_table(table).rows == 2
        return
    for part in (table, table.select(["s"]), table.select(["t"])):
        with pytest.raises(UsageError) as caught:
            validate(TableSubject(part, "t"), DataSchema(columns={}))
        assert caught.value.code in ("invalid-text", "unsound-data")
        assert caught.value.facts["column"] in part.column_names


def test_a_reference_without_rows_is_named_and_nothing_passes_by_it():
    empty, good = TableSubject(GOOD.slice(0, 0), "none"), TableSubject(GOOD, "good")
    drift = drift_between(empty, good)
    assert not drift.columns
    assert drift.untested["x"] == "the reference has no value"
    column = infer_schema(profile_table(GOOD)).columns["x"]
    nothing = GridCounts((0,) * column.grid.cells)
    schema = DataSchema(columns={"x": column}).with_column("x", reference=nothing)
    report = validate(TableSubject(GOOD.select(["x"]), "t"), schema)
    assert report.drift.columns["x"].verdict is DriftVerdict.UNTESTABLE
    assert "drift_untestable" in report.by_code()


def test_two_million_different_texts_are_judged():
    texts = pc.binary_join_element_wise("user-", pc.cast(pa.array(np.arange(2_000_000)), pa.string()), "")
    subject = TableSubject(pa.table({"s": texts}), "t")
    schema = infer_schema(subject.profile())
    assert schema.columns["s"].drift is None
    assert validate(subject, schema).anomalies == ()
