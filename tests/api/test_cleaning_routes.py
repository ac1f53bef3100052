"""Routes of cleaning: whom names and rules keep out, and what is said of what is wrong."""

import pytest

from foldstore.api.rules import KIND, AccessRule, RuleBook
from tests.api.conftest import assert_problem
from tests.api.test_more_routes import CANARY, VERSION, login, ruled, store

__all__ = ["login", "ruled", "store"]  # fixtures


def plan_of(*actions):
    return {"format": "cleaning/v1", "version": "people@1", "actions": list(actions)}


CLEAR = {"op": "set_null", "column": "pay", "where": "id = 3"}
ASKED = [
    ("suggest-cleaning", {}),
    ("preview-cleaning", {"plan": plan_of(CLEAR)}),
    ("cleaning-statistics", {"plan": plan_of(CLEAR)}),
    ("clean", {"plan": plan_of(CLEAR)}),
    ("undo-cleaning", {}),
    ("deny", {"rule": "t.pay > 0"}),
    ("find-dependencies", {}),
    ("label-issues", {"label": "town", "features": ["pay"]}),
    ("cleaning-priority", {"plan": plan_of(CLEAR), "label": "town", "features": ["pay"]}),
]


def ask(client, verb, body, number=1):
    return client.post(f"/v1/datasets/people/versions/{number}:{verb}", json=body)


@pytest.mark.parametrize(("verb", "body"), ASKED)
def test_who_may_not_is_told_nothing(login, ruled, store, verb, body):
    outside = login("editor", names=["mine"])
    for client, status, code in ((outside, 404, "not-found"), (ruled, 403, "hidden-by-rule")):
        answer = ask(client, verb, body)
        assert_problem(answer, status, code)
        assert str(CANARY)[:5] not in answer.text
    assert len(store.dataset("people").versions()) == 1


def test_who_only_reads_changes_nothing(login, store):
    viewer = login("viewer")
    assert ask(viewer, "preview-cleaning", {"plan": plan_of(CLEAR)}).json()["rows_changed"] == 1
    assert_problem(ask(viewer, "clean", {"plan": plan_of(CLEAR)}), 403)
    assert_problem(ask(viewer, "undo-cleaning", {}), 403)
    assert len(store.dataset("people").versions()) == 1


def test_rows_are_put_aside_where_one_may_write_alone(login, store):
    store.create_dataset("aside").append({"x": [1]})
    rule = AccessRule(name="aside", datasets=("aside",), roles=("editor",), hide=("x",))
    RuleBook(store.registry(KIND), clock=store.clock).put(rule, author="t")
    into = {"op": "quarantine_rows", "where": "id = 3", "params": {"into": "aside"}}
    bounded = login("admin", names=["people"])
    for action in (into, {"op": "quarantine_rows", "where": "id = 3"}):  # which goes to people.quarantine
        assert_problem(ask(bounded, "clean", {"plan": plan_of(action)}), 404)
        assert_problem(ask(bounded, "preview-cleaning", {"plan": plan_of(action)}), 404)
    assert_problem(ask(login("editor"), "clean", {"plan": plan_of(into)}), 403, "hidden-by-rule")
    assert len(store.dataset("people").versions()) == len(store.dataset("aside").versions()) == 1
    assert ask(login("admin"), "clean", {"plan": plan_of(into)}).status_code == 201
    assert store.version("aside").num_rows == 2


def test_what_is_wrong_is_said(login, store):
    editor = login("editor")
    for verb, body, code in (
        ("clean", {"plan": {}}, "invalid-plan"),
        ("clean", {"plan": plan_of({"op": "x"})}, "invalid-action"),
        ("clean", {"plan": plan_of(7)}, "invalid-action"),
        ("clean", {}, "usage"),
        ("deny", {}, "usage"),
        ("deny", {"rule": "1 = 1"}, "invalid-rule"),
        ("find-dependencies", {"max_error": "much"}, "usage"),
        ("label-issues", {"label": "town", "probabilities": [[1, "x"]]}, "usage"),
        ("label-issues", {"label": "town", "probabilities": [[1], [1, 2]]}, "usage"),
        ("label-issues", {"label": "town", "folds": "none"}, "not-found"),
        ("undo-cleaning", {}, "no-cleaning"),
        ("suggest-cleaning", {"min_confidence": 7}, "usage"),
        ("suggest-cleaning", {"dependencies": ["x"]}, "invalid-rule"),
    ):
        answer = ask(editor, verb, body)
        assert (verb, body, answer.json()["code"]) == (verb, body, code)
    assert len(store.dataset("people").versions()) == 1


def test_a_shell_does_it_all(login, store):
    editor = login("editor")
    store.dataset("people").append({"id": [99, 98], "pay": [CANARY, CANARY], "town": ["A ", "B"]})
    found = ask(editor, "suggest-cleaning", {"columns": ["town"]}, 2).json()
    assert [each["op"] for each in found["actions"]] == ["normalise"]
    said = ask(editor, "preview-cleaning", {"plan": found}, 2).json()
    assert said["rows_changed"] == 1
    after = ask(editor, "cleaning-statistics", {"plan": found, "side": "after"}, 2).json()["rows"]
    assert [row["name"] for row in after] == ["town"]
    made = ask(editor, "clean", {"plan": found, "message": "m"}, 2)
    assert (made.headers["location"], made.json()["message"]) == ("/v1/datasets/people/versions/3", "m")
    assert_problem(ask(editor, "clean", {"plan": found}, 2), 409)
    assert ask(editor, "undo-cleaning", {}, 3).json()["version"] == 4
    later = editor.post(f"{VERSION}:deny", json={"rule": "t.pay < 0"}, headers={"prefer": "respond-async"})
    assert later.status_code == 202


def test_reports_are_answered(login, store):
    columns = {"id": {"type": "int64"}, "pay": {"type": "int64", "domain": {"min": 0, "max": 9}}}
    columns["town"] = {"type": "string"}
    editor = login("editor")
    schema = {"keys": ["id"], "columns": columns}
    assert editor.put("/v1/datasets/people/schema", json={"schema": schema}).status_code == 200
    found = ask(editor, "suggest-cleaning", {"answer_report": True}).json()
    assert ("set_null", "pay") in {(each["op"], each["column"]) for each in found["actions"]}
