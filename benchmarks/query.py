"""SQL (targets V1, V7), against DuckDB over the same Arrow table in memory. Run with make bench."""

import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

import foldstore
from benchmarks.events import events
from benchmarks.measure import Row, interleave

QUERY = "SELECT t0, avg(f0) AS mean, count(*) AS n FROM {name} WHERE n1 > 1000 GROUP BY t0 ORDER BY t0"


def rows():
    with tempfile.TemporaryDirectory() as folder, foldstore.connect(Path(folder) / "store") as store:
        table = events(2_000_000, 0)
        store.create_dataset("events").append(table)
        with duckdb.connect() as connection:
            connection.register("held", table)
            jobs = {
                "ours": lambda: store.sql(QUERY.format(name="events")).to_arrow(),
                "duckdb": lambda: connection.sql(QUERY.format(name="held")).to_arrow_table(),
            }
            best = interleave(jobs, repeats=30)
            work = interleave(jobs, repeats=30, clock=time.process_time)
        yield Row("V1 group by over 2 M rows, by SQL", best["ours"], best["duckdb"], "DuckDB in memory", limit=1.1)
        yield Row("V1 the same, work of all threads", work["ours"], work["duckdb"], "DuckDB in memory", limit=1.1)
        yield from _small(store, table.slice(0, 1000))
        yield from _narrow(store)


def _small(store, table):
    """Ask a version of a thousand rows: what is left is what a query costs before it looks at rows."""
    store.create_dataset("small").append(table)
    with duckdb.connect() as connection:
        connection.register("held", table)
        best = interleave(
            {
                "count": lambda: store.sql("SELECT count(*) FROM small").rows(),
                "group": lambda: store.sql(QUERY.format(name="small")).rows(),
                "duckdb": lambda: connection.sql(QUERY.format(name="held")).fetchall(),
            },
            repeats=50,
        )
    yield Row("V7 SQL on a small version, call to rows", best["count"], 5, "limit", limit=1)
    yield Row("V7 group by over a small version, call to rows", best["group"], 5, "limit", limit=1)
    yield Row("SQL on a small version, beside a table registered before", best["group"], best["duckdb"], "DuckDB")


def _narrow(store):
    """Ask for a narrow range of rows that came in order, with and without zones to say where they lie."""
    store.create_dataset("ordered").append(
        pa.table({"id": np.arange(4_000_000), "x": np.random.default_rng(7).random(4_000_000)})
    )
    best = interleave(
        {
            "pruned": lambda: store.sql("SELECT sum(x) FROM ordered WHERE id >= ?", [3_999_000]).rows(),
            "whole": lambda: store.sql("SELECT sum(x) FROM ordered WHERE id + 0 >= ?", [3_999_000]).rows(),
        }
    )
    yield Row("SQL over the last 1000 of 4 M rows, by zones", best["pruned"], best["whole"], "without zones", limit=1)
