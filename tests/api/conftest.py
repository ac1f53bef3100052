"""An app over a real catalog of materialized views, tokens of two roles, and a client for each."""

import datetime as dt

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

import foldstore
from foldstore.api.app import create_app
from foldstore.api.tokens import TokenVault
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.storage import open_storage
from foldstore.types import utc_now
from foldstore.views.features.entity import Entity
from foldstore.views.features.feature_service import FeatureService
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.online.catalog import OnlineCatalog
from foldstore.views.online.materialize import materialize_view
from foldstore.views.online.reader import OnlineReader

HOUR = dt.timedelta(hours=1)
NOON = dt.datetime(2024, 1, 10, 12, tzinfo=dt.UTC)
AT = "2024-01-10T12:00:00Z"


class Clock:
    """What time it is, until somebody moves it."""

    def __init__(self):
        self.now = utc_now()

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def stats():
    return FeatureView(
        "stats",
        entity=Entity("driver", keys={"driver_id": "int64"}),
        source="rides",
        event_time="event_ts",
        created_time="created_ts",
        ttl="1h",
        features=["x", "s", "f", "d"],
    )


@pytest.fixture
def features(tmp_path, stats):
    half, old = NOON - HOUR / 2, NOON - 3 * HOUR
    rows = [
        {"driver_id": 1, "event_ts": half, "created_ts": half, "x": 2**63 - 1, "s": "a", "f": 0.1, "d": 0.1},
        {"driver_id": 1, "event_ts": NOON - HOUR, "created_ts": NOON, "x": 5, "s": "old", "f": 1.0, "d": 1.0},
        {"driver_id": 2, "event_ts": half, "created_ts": half, "x": None, "s": "b", "f": float("nan"), "d": -0.0},
        {"driver_id": 3, "event_ts": old, "created_ts": old, "x": 30, "s": "c", "f": 3.0, "d": 3.0},
        {"driver_id": 4, "event_ts": half, "created_ts": half, "x": 4, "s": "</script>", "f": None, "d": float("inf")},
    ]
    schema = pa.schema(
        {
            "driver_id": pa.int64(),
            "event_ts": pa.timestamp("us", "UTC"),
            "created_ts": pa.timestamp("us", "UTC"),
            "x": pa.int64(),
            "s": pa.string(),
            "f": pa.float32(),
            "d": pa.float64(),
        }
    )
    table = pa.Table.from_pylist(rows, schema=schema)
    reader = OnlineReader(materialize_view(table, stats, tmp_path / "online", sources=["rides@7"]).path)
    online = OnlineCatalog()
    online.add(FeatureService("svc", [stats]), 1, [reader])
    online.add(FeatureService("svc", [stats[["s", "x"]]]), 2, [reader])
    return online


@pytest.fixture
def vault(tmp_path, clock):
    storage = open_storage(tmp_path / "store")
    yield TokenVault(Registry(storage.catalog, "token"), clock=clock)
    storage.close()


@pytest.fixture
def store(folder, clock):
    with foldstore.connect(folder, author="owner", clock=clock) as store:
        store.create_dataset("people", key=["id"]).append({"id": [1, 2]})
        yield store


@pytest.fixture
def store_vault(store, clock):
    """The tokens of the store, where `vault` has a catalog of its own."""
    return TokenVault(store.registry("token"), clock=clock)


@pytest.fixture
def people(folder):
    """A store whose dataset has two versions."""
    with foldstore.connect(folder, author="owner") as store:
        dataset = store.create_dataset("people", key=["id"])
        dataset.append({"id": [1, 2, 3], "town": ["A", "B", "A"]})
        dataset.append({"id": [4], "town": ["B"]})
        yield store


@pytest.fixture
def login_to_people(people):
    vault = TokenVault(people.registry("token"), clock=people.clock)
    app = create_app(people.features, vault, store=people)
    yield lambda role: client_of(app, vault.create(role, author="t")[0])
    app.end()


@pytest.fixture
def app(features, vault):
    return create_app(features, vault)


@pytest.fixture
def anonymous(app):
    return TestClient(app, raise_server_exceptions=False)


def client_of(app, token):
    return TestClient(app, raise_server_exceptions=False, headers={"authorization": f"Bearer {token}"})


@pytest.fixture
def token(vault):
    return vault.create("serving", author="tester", expires_in=dt.timedelta(days=1))


@pytest.fixture
def client(app, token):
    return client_of(app, token[0])


def assert_problem(answer, status, code=None):
    """An error has the one form that errors have, and tells nothing of the inside."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    members = {"type", "title", "status", "detail", "instance", "code", "hint", "error"}
    assert set(body) - {"retry"} == members
    assert ("retry" in body) == (body["error"] == "ConflictError")
    assert body["status"] == status
    assert body["type"] == f"urn:foldstore:error:{body['code']}"
    for secret in ("Traceback", 'File "', "/srv/", "sqlite", "sqlalchemy"):
        assert secret not in answer.text
    if code is not None:
        assert body["code"] == code
    return body


def told(answer, status):
    """Return what is said of an error, and what helps."""
    assert_problem(answer, status)
    return answer.json()["detail"], answer.json()["hint"]
