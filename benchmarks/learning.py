"""Plans and the point-in-time join (targets T2, F1), against DuckDB and polars.

Run with make bench. The join has 1 M labels and 5 M feature rows of 100,000 entities, four floats, ttl one day.
"""

import time

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa

import foldstore
from benchmarks.measure import Row, interleave
from foldstore.views.features.entity import Entity
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.features.join import FeatureTable, index_view, point_in_time_join

ENTITIES, LABELS, EVENTS = 100_000, 1_000_000, 5_000_000
DAY = 86_400_000_000


def _timed(job):
    started = time.perf_counter()
    job()
    return (time.perf_counter() - started) * 1000


def _plan():
    condition = "n - o > 0 +/- 0.01 /\\ d < 0.12 +/- 0.01"
    spent = _timed(lambda: foldstore.plan_pool(condition, reliability=0.999, steps=32, reuse="max_passes:3"))
    yield Row("T2 plan a pool of 31,854 labels", spent, 1000, "limit", limit=1)


def _join_rows():
    chance = np.random.default_rng(1)
    times = pa.timestamp("us", "UTC")
    events = pa.table(
        {
            "id": chance.integers(0, ENTITIES, EVENTS),
            "ts": pa.array(np.sort(chance.integers(0, 30 * DAY, EVENTS)), times),
            **{f"x{n}": chance.normal(size=EVENTS) for n in range(4)},
        }
    )
    labels = pa.table(
        {
            "id": chance.integers(0, ENTITIES, LABELS),
            "event_timestamp": pa.array(chance.integers(0, 30 * DAY, LABELS), times),
        }
    )
    return events, labels


def _join():
    events, labels = _join_rows()
    entity = Entity("id", keys={"id": "int64"})
    view = FeatureView("v", entity=entity, source="e", event_time="ts", ttl="1d", features=["x0", "x1", "x2", "x3"])
    index = index_view(view, events)
    selection = view[["x0", "x1", "x2", "x3"]]
    left = pl.from_arrow(labels).sort("event_timestamp")
    right = pl.from_arrow(events)
    query = """SELECT l.id, l.event_timestamp, e.x0, e.x1, e.x2, e.x3 FROM labels l
        ASOF LEFT JOIN events e ON l.id = e.id AND l.event_timestamp >= e.ts"""
    with duckdb.connect() as connection:
        connection.register("labels", labels)
        connection.register("events", events)
        best = interleave(
            {
                "prepared": lambda: point_in_time_join(labels, [FeatureTable(selection, index)]),
                "whole": lambda: point_in_time_join(labels, [FeatureTable(selection, index_view(view, events))]),
                "duckdb": lambda: connection.sql(query).to_arrow_table(),
                "polars": lambda: left.join_asof(
                    right, left_on="event_timestamp", right_on="ts", by="id", tolerance="1d", check_sortedness=False
                ),
            },
            repeats=3,
        )
    yield Row("F1 join 1 M labels x 5 M rows, index built", best["prepared"], best["duckdb"], "DuckDB ASOF")
    yield Row("F1 join, index built", best["prepared"], best["polars"], "polars join_asof, sorted")
    yield Row("F1 join, index built in it", best["whole"], best["duckdb"], "DuckDB ASOF", limit=1.2)


def rows():
    yield from _plan()
    yield from _join()
