"""What somebody meets who has curl and the documentation: what was left out or mistyped, and what helps on."""

import pytest

from tests.api.conftest import told

PEOPLE = "/v1/datasets/people"


@pytest.fixture
def editor(login_to_people):
    return login_to_people("editor")


def test_no_body_is_an_object_without_members(editor):
    schema = editor.post(f"{PEOPLE}/versions/1:infer-schema").json()["schema"]
    assert editor.put(f"{PEOPLE}/schema", json={"schema": schema}).status_code == 200
    assert editor.post(f"{PEOPLE}/versions/1:validate").json()["passed"]
    detail, hint = told(editor.post(f"{PEOPLE}:delete"), 422)
    assert detail == "The member 'where' is missing."
    assert hint.startswith("Write {")


def test_a_member_that_is_missing_is_not_called_one_of_another_type(editor):
    asked = f"{PEOPLE}/versions/1:release"
    assert told(editor.post(asked, json={}), 422) == ("The member 'reason' is missing.", 'Write {"reason": "..."}.')
    assert told(editor.post(asked, json={"reason": 1}), 422)[0] == "The member 'reason' is not text."
    assert told(editor.put(f"{PEOPLE}/schema", json={}), 422)[0] == "The member 'schema' is missing."


def test_the_number_of_a_version_may_be_a_number(editor):
    assert editor.put(f"{PEOPLE}/refs/first", json={"kind": "tag", "version": 1}).json()["version"] == 1
    assert editor.post(f"{PEOPLE}:restore", json={"version": 1}).json()["address"] == "people@3"
    found = editor.post(f"{PEOPLE}:diff-rows", json={"before": 1, "after": 2, "rows": "added"}).json()["rows"]
    assert (
        found == editor.post(f"{PEOPLE}:diff-rows", json={"before": "1", "after": "2", "rows": "added"}).json()["rows"]
    )
    assert editor.post(f"{PEOPLE}:merge", json={"theirs": 1}).json()["address"] == "people@3"  # it is in already
    for wrong in (True, -1, 1.0):
        told(editor.put(f"{PEOPLE}/refs/other", json={"kind": "tag", "version": wrong}), 422)


@pytest.mark.parametrize(
    ("role", "method", "path", "who"),
    [
        ("viewer", "POST", "/v1/datasets", "editor, admin"),
        ("editor", "POST", "/v1/test-pools", "steward"),
        ("editor", "GET", "/v1/test-pools", "evaluator, steward, admin"),
        ("editor", "GET", "/metrics", "monitor, admin"),
    ],
)
def test_who_may_not_is_told_which_roles_may(login_to_people, role, method, path, who):
    assert told(login_to_people(role).request(method, path), 403)[1] == f"The roles that have it: {who}."


def test_the_parameter_that_stands_twice_is_named(editor):
    asked = f"{PEOPLE}/versions/1/rows?columns=id&limit=2&columns=town"
    assert told(editor.get(asked), 422)[0] == "The parameter 'columns' stands twice."


def test_before_the_first_version_is_said_when_that_was(editor, people):
    detail, hint = told(editor.get(f"{PEOPLE}:as-of?moment=2020-01-01"), 404)
    assert detail == "'people' had no version at 2020-01-01T00:00:00.000000Z."
    first = people.version("people@1").created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert hint == f"The first that is published, people@1, is of {first}."
    editor.post("/v1/datasets", json={"name": "empty"})
    assert told(editor.get("/v1/datasets/empty:as-of?moment=2020-01-01"), 404)[1].startswith("'empty' has no published")


def test_a_word_that_is_no_type_is_told_with_what_was_meant(editor):
    for columns in ({"id": {"type": "strng"}}, {"id": {"type": "strng", "domain": {"values": ["a"]}}}):
        detail, hint = told(editor.put(f"{PEOPLE}/schema", json={"schema": {"columns": columns}}), 422)
        assert detail == "columns.id: 'strng' is not an Arrow type."
        assert hint.startswith("Did you mean 'string'?")


def test_a_view_that_is_none_is_told_with_an_example(editor):
    for spec in ({}, {"sources": ["people@1"], "steps": []}, {"sources": [{"address": "people@1"}]}):
        assert (
            '{"sources": [{"address": "flights@3"}]'
            in told(editor.post("/v1/views:count", json={"spec": spec}), 422)[1]
        )


def test_names_are_refused_in_words_that_read_well(editor):
    assert told(editor.put(f"{PEOPLE}/refs/latest", json={"kind": "alias", "version": "1"}), 422)[0] == (
        "'latest' is reserved and cannot name an alias."
    )


def test_rows_come_as_json(editor):
    sent = [{"id": 8, "town": "Ålesund"}, {"id": 9007199254740993, "town": None}]
    for body, number in ((sent, 3), ({"rows": [{"id": 10, "town": "B"}]}, 4)):
        assert editor.post(f"{PEOPLE}/versions", json=body).json()["address"] == f"people@{number}"
    assert editor.get(f"{PEOPLE}/versions/3/rows?offset=4").json()["rows"] == sent
    taken = editor.post(f"{PEOPLE}/versions/1:take", json=[{"id": 2}, {"id": 1}]).json()["rows"]
    assert [row["town"] for row in taken] == ["B", "A"]


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "not JSON"),
        (b"7", "no list of rows"),
        (b"[1]", "no list of rows"),
        (b'{"rows": [{"id": 8}], "more": 1}', "no list of rows"),
        (b'{"rows": {"id": 8}}', "no list of rows"),
        (b'[{"id": 8}, {"id": NaN}]', "not JSON"),
        (b'[{"id": 1e999, "town": "A"}]', "too large"),
        (b'[{"id": 8, "id": 9}]', "twice"),
        (b'[{"id": ' + b"[" * 40 + b"]" * 40 + b"}]", "too deeply"),
    ],
)
def test_json_that_is_no_rows_is_refused_and_nothing_is_committed(editor, body, what):
    answer = editor.post(f"{PEOPLE}/versions", content=body, headers={"content-type": "application/json"})
    assert what in told(answer, 400)[0]
    assert editor.get(PEOPLE + "/versions/latest").json()["version"] == 2


@pytest.mark.parametrize(
    ("method", "path", "takes"),
    [
        ("PUT", f"{PEOPLE}/versions", "GET, HEAD, POST"),
        ("PATCH", PEOPLE, "DELETE, GET, HEAD"),
        ("GET", f"{PEOPLE}:delete", "POST"),
        ("GET", "/v1/features:get", "POST"),
    ],
)
def test_a_method_that_a_path_has_not_is_told_with_those_it_has(editor, method, path, takes):
    answer = editor.request(method, path)
    assert told(answer, 405) == (f"{method} is none of this path's methods.", f"It takes {takes}.")
    assert answer.headers["allow"] == takes
