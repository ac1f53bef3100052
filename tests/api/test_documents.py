"""Results leave in the forms that the SDK writes, by Accept or by form=; a page can load, run and steer nothing."""

import json
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

import foldstore
from foldstore.api.app import create_app
from foldstore.api.resources import list_routes
from foldstore.api.rules import KIND, AccessRule, RuleBook
from foldstore.api.tokens import TokenVault
from tests.api.conftest import assert_problem, client_of

EVIL = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a\x1b[31mred", "x\u202eevil", "]]>"]
VERSION = "/v1/datasets/people/versions/2"
SPEC = {"sources": [{"address": "people@1"}], "steps": []}
SARIF = "application/sarif+json"
# What has forms, and a request for it: a path, and a body where it is a POST.
RESULTS = {
    "report": (f"{VERSION}/report", None),
    "validate": (f"{VERSION}:validate", {}),
    "validate rows": (
        "/v1/datasets/people:validate",
        {"rows": [{"id": 400, "town": EVIL[0], "km": 10**6, "late": True}], "name": EVIL[0]},
    ),
    "profile": (f"{VERSION}/profile", None),
    "segments": (f"{VERSION}/profile?by=town", None),
    "lineage": (f"{VERSION}/lineage", None),
    "diff": ("/v1/datasets/people:diff?before=1&after=2", None),
    "drift": (f"{VERSION}:drift", {"reference": "people@1"}),
    "drift by segment": (f"{VERSION}:drift", {"reference": "people@1", "by": ["town"]}),
    "concept drift": (f"{VERSION}:concept-drift", {"reference": "people@1", "label": "late"}),
    "two samples": (f"{VERSION}:two-sample-test", {"reference": "people@1"}),
    "trends": ("/v1/datasets/people/trends", None),
    "history": ("/v1/datasets/people/report-history", None),
    "split": ("/v1/datasets/people/versions/1/splits/halves/report", None),
    "suggested split": (f"{VERSION}:suggest-split?label=late", None),
    "bias": ("/v1/views:measure-bias", {"spec": SPEC, "label": "late", "sensitive": "town"}),
    "feasibility": ("/v1/views:feasibility", {"spec": SPEC, "label": "late", "target_error": 0.4}),
    "leakage": ("/v1/views:leakage", {"spec": SPEC}),
    "view diff": ("/v1/views:diff", {"before": SPEC, "after": SPEC}),
    "moved": ("/v1/views:moved", {"spec": SPEC}),
    "cleaning": (f"{VERSION}:suggest-cleaning", {}),
    "profile of a view": ("/v1/views:profile", {"spec": SPEC}),
    "segments of a view": ("/v1/views:profile", {"spec": SPEC, "by": ["town"]}),
    "plan table": (
        "/v1/test-pools:plan-table",
        {"condition": "n > 0.8 +/- 0.05", "reliability": 0.99, "steps": 2, "vary": {"steps": [1, 4]}},
    ),
    "plan": ("/v1/test-pools:plan", {"condition": "n > 0.8 +/- 0.05", "reliability": 0.99, "steps": 2}),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with foldstore.connect(tmp_path_factory.mktemp("documents") / "store", author="owner") as store:
        people = store.create_dataset("people", key=["id"])
        towns = ["Oslo", "Bern", "Rome"]
        late = [n % 3 == 0 for n in range(300)]
        first = people.append({"id": range(300), "town": towns * 100, "km": range(300), "late": late})
        people.set_schema(first.profile().infer_schema())
        people.append({"id": range(300, 400), "town": EVIL * 20, "km": [10**6] * 100, "late": late[:100]})
        first.split("halves", train=0.5, test=0.5, seed=1)
        yield store


@pytest.fixture(scope="module")
def app(store):
    app = create_app(store.features, TokenVault(store.registry("token"), clock=store.clock), store=store)
    yield app
    app.end()


@pytest.fixture(scope="module")
def login(store, app):
    vault = TokenVault(store.registry("token"), clock=store.clock)
    return lambda role: client_of(app, vault.create(role, author="t")[0])


@pytest.fixture(scope="module")
def admin(login):
    return login("admin")


def ask(client, name, **how):
    path, body = RESULTS[name]
    return client.get(path, **how) if body is None else client.post(path, json=body, **how)


def forms_of(name):
    path, body = RESULTS[name]
    path, method = path.partition("?")[0], "GET" if body is None else "POST"
    return next(each.forms for each in list_routes() if each.method == method and each.pattern.fullmatch(path))


EVERY = [(name, form) for name in RESULTS for form in forms_of(name)]


class Elements(HTMLParser):
    """The elements of a page, and what their attributes say."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs


def test_every_result_is_asked_for_here_or_has_a_test_of_its_own():
    asked = {(path.partition("?")[0], "GET" if body is None else "POST") for path, body in RESULTS.values()}
    left = [
        route.path
        for route in list_routes()
        if route.forms and not any(route.pattern.fullmatch(path) and route.method == method for path, method in asked)
    ]
    assert set(left) == {
        "/v1/datasets/{name}/schema",  # tests/api/test_schema_forms.py
        "/v1/schemas:export",
        "/v1/datasets/{name}/versions/{ref}/trends",  # as those of versions
        "/v1/datasets/{name}/versions/{ref}:preview-cleaning",  # below
        "/v1/test-pools/{name}:evaluate",  # below
        "/v1/feature-services/{name}/versions/{ref}:audit",  # these need lookups: tests/features/test_shadows.py
        "/v1/feature-services/{name}/versions/{ref}:skew",
        "/v1/feature-services/{name}/versions/{ref}/shadow",
    }


@pytest.mark.parametrize(("name", "form"), EVERY, ids=lambda value: getattr(value, "name", value))
def test_comes_by_accept_and_by_name(admin, name, form):
    asked = ask(admin, name, headers={"accept": f"{form.media}, application/json;q=0.5"})
    assert asked.status_code == 200, asked.text
    assert asked.headers["content-type"].partition(";")[0] == form.media
    assert asked.headers["x-content-type-options"] == "nosniff"
    assert asked.headers["vary"] == "accept"
    path, body = RESULTS[name]
    named = f"{path}{'&' if '?' in path else '?'}form={form.name}"
    again = admin.get(named) if body is None else admin.post(named, json=body)
    assert again.headers["content-type"] == asked.headers["content-type"]
    assert ask(admin, name).headers["content-type"] == "application/json"


@pytest.mark.parametrize(("name", "form"), EVERY, ids=lambda value: getattr(value, "name", value))
def test_what_values_hold_stays_text(admin, name, form):
    text = ask(admin, name, headers={"accept": form.media}).text
    assert not set(text) & {"\x1b", "\u202e", "\0", "\r"}
    if form.name != "html":
        return
    page = Elements(text)
    assert not page.tags & {"script", "img", "iframe", "object", "link", "form"}
    assert not [each for each, _ in page.attributes if each.startswith("on")]
    assert not [value for each, value in page.attributes if each in ("href", "src") and not value.startswith("#")]


def test_the_values_are_there_at_all(admin):
    for accept in ("text/html", "text/plain", SARIF, "application/xml"):
        assert "alert(1)" in ask(admin, "report", headers={"accept": accept}).text


def test_a_page_may_load_and_run_nothing(admin):
    policy = ask(admin, "report", headers={"accept": "text/html"}).headers["content-security-policy"]
    said = {part.split()[0]: part.split()[1:] for part in policy.split(";")}
    assert said["default-src"] == ["'none'"]
    assert "script-src" not in said
    assert said["frame-ancestors"] == ["'none'"]
    assert said["sandbox"] == []


def test_machines_can_read_theirs(admin):
    sarif = ask(admin, "validate", headers={"accept": SARIF}).json()
    assert sarif["version"] == "2.1.0"
    findings = len(ask(admin, "validate").json()["anomalies"])
    assert len(sarif["runs"][0]["results"]) == findings
    lines = ask(admin, "validate", headers={"accept": "application/x-ndjson"}).text.splitlines()
    assert [json.loads(line)["kind"] for line in lines].count("anomaly") == findings
    suites = ET.fromstring(ask(admin, "validate", headers={"accept": "application/xml"}).text)  # noqa: S314
    assert int(suites.get("failures")) > 0


def test_findings_are_shown_beside_a_file(admin):
    told = admin.post(f"{VERSION}:validate?form=sarif&source=data/people.csv", json={}).json()
    place = told["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert place == "data/people.csv"
    lines = admin.post(f"{VERSION}:validate?form=github&source=people.csv", json={}).text.splitlines()
    assert lines
    assert all("file=people.csv" in line for line in lines)


def test_they_are_what_the_sdk_writes(admin, store):
    version = store.version("people@2")
    assert ask(admin, "report", headers={"accept": "text/html"}).text == version.report.to_html()
    assert ask(admin, "report", headers={"accept": SARIF}).text == version.report.to_sarif()
    drift = version.drift(store.version("people@1"))
    assert ask(admin, "drift", headers={"accept": "text/html"}).text == drift.to_html()
    split = store.version("people@1").find_split("halves")
    assert ask(admin, "split", headers={"accept": "text/html"}).text == split.report().to_html()


class TestWhatNobodyCanGive:
    def test_is_refused_with_what_there_is(self, admin):
        answer = ask(admin, "report", headers={"accept": "image/png"})
        hint = assert_problem(answer, 406, "not-acceptable")["hint"]
        assert "text/html" in hint
        assert SARIF in hint

    def test_a_name_that_is_no_form(self, admin):
        answer = admin.get(f"{VERSION}/report?form=pdf")
        assert "sarif" in assert_problem(answer, 422)["hint"]

    def test_a_form_of_what_has_none(self, admin):
        assert_problem(admin.get("/v1/datasets?form=html"), 422, "unknown-parameter")

    def test_nothing_is_done_for_it(self, admin):
        path = "/v1/datasets/people/versions/1:split"
        assert_problem(admin.post(f"{path}?form=html", json={"name": "x", "train": 1}), 422, "unknown-parameter")

    def test_errors_are_problems_whatever_is_accepted(self, admin):
        answer = admin.get("/v1/datasets/nobody/versions/1/report", headers={"accept": "text/html"})
        assert_problem(answer, 404, "not-found")


def test_later_it_is_the_same_page(admin):
    at_once = ask(admin, "drift", headers={"accept": "text/html"})
    headers = {"accept": "text/html", "prefer": "respond-async, wait=30"}
    later = ask(admin, "drift", headers=headers)
    assert later.text == at_once.text
    for name in ("content-type", "content-security-policy", "referrer-policy"):
        assert later.headers[name] == at_once.headers[name]


def test_a_key_stands_for_one_form(admin):
    headers = {"prefer": "respond-async, wait=30", "idempotency-key": "a-form"}
    assert ask(admin, "drift", headers={**headers, "accept": "text/html"}).status_code == 200
    assert_problem(ask(admin, "drift", headers=headers), 422, "idempotency-key-reused")


def test_a_profile_has_a_tag_as_json_alone(admin):
    tag = ask(admin, "profile").headers["etag"]
    page = ask(admin, "profile", headers={"accept": "text/html", "if-none-match": tag})
    assert page.status_code == 200


def test_no_form_is_a_way_around_a_rule(store):
    book = RuleBook(store.registry(KIND), clock=store.clock)
    book.put(AccessRule(name="towns", datasets=("people",), roles=("viewer",), hide=("town",)), author="owner")
    vault = TokenVault(store.registry("token"), clock=store.clock)
    viewer = client_of(create_app(store.features, vault, store=store), vault.create("viewer", author="t")[0])
    for name, form in EVERY:
        if RESULTS[name][0].startswith("/v1/datasets"):
            assert_problem(ask(viewer, name, headers={"accept": form.media}), 403, "hidden-by-rule")


def test_a_cleaning_plan_is_printed(admin):
    plan = {"format": "cleaning/v1", "version": "people@2", "actions": [{"op": "set_null", "column": "km"}]}
    plan["actions"][0]["where"] = "km > 1000"
    said = admin.post(f"{VERSION}:preview-cleaning?form=text", json={"plan": plan})
    assert said.status_code == 200, said.text
    assert "100 of 400 rows change" in said.text


@pytest.fixture(scope="module")
def pool(store):
    store.create_dataset("asked", key=["id"]).append({"id": range(2_000), "late": [n % 2 == 0 for n in range(2_000)]})
    store.version("asked@1").split("halves", train=0.5, test=0.5, seed=1)
    plan = foldstore.plan_pool("n > 0.6 +/- 0.1", reliability=0.9, steps=4)
    with foldstore.connect(store.root, author="owner", role="steward") as steward:
        yield steward.pools.seal("asked", steward.split("asked@1#halves").test, label="late", plan=plan)


class TestOfAPool:
    @pytest.fixture
    def evaluator(self, login):
        return login("evaluator")

    def csv(self, pool, says):
        rows = pool.features().to_pylist()
        lines = [f"{row['pool_row']},{str(says(row)).lower()}" for row in rows]
        return "\n".join(["pool_row,prediction", *lines]) + "\n"

    def evaluate(self, client, body, **query):
        headers = {"content-type": "text/csv"} | query.pop("headers", {})
        return client.post("/v1/test-pools/asked:evaluate", params=query, content=body, headers=headers)

    def test_its_answer_is_junit_and_the_body_of_a_status(self, pool, evaluator):
        body = self.csv(pool, lambda _row: True)
        said = self.evaluate(evaluator, body, model="always", form="junit")
        assert said.headers["content-type"] == "application/xml"
        suites = ET.fromstring(said.text)  # noqa: S314
        assert (suites.get("tests"), suites.get("failures")) == ("1", "1")
        assert self.evaluate(evaluator, body, model="always", form="github-status").json() == {
            "state": "failure",
            "context": "foldstore/asked",
            "description": "failed",
        }
        assert self.evaluate(evaluator, body, model="always", form="gitlab-status").json()["state"] == "failed"

    def test_what_it_cannot_give_costs_nothing(self, pool, evaluator):
        left = pool.status().steps_left
        body = self.csv(pool, lambda row: row["id"] % 2 == 0)
        answer = self.evaluate(evaluator, body, model="right", headers={"accept": "text/html"})
        assert_problem(answer, 406, "not-acceptable")
        assert pool.status().steps_left == left
