"""Rows that are judged over HTTP before they are committed: the forms they come in, and who may."""

import json

import pytest

import foldstore
from foldstore.api.app import create_app
from foldstore.api.rules import KIND, AccessRule, RuleBook
from foldstore.api.tokens import TokenVault
from tests.api.conftest import assert_problem, client_of

PATH = "/v1/datasets/people:validate"
SCHEMA = {"keys": ["id"], "columns": {"id": {"type": "int64"}, "age": {"type": "int64", "domain": {"min": 0}}}}
BAD = [{"id": 4, "age": -5}]
CSV = {"content-type": "text/csv"}


@pytest.fixture
def store(folder):
    with foldstore.connect(folder, author="owner") as store:
        people = store.create_dataset("people", key=["id"])
        people.append({"id": [1, 2], "age": [34, 51]})
        people.set_schema(foldstore.DataSchema.from_dict(SCHEMA))
        store.create_dataset("secret", key=["id"]).append({"id": [77]})
        yield store


@pytest.fixture
def login(store):
    vault = TokenVault(store.registry("token"), clock=store.clock)
    app = create_app(store.features, vault, store=store)
    yield lambda role="viewer", **how: client_of(app, vault.create(role, author="t", **how)[0])
    app.end()


def part(document, rows=b"id,age\n4,-5\n", kind="text/csv", name="rows"):
    return [("request", (None, json.dumps(document), "application/json")), (name, ("x", rows, kind))]


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ({"json": BAD}, "the data"),
        ({"json": {"rows": BAD, "name": "today"}}, "today"),
        ({"json": {"rows": BAD, "schema": SCHEMA}}, "the data"),
        ({"content": b"id,age\n4,-5\n", "headers": CSV, "params": {"name": "today.csv"}}, "today.csv"),
        ({"content": b'{"id": 4, "age": -5}\n', "headers": {"content-type": "application/x-ndjson"}}, "the data"),
        ({"files": part({"schema": SCHEMA, "name": "parts"})}, "parts"),
    ],
)
def test_rows_come_in_every_form(login, store, sent, name):
    answer = login().post(PATH, **sent)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["subject"], told["rows"], told["passed"]) == (name, 1, False)
    assert [(each["code"], each["column"]) for each in told["anomalies"]] == [("below_min", "age")]
    assert len(store.dataset("people").versions()) == 1


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ({"json": {}}, 422, "usage"),
        ({"json": {"rows": "rows"}}, 400, "malformed-body"),
        ({"json": {"rows": BAD, "checks": []}}, 422, "unknown-member"),
        ({"json": {"rows": BAD, "schema": {"columns": {"id": {"type": "int64", "x": 1}}}}}, 422, "invalid-schema"),
        ({"json": {"rows": BAD, "branch": "none"}}, 404, "not-found"),
        ({"json": {"rows": BAD, "name": "x" * 201}}, 422, "usage"),
        ({"files": part({}, name="other")}, 422, "usage"),
        ({"files": part({"rows": BAD})}, 422, "usage"),
        ({"files": part({}, rows=b"ARROW1", kind="application/vnd.apache.arrow.file")}, 422, "malformed-rows"),
        ({"content": b"\x00", "headers": {"content-type": "application/x-pickle"}}, 400, "malformed-body"),
    ],
)
def test_what_cannot_be_judged_is_said(login, sent, status, code):
    assert_problem(login().post(PATH, **sent), status, code)


def test_whom_names_and_rules_keep_out(login, store):
    assert_problem(login("viewer", names=["mine"]).post(PATH, json=BAD), 404)
    assert_problem(login("serving").post(PATH, json=BAD), 403)
    book = RuleBook(store.registry(KIND), clock=store.clock)
    book.put(AccessRule(name="r", datasets=("people",), roles=("viewer",), hide=("age",)), author="t")
    assert_problem(login().post(PATH, json=BAD), 403, "hidden-by-rule")
    assert login("editor").post(PATH, json=BAD).status_code == 200


@pytest.mark.parametrize("value", [77, 78])
def test_a_foreign_key_tells_nothing_of_what_a_token_is_not_for(login, value):
    """Rows could be tried against another dataset's keys, by a schema of one's own."""

    def ask(client, dataset):
        schema = {"columns": {"id": {"type": "int64"}}, "refs": [{"columns": ["id"], "dataset": dataset}]}
        return client.post(PATH, json={"rows": [{"id": value}], "schema": schema})

    bounded = login("viewer", names=["people"])
    answers = [ask(bounded, dataset) for dataset in ("secret", "secre1")]
    told = [[each["message"] for each in answer.json()["anomalies"]] for answer in answers]
    assert told[0] == ["refs[0] cannot be judged: There is nothing called 'secret' here."]
    assert told[1] == ["refs[0] cannot be judged: There is nothing called 'secre1' here."]
    open_to_all = ask(login(), "secret").json()
    assert (open_to_all["passed"], len(open_to_all["anomalies"])) == (value == 77, int(value != 77))
