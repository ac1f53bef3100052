"""Reading three columns of a stored version into Arrow, against a raw memory-mapped IPC read of the same bytes.

Run with make bench. The scan touches every value, as a user of the columns would; the first read of a file in
a process also verifies its checksums, and both figures are shown. Memory is what no file stands behind.
"""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import foldstore
from benchmarks.measure import Row, anonymous_memory, interleave

COLUMNS = ["f0", "n1", "t0"]


def _events(rows, seed):
    chance = np.random.default_rng(seed)
    columns = {f"f{i}": chance.normal(size=rows) for i in range(10)}
    columns |= {f"n{i}": chance.integers(0, 10**6, rows) for i in range(6)}
    words = np.array([f"word{i}" for i in range(500)])
    columns |= {f"t{i}": words[chance.integers(0, 500, rows)] for i in range(4)}
    return pa.table(columns)


def _scan(table):
    return [pc.sum(table["f0"]), pc.sum(table["n1"]), pc.sum(pc.binary_length(table["t0"]))]


def _raw(paths):
    tables = []
    for path in paths:
        with pa.memory_map(str(path)) as source:
            tables.append(pa.ipc.open_file(source).read_all().select(COLUMNS))
    return pa.concat_tables(tables)


def rows():
    with tempfile.TemporaryDirectory() as folder:
        with foldstore.connect(Path(folder) / "store") as store:
            events = store.create_dataset("events")
            for part in range(4):
                events.append(_events(500_000, part))
        yield from _compare(Path(folder) / "store")


def _compare(root):
    with foldstore.connect(root, create=False) as store:
        version = store.version("events@4")
        paths = sorted(store.root.glob("objects/*/*.arrow"))
        first = interleave(
            {"raw": lambda: _scan(_raw(paths)), "ours": lambda: _scan(version.to_arrow(COLUMNS))}, repeats=1
        )
        yield Row("S1 first scan of 3 columns, 2 M rows, checksums verified", first["ours"], first["raw"], "raw mmap")
        best = interleave({"raw": lambda: _scan(_raw(paths)), "ours": lambda: _scan(version.to_arrow(COLUMNS))})
        yield Row("S1 scan of 3 columns, 2 M rows x 20", best["ours"], best["raw"], "raw mmap", limit=1.1)
        best = interleave({"raw": lambda: _raw(paths), "ours": lambda: version.to_arrow(COLUMNS)})
        yield Row("S1 open and read into Arrow alone", best["ours"], best["raw"], "raw mmap", limit=1.1)
        yield from _memory(store)


def _memory(store):
    version = store.version("events@4")
    small = store.version("events@1")
    growth = {}
    for name, each in (("a quarter", small), ("all", version)):
        each.to_arrow(COLUMNS)
        before, allocated = anonymous_memory(), pa.total_allocated_bytes()
        table = each.to_arrow(COLUMNS)
        growth[name] = (anonymous_memory() - before + pa.total_allocated_bytes() - allocated) / 1e6
        del table
    yield Row("anonymous memory of a read of 0.33 GB", growth["all"], 1.0, "limit", unit="MB", limit=1)
