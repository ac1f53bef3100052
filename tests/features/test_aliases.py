"""Aliases of services: moved in one step, seen by whoever serves, answered by a version that is named."""

import datetime as dt
import json
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.api.app import create_app
from foldstore.api.tokens import TokenVault
from foldstore.cli.app import run
from foldstore.errors import InvalidNameError, NotFoundError, RefusedError, UsageError
from tests.api.conftest import assert_problem, client_of

pytestmark = pytest.mark.usefixtures("each_catalog")
DAY = [dt.datetime(2024, 1, n, tzinfo=dt.UTC) for n in range(1, 8)]
ASK = [{"driver": 1}]


def view(*features):
    driver = foldstore.Entity("driver", keys={"driver": "int64"})
    return foldstore.FeatureView("stats", entity=driver, source="rides", event_time="ts", features=list(features))


@pytest.fixture
def store(folder):
    with foldstore.connect(folder, author="ana") as store:
        rides = {"driver": [1, 2], "ts": [DAY[0]] * 2, "trips": [10, 20], "tips": [3, None]}
        store.create_dataset("rides").append(rides)
        for features in (["trips"], ["trips", "tips"]):
            store.features.materialize(store.features.apply(foldstore.FeatureService("model", [view(*features)])))
        yield store


@pytest.fixture
def login(store):
    vault = TokenVault(store.registry("token"), clock=store.clock)
    app = create_app(store.features, vault, store=store)
    return lambda role, **how: client_of(app, vault.create(role, author="ana", **how)[0])


def test_an_alias_is_answered_by_the_version_that_it_stands_for(store):
    assert store.features.aliases.set("model@live", "model@1") == "model@1"
    found = store.features.get_online_features("model@live", ASK, at=DAY[1])
    assert (found.service, found.names) == ("model@1", ["trips"])
    assert store.features.service("model@live").output_names() == ["trips"]
    assert store.features.get_historical_features({"driver": [1], "event_timestamp": [DAY[1]]}, "model@live")[
        "trips"
    ].to_pylist() == [10]
    assert store.features.online("model@live").get({"driver": 1}, at=DAY[1]).values == {"trips": 10}
    assert store.features.aliases.get("model@live") == "model@1"
    assert store.features.aliases.list("model") == {"model@live": "model@1"}


def test_moves_have_who_and_when_in_a_chain_that_is_checked(store, folder):
    store.features.aliases.set("model@live", "model@1")
    store.features.aliases.set("model@live", "model@1")  # no move
    with foldstore.connect(folder, author="ben") as other:
        other.features.aliases.set("model@live", "model")
    store.features.aliases.remove("model@live")
    moves = store.features.aliases.history("model@live")
    assert [(move.service, move.author) for move in moves] == [("model@1", "ana"), ("model@2", "ben"), (None, "ana")]
    assert [move.created_at for move in moves] == sorted(move.created_at for move in moves)
    assert store._storage.journal.verify("service-aliases/model") == 3
    assert store.features.aliases.list() == {}
    with pytest.raises(NotFoundError, match="There is no feature service 'model@live'"):
        store.features.get_online_features("model@live", ASK)
    store.features.aliases.set("model@live", "model@2")  # made anew
    assert store.features.aliases.get("model@live") == "model@2"


def test_a_move_to_what_is_not_materialized_would_make_a_gap(store):
    made = store.features.apply(foldstore.FeatureService("model", [view("trips", "tips")[["tips", "trips"]]]))
    store.features.aliases.set("model@next", made)  # nothing answers by it yet
    store.features.aliases.set("model@live", "model@2")
    with pytest.raises(RefusedError, match="model@3 is not materialized") as caught:
        store.features.aliases.set("model@live", made)
    assert (caught.value.code, caught.value.exit_code) == ("not-materialized", 4)
    assert store.features.aliases.get("model@live") == "model@2"
    store.features.materialize(made)
    assert store.features.aliases.set("model@live", made) == "model@3"


@pytest.mark.parametrize("alias", ["model", "model@3", "model@latest", "model@live#s.train"])
def test_what_is_no_alias_is_refused(store, alias):
    with pytest.raises(UsageError, match="does not name an alias"):
        store.features.aliases.set(alias, "model@1")


@pytest.mark.parametrize("alias", ["model@../x", "model@Live", "model@", 5])
def test_what_is_no_name_is_refused(store, alias):
    with pytest.raises(InvalidNameError):
        store.features.aliases.set(alias, "model@1")


def test_an_alias_is_of_its_own_service(store):
    store.features.apply(foldstore.FeatureService("other", [view("trips")]))
    with pytest.raises(UsageError, match="that is another service"):
        store.features.aliases.set("model@live", "other@1")
    for verb in (store.features.aliases.get, store.features.aliases.remove, store.features.aliases.history):
        with pytest.raises(NotFoundError, match="no alias 'model@live'"):
            verb("model@live")
    with pytest.raises(NotFoundError):
        store.features.aliases.set("model@live", "model@9")
    with pytest.raises(NotFoundError):
        store.features.aliases.set("nothing@live", "nothing@1")


def test_a_running_server_follows_another_process_without_a_gap(store, folder, login):
    client = login("serving")
    store.features.aliases.set("model@live", "model@1")
    body = {"service": "model@live", "entities": ASK, "at": "2024-01-02T00:00:00Z"}
    answers, done = [], threading.Event()

    def ask():
        while not done.is_set():
            answers.append(client.post("/v1/features:get", json=body))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        with foldstore.connect(folder) as other:
            for n in range(20):
                other.features.aliases.set("model@live", f"model@{2 - n % 2}")
                assert client.post("/v1/features:get", json=body).json()["service"] == f"model@{2 - n % 2}"
    finally:
        done.set()
        asking.join()
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["service"] for answer in answers} <= {"model@1", "model@2"}


def test_aliases_over_http(store, login):
    editor, viewer = login("editor"), login("viewer")
    path = "/v1/feature-services/model/aliases"
    assert editor.put(f"{path}/live", json={"version": "1"}).json() == {"alias": "model@live", "service": "model@1"}
    assert_problem(viewer.put(f"{path}/live", json={"version": "2"}), 403)
    assert viewer.get(path).json()["items"] == [{"alias": "model@live", "service": "model@1"}]
    feast = {"feature_service": "model@live", "entities": {"driver": [1]}}
    assert viewer.post("/get-online-features", json=feast).json()["metadata"]["service"] == "model@1"
    assert editor.delete(f"{path}/live").status_code == 204
    history = viewer.get(f"{path}/live/history").json()["items"]
    assert [each["service"] for each in history] == ["model@1", None]
    assert_problem(editor.put(f"{path}/live", json={"version": "9"}), 404)
    assert_problem(editor.put(f"{path}/live", json={"version": [1]}), 422)
    assert_problem(viewer.post("/v1/features:get", json={"service": "model@live", "entities": ASK}), 404)


def test_a_token_of_some_names_looks_up_these_services_alone(store, login):
    mine, others = login("serving", names=("model",)), login("serving", names=("team.*",))
    body = {"service": "model@1", "entities": ASK}
    assert mine.post("/v1/features:get", json=body).status_code == 200
    assert_problem(others.post("/v1/features:get", json=body), 404)
    assert_problem(others.get("/v1/feature-services/model/aliases"), 404)
    named = {"features": ["stats:trips"], "entities": ASK}
    assert_problem(mine.post("/v1/features:get", json=named), 403)


def test_the_commands(store, folder, capsys):
    where = ["--store", str(folder)]
    assert run(["features", "alias", "set", "model@live", "model@1", *where]) == 0
    assert run(["features", "alias", "set", "model@live", "model@2", *where]) == 0
    capsys.readouterr()
    assert run(["features", "alias", "ls", "-o", "json", *where]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["alias"], row["service"]) == ("model@live", "model@2")
    assert run(["features", "get", "model@live", "driver=1", "--at", "2024-01-02", *where]) == 0
    assert json.loads(capsys.readouterr().out)["service"] == "model@2"
    assert run(["features", "alias", "history", "model@live", "-o", "csv", *where]) == 0
    assert "model@1" in capsys.readouterr().out
    assert run(["features", "alias", "remove", "model@live", *where]) == 0
    assert run(["features", "alias", "remove", "model@live", *where]) == 2


@pytest.mark.parametrize("each_catalog", ["sqlite"], indirect=True)  # a server's is of one store
@settings(max_examples=15)
@given(moves=st.lists(st.sampled_from([1, 2, None]), min_size=1, max_size=8))
def test_an_alias_is_where_its_last_move_put_it(tmp_path_factory, moves):
    with foldstore.connect(tmp_path_factory.mktemp("store") / "s") as store:
        store.create_dataset("rides").append({"driver": [1], "ts": [DAY[0]], "trips": [1], "tips": [1]})
        for features in (["trips"], ["tips"]):
            store.features.apply(foldstore.FeatureService("model", [view(*features)]), allow_breaking=True)
        aliases, stands = store.features.aliases, None
        for move in moves:
            if move is None:
                if stands is not None:
                    aliases.remove("model@live")
            else:
                aliases.set("model@live", f"model@{move}")
            stands = move
        assert aliases.list() == ({} if stands is None else {"model@live": f"model@{stands}"})
        kept = [move for n, move in enumerate(moves) if move != (moves[n - 1] if n else None)]
        assert (
            [each.service for each in aliases.history("model@live")]
            == [None if move is None else f"model@{move}" for move in kept]
            if kept
            else True
        )
