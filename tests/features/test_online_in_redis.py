"""A store whose online store is Redis: hosts that have the catalog and not the folder answer as those that have it."""

import dataclasses
import datetime as dt
import json
import shutil

import pytest

import foldstore
from foldstore.api.app import create_app
from foldstore.api.tokens import TokenVault
from foldstore.datastore.storage import IDENTITY_FILE, read_identity
from foldstore.errors import NotFoundError, RefusedError, StoreError
from tests.api.conftest import assert_problem, client_of
from tests.features.online import DAY, columns, ride, rides_view, serve_rides, trips
from tests.killing import assert_killed, run
from tests.postgres import empty_catalog
from tests.redis import REDIS, empty_server

ROWS = [ride(1, 0, 10), ride(1, 4, 14), ride(2, 0, 20, None)]
AT = "2024-01-25T00:00:00Z"


@pytest.fixture(autouse=True)
def redis(monkeypatch, tmp_path):
    """Name the server, and leave nothing of the test's own stores on it: other tests run meanwhile."""
    import_redis = pytest.importorskip("redis")
    with empty_server() as (url, _):
        monkeypatch.setenv("FOLDSTORE_ONLINE_STORE", url)
        server = import_redis.Redis.from_url(url)
        yield server
        for store in {read_identity(file.parent) for file in tmp_path.glob(f"*/{IDENTITY_FILE}")}:
            names = list(server.scan_iter(f"foldstore:{store}:*"))
            if names:
                server.delete(*names)
        server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def catalog(request, tmp_path, monkeypatch):
    if request.param == "sqlite":
        yield request.param
        return
    with empty_catalog() as url:
        monkeypatch.setenv("FOLDSTORE_CATALOG_URL", url)
        yield request.param


@pytest.fixture
def hosts(tmp_path, catalog):
    """Give a store that is served, and a function that opens it on a host without the folder of the data."""
    store = serve_rides(tmp_path / "store", ROWS)
    opened = [store]

    def open_host(**options):
        folder = tmp_path / f"host-{len(opened)}"
        folder.mkdir()
        shutil.copy(tmp_path / "store" / IDENTITY_FILE, folder)
        if catalog == "sqlite":
            (folder / "catalog.db").symlink_to(tmp_path / "store" / "catalog.db")
        opened.append(foldstore.connect(folder, create=False, **options))
        return opened[-1]

    yield store, open_host
    for each in opened:
        each.close()


def answer(store, drivers=(1, 2, 9), day=20):
    found = store.features.get_online_features("model", [{"driver": each} for each in drivers], at=DAY[day])
    table = found.to_arrow(include_statuses=True, include_event_timestamps=True)
    return table.to_pydict(), [column.sources for column in found.columns()], found.materialization


def test_a_host_without_the_folder_answers_as_one_that_has_it(hosts):
    store, open_host = hosts
    host = open_host()
    assert answer(host) == answer(store)
    assert answer(host)[0]["city__status"] == [1, 2, 3]
    handles = [each.features.online("model") for each in (store, host)]
    assert [handle.get({"driver": 1}, DAY[3]) for handle in handles] == [handles[0].get({"driver": 1}, DAY[3])] * 2
    by_name = [
        each.features.get_features(["stats:city", "stats:trips"], [{"driver": 2}], at=DAY[9]) for each in (store, host)
    ]
    assert by_name[0].to_dict(include_statuses=True) == by_name[1].to_dict(include_statuses=True)
    assert [each.to_dict() for each in host.features.online_status()] == [
        each.to_dict() for each in store.features.online_status()
    ]


def test_the_views_of_a_service_are_asked_for_in_one_round_trip(hosts, redis, monkeypatch):
    from redis.connection import AbstractConnection

    store, open_host = hosts
    whole = store.features.service("model").selections[0].view
    others = [dataclasses.replace(whole, name=f"other{n}", features=["trips"]) for n in range(3)]
    store.features.apply(foldstore.FeatureService("many", [whole, *(each.as_(each.name) for each in others)]))
    cities = dataclasses.replace(whole, name="cities", features=["city"])
    store.features.apply(foldstore.FeatureService("pair", [whole[["trips"]], cities]))
    for service in ("many", "pair"):
        store.features.materialize(service)
    for name in ("stats", "other1"):
        row = ride(1, 6, 16)
        store.features.push(name, [row if name == "stats" else {key: row[key] for key in ("driver", "ts", "trips")}])
    host = open_host()
    sent = []
    send = AbstractConnection.send_packed_command
    monkeypatch.setattr(
        AbstractConnection,
        "send_packed_command",
        lambda self, *given, **how: (sent.append(1), send(self, *given, **how)),
    )

    def count(act):
        act()  # what is opened and read once is
        sent.clear()
        return act(), len(sent)

    entities = [{"driver": each} for each in (1, 2, 9)]
    ask = lambda each, service: each.features.get_online_features(  # noqa: E731
        service, entities, at=AT, full_feature_names=True
    ).to_dict(include_statuses=True)
    found, trips_of_many = count(lambda: ask(host, "many"))
    assert (trips_of_many, count(lambda: ask(host, "model"))[1]) == (1, 1)
    for service in ("many", "model"):  # as does a host that has the folder, and asks for what was pushed alone
        here, asked = count(lambda service=service: ask(store, service))
        assert (here, asked) == (ask(host, service), 1)
    assert (found["stats__trips"], found["other0__trips"], found["other1__trips"]) == (
        [16, 20, None], [14, 20, None], [16, 20, None],
    )  # fmt: skip
    handles = [each.features.online("pair") for each in (host, store)]
    for driver in (1, 2, 9):
        rows = [count(lambda each=each, driver=driver: each.get({"driver": driver}, DAY[20])) for each in handles]
        assert rows == [(rows[0][0], 1)] * 2
    redis.script_flush()  # as after the server was started anew
    assert ask(host, "many") == found


def test_pushes_deletes_and_new_versions_reach_it(hosts):
    store, open_host = hosts
    host = open_host()
    handle = host.features.online("model")
    store.features.push("stats", [ride(1, 6, 16)])
    assert (trips(host, 1), trips(host, 1, 5)) == ((16, "PRESENT"), (14, "PRESENT"))
    host.features.push("stats", [ride(9, 6, 96)])
    assert trips(store, 9) == (96, "PRESENT")
    store.dataset("rides").append(columns([ride(2, 8, 28, "Bern"), ride(1, 9, 19, "Rome")]))
    store.features.materialize("model")
    assert store.features.online_status()[0].changes == 1  # laid over what was there
    assert answer(host) == answer(store)
    assert answer(host)[1] == [("rides@2",), ("rides@2",)]
    assert handle.get({"driver": 1}, DAY[20]).values == {"trips": 19, "city": "Rome"}
    store.features.delete_online("stats", [{"driver": 1}], at=DAY[10])
    assert (trips(host, 1), trips(host, 1, 9)) == ((None, "NOT_FOUND"), (19, "PRESENT"))
    store.dataset("rides").delete("driver = 2")
    store.features.materialize("model")
    assert trips(host, 2) == trips(store, 2) == (None, "NOT_FOUND")


def test_it_answers_over_http(hosts):
    _, open_host = hosts
    host = open_host()
    vault = TokenVault(host.registry("token"))
    token = vault.create("editor", author="tester", expires_in=dt.timedelta(days=1))[0]
    client = client_of(create_app(host.features, vault, store=host), token)
    asked = {"service": "model@1", "entities": {"driver": [1, 2, 9]}, "at": AT}
    body = client.post("/v1/features:get", json=asked).json()
    assert body["features"]["trips"] == {
        "values": [14, 20, None],
        "statuses": ["PRESENT", "PRESENT", "NOT_FOUND"],
        "event_timestamps": ["2024-01-05T00:00:00Z", "2024-01-01T00:00:00Z", None],
        "sources": ["rides@1"],
    }
    assert_problem(client.post("/v1/features:get", json={**asked, "entities": {"driver": ["x"]}}), 422)
    pushed = {"push_source_name": "stats", "df": columns([{**ride(9, 6, 96), "ts": AT}]), "to": "online"}
    assert client.post("/push", json=pushed).status_code == 200
    assert client.post("/v1/features:get", json=asked).json()["features"]["trips"]["values"] == [14, 20, 96]


def test_one_that_is_read_only_changes_nothing(hosts):
    store, open_host = hosts
    store.features.log_lookups("model")
    host = open_host(read_only=True)
    assert answer(host) == answer(store)
    with pytest.raises(RefusedError, match="read only"):
        host.features.push("stats", [ride(1, 6, 16)])
    with pytest.raises(RefusedError, match="read only"):
        host.features.materialize("model")
    host.close()
    store.close()


def test_nothing_is_left_of_what_was_replaced(hosts, redis):
    store, _ = hosts

    def files():
        return store.features._layouts.pushes.base.files()

    for number in range(6):
        store.dataset("rides").append(columns([ride(1, 10 + number, number)]))
        store.features.materialize("model", full=True)
    assert len(files()) == 2  # what is served, and what was before it
    names = list(redis.scan_iter(f"foldstore:{read_identity(store._storage.root)}:*"))
    assert len([name for name in names if b":file:" in name and b":part:" in name]) == len(files())


def test_rows_that_the_server_lost_are_said_to_be_missing_and_materialized_again(hosts, redis):
    store, open_host = hosts
    host = open_host()
    handle = host.features.online("model")
    assert trips(host, 1) == (14, "PRESENT")
    redis.delete(*redis.scan_iter(f"foldstore:{read_identity(store._storage.root)}:file:*"))
    for ask in (lambda: trips(host, 1), lambda: handle.get({"driver": 1}, DAY[9])):
        with pytest.raises(StoreError, match="neither in the store's folder nor in the online store") as caught:
            ask()
        assert caught.value.code == "online-rows-missing"
    store.features.materialize("model")
    assert trips(host, 1) == (14, "PRESENT")
    assert handle.get({"driver": 1}, DAY[9]).values["trips"] == 14


def test_what_is_sealed_or_erased_is_gone_from_the_server(hosts, redis):
    store, open_host = hosts
    host = open_host()
    assert trips(host, 1) == (14, "PRESENT")
    store.features.forget_copies("rides")
    with pytest.raises(NotFoundError, match="not materialized"):
        trips(host, 1)
    assert not list(redis.scan_iter(f"foldstore:{read_identity(store._storage.root)}:file:*"))


ACT = """
from dataclasses import replace
from foldstore.store import Store
store = Store(replace(storage, online_url=url), "tester")
store.features.materialize("model", full=True)
"""


@pytest.mark.parametrize(("step", "old"), [("view-laid-out", True), ("copied", True), ("materialized", False)])
def test_a_materialization_that_is_killed_leaves_the_old_answer_or_the_new_one(tmp_path, redis, step, old):
    store = serve_rides(tmp_path / "store", ROWS)
    store.dataset("rides").append(columns([ride(1, 9, 19)]))
    store.close()
    assert_killed(run(ACT, tmp_path / "store", step, url=REDIS))
    shutil.move(tmp_path / "store" / "online", tmp_path / "aside")  # what is answered is the server's
    with foldstore.connect(tmp_path / "store") as store:
        assert trips(store, 1) == ((14 if old else 19), "PRESENT")
    shutil.move(tmp_path / "aside", tmp_path / "store" / "online")
    with foldstore.connect(tmp_path / "store") as store:
        store.features.materialize("model")
        base = store.features._layouts.pushes.base
        assert len(base.files()) == 2
    shutil.rmtree(tmp_path / "store" / "online")
    with foldstore.connect(tmp_path / "store") as store:
        assert trips(store, 1) == (19, "PRESENT")


def test_what_a_killed_run_left_is_removed_when_nobody_has_written_to_it_for_an_hour(tmp_path, redis):
    with serve_rides(tmp_path / "store", ROWS) as store:
        base = store.features._layouts.pushes.base
        base.put(b"leftover", b"about", 0, None)
        base.put(b"another.", b"about", 1, lambda _: [])
        name = f"foldstore:{read_identity(store._storage.root)}:file:{b'leftover'.hex()}"
        redis.hset(name, "written", int(redis.time()[0]) - 3_700)
        store.features.materialize("model")
        assert b"leftover" not in base.files()
        assert b"another." in base.files()


def test_another_service_of_the_view_is_served_by_the_same_rows(hosts):
    store, open_host = hosts
    before = len(store.features._layouts.pushes.base.files())
    store.features.apply(foldstore.FeatureService("other", [rides_view()[["city"]]]))
    store.features.materialize("other")
    assert len(store.features._layouts.pushes.base.files()) == before
    found = open_host().features.get_online_features("other", [{"driver": 1}], at=DAY[9])
    assert json.loads(json.dumps(found.to_dict())) == {"driver": [1], "city": ["Oslo"]}
