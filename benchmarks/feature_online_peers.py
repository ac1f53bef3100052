"""Materializing and lookups in the process beside Feast (rows F3 and F4): `make bench-feature-peers`.

Both have the same twenty thousand entities of 16 float32. Feast runs in an environment and a process of its own, with
a SQLite online store, its default; each side's clock runs inside of its process, and the least of several times counts.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.feature_server_peers import FEAST, JOB, ROOT, make_table
from benchmarks.measure import Row

_ENTITIES = 20_000
_HUNDRED = [{"user": f"user{number}"} for number in range(100)]
_AT = "2023-11-14T22:15:00Z"


def rows():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = make_table(_ENTITIES)
        pq.write_table(table, folder / "rows.parquet")
        ours, feasts = _ours(folder / "store", table), _feasts(folder)
        print(f"    Feast materializes {_ENTITIES / feasts['materialize']:.0f} entities a second")
        yield Row(
            f"F4 materialize {_ENTITIES:,} entities x 16",
            ours["materialize"] * 1e3, feasts["materialize"] * 1e3, "Feast on SQLite", limit=1,
        )  # fmt: skip
        for job, what in (("one", "one entity x 16"), ("hundred", "100 entities x 16")):
            yield Row(
                f"F3 {what}, to_dict()", ours[job] * 1e6, feasts[job] * 1e6, "Feast's SDK on SQLite", unit="us", limit=1
            )


def _ours(folder, table):
    import foldstore

    with foldstore.connect(folder) as store:
        store.create_dataset("events", key=["user", "ts"]).append(table)
        user = foldstore.Entity("user", keys={"user": "string"})
        view = foldstore.FeatureView(
            "stats", entity=user, source="events", event_time="ts", features=list(table.column_names[2:])
        )
        store.features.apply(foldstore.FeatureService("svc", [view]))

        def look(entities):
            return store.features.get_online_features("svc@1", entities, _AT).to_dict()

        taken = {"materialize": best_of(lambda: store.features.materialize("svc", full=True), 3)}
        found = look([{"user": "user77"}])
        if found["f0"] != [table.column("f0")[77].as_py()]:
            raise AssertionError(f"user77 has {found}")
        taken["one"] = best_of(lambda: look([{"user": "user77"}]), 200)
        taken["hundred"] = best_of(lambda: look(_HUNDRED), 50)
        return taken


def _feasts(folder):
    done = subprocess.run([FEAST, JOB, "measure", str(folder)], capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        sys.exit(done.stderr[-2_000:])
    return json.loads(done.stdout.splitlines()[-1])


def best_of(job, times):
    """Time a job as the peer's process times its own: `interleave` collects garbage in between, which cools caches."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        job()
        taken.append(time.perf_counter() - started)
    return min(taken)
