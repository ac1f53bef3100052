"""Nobody gets in without a token that counts, on any route there is."""

import asyncio
import datetime as dt
import hmac
import logging

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Route

from foldstore.api.access import PUBLIC_PATHS, ROLES, SCOPE_BY_PATH, SCOPES
from foldstore.api.app import create_app
from foldstore.api.problem import STATUS_BY_ERROR, status_of
from foldstore.api.tokens import _with_checksum, check_token, hash_secret, parse_token
from foldstore.errors import ConflictError, CorruptObjectError, FoldstoreError, NotFoundError, StoreError, UsageError
from tests.api.conftest import AT, assert_problem, client_of

ASK = {"service": "svc@1", "entities": {"driver_id": [1]}, "at": AT}
OURS = "/v1/features:get"


def _routes(app):
    """Walk every route; a mounted app or router would hide some, so there must be none."""
    for route in app.routes:
        assert isinstance(route, Route | APIRoute), f"{route} hides routes from this test"
        for method in route.methods:
            yield method, route.path


def test_every_route_but_the_public_ones_needs_a_token(app, anonymous):
    walked = set()
    for method, path in _routes(app):
        walked.add(path)
        answer = anonymous.request(method, path)
        if path in PUBLIC_PATHS:
            assert answer.status_code == 200
        elif method == "HEAD":
            assert answer.status_code == 401
        else:
            assert_problem(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"] == "Bearer"
    assert walked == PUBLIC_PATHS | SCOPE_BY_PATH.keys()


def test_the_public_routes_are_these_three():
    assert {"/healthz", "/readyz", "/version"} == PUBLIC_PATHS


def test_a_route_that_nobody_declared_does_not_exist(app, client, anonymous):
    app.router.routes.append(Route("/secret", lambda request: None))
    assert_problem(anonymous.get("/secret"), 401, "unauthenticated")
    assert_problem(client.get("/secret"), 404, "not-found")


def test_a_websocket_is_closed(app):
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(app({"type": "websocket", "path": "/healthz", "headers": []}, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_probes_need_no_token(anonymous):
    assert anonymous.get("/healthz").json() == {"status": "ok"}
    assert anonymous.get("/readyz").json() == {"status": "ready"}
    assert anonymous.get("/version").json()["api"] == "v1"


def test_a_server_that_is_not_ready_says_so(features, vault):
    client = client_of(create_app(features, vault, is_ready=lambda: False), "none")
    assert_problem(client.get("/readyz"), 503, "not-ready")


def test_an_answer_is_not_kept_and_not_guessed_at(client):
    headers = client.post(OURS, json=ASK).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"


PATHS = [
    "/",
    "/nothing",
    "/healthz/",
    "/healthz/..",
    "//healthz",
    "/healthz%00",
    "/healthz/../v1/features:get",
    "/v1/features:get/",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/..%2f..%2fetc%2fpasswd",
    "/v1/features:get%0d%0aX-Evil:1",
    "/HEALTHZ",
    "/docs",
    "/redoc",
]


@pytest.mark.parametrize("path", PATHS)
def test_other_paths_are_closed_without_a_token_and_empty_with_one(anonymous, client, path):
    from urllib.parse import unquote

    plain = unquote(path.split("?")[0])
    answer = anonymous.get(path)
    if answer.request.url.path in PUBLIC_PATHS:
        pytest.skip("the client itself made this a public path")
    assert plain not in PUBLIC_PATHS
    assert_problem(answer, 401, "unauthenticated")
    assert_problem(client.get(path), client.get(path).status_code)
    assert client.get(path).status_code in {404, 405}


def test_another_method_is_refused_with_what_is_allowed(client, anonymous):
    answer = client.get(OURS)
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"
    assert_problem(anonymous.post("/healthz"), 405, "method-not-allowed")


WRONG = {
    "another scheme": "Basic {token}",
    "no scheme": "{token}",
    "nothing behind it": "Bearer ",
    "cut": "Bearer {cut}",
    "one letter changed": "Bearer {changed}",
    "another checksum": "Bearer {unchecked}",
    "a space behind it": "Bearer {token} ",
    "two": "Bearer {token}, Bearer {token}",
    "not ascii": "Bearer {token}é",
    "very long": "Bearer " + "a" * 10_000,
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_token_is_no_token(anonymous, token, name):
    text = token[0]
    changed = text[:20] + ("a" if text[20] != "a" else "b") + text[21:]
    unchecked = text[:-1] + ("a" if text[-1] != "a" else "b")
    header = WRONG[name].format(token=text, cut=text[:-3], changed=changed, unchecked=unchecked)
    answer = anonymous.post(OURS, json=ASK, headers={"authorization": header.encode("latin-1")})
    assert_problem(answer, 401, "unauthenticated")


def test_two_headers_are_no_token(app, token):
    header = ("authorization", f"Bearer {token[0]}")
    assert_problem(client_of(app, token[0]).post(OURS, json=ASK, headers=[header, header]), 401)


def test_a_token_of_another_store_is_no_token(anonymous, vault, token, tmp_path):
    other, _ = vault.create("serving", author="tester")
    mixed_id = other.split("_")[1]
    mixed = _with_checksum(f"foldstore_{mixed_id}_{token[0].split('_')[2]}")
    answer = anonymous.post(OURS, json=ASK, headers={"authorization": f"Bearer {mixed}"})
    assert_problem(answer, 401, "unauthenticated")


def test_a_token_counts_until_it_expires(client, clock):
    assert client.post(OURS, json=ASK).status_code == 200
    clock.now += dt.timedelta(days=1)
    assert_problem(client.post(OURS, json=ASK), 401, "unauthenticated")


def test_a_revoked_token_stops_within_seconds(client, clock, vault, token):
    assert client.post(OURS, json=ASK).status_code == 200
    revoked = vault.revoke(token[1].id, author="tester")
    clock.now += dt.timedelta(seconds=3)
    assert_problem(client.post(OURS, json=ASK), 401, "unauthenticated")
    assert vault.revoke(token[1].id, author="tester").revoked_at == revoked.revoked_at


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_role_reads_features_when_it_has_the_scope(app, vault, role):
    answer = client_of(app, vault.create(role, author="tester")[0]).post(OURS, json=ASK)
    if "features:read" in ROLES[role]:
        assert answer.status_code == 200
    else:
        assert_problem(answer, 403, "refused")


def test_a_wrong_role_is_refused_before_the_body_is_read(app, vault):
    client = client_of(app, vault.create("evaluator", author="tester")[0])
    assert_problem(client.post(OURS, content=b"no json"), 403, "refused")


def test_only_a_steward_opens_labels():
    assert [role for role in ROLES if "labels:open" in ROLES[role]] == ["steward"]
    assert frozenset().union(*ROLES.values()) == SCOPES


def test_a_token_may_have_fewer_scopes_than_its_role(app, vault):
    text, token = vault.create("viewer", author="tester", scopes=["datasets:read"])
    assert token.scopes == ("datasets:read",)
    assert_problem(client_of(app, text).post(OURS, json=ASK), 403, "refused")
    with pytest.raises(UsageError, match="does not have the scope"):
        vault.create("viewer", author="tester", scopes=["admin"])
    with pytest.raises(UsageError, match="no role"):
        vault.create("owner", author="tester")
    with pytest.raises(UsageError, match="expired already"):
        vault.create("viewer", author="tester", expires_in=dt.timedelta(0))


def test_the_secret_is_not_kept_and_not_shown(vault, token, tmp_path):
    text, kept = token
    token_id, secret = parse_token(text)
    assert token_id == kept.id
    assert secret not in repr(kept)
    assert kept.secret_hash not in repr(kept)
    assert "secret" not in str(kept.to_dict())
    assert vault.list() == [vault.find(token_id)]
    for path in (tmp_path / "store").glob("catalog.db*"):
        assert secret.encode() not in path.read_bytes()


def test_an_unknown_token_takes_the_same_work(token, clock, monkeypatch):
    seen = []
    original = hmac.compare_digest

    def compare(left, right):
        seen.append((len(left), len(right)))
        return original(left, right)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for known in (token[1], None):
        with pytest.raises(FoldstoreError, match="valid token"):
            check_token(known, hash_secret("x" * 43), clock())
    assert seen == [(64, 64)] * 2


def test_revoking_an_unknown_token_says_which_there_are(vault):
    with pytest.raises(NotFoundError, match="no token"):
        vault.revoke("zzzzzzzz", author="tester")


def test_an_error_inside_tells_the_caller_a_number_and_the_log_the_rest(app, client, features, monkeypatch, caplog):
    def fail(*_, **__):
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(features, "get_online_features", fail)
    with caplog.at_level(logging.ERROR):
        body = assert_problem(client.post(OURS, json=ASK), 500, "internal")
    assert "hunter2" not in str(body)
    assert body["instance"] in caplog.text
    assert "hunter2" in caplog.text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (CorruptObjectError("/srv/secret is damaged"), 500),
        (StoreError("no store in /srv/secret"), 503),
        (ConflictError("somebody else", retry=True), 409),
        (UsageError("wrong"), 422),
    ],
)
def test_each_error_has_its_status_and_no_path_leaves(client, features, monkeypatch, error, status):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(features, "get_online_features", fail)
    assert_problem(client.post(OURS, json=ASK), status)


def _descendants(kind):
    for child in kind.__subclasses__():
        yield child
        yield from _descendants(child)


def test_every_error_has_a_status():
    for kind in {FoldstoreError, *_descendants(FoldstoreError)}:
        made = kind.__new__(kind)
        assert 400 <= status_of(made) < 600
    assert all(issubclass(kind, FoldstoreError) for kind in STATUS_BY_ERROR)


def test_the_description_of_the_api_needs_a_token_and_names_every_route(app, client):
    described = client.get("/openapi.json").json()["paths"]
    assert described.keys() == PUBLIC_PATHS | (SCOPE_BY_PATH.keys() - {"/openapi.json"})


@pytest.mark.parametrize("label", ["\ud800", "a\udfff", None, 5])
def test_a_label_that_is_not_text_is_refused(vault, label):
    with pytest.raises(UsageError, match="not text"):
        vault.create("viewer", author="tester", label=label)
    assert vault.list() == []


def test_a_token_beyond_the_calendar_is_refused(vault):
    with pytest.raises(UsageError, match="year 9999") as error:
        vault.create("viewer", author="tester", expires_in=dt.timedelta(days=99_999_999))
    assert error.value.hint
    assert vault.list() == []


@pytest.mark.parametrize("token_id", ["\udcff", "", "a" * 7, "../../x", "A" * 8])
def test_revoking_what_is_no_token_is_answered_in_words(vault, token_id):
    with pytest.raises(NotFoundError, match="There is no token") as error:
        vault.revoke(token_id, author="tester")
    assert error.value.hint
