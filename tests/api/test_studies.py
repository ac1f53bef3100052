"""Studies of rows over HTTP give what the library gives, and tell nobody of pools that are none of theirs."""

import json

import numpy as np
import pytest

import foldstore
from foldstore.api.app import create_app
from foldstore.api.tokens import TokenVault
from tests.api.conftest import assert_problem, client_of


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    draw = np.random.default_rng(1)
    side = draw.random(900) < 0.5
    rows = {
        "id": list(range(900)),
        "x": draw.normal(size=900) + 2 * side,
        "town": ["A", "B", "B"] * 300,
        "side": side,
        "far": draw.random(900),
    }
    with foldstore.connect(tmp_path_factory.mktemp("studies") / "store") as store:
        split = store.create_dataset("people", key=["id"]).append(rows).split("halves", train=0.5, test=0.5, seed=1)
        plan = foldstore.plan_pool("n > 0.6 +/- 0.1", reliability=0.9, steps=2)
        store.pools.seal("secret-pool", split.test, label="side", plan=plan)
        yield store


@pytest.fixture
def login(store):
    vault = TokenVault(store.registry("token"), clock=store.clock)
    app = create_app(store.features, vault, store=store)
    yield lambda role="viewer", **how: client_of(app, vault.create(role, author="t", **how)[0])
    app.end()


def spec_of(address, *steps):
    return {"sources": [{"address": address}], "steps": list(steps)}


def plain(found):
    return json.loads(json.dumps(found.to_dict()))


TRAIN = spec_of("people@1#halves.train")


def test_bias_is_what_the_library_measures(login, store):
    asked = {"spec": TRAIN, "label": "side", "sensitive": "town", "disadvantaged": "A", "min_rows": 5}
    answer = login().post("/v1/views:measure-bias", json=asked).json()
    rows = store.view("people@1#halves.train")
    expected = foldstore.measure_bias(rows, label="side", sensitive="town", disadvantaged="A", min_rows=5)
    assert answer == plain(expected)
    some = {**asked, "spec": spec_of("people@1#halves.train", {"where": "x > 0"}), "confidence": None}
    expected = foldstore.measure_bias(
        rows.where("x > 0"), label="side", sensitive="town", disadvantaged="A", min_rows=5
    )
    assert login().post("/v1/views:measure-bias", json=some).json()["measured"] == expected.measured < 450


def test_feasibility_is_what_the_library_finds(login, store):
    asked = {"spec": TRAIN, "label": "side", "target_error": 0.3, "features": ["x"], "seed": 3, "max_rows": 300}
    answer = login().post("/v1/views:feasibility", json=asked).json()
    rows = store.view("people@1#halves.train")
    expected = foldstore.feasibility(rows, label="side", target_error=0.3, features=["x"], seed=3, max_rows=300)
    assert answer == plain(expected)


@pytest.mark.parametrize(
    ("verb", "asked", "status", "what"),
    [
        ("measure-bias", {"label": "side"}, 422, "'sensitive' is missing"),
        ("measure-bias", {"label": "side", "sensitive": "twn"}, 404, "'twn'"),
        ("measure-bias", {"label": "side", "sensitive": "town", "pos": 1}, 422, "no member 'pos'"),
        ("measure-bias", {"label": "side", "sensitive": "town", "min_rows": "few"}, 422, "min_rows"),
        ("measure-bias", {"label": "side", "sensitive": "town", "disadvantaged": "C"}, 404, "disadvantaged"),
        ("feasibility", {"label": "side"}, 422, "'target_error' is missing"),
        ("feasibility", {"label": "side", "target_error": "low"}, 422, "target_error"),
        ("feasibility", {"label": "side", "target_error": 0.2, "features": "x"}, 422, "features"),
        ("feasibility", {"label": "side", "target_error": 0.2, "embeddings": [1]}, 422, "embedding"),
        ("feasibility", {"label": "sid", "target_error": 0.2}, 404, "'sid'"),
    ],
)
def test_what_does_not_fit_is_told(login, verb, asked, status, what):
    answer = login().post(f"/v1/views:{verb}", json={"spec": TRAIN, **asked})
    assert_problem(answer, status)
    assert what in answer.json()["detail"]


def test_rows_of_a_pool_are_not_studied_and_its_name_is_not_told_to_whom_it_is_hidden(login):
    asked = {"spec": spec_of("people@1"), "label": "town", "target_error": 0.2, "features": ["x"]}
    for client, told in ((login(), True), (login(names=["people"]), False)):
        answer = client.post("/v1/views:feasibility", json=asked)
        assert_problem(answer, 403, "rows-sealed")
        assert ("secret-pool" in answer.text) is told


def test_a_token_of_other_names_finds_nothing(login):
    for verb, asked in (("measure-bias", {"sensitive": "town"}), ("feasibility", {"target_error": 0.2})):
        answer = login(names=["other"]).post(f"/v1/views:{verb}", json={"spec": TRAIN, "label": "side", **asked})
        assert_problem(answer, 404, "not-found")
