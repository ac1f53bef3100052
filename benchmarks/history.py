"""Versions after many versions, and their difference (targets S7 and S9). Run with make bench.

S7 makes 3,000 versions of ten rows each in a store of its own, or 10,000 with FOLDSTORE_BENCH_FULL=1.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import foldstore
from benchmarks.events import ROWS, keyed, shuffled
from benchmarks.measure import Row, interleave

VERSIONS = 10_000 if os.environ.get("FOLDSTORE_BENCH_FULL") else 3_000
_EACH = 10


def rows():
    with tempfile.TemporaryDirectory() as folder:
        yield from _long_history(Path(folder))
        yield from _difference(Path(folder))


def _part(number):
    return pa.table({"id": np.arange(number * _EACH, (number + 1) * _EACH), "x": np.full(_EACH, 0.5)})


def _scan(version):
    return pc.sum(version.to_arrow()["x"])


def _long_history(folder):
    started = time.perf_counter()
    spent = []
    with foldstore.connect(folder / "long") as store:
        events = store.create_dataset("events", key=["id"])
        for number in range(VERSIONS):
            before = time.perf_counter()
            events.append(_part(number))
            spent.append((time.perf_counter() - before) * 1000)
    print(f"  ({VERSIONS:,} appends took {time.perf_counter() - started:.0f} s)", flush=True)
    early, late = statistics.median(spent[5:50]), statistics.median(spent[-45:])
    # Minutes lie between the two: what else the machine did is in it, so that the limit is held side by side below.
    yield Row(f"S7 append after {VERSIONS:,} versions, median of 45", late, early, "at versions 5 to 50")
    yield from _side_by_side(folder)


def _side_by_side(folder):
    """Compare a long history with one of ten versions, in turns."""
    with foldstore.connect(folder / "short") as store:
        events = store.create_dataset("events", key=["id"])
        for number in range(10):
            events.append(_part(number))
    yield from _fresh(folder)
    with foldstore.connect(folder / "long", create=False) as store, foldstore.connect(folder / "short") as other:
        events, few = store.dataset("events"), other.dataset("events")
        yield from _opening(events, few)
        numbers = iter(range(VERSIONS, 10 * VERSIONS))
        jobs = {
            "long": lambda: events.append(_part(next(numbers))),
            "short": lambda: few.append(_part(next(numbers))),
        }
        best = interleave(jobs)
        yield Row("S7 append, side by side", best["long"], best["short"], "10 versions", limit=1.2)
        yield from _compaction(events, few)


def _opening(events, few):
    jobs = {"long": lambda: events.version(VERSIONS).num_rows, "short": lambda: few.version(10).num_rows}
    best = interleave(jobs)
    yield Row("S7 open the newest version", best["long"], best["short"], "10 versions", limit=1.2)
    jobs = {"long": lambda: events.version(5).arrow_schema, "short": lambda: few.version(5).arrow_schema}
    best = interleave(jobs)
    yield Row("S7 open version 5, with its columns", best["long"], best["short"], "10 versions", limit=1.2)


def _fresh(folder):
    def opened(name):
        with foldstore.connect(folder / name, create=False) as store:
            return store.version("events").num_rows

    best = interleave({"long": lambda: opened("long"), "short": lambda: opened("short")}, repeats=7)
    yield Row("S7 open the store and its newest version", best["long"], best["short"], "10 versions", limit=1.2)


def _compaction(events, few):
    long = events.latest
    _scan(long)
    before = interleave({"ours": lambda: _scan(long)}, repeats=3)["ours"]
    started = time.perf_counter()
    compacted = events.compact()
    print(f"  (compact() of {long.num_rows:,} rows took {time.perf_counter() - started:.1f} s)", flush=True)
    whole = few.overwrite(pa.concat_tables([long.to_arrow()]).combine_chunks())
    _scan(whole)
    best = interleave({"long": lambda: _scan(compacted), "whole": lambda: _scan(whole)})
    yield Row("S7 scan before compaction", before, best["whole"], "written at once")
    yield Row("S7 scan after compaction", best["long"], best["whole"], "written at once", limit=2)


def _difference(folder):
    """Compare two versions that share 99 % of their rows, by their files and by all of their rows."""
    with foldstore.connect(folder / "pair") as store:
        events = store.create_dataset("events", key=["id"])
        if not hasattr(events, "diff"):
            print("  (S9 is not measured: there is no Dataset.diff yet)", flush=True)
            return
        keys = shuffled(ROWS)
        old = events.append(keyed(keys, 0))
        new = events.upsert(keyed(keys[: ROWS // 100], 1))

        def compare():
            left, right = (version.to_arrow().sort_by("id") for version in (old, new))
            differ = [pc.not_equal(left[name], right[name]) for name in left.column_names]
            return sum(pc.sum(each).as_py() or 0 for each in differ)

        best = interleave({"ours": lambda: events.diff(old.number, new.number), "full": compare}, repeats=3)
    yield Row("S9 diff of versions that share 99 %", best["ours"], best["full"], "sort and compare", limit=0.05)
