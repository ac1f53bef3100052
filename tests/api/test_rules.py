"""What a rule hides is on no way that its holder has, and everything that might tell of it is refused."""

import json

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.api.app import create_app
from foldstore.api.resources import list_routes
from foldstore.api.rules import KIND, AccessRule, RuleBook
from foldstore.api.tokens import TokenVault
from foldstore.errors import NotFoundError, UsageError
from tests.api.conftest import AT, assert_problem, client_of

CANARY = "LEAK_7f3a"
PEOPLE = {
    "id": list(range(40)),
    "country": ["NO" if n % 4 else "SE" for n in range(40)],
    "salary": [900_000_000 + n for n in range(40)],
    "note": [f"{CANARY}_{n}" if n % 4 == 0 else f"plain {n}" for n in range(40)],
}
SEEN = [n for n in range(40) if n % 4]
VERSION = "/v1/datasets/people/versions/1"


@pytest.fixture
def store(folder):
    with foldstore.connect(folder, author="owner") as store:
        people = store.create_dataset("people", key=["id"])
        people.append(PEOPLE)
        people.append({"id": [100, 101], "country": ["SE", "NO"], "salary": [900_000_100] * 2, "note": [CANARY, "x"]})
        people.delete("id = 1")
        people.version(1).split("halves", train=0.5, test=0.5, seed=1)
        people.version(1).view().save("everybody")
        store.create_dataset("cities").append({"city": ["Oslo"]})
        yield store


@pytest.fixture
def vault(store):
    return TokenVault(store.registry("token"), clock=store.clock)


@pytest.fixture
def book(store):
    book = RuleBook(store.registry(KIND), clock=store.clock)
    rule = AccessRule(
        name="norway", datasets=("peo*",), roles=("viewer", "editor"), hide=("sal*",), where="country = 'NO'"
    )
    book.put(rule, author="owner")
    return book


@pytest.fixture
def app(features, vault, store, book):
    return create_app(features, vault, store=store)


@pytest.fixture
def viewer(app, vault):
    return client_of(app, vault.create("viewer", author="t")[0])


WAYS = {
    "rows": lambda c: c.get(f"{VERSION}/rows"),
    "rows of a condition": lambda c: c.get(f"{VERSION}/rows", params={"where": "id >= 0"}),
    "sql": lambda c: c.post("/v1/sql", json={"sql": 'SELECT * FROM "people@1"'}),
    "sql of a view": lambda c: c.post("/v1/sql", json={"sql": "SELECT * FROM everybody"}),
    "a view": lambda c: c.post("/v1/views:read", json={"spec": {"sources": [{"address": "people@1"}], "steps": []}}),
    "a saved view": lambda c: c.get("/v1/views/everybody/versions/1/rows"),
}


class TestWhatIsRead:
    @pytest.mark.parametrize("way", WAYS)
    def test_rows_and_columns_are_hidden_on_every_way(self, viewer, way):
        answer = WAYS[way](viewer)
        assert answer.status_code == 200, answer.text
        rows = answer.json()["rows"]
        assert sorted(row["id"] for row in rows) == SEEN
        assert {name for row in rows for name in row} == {"id", "country", "note"}
        assert CANARY not in answer.text
        assert "90000" not in answer.text

    def test_a_hidden_column_is_not_there(self, viewer):
        for answer in (
            viewer.get(f"{VERSION}/rows", params={"columns": "salary"}),
            viewer.get(f"{VERSION}/rows", params={"where": "salary > 900000020"}),
            viewer.post("/v1/sql", json={"sql": 'SELECT max(salary) FROM "people@1"'}),
        ):
            assert answer.status_code in {404, 422}
            assert "salary" not in answer.json()["hint"]

    def test_the_list_of_datasets_tells_nothing_of_a_hidden_column(self, viewer, store):
        derived = {"taxes": "salary / 4"}
        store.create_dataset("people2", key=["id", "sale"], derive=derived).append(
            {"id": [1], "sale": [2], "salary": [4], "country": ["NO"]}
        )
        store.create_dataset("people3", event_time="salt")
        for word in ("salary", "SALAR", "sale"):
            found = viewer.get("/v1/datasets", params={"search": word})
            assert (found.status_code, found.json()["items"]) == (200, [])
        assert [each["name"] for each in viewer.get("/v1/datasets?search=note").json()["items"]] == ["people"]
        told = viewer.get("/v1/datasets?prefix=people")
        assert not {"salary", "sale", "salt"} & set(json.dumps(told.json()).replace('"', " ").split())
        assert [each["key"] for each in told.json()["items"]] == [["id"], ["id"], []]

    def test_comparisons_of_other_data_with_it_read_what_is_left(self, viewer, store):
        store.create_dataset("others").append({"id": list(range(40)), "salary": [1] * 40, "note": [CANARY[:4]] * 40})
        spec = {"sources": [{"address": "people@1"}], "steps": []}
        pinned = {"sources": [{"address": "others@1", "version_id": store.version("people@1").version_id}], "steps": []}
        for reference in ("people@1", "everybody", spec, pinned):
            found = viewer.post("/v1/datasets/others/versions/1:drift", json={"reference": reference})
            assert found.status_code == 200, found.text
            assert found.json()["columns"]["id"]["n_reference"] == len(SEEN)
            assert set(found.json()["columns"]) == {"id"}
            assert CANARY not in found.text
            assert "90000" not in found.text
        for step in ({"where": "salary > 900000020"}, {"select": ["salary"]}):
            asked = {"reference": {**spec, "steps": [step]}}
            for verb in ("drift", "two-sample-test"):
                assert viewer.post(f"/v1/datasets/others/versions/1:{verb}", json=asked).status_code == 404

    def test_no_segment_is_told_by_a_hidden_column_or_of_a_hidden_row(self, viewer, store):
        rows = {"id": list(range(40)), "salary": [1] * 40, "country": ["NO", "SE"] * 20, "note": [CANARY[:4]] * 40}
        store.create_dataset("others").append(rows)
        path = "/v1/datasets/others/versions/1:drift"
        spec = {"sources": [{"address": "people@1"}], "steps": []}
        for reference in ("people@1", "everybody", spec):
            for by in ("salary", ["country", "salary"]):
                refused = viewer.post(path, json={"reference": reference, "by": by})
                assert refused.status_code == 404
                assert "salary" not in refused.json()["hint"]
            found = viewer.post(path, json={"reference": reference, "by": "country"})
            assert found.status_code == 200, found.text
            assert CANARY not in found.text
            assert "90000" not in found.text
            sizes = {each["name"]: each["rows_reference"] for each in found.json()["segments"]}
            assert sizes == {"NO": len(SEEN), "SE": 0}
        own = viewer.post(f"{VERSION}:drift", json={"reference": "others@1", "by": "country"})
        assert own.json()["code"] == "hidden-by-rule"

    def test_hidden_rows_do_not_count(self, viewer):
        asked = viewer.post("/v1/sql", json={"sql": 'SELECT count(*) AS n, min(id) AS least FROM "people@1"'})
        assert asked.json()["rows"] == [{"n": 30, "least": 1}]
        newest = viewer.post("/v1/sql", json={"sql": "SELECT list(id ORDER BY id) AS ids FROM people"})
        assert newest.json()["rows"] == [{"ids": [n for n in SEEN if n != 1] + [101]}]

    def test_others_see_everything(self, app, vault):
        steward = client_of(app, vault.create("steward", author="t")[0])
        assert len(steward.get(f"{VERSION}/rows").json()["rows"]) == 40

    def test_nothing_else_of_the_dataset_is_told_or_touched(self, app, vault, store):
        editor = client_of(app, vault.create("editor", author="t")[0])
        before = len(store.dataset("people").versions())
        for route in list_routes():
            if route.scope not in {"datasets:read", "datasets:write", "sql:run"} or route.obeys_rules:
                continue
            path = route.path.replace("{name}", "people").replace("{ref}", "1").replace("{split}", "halves")
            path = path.replace("{", "").replace("}", "")
            answer = editor.request(route.method, path, json=route.example or {})
            if route.path.startswith("/v1/datasets/{name}") or "{name}" not in route.path:
                assert_problem(answer, 403, "hidden-by-rule")
            assert CANARY not in answer.text
            assert "90000" not in answer.text
        assert len(store.dataset("people").versions()) == before

    def test_other_datasets_are_as_they_were(self, app, vault):
        editor = client_of(app, vault.create("editor", author="t")[0])
        assert editor.get("/v1/datasets/cities/versions/1/profile").status_code == 200

    def test_lookups_are_refused(self, app, viewer, vault):
        ask = {"service": "svc@1", "entities": {"driver_id": [1]}, "at": AT}
        assert_problem(viewer.post("/v1/features:get", json=ask), 403, "hidden-by-rule")
        assert (
            client_of(app, vault.create("serving", author="t")[0]).post("/v1/features:get", json=ask).status_code == 200
        )

    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(limits=st.tuples(st.integers(-5, 45), st.integers(-5, 45)))
    def test_what_is_left_is_what_the_condition_leaves(self, store, book, limits):
        low, high = limits
        rows = store.version("people@1").rows
        rules = [
            AccessRule(name="a", datasets=("*",), roles=("viewer",), where=f"id >= {low}"),
            AccessRule(name="b", datasets=("*",), roles=("viewer",), where=f"id < {high}", hide=("note",)),
        ]
        left = book.narrow(rows, rules)
        table = left.to_table()
        assert table.column_names == ["id", "country", "salary"]
        assert table["id"].to_pylist() == [n for n in range(40) if low <= n < high]
        assert left.num_rows == table.num_rows
        assert pa.array(left.row_ids()).to_pylist() == [
            row_id for row_id, n in zip(rows.row_ids().tolist(), range(40), strict=True) if low <= n < high
        ]


class TestTheBook:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"datasets": ()},
            {"roles": ()},
            {"roles": ("vewer",)},
            {"hide": (), "where": None},
            {"hide": ("a\n",)},
            {"where": ""},
            {"name": "../x"},
        ],
    )
    def test_a_rule_that_means_nothing_is_refused(self, store, wrong):
        rule = {"name": "r", "datasets": ("a",), "roles": ("viewer",), "hide": ("x",), **wrong}
        with pytest.raises(UsageError):
            RuleBook(store.registry(KIND)).put(AccessRule(**rule), author="o")

    def test_what_a_rule_names_in_vain_is_said_over_http_as_by_the_command(self, app, vault, store, capsys):
        from foldstore.cli.app import run

        admin = client_of(app, vault.create("admin", author="t")[0])
        for number, (options, expected) in enumerate(
            [
                ({"datasets": ["*"], "hide": ["no_such_column"]}, ["is called no_such_column, so it hides nothing"]),
                ({"datasets": ["no-such-*"], "hide": ["x"]}, ["no dataset with a version is called no-such-*"]),
                ({"datasets": ["*"], "where": "no_such_column = 1"}, ["the condition does not fit"]),
                ({"datasets": ["*"], "hide": ["*"]}, []),
            ]
        ):
            told = admin.put(f"/v1/rules/r{number}", json={"roles": ["viewer"], **options}).json()["warnings"]
            words = [f"--{'dataset' if name == 'datasets' else name}" for name in options]
            values = [value if isinstance(value, str) else value[0] for value in options.values()]
            typed = [each for pair in zip(words, values, strict=True) for each in pair]
            assert run(["rule", "set", f"c{number}", "--role", "viewer", *typed, "--store", str(store.root)]) == 0
            said = " ".join(capsys.readouterr().err.split())
            assert len(told) >= len(expected)
            assert all(any(part in warning for warning in told) for part in expected)
            assert all(f"warning: {' '.join(warning.split())}" in said for warning in told)
            assert ("warning" in said) == bool(expected)

    def test_an_admin_whom_a_rule_meets_is_told_nothing_of_what_it_hides(self, app, vault, store, book):
        book.put(
            AccessRule(name="own", datasets=("people",), roles=("admin",), hide=("salary",), where="id < 5"),
            author="o",
        )
        admin = client_of(create_app(store.features, vault, store=store), vault.create("admin", author="t")[0])
        for hide, where in (("salary", None), ("slary", None), ("note", "salary > 900000020"), ("note", "slary = 1")):
            body = {"datasets": ["people"], "roles": ["viewer"], "hide": [hide], "where": where}
            answer = admin.put("/v1/rules/theirs", json=body)
            assert (answer.status_code, answer.json()["warnings"]) == (200, [])
        body = {"datasets": ["people", "cities"], "roles": ["viewer"], "hide": ["town"]}
        assert admin.put("/v1/rules/theirs", json=body).json()["warnings"] == [
            "no column of cities is called town, so it hides nothing there"
        ]

    def test_an_admin_of_some_names_neither_sets_nor_sees_rules_and_tokens(self, app, vault, book):
        bounded = client_of(app, vault.create("admin", author="t", names=["cities"])[0])
        rule = {"datasets": ["*"], "roles": ["viewer"], "hide": ["no_such_column"]}
        for method, path, body in (
            ("GET", "/v1/rules", None),
            ("PUT", "/v1/rules/all", rule),
            ("DELETE", "/v1/rules/norway", None),
            ("GET", "/v1/tokens", None),
            ("POST", "/v1/tokens", {"role": "admin"}),
            ("GET", "/v1/audit", None),
        ):
            answer = bounded.request(method, path, json=body)
            assert_problem(answer, 403, "refused")
            assert "people" not in answer.text
        assert [rule.name for rule in book.list()] == ["norway"]

    def test_rules_are_set_listed_and_removed_over_http_and_by_the_command(self, app, vault, store, capsys):
        from foldstore.cli.app import run

        admin = client_of(app, vault.create("admin", author="t")[0])
        body = {"datasets": ["cities"], "tokens": ["abcd1234"], "hide": ["city"]}
        assert admin.put("/v1/rules/towns", json=body).json()["name"] == "towns"
        assert_problem(admin.put("/v1/rules/none", json={"datasets": ["a"]}), 422)
        listed = [rule["name"] for rule in admin.get("/v1/rules").json()["items"]]
        assert listed == ["norway", "towns"]
        assert admin.delete("/v1/rules/towns").status_code == 204
        assert_problem(admin.delete("/v1/rules/towns"), 404)
        where = ["--store", str(store.root)]
        assert run(["rule", "set", "cheap", "--dataset", "cities", "--role", "viewer", "--hide", "c*", *where]) == 0
        assert run(["rule", "ls", "--output", "jsonl", *where]) == 0
        assert [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()] == ["cheap", "norway"]
        assert run(["rule", "rm", "cheap", *where]) == 0

    def test_who_sets_a_rule_is_told_what_it_does_not_fit(self, store, capsys):
        from foldstore.cli.app import run

        def said(*words):
            assert run(["rule", "set", "r", "--role", "viewer", "--store", str(store.root), *words]) == 0
            return [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]

        assert said("--dataset", "people", "--hide", "salary", "--where", "country = 'NO'") == []
        (typo,) = said("--dataset", "people", "--hide", "slary", "--hide", "note")
        assert "slary" in typo
        (nobody,) = said("--dataset", "persons", "--dataset", "pe*", "--hide", "salary")
        assert "persons" in nobody
        (misfit,) = said("--dataset", "*", "--where", "country = 'NO'")
        assert "cities" in misfit
        assert "no row is shown" in misfit

    def test_one_that_is_not_there_cannot_be_removed(self, book):
        with pytest.raises(NotFoundError):
            book.remove("nothing", author="o")

    def test_a_condition_that_does_not_fit_is_refused_whole(self, store, book):
        from foldstore.errors import RefusedError

        rule = AccessRule(name="odd", datasets=("*",), roles=("viewer",), where="no_column = 1")
        with pytest.raises(RefusedError) as caught:
            book.narrow(store.version("people@1").rows, [rule])
        assert caught.value.code == "rule-not-applicable"

    def test_bitmaps_of_readers_that_are_gone_are_let_go(self, store, book):
        import gc

        rule = AccessRule(name="a", datasets=("*",), roles=("viewer",), where="id > 3")
        deletions = store._storage.deletions
        before = len(deletions._waiting)
        left = book.narrow(store.version("people@1").rows, [rule])
        assert len(deletions._waiting) == before + 1
        part = left.restricted(left.fragments)
        del left
        gc.collect()
        assert part.to_table().num_rows == 36
        del part
        gc.collect()
        assert len(deletions._waiting) == before
