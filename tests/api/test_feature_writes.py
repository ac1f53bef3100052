"""Feast's routes that write: its bodies are taken as they are."""

import pytest
from starlette.testclient import TestClient

from foldstore.api.app import create_app
from foldstore.api.tokens import TokenVault
from tests.features.online import DAY, columns, ride, serve_rides, trips

ROW = {"driver": [1], "ts": [DAY[9].isoformat()], "trips": [19], "city": ["Bern"]}


@pytest.fixture
def store(tmp_path):
    with serve_rides(tmp_path / "store", [ride(1, 0, 10), ride(1, 5, 15)]) as opened:
        yield opened


@pytest.fixture
def login(store):
    vault = TokenVault(store.registry("token"))

    def client(role, **how):
        token, _ = vault.create(role, author="tests", **how)
        app = create_app(store.features, vault, store=store)
        return TestClient(app, headers={"authorization": f"Bearer {token}"})

    return client


def test_rows_are_pushed_online_and_offline(login, store):
    editor = login("editor")
    body = {"push_source_name": "stats", "df": ROW, "allow_registry_cache": True, "transform_on_write": True}
    answer = editor.post("/push", json=body)
    assert (answer.status_code, answer.json()) == (200, None)
    assert trips(store, 1)[0] == 19
    assert store.dataset("rides").latest.address == "rides@1"
    late = {**ROW, "ts": [DAY[7].isoformat()], "trips": [17]}
    assert editor.post("/push", json={**body, "df": late, "to": "online_and_offline"}).status_code == 200
    assert (trips(store, 1)[0], trips(store, 1, 8)[0]) == (19, 17)
    assert store.dataset("rides").latest.address == "rides@2"


def test_services_are_materialized(login, store):
    editor = login("editor")
    store.dataset("rides").append(columns([ride(1, 9, 19)]))
    answer = editor.post("/materialize-incremental", json={"end_ts": "2024-02-01T00:00:00", "feature_views": ["stats"]})
    assert (answer.status_code, answer.json()) == (200, None)
    assert trips(store, 1)[0] == 19
    assert [each.changes for each in store.features.online_status()] == [1]
    body = {"start_ts": "2024-01-01T00:00:00", "end_ts": "2024-02-01T00:00:00", "feature_views": None}
    assert editor.post("/materialize", json=body).status_code == 200
    assert [each.changes for each in store.features.online_status()] == [0]


def test_feast_s_remote_client_is_understood(login, store):
    """What `feast` 0.67 sends: `RemoteOnlineStore.online_write_batch` and `FeatureStore.materialize`."""
    editor = login("editor")
    times = {"event_timestamp": ["2024-01-09T00:00:00"], "created": [None]}
    rows = {"driver": [1], "trips": [18], "city": ["Bern"], **times}
    body = {"feature_view_name": "stats", "df": rows, "allow_registry_cache": False}
    answer = editor.post("/write-to-online-store", json=body)
    assert (answer.status_code, answer.json()) == (200, None)
    assert (trips(store, 1)[0], trips(store, 1, 7)[0]) == (18, 15)
    span = {"start_ts": "2024-01-01T00:00:00+00:00", "end_ts": "2024-02-01T00:00:00+00:00", "full_feature_names": False}
    body = {**span, "feature_views": ["stats"], "disable_event_timestamp": False}
    assert editor.post("/materialize", json=body).status_code == 200
    body = {"end_ts": span["end_ts"], "feature_views": ["stats"], "full_feature_names": False}
    assert editor.post("/materialize-incremental", json=body).status_code == 200


def test_rows_with_the_view_s_own_names_are_written_too(login, store):
    body = {"feature_view_name": "stats", "df": ROW}
    assert login("editor").post("/write-to-online-store", json=body).status_code == 200
    assert trips(store, 1)[0] == 19


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/push", {"push_source_name": "nope", "df": ROW}, 404),
        ("/push", {"push_source_name": "stats", "df": {**ROW, "tips": [1]}}, 404),
        ("/push", {"push_source_name": "stats", "df": {"driver": [1]}}, 422),
        ("/push", {"push_source_name": "stats", "df": {**ROW, "driver": ["one"]}}, 422),
        ("/push", {"push_source_name": "stats", "df": {**ROW, "driver": 1}}, 422),
        ("/push", {"push_source_name": "stats", "df": {**ROW, "trips": []}}, 422),
        ("/push", {"push_source_name": "stats", "df": ROW, "to": "everywhere"}, 422),
        ("/push", {"df": ROW}, 422),
        ("/materialize", {"feature_views": ["nope"]}, 404),
        ("/materialize", {"feature_views": "stats"}, 422),
        ("/materialize", {"end_ts": "soon"}, 422),
        ("/materialize", {"start_ts": "2024-02-01T00:00:00", "end_ts": "2024-01-01T00:00:00"}, 422),
        ("/materialize", {"disable_event_timestamp": True}, 422),
        ("/materialize", {"version": "v2"}, 422),
        ("/materialize-incremental", {"start_ts": "2024-01-01"}, 422),
        ("/write-to-online-store", {"feature_view_name": "nope", "df": ROW}, 404),
        ("/write-to-online-store", {"df": ROW}, 422),
        ("/write-to-online-store", {"feature_view_name": "stats", "df": {"driver": [1]}}, 422),
        ("/write-to-online-store", {"feature_view_name": "stats", "df": {**ROW, "tips": [1]}}, 404),
        ("/write-to-online-store", {"feature_view_name": "stats", "df": {**ROW, "event_timestamp": 1}}, 422),
    ],
)
def test_what_does_not_fit_is_refused(login, store, path, body, status):
    answer = login("editor").post(path, json=body)
    assert answer.status_code in (status, 400)
    assert "detail" in answer.json()
    assert trips(store, 1)[0] == 15


@pytest.mark.parametrize("path", ["/push", "/write-to-online-store", "/materialize", "/materialize-incremental"])
def test_who_may_not_write_is_refused(login, path):
    body = {"push_source_name": "stats", "df": ROW} if path == "/push" else {}
    for role in ("viewer", "serving"):
        assert login(role).post(path, json=body).status_code == 403
    assert login("editor", names=("team-a.*",)).post(path, json=body).status_code == 403
