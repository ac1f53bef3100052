"""Monitors over HTTP: who may do what, whose names count, and that nobody makes the server tell anybody."""

import pytest

from foldstore.api.app import create_app
from foldstore.api.rules import KIND, AccessRule, RuleBook
from foldstore.api.tokens import TokenVault
from foldstore.validation.schema import DataSchema
from tests.api.conftest import assert_problem, client_of

ASKED = (
    ("GET", "/v1/monitors", None),
    ("GET", "/v1/monitors/open.daily", None),
    ("GET", "/v1/monitors/open.daily/waiting", None),
    ("GET", "/v1/monitors/open.daily/history", None),
    ("PUT", "/v1/monitors/open.daily", {"datasets": ["open"]}),
    ("POST", "/v1/monitors/open.daily:run", {}),
    ("POST", "/v1/monitors/open.daily:note-told", {"address": "open@1", "told": ["webhook"]}),
)


@pytest.fixture
def login(store):
    vault = TokenVault(store.registry("token"), clock=store.clock)
    app = create_app(store.features, vault, store=store)
    for name in ("open", "secret"):
        store.create_dataset(name).append({"x": [1, 2]})
    store.monitors.set("open.daily", ["open"])
    store.monitors.run("open.daily")
    yield lambda role, **how: client_of(app, vault.create(role, author="t", **how)[0])
    app.end()


@pytest.mark.parametrize(("method", "path", "body"), ASKED)
def test_each_route_asks_for_its_scope(login, method, path, body):
    able = {"viewer", "editor", "evaluator", "steward", "admin"} if method == "GET" else {"editor", "admin"}
    for role in ("viewer", "editor", "serving", "evaluator", "steward", "monitor", "admin"):
        answer = login(role).request(method, path, json=body)
        assert (answer.status_code == 200) == (role in able), (role, answer.text)
        if role not in able:
            assert_problem(answer, 403)


def test_names_that_a_token_is_not_for_are_not_there(store, login):
    store.monitors.set("open.both", ["open", "secret"])
    store.monitors.set("nightly", ["open"])
    bounded = login("editor", names=["open*"])
    assert [each["name"] for each in bounded.get("/v1/monitors").json()["items"]] == ["open.daily"]
    for name in ("open.both", "nightly", "open.none"):
        path = f"/v1/monitors/{name}"
        said = {
            assert_problem(answer, 404)["detail"].replace(name, "...")
            for answer in (
                bounded.get(path),
                bounded.get(f"{path}/waiting"),
                bounded.get(f"{path}/history"),
                bounded.post(f"{path}:run", json={}),
                bounded.post(f"{path}:note-told", json={"address": "open@1", "told": ["webhook"]}),
            )
        }
        assert len(said) == 1
    assert_problem(bounded.put("/v1/monitors/open.both", json={"datasets": ["open"]}), 404)
    assert_problem(bounded.put("/v1/monitors/open.new", json={"datasets": ["open", "secret"]}), 404)
    assert_problem(bounded.put("/v1/monitors/nightly", json={"datasets": ["open"]}), 404)
    assert store.monitors.find("open.both").datasets == ("open", "secret")
    assert store.monitors.history("open.both") == store.monitors.history("nightly") == []
    assert bounded.put("/v1/monitors/open.new", json={"datasets": ["open"]}).status_code == 200


def test_what_a_monitor_looked_at_before_is_hidden_too(store, login):
    store.monitors.set("open.daily", ["secret"])
    store.monitors.run("open.daily")
    store.monitors.set("open.daily", ["open"])
    bounded = login("editor", names=["open*"])
    assert [each["address"] for each in bounded.get("/v1/monitors/open.daily/history").json()["items"]] == ["open@1"]
    path = "/v1/monitors/open.daily:note-told"
    assert_problem(bounded.post(path, json={"address": "secret@1", "told": ["webhook"]}), 404)
    every = login("viewer").get("/v1/monitors/open.daily/history").json()["items"]
    assert [each["address"] for each in every] == ["open@1", "secret@1"]


@pytest.mark.parametrize(("method", "path", "body"), ASKED)
def test_whom_a_rule_meets_is_told_nothing(store, login, method, path, body):
    rule = AccessRule(name="r", datasets=("other",), roles=("editor",), hide=("x",))
    RuleBook(store.registry(KIND), clock=store.clock).put(rule, author="t")
    assert_problem(login("editor").request(method, path, json=body), 403, "hidden-by-rule")


def test_nobody_is_told_by_the_server(store, login):
    editor = login("editor")
    path = "/v1/monitors/open.daily"
    for member in ("webhook", "notify", "command", "url"):
        for place, body in ((f"{path}:run", {}), (path, {"datasets": ["open"]})):
            method = "POST" if place.endswith(":run") else "PUT"
            answer = editor.request(method, place, json={**body, member: "http://169.254.169.254/latest/"})
            assert_problem(answer, 422, "unknown-member")
    assert_problem(editor.post(f"{path}:run", json={"tell": "http://127.0.0.1/"}), 422)


def test_who_tells_by_themselves_and_dies_is_not_forgotten(store, login):
    store.dataset("open").append({"x": []})
    editor = login("editor")
    store.dataset("open").set_schema(DataSchema.from_dict({"columns": {"y": {"type": "string"}}}))
    found = editor.post("/v1/monitors/open.daily:run", json={"tell": "always"}).json()["items"]
    assert found
    assert all(each["told"] == ["failed: whoever asked has not said that they told it"] for each in found)
    assert all(each.was_not_told for each in store.monitors.history("open.daily")[1:])


@pytest.mark.parametrize(
    "told", [None, [], "webhook", ["mail"], ["failed: \x1b[31m"], ["failed: a\nb"], ["failed: " + "x" * 251], [1], [""]]
)
def test_what_is_said_to_be_told_is_one_of_few_words(login, told):
    path = "/v1/monitors/open.daily:note-told"
    assert_problem(login("editor").post(path, json={"address": "open@1", "told": told}), 422)


def test_a_run_is_answered_later_if_asked(store, login):
    store.dataset("open").append({"x": [3]})
    editor = login("editor")
    headers = {"prefer": "respond-async, wait=20", "idempotency-key": "k1"}
    for _ in range(2):  # the second is answered with what the first was
        answer = editor.post("/v1/monitors/open.daily:run", json={}, headers=headers)
        assert answer.status_code in {200, 202}
        place = answer.headers.get("location")
        found = answer if place is None else editor.get(f"{place}/result")
        assert [each["address"] for each in found.json()["items"]] == ["open@2"]
