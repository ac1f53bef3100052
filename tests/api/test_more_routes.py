"""Routes of gates, single rows, drafts, trends and pools in the making: whom names and rules keep out."""

import pytest

import foldstore
from foldstore.api.app import create_app
from foldstore.api.rules import KIND, AccessRule, RuleBook
from foldstore.api.tokens import TokenVault
from tests.api.conftest import assert_problem, client_of

CSV = {"content-type": "text/csv"}
CANARY = 90_000_017
VERSION = "/v1/datasets/people/versions/1"
PLAN = {"condition": "n > 0.6 +/- 0.1", "reliability": 0.9, "steps": 2}


@pytest.fixture
def store(folder):
    with foldstore.connect(folder, author="owner") as store:
        people = store.create_dataset("people", key=["id"])
        people.append({"id": [*range(40)], "pay": [CANARY + n for n in range(40)], "town": ["A", "B"] * 20})
        store.version("people@1").folds("kept", k=2)
        store.create_dataset("mine").append({"x": [1]})
        store.view("people@1").save("everyone")
        store.view("people@1").save_draft("everyone")
        yield store


@pytest.fixture
def login(store):
    vault = TokenVault(store.registry("token"), clock=store.clock)
    app = create_app(store.features, vault, store=store)
    yield lambda role, **how: client_of(app, vault.create(role, author="t", **how)[0])
    app.end()


@pytest.fixture
def ruled(store, login):
    """An editor who sees neither pay nor the people of town B."""
    book = RuleBook(store.registry(KIND), clock=store.clock)
    book.put(
        AccessRule(name="r", datasets=("people",), roles=("editor",), hide=("pay",), where="town = 'A'"), author="t"
    )
    return login("editor")


SPEC = {"sources": [{"address": "people@1"}], "steps": []}
ASKED = [
    ("GET", "/v1/datasets/people/gate", {}),
    ("PUT", "/v1/datasets/people/gate", {"json": {"policy": {"fail_on": "warn"}}}),
    ("GET", "/v1/datasets/people:as-of", {"params": {"moment": "2099-01-01"}}),
    ("GET", "/v1/datasets/people/trends", {}),
    ("GET", f"{VERSION}/row-ids", {}),
    ("GET", f"{VERSION}/trends", {"params": {"every": "1d"}}),
    ("GET", f"{VERSION}:suggest-split", {}),
    ("GET", "/v1/datasets/people/descriptions", {}),
    ("GET", "/v1/datasets/people/report-history", {}),
    ("DELETE", "/v1/datasets/people", {}),
    ("GET", f"{VERSION}/consumers", {}),
    ("POST", f"{VERSION}:register-consumer", {"json": {"kind": "model", "name": "m"}}),
    ("POST", f"{VERSION}:release-consumer", {"json": {"kind": "model", "name": "m"}}),
    ("POST", f"{VERSION}:folds", {"json": {"name": "cv", "k": 2, "where": [f"pay > {CANARY}"]}}),
    ("GET", f"{VERSION}/folds/kept", {}),
    ("GET", f"{VERSION}/folds/kept/report", {"params": {"columns": "pay"}}),
    ("POST", f"{VERSION}:split", {"json": {"name": "again", "part": "kept-1.train", "train": 1}}),
    ("POST", f"{VERSION}:concept-drift", {"json": {"reference": "people@1", "label": "town"}}),
    ("POST", f"{VERSION}:two-sample-test", {"json": {"reference": "people@1"}}),
    ("POST", f"{VERSION}:postpone", {"json": {"until": "3d"}}),
    ("POST", f"{VERSION}:undeprecate", {"json": {}}),
    ("GET", "/v1/views/everyone/draft", {}),
    ("PUT", "/v1/views/everyone/draft", {"json": {"spec": SPEC}}),
    ("DELETE", "/v1/views/everyone/draft", {}),
    ("POST", "/v1/views/everyone:publish", {"json": {}}),
    ("POST", "/v1/views/everyone:clone", {"json": {"name": "copy"}}),
    ("POST", "/v1/views/everyone:archive", {}),
    ("POST", "/v1/views/everyone:restore", {}),
    ("POST", "/v1/views/everyone/versions/1:deprecate", {"json": {"reason": "old"}}),
]


@pytest.mark.parametrize(("method", "path", "how"), ASKED)
def test_a_token_of_other_names_finds_nothing(login, store, method, path, how):
    answer = login("editor", names=["mine", "copy"]).request(method, path, **how)
    assert_problem(answer, 404)
    assert str(CANARY) not in answer.text
    assert [each.name for each in store.saved_views.list()] == ["everyone"]


@pytest.mark.parametrize(("method", "path", "how"), ASKED)
def test_whom_a_rule_meets_is_told_nothing(ruled, store, method, path, how):
    answer = ruled.request(method, path, **how)
    assert_problem(answer, 403, "hidden-by-rule")
    assert str(CANARY)[:5] not in answer.text
    assert store.dataset("people").gate == foldstore.GatePolicy()
    assert store.saved_views.get("everyone").draft is not None


def test_a_view_that_may_be_named_shows_nothing_of_what_may_not(login, store):
    store.view("people@1").save_draft("mine-too")
    editor = login("editor", names=["mine-too", "copy"])
    assert_problem(editor.get("/v1/views/mine-too/draft"), 404)
    assert_problem(editor.put("/v1/views/mine-too/draft", json={"spec": SPEC}), 404)
    assert_problem(editor.post("/v1/views/mine-too:clone", json={"name": "copy", "version": "draft"}), 404)
    assert_problem(editor.post("/v1/views/mine-too:clone", json={"name": "other"}), 404)


class TestTake:
    def take(self, client, body, **params):
        return client.post(f"{VERSION}:take", content=body, params=params, headers=CSV)

    def test_by_key_and_by_id(self, login, store):
        viewer = login("viewer")
        assert [row["pay"] for row in self.take(viewer, "id\n3\n1\n").json()["rows"]] == [CANARY + 3, CANARY + 1]
        ids = viewer.get(f"{VERSION}/row-ids").json()["rows"]
        assert [row["row_id"] for row in ids] == store.version("people@1").row_ids().tolist()
        found = self.take(viewer, f"row_id\n{ids[5]['row_id']}\n", columns="id,town")
        assert found.json()["rows"] == [{"id": 5, "town": "B"}]
        assert_problem(self.take(viewer, "id\n77\n"), 404, "row-not-found")
        assert_problem(self.take(viewer, "town\nA\n"), 404, "column-not-found")

    def test_what_a_rule_hides_is_not_there(self, ruled, store):
        assert self.take(ruled, "id\n2\n").json()["rows"] == [{"id": 2, "town": "A"}]
        ids = store.version("people@1").row_ids().tolist()
        absent = assert_problem(self.take(ruled, "id\n77\n"), 404, "row-not-found")
        hidden = assert_problem(self.take(ruled, "id\n3\n"), 404, "row-not-found")
        assert hidden["detail"].replace("3", "77") == absent["detail"]
        assert_problem(self.take(ruled, f"row_id\n{ids[3]}\n"), 404, "row-not-found")
        answer = assert_problem(self.take(ruled, "id\n2\n", columns="pay"), 404, "column-not-found")
        assert "pay" not in answer["hint"]

    def test_names_bound_it(self, login):
        assert_problem(self.take(login("viewer", names=["mine"]), "id\n2\n"), 404)


class TestPoolsInTheMaking:
    def test_only_a_steward_seals(self, login, store):
        store.version("people@1").split("half", train=0.5, test=0.5)
        asked = {"name": "p", "part": "people@1#half.test", "label": "pay", "plan": PLAN}
        for role in ("admin", "editor", "evaluator", "viewer"):
            assert_problem(login(role).post("/v1/test-pools", json=asked), 403)
            assert_problem(login(role).post("/v1/reserves", json={"name": "r"}), 403)
        steward = login("steward", names=["p", "mine"])
        assert_problem(steward.post("/v1/test-pools", json=asked), 404)
        assert store.version("people@1").to_arrow()["pay"].null_count == 0

    def test_what_is_wrong_is_said(self, login, store):
        steward = login("steward")
        store.version("people@1").split("half", train=0.5, test=0.5)
        asked = {"name": "p", "part": "people@1#half.test", "label": "pay", "plan": PLAN}
        for wrong in (
            {"part": "people@1"},
            {"plan": {"steps": 2}},
            {"plan": 7},
            {"hide": "pay"},
            {"name": "../p"},
            {"expires": "then"},
        ):
            assert_problem(steward.post("/v1/test-pools", json={**asked, **wrong}), 422)
        assert_problem(steward.post("/v1/test-pools", json={**asked, "label": "nothing"}), 404)
        assert_problem(
            steward.post(
                "/v1/reserves", json={"name": "r", "dataset": "people", "label": "pay", "plan": PLAN, "share": 7}
            ),
            422,
        )
        assert store.pools.list_pools() == []
        assert store.pools.list_reserves() == []


QUESTION = {"condition": "n > 0.8 +/- 0.05", "reliability": 0.99, "steps": 8}


class TestPlans:
    def test_side_by_side_are_those_of_the_sdk(self, login_to_people):
        evaluator = login_to_people("evaluator")
        asked = {**QUESTION, "vary": {"steps": [1, 64]}}
        made = foldstore.plan_pool_table("n > 0.8 +/- 0.05", reliability=0.99, steps=8, vary={"steps": [1, 64]})
        assert evaluator.post("/v1/test-pools:plan-table", json=asked).json() == made.to_dict()
        for form, write in (("html", made.to_html), ("svg", made.to_svg)):
            assert evaluator.post(f"/v1/test-pools:plan-table?form={form}", json=asked).text == write()
        drawn = evaluator.post("/v1/test-pools:plan-table", json=asked, headers={"accept": "image/svg+xml"})
        assert "sandbox" in drawn.headers["content-security-policy"]
        usual = evaluator.post("/v1/test-pools:plan-table", json=QUESTION).json()
        assert usual == foldstore.plan_pool_table("n > 0.8 +/- 0.05", reliability=0.99, steps=8).to_dict()

    @pytest.mark.parametrize(
        "wrong",
        [
            {"vary": {"steps": list(range(1, 200))}},
            {"vary": {"steps": list(range(1, 12)), "tolerance": [n / 1000 for n in range(1, 12)]}, "cross": True},
            {"vary": {"colour": [1]}},
            {"vary": {"steps": "1,8"}},
            {"vary": {"steps": [10**12]}},
            {"vary": {"tolerance": ["nan", {}]}},
            {"vary": [1]},
            {"cross": 1},
            {"method": "exact"},
            {"uses": 3},
        ],
    )
    def test_too_many_or_odd_ones_are_refused(self, login_to_people, wrong):
        answer = login_to_people("evaluator").post("/v1/test-pools:plan-table", json={**QUESTION, **wrong})
        assert_problem(answer, 422)

    def test_uses_are_counted_without_a_promise(self, login_to_people):
        evaluator = login_to_people("evaluator")
        made = evaluator.post("/v1/test-pools:plan", json={"condition": "n > 0.8", "uses": 20}).json()
        assert made == foldstore.meter_pool("n > 0.8", uses=20).to_dict()
        for wrong in ({"uses": "20"}, {"uses": 0}, {"uses": 20, "steps": 3}, {"uses": True}):
            answer = evaluator.post("/v1/test-pools:plan", json={"condition": "n > 0.8", **wrong})
            assert_problem(answer, 422)

    def test_a_viewer_plans_nothing(self, login_to_people):
        assert_problem(login_to_people("viewer").post("/v1/test-pools:plan-table", json=QUESTION), 403)


class TestCodes:
    def test_come_with_ids_for_versions_that_the_token_is_for(self, people, login_to_people):
        people.version("people@1").split("halves", train=0.5, test=0.5, seed=1)
        people.version("people@1").folds("cv", k=3, seed=1)
        viewer = login_to_people("viewer")
        told = viewer.get("/v1/datasets/people/versions/1/splits/halves/codes").json()["rows"]
        version = people.version("people@1")
        assert [row["row_id"] for row in told] == version.row_ids().tolist()
        assert [row["code"] for row in told] == version.find_split("halves").codes().tolist()
        assert len(viewer.get("/v1/datasets/people/versions/1/folds/cv/codes?limit=2").json()["rows"]) == 2
        assert_problem(viewer.get("/v1/datasets/people/versions/1/splits/none/codes"), 404)
        assert_problem(login_to_people("serving").get("/v1/datasets/people/versions/1/splits/halves/codes"), 403)
