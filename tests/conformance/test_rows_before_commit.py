"""Rows that are judged before they are committed: the same in a folder and behind a server."""

import pyarrow as pa
import pytest

import foldstore
from tests.conformance.conftest import raised

SCHEMA = {
    "environments": ["training", "serving"],
    "keys": ["id"],
    "columns": {
        "id": {"type": "int64"},
        "age": {"type": "int64", "domain": {"min": 0}},
        "town": {"type": "string", "in_environment": ["training"]},
    },
}


@pytest.fixture
def judged(people):
    people.append({"id": [1, 2, 3], "age": [34, 51, 7], "town": ["A", "B", "A"]})
    people.set_schema(foldstore.DataSchema.from_dict(SCHEMA))
    return people


def told(report):
    """Return what a report says, less the time, and the profile that a table's report keeps."""
    said = report.to_dict()
    return {name: value for name, value in said.items() if name not in ("created_at", "profile", "profile_id")}


def test_rows_that_fit_and_rows_that_do_not(judged):
    good = judged.validate({"id": [4], "age": [5], "town": ["C"]})
    assert (good.passed, good.rows, good.subject) == (True, 1, "the data")
    bad = judged.validate(pa.table({"id": [4, 4], "age": [-1, 5], "town": ["C", None]}))
    assert not bad.passed
    assert {(each.code, each.column) for each in bad.anomalies} >= {("below_min", "age")}
    assert "duplicate_key" in bad.by_code()
    assert [each.number for each in judged.versions()] == [1]


def test_a_file_keeps_its_name_and_is_read_as_it_says(judged, tmp_path):
    path = tmp_path / "february.csv"
    path.write_text("id;age;town\n4;-5;C\n")
    report = judged.validate(path, delimiter=";")
    assert (report.subject, report.rows, report.passed) == ("february.csv", 1, False)


def test_another_schema_and_an_environment(judged):
    assert not judged.validate({"id": [4], "age": [5]}).passed
    assert judged.validate({"id": [4], "age": [5]}, environment="serving").passed
    other = foldstore.DataSchema.from_dict({"columns": {"id": {"type": "string"}}})
    report = judged.validate({"id": [4]}, schema=other)
    assert (report.schema_id, report.passed) == (other.id, False)


def test_texts_that_are_none_are_a_finding(judged):
    offsets = pa.array([0, 1], pa.int32()).buffers()[1]
    broken = pa.StringArray.from_buffers(1, offsets, pa.py_buffer(b"\xfc"))
    report = judged.validate(pa.table({"id": [4], "age": [5], "town": broken}))
    assert (report.subject, report.rows) == ("the data", 0)
    assert [(each.code, each.column) for each in report.anomalies] == [("invalid_utf8", "town")]


def test_both_say_the_same(judged, tmp_path):
    with foldstore.connect(tmp_path / "other") as other:
        beside = other.create_dataset("people", key=["id"])
        beside.append({"id": [1, 2, 3], "age": [34, 51, 7], "town": ["A", "B", "A"]})
        beside.set_schema(foldstore.DataSchema.from_dict(SCHEMA))
        rows = {"id": [4, 4, None], "age": [-1, 5, None], "more": ["C", None, "x"]}
        assert told(judged.validate(rows)) == told(beside.validate(rows))


def test_what_cannot_be_judged_is_an_error(people, judged, store, tmp_path):
    assert raised(lambda: judged.validate({"id": [1]}, schema={"columns": {}})) == ("UsageError", "usage")
    assert raised(lambda: judged.validate(tmp_path / "none.csv"))[0] == "IngestError"
    bare = store.create_dataset("bare")
    assert raised(lambda: bare.validate({"id": [1]}))[0] == "NotFoundError"


def test_a_branch_is_judged_by_its_own_head(judged):
    trial = judged.create_branch("trial")
    trial.add_columns({"twice": "age * 2"})
    assert trial.validate({"id": [4], "age": [5], "town": ["C"]}).passed
