"""Who may say that lookups are kept, and where they may go."""

import datetime as dt

import pytest

import foldstore
from foldstore.api.access import ROLES
from foldstore.api.app import create_app
from foldstore.api.rules import KIND, AccessRule, RuleBook
from foldstore.api.tokens import TokenVault
from tests.api.conftest import assert_problem, client_of

LOG = "/v1/feature-services/model/lookup-log"


@pytest.fixture
def login(store):
    rides = store.create_dataset("rides")
    rides.append({"driver": [1], "ts": [dt.datetime(2024, 1, 1, tzinfo=dt.UTC)], "trips": [10]})
    driver = foldstore.Entity("driver", keys={"driver": "int64"})
    stats = foldstore.FeatureView("stats", entity=driver, source="rides", event_time="ts", features=["trips"])
    store.features.materialize(store.features.apply(foldstore.FeatureService("model", [stats])))
    vault = TokenVault(store.registry("token"), clock=store.clock)
    app = create_app(store.features, vault, store=store)
    yield lambda role, **how: client_of(app, vault.create(role, author="t", **how)[0])
    app.end()


@pytest.mark.parametrize(("method", "able"), [("PUT", {"editor", "admin"}), ("GET", None)])
def test_each_route_asks_for_its_scope(store, login, method, able):
    store.features.log_lookups("model")
    able = able or {role for role in ROLES if "datasets:read" in ROLES[role]}
    for role in ROLES:
        answer = login(role).request(method, LOG, json={"share": 0.5} if method == "PUT" else None)
        assert (answer.status_code == 200) == (role in able), (role, answer.text)
        if role not in able:
            assert_problem(answer, 403)


def test_lookups_go_where_the_token_may_go(store, login):
    editor = login("editor")
    assert_problem(editor.get(LOG), 404)
    assert editor.put(LOG, json={"share": 0.25}).json() == {"dataset": "model.served", "share": 0.25}
    assert editor.get(LOG).json() == {"dataset": "model.served"}
    bounded = login("editor", names=["model"])
    assert_problem(bounded.put(LOG, json={}), 404)
    assert_problem(bounded.put(LOG, json={"dataset": "people"}), 404)
    assert_problem(bounded.get(LOG), 404)
    assert_problem(login("editor", names=["other*"]).put(LOG, json={}), 404)
    assert store.features.lookup_logs.find("model") == "model.served"
    assert login("editor", names=["model*"]).put(LOG, json={}).json()["share"] == 1.0


def test_whom_a_rule_meets_says_nothing_of_it(store, login):
    rule = AccessRule(name="r", datasets=("rides",), roles=("editor",), hide=("trips",))
    RuleBook(store.registry(KIND), clock=store.clock).put(rule, author="t")
    assert_problem(login("editor").put(LOG, json={}), 403, "hidden-by-rule")
    assert_problem(login("editor").get(LOG), 403, "hidden-by-rule")


@pytest.mark.parametrize(
    "body",
    [
        {"share": 1.5},
        {"share": -1},
        {"share": True},
        {"share": None},
        {"share": "1"},
        {"share": [1]},
        {"dataset": "../x"},
        {"dataset": 7},
        {"path": "/etc"},
        [],
    ],
)
def test_other_settings_are_refused(store, login, body):
    answer = login("editor").put(LOG, json=body)
    assert_problem(answer, answer.status_code)
    assert answer.status_code in {400, 422}


def test_a_service_that_is_not_there_has_no_log(login):
    assert_problem(login("editor").put("/v1/feature-services/nothing/lookup-log", json={}), 404)
    assert_problem(login("editor").get("/v1/feature-services/nothing/lookup-log"), 404)
