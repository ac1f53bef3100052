"""Forms for machines: well-formed whatever the data holds, of any code, the same bytes each time."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.types import Severity
from foldstore.validation.report import Report
from tests.validation.reporting.hostile_reports import HOSTILE, describe, find
from tests.validation.reporting.junit_schema import check_junit

FORMS = ("to_text", "to_html", "to_json_lines", "to_junit", "to_sarif", "to_github")


@pytest.mark.parametrize("form", FORMS)
def test_the_same_report_gives_the_same_bytes(judged, form):
    again = Report.from_dict(json.loads(json.dumps(judged.to_dict())))
    assert again == judged
    assert getattr(judged, form)() == getattr(again, form)()


def test_a_report_kept_before_distributions_were_can_still_be_written(judged):
    body = judged.to_dict()
    del body["columns"]
    for each in body["drift"]["columns"].values():
        del each["distribution"]
    old = Report.from_dict(body)
    assert old.drift.columns["x"].distribution is None
    for form in FORMS:
        assert getattr(old, form)()


@pytest.mark.parametrize("form", [form for form in FORMS if form != "to_text"])
def test_a_form_can_be_written_to_a_file_whatever_it_holds(hostile, form, tmp_path):
    file = tmp_path / "report"
    file.write_text("an older report, longer than nothing")
    text = getattr(hostile, form)(file)
    assert file.read_bytes() == text.encode("utf-8")
    assert [each.name for each in tmp_path.iterdir()] == ["report"]


def test_a_file_that_cannot_be_written_is_an_export_error(judged, tmp_path):
    from foldstore.errors import ExportError

    with pytest.raises(ExportError, match="cannot be written"):
        judged.to_html(tmp_path / "nowhere" / "report.html")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ExportError, match="cannot be written"):
        judged.to_junit(tmp_path / "folder")
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


def test_json_lines_have_the_report_then_a_line_for_each_anomaly_and_column(judged):
    lines = [json.loads(line) for line in judged.to_json_lines().splitlines()]
    assert [line["kind"] for line in lines[:1]] == ["report"]
    assert lines[0]["anomalies"] == len(judged.anomalies)
    assert lines[0]["passed"] is False
    found = [line["code"] for line in lines if line["kind"] == "anomaly"]
    assert found == [each.code for each in judged.anomalies]
    assert {line["column"] for line in lines if line["kind"] == "drift"} == set(judged.drift.columns)


def test_json_lines_of_hostile_texts_are_strict_and_give_them_back(hostile):
    def refuse(word):
        raise AssertionError(word)

    lines = hostile.to_json_lines().split("\n")
    assert lines.pop() == ""
    parsed = [json.loads(line, parse_constant=refuse) for line in lines]
    assert [each["message"] for each in parsed[1:]] == list(HOSTILE)
    assert all(line.isprintable() for line in lines)


def read_junit(report):
    return check_junit(report.to_junit())


def test_junit_has_a_case_for_each_finding_and_for_each_column_without_one(judged):
    suite = read_junit(judged).find("testsuite")
    cases = suite.findall("testcase")
    assert [int(suite.get(name)) for name in ("tests", "failures", "errors")] == [
        len(cases),
        sum(each.severity is Severity.ERROR for each in judged.anomalies),
        0,
    ]
    failed = {(case.get("classname"), case.get("name")) for case in cases if case.find("failure") is not None}
    assert failed == {(f"t@2.{each.column}", each.code) for each in judged.anomalies if each.severity is Severity.ERROR}
    passed = {case.get("classname") for case in cases if len(case) == 0}
    assert passed == {"t@2.stable", "t@2.(dataset)"}


def test_junit_says_warnings_in_the_output_of_passed_cases():
    report = describe(anomalies=(find(severity=Severity.WARN), find("duplicate_key", column=None)))
    cases = read_junit(report).find("testsuite").findall("testcase")
    dataset, column = cases
    assert dataset.find("failure").get("message") == "too low"
    assert column.find("failure") is None
    assert "warn: x: too low [below_min]" in column.find("system-out").text


def test_junit_is_well_formed_whatever_the_data_holds(hostile):
    cases = read_junit(hostile).find("testsuite").findall("testcase")
    assert len(cases) == len(HOSTILE) + 1
    assert len(hostile.to_junit()) < 60_000
    assert any(HOSTILE[2] in (child.text or "") for case in cases for child in case)


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_survives_junit_sarif_and_annotations(column, message):
    report = describe(subject=column, anomalies=(find(column=column, message=message),), columns=(column,))
    assert read_junit(report).find("testsuite").find("testcase") is not None
    assert json.loads(report.to_sarif())["runs"][0]["results"]
    assert report.to_github().count("\n") == 1


def test_a_terminal_is_not_steered_by_what_a_report_quotes(hostile):
    text = hostile.to_text()
    assert text.replace("\n", "").isprintable()
    assert text.count("\n") == 1 + 2 * len(HOSTILE)


def test_annotations_are_the_gravest_first_and_escaped():
    report = describe(
        subject="a,b:c",
        anomalies=(
            find(message="100 %\nnext"),
            find("column_new", Severity.WARN, column=None),
            find("drift_untestable", Severity.INFO),
        ),
    )
    assert report.to_github(source="data/in,1.csv").splitlines() == [
        "::error file=data/in%2C1.csv,title=a%2Cb%3Ac%3A x (below_min)::100 %25%0Anext",
        "::warning file=data/in%2C1.csv,title=a%2Cb%3Ac (column_new)::too low",
        "::notice file=data/in%2C1.csv,title=a%2Cb%3Ac%3A x (drift_untestable)::too low",
    ]


def test_no_value_can_begin_a_command_of_its_own(hostile):
    lines = hostile.to_github().splitlines()
    assert len(lines) == len(HOSTILE)
    shape = re.compile(r"::(error|warning|notice) title=[^:,\r\n]*::[^\r\n]*")
    assert all(shape.fullmatch(line) for line in lines)
    assert describe().to_github() == ""
