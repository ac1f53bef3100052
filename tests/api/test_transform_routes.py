"""Routes of transforms and consumers: whom names and rules keep out, and what is said of what is wrong."""

import pytest

import foldstore
from tests.api.conftest import assert_problem
from tests.api.test_more_routes import CANARY, CSV, VERSION, login, ruled, store

__all__ = ["login", "ruled", "store"]  # fixtures
DEFINITION = {"name": "other", "operations": [{"op": "minmax", "column": "pay"}]}
PATH = "/v1/transforms/learnt/versions/1"
ASKED = [
    ("GET", PATH, {}),
    ("POST", "/v1/transforms", {"json": {"definition": DEFINITION, "on": "people@1#kept-1.train"}}),
    ("POST", f"{PATH}:apply", {"content": "pay\n1\n", "headers": CSV}),
    ("POST", f"{PATH}:validate", {"json": {"data": "people@1"}}),
]


@pytest.fixture
def fitted(store):
    transform = foldstore.Transform("learnt", [foldstore.MinMax("pay")])
    return store.transforms.fit(transform, "people@1#kept-1.train")


@pytest.mark.parametrize(("method", "path", "how"), ASKED)
@pytest.mark.usefixtures("fitted")
def test_who_may_not_is_told_nothing(login, ruled, store, method, path, how):
    # Its names are those of the transforms, and not of what they learnt from.
    outside = login("admin", names=["mine", "learnt", "other"])
    for client, status, code in ((outside, 404, None), (ruled, 403, "hidden-by-rule")):
        answer = client.request(method, path, **how)
        assert_problem(answer, status, code)
        assert str(CANARY)[:5] not in answer.text
        assert_problem(login("serving").request(method, path, **how), 403)
    assert store.transforms.list() == ["learnt@1"]


@pytest.mark.usefixtures("fitted")
def test_lists_tell_of_what_one_may_see(login, ruled, store):
    store.version("people@1").consumers.register("model", "m")
    bounded = login("viewer", names=["mine", "learnt"])
    for path in ("/v1/transforms", "/v1/consumers"):
        assert bounded.get(path).json()["items"] == []
        assert len(login("viewer").get(path).json()["items"]) >= 1
        assert_problem(ruled.get(path), 403, "hidden-by-rule")


def test_a_shell_fits_and_applies(login):
    editor = login("editor")
    made = editor.post("/v1/transforms", json={"definition": DEFINITION, "on": "people@1#kept-1.train"})
    assert (made.status_code, made.headers["location"]) == (201, "/v1/transforms/other/versions/1")
    path = made.headers["location"]
    found = editor.post(f"{path}:apply", content=f"pay\n{CANARY + 39}\n", headers=CSV).json()["rows"]
    assert 0.9 < found[0]["pay"] <= 1.1
    assert editor.post(f"{path}:validate", json={"data": "people@1"}).json()["anomalies"] is not None
    assert editor.get(path).json()["transform"]["operations"][0]["op"] == "minmax"
    fit = {"definition": DEFINITION, "on": "people@1#kept-1.train"}
    assert_problem(login("viewer").post("/v1/transforms", json=fit), 403)
    for wrong, status in (
        ({**fit, "on": "people@1"}, 403),
        ({**fit, "on": "people@1#kept-1.validation"}, 403),
        ({**fit, "definition": {}}, 422),
        ({**fit, "definition": {**DEFINITION, "name": "../x"}}, 422),
        ({"on": fit["on"]}, 422),
    ):
        assert editor.post("/v1/transforms", json=wrong).status_code == status, wrong


def test_who_pinned_a_version_takes_the_pin_out(login, store):
    pin = {"kind": "pin", "name": "keep"}
    assert login("editor").post(f"{VERSION}:register-consumer", json=pin).status_code == 200
    assert_problem(login("editor").post(f"{VERSION}:release-consumer", json=pin), 403, "not-yours")
    assert login("admin").post(f"{VERSION}:release-consumer", json=pin).json() == {"released": True}
    for verb in ("register-consumer", "release-consumer"):
        assert_problem(login("viewer").post(f"{VERSION}:{verb}", json={**pin, "kind": "model"}), 403)
    assert [each.kind for each in store.consumers()] == ["view"]  # registered by the view itself
