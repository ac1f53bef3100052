"""The point-in-time join of a million labels and two tables of ten million rows (targets F1, F2), against what is fast.

Run with make bench. 100,000 entities, four floats a table, ttl one day; tables are unsorted. F1 has everything
prepared: our indexes are mapped files over unsorted rows, while numpy, polars and pandas are given their tables sorted,
which they need; pandas is given the labels sorted by time as well, and answers in that order. F2 joins from stored
versions with nothing prepared, in a process of its own each, whose memory is watched; ours also keeps the indexes that
it built. `FOLDSTORE_JOIN_ROWS` says how many rows a table has.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.measure import Row, interleave

ENTITIES, LABELS = 100_000, 1_000_000
EVENTS = int(os.environ.get("FOLDSTORE_JOIN_ROWS", "10000000"))
DAY = 86_400_000_000
SPAN = 30 * DAY
TIME = pa.timestamp("us", "UTC")
REPEATS = 5


def rows():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables, labels = _tables(), _labels()
        _store(folder, tables, labels)
        yield from _prepared(folder, tables, labels)
        del tables, labels
        yield from _from_stored(folder)


def _tables():
    chance = np.random.default_rng(1)
    return [
        pa.table(
            {
                "id": chance.integers(0, ENTITIES, EVENTS),
                "ts": pa.array(chance.integers(0, SPAN, EVENTS), TIME),
                **{f"x{table}{n}": chance.normal(size=EVENTS) for n in range(4)},
            }
        )
        for table in (0, 1)
    ]


def _labels():
    chance = np.random.default_rng(2)
    times = pa.array(chance.integers(0, SPAN, LABELS), TIME)
    return pa.table({"id": chance.integers(0, ENTITIES, LABELS), "event_timestamp": times})


def _store(folder, tables, labels):
    import foldstore

    with foldstore.connect(folder / "store") as store:
        for number, table in enumerate(tables):
            store.create_dataset(f"t{number}").append(table)
        store.create_dataset("labels").append(labels)
        entity = foldstore.Entity("id", keys={"id": "int64"})
        views = [
            foldstore.FeatureView(
                f"v{table}", entity=entity, source=f"t{table}", event_time="ts", ttl="1d",
                features=[f"x{table}{n}" for n in range(4)],
            )
            for table in (0, 1)
        ]  # fmt: skip
        store.features.apply(foldstore.FeatureService("both", views))


def _numpy_join(prepared, labels):
    """Search sorted keys for sorted labels, and answer in the labels' order, as one would write it by hand."""
    asked = labels["id"].to_numpy() * SPAN + labels["event_timestamp"].cast(pa.int64()).to_numpy()
    order = np.argsort(asked)
    asked = asked[order]
    answer = []
    for keys, columns in prepared:
        places = np.searchsorted(keys, asked, side="right") - 1
        found = keys[places]
        missing = np.empty(len(asked), dtype=np.bool_)
        missing[order] = (places < 0) | (found < asked - DAY) | (found < asked - asked % SPAN)
        for column in columns:
            values = np.empty(len(asked))
            values[order] = column[places]
            answer.append(pa.array(values, mask=missing))
    return answer


def _sorted_arrays(table):
    keys = table["id"].to_numpy() * SPAN + table["ts"].cast(pa.int64()).to_numpy()
    order = np.argsort(keys)
    return keys[order], [table.column(place).to_numpy()[order] for place in range(2, table.num_columns)]


def _prepared(folder, tables, labels):
    import pandas as pd
    import polars as pl

    import foldstore

    arrays = [_sorted_arrays(table) for table in tables]
    left = pl.from_arrow(labels).sort("event_timestamp")
    right = [pl.from_arrow(table).sort("ts") for table in tables]

    def by_polars():
        joined = left
        for table in right:
            joined = joined.join_asof(
                table, left_on="event_timestamp", right_on="ts", by="id", tolerance="1d", check_sortedness=False
            )
        return joined

    frames = [left.to_pandas(), *(table.to_pandas() for table in right)]

    def by_pandas():
        joined, day = frames[0], pd.Timedelta("1d")
        for table in frames[1:]:
            joined = pd.merge_asof(joined, table, left_on="event_timestamp", right_on="ts", by="id", tolerance=day)
            joined = joined.drop(columns="ts")
        return joined

    with foldstore.connect(folder / "store") as store:
        first = time.perf_counter()
        ours = store.features.get_historical_features(labels, "both")
        first = (time.perf_counter() - first) * 1000
        theirs = _numpy_join(arrays, labels)
        for name, column in zip(ours.column_names[2:], theirs, strict=True):
            assert ours[name].combine_chunks() == column, name
        jobs = {
            "ours": lambda: store.features.get_historical_features(labels, "both"),
            "numpy": lambda: _numpy_join(arrays, labels),
        }
        best = interleave(jobs, repeats=REPEATS)
        spent = interleave(jobs, repeats=REPEATS, clock=time.process_time)
        by_others = interleave({"polars": by_polars, "pandas": by_pandas}, repeats=2)
        found = by_pandas()["x00"].count()
        assert found == len(ours) - ours["x00"].null_count, "pandas finds others"
    size = f"1 M x 2 x {EVENTS / 1e6:g} M"
    yield Row(f"F1 join {size}, index built", best["ours"], best["numpy"], "numpy, sorted", limit=1.5)
    yield Row(f"F1 join {size}, index built, CPU", spent["ours"], spent["numpy"], "numpy, sorted", limit=1.5)
    yield Row(f"F1 join {size}, index built", best["ours"], by_others["polars"], "polars, sorted", limit=1)
    yield Row(f"F1 join {size}, index built", best["ours"], by_others["pandas"], "pandas, sorted", limit=1)
    yield Row(f"F1 join {size}, the first, which builds them", first, best["numpy"], "numpy, sorted")


_OURS = """
def job(store):
    return store.features.get_historical_features("labels", "both")
"""
_DUCKDB = """
import duckdb
def job(store):
    connection = duckdb.connect()
    connection.execute("SET memory_limit = '4GB'; SET enable_progress_bar = false")
    for name in ("labels", "t0", "t1"):
        connection.register(name, store.version(name).to_arrow())
    return connection.sql('''SELECT l.*, a.* EXCLUDE (id, ts), b.* EXCLUDE (id, ts) FROM labels l
        ASOF LEFT JOIN t0 a ON l.id = a.id AND l.event_timestamp >= a.ts
        ASOF LEFT JOIN t1 b ON l.id = b.id AND l.event_timestamp >= b.ts''').to_arrow_table()
"""
_POLARS = """
import polars as pl
def job(store):
    joined = pl.from_arrow(store.version("labels").to_arrow()).sort("event_timestamp")
    for name in ("t0", "t1"):
        table = pl.from_arrow(store.version(name).to_arrow()).sort("ts")
        joined = joined.join_asof(
            table, left_on="event_timestamp", right_on="ts", by="id", tolerance="1d", check_sortedness=False)
    return joined
"""
_NUMPY = """
from benchmarks.joins import _numpy_join, _sorted_arrays
def job(store):
    tables = (store.version(name).to_arrow() for name in ("t0", "t1"))
    return _numpy_join((_sorted_arrays(table) for table in tables), store.version("labels").to_arrow())
"""
_WATCHED = """
import sys, threading, time
import foldstore
from benchmarks.measure import anonymous_memory
most, over = [0], threading.Event()
def watch():
    while not over.wait(0.005):
        most[0] = max(most[0], anonymous_memory())
with foldstore.connect(sys.argv[1]) as store:
    for name in ("labels", "t0", "t1"):
        store.version(name).to_arrow()
    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    answer = job(store)
    print(time.perf_counter() - started, end=" ")
    over.set()
    watcher.join()
    print(most[0])
"""


def _from_stored(folder):
    """Run each side in a process of its own, in turn: whatever it builds is in the time, and in the memory."""
    sides = {"ours": _OURS, "duckdb": _DUCKDB, "polars": _POLARS, "numpy": _NUMPY}
    best, memory = dict.fromkeys(sides, float("inf")), dict.fromkeys(sides, 0)
    for _ in range(2):
        for name, code in sides.items():
            for path in (folder / "store" / "indexes").glob("*/*"):
                path.unlink()
            done = subprocess.run(
                [sys.executable, "-c", code + _WATCHED, str(folder / "store")],
                capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent,
            )  # fmt: skip
            seconds, most = done.stdout.split()[-2:]  # after DuckDB's progress bar
            best[name] = min(best[name], float(seconds) * 1000)
            memory[name] = max(memory[name], int(most) / 1e6)
    engines = {name: spent for name, spent in best.items() if name in ("duckdb", "polars")}
    fastest = min(engines, key=engines.__getitem__)
    yield Row("F2 the same from stored versions", best["ours"], engines[fastest], fastest, limit=1.2)
    yield Row("F2 the same from stored versions", best["ours"], best["numpy"], "numpy by hand")
    for name in sides:
        limit = 1 if name == "ours" else None
        yield Row(f"F2 anonymous memory, {name}", memory[name], 1000, "1 GB", unit="MB", limit=limit)
