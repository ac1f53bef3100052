"""What the first training join over several windows holds in memory: tiles are made and asked part by part.

Run with make bench. Three windows over two columns, with means, spreads and extremes, asked at half a million events of
`FOLDSTORE_WINDOW_MEMORY_ROWS`; the limit is the answer and what one part takes. Half the events next: what is held
should not grow with them.
"""

import os
import tempfile
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.measure import Row, anonymous_memory

EVENTS = int(os.environ.get("FOLDSTORE_WINDOW_MEMORY_ROWS", "8000000"))
ASKED = 500_000
SPAN = 30 * 86_400_000_000
FUNCTIONS = ("sum", "mean", "std", "min", "max", "count")
LIMIT = 512  # MB beside the answer


def _events(rows, seed):
    chance = np.random.default_rng(seed)
    return pa.table(
        {
            "id": chance.integers(0, EVENTS // 100, rows),
            "event_timestamp": pa.array(np.sort(chance.integers(0, SPAN, rows)), pa.timestamp("us", "UTC")),
            "x": chance.normal(size=rows),
            "y": chance.normal(size=rows),
        }
    )


def _most_held(job):
    """Return what a job gives, and how much more memory was held at most than before it."""
    pa.default_memory_pool().release_unused()
    before, most, over = anonymous_memory(), [0], threading.Event()

    def watch():
        while not over.wait(0.005):
            most[0] = max(most[0], anonymous_memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        answer = job()
    finally:
        over.set()
        watcher.join()
    return answer, (most[0] - before) / 1e6


def rows():
    import foldstore

    asked = _events(ASKED, 2).select(["id", "event_timestamp"])
    with tempfile.TemporaryDirectory() as name, foldstore.connect(Path(name) / "store") as store:
        for number, events in enumerate((EVENTS // 2, EVENTS)):
            source = f"events{number}"
            store.create_dataset(source).append(_events(events, 1))
            view = foldstore.FeatureView(
                source, entity=foldstore.Entity("id", keys={"id": "int64"}), source=source,
                event_time="event_timestamp",
                aggregations=[
                    foldstore.Aggregation(function, column, time_window=window)
                    for window in ("1h", "1d", "7d") for column in ("x", "y") for function in FUNCTIONS
                ],
            )  # fmt: skip
            store.features.apply(foldstore.FeatureService(source, [view]))
            answer, held = _most_held(partial(store.features.get_historical_features, asked, source))
            beside = held - answer.nbytes / 1e6
            del answer
            yield Row(f"F6 first join over {events:,} events, memory", beside, LIMIT, "beside the answer", "MB", 1)
