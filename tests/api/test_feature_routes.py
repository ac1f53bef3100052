"""Routes of features: whom a token of some names, or a rule, keeps out."""

import datetime as dt

import pytest

import foldstore
from foldstore.api.app import create_app
from foldstore.api.rules import KIND, AccessRule, RuleBook
from foldstore.api.tokens import TokenVault
from tests.api.conftest import assert_problem, client_of

DAY = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
CANARY = 90_000_017
CSV = {"content-type": "text/csv"}


@pytest.fixture
def store(folder):
    with foldstore.connect(folder, author="owner") as store:
        rows = {"driver": [1, 2], "ts": [DAY] * 2, "trips": [CANARY, CANARY]}
        store.create_dataset("rides", event_time="ts").append(rows)
        driver = foldstore.Entity("driver", keys={"driver": "int64"})
        view = foldstore.FeatureView("stats", entity=driver, source="rides", event_time="ts", features=["trips"])
        for name in ("model", "mine"):
            store.features.materialize(store.features.apply(foldstore.FeatureService(name, [view])))
        asks = store.create_dataset("asks", key=["id"], event_time="asked")
        asks.append({"id": [1, 2], "driver": [1, 2], "asked": [DAY] * 2}).split("s", train=0.5, test=0.5, seed=1)
        store.features.create_training_set("training", labels="asks@1#s", features="model@1")
        store.features.log_lookups("model")
        store.features.get_online_features("model@1", [{"driver": 1}], at=DAY)
        store.features.lookup_logs.flush()
        yield store


@pytest.fixture
def login(store):
    vault = TokenVault(store.registry("token"), clock=store.clock)
    app = create_app(store.features, vault, store=store)
    yield lambda role, **how: client_of(app, vault.create(role, author="t", **how)[0])
    app.end()


SERVICE = "/v1/feature-services/model/versions/1"
ASKED = {
    "push": (
        "POST",
        "/v1/feature-views/stats:push",
        {"content": b"driver,ts,trips\n1,2024-01-02T00:00:00Z,5\n", "headers": CSV},
    ),
    "delete": ("POST", "/v1/feature-views/stats:delete-online", {"json": {"entities": [{"driver": 1}]}}),
    "served": ("GET", "/v1/online", {}),
    "audit": ("POST", f"{SERVICE}:audit", {"json": {}}),
    "skew": ("POST", f"{SERVICE}:skew", {"json": {"training": "training@1"}}),
    "diff": ("GET", f"{SERVICE}:diff", {"params": {"before": "1"}}),
    "training set": ("GET", "/v1/training-sets/training/versions/1", {}),
    "again": ("POST", "/v1/training-sets/training/versions/1:reproduce", {}),
    "sets": ("GET", "/v1/training-sets", {}),
    "make": ("POST", "/v1/training-sets", {"json": {"name": "new", "labels": "asks@1#s", "features": "model@1"}}),
}


@pytest.mark.parametrize("what", ASKED)
def test_an_editor_of_all_names_may(login, what):
    method, path, how = ASKED[what]
    answer = login("editor").request(method, path, **how)
    assert answer.status_code in {200, 201}, answer.text


@pytest.mark.parametrize("what", [each for each in ASKED if each != "sets"])
def test_a_token_of_other_names_may_not(login, store, what):
    method, path, how = ASKED[what]
    before = len(store.datasets())
    answer = login("editor", names=["mine", "new"]).request(method, path, **how)
    assert answer.status_code in {403, 404}
    assert str(CANARY) not in answer.text
    assert len(store.datasets()) == before


def test_a_training_set_that_was_made_of_the_same_before_is_found_and_not_created(login):
    editor = login("editor")
    asked = {"name": "again", "labels": "asks@1#s", "features": "model@1"}
    made, found = (editor.post("/v1/training-sets", json=asked) for _ in range(2))
    assert (made.status_code, made.json()["found"]) == (201, False)
    assert (found.status_code, found.json()["found"]) == (200, True)
    assert made.headers["location"] == found.headers["location"] == "/v1/training-sets/again/versions/1"
    assert {**found.json(), "found": False} == made.json()
    answers = editor.get("/openapi.json").json()["paths"]["/v1/training-sets"]["post"]["responses"]
    assert {"200", "201", "202"} <= set(answers)


def test_lists_name_what_the_token_is_for(login):
    editor = login("editor", names=["mine"])
    assert editor.get("/v1/training-sets").json()["items"] == []
    (served,) = editor.get("/v1/online?service=mine").json()["items"]
    assert served["service"] == "mine@1"
    assert_problem(editor.get("/v1/online?service=model"), 404)
    other = login("editor", names=["new", "asks"])
    made = {"name": "new", "labels": "asks@1#s", "features": "model@1"}
    assert_problem(other.post("/v1/training-sets", json=made), 404)


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("what", ASKED)
def test_whom_a_rule_meets_is_told_nothing(login, store, what, later):
    book = RuleBook(store.registry(KIND), clock=store.clock)
    book.put(AccessRule(name="r", datasets=("rides",), roles=("editor",), hide=("trips",)), author="t")
    method, path, how = ASKED[what]
    headers = {**how.get("headers", {}), **({"prefer": "respond-async"} if later else {})}
    answer = login("editor").request(method, path, **{**how, "headers": headers})
    assert_problem(answer, 403, "hidden-by-rule")
    assert str(CANARY) not in answer.text


def test_what_is_wrong_is_said(login):
    editor = login("editor")
    assert_problem(editor.post("/v1/feature-views/stats:push?to=nowhere", content=b"a\n1\n", headers=CSV), 422)
    assert_problem(editor.post("/v1/feature-views/nobody:push", content=b"driver\n1\n", headers=CSV), 404)
    assert_problem(editor.post("/v1/feature-views/stats:delete-online", json={"entities": 7}), 422)
    assert_problem(editor.post(f"{SERVICE}:skew", json={"training": "training@1", "adjustment": "none"}), 422)
    assert_problem(editor.post(f"{SERVICE}:audit", json={"since": "yesterday"}), 422)
    assert_problem(editor.get(f"{SERVICE}:diff"), 422)
    assert_problem(editor.get("/v1/training-sets/asks/versions/1"), 404)
    assert_problem(
        editor.post("/v1/training-sets", json={"name": "../x", "labels": "asks@1#s", "features": "model"}), 422
    )
    assert_problem(editor.post("/v1/training-sets", json={"name": "x", "labels": 7, "features": "model"}), 422)
