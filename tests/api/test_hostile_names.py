"""Names and addresses that climb, break lines, look like others or never end: none is found, none opens a file."""

import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.api.access import ROLES
from foldstore.api.app import create_app
from foldstore.api.resources import list_routes
from foldstore.api.tokens import TokenVault
from tests.api.conftest import assert_problem, client_of
from tests.api.hostile import ADDRESSES, BROKEN, CLIMBING, FURTHER, LOOKALIKES, QUOTED

FILLED = {"name": "people", "ref": "1", "split": "halves", "part": "train"}
WALKED = [*CLIMBING, *LOOKALIKES, *[each for each in BROKEN if each != "\ud800"], *QUOTED]
OPENED: list[str] = []
WATCHING: list[bool] = []


def _note(event, given):
    if event == "open" and WATCHING and isinstance(given[0], str | bytes):
        OPENED.append(given[0] if isinstance(given[0], str) else given[0].decode(errors="replace"))


sys.addaudithook(_note)  # for good: there is no way to take one away


@pytest.fixture
def opened():
    """The files that Python opens meanwhile."""
    OPENED.clear()
    WATCHING.append(True)
    yield OPENED
    WATCHING.clear()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with foldstore.connect(tmp_path_factory.mktemp("names") / "store", author="owner") as store:
        people = store.create_dataset("people", key=["id"])
        first = people.append({"id": [1, 2, 3, 4], "city": ["Oslo", "Bern", "Rome", "Oslo"]})
        first.split("halves", train=0.5, test=0.5, seed=1)
        first.view().save("everybody")
        yield store


@pytest.fixture(scope="module")
def clients(store):
    vault = TokenVault(store.registry("token"), clock=store.clock)
    app = create_app(store.features, vault, store=store)
    return {role: client_of(app, vault.create(role, author="t")[0]) for role in ROLES}


def able(clients, route):
    return next((clients[role] for role in ROLES if route.scope in ROLES[role]), clients["editor"])


def facts(store):
    """What a request might have left behind."""
    names = [each.name for each in store.datasets()]
    kinds = ("view", "token", "access-rule")
    return names, len(store.dataset("people").versions()), [store.registry(kind).list_names() for kind in kinds]


@pytest.mark.parametrize("attack", WALKED, ids=lambda text: ascii(text)[:40])
def test_no_place_of_no_route_takes_it(store, clients, opened, attack):
    before = facts(store)
    for route in list_routes():
        for place in route.places:
            filled = {**FILLED, place: attack}
            path = route.path
            for name in route.places:
                path = path.replace(f"{{{name}}}", quote(filled.get(name, "nothing"), safe="").replace(".", "%2E"))
            sent = {"json": route.example} if route.body in ("json", "either") else {"content": b"", "headers": {}}
            if route.body == "rows":
                sent = {"content": b"id\n1\n", "headers": {"content-type": "text/csv"}}
            answer = able(clients, route).request(route.method, path, **sent)
            if answer.status_code == 200:
                assert answer.json()["items"] == []  # what never was has not moved, and has no aliases
                continue
            assert answer.status_code in {400, 403, 404, 405, 409, 422}, (route.method, path, answer.text)
            assert_problem(answer, answer.status_code)
            assert not set(answer.text) & {"\0", "\r", "\n", "\x1b", "\u202e"}
            assert not any("\n" in value or "\r" in value for value in answer.headers.values())
    assert facts(store) == before
    ours = (str(store.root), tempfile.gettempdir() + "/foldstore-", sys.prefix, sys.base_prefix, "/proc/", "/dev/")
    outside = [path for path in opened if path.startswith("/") and not path.startswith(ours)]
    assert [path for path in outside if ".venv" not in path and "foldstore/" not in path] == []
    assert not any(attack in Path(path).parts for path in opened if len(attack) > 1)


PIECES = ["people", "everybody", "halves", "train", "1", "2", "latest", "@", "#", ".", "-", "..", "/", "\\", "\0", " "]
addresses = (
    st.sampled_from(ADDRESSES)
    | st.lists(st.sampled_from(PIECES), max_size=9).map("".join)
    | st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=6).map("".join)
)
WAYS = {
    "rows of a view": lambda c, a: c.post("/v1/views:read", json={"spec": {"sources": [{"address": a}], "steps": []}}),
    "count": lambda c, a: c.post("/v1/views:count", json={"spec": {"sources": [{"address": a}], "steps": []}}),
    "a view": lambda c, a: c.put("/v1/views/v", json={"spec": {"sources": [{"address": a}], "steps": []}}),
    "a difference": lambda c, a: c.get("/v1/datasets/people:diff", params={"before": a, "after": "1"}),
    "lineage": lambda c, a: c.get("/v1/lineage", params={"address": a}),
    "drift": lambda c, a: c.post("/v1/datasets/people/versions/1:drift", json={"reference": a}),
    "a ref": lambda c, a: c.put("/v1/datasets/people/refs/x", json={"kind": "alias", "version": a}),
    "restore": lambda c, a: c.post("/v1/datasets/people:restore", json={"version": a}),
    "merge": lambda c, a: c.post("/v1/datasets/people:merge", json={"theirs": a}),
    "a table of SQL": lambda c, a: c.post(
        "/v1/sql", json={"sql": 'SELECT count(*) AS n FROM "{}"'.format(a.replace('"', '""'))}
    ),
    "a lookup": lambda c, a: c.post("/v1/features:get", json={"service": a, "entities": {"id": [1]}}),
    "a replacement": lambda c, a: c.post(
        "/v1/datasets/people/versions/1:deprecate", json={"reason": "", "replacement": a}
    ),
}


@pytest.mark.filterwarnings("ignore::foldstore.store_views.DeprecatedInputWarning")
@pytest.mark.parametrize("way", WAYS)
def test_an_address_is_found_or_refused(store, clients, way):
    examples = (15 if way == "a table of SQL" else 60) * FURTHER

    @settings(max_examples=examples, suppress_health_check=[HealthCheck.too_slow])
    @given(address=addresses.filter(lambda text: text.isascii() or text.encode(errors="ignore").decode() == text))
    def law(address):
        answer = WAYS[way](clients["editor"], address)
        if answer.status_code >= 300:
            assert answer.status_code in {400, 403, 404, 409, 422}, answer.text
            assert_problem(answer, answer.status_code)

    law()
    assert [each.name for each in store.datasets()] == ["people"]
