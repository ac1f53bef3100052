"""Each example of a body in the OpenAPI document does what it says, sent as it is to a store that has what it names."""

import datetime as dt
import json
import shutil
import warnings
from pathlib import Path

import pyarrow as pa
import pytest

import foldstore
from foldstore.api.access import ROLES
from foldstore.api.app import create_app
from foldstore.api.tokens import TokenVault
from tests.api.conftest import client_of

DOCUMENT = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
START = dt.datetime(2013, 1, 1, tzinfo=dt.UTC)
MONTH = dt.timedelta(days=30)
# Versions of flights by how many rows they bring, each of a month of its own; the others bring one.
MANY = {1: 2000, 5: 6000, 25: 6000}
EXAMPLES = {
    f"{method.upper()} {path}": (kind, content["example"], operation.get("x-scope"))
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    for kind, content in operation.get("requestBody", {}).get("content", {}).items()
    if "example" in content
}
PLACES = {"name": "flights", "ref": "1", "view": "delays", "alias": "live", "rule": "norway"}
KINDS = {
    "views": "jfk",
    "feature-services": "arrival",
    "transforms": "inputs",
    "test-pools": "late",
    "monitors": "nightly",
}
VERSION = "/v1/datasets/{name}/versions/{ref}"
# Where a path needs other names than these.
ELSEWHERE = {
    "POST /v1/datasets/{name}:add-columns": {"name": "raw"},
    "POST /v1/datasets/{name}:merge": {"name": "raw"},
    "POST /v1/datasets/{name}:transact": {"name": "small"},
    "POST /v1/datasets/{name}:validate": {"name": "judged"},
    "POST /v1/datasets/{name}/schema:accept": {"name": "judged"},
    "POST /v1/datasets/{name}/schema:diff": {"name": "judged"},
    "PUT /v1/datasets/{name}/schema": {"name": "keyless"},
    "PUT /v1/datasets/{name}/refs/{ref}": {"ref": "live"},
    **{
        f"POST {VERSION}:{verb}": {"name": "judged", "ref": "4"}
        for verb in ("release", "reject", "postpone", "validate")
    },
    f"POST {VERSION}:undeprecate": {"ref": "2"},
}
ASKED = {"POST /v1/schemas:import": {"form": "tfdv"}}
PLAN = {"condition": "n > 0.8 +/- 0.05", "reliability": 0.999, "steps": 8, "reuse": "max_passes:2"}


def make_flights(start, end, month):
    ids = range(start, end)
    return {
        "id": list(ids),
        "time_hour": [START + month * MONTH + dt.timedelta(hours=n % 700) for n in ids],
        "carrier": [("UA", "B6", "XX")[n % 3] for n in ids],
        "flight": pa.array([n % 97 for n in ids], pa.int32()),
        "tailnum": [f"N{n % 50:03}" for n in ids],
        "origin": [("JFK", "EWR")[n % 2] for n in ids],
        "dest": [("LAX", "BOS", "MIA")[n % 3] for n in ids],
        "arr_delay": [float(n % 45) for n in ids],
    }


def make_datasets(store):
    flights, at = store.create_dataset("flights", key=["id"], event_time="time_hour"), 0
    for month in range(1, 26):
        rows = make_flights(at, at + MANY.get(month, 1), month)
        commit = flights.overwrite if month == 25 else flights.append
        version = commit(rows | {"late": [delay > 15 for delay in rows["arr_delay"]]})
        at += version.record.rows_added
        if month == 5:
            version.split(
                "by_month", by_time="time_hour", boundaries=[str(START + n * MONTH)[:10] for n in (month - 1, month)]
            )
    flights.version(2).deprecate("wrong time zone")
    flights.set_alias("champion", 1)
    flights.version(1).pin("audit-2013", reason="asked for by the auditors")
    flights.version(1).consumers.register("model", "churn@3")
    raw = store.create_dataset("raw", key=["id"], event_time="time_hour")
    raw.append(make_flights(0, 90, 0))
    raw.append(make_flights(90, 99, 0))
    raw.create_branch("cleaning").delete("id = 98")
    judged = store.create_dataset("judged", key=["id"], event_time="time_hour")
    for n in range(3):
        judged.append(make_flights(300 * n, 300 * n + 300, n))
    judged.set_schema(judged.latest.profile().infer_schema())
    judged.append(make_flights(900, 1200, 3) | {"arr_delay": [None, 1.0] * 150})
    store.create_dataset("small", key=["id"]).append({"id": [7, 8], "carrier": ["XX", "B6"], "arr_delay": [1, 2]})
    store.create_dataset("keyless").append({"carrier": ["UA"]})


def make_rest(store):
    first = store.version("flights@1")
    halves = first.split("halves", train=0.5, test=0.5, seed=1)
    store.transforms.fit(foldstore.Transform("inputs", [foldstore.MinMax("arr_delay")]), halves.train)
    for column in ("id", "carrier"):
        first.view().select(column).save("jfk")
    first.view().save_draft("jfk")
    hourly = store.create_dataset("hourly", key=["carrier", "ts"], event_time="ts")
    hourly.append({"carrier": ["UA", "B6"], "ts": [START, START], "mean": [1.0, 2.0]})
    carrier = foldstore.Entity("carrier", keys={"carrier": "string"})
    delays = foldstore.FeatureView("delays", entity=carrier, source="hourly", event_time="ts", features=["mean"])
    for n in range(3):
        store.features.apply(foldstore.FeatureService("arrival", [delays], description=f"the {n + 1}th"))
        store.features.materialize(f"arrival@{n + 1}")
    store.create_dataset("rides", key=["driver", "ts"], event_time="ts").append(
        {"driver": [1], "ts": [START], "trips": [10]}
    )
    driver = foldstore.Entity("driver", keys={"driver": "int64"})
    stats = foldstore.FeatureView("stats", entity=driver, source="rides", event_time="ts", features=["trips"])
    store.features.apply(foldstore.FeatureService("rides", [stats]))
    store.features.materialize("rides@1")
    store.monitors.set("nightly", ["flights"])
    store.monitors.run("nightly")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The folder of a store that has what the examples name; each example is sent to a copy of it."""
    folder = tmp_path_factory.mktemp("examples") / "store"
    with foldstore.connect(folder, author="owner") as store, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make_datasets(store)
        make_rest(store)
    return folder


def commit_flights(store, client):
    client.post("/v1/datasets", json={"name": "flights", "key": ["id"]})
    for n in range(3):
        client.post("/v1/datasets/flights/versions", json=[{"id": n, "arr_delay": 500.0 + n}])


def make_one(store, client):
    store.create_dataset("flights", key=["id"]).append({"id": [1], "arr_delay": [500.0]})


def clean_one(store, client):
    make_one(store, client)
    client.post("/v1/datasets/flights/versions/1:clean", json=EXAMPLES[f"POST {VERSION}:clean"][1])
    return {"ref": "2"}


def seal(store, client):
    part = store.split("flights@5#by_month").test
    store.pools.seal("late", part, label="late", plan=foldstore.plan_pool(**PLAN))


def learn(store, client):
    store.features.create_training_set("arrival_training", labels="flights@5#by_month", features="arrival@1")


def begin(store, client):
    return {"run": client.post("/v1/runs", json={"name": "train"}).json()["id"]}


def begin_after_commits(store, client):
    commit_flights(store, client)
    return begin(store, client)


# What is done before, by the store or by a client with the same token; it may name more of the path.
BEFORE = {
    f"POST {VERSION}/leases/{{lease}}:renew": lambda _, client: {
        "lease": client.post("/v1/datasets/flights/versions/1/leases", json={}).json()["id"]
    },
    "POST /v1/tokens/{token}:rotate": lambda _, client: {
        "token": client.post("/v1/tokens", json={"role": "viewer"}).json()["id"]
    },
    **{f"POST /v1/test-pools/{{name}}{verb}": seal for verb in ("/draws", ":rotate", ":retire")},
    "POST /v1/feature-services/{name}/versions/{ref}:materialize": learn,
    **{f"POST /v1/runs/{{run}}:{verb}": begin for verb in ("use", "end")},
}
# The same, where nothing else may be there.
ALONE = {
    "POST /v1/datasets": lambda store, client: None,
    f"POST {VERSION}:clean": make_one,
    f"POST {VERSION}:undo-cleaning": clean_one,
    "POST /v1/runs/{run}:made": begin_after_commits,
}
# These need a model that has beaten another, and lookups that were logged in January 2026.
NOT_HERE = {
    "POST /v1/test-pools/{name}:promote",
    "POST /v1/feature-services/{name}/versions/{ref}:audit",
    "POST /v1/feature-services/{name}/versions/{ref}:skew",
}


@pytest.mark.filterwarnings("ignore::foldstore.store_views.DeprecatedInputWarning", "ignore::foldstore.LeakageWarning")
@pytest.mark.parametrize("name", sorted(EXAMPLES.keys() - NOT_HERE))
def test_it_works_as_it_is(kept, tmp_path, name):
    if name not in ALONE:
        shutil.copytree(kept, tmp_path / "store")
    kind, example, scope = EXAMPLES[name]
    method, path = name.split()
    with foldstore.connect(tmp_path / "store", author="owner") as store:
        role = "admin" if scope is None or scope in ROLES["admin"] else "steward"
        vault = TokenVault(store.registry("token"), clock=store.clock)
        app = create_app(store.features, vault, store=store)
        client = client_of(app, vault.create(role, author="t")[0])
        before = ALONE.get(name, BEFORE.get(name, lambda store, client: None))(store, client)
        places = places_of(name) | (before if isinstance(before, dict) else {})
        sent = (
            {"json": example} if kind == "application/json" else {"content": example, "headers": {"content-type": kind}}
        )
        answer = client.request(method, path.format(**places), params=ASKED.get(name), **sent)
        app.end()
    assert answer.is_success, answer.text


def places_of(name):
    path = name.split()[1]
    kind = path.split("/")[2].partition(":")[0] if path.startswith("/v1/") else ""
    return PLACES | ({"name": KINDS[kind]} if kind in KINDS else {}) | ELSEWHERE.get(name, {})
