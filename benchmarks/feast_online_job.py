"""Feast's feature server, and Feast's client of a remote online store, in Feast's own environment.

`feast_online_job.py write FOLDER` writes rows to a SQLite online store;
`feast_online_job.py serve FOLDER PORT MOST` serves them as `feast serve` does, which ends a worker after MOST requests
(1,000 unless told otherwise; 0 for never);
`feast_online_job.py measure FOLDER` times the same writing, and lookups in the process;
`feast_online_job.py ask FOLDER URL` asks a server for entities by Feast's own client, unchanged, and prints what came.
The client's token is in FOLDSTORE_TOKEN.
"""

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.feature_server import start_server
from feast.types import Float32

FEATURES = [f"f{number}" for number in range(16)]
NAMES = [f"stats:{name}" for name in FEATURES]


def open_store(folder, online, **more):
    registry = {"path": str(folder / "registry.db"), "registry_type": "file"}
    config = RepoConfig(
        project="peers", provider="local", registry=registry, offline_store={"type": "duckdb"},
        online_store=online, entity_key_serialization_version=3, **more,
    )  # fmt: skip
    store = FeatureStore(config=config)
    user = Entity(name="user", join_keys=["user"], value_type=ValueType.STRING)
    view = FeatureView(
        name="stats", entities=[user], ttl=timedelta(days=36_500),
        schema=[Field(name=name, dtype=Float32) for name in FEATURES],
        source=FileSource(path=str(folder / "rows.parquet"), timestamp_field="ts"),
    )  # fmt: skip
    return store, [user, view]


def write(folder):
    store, definitions = open_store(folder, {"type": "sqlite", "path": str(folder / "online.db")})
    store.apply(definitions)
    store.write_to_online_store("stats", pd.read_parquet(folder / "rows.parquet"))


def serve(folder, port, most_requests):
    store, _ = open_store(folder, {"type": "sqlite", "path": str(folder / "online.db")})
    start_server(
        store, host="127.0.0.1", port=port, no_access_log=True, workers=1, worker_connections=1000,
        max_requests=most_requests, max_requests_jitter=50 if most_requests else 0, keep_alive_timeout=30,
        registry_ttl_sec=60, tls_key_path="", tls_cert_path="", metrics=False,
    )  # fmt: skip


def measure(folder):
    """Print how long it takes to materialize, and to look one entity and a hundred up: seconds, the least of some."""
    store, definitions = open_store(folder, {"type": "sqlite", "path": str(folder / "online.db")})
    store.apply(definitions)
    taken = {
        "materialize": time_least(lambda: store.materialize(datetime(2023, 1, 1, tzinfo=UTC), datetime.now(UTC)), 1)
    }
    for job, count, times in (("one", 1, 100), ("hundred", 100, 20)):
        asked = [{"user": f"user{number}"} for number in range(count)]
        taken[job] = time_least(
            lambda asked=asked: store.get_online_features(features=NAMES, entity_rows=asked).to_dict(), times
        )
    print(json.dumps(taken))


def time_least(job, times):
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        job()
        taken.append(time.perf_counter() - started)
    return min(taken)


def ask(folder, url):
    auth = {"type": "oidc", "token_env_var": "FOLDSTORE_TOKEN"}
    store, definitions = open_store(folder, {"type": "remote", "path": url}, auth=auth)
    local, _ = open_store(folder, {"type": "sqlite", "path": str(folder / "client.db")})
    local.apply(definitions)  # the client's registry is its own: the server is asked for values alone
    rows = [{"user": name} for name in ("user77", "user3", "nobody")]
    found = store.get_online_features(features=NAMES, entity_rows=rows).to_dict()
    print(json.dumps(found))


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(Path(sys.argv[2]))
    elif sys.argv[1] == "serve":
        serve(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    elif sys.argv[1] == "measure":
        measure(Path(sys.argv[2]))
    else:
        ask(Path(sys.argv[2]), sys.argv[3])
