"""Diff of two versions that share 99 % (target S9), against a full compare: a full join of both in DuckDB and polars.

Run with make bench. The full compares have both versions in memory as Arrow already; ours counts what differs from
the store, and is timed warm, as they are, and once on a store that was just opened.
"""

import shutil
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa

import foldstore
from benchmarks.measure import Row, interleave
from benchmarks.read import _events

ROWS = 2_000_000
SHARE = 0.01


def _keyed(rows, seed, ids):
    return _events(rows, seed).append_column("id", pa.array(ids))


def _make(folder, key):
    """Make two versions that share 99 %: rows that lie anywhere are replaced, and some appended."""
    draw = np.random.default_rng(7)
    with foldstore.connect(folder) as store:
        events = store.create_dataset("events", key=key)
        events.append(_keyed(ROWS, 0, np.arange(ROWS)))
        changed = draw.choice(ROWS, int(ROWS * SHARE) // 2, replace=False)
        fresh = np.arange(ROWS, ROWS + int(ROWS * SHARE) // 2)
        ids = np.concatenate([changed, fresh])
        if key:
            events.upsert(_keyed(len(ids), 1, ids))
        else:
            events.delete(f"id % {round(2 / SHARE)} = 3")
            events.append(_keyed(len(ids), 1, ids))


def _compare_in_duckdb(before, after):
    columns = [name for name in before.column_names if name != "id"]
    differ = " OR ".join(f'b."{name}" IS DISTINCT FROM a."{name}"' for name in columns)
    with duckdb.connect() as connection:
        connection.register("before_rows", before)
        connection.register("after_rows", after)
        return connection.sql(
            f"SELECT count(*) FILTER (WHERE b.id IS NULL), count(*) FILTER (WHERE a.id IS NULL), "
            f"count(*) FILTER (WHERE a.id IS NOT NULL AND b.id IS NOT NULL AND ({differ})) "
            "FROM before_rows b FULL JOIN after_rows a ON a.id = b.id"
        ).fetchall()[0]


def _compare_in_polars(before, after):
    columns = [name for name in before.columns if name != "id"]
    differ = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_right")) for name in columns)
    both = pl.col("id").is_not_null() & pl.col("id_right").is_not_null()
    joined = before.lazy().join(after.lazy(), on="id", how="full")
    return (
        joined.select(
            pl.col("id").is_null().sum().alias("added"),
            pl.col("id_right").is_null().sum().alias("removed"),
            (both & differ).sum().alias("changed"),
        )
        .collect()
        .row(0)
    )


def rows():
    folder = Path(tempfile.mkdtemp())
    try:
        for name, key in (("by key", ["id"]), ("by row id", [])):
            yield from _measure(folder / name.replace(" ", "-"), name, key)
    finally:
        shutil.rmtree(folder)


def _measure(folder, name, key):
    _make(folder, key)
    with foldstore.connect(folder) as store:
        started = time.perf_counter()
        events = store.dataset("events")
        first, last = events.version(1), events.latest
        found = events.diff(first, last)
        cold = (time.perf_counter() - started) * 1000
        before, after = first.to_arrow(), last.to_arrow()
        frames = pl.from_arrow(before), pl.from_arrow(after)
        counted = (found.num_added, found.num_removed, found.num_changed)
        if key and not counted == _compare_in_duckdb(before, after) == _compare_in_polars(*frames):
            raise AssertionError(f"the compares disagree: {counted}")
        best = interleave(
            {
                "ours": lambda: events.diff(1, last.number),
                "duckdb": lambda: _compare_in_duckdb(before, after),
                "polars": lambda: _compare_in_polars(*frames),
            },
            repeats=7,
        )
        yield Row(f"S9 diff {name}, 99 % shared", best["ours"], best["duckdb"], "DuckDB full join", limit=0.05)
        yield Row(f"S9 diff {name}, 99 % shared", best["ours"], best["polars"], "polars full join", limit=0.05)
        yield Row(f"S9 diff {name}, 99 % shared, first time", cold, best["duckdb"], "DuckDB full join")
