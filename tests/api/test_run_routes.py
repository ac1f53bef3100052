"""Runs over HTTP: begun, told what they read and made, ended; and who may add to whose."""

import threading

import pytest

import foldstore
from foldstore.api.app import create_app
from foldstore.api.rules import KIND, AccessRule, RuleBook
from foldstore.api.tokens import TokenVault
from tests.api.conftest import assert_problem, client_of

ROWS = "/v1/datasets/people/versions"
CSV = {"content-type": "text/csv"}


@pytest.fixture
def store(folder):
    with foldstore.connect(folder, author="owner") as store:
        store.create_dataset("people", key=["id"]).append({"id": [1, 2]})
        store.create_dataset("secret", key=["id"]).append({"id": [77]})
        store.view("people@1").save("everyone")
        yield store


@pytest.fixture
def login(store):
    vault = TokenVault(store.registry("token"), clock=store.clock)
    app = create_app(store.features, vault, store=store)
    yield lambda role="editor", **how: client_of(app, vault.create(role, author="t", **how)[0])
    app.end()


@pytest.fixture
def editor(login):
    return login()


def begun(client, **how):
    answer = client.post("/v1/runs", json={"name": "train", **how})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v1/runs/{answer.json()['id']}"
    return answer.json()["id"]


def addresses(client, run):
    told = client.get(f"/v1/runs/{run}").json()
    return [each["asked"] for each in told["inputs"]], [each["asked"] for each in told["outputs"]]


def test_a_run_from_its_beginning_to_its_end(editor):
    code = {"script": "train.py", "commit": "4f2a", "dirty": False}
    run = begun(editor, params={"depth": 6, "password": "x"}, message="m", code=code, environment={"python": "3"})
    told = editor.get(f"/v1/runs/{run}").json()
    assert (told["status"], told["params"], told["code"], told["environment"], told["message"]) == (
        *("running", {"depth": 6, "password": "(masked)"}),
        *(code, {"python": "3"}, "m"),
    )
    assert told["ended_at"] is None
    used = editor.post(f"/v1/runs/{run}:use", json={"addresses": ["people", "everyone@1"]})
    assert [each["asked"] for each in used.json()["inputs"]] == ["people", "everyone@1"]
    version = editor.post(ROWS, content="id\n3\n", headers=CSV).json()["address"]
    assert editor.post(f"/v1/runs/{run}:made", json={"addresses": [version]}).status_code == 200
    error = {"type": "ValueError", "message": "secret=abc"}
    ended = editor.post(f"/v1/runs/{run}:end", json={"status": "failed", "error": error})
    assert (ended.json()["status"], ended.json()["error"]["message"]) == ("failed", "secret=(masked)")
    again = editor.post(f"/v1/runs/{run}:end", json={"status": "failed"})
    assert (again.status_code, again.json()) == (200, ended.json())
    assert_problem(editor.post(f"/v1/runs/{run}:end", json={"status": "succeeded"}), 409, "run-over")
    assert_problem(editor.post(f"/v1/runs/{run}:use", json={"addresses": ["people"]}), 422, "run-over")
    assert addresses(editor, run) == (["people", "everyone@1"], ["people@2"])


def test_a_header_notes_what_requests_look_up_and_commit(editor):
    run = begun(editor)
    header = {"foldstore-run": run}
    assert editor.get(f"{ROWS}/latest", headers=header).status_code == 200
    sql = editor.post("/v1/sql", json={"sql": 'SELECT * FROM "secret@1"'}, headers=header)
    assert sql.status_code == 200, sql.text
    assert editor.post(ROWS, content="id\n3\n", headers={**CSV, **header}).status_code == 201
    later = {**CSV, **header, "prefer": "respond-async, wait=30"}
    assert editor.post(ROWS, content="id\n4\n", headers=later).status_code == 201
    assert editor.get(f"{ROWS}/1").status_code == 200
    assert addresses(editor, run) == (["people", "secret@1"], ["people@2", "people@3"])


def test_the_same_key_begins_one_run(editor):
    key = {"idempotency-key": "k"}
    first = editor.post("/v1/runs", json={"name": "train"}, headers=key)
    again = editor.post("/v1/runs", json={"name": "train"}, headers=key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    other = editor.post("/v1/runs", json={"name": "test"}, headers=key)
    assert_problem(other, 422, "idempotency-key-reused")
    assert len(editor.get("/v1/runs").json()["items"]) == 1


def test_the_same_key_begins_one_run_at_the_same_time(editor):
    start, answers = threading.Barrier(6), []

    def begin():
        start.wait()
        answers.append(editor.post("/v1/runs", json={"name": "train"}, headers={"idempotency-key": "k"}))

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1


def test_a_repetition_reads_what_was_read(editor, store):
    first = begun(editor)
    editor.post(f"/v1/runs/{first}:use", json={"addresses": ["people"]})
    store.dataset("people").append({"id": [9]})
    run = begun(editor, repeats=first)
    assert editor.get(f"{ROWS}/latest", headers={"foldstore-run": run}).json()["version"] == 1
    assert editor.get(f"{ROWS}/latest").json()["version"] == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "No Name"},
        {"name": "../x"},
        {"name": "x", "params": []},
        {"name": "x", "params": {"a": "y" * 70_000}},
        {"name": "x", "message": "y" * 10_001},
        {"name": "x", "code": {"a": "y" * 70_000}},
        {"name": "x", "repeats": "abcdef"},
        {"name": "x", "repeats": "%"},
        {"name": "x", "id": "0" * 32},
        {"name": "x", "author": "root"},
    ],
)
def test_what_is_no_run_is_refused(editor, store, body):
    answer = editor.post("/v1/runs", json=body)
    assert_problem(answer, 404 if body.get("repeats") == "abcdef" else 422)
    assert store.runs.list() == []


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("use", {}),
        ("use", {"addresses": []}),
        ("use", {"addresses": ["people"] * 1_001}),
        ("use", {"addresses": ["nowhere"]}),
        ("use", {"addresses": ["people@9"]}),
        ("use", {"addresses": ["/etc/passwd"]}),
        ("use", {"addresses": [7]}),
        ("made", {"addresses": ["everyone@1"]}),
        ("made", {"addresses": ["people@1"]}),
        ("end", {"status": "running"}),
        ("end", {"status": "failed", "error": {"type": "E", "trace": "x"}}),
        ("end", {"status": "failed", "error": {"type": 7}}),
    ],
)
def test_what_cannot_be_noted_is_refused(editor, verb, body):
    run = begun(editor)
    answer = editor.post(f"/v1/runs/{run}:{verb}", json=body)
    assert answer.status_code in (403, 404, 422), answer.text
    assert_problem(answer, answer.status_code)
    assert addresses(editor, run) == ([], [])
    assert editor.get(f"/v1/runs/{run}").json()["status"] == "running"


class TestWhoMay:
    def test_nobody_adds_to_the_run_of_another(self, editor, login, store):
        run = begun(editor)
        for other in (login(), login("admin")):
            assert_problem(other.post(f"/v1/runs/{run}:use", json={"addresses": ["people"]}), 404)
            assert_problem(other.post(f"/v1/runs/{run}:end", json={"status": "succeeded"}), 404)
            assert_problem(other.get(f"{ROWS}/1", headers={"foldstore-run": run}), 404)
            refused = other.post(ROWS, content="id\n3\n", headers={**CSV, "foldstore-run": run})
            assert_problem(refused, 404)
        assert addresses(editor, run) == ([], [])
        assert store.version("people").number == 1

    @pytest.mark.parametrize("run", ["0" * 32, "abcdef", "x", "../x", "%", "0" * 33])
    def test_a_run_that_is_not_there_is_no_run(self, editor, store, run):
        answer = editor.post(ROWS, content="id\n3\n", headers={**CSV, "foldstore-run": run})
        assert answer.status_code in (404, 422)
        assert store.version("people").number == 1

    @pytest.mark.parametrize("asked", ["secret@1", "people@2", "../x", "people@1#x.train"])
    def test_the_header_of_an_address_is_no_way_to_another(self, editor, asked):
        run = begun(editor)
        headers = {"foldstore-run": run, "foldstore-asked": asked}
        answer = editor.get(f"{ROWS}/latest", headers=headers)
        noted = addresses(editor, run)[0]
        assert (answer.status_code, noted) in [(200, ["people"]), (422, [])], answer.text

    def test_a_role_that_writes(self, login):
        for role in ("viewer", "serving", "evaluator", "steward", "monitor"):
            assert_problem(login(role).post("/v1/runs", json={"name": "x"}), 403)

    def test_names_bound_it(self, editor, login, store):
        bounded = login(names=["people"])
        run = begun(bounded)
        for address in ("secret", "secret@1", "everyone@1"):
            assert_problem(bounded.post(f"/v1/runs/{run}:use", json={"addresses": [address]}), 404)
        assert_problem(bounded.post(f"/v1/runs/{run}:made", json={"addresses": ["secret@1"]}), 404)
        other = begun(editor)
        editor.post(f"/v1/runs/{other}:use", json={"addresses": ["secret"]})
        assert_problem(bounded.post("/v1/runs", json={"name": "x", "repeats": other}), 404)
        assert addresses(bounded, run) == ([], [])

    @pytest.mark.parametrize("where", [None, "id > 1"])
    def test_a_view_of_what_a_token_is_not_for_is_not_noted(self, login, store, where):
        view = store.view("secret@1")
        (view if where is None else view.where(where)).save("people.hidden")
        bounded = login(names=["people*"])
        run = begun(bounded)
        for address in ("people.hidden", "people.hidden@1"):
            assert_problem(bounded.post(f"/v1/runs/{run}:use", json={"addresses": [address]}), 404)
            place = f"/v1/views/people.hidden/versions/{address.partition('@')[2] or 'latest'}/rows"
            assert_problem(bounded.get(place, headers={"foldstore-run": run}), 404)
        assert addresses(bounded, run) == ([], [])

    def test_whom_a_rule_meets_records_nothing(self, login, store):
        book = RuleBook(store.registry(KIND), clock=store.clock)
        book.put(AccessRule(name="r", datasets=("people",), roles=("editor",), where="id = 1"), author="t")
        assert_problem(login().post("/v1/runs", json={"name": "x"}), 403, "hidden-by-rule")
        assert store.runs.list() == []
