"""Operations: what is answered later, called off, lost, forgotten, and seen by nobody else."""

import json
import threading
import time
from datetime import timedelta
from unittest import mock

import pytest

import foldstore
from foldstore.api.app import create_app
from foldstore.api.rules import KIND, AccessRule, RuleBook
from foldstore.api.tokens import TokenVault
from foldstore.datastore.operation_folder import FOLDER, KEPT_FOR, OperationFolder, OperationRecord
from foldstore.datastore.reader import FragmentReader
from foldstore.types import format_time, utc_now
from tests.api.conftest import assert_problem, client_of
from tests.api.test_resources import ARROW, stream

LATER = {"prefer": "respond-async"}
VERSION = "/v1/datasets/people/versions/1"
PATIENCE = 60


@pytest.fixture
def store(folder):
    with foldstore.connect(folder, author="owner") as store:
        people = store.create_dataset("people", key=["id"])
        people.append({"id": list(range(100)), "age": [n % 90 for n in range(100)]})
        yield store


@pytest.fixture
def vault(store):
    return TokenVault(store.registry("token"), clock=store.clock)


@pytest.fixture
def app(store, vault):
    app = create_app(store.features, vault, store=store)
    yield app
    app.end()


@pytest.fixture
def login(app, vault):
    return lambda role, **how: client_of(app, vault.create(role, author="tester", **how)[0])


@pytest.fixture
def editor(login):
    return login("editor")


def begin(client, method, path, **how):
    answer = client.request(method, path, headers={**LATER, **how.pop("headers", {})}, **how)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/operations/{answer.json()['id']}"
    assert answer.headers["preference-applied"] == "respond-async"
    return answer.headers["location"]


def until(client, place, wanted):
    """Ask until an operation is where it is wanted."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = client.get(place).json()
        if found["state"] in wanted:
            return found
        time.sleep(0.01)
    raise AssertionError(found)


def done(client, place):
    return until(client, place, {"succeeded", "failed", "cancelled"})


class Gate:
    """Holds whoever reads rows until it is opened, as a large version would."""

    def __init__(self):
        self.reached, self.opened = threading.Event(), threading.Event()
        self._read = FragmentReader.batches

    def __enter__(self):
        gate = self

        def batches(reader, *args, **how):
            gate.reached.set()
            assert gate.opened.wait(PATIENCE)
            return gate._read(reader, *args, **how)

        self._patch = mock.patch.object(FragmentReader, "batches", batches)
        self._patch.__enter__()
        return self

    def __exit__(self, *error):
        self.opened.set()
        self._patch.__exit__(*error)


class TestAnsweredLater:
    def test_the_result_is_what_would_have_been_answered_at_once(self, editor):
        for method, path, how in (
            ("GET", f"{VERSION}/rows", {}),
            ("GET", f"{VERSION}/rows", {"headers": {"accept": "text/csv"}}),
            ("GET", f"{VERSION}/rows", {"headers": {"accept": ARROW}}),
            ("GET", f"{VERSION}/profile", {}),
            ("POST", f"{VERSION}:infer-schema", {}),
            ("POST", f"{VERSION}:drift", {"json": {"reference": "people@1"}}),
            ("POST", "/v1/sql", {"json": {"sql": "SELECT max(age) AS m FROM people"}}),
        ):
            at_once = editor.request(method, path, **{**how, "headers": how.get("headers", {})})
            place = begin(editor, method, path, **how)
            told = done(editor, place)
            assert told["state"] == "succeeded", told
            assert told["result"] == f"{place}/result"
            later = editor.get(f"{place}/result")
            assert (later.status_code, later.content) == (at_once.status_code, at_once.content)
            for name in ("content-type", "etag", "location"):
                assert later.headers.get(name) == at_once.headers.get(name)

    def test_who_waits_long_enough_is_answered_as_if_at_once(self, editor):
        answer = editor.get(f"{VERSION}/profile", headers={"prefer": f"respond-async, wait={PATIENCE}"})
        assert answer.status_code == 200
        assert answer.json()["rows"] == 100

    def test_who_waits_too_short_is_told_where_it_is(self, editor):
        with Gate() as gate:
            answer = editor.get(f"{VERSION}/rows", headers={"prefer": "respond-async, wait=0"})
            assert answer.status_code == 202
            assert gate.reached.wait(PATIENCE)
            place = answer.headers["location"]
            assert until(editor, place, {"running"})["result"] is None
            early = editor.get(f"{place}/result")
            assert assert_problem(early, 409, "operation-unfinished")["retry"] is True
            assert early.headers["retry-after"] == "1"
        assert done(editor, place)["state"] == "succeeded"

    def test_rows_that_were_sent_are_committed_once(self, editor, store):
        rows = stream({"id": [900], "age": [1]})
        headers = {"content-type": ARROW, "idempotency-key": "k1"}
        path = "/v1/datasets/people/versions"
        place = begin(editor, "POST", path, content=rows, headers=headers)
        assert done(editor, place)["state"] == "succeeded"
        made = editor.get(f"{place}/result")
        assert (made.status_code, made.json()["version"]) == (201, 2)
        assert made.headers["location"] == f"{path}/2"
        assert begin(editor, "POST", path, content=rows, headers=headers) == place
        other = editor.post(path, content=stream({"id": [901], "age": [1]}), headers={**headers, **LATER})
        assert_problem(other, 422, "idempotency-key-reused")
        assert len(store.dataset("people").versions()) == 2
        assert not list((store.root / FOLDER).glob("*/body*"))

    def test_what_goes_wrong_is_told_as_ever(self, editor):
        for path, data in (
            ("/v1/sql", {"sql": "SELECT nothing FROM people"}),
            (f"{VERSION}:drift", {"reference": "nobody@1"}),
        ):
            at_once = editor.post(path, json=data)
            place = begin(editor, "POST", path, json=data)
            told = done(editor, place)
            assert (told["state"], told["result"]) == ("failed", None)
            later = editor.get(f"{place}/result")
            assert_problem(later, at_once.status_code, at_once.json()["code"])
            assert later.json()["detail"] == at_once.json()["detail"] == told["problem"]["detail"]

    def test_progress_is_told_in_words(self, editor):
        place = begin(editor, "POST", "/v1/datasets/people/versions", content=stream({"id": [7000], "age": [1]}),
                      headers={"content-type": ARROW})  # fmt: skip
        told = done(editor, place)["progress"]
        assert set(told) == {"done", "total", "unit", "words"}
        assert told["words"].startswith("succeeded: ")

    def test_routes_that_are_quick_answer_at_once(self, editor):
        assert editor.get(VERSION, headers=LATER).status_code == 200


class TestCalledOff:
    @pytest.mark.parametrize(("method", "verb"), [("POST", ":cancel"), ("DELETE", "")])
    def test_work_ends_at_its_next_piece(self, editor, method, verb):
        with Gate() as gate:
            place = begin(editor, "GET", f"{VERSION}/rows")
            assert gate.reached.wait(PATIENCE)
            assert editor.request(method, f"{place}{verb}").status_code == 200
        told = done(editor, place)
        assert (told["state"], told["problem"]["code"]) == ("cancelled", "cancelled")
        assert_problem(editor.get(f"{place}/result"), 409, "cancelled")
        assert editor.post(f"{place}:cancel").json()["state"] == "cancelled"

    def test_a_commit_that_is_called_off_leaves_nothing(self, editor, store):
        committed = threading.Event()
        asked = threading.Event()

        # The file of the body is read in pieces, each of which asks; the last question is just before the flip.
        original = foldstore.datastore.commit.settle

        def settle():
            asked.set()
            assert committed.wait(PATIENCE)
            original()

        with mock.patch("foldstore.datastore.commit.settle", settle):
            place = begin(editor, "POST", "/v1/datasets/people/versions", content=stream({"id": [900], "age": [1]}),
                          headers={"content-type": ARROW})  # fmt: skip
            assert asked.wait(PATIENCE)
            editor.post(f"{place}:cancel")
            committed.set()
            assert done(editor, place)["state"] == "cancelled"
        assert len(store.dataset("people").versions()) == 1
        assert store.version("people").num_rows == 100
        assert store.verify().passed
        assert not list((store.root / FOLDER).glob("*/body*"))

    def test_what_is_committed_stays_and_is_told(self, editor, store):
        after, cancelled = threading.Event(), threading.Event()
        original = foldstore.datastore.commit.write_commit_object

        def write(*args):
            after.set()
            assert cancelled.wait(PATIENCE)
            return original(*args)

        with mock.patch("foldstore.datastore.commit.write_commit_object", write):
            place = begin(editor, "POST", "/v1/datasets/people/versions", content=stream({"id": [900], "age": [1]}),
                          headers={"content-type": ARROW})  # fmt: skip
            assert after.wait(PATIENCE)
            editor.post(f"{place}:cancel")
            cancelled.set()
        assert done(editor, place)["state"] == "succeeded"
        assert editor.get(f"{place}/result").json()["version"] == 2

    def test_a_query_is_killed(self, editor):
        endless = "SELECT count(*) FROM range(1000000000) a, range(1000000000) b, people"
        place = begin(editor, "POST", "/v1/sql", json={"sql": endless, "timeout": PATIENCE})
        until(editor, place, {"running"})
        editor.post(f"{place}:cancel")
        assert done(editor, place)["state"] == "cancelled"

    def test_from_another_process(self, editor, store, vault):
        other = create_app(store.features, vault, store=store)
        with Gate() as gate:
            place = begin(editor, "GET", f"{VERSION}/rows")
            assert gate.reached.wait(PATIENCE)
            elsewhere = client_of(other, editor.headers["authorization"].removeprefix("Bearer "))
            assert elsewhere.get(place).json()["state"] == "running"
            assert elsewhere.post(f"{place}:cancel").status_code == 200
        assert done(elsewhere, place)["state"] == "cancelled"

    def test_the_end_of_the_server_ends_everything_and_who_asks_again_is_served(self, editor, app, store, vault):
        with Gate() as gate:
            keys = [{"idempotency-key": f"k{number}"} for number in range(4)]
            places = [begin(editor, "GET", f"{VERSION}/rows", headers=key) for key in keys]
            assert gate.reached.wait(PATIENCE)
            ending = threading.Thread(target=app.end)
            ending.start()
            gate.opened.set()
            ending.join(PATIENCE)
            assert [done(editor, place)["problem"]["code"] for place in places] == ["operation-lost"] * 4
        assert_problem(editor.get(f"{places[0]}/result"), 503, "operation-lost")
        assert_problem(editor.get(f"{VERSION}/rows", headers=LATER), 503, "busy")
        other = create_app(store.features, vault, store=store)
        again = client_of(other, editor.headers["authorization"].removeprefix("Bearer "))
        assert [begin(again, "GET", f"{VERSION}/rows", headers=key) for key in keys] == places
        assert [done(again, place)["state"] for place in places] == ["succeeded"] * 4
        other.end()

    def test_what_was_called_off_stays_so_when_the_server_ends(self, editor, app):
        with Gate() as gate:
            place = begin(editor, "GET", f"{VERSION}/rows", headers={"idempotency-key": "k"})
            assert gate.reached.wait(PATIENCE)
            editor.delete(place)
            ending = threading.Thread(target=app.end)
            ending.start()
            gate.opened.set()
            ending.join(PATIENCE)
        assert done(editor, place)["problem"]["code"] == "cancelled"


class TestWhoMayAsk:
    def test_nobody_but_its_starter_and_an_admin(self, editor, login):
        place = begin(editor, "GET", f"{VERSION}/rows")
        done(editor, place)
        absent = editor.get(f"/v1/operations/{'0' * 32}").json()
        for role in ("editor", "viewer", "steward", "serving"):
            other = login(role)
            for answer in (other.get(place), other.get(f"{place}/result"), other.delete(place)):
                told = assert_problem(answer, 404)
                assert told["detail"].replace(place.rpartition("/")[2], "0" * 32) == absent["detail"]
            assert other.get("/v1/operations").json()["items"] == []
        admin = login("admin")
        assert admin.get(place).json()["state"] == "succeeded"
        assert [each["id"] for each in admin.get("/v1/operations").json()["items"]] == [place.rpartition("/")[2]]
        assert_problem(admin.get(f"{place}/result"), 403, "refused")
        assert_problem(login("admin", names=["other"]).get(place), 404)

    def test_what_needs_a_scope_needs_it_later_too(self, login):
        assert_problem(login("viewer").post(f"{VERSION}:split", headers=LATER, json={"name": "s"}), 403)
        assert login("viewer").get("/v1/operations").json()["items"] == []

    def test_rules_that_came_since_hide_the_result(self, login, store):
        viewer = login("viewer")
        place = begin(viewer, "GET", f"{VERSION}/rows")
        done(viewer, place)
        book = RuleBook(store.registry(KIND), clock=lambda: utc_now() + timedelta(hours=1))
        book.put(AccessRule(name="r", datasets=("people",), roles=("viewer",), hide=("age",)), author="t")
        fresh = client_of(create_app(store.features, TokenVault(store.registry("token")), store=store),
                          viewer.headers["authorization"].removeprefix("Bearer "))  # fmt: skip
        assert_problem(fresh.get(f"{place}/result"), 403, "hidden-by-rule")
        assert_problem(fresh.get(place), 403, "hidden-by-rule")
        assert fresh.get("/v1/operations").json()["items"] == []
        again = begin(fresh, "GET", f"{VERSION}/rows")
        done(fresh, again)
        assert "age" not in fresh.get(f"{again}/result").text
        assert_problem(fresh.get(f"{VERSION}/profile", headers=LATER), 403, "hidden-by-rule")

    @pytest.mark.parametrize("wait", ["", ", wait=20"])
    def test_a_key_of_before_a_rule_is_no_way_to_what_it_hides(self, login, store, wait):
        viewer, asked = login("viewer"), {"prefer": f"respond-async{wait}", "idempotency-key": "k"}
        first = viewer.get(f"{VERSION}/rows", headers=asked)
        if first.status_code == 202:
            done(viewer, first.headers["location"])
        assert "age" in viewer.get(f"{VERSION}/rows", headers={**asked, "prefer": "respond-async, wait=20"}).text
        book = RuleBook(store.registry(KIND), clock=lambda: utc_now() + timedelta(hours=1))
        book.put(AccessRule(name="r", datasets=("people",), roles=("viewer",), hide=("age",)), author="t")
        fresh = client_of(create_app(store.features, TokenVault(store.registry("token")), store=store),
                          viewer.headers["authorization"].removeprefix("Bearer "))  # fmt: skip
        assert_problem(fresh.get(f"{VERSION}/rows", headers=asked), 403, "hidden-by-rule")

    def test_the_list_goes_by_state_and_page(self, editor):
        places = [begin(editor, "GET", f"{VERSION}/profile") for _ in range(3)]
        for place in places:
            done(editor, place)
        found, cursor = [], None
        while True:
            page = editor.get(
                "/v1/operations", params={"limit": 2, "state": "succeeded", **({"cursor": cursor} if cursor else {})}
            )
            found += [f"/v1/operations/{each['id']}" for each in page.json()["items"]]
            cursor = page.json()["next_cursor"]
            if cursor is None:
                break
        assert found == places
        assert editor.get("/v1/operations?state=failed").json()["items"] == []
        assert_problem(editor.get("/v1/operations?state=odd"), 422)

    @pytest.mark.parametrize("name", ["x", "..", "0" * 31, "A" * 32, "%2e%2e", "0" * 32])
    def test_names_that_are_none(self, editor, name):
        assert editor.get(f"/v1/operations/{name}").status_code == 404


class TestLostAndForgotten:
    def record(self, **how):
        made = {"id": "a" * 32, "starter": "tok", "verb": "GET /", "named": {}, "request": "", "access": "",
                "created_at": format_time(utc_now())}  # fmt: skip
        return OperationRecord(**{**made, **how})

    def test_what_a_dead_process_worked_on_is_lost(self, tmp_path):
        folder = OperationFolder(tmp_path, utc_now)
        claim = folder.add(self.record(state="running"))
        assert OperationFolder(tmp_path, utc_now).find("a" * 32).state == "running"
        claim.release()  # what the system does when the process dies
        found = OperationFolder(tmp_path, utc_now).find("a" * 32)
        assert (found.state, found.problem["code"]) == ("failed", "operation-lost")
        assert found.finished_at is not None
        assert folder.add(self.record()) is None

    def test_what_is_lost_is_begun_again_by_one(self, tmp_path):
        folder = OperationFolder(tmp_path, utc_now)
        folder.add(self.record(state="running")).release()
        assert folder.find("a" * 32).is_lost
        claims = [folder.add_again(self.record()) for _ in range(3)]
        assert [claim is not None for claim in claims] == [True, False, False]
        assert folder.find("a" * 32).state == "queued"
        folder.write(self.record(state="cancelled"))
        claims[0].release()
        assert folder.add_again(self.record()) is None  # whoever called it off meant it
        assert [each.name for each in (tmp_path / FOLDER).iterdir()] == ["a" * 32]

    def test_a_lost_operation_answers_with_its_problem(self, editor, store):
        own = editor.headers["authorization"].split("_")[1]
        place = begin(editor, "GET", f"{VERSION}/rows")
        done(editor, place)
        made = OperationFolder(store.root, utc_now).find(place.rpartition("/")[2])
        lost = OperationFolder(store.root, utc_now)
        claim = lost.add(self.record(starter=own, access=made.access, state="running"))
        claim.release()
        assert editor.get(f"/v1/operations/{'a' * 32}").json()["state"] == "failed"
        assert_problem(editor.get(f"/v1/operations/{'a' * 32}/result"), 503, "operation-lost")

    def test_what_was_finished_long_ago_is_gone(self, tmp_path):
        now = utc_now()
        folder = OperationFolder(tmp_path, lambda: now)
        claims = [folder.add(self.record(id=letter * 32)) for letter in "ab"]
        folder.write(self.record(state="succeeded", finished_at=format_time(now)))
        later = OperationFolder(tmp_path, lambda: now + KEPT_FOR + timedelta(seconds=1))
        claims.append(later.add(self.record(id="c" * 32)))
        assert {each.id[0] for each in later.list_operations()} == {"b", "c"}
        for claim in claims:
            claim.release()

    def test_of_too_many_the_oldest_go(self, tmp_path, monkeypatch):
        monkeypatch.setattr("foldstore.datastore.operation_folder.MOST_KEPT", 3)
        folder = OperationFolder(tmp_path, utc_now)
        for letter in "abcdef":
            claim = folder.add(self.record(id=letter * 32, created_at=format_time(utc_now())))
            folder.write(
                self.record(
                    id=letter * 32,
                    state="failed",
                    created_at=format_time(utc_now()),
                    finished_at=format_time(utc_now()),
                )
            )
            claim.release()
        assert "".join(each.id[0] for each in folder.list_operations()) == "cdef"

    def test_more_than_may_wait_are_sent_away(self, editor, app):
        app.operations._most_waiting = 1
        with Gate() as gate:
            for _ in range(3):
                begin(editor, "GET", f"{VERSION}/rows")
            assert gate.reached.wait(PATIENCE)
            answer = editor.get(f"{VERSION}/rows", headers=LATER)
            assert_problem(answer, 503, "busy")
            assert answer.headers["retry-after"] == "1"

    def test_an_erasure_takes_results_with_it(self, editor, store):
        place = begin(editor, "GET", f"{VERSION}/rows")
        done(editor, place)
        store.dataset("people").erase({"id": [5]}, reason="asked to")
        assert_problem(editor.get(f"{place}/result"), 404, "result-forgotten")
        assert editor.get(place).json()["state"] == "succeeded"
        assert not list((store.root / FOLDER).glob("*/result"))

    def test_a_result_that_was_read_before_an_erasure_and_kept_after_it_is_none(self, editor, store):
        with Gate() as gate:
            place = begin(editor, "GET", f"{VERSION}/rows")
            assert gate.reached.wait(PATIENCE)
            foldstore.datastore.operation_folder.forget_results(store.root)
        assert done(editor, place)["state"] == "succeeded"
        assert_problem(editor.get(f"{place}/result"), 404, "result-forgotten")

    def test_no_secret_is_kept(self, editor, store):
        done(editor, begin(editor, "POST", "/v1/sql", json={"sql": "SELECT 'canary' AS x FROM people LIMIT 1"}))
        token = editor.headers["authorization"].rsplit("_", 2)[1]
        kept = [file.read_bytes() for file in (store.root / FOLDER).glob("*/state.json")]
        assert kept
        assert all(token.encode() not in each and b"canary" not in each and json.loads(each) for each in kept)
