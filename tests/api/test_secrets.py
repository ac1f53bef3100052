"""Secrets and what is hidden stay so on every way out: answers, headers, logs, metrics, the audit, the description."""

import logging

import pytest

import foldstore
from foldstore.api.access import ROLES
from foldstore.api.app import create_app
from foldstore.api.audit import FOLDER
from foldstore.api.request_log import JsonLines
from foldstore.api.resources import list_routes
from foldstore.api.rules import KIND, AccessRule, RuleBook
from foldstore.api.tokens import TokenVault
from tests.api.conftest import assert_problem, client_of

VERSION = "/v1/datasets/people/versions/1"
METHODS = ("HEAD", "OPTIONS", "TRACE", "PATCH", "CONNECT", "PROPFIND", "GET")


@pytest.fixture
def store(folder):
    with foldstore.connect(folder, author="owner") as store:
        people = store.create_dataset("people", key=["id"])
        people.append({"id": [1, 2, 3, 4], "country": ["NO", "SE", "NO", "SE"], "salary": [1, 2, 3, 4]})
        people.version(1).split("halves", train=0.5, test=0.5, seed=1)
        people.version(1).view().save("everybody")
        yield store


@pytest.fixture
def vault(store):
    return TokenVault(store.registry("token"), clock=store.clock)


@pytest.fixture
def app(vault, store):
    return create_app(store.features, vault, store=store)


def send(client, route, places):
    path = route.path
    for place in route.places:
        path = path.replace(f"{{{place}}}", places.get(place, "people"))
    rows = {"content": b"id\n1\n", "headers": {"content-type": "text/csv"}}
    return client.request(route.method, path, **(rows if route.body == "rows" else {"json": route.example or {}}))


@pytest.mark.filterwarnings("ignore::foldstore.store_views.DeprecatedInputWarning")
def test_no_output_holds_a_secret(app, vault, store, caplog):
    """Wrong places included: clients paste tokens into names, queries, bodies and headers."""
    made = {role: vault.create(role, author="t") for role in ROLES}
    clients = {role: client_of(app, text) for role, (text, _) in made.items()}
    pasted = made["admin"][0]
    said = []
    with caplog.at_level(logging.DEBUG, logger="foldstore"):
        for client in clients.values():
            for route in list_routes():
                if route.path.startswith("/v1/tokens") and route.method != "GET":
                    continue
                said.append(send(client, route, {"name": "people", "ref": "1", "split": "halves", "part": "train"}))
        viewer = clients["viewer"]
        lost = [
            viewer.get(f"/v1/datasets/{pasted}"),
            viewer.get(f"/v1/datasets/people/versions/{pasted}/rows"),
            viewer.get("/v1/datasets", params={"token": pasted}),
            viewer.get("/healthz", headers={"authorization": f"Basic {pasted}", "user-agent": pasted, "x-id": pasted}),
            client_of(app, pasted + "x").get("/v1/datasets"),
        ]
        said += [viewer.get("/openapi.json"), clients["monitor"].get("/metrics"), clients["admin"].get("/v1/audit")]
        said.append(clients["admin"].get("/v1/tokens"))
    logs = "".join(JsonLines().format(record) for record in caplog.records)
    audit = "".join(file.read_text() for file in (store.root / FOLDER).iterdir())
    answers = "".join(f"{answer.headers}{answer.text}" for answer in said)
    assert [answer.text for answer in [*said, *lost] if answer.status_code >= 500] == []
    assert "people" in answers
    assert made["viewer"][1].id in audit
    for text, _ in made.values():
        secret = text.split("_")[2]
        for output in (answers, logs, audit, *(str(answer.headers) for answer in lost)):
            assert secret not in output


def test_what_one_role_kept_is_not_confirmed_to_another(app, vault, store):
    """A tag that an unhindered reader was given does not tell who is under a rule that it still holds."""
    free = client_of(app, vault.create("steward", author="t")[0])
    rule = AccessRule(name="pay", datasets=("people",), roles=("viewer",), hide=("salary",))
    RuleBook(store.registry(KIND)).put(rule, author="owner")
    viewer = client_of(create_app(store.features, vault, store=store), vault.create("viewer", author="t")[0])
    for path in (VERSION, f"{VERSION}/profile"):
        tag = free.get(path).headers["etag"]
        assert free.get(path, headers={"if-none-match": tag}).status_code == 304
        for given in (tag, "*", f'W/{tag}, "x"'):
            assert_problem(viewer.get(path, headers={"if-none-match": given}), 403, "hidden-by-rule")
    bounded = client_of(app, vault.create("viewer", author="t", names=["other"])[0])
    for given in (tag, "*"):
        assert_problem(bounded.get(VERSION, headers={"if-none-match": given}), 404)
    anonymous = client_of(app, "none")
    assert_problem(anonymous.get(VERSION, headers={"if-none-match": "*"}), 401)


def test_other_methods_tell_nothing(app, vault):
    """Neither does a header that names another method: it is not looked at."""
    anonymous, monitor = client_of(app, "none"), client_of(app, vault.create("monitor", author="t")[0])
    paths = ["/v1/datasets", VERSION, f"{VERSION}/rows", "/v1/tokens", "/v1/audit", "/nothing"]
    for path in paths:
        for method in METHODS:
            refused = anonymous.request(method, path)
            assert refused.status_code == 401
            assert "allow" not in refused.headers
        assert monitor.head(path).status_code in {403, 404}
        assert monitor.head(path).content == b""
    editor = client_of(app, vault.create("viewer", author="t")[0])
    for header in ("x-http-method-override", "x-http-method", "x-method-override"):
        editor.get("/v1/datasets/people", headers={header: "DELETE"})
        answer = editor.post("/v1/datasets", headers={header: "GET"}, json={"name": "x"})
        assert_problem(answer, 403)
    head, got = editor.head(VERSION), editor.get(VERSION)
    assert (head.status_code, head.content) == (got.status_code, b"") or head.status_code == 405


def test_no_other_origin_is_let_in(app, vault):
    """No answer allows a page of another origin to read it, and a preflight is refused like any request."""
    viewer = client_of(app, vault.create("viewer", author="t")[0])
    asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    for answer in (
        viewer.get("/v1/datasets", headers=asked),
        viewer.options("/v1/datasets", headers=asked),
        client_of(app, "none").options("/v1/datasets", headers=asked),
        viewer.get("/healthz", headers=asked),
    ):
        assert [name for name in answer.headers if name.startswith("access-control")] == []
        assert "set-cookie" not in answer.headers
        assert answer.headers["x-content-type-options"] == "nosniff"
