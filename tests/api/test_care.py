"""Routes that take care of a store: whom scopes, names and rules keep out, and what is asked once."""

import datetime as dt
import json
import threading

import numpy as np
import pytest

import foldstore
from foldstore.api.access import ROLES
from foldstore.api.app import create_app
from foldstore.api.resources import list_routes
from foldstore.api.rules import KIND, AccessRule, RuleBook
from foldstore.api.tokens import TokenVault
from foldstore.datastore.operation_folder import FOLDER
from tests.api.conftest import Clock, assert_problem, client_of
from tests.api.test_operations import LATER, done, until

CANARY = 90_000_017
SECRET = "secret-payroll"
PEOPLE = "/v1/datasets/people"
VERSION = f"{PEOPLE}/versions/1"
WHY = {"reason": "asked to be forgotten"}
NEW_SCOPES = {"store:care", "rows:erase"}


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(folder, clock):
    with foldstore.connect(folder, author="owner", clock=clock) as store:
        people = store.create_dataset("people", key=["id"])
        people.append({"id": [*range(40)], "pay": [CANARY + n for n in range(40)], "town": ["A", "B"] * 20})
        people.delete("id = 3")
        copy = store.create_dataset(SECRET, key=["id"])
        copy.append({"id": [*range(40)], "pay": [CANARY + n for n in range(40)], "town": ["A", "B"] * 20})
        copy.overwrite({"id": [1], "pay": [1], "town": ["C"]})
        copy.set_retention(keep_last=1)
        yield store


@pytest.fixture
def app(store):
    app = create_app(store.features, TokenVault(store.registry("token"), clock=store.clock), store=store)
    yield app
    app.end()


@pytest.fixture
def login(store, app):
    vault = TokenVault(store.registry("token"), clock=store.clock)
    return lambda role, **how: client_of(app, vault.create(role, author="t", **how)[0])


WHOLE = [
    ("GET", "/v1/store/usage", {}),
    ("GET", "/v1/leases", {}),
    ("POST", "/v1/store:gc", {"json": {}}),
    ("POST", "/v1/store:gc", {"json": {"dry_run": False, "grace": "0"}}),
    ("POST", "/v1/store:verify", {"json": {}}),
    ("POST", "/v1/store:verify", {"json": {"objects": False, "repair": True}}),
]
KEEPING = [
    ("PUT", f"{PEOPLE}/retention", {"json": {"keep_last": 1}}),
    ("POST", f"{PEOPLE}:freeze", {"json": {"keep": 0}}),
    ("POST", f"{PEOPLE}:thaw", {"json": {}}),
    ("POST", f"{VERSION}:freeze", {"json": {"force": True}}),
    ("POST", f"{VERSION}:thaw", {"json": {}}),
]
ERASING = [
    ("POST", f"{PEOPLE}:erase", {"json": {"keys": [{"id": 7}], **WHY, "dry_run": False}}),
    ("POST", f"{PEOPLE}:erase", {"json": {"where": f"pay = {CANARY}", **WHY}}),
    (
        "POST",
        f"{PEOPLE}:erase-keys",
        {"params": {**WHY, "dry_run": "false"}, "content": "id\n7\n", "headers": {"content-type": "text/csv"}},
    ),
]
WRITING = [
    ("POST", f"{PEOPLE}:compact", {"json": {}}),
    ("POST", f"{VERSION}:pin", {"json": {"name": "keep"}}),
    ("POST", f"{VERSION}:unpin", {"json": {"name": "keep"}}),
]
READING = [
    ("GET", f"{PEOPLE}/usage", {}),
    ("GET", f"{PEOPLE}/retention", {}),
    ("GET", f"{PEOPLE}/erasures", {}),
    ("GET", f"{VERSION}/pins", {}),
    ("GET", f"{VERSION}/cold-bytes", {}),
    ("GET", f"{VERSION}/leases", {}),
    ("POST", f"{VERSION}/leases", {"json": {"hours": 1}}),
    ("GET", f"{VERSION}/leases/{'0' * 32}", {}),
    ("POST", f"{VERSION}/leases/{'0' * 32}:renew", {"json": {}}),
    ("DELETE", f"{VERSION}/leases/{'0' * 32}", {}),
]
OF_DATASET = [*KEEPING, *ERASING, *WRITING, *READING]


def assert_untouched(store):
    people = store.dataset("people")
    assert (people.version(1).num_rows, people.latest.number) == (40, 2)
    assert people.erasures() == []
    assert people.retention.to_dict() == {}
    assert [*store.leases(), *people.version(1).pins()] == []
    assert people.version(1).cold_bytes == 0
    assert store.version(f"{SECRET}@1").num_rows == 40


class TestScopes:
    @pytest.mark.parametrize(("method", "path", "how"), [*WHOLE, *KEEPING])
    def test_the_store_is_taken_care_of_by_keepers_and_admins(self, login, store, method, path, how):
        for role in ROLES.keys() - {"keeper", "admin"}:
            assert_problem(login(role).request(method, path, **how), 403, "refused")
        assert_untouched(store)
        assert login("keeper").request(method, path, **how).status_code == 200

    @pytest.mark.parametrize(("method", "path", "how"), ERASING)
    def test_rows_are_erased_by_stewards_and_admins(self, login, store, method, path, how):
        for role in ROLES.keys() - {"steward", "admin"}:
            assert_problem(login(role).request(method, path, **how), 403, "refused")
        assert_untouched(store)
        assert login("steward").request(method, path, **how).json()["rows"] == 1

    @pytest.mark.parametrize(("method", "path", "how"), WRITING)
    def test_who_only_reads_commits_and_pins_nothing(self, login, store, method, path, how):
        for role in ("viewer", "steward", "keeper", "evaluator", "serving", "monitor"):
            assert_problem(login(role).request(method, path, **how), 403)
        assert_untouched(store)

    def test_one_scope_alone_does_one_thing(self, login):
        nightly = login("admin", scopes=["store:care"])
        assert nightly.post("/v1/store:gc", json={}).status_code == 200
        for path in ("/v1/tokens", "/v1/audit", "/v1/datasets", f"{PEOPLE}/erasures"):
            assert_problem(nightly.get(path), 403)
        assert_problem(nightly.post(f"{PEOPLE}:erase", json={"keys": [{"id": 7}], **WHY}), 403)

    def test_nobody_came_to_have_a_new_scope_but_these(self):
        having = {scope: {role for role, scopes in ROLES.items() if scope in scopes} for scope in NEW_SCOPES}
        assert having == {"store:care": {"keeper", "admin"}, "rows:erase": {"steward", "admin"}}
        assert not ROLES["keeper"] & {"datasets:write", "admin", "rows:erase", "labels:open", "sql:run"}

    def test_what_is_done_is_in_the_audit(self, login):
        login("keeper", label="nightly").post("/v1/store:gc", json={"dry_run": False})
        lines = login("admin").get("/v1/audit").json()["items"]
        assert [(each["route"], each["label"], each["status"]) for each in lines if "gc" in each["route"]] == [
            ("/v1/store:gc", "nightly", 200)
        ]


class TestNames:
    @pytest.mark.parametrize(("method", "path", "how"), WHOLE)
    def test_a_token_of_some_names_takes_no_care_of_the_whole(self, login, store, method, path, how):
        for names in (["people"], ["people", "secret-*", "?*"], ["[a-z]*"]):
            try:
                bounded = login("admin", names=names)
            except foldstore.errors.UsageError:  # no pattern of names
                continue
            answer = bounded.request(method, path, **how)
            assert_problem(answer, 403, "refused")
            assert SECRET not in answer.text
        assert_untouched(store)

    @pytest.mark.parametrize(("method", "path", "how"), OF_DATASET)
    def test_a_token_of_other_names_finds_nothing(self, login, store, method, path, how):
        for role in ("admin", "keeper", "steward", "editor"):
            answer = login(role, names=["mine"]).request(method, path, **how)
            assert answer.status_code in (403, 404)
            assert str(CANARY)[:6] not in answer.text
        assert_problem(login("admin", names=["mine"]).request(method, path, **how), 404)
        assert_untouched(store)

    @pytest.mark.parametrize(("method", "path", "how"), ERASING)
    def test_an_erasure_asks_for_all_names(self, login, store, method, path, how):
        answer = login("admin", names=["people"]).request(method, path, **how)
        assert_problem(answer, 403, "refused")
        assert SECRET not in answer.text
        assert_untouched(store)

    def test_files_that_others_need_are_not_moved_by_it(self, login, store):
        bounded = login("keeper", names=["people"])
        for path, body in ((f"{VERSION}:freeze", {}), (f"{PEOPLE}:freeze", {"keep": 0})):
            assert_problem(bounded.post(path, json={**body, "force": True}), 403, "refused")
            answer = bounded.post(path, json=body)
            assert answer.json()["objects"] == 0  # the other dataset has the same file
            assert SECRET not in answer.text
        assert store.version(f"{SECRET}@1").cold_bytes == 0

    def test_usage_tells_nothing_of_bytes_that_others_hold_too(self, login, store):
        whole = login("viewer").get(f"{PEOPLE}/usage").json()
        bounded = login("viewer", names=["people"]).get(f"{PEOPLE}/usage").json()
        assert whole["shared"] == whole["num_bytes"] > 0
        assert (bounded["shared"], bounded["own"], bounded["num_bytes"]) == (0, whole["num_bytes"], whole["num_bytes"])
        assert store.dataset("people").usage().to_dict() == json.loads(json.dumps(whole), object_hook=_tuples)
        alone = login("viewer", names=["people"]).get(f"{PEOPLE}/usage")
        store.dataset(SECRET).append({"id": [99], "pay": [1], "town": ["Z"]})
        assert login("viewer", names=["people"]).get(f"{PEOPLE}/usage").text == alone.text
        both = login("viewer", names=["people", "secret*"]).get(f"{PEOPLE}/usage").json()
        assert both["shared"] == whole["shared"]

    def test_its_own_datasets_it_keeps(self, login, store):
        keeper = login("keeper", names=["people"])
        assert keeper.put(f"{PEOPLE}/retention", json={"keep_last": 3}).json() == {"keep_last": 3}
        assert keeper.get(f"{PEOPLE}/retention").json() == {"keep_last": 3}
        assert_problem(keeper.put(f"/v1/datasets/{SECRET}/retention", json={"keep_last": 1_000}), 404)
        assert store.dataset(SECRET).retention.to_dict() == {"keep_last": 1}


def _tuples(data):
    return {name: tuple(each) if isinstance(each, list) else each for name, each in data.items()}


class TestRules:
    @pytest.fixture
    def ruled(self, store, login):
        """Return clients that see neither pay nor the people of town B."""
        book = RuleBook(store.registry(KIND), clock=store.clock)
        rule = AccessRule(
            name="r", datasets=("people",), roles=("admin", "steward", "keeper"), hide=("pay",), where="town = 'A'"
        )
        book.put(rule, author="t")
        return login

    @pytest.mark.parametrize(("method", "path", "how"), [*WHOLE, *OF_DATASET])
    def test_whom_a_rule_meets_is_told_nothing(self, ruled, store, method, path, how):
        answer = ruled("admin").request(method, path, **how)
        assert_problem(answer, 403, "hidden-by-rule")
        assert str(CANARY)[:6] not in answer.text
        assert_untouched(store)

    def test_erasing_is_no_way_to_ask_for_a_hidden_cell(self, ruled, store):
        for where in (f"pay = {CANARY + 1}", "town = 'B'", "id = 1"):
            answer = ruled("steward").post(f"{PEOPLE}:erase", json={"where": where, **WHY, "dry_run": True})
            assert_problem(answer, 403, "hidden-by-rule")

    def test_a_rule_that_came_since_hides_what_is_kept_of_a_verification(self, login, store):
        keeper = login("keeper")
        place = keeper.post("/v1/store:verify", json={}, headers=LATER).headers["location"]
        assert done(keeper, place)["state"] == "succeeded"
        assert keeper.get(f"{place}/result").json()["passed"]
        book = RuleBook(store.registry(KIND), clock=store.clock)
        book.put(AccessRule(name="r", datasets=("people",), roles=("keeper",), hide=("pay",)), author="t")
        store.clock.now += dt.timedelta(seconds=10)
        assert_problem(keeper.get(f"{place}/result"), 403, "hidden-by-rule")


class TestLeases:
    def test_one_ends_within_a_day_and_after_a_week_for_good(self, login, store, clock):
        viewer = login("viewer")
        for hours in (24.001, 8_784, 10**6, 0, -1, True, "12"):
            assert_problem(viewer.post(f"{VERSION}/leases", json={"hours": hours}), 422)
        taken = viewer.post(f"{VERSION}/leases", json={"hours": 24, "holder": "export"})
        place = taken.headers["location"]
        assert taken.status_code == 201
        assert taken.json()["address"] == "people@1"
        for _ in range(6):
            clock.now += dt.timedelta(hours=23.9)
            assert viewer.post(f"{place}:renew", json={"hours": 24}).status_code == 200
        clock.now += dt.timedelta(hours=23.9)
        assert_problem(viewer.post(f"{place}:renew", json={"hours": 24}), 422, "lease-too-long")
        assert viewer.post(f"{place}:renew", json={"hours": 0.5}).status_code == 200
        (lease,) = store.leases()
        assert foldstore.types.parse_time(lease.lease_until) <= foldstore.types.parse_time(
            lease.created_at
        ) + dt.timedelta(days=7)

    def test_nobody_but_its_token_and_a_keeper_has_it(self, login, store):
        viewer = login("viewer", label="a (token 00000000)")
        other = login("admin", scopes=["datasets:read"])
        place = viewer.post(f"{VERSION}/leases", json={}).headers["location"]
        for holder in (f"x{store.leases()[0].holder[-17:]}", "y"):
            other.post(f"{VERSION}/leases", json={"holder": holder})
        assert_problem(other.get(place), 404)
        assert_problem(other.post(f"{place}:renew", json={}), 404)
        assert_problem(other.delete(place), 404)
        elsewhere = place.replace("versions/1", "versions/2")
        assert_problem(viewer.get(elsewhere), 404)
        assert viewer.get(place).json()["holder"].startswith("a (token 00000000) (token ")
        assert len(viewer.get(f"{VERSION}/leases").json()["items"]) == 3
        keeper = login("keeper")
        assert keeper.delete(place).status_code == 204
        assert_problem(viewer.get(place), 404)
        assert len(keeper.get("/v1/leases").json()["items"]) == 2

    def test_a_token_holds_so_many_and_no_more(self, login, store):
        viewer = login("viewer")
        for _ in range(100):
            assert viewer.post(f"{VERSION}/leases", json={}).status_code == 201
        assert_problem(viewer.post(f"{VERSION}/leases", json={}), 403, "too-many-leases")
        assert login("viewer").post(f"{VERSION}/leases", json={}).status_code == 201

    @pytest.mark.parametrize("holder", ["", "x" * 151, "a\nb", "a\0b", 5])
    def test_a_holder_that_is_none(self, login, store, holder):
        body = json.dumps({"holder": holder})
        assert_problem(login("viewer").post(f"{VERSION}/leases", content=body), 422)
        assert store.leases() == []


class TestPins:
    def test_who_pins_takes_it_out_and_nobody_else_but_a_keeper(self, login, store):
        editor, other = login("editor"), login("editor")
        assert editor.post(f"{VERSION}:pin", json={"name": "a/b:c", "reason": "why"}).status_code == 200
        other.post(f"{VERSION}:pin", json={"name": "a/b:c", "reason": "mine now"})  # that changes nothing
        (pin,) = store.version("people@1").pins()
        assert (pin.reason, pin.author.startswith("editor (token ")) == ("why", True)
        assert_problem(other.post(f"{VERSION}:unpin", json={"name": "a/b:c"}), 403, "not-yours")
        both = {"kind": "pin", "name": "a/b:c"}
        assert_problem(other.post(f"{VERSION}:release-consumer", json=both), 403, "not-yours")
        assert editor.post(f"{VERSION}:unpin", json={"name": "a/b:c"}).status_code == 204
        assert_problem(editor.post(f"{VERSION}:unpin", json={"name": "a/b:c"}), 404)
        editor.post(f"{VERSION}:pin", json={"name": "again"})
        assert login("admin").post(f"{VERSION}:unpin", json={"name": "again"}).status_code == 204


class TestBodies:
    @pytest.mark.parametrize(
        "rows",
        [
            {},
            {"keys": "/etc/passwd"},
            {"keys": ["/etc/passwd"]},
            {"keys": []},
            {"keys": [{"id": {"a": [1]}}]},
            {"keys": [{"id": None}]},
            {"keys": [[7]]},
            {"keys": {"id": [7]}},
            {"row_ids": [1.5]},
            {"row_ids": [True]},
            {"row_ids": [-1]},
            {"row_ids": [1 << 64]},
            {"row_ids": [[1], [2, 3]]},
            {"row_ids": "7"},
            {"where": 5},
            {"where": "id = 1; DROP TABLE x"},
            {"where": "id IN (SELECT 1)"},
            {"where": "read_csv('/etc/passwd') IS NOT NULL"},
            {"where": "true", "keys": [{"id": 1}]},
            {"keys": [{"id": 7}], "dry_run": 0},
            {"keys": [{"id": 7}], "dry_run": None},
            {"keys": [{"id": 7}], "author": "somebody else"},
            {"keys": [{"id": 7}], "reason": ""},
            {"keys": [{"id": 7}], "reason": None},
        ],
    )
    def test_rows_to_erase_that_are_none(self, login, store, rows):
        answer = login("steward").post(f"{PEOPLE}:erase", json={**WHY, "dry_run": False, **rows})
        assert answer.status_code in (400, 422), answer.text
        assert_problem(answer, answer.status_code)
        assert_untouched(store)

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/v1/store:gc", {"dry_run": 0}),
            ("/v1/store:gc", {"dry_run": None}),
            ("/v1/store:gc", {"dry_run": False, "grace": "-1d"}),
            ("/v1/store:gc", {"dry_run": False, "grace": ["0"]}),
            ("/v1/store:gc", {"dry_run": False, "actor": "x"}),
            ("/v1/store:verify", {"objects": "all"}),
            ("/v1/store:verify", {"objects": 2}),
            ("/v1/store:verify", {"objects": None}),
            ("/v1/store:verify", {"repair_from": "backup"}),
            (f"{PEOPLE}:freeze", {"keep": -1}),
            (f"{PEOPLE}:freeze", {"keep": 1.5}),
            (f"{PEOPLE}:freeze", {"older_than": "x"}),
            (f"{PEOPLE}:freeze", {"older_than": "0001-01-01T00:00:00+14:00"}),
            (f"{VERSION}:freeze", {"keep": 1}),
            (f"{VERSION}:thaw", {"force": True}),
        ],
    )
    def test_what_is_no_wish_of_a_keeper(self, login, store, path, body):
        assert_problem(login("keeper").post(path, json=body), 422)
        assert_untouched(store)

    def test_nothing_goes_unless_it_is_said(self, login, store):
        said = login("steward").post(f"{PEOPLE}:erase", json={"keys": [{"id": 7}], **WHY}).json()
        assert (said["rows"], said["dry_run"], said["versions"]) == (1, True, ["people@1", "people@2"])
        headers = {"content-type": "text/csv"}
        keys = login("steward").post(f"{PEOPLE}:erase-keys", params=WHY, content="id\n7\n", headers=headers).json()
        assert keys == said
        assert login("keeper").post("/v1/store:gc").json()["dry_run"] is True
        assert_untouched(store)

    def test_no_answer_tells_where_the_store_lies(self, login, store, folder):
        next(folder.glob("objects/*/*.arrow")).unlink()
        (folder / "objects" / "zz").mkdir()
        (folder / "objects" / "zz" / "b3-0.arrow").write_bytes(b"x")
        keeper = login("keeper")
        for method, path, how in WHOLE:
            assert str(folder) not in keeper.request(method, path, **how).text
        found = keeper.post("/v1/store:verify", json={}).json()
        assert not found["passed"]
        assert found["unreferenced"][0]["name"] == "objects/zz/b3-0.arrow"


class TestOnce:
    def test_a_retry_is_given_the_answer_of_the_first(self, login, store):
        steward = login("steward")
        asked = {"json": {"keys": [{"id": 7}], **WHY, "dry_run": False}, "headers": {"idempotency-key": "case-17"}}
        first = steward.post(f"{PEOPLE}:erase", **asked)
        assert (first.status_code, first.json()["rows"]) == (200, 1)
        second = steward.post(f"{PEOPLE}:erase", **asked)
        assert (second.status_code, second.json()) == (200, first.json())
        assert len(store.dataset("people").erasures()) == 1
        other = {**asked, "json": {**asked["json"], "keys": [{"id": 8}]}}
        assert_problem(steward.post(f"{PEOPLE}:erase", **other), 422, "idempotency-key-reused")
        # Another token's key is another key: it finds no such row any more.
        assert_problem(login("steward").post(f"{PEOPLE}:erase", **asked), 404)

    def test_nothing_that_is_kept_can_be_tried_for_the_keys(self, login, store):
        body = {"keys": [{"id": 7}], **WHY, "dry_run": False}
        login("steward").post(f"{PEOPLE}:erase", json=body, headers={"idempotency-key": "k" * 20})
        csv = {"content": "id\n8\n", "headers": {"content-type": "text/csv", "idempotency-key": "l" * 20}}
        login("steward").post(f"{PEOPLE}:erase-keys", params={**WHY, "dry_run": "false"}, **csv)
        places = list((store.root / FOLDER).iterdir())
        assert len(places) == 2
        for place in places:
            kept = json.loads((place / "state.json").read_text())
            assert kept["state"] == "succeeded"
            assert not list(place.glob("body*"))
            assert "k" * 20 not in json.dumps(kept)
            assert "l" * 20 not in json.dumps(kept)
        digests = {json.loads((place / "state.json").read_text())["request"] for place in places}
        again = login("steward").post(f"{PEOPLE}:erase", json={**body, "dry_run": True}, headers=LATER)
        assert again.status_code == 202
        assert digests.isdisjoint({json.loads(f.read_text())["request"] for f in _fresh(store, places)})

    def test_it_is_answered_later_and_its_result_outlives_the_erasure(self, login, store):
        steward = login("steward")
        body = {"keys": [{"id": 7}], **WHY, "dry_run": False}
        place = steward.post(f"{PEOPLE}:erase", json=body, headers=LATER).headers["location"]
        assert done(steward, place)["state"] == "succeeded"
        assert steward.get(f"{place}/result").json()["rows"] == 1

    def test_what_met_somebody_else_is_begun_anew_under_its_key(self, login, store):
        steward = login("steward")
        asked = {"json": {"keys": [{"id": 7}], **WHY, "dry_run": False}, "headers": {"idempotency-key": "case-17"}}
        with foldstore.datastore.seal_area.lock_sealed_area(store._storage):
            answer = steward.post(f"{PEOPLE}:erase", **asked)
            assert_problem(answer, 409)
            assert answer.json()["retry"] is True
        assert steward.post(f"{PEOPLE}:erase", **asked).json()["rows"] == 1


def _fresh(store, places):
    return [place / "state.json" for place in (store.root / FOLDER).iterdir() if place not in places]


class _Held:
    """Holds a step of the store until it is opened."""

    def __init__(self, store, step):
        self._storage, self._step = store._storage, step
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, step):
        if step == self._step:
            self.reached.set()
            assert self.opened.wait(30)

    def __enter__(self):
        self._before = self._storage.on_step
        object.__setattr__(self._storage, "on_step", self)
        return self

    def __exit__(self, *_):
        self.opened.set()
        object.__setattr__(self._storage, "on_step", self._before)


class TestCalledOff:
    def test_an_erasure_that_has_begun_goes_to_its_end(self, login, store):
        steward = login("steward")
        body = {"keys": [{"id": 7}], **WHY, "dry_run": False}
        with _Held(store, "erase-begun") as held:
            place = steward.post(f"{PEOPLE}:erase", json=body, headers=LATER).headers["location"]
            assert held.reached.wait(30)
            assert steward.delete(place).status_code == 200
        assert done(steward, place)["state"] == "succeeded"
        assert store.version("people@1").num_rows == 39

    def test_freezing_ends_between_two_files_and_what_is_moved_stays_right(self, login, store):
        numbers = store.create_dataset("numbers")
        for n in range(3):
            numbers.overwrite({"n": np.arange(50_000) + n})
        keeper = login("keeper")
        with _Held(store, "freeze-linked") as held:
            how = {"json": {"keep": 0}, "headers": LATER}
            place = keeper.post("/v1/datasets/numbers:freeze", **how).headers["location"]
            assert held.reached.wait(30)
            keeper.delete(place)
        assert done(keeper, place)["state"] == "cancelled"
        assert sorted(each.cold_bytes > 0 for each in numbers.versions()) == [False, False, True]
        assert store.verify().passed
        assert keeper.post("/v1/datasets/numbers:freeze", json={"keep": 0}).json()["objects"] == 1

    def test_a_verification_that_is_called_off_finds_no_damage(self, login, store):
        keeper = login("keeper")
        check = foldstore.datastore.verify.run.check_object
        reached, opened = threading.Event(), threading.Event()

        def slow(*args, **how):
            reached.set()
            assert opened.wait(30)
            return check(*args, **how)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(foldstore.datastore.verify.run, "check_object", slow)
            place = keeper.post("/v1/store:verify", json={}, headers=LATER).headers["location"]
            assert reached.wait(30)
            keeper.delete(place)
            opened.set()
            found = until(keeper, place, {"cancelled", "succeeded", "failed"})
        assert (found["state"], found["problem"]["code"]) == ("cancelled", "cancelled")


def test_every_route_that_can_lose_something_asks_for_a_scope_of_its_own():
    losing = {"/v1/store:gc", f"{PEOPLE}:erase", f"{PEOPLE}:erase-keys", f"{PEOPLE}/retention"}
    scopes = {
        (route.method, route.path.replace("{name}", "people")): route.scope
        for route in list_routes()
        if route.path.replace("{name}", "people") in losing and route.method != "GET"
    }
    assert len(scopes) == len(losing)
    assert set(scopes.values()) == NEW_SCOPES
