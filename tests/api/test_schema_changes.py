"""Schemas over HTTP: proposed and sent back, changed by the fixes that a report proposes, compared."""

import pytest

from tests.api.conftest import told

PEOPLE = "/v1/datasets/people"


@pytest.fixture
def editor(login_to_people):
    return login_to_people("editor")


STORM = {"id": [5, 6, 7], "town": ["C", "C", "A"]}


def test_what_was_proposed_may_be_sent_back_as_it_came(editor):
    proposed = editor.post(f"{PEOPLE}/versions/1:infer-schema").json()
    assert editor.put(f"{PEOPLE}/schema", json=proposed).json()["id"] == proposed["id"]
    assert editor.post(f"{PEOPLE}/schema:diff", json=proposed).json()["changes"] == []


@pytest.fixture
def gated(editor, people):
    towns = {"town": {"type": "string", "domain": {"values": ["A", "B"]}}, "id": {"type": "int64"}}
    assert editor.put(f"{PEOPLE}/schema", json={"schema": {"keys": ["id"], "columns": towns}}).status_code == 200
    assert people.dataset("people").append(STORM).address == "people@3"
    return editor


def test_the_fix_of_an_anomaly_becomes_a_child_of_the_schema(gated, people):
    before = people.dataset("people").schema
    report = gated.get(f"{PEOPLE}/versions/3/report").json()
    found = next(each for each in report["anomalies"] if each["column"] == "town")
    asked = {"version": 3, "anomalies": [f"{found['code']}:town"], "reason": "C is real"}
    done = gated.post(f"{PEOPLE}/schema:accept", json=asked).json()
    expected = before.accept([each for each in people.version("people@3").report.anomalies if each.column == "town"])
    assert done["schema"]["columns"]["town"]["domain"]["values"] == ["A", "B", "C"]
    assert done["schema"]["columns"] == expected.to_dict()["columns"]
    assert [each["path"] for each in done["changes"] if each["path"].startswith("columns")] == [
        each.path for each in before.diff(expected) if each.path.startswith("columns")
    ]
    kept = people.dataset("people").schemas()
    assert (len(kept), kept[-1].id, kept[-1].parent) == (2, done["id"], before.id)
    assert gated.post(f"{PEOPLE}/versions/3:validate").json()["passed"]


def test_what_the_report_has_not_is_told_with_what_it_has(gated):
    for names in (["row_count_low"], ["value_outside_domain:id"]):
        asked = {"version": "3", "anomalies": names}
        detail, hint = told(gated.post(f"{PEOPLE}/schema:accept", json=asked), 404)
        assert detail == f"The report has no anomaly {names[0]!r}."
        assert "value_outside_domain:town" in hint
    assert told(gated.post(f"{PEOPLE}/schema:accept", json={"version": 3}), 422)[0].endswith("names none.")
    assert told(gated.post(f"{PEOPLE}/schema:accept", json={"version": 9, "anomalies": ["all"]}), 404)[0] == (
        "There is no version people@9."
    )


def test_a_viewer_may_compare_and_not_accept(gated, login_to_people):
    viewer = login_to_people("viewer")
    other = {"keys": ["id"], "columns": {"id": {"type": "int64"}}}
    changes = viewer.post(f"{PEOPLE}/schema:diff", json={"schema": other}).json()["changes"]
    assert any(each["path"] == "columns.town" for each in changes)
    told(viewer.post(f"{PEOPLE}/schema:accept", json={"version": 3, "anomalies": ["all"]}), 403)


def test_without_a_schema_there_is_nothing_to_change(editor):
    assert ":infer-schema" in told(editor.post(f"{PEOPLE}/schema:diff", json={"schema": {"columns": {}}}), 404)[1]
