"""Reading a large CSV into a version (target S8), against pyarrow's reader plus a raw write, each in a fresh process.

Run with make bench: 200 MB, or 1 GB with FOLDSTORE_BENCH_FULL=1. Memory is what no file stands behind, looked at every
few milliseconds; pages of the mapped output, which the system takes back when it wants, are not in it.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from benchmarks.events import events
from benchmarks.measure import Row, anonymous_memory
from benchmarks.syncs import sync_file

MEGABYTES = 1_000 if os.environ.get("FOLDSTORE_BENCH_FULL") else 200
_REPEATS = 3


def rows():
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "events.csv"
        _write_csv(path)
        done = {}
        for turn in range(_REPEATS):
            for way in ("raw", "ours"):
                command = [sys.executable, "-m", "benchmarks.ingest", way, str(path), str(Path(name) / f"{way}{turn}")]
                facts = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                if way not in done or facts["ms"] < done[way]["ms"]:
                    done[way] = facts
        size = f"S8 ingest a CSV of {path.stat().st_size / 1e6:,.0f} MB"
        yield Row(f"{size}: time", done["ours"]["ms"], done["raw"]["ms"], "pyarrow.csv + raw write", limit=1.3)
        yield Row(f"{size}: peak memory", done["ours"]["mb"], 512, "limit", unit="MB", limit=1)
        yield Row(f"{size}: peak memory", done["ours"]["mb"], done["raw"]["mb"], "pyarrow.csv, streamed", unit="MB")


def _write_csv(path):
    written, seed = 0, 0
    with path.open("wb") as file:
        while written < MEGABYTES * 1_000_000:
            options = pyarrow.csv.WriteOptions(include_header=not seed)
            pyarrow.csv.write_csv(events(50_000, seed), file, options)
            written, seed = file.tell(), seed + 1


def _raw(path, target):
    with pyarrow.csv.open_csv(path) as reader, pa.ipc.new_file(str(target), reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
    sync_file(target)
    sync_file(target.parent)


def _ours(path, target):
    import foldstore

    with foldstore.connect(target) as store:
        store.create_dataset("events").append(path)


class _Watch(threading.Thread):
    """Looks at the memory of the process until it is told to stop."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak, self.running = 0, True

    def run(self):
        while self.running:
            self.peak = max(self.peak, anonymous_memory())
            time.sleep(0.005)


def _child(way, path, target):
    import foldstore.connecting  # noqa: F401  # the start of a process is not what is measured

    watch = _Watch()
    watch.start()
    started = time.perf_counter()
    (_raw if way == "raw" else _ours)(Path(path), Path(target))
    spent = (time.perf_counter() - started) * 1000
    watch.running = False
    watch.join()
    print(json.dumps({"ms": spent, "mb": watch.peak / 1e6}))


if __name__ == "__main__":
    _child(*sys.argv[1:])
