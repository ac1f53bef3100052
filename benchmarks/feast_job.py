"""Join features to labels by Feast from Parquet files; print its time, its memory and its answer's size as JSON.

It runs in an environment of its own, `.venv-feast`, alone: `feast_job.py FOLDER`. The folder has `labels.parquet`,
`t0.parquet` and `t1.parquet`; the DuckDB offline store is Feast's fastest on one machine.
"""

import json
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64


def resident():
    """Return the anonymous memory of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def main(folder):
    registry = {"path": str(folder / "registry.db"), "registry_type": "file"}
    config = RepoConfig(
        project="peers", provider="local", registry=registry, offline_store={"type": "duckdb"},
        online_store={"type": "sqlite", "path": str(folder / "online.db")}, entity_key_serialization_version=3,
    )  # fmt: skip
    store = FeatureStore(config=config)
    entity = Entity(name="id", join_keys=["id"], value_type=ValueType.INT64)
    views = [
        FeatureView(
            name=f"v{table}", entities=[entity], ttl=timedelta(days=1),
            schema=[Field(name=f"x{table}{n}", dtype=Float64) for n in range(4)],
            source=FileSource(path=str(folder / f"t{table}.parquet"), timestamp_field="ts"),
        )
        for table in (0, 1)
    ]  # fmt: skip
    store.apply([entity, *views])
    names = [f"v{table}:x{table}{n}" for table in (0, 1) for n in range(4)]
    most, over = [0], threading.Event()

    def watch():
        while not over.wait(0.005):
            most[0] = max(most[0], resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    labels = pd.read_parquet(folder / "labels.parquet")
    joined = store.get_historical_features(entity_df=labels, features=names).to_df()
    seconds = time.perf_counter() - started
    over.set()
    watcher.join()
    hits = [int(joined[f"x{table}0"].count()) for table in (0, 1)]
    print(json.dumps({"seconds": seconds, "memory": most[0], "rows": len(joined), "hits": hits}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
