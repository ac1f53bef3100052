"""Marks of missing values, near misses, types and renames: what is found in real and odd data, and what is not."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.validation.check import validate
from foldstore.validation.column_domains import CategoryDomain, NumericDomain
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.inference import infer_schema
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import TableSubject
from foldstore.validation.suspect_values import _is_one_letter_off
from tests.views.arrow_types import ARRAYS


def judge(values, schema=None):
    table = pa.table({"x": values})
    schema = schema or DataSchema(columns={"x": ColumnSchema(type=str(table.schema.field("x").type))})
    return {each.code: each for each in validate(TableSubject(table, "t"), schema).anomalies}


AGES = [*range(18, 91)] * 10


@pytest.mark.parametrize(
    ("values", "mark"),
    [
        (pa.array([*AGES, -999, -999, -999]), "-999"),
        (pa.array([*AGES, 999, 999, 999]), "999"),
        (pa.array([*map(float, AGES), -9999.0, -9999.0, -9999.0, float("nan")]), "-9999.0"),
        (pa.array([dt.date(2013, 1, day) for day in range(1, 31)] + [dt.date(1970, 1, 1)] * 3), "1970-01-01"),
        (pa.array([2**60 + each for each in range(20)] + [0] * 3, pa.timestamp("ns")), "1970-01-01T00:00:00"),
        (pa.array(["a"] * 9 + [""] * 3), "''"),
        (pa.array(["a"] * 9 + ["\\N"] * 3, pa.large_string()), "'\\\\N'"),
    ],
)
def test_stand_ins_are_found_and_counted(values, mark):
    found = judge(values)["null_encoded_as_value"]
    assert (found.count, len(found.example_rows)) == (3, 3)
    assert mark[:10] in found.message


@pytest.mark.parametrize(
    "values",
    [
        pa.array([*AGES, -999, -999]),  # two may be chance
        pa.array([*range(0, 3_000, 3), *[999] * 5]),  # amid the others
        pa.array([*range(-1_500, 1_500, 7), -9999 // 3, *[-999] * 9]),
        pa.array([*range(9_000, 10_000), *[9_999] * 20]),  # the end of a range that reaches it
        pa.array([-999] * 50),  # a constant
        pa.array([dt.date(1970, 1, 1)] * 3 + [dt.date(1970, 1, day) for day in range(1, 31)]),
        pa.array(["none"] * 5 + ["mild"] * 5),
    ],
)
def test_values_that_belong_are_left_alone(values):
    assert "null_encoded_as_value" not in judge(values)


def test_a_value_that_a_person_named_is_meant():
    text = DataSchema(columns={"x": ColumnSchema(type="string", domain=CategoryDomain(values=("?", "a")))})
    number = DataSchema(columns={"x": ColumnSchema(type="int64", domain=NumericDomain(min=-999))})
    assert not judge(pa.array(["?"] * 9 + ["a"]), text)
    assert not judge(pa.array([*AGES, *[-999] * 5]), number)


def test_marks_in_an_inferred_domain_are_found_all_the_same():
    table = pa.table({"work": ["Private"] * 700 + ["State-gov"] * 240 + ["?"] * 60})
    subject = TableSubject(table, "adult")
    found = validate(subject, infer_schema(subject.profile())).anomalies
    assert [(each.code, each.count) for each in found] == [("null_encoded_as_value", 60)]


WORDS = ("Newark", "LaGuardia", "Kennedy", "JFK", "Zürich")


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("NEWARK", "Newark"),
        (" Newark\t", "Newark"),
        ("Zu\u0308rich", "Zürich"),
        ("Newrak", "Newark"),
        ("Newarkk", "Newark"),
        ("ewark", "Newark"),
        ("Nework", "Newark"),
        ("jfk", "JFK"),
        ("JFX", None),  # codes differ by a letter as a rule
        ("Newar7", None),
        ("Boston", None),
        ("x" * 100_000, None),
    ],
)
def test_near_misses_name_what_was_meant(value, meant):
    schema = DataSchema(columns={"x": ColumnSchema(type="string", domain=CategoryDomain(values=WORDS, min_mass=0.1))})
    found = judge(pa.array([*WORDS, value]), schema).get("domain_near_miss")
    assert (None if found is None else found.evidence["replace"]) == (None if meant is None else {value: meant})


@given(st.text("abé1", max_size=7), st.text("abé1", max_size=7))
def test_one_letter_off_is_one_edit_of_letters(a, b):
    def edits(word):
        letters = "abé"
        for at in range(len(word) + 1):
            yield from (word[:at] + each + word[at:] for each in letters)
            if word[at : at + 1].isalpha():
                yield word[:at] + word[at + 1 :]
                yield from (word[:at] + each + word[at + 1 :] for each in letters)
            if word[at : at + 2].isalpha():
                yield word[:at] + word[at : at + 2][::-1] + word[at + 2 :]

    if a != b:
        assert _is_one_letter_off(a, b) == (b in set(edits(a)))


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("rows", [0, 1, None])
def test_no_type_and_no_size_crashes_a_check(name, rows):
    if name in ("decimal32", "decimal64"):
        pytest.skip("this Arrow finds no extremes of them, so that they are not profiled")
    table = pa.table({"x": ARRAYS[name]}).slice(0, rows)
    nulls = pa.table({"x": pa.nulls(5, table.schema.field("x").type)})
    for judged in (table, nulls):
        subject = TableSubject(judged, "odd")
        validate(subject, infer_schema(subject.profile()))


def test_a_coercible_column_is_judged_all_the_same():
    schema = DataSchema(columns={"x": ColumnSchema(type="int64", domain=NumericDomain(min=0))})
    assert set(judge(pa.array([-1], pa.int32()), schema)) == {"type_coercible", "below_min"}


@pytest.mark.parametrize(
    ("observed", "expected", "code"),
    [
        (pa.int32(), "double", "type_lossy"),
        (pa.float64(), "int64", "type_lossy"),
        (pa.timestamp("ns"), "timestamp[us]", "type_lossy"),
        (pa.timestamp("us"), "timestamp[ns]", "type_mismatch"),
        (pa.timestamp("us", "UTC"), "timestamp[s]", "type_mismatch"),
        (pa.string(), "int64", "type_mismatch"),
        (pa.float32(), "double", "type_coercible"),
        (pa.int64(), "list<item: int64>", "nesting_mismatch"),
        (pa.large_list(pa.list_(pa.large_string(), 2)), "list<item: string>", "nesting_mismatch"),
        (pa.list_(pa.list_(pa.int64())), "list<item: string>", "type_mismatch"),
        (pa.list_(pa.int64()), "list<item: string>", "type_mismatch"),
    ],
)
def test_types_are_told_apart(observed, expected, code):
    assert set(judge(pa.nulls(0, observed), DataSchema(columns={"x": ColumnSchema(type=expected)}))) == {
        code,
        "no_data",
    }


def test_a_rename_carries_keys_and_roles_along():
    rows = np.random.default_rng(1)
    table = pa.table({"trip_id": rows.permutation(9_000), "km": rows.normal(size=9_000)})
    schema = infer_schema(TableSubject(table, "").profile(), keys=["trip_id"]).with_changes(label="km")
    renamed = table.rename_columns(["tripId", "kms"])
    report = validate(TableSubject(renamed, "new"), schema)
    assert {each.column: each.observed for each in report.anomalies if each.code == "column_renamed_suspect"} == {
        "trip_id": "tripId",
        "km": "kms",
    }
    child = schema.accept([each for each in report.anomalies if each.code == "column_renamed_suspect"])
    assert (child.keys, child.label, set(child.columns)) == (("tripId",), "kms", {"tripId", "kms"})
    assert validate(TableSubject(renamed, "new"), child).anomalies == ()


def test_another_distribution_is_no_rename():
    schema = infer_schema(TableSubject(pa.table({"zip": np.arange(4_000) % 97}), "").profile())
    report = validate(TableSubject(pa.table({"zipcode": np.arange(4_000) % 97 + 60}), "new"), schema)
    assert [each.code for each in report.anomalies] == ["column_missing", "column_new"]


def test_accepting_everything_at_once_works():
    schema = infer_schema(TableSubject(pa.table({"zip": np.arange(4_000) % 97}), "").profile())
    table = pa.table({"zipcode": np.arange(4_000) % 97})
    child = schema.accept(validate(TableSubject(table, "new"), schema).anomalies)
    assert validate(TableSubject(table, "new"), child).anomalies == ()
