"""Resources over HTTP: what the SDK can, with the same words, and nothing without the scope for it."""

import datetime as dt
import io
import json
import warnings
from http.client import HTTPConnection, IncompleteRead

import pyarrow as pa
import pyarrow.csv
import pytest

import foldstore
from foldstore.api.access import ROLES
from foldstore.api.app import create_app
from foldstore.api.media import choose_media
from foldstore.api.problem import NotAcceptableError
from foldstore.api.request_body import Limits
from foldstore.api.resources import list_routes
from foldstore.api.row_forms import MEDIA
from foldstore.api.server import BackgroundServer
from foldstore.api.tokens import TokenVault
from foldstore.errors import UsageError
from foldstore.types import format_time, utc_now
from tests.api.conftest import assert_problem, client_of

ARROW = "application/vnd.apache.arrow.stream"
PEOPLE = {"id": [1, 2, 3, 4], "age": [34, 51, 7, None], "city": ["Oslo", "Bern", "Rome", "Oslo"]}


@pytest.fixture
def store(folder):
    with foldstore.connect(folder, author="owner") as store:
        people = store.create_dataset("people", key=["id"])
        people.append(PEOPLE)
        people.append({"id": [5], "age": [60], "city": ["Ghent"]})
        store.create_dataset("secret").append({"x": [1, 2]})
        yield store


@pytest.fixture
def server(store):
    vault = TokenVault(store.registry("token"), clock=store.clock)
    return create_app(store.features, vault, store=store), vault


@pytest.fixture
def login(server):
    app, vault = server

    def client(role, **how):
        return client_of(app, vault.create(role, author="tester", **how)[0])

    return client


@pytest.fixture
def viewer(login):
    return login("viewer")


@pytest.fixture
def editor(login):
    return login("editor")


def stream(data):
    sink = io.BytesIO()
    table = pa.table(data)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def commit(client, data, path="/v1/datasets/people/versions", **headers):
    return client.post(path, content=stream(data), headers={"content-type": ARROW, **headers})


class TestTheGate:
    def test_every_route_asks_for_a_token_and_for_its_scope(self, server, login):
        app, _ = server
        anonymous = client_of(app, "none")
        by_role = {role: login(role) for role in ROLES}
        for route in list_routes():
            path = route.path.replace("{", "").replace("}", "")
            assert_problem(anonymous.request(route.method, path), 401, "unauthenticated")
            for role, client in by_role.items():
                if route.scope is not None and route.scope not in ROLES[role]:
                    assert_problem(client.request(route.method, path, json={}), 403)

    def test_every_route_is_one_that_the_app_has_and_describes(self, server, viewer):
        app, _ = server
        described = viewer.get("/openapi.json").json()["paths"]
        there = {(method, route.path) for route in app.routes for method in route.methods}
        for route in list_routes():
            assert (route.method, route.starlette_path) in there
            assert described[route.path][route.method.lower()]["x-scope"] == route.scope

    def test_examples_are_what_the_routes_take(self):
        for route in list_routes():
            assert (route.example is None) == (route.body in ("none", "rows"))

    @pytest.mark.parametrize(
        "path",
        [
            "/v1/datasets/..%2f..%2fetc/versions",
            "/v1/datasets/%2e%2e/versions",
            "/v1/datasets/people%00/versions",
            "/v1/datasets/people%23train",
            "/v1/datasets/" + "a" * 5000,
            "/v1/datasets/people;x/versions",
            "/v1/datasets/a%0d%0ab",
            "/v1/datasets//versions",
            "/v1/datasets/people/",
            "/v1/views/..%5c..%5cx",
            "/v1/runs/%2e%2e",
            "/v1/tokens/x",
        ],
    )
    def test_names_that_are_none_find_nothing(self, viewer, path):
        answer = viewer.get(path)
        assert answer.status_code in {404, 405, 422}
        assert_problem(answer, answer.status_code)

    def test_a_token_of_some_names_sees_nothing_else(self, login):
        bounded = login("editor", names=["peo*"])
        assert [each["name"] for each in bounded.get("/v1/datasets").json()["items"]] == ["people"]
        there, not_there = (bounded.get(f"/v1/datasets/{name}").json() for name in ("secret", "nothing"))
        assert {**there, "instance": ""} == {
            **not_there,
            "instance": "",
            "detail": not_there["detail"].replace("nothing' here", "secret' here"),
        }
        for ask in ("SELECT * FROM hidden", "SELECT * FROM people, secret", "SELECT * FROM foldstore.versions"):
            answer = bounded.post("/v1/sql", json={"sql": ask})
            assert answer.status_code in {403, 404}
            assert "x" not in answer.json().get("rows", "")
        assert_problem(
            bounded.post("/v1/views:read", json={"spec": {"sources": [{"address": "secret@1"}], "steps": []}}), 404
        )
        assert_problem(bounded.post("/v1/datasets/people/versions/2:drift", json={"reference": "secret@1"}), 404)
        assert_problem(bounded.post("/v1/datasets", json={"name": "mine"}), 404)
        assert_problem(bounded.get("/v1/lineage", params={"address": "secret@1"}), 404)
        assert_problem(bounded.get("/v1/lineage", params={"address": "people@1"}), 403)
        assert_problem(bounded.get("/v1/datasets/people/versions/1/lineage"), 403)

    def test_a_pattern_that_is_none_is_refused(self, server):
        _, vault = server
        for names in ([], ["a b"], ["../x"], "people"):
            with pytest.raises(UsageError):
                vault.create("viewer", author="a", names=names)

    def test_more_requests_than_may_wait_are_sent_away(self, store, server):
        _, vault = server
        app = create_app(store.features, vault, store=store, limits=Limits(max_waiting=0))
        answer = client_of(app, vault.create("viewer", author="a")[0]).get("/v1/datasets")
        assert_problem(answer, 503, "busy")
        assert answer.headers["retry-after"] == "1"


class TestDatasets:
    def test_are_made_described_and_found(self, editor, store):
        made = editor.post("/v1/datasets", json={"name": "cities", "key": ["city"]})
        assert made.status_code == 201
        assert made.headers["location"] == "/v1/datasets/cities"
        said = editor.post("/v1/datasets/cities:describe", json={"owner": "ana", "tags": ["geo"]}).json()
        assert (said["owner"], said["tags"], said["key"]) == ("ana", ["geo"], ["city"])
        found = editor.get("/v1/datasets", params={"tag": "geo"}).json()["items"]
        assert [each["name"] for each in found] == ["cities"]
        assert store.dataset("cities").key == ("city",)

    def test_pages_do_not_shift_when_something_comes_between(self, viewer, store):
        first = viewer.get("/v1/datasets", params={"limit": 1}).json()
        store.create_dataset("aaa")
        second = viewer.get("/v1/datasets", params={"limit": 1, "cursor": first["next_cursor"]}).json()
        assert [first["items"][0]["name"], second["items"][0]["name"]] == ["people", "secret"]
        assert second["next_cursor"] is None
        assert_problem(viewer.get("/v1/datasets", params={"cursor": "!"}), 422, "invalid-cursor")

    @pytest.mark.parametrize(
        "body",
        [[], "x", {"name": 1}, {"name": "../x"}, {"name": "a", "key": "id"}, {"nam": "a"}, {"name": "people"}, {}],
    )
    def test_what_makes_no_dataset_is_refused(self, editor, body):
        answer = editor.post("/v1/datasets", json=body)
        assert_problem(answer, 409 if body == {"name": "people"} else 422)

    def test_unknown_and_doubled_parameters_are_refused(self, viewer):
        assert_problem(viewer.get("/v1/datasets?limt=1"), 422, "unknown-parameter")
        assert "limit" in viewer.get("/v1/datasets?limt=1").json()["hint"]
        assert_problem(viewer.get("/v1/datasets?limit=1&limit=2"), 422)
        for limit in ("0", "-1", "1001", "1e3", "\u0661", "9" * 30):
            assert_problem(viewer.get("/v1/datasets", params={"limit": limit}), 422)


class TestCommits:
    def test_rows_come_as_arrow_csv_and_json_lines(self, editor, store):
        answer = commit(editor, {"id": [6], "age": [1], "city": ["Kyiv"]})
        assert (answer.status_code, answer.json()["version"]) == (201, 3)
        assert answer.headers["location"] == "/v1/datasets/people/versions/3"
        path = "/v1/datasets/people/versions"
        text = editor.post(path, content=b"id,age,city\n7,2,Lima\n", headers={"content-type": "text/csv"})
        lines = editor.post(
            path, content=b'{"id":8,"age":3,"city":"Bonn"}\n', headers={"content-type": "application/x-ndjson"}
        )
        assert (text.json()["version"], lines.json()["version"]) == (4, 5)
        assert store.version("people").to_arrow()["id"].to_pylist() == [1, 2, 3, 4, 5, 6, 7, 8]

    def test_bear_the_name_of_the_token(self, login, store):
        client = login("editor", label="nightly")
        assert commit(client, {"id": [6], "age": [1], "city": ["Kyiv"]}).json()["author"].startswith("nightly (token ")

    def test_upsert_and_delete(self, editor, store):
        path = "/v1/datasets/people/versions?operation=upsert"
        assert commit(editor, {"id": [1], "age": [35], "city": ["Oslo"]}, path).json()["operation"] == "upsert"
        gone = editor.post("/v1/datasets/people:delete", json={"where": "id = 2"})
        assert (gone.status_code, gone.json()["operation"]) == (201, "delete")
        found = dict(zip(*store.version("people").to_arrow(["id", "age"]).to_pydict().values(), strict=True))
        assert found == {1: 35, 3: 7, 4: None, 5: 60}

    def test_a_request_that_is_sent_again_commits_once(self, editor, store):
        row = {"id": [6], "age": [1], "city": ["Kyiv"]}
        first, second = (commit(editor, row, **{"idempotency-key": "abc"}).json() for _ in range(2))
        assert first == second
        assert store.version("people").number == 3
        other = commit(editor, {"id": [7], "age": [1], "city": ["Kyiv"]}, **{"idempotency-key": "abc"})
        assert_problem(other, 422, "idempotency-key-reused")
        assert store.version("people").number == 3
        assert_problem(commit(editor, row, **{"idempotency-key": "a b"}), 422, "invalid-idempotency-key")

    def test_keys_of_two_tokens_are_two_keys(self, login):
        rows = [{"id": [6], "age": [1], "city": ["Kyiv"]}, {"id": [7], "age": [1], "city": ["Kyiv"]}]
        answers = [commit(login("editor"), row, **{"idempotency-key": "abc"}) for row in rows]
        assert [answer.json()["version"] for answer in answers] == [3, 4]

    @pytest.mark.parametrize("body", [b"", b"\xff\xff\xff\xff", b"ARROW1", stream(PEOPLE)[:-40], b"PAR1" * 10])
    def test_broken_arrow_is_refused_and_nothing_is_committed(self, editor, store, body):
        answer = editor.post("/v1/datasets/people/versions", content=body, headers={"content-type": ARROW})
        assert_problem(answer, answer.status_code)
        assert answer.status_code in {400, 422}
        assert store.version("people").number == 2

    def test_every_flipped_byte_of_arrow_is_refused_or_read(self, editor, store):
        """Bytes that somebody made may not end the process, nor commit what is half-read."""
        whole = stream({"id": [90], "age": [1], "city": ["x"]})
        for place in range(0, len(whole), 7):
            body = bytearray(whole)
            body[place] ^= 0xFF
            answer = editor.post("/v1/datasets/people/versions", content=bytes(body), headers={"content-type": ARROW})
            assert answer.status_code in {201, 400, 409, 422}, answer.text
            assert "foldstore-" not in answer.text

    def test_a_body_of_another_kind_or_size_is_refused(self, store, server, editor):
        assert_problem(
            editor.post("/v1/datasets/people/versions", content=b"x", headers={"content-type": "image/png"}), 415
        )
        _, vault = server
        app = create_app(store.features, vault, store=store, limits=Limits(max_rows_bytes=100))
        small = client_of(app, vault.create("editor", author="a")[0])
        assert_problem(commit(small, PEOPLE), 413, "body-too-large")

    def test_a_version_that_its_gate_refused_says_so(self, editor, store):
        people = store.dataset("people")
        people.set_schema(people.latest.profile().infer_schema())
        answer = commit(editor, {"id": [9], "age": [1], "city": [None]})
        assert answer.status_code == 201
        if answer.json()["status"] == "quarantined":
            report = editor.get("/v1/datasets/people/versions/3/report").json()
            assert report["passed"] is False
            assert editor.get("/v1/datasets/people/reviews").json()["items"][0]["address"] == "people@3"
            released = editor.post("/v1/datasets/people/versions/3:release", json={"reason": "fine"})
            assert (released.status_code, released.json()["status"]) == (201, "published")


class TestVersions:
    def test_are_listed_and_described(self, viewer):
        found = viewer.get("/v1/datasets/people/versions").json()["items"]
        assert [(each["version"], each["rows"]) for each in found] == [(1, 4), (2, 5)]
        latest = viewer.get("/v1/datasets/people/versions/latest").json()
        assert latest["address"] == "people@2"
        assert latest["columns"][1] == {"name": "age", "type": "int64", "nullable": True}
        assert_problem(viewer.get("/v1/datasets/people/versions/9"), 404)

    def test_a_client_keeps_what_has_not_changed(self, viewer, store):
        for path in ("/v1/datasets/people/versions/1", "/v1/datasets/people/versions/1/profile"):
            first = viewer.get(path)
            kept = {"if-none-match": first.headers["etag"]}
            again = viewer.get(path, headers=kept)
            assert (again.status_code, again.content) == (304, b"")
        store.dataset("people").version(1).deprecate("old")
        assert viewer.get("/v1/datasets/people/versions/1", headers=kept).json()["status"] == "deprecated"

    def test_profiles_and_differences_are_those_of_the_sdk(self, viewer, store):
        profile = viewer.get("/v1/datasets/people/versions/2/profile").json()
        assert profile["id"] == store.version("people@2").profile().id
        parts = viewer.get("/v1/datasets/people/versions/2/profile", params={"by": "city"}).json()
        assert {part["segment"] for part in parts["segments"]} == {"Oslo", "Bern", "Rome", "Ghent"}
        found = viewer.get("/v1/datasets/people:diff", params={"before": "1", "after": "2"}).json()
        assert found["rows"] == {"added": 1, "removed": 0, "changed": 0, "unchanged": 4}
        assert_problem(viewer.get("/v1/datasets/people:diff"), 422)

    def test_schemas_are_inferred_set_and_judged_by(self, editor, viewer):
        schema = viewer.post("/v1/datasets/people/versions/1:infer-schema").json()["schema"]
        kept = editor.put("/v1/datasets/people/schema", json={"schema": schema, "message": "first"})
        assert kept.status_code == 200, kept.text
        assert viewer.get("/v1/datasets/people/schema").json()["id"] == kept.json()["id"]
        report = viewer.post("/v1/datasets/people/versions/1:validate", json={}).json()
        assert report["passed"] is True
        assert_problem(viewer.put("/v1/datasets/people/schema", json={"schema": schema}), 403)

    def test_drift_is_that_of_the_sdk(self, viewer, store):
        found = viewer.post("/v1/datasets/people/versions/2:drift", json={"reference": "people@1"}).json()
        ours = json.loads(json.dumps(store.version("people@2").drift(store.version("people@1")).to_dict()))
        assert found["columns"].keys() == ours["columns"].keys()

    def test_drift_by_segment_is_that_of_the_sdk(self, viewer, store):
        path = "/v1/datasets/people/versions/2:drift"
        ours = store.version("people@2").drift(store.version("people@1"), by="id").to_dict()
        for by in ("id", ["id"]):
            found = viewer.post(path, json={"reference": "people@1", "by": by}).json()
            assert found["by"] == ["id"]
            assert [each["name"] for each in found["segments"]] == [each["name"] for each in ours["segments"]]
        for body in ({"by": 7}, {"by": [7]}, {"by": []}, {"by": ["id"], "max_segments": 0}, {"max_segments": 3}):
            assert_problem(viewer.post(path, json={"reference": "people@1", **body}), 422)
        assert_problem(viewer.post(path, json={"reference": "people@1", "by": "nobody"}), 404)

    def test_refs_are_made_moved_and_removed(self, editor):
        path = "/v1/datasets/people/refs/live"
        assert editor.put(path, json={"version": "1"}).json() == {"name": "live", "kind": "alias", "version": 1}
        editor.put(path, json={"version": "2"})
        assert editor.get("/v1/datasets/people/versions/live").json()["version"] == 2
        assert [move["version"] for move in editor.get(f"{path}/history").json()["items"]] == [1, 2]
        assert editor.delete(path).status_code == 204
        assert_problem(editor.get("/v1/datasets/people/versions/live"), 404)


class TestRows:
    path = "/v1/datasets/people/versions/2/rows"

    def test_come_in_the_form_that_is_asked_for(self, viewer, store):
        whole = store.version("people@2").to_arrow()
        arrow = viewer.get(self.path, headers={"accept": ARROW})
        assert pa.ipc.open_stream(arrow.content).read_all().equals(whole)
        text = viewer.get(self.path, headers={"accept": "text/csv"})
        assert pa.csv.read_csv(io.BytesIO(text.content))["id"].to_pylist() == [1, 2, 3, 4, 5]
        lines = viewer.get(self.path, headers={"accept": "application/x-ndjson"}).text.splitlines()
        assert json.loads(lines[3]) == {"id": 4, "age": None, "city": "Oslo"}
        plain = viewer.get(self.path).json()
        assert plain["rows"] == whole.to_pylist()
        assert plain["truncated"] is False
        assert_problem(viewer.get(self.path, headers={"accept": "image/png"}), 406, "not-acceptable")

    def test_are_chosen(self, viewer):
        asked = {"columns": "id,city", "where": "age > 10", "limit": 2, "offset": 1}
        found = viewer.get(self.path, params=asked).json()
        assert found["rows"] == [{"id": 2, "city": "Bern"}, {"id": 5, "city": "Ghent"}]
        assert viewer.get(self.path, params={"limit": 2}).json()["truncated"] is True
        assert viewer.get(self.path, params={"limit": 0}).json()["rows"] == []
        assert_problem(viewer.get(self.path, params={"columns": "nothing"}), 404)
        assert_problem(viewer.get(self.path, params={"where": "1; DROP TABLE people"}), 422)

    @pytest.mark.parametrize("accept", [ARROW, "text/csv", "application/x-ndjson"])
    def test_an_error_on_the_way_breaks_the_stream_off(self, store, server, accept):
        app, vault = server
        token = vault.create("viewer", author="a")[0]
        last = store.version("people@2").rows.fragments[-1].groups[0].object_id
        for file in store.root.rglob(f"{last.rpartition(':')[2]}.arrow"):
            damaged = bytearray(file.read_bytes())
            damaged[:] = damaged.replace(b"Ghent", b"Ghost")
            file.chmod(0o600)
            file.write_bytes(damaged)
        with BackgroundServer(app) as running:
            client = HTTPConnection(running.url.removeprefix("http://"), timeout=10)
            client.request("GET", self.path, headers={"accept": accept, "authorization": f"Bearer {token}"})
            with pytest.raises(IncompleteRead):
                client.getresponse().read()
            client.close()

    def test_of_parts_of_splits(self, editor, store):
        made = editor.post(
            "/v1/datasets/people/versions/2:split", json={"name": "halves", "train": 0.5, "test": 0.5, "seed": 1}
        )
        assert made.status_code == 201, made.text
        assert sum(made.json()["rows"].values()) == 5
        train = editor.get("/v1/datasets/people/versions/2/splits/halves/train/rows").json()["rows"]
        assert train == store.split("people@2#halves").train.to_arrow().to_pylist()
        assert editor.get("/v1/datasets/people/versions/2/splits/halves").json()["address"] == "people@2#halves"
        assert editor.get("/v1/datasets/people/versions/2/splits/halves/report").status_code == 200
        assert_problem(editor.get("/v1/datasets/people/versions/2/splits/nothing/train/rows"), 404)

    def test_of_views(self, editor, store):
        spec = store.view("people@2").where("city = 'Oslo'").spec()
        saved = editor.put("/v1/views/oslo", json={"spec": spec})
        assert (saved.status_code, saved.json()["address"]) == (201, "oslo@1")
        for found in (
            editor.get("/v1/views/oslo/versions/1/rows").json()["rows"],
            editor.post("/v1/views:read", json={"spec": spec}).json()["rows"],
        ):
            assert [row["id"] for row in found] == [1, 4]
        assert editor.get("/v1/views/oslo/versions/1").json()["hash"] == store.view("oslo@1").hash
        assert [each["name"] for each in editor.get("/v1/views").json()["items"]] == ["oslo"]

    def test_of_queries(self, viewer):
        ask = {"sql": 'SELECT city, count(*) AS n FROM "people@2" WHERE age > ? GROUP BY 1 ORDER BY 1', "params": [10]}
        assert viewer.post("/v1/sql", json=ask).json()["rows"] == [
            {"city": "Bern", "n": 1},
            {"city": "Ghent", "n": 1},
            {"city": "Oslo", "n": 1},
        ]
        arrow = viewer.post("/v1/sql", json={"sql": "SELECT id FROM people"}, headers={"accept": ARROW})
        assert pa.ipc.open_stream(arrow.content).read_all()["id"].to_pylist() == [1, 2, 3, 4, 5]
        for bad in ("DELETE FROM people", "SELECT * FROM read_csv('/etc/passwd')", "SELECT 1; SELECT 2", "SELEC", ""):
            answer = viewer.post("/v1/sql", json={"sql": bad})
            assert_problem(answer, 422)


class TestRunsAndTokens:
    def test_runs_and_lineage(self, viewer, login, store):
        with store.run("train") as run:
            store.view("people@2").count()
        assert [each["id"] for each in viewer.get("/v1/runs").json()["items"]] == [run.id]
        assert viewer.get(f"/v1/runs/{run.id}").json()["inputs"][0]["address"] == "people@2"
        assert viewer.get("/v1/lineage", params={"address": "people@2"}).status_code == 200
        other = login("viewer", names=["secret"])
        assert other.get("/v1/runs").json()["items"] == []
        assert_problem(other.get(f"/v1/runs/{run.id}"), 404)

    def test_tokens_are_made_listed_and_revoked_by_an_administrator_alone(self, server, login, viewer):
        app, _ = server
        admin = login("admin")
        made = admin.post("/v1/tokens", json={"role": "viewer", "label": "x", "days": 1, "names": ["people"]})
        assert made.status_code == 201
        mine = client_of(app, made.json()["token"])
        assert mine.get("/v1/datasets/people").status_code == 200
        assert made.json()["token"] not in admin.get("/v1/tokens").text
        assert admin.delete(f"/v1/tokens/{made.json()['id']}").status_code == 200
        assert_problem(viewer.get("/v1/tokens"), 403)
        assert_problem(admin.post("/v1/tokens", json={"role": "steward"}), 403)


class TestPools:
    @pytest.fixture
    def labels(self, store):
        truth = [n % 3 == 0 for n in range(400)]
        tasks = store.create_dataset("tasks", key=["id"])
        split = tasks.append({"id": list(range(400)), "x": list(range(400)), "y": truth}).split(
            "half", train=0.5, test=0.5, seed=1
        )
        plan = foldstore.plan_pool("n > 0.6 +/- 0.1", reliability=0.9, steps=2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            store.pools.seal("late", split.test, label="y", plan=plan)
        return truth

    def predict(self, client, labels, flip=0):
        rows = client.get("/v1/test-pools/late/features", headers={"accept": ARROW})
        ids = pa.ipc.open_stream(rows.content).read_all()["id"].to_pylist()
        guesses = [labels[n] != (place < flip) for place, n in enumerate(ids)]
        return stream({"id": ids, "prediction": guesses})

    def ask(self, client, body):
        path = "/v1/test-pools/late:evaluate?model=m1"
        return client.post(path, content=body, headers={"content-type": ARROW})

    def test_answer_pass_or_fail_and_nothing_else(self, login, labels):
        evaluator = login("evaluator")
        body = self.predict(evaluator, labels)
        assert self.ask(evaluator, body).json() == {"passed": True, "charged": True}
        assert self.ask(evaluator, body).json() == {"passed": True, "charged": False}
        assert self.ask(evaluator, self.predict(evaluator, labels, 150)).json()["passed"] is False
        assert_problem(self.ask(evaluator, self.predict(evaluator, labels, 149)), 403, "pool-spent")
        status = evaluator.get("/v1/test-pools/late").json()
        assert (status["steps_used"], status["steps_left"]) == (2, 0)
        assert [each["name"] for each in evaluator.get("/v1/test-pools").json()["items"]] == ["late"]

    def test_say_which_rows_an_answer_rests_on_free_of_charge(self, login, labels):
        evaluator = login("evaluator")
        kind = {"content-type": ARROW}
        answer = evaluator.post(
            "/v1/test-pools/late:rows-to-label", content=self.predict(evaluator, labels), headers=kind
        )
        rows = answer.json()["rows"]
        assert set(rows[0]) == {"pool_row", "id"}
        assert len(rows) == evaluator.get("/v1/test-pools/late").json()["num_rows"]
        assert evaluator.get("/v1/test-pools/late").json()["steps_used"] == 0
        assert_problem(login("viewer").post("/v1/test-pools/late:rows-to-label", content=b"", headers=kind), 403)

    def test_plan_at_a_prevalence(self, login):
        body = {"condition": "f1(n = 'cat') > 0.8 +/- 0.05", "reliability": 0.99, "steps": 4, "prevalence": 0.1}
        plan = login("evaluator").post("/v1/test-pools:plan", json=body).json()
        assert plan["rows"] > 9 * plan["clause_rows"][0]
        assert_problem(
            login("evaluator").post("/v1/test-pools:plan", json=body | {"prevalence": 2}), 422, "invalid-prevalence"
        )

    def test_are_drawn_from_and_asked_on_the_drawn_rows(self, login, labels, store):
        evaluator = login("evaluator")
        needed = store.pools.get("late").record.plan.rows
        drawn = evaluator.post("/v1/test-pools/late/draws", json={"rows": needed, "seed": 3}).json()
        assert drawn.pop("drawn_at") <= format_time(utc_now())
        assert drawn.pop("actor").startswith("evaluator")
        assert drawn == {"draw": 1, "rows": needed, "seed": 3}
        rows = evaluator.get("/v1/test-pools/late/features?draw=1").json()["rows"]
        assert len(rows) == needed
        body = stream({"pool_row": [r["pool_row"] for r in rows], "prediction": [labels[r["id"]] for r in rows]})
        path, kind = "/v1/test-pools/late:evaluate?draw=1", {"content-type": ARROW}
        assert evaluator.post(path, content=body, headers=kind).json() == {"passed": True, "charged": True}
        assert_problem(evaluator.post("/v1/test-pools/late/draws", json={"rows": 1}), 403, "pool-too-small")
        assert_problem(evaluator.post("/v1/test-pools/late/draws", json={"rows": "x"}), 422, "invalid-draw")
        assert_problem(evaluator.post("/v1/test-pools/late/draws", json={}), 422)
        assert_problem(evaluator.get("/v1/test-pools/late/features?draw=2"), 404)

    def test_tell_their_figures_to_a_steward_alone_and_only_once_retired(self, login, labels):
        evaluator, steward, admin = login("evaluator"), login("steward"), login("admin")
        self.ask(evaluator, self.predict(evaluator, labels, 20))
        for client in (evaluator, admin):
            assert_problem(client.post("/v1/test-pools/late:retire", json={}), 403)
            assert_problem(client.get("/v1/test-pools/late/report"), 403)
        assert_problem(steward.get("/v1/test-pools/late/report"), 403, "pool-in-use")
        assert_problem(steward.post("/v1/test-pools/late:promote", json={"model": "m1"}), 422, "baseline-needless")
        report = steward.post("/v1/test-pools/late:retire", json={"reason": "done", "confidence": 0.9}).json()
        (asked,) = report["models"]
        assert (asked["model"], asked["passed"], report["confidence"]) == ("m1", True, 0.9)
        accuracy = asked["metrics"][0]
        assert accuracy["estimate"] == pytest.approx(1 - 20 / report["rows"])
        assert steward.get("/v1/test-pools/late/report").json() == report
        assert evaluator.get("/v1/test-pools/late").json()["state"] == "validation"
        assert_problem(self.ask(evaluator, self.predict(evaluator, labels, 21)), 403, "pool-retired")

    def test_say_what_is_left_to_who_asks_or_manages_them_and_take_questions_of_the_first_alone(
        self, server, login, labels
    ):
        evaluator, steward, (app, vault) = login("evaluator"), login("steward"), server
        self.ask(evaluator, self.predict(evaluator, labels, 20))
        status = evaluator.get("/v1/test-pools/late").json()
        assert status["steps_used"] == 1
        assert steward.get("/v1/test-pools/late").json() == status
        assert [each["name"] for each in steward.get("/v1/test-pools").json()["items"]] == ["late"]
        body = {"condition": "n > 0.6 +/- 0.1", "reliability": 0.9, "steps": 2}
        assert steward.post("/v1/test-pools:plan", json=body).status_code == 200
        assert_problem(steward.get("/v1/test-pools/late/features"), 403, "refused")
        assert_problem(self.ask(steward, b""), 403, "refused")
        # A token of the one scope, such as was made before there was a scope of its own for reading.
        for role, scope in (("evaluator", "pools:evaluate"), ("steward", "pools:admin")):
            text, _ = vault.create(role, author="t", scopes=[scope])
            assert client_of(app, text).get("/v1/test-pools/late").json() == status
        text, _ = vault.create("steward", author="t", scopes=["datasets:read", "labels:open"])
        assert_problem(client_of(app, text).get("/v1/test-pools/late"), 403, "refused")

    def test_are_followed_by_fresh_rows(self, login, labels, store):
        steward = login("steward")
        version = store.dataset("tasks").append(
            {"id": list(range(400, 1400)), "x": [n % 400 for n in range(1000)], "y": [n % 3 == 0 for n in range(1000)]}
        )
        store.view("tasks").where("id >= 400").split("fresh", train=0.5, test=0.5, seed=1)
        part = f"{version.address}#fresh"
        assert_problem(steward.post("/v1/test-pools/late:rotate", json={"name": "next", "part": part}), 422)
        made = steward.post("/v1/test-pools/late:rotate", json={"name": "next", "part": f"{part}.test"})
        assert (made.status_code, made.json()["name"], made.json()["state"]) == (201, "next", "sealed")
        assert steward.get("/v1/test-pools/late/report").json()["reason"] == "rotated to next"
        bounded = login("steward", names=["late", "tasks"])
        again = {"name": "third", "part": f"{part}.test"}
        assert_problem(bounded.post("/v1/test-pools/late:rotate", json=again), 404)

    def test_hide_what_is_sealed_and_refuse_what_is_broken_for_free(self, login, labels):
        evaluator = login("evaluator")
        rows = evaluator.get("/v1/test-pools/late/features", params={"limit": 3}).json()
        assert "y" not in {column["name"] for column in rows["columns"]}
        assert_problem(self.ask(evaluator, b"no arrow"), 422, "malformed-rows")
        assert_problem(self.ask(evaluator, stream({"id": [1], "prediction": [True]})), 422, "invalid-predictions")
        assert evaluator.get("/v1/test-pools/late").json()["steps_used"] == 0

    def test_are_planned(self, login, labels):
        asked = {"condition": "n > 0.8 +/- 0.05", "reliability": 0.999, "steps": 8}
        found = login("evaluator").post("/v1/test-pools:plan", json=asked).json()
        assert found["labels"] == foldstore.plan_pool("n > 0.8 +/- 0.05", reliability=0.999, steps=8).labels
        for wrong in ({"condition": "n >"}, {**asked, "method": {}}, {**asked, "steps": []}, {**asked, "mode": "x"}):
            assert_problem(login("evaluator").post("/v1/test-pools:plan", json=wrong), 422)

    def test_are_for_evaluators_and_for_tokens_of_their_names(self, login, labels):
        assert_problem(login("viewer").get("/v1/test-pools"), 403)
        for names in (["late"], ["tasks"]):
            bounded = login("evaluator", names=names)
            assert bounded.get("/v1/test-pools").json()["items"] == []
            assert_problem(bounded.get("/v1/test-pools/late"), 404)
        assert login("evaluator", names=["late", "tasks"]).get("/v1/test-pools/late").status_code == 200


class TestFeatureServices:
    def test_are_listed_materialized_joined_and_looked_up(self, login, store):
        day = [dt.datetime(2024, 1, n, tzinfo=dt.UTC) for n in range(1, 5)]
        store.create_dataset("rides").append({"driver": [1, 1], "ts": [day[0], day[2]], "trips": [10, 30]})
        driver = foldstore.Entity("driver", keys={"driver": "int64"})
        stats = foldstore.FeatureView("stats", entity=driver, source="rides", event_time="ts", features=["trips"])
        store.features.apply(foldstore.FeatureService("model", [stats]))
        editor = login("editor")
        assert editor.get("/v1/feature-services").json()["items"] == [{"address": "model@1"}]
        path = "/v1/feature-services/model/versions/1"
        assert editor.get(path).json()["features"] == ["stats__trips"]
        assert editor.post(f"{path}:materialize", json={}).json() == {"materialized": "model@1"}
        labels = {"driver": [1, 1, 2], "event_timestamp": [day[3], day[1], day[3]]}
        joined = commit(editor, labels, f"{path}:join").json()["rows"]
        assert [row["trips"] for row in joined] == [30, 10, None]
        ask = {"service": "model@1", "entities": {"driver": [1]}, "at": "2024-01-02T00:00:00Z"}
        assert editor.post("/v1/features:get", json=ask).json()["features"]["trips"]["values"] == [10]
        assert_problem(editor.get("/v1/feature-services/nothing/versions/1"), 404)
        assert login("viewer", names=["people"]).get("/v1/feature-services").json()["items"] == []

    def test_are_joined_by_the_rules_that_are_asked_for(self, login, store):
        day = [dt.datetime(2024, 1, n, tzinfo=dt.UTC) for n in range(1, 5)]
        rows = {"ts": [day[0], day[1], day[1]], "made": [day[0], day[1], day[3]], "trips": [10, 20, 21]}
        store.create_dataset("rides").append(rows)
        stats = foldstore.FeatureView("s", source="rides", event_time="ts", created_time="made", features=["trips"])
        store.features.apply(foldstore.FeatureService("model", [stats]))
        editor, path = login("editor"), "/v1/feature-services/model/versions/1:join"
        for asked, expected in (("", 21), ("?filter_by_created_timestamp=true", 20), ("?allow_exact_match=false", 10)):
            joined = commit(editor, {"event_timestamp": [day[1]]}, path + asked).json()["rows"]
            assert [row["trips"] for row in joined] == [expected]

    def test_are_planned_and_applied_unless_somebody_would_break(self, login, store):
        day = [dt.datetime(2024, 1, n, tzinfo=dt.UTC) for n in range(1, 5)]
        store.create_dataset("rides").append({"driver": [1], "ts": [day[0]], "trips": [10], "tips": [1]})
        view = {"entity": "driver", "source": "rides", "event_time": "ts", "features": ["trips", "tips"]}
        definitions = {
            "entities": {"driver": {"keys": {"driver": "int64"}}},
            "views": {"stats": view},
            "services": {"model": {"features": [{"view": "stats", "as": "now", "keys": {"driver": "who"}}]}},
        }
        editor, path = login("editor"), "/v1/feature-services"
        planned = editor.post(f"{path}:plan", json={"definitions": definitions}).json()
        assert planned["services"][0] == {"service": "model@1", "action": "new", "changes": [], "breaks": []}
        applied = editor.post(path, json={"definitions": definitions, "message": "first"})
        assert (applied.status_code, applied.json()) == (201, {"applied": ["model@1"]})
        assert editor.get(f"{path}/model/versions/1").json()["features"] == ["now__trips", "now__tips"]
        editor.post(f"{path}/model/versions/1:materialize", json={})
        view["features"] = ["trips"]
        assert_problem(editor.post(path, json={"definitions": definitions}), 403, "breaks-consumers")
        allowed = editor.post(path, json={"definitions": definitions, "allow_breaking": True})
        assert allowed.json() == {"applied": ["model@2"]}
        assert_problem(editor.post(path, json={"definitions": {"services": {"m": {"features": ["x"]}}}}), 422)
        assert_problem(editor.post(path, json={"definitions": definitions, "allow_breaking": "yes"}), 422)
        assert_problem(login("viewer").post(path, json={"definitions": definitions}), 403)

    def test_are_applied_by_a_token_of_some_names_over_these_names_alone(self, login, store):
        for name in ("rides", "hidden"):
            store.create_dataset(name).append({"ts": [dt.datetime(2024, 1, 1, tzinfo=dt.UTC)], "trips": [10]})
        view = {"source": "rides", "event_time": "ts", "features": ["trips"]}
        bounded, path = login("editor", names=["rides", "model"]), "/v1/feature-services"

        def apply(service="model", **changes):
            definitions = {"views": {"v": view | changes}, "services": {service: {"features": ["v"]}}}
            return bounded.post(path, json={"definitions": definitions})

        assert apply().status_code == 201
        assert_problem(apply("other"), 404)
        assert_problem(apply(source="hidden"), 404)
        assert_problem(apply(source={"sql": "SELECT * FROM hidden"}), 403)
        store.features.materialize("model")
        refused = apply(ttl="1s")
        assert_problem(refused, 403)
        assert "materialized" not in refused.text
        assert_problem(bounded.post(f"{path}:plan", json={"definitions": {"views": {"v": view}}}), 403)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("*/*", "application/json"),
        ("", "application/json"),
        ("text/*", "text/csv"),
        ("application/json;q=0.1, text/csv", "text/csv"),
        ("application/json;q=0, */*;q=0.5", ARROW),
        (ARROW, ARROW),
    ],
)
def test_the_form_is_the_one_that_is_liked_best(accept, chosen):
    assert choose_media(accept, MEDIA) == chosen


def test_a_form_that_there_is_not_is_said():
    with pytest.raises(NotAcceptableError):
        choose_media("image/png", MEDIA)
