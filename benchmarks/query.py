"""SQL (targets V1, V7), against DuckDB over the same Arrow table in memory. Run with make bench."""

import tempfile
from pathlib import Path

import duckdb

import foldstore
from benchmarks.events import events
from benchmarks.measure import Row, interleave

QUERY = "SELECT t0, avg(f0) AS mean, count(*) AS n FROM {name} WHERE n1 > 1000 GROUP BY t0 ORDER BY t0"


def rows():
    with tempfile.TemporaryDirectory() as folder, foldstore.connect(Path(folder) / "store") as store:
        table = events(2_000_000, 0)
        store.create_dataset("events").append(table)
        store.create_dataset("small").append(table.slice(0, 1000))
        with duckdb.connect() as connection:
            connection.register("held", table)
            best = interleave(
                {
                    "ours": lambda: store.sql(QUERY.format(name="events")).to_arrow(),
                    "duckdb": lambda: connection.sql(QUERY.format(name="held")).to_arrow_table(),
                }
            )
        yield Row("V1 group by over 2 M rows, by SQL", best["ours"], best["duckdb"], "DuckDB in memory", limit=1.1)
        best = interleave({"sql": lambda: store.sql("SELECT count(*) FROM small").rows()})
        yield Row("V7 SQL on a small version, call to rows", best["sql"], 5, "limit", limit=1)
