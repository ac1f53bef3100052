"""Windows over ten million events (target F6), against DuckDB's window query over the same table in memory.

Run with make bench. Count, sum, mean, least and greatest of the day before each event, for 100,000 entities. Ours
answers from a stored version: the first time it sorts and adds up the events, and keeps that. Then one percent more is
appended, and the windows of the new events are asked for. Figures are CPU time of all threads; sums are compared to
nine digits, for DuckDB adds doubles in an order of its own. Different values, a quantile and sessions, which do not
follow from those of old and new rows, are asked for one percent of the entities, before and after one percent more
events of theirs. A tenth of the events is materialized, anew and after 0.1 % more.
`FOLDSTORE_WINDOW_ROWS` says how many events there are.
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.measure import Row

EVENTS = int(os.environ.get("FOLDSTORE_WINDOW_ROWS", "10000000"))
ENTITIES = max(EVENTS // 100, 1)
DAY = 86_400_000_000
SPAN = 30 * DAY
FEW = max(ENTITIES // 100, 1)
FUNCTIONS = ("count", "sum", "mean", "min", "max")
QUERY = """
SELECT count(x) OVER w AS n, sum(x) OVER w AS s, avg(x) OVER w AS m, min(x) OVER w AS lo, max(x) OVER w AS hi
FROM events WINDOW w AS (
    PARTITION BY id ORDER BY event_timestamp RANGE BETWEEN INTERVAL 1 DAY PRECEDING AND INTERVAL 1 MICROSECOND PRECEDING
)
"""


def _events(rows, first, last, seed, entities=ENTITIES):
    chance = np.random.default_rng(seed)
    return pa.table(
        {
            "id": chance.integers(0, entities, rows),
            "event_timestamp": pa.array(np.sort(chance.integers(first, last, rows)), pa.timestamp("us", "UTC")),
            "x": chance.normal(size=rows),
            "kind": chance.integers(0, 20, rows),
        }
    )


def _timed(job):
    started = time.process_time()
    answer = job()
    return (time.process_time() - started) * 1000, answer


def _ask_duckdb(events):
    import duckdb

    with duckdb.connect() as connection:
        connection.sql("SET enable_progress_bar = false")
        connection.register("events", events)
        return connection.sql(QUERY).to_arrow_table()


def _compare(ours, theirs):
    """Compare what does not depend on the order of rows: how many rows windows held, and what all came to."""
    n = ours["x_count_1d"].fill_null(0).to_numpy()
    if n.sum() != theirs["n"].to_numpy().sum():
        raise AssertionError("the windows hold other rows")
    for name, other in (("x_sum_1d", "s"), ("x_mean_1d", "m"), ("x_min_1d", "lo"), ("x_max_1d", "hi")):
        here, there = (np.sort(column.drop_null().to_numpy()) for column in (ours[name], theirs[other]))
        if len(here) != len(there) or not np.allclose(here, there, rtol=1e-9, atol=1e-9):
            raise AssertionError(f"{name} differs")


def _ask_few(store, dataset):
    """Ask for functions that are not put together of tiles: the first time, and when there are new events."""
    import foldstore

    def apply(name, source):
        view = foldstore.FeatureView(
            name, entity=foldstore.Entity("id", keys={"id": "int64"}), source=source, event_time="event_timestamp",
            aggregations=[
                foldstore.Aggregation("distinct", "kind", time_window="1d"),
                foldstore.Aggregation("quantile", "x", time_window="1d", quantile=0.9),
                foldstore.Aggregation("mean", "x", time_window="12h", window="session"),
            ],
        )  # fmt: skip
        store.features.apply(foldstore.FeatureService(name, [view]))

    apply("few", dataset.name)
    labels = _events(EVENTS // 100, 0, SPAN, 3, FEW).select(["id", "event_timestamp"])
    first, _ = _timed(lambda: store.features.get_historical_features(labels, "few"))
    more = _events(EVENTS // 100, SPAN, SPAN + DAY // 3, 4, FEW)
    dataset.append(more)
    labels = more.select(["id", "event_timestamp"])
    added, answer = _timed(lambda: store.features.get_historical_features(labels, "few"))
    # Over the rows of these entities alone the same comes out: nobody else's are in their windows.
    own = dataset.latest.view().where(f"id < {FEW}").to_arrow()
    store.create_dataset("own").append(own)
    apply("alone", "own")
    if store.features.get_historical_features(labels, "alone") != answer:
        raise AssertionError("the windows of few differ")
    return first, added


def _materialize(store):
    """Lay the windows of a tenth of the events out, and then what 0.1 % more events change."""
    import foldstore

    dataset = store.create_dataset("served")
    dataset.append(_events(EVENTS // 10, 0, SPAN, 5))
    view = foldstore.FeatureView(
        "served", entity=foldstore.Entity("id", keys={"id": "int64"}), source="served", event_time="event_timestamp",
        aggregations=[foldstore.Aggregation(each, "x", time_window="1d") for each in FUNCTIONS],
    )  # fmt: skip
    store.features.apply(foldstore.FeatureService("served", [view]))
    anew = min(_timed(lambda: store.features.materialize("served", full=True))[0] for _ in range(3))
    more = []
    for number in range(3):
        dataset.append(_events(EVENTS // 10_000, SPAN, SPAN + DAY // 3, 6 + number))
        more.append(_timed(lambda: store.features.materialize("served"))[0])
    return anew, min(more)


def rows():
    import foldstore

    with tempfile.TemporaryDirectory() as name:
        events = _events(EVENTS, 0, SPAN, 1)
        more = _events(EVENTS // 100, SPAN, SPAN + DAY // 3, 2)
        with foldstore.connect(Path(name) / "store") as store:
            dataset = store.create_dataset("events")
            dataset.append(events)
            view = foldstore.FeatureView(
                "day", entity=foldstore.Entity("id", keys={"id": "int64"}), source="events",
                event_time="event_timestamp",
                aggregations=[foldstore.Aggregation(each, "x", time_window="1d") for each in FUNCTIONS],
            )  # fmt: skip
            store.features.apply(foldstore.FeatureService("day", [view]))
            asked = events.select(["id", "event_timestamp"])
            first, answer = _timed(lambda: store.features.get_historical_features(asked, "day"))
            duckdb, theirs = _timed(lambda: _ask_duckdb(events))
            _compare(answer, theirs)
            del answer, theirs
            again, _ = _timed(lambda: store.features.get_historical_features(asked, "day"))
            dataset.append(more)
            asked = more.select(["id", "event_timestamp"])
            added, _ = _timed(lambda: store.features.get_historical_features(asked, "day"))
            few, few_added = _ask_few(store, dataset)
            anew, laid_over = _materialize(store)
        yield Row(f"F6 windows at {EVENTS:,} events, first time, CPU", first, duckdb, "DuckDB window query", limit=1)
        yield Row(f"F6 windows at {EVENTS:,} events, kept, CPU", again, duckdb, "DuckDB window query")
        yield Row("F5 windows, materialize 0.1 % more events, CPU", laid_over, anew, "all anew", limit=0.1)
        yield Row("F6 one percent more events, CPU", added, first, "all of them", limit=0.05)
        yield Row(
            "F6 one percent more events of one percent, distinct, CPU", few_added, few, "the first time", limit=0.2
        )
