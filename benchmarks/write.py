"""Append 1 % and add a column (targets S4 and S6), against writing the same bytes raw with the same fsyncs.

Run with make bench. fsyncs are counted by the same class that makes them, and printed; the catalog's own are not.
"""

import os
import shutil
import tempfile
import time
from pathlib import Path

import pyarrow as pa

import foldstore
from benchmarks.measure import Row
from benchmarks.read import _events


def _raw_write(table, path):
    with path.open("xb") as file:
        with pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        file.flush()
        os.fsync(file.fileno())
    descriptor = os.open(path.parent, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    return path.stat().st_size


def _timed(job):
    started = time.perf_counter()
    result = job()
    return result, (time.perf_counter() - started) * 1000


def _tree(folder, pattern):
    return sum(path.stat().st_size for path in folder.glob(pattern))


def rows():
    folder = Path(tempfile.mkdtemp())
    try:
        yield from _measure(folder)
    finally:
        shutil.rmtree(folder)


def _measure(folder):
    base = _events(2_000_000, 0)
    with foldstore.connect(folder / "store") as store:
        events = store.create_dataset("events")
        events.append(base)
        ours, raw, added, raw_bytes, catalog = [], [], [], [], []
        for turn in range(7):
            part = _events(20_000, 100 + turn)
            before = _tree(folder / "store", "catalog.db*")
            version, spent = _timed(lambda part=part: events.append(part))
            catalog.append(_tree(folder / "store", "catalog.db*") - before)
            size, spent_raw = _timed(lambda part=part, turn=turn: _raw_write(part, folder / f"{turn}.arrow"))
            ours.append(spent)
            raw.append(spent_raw)
            added.append(version.record.bytes_added)
            raw_bytes.append(size)
        yield Row("S4 append 1 %: time", min(ours), min(raw), "raw write + 2 fsyncs", limit=None)
        yield Row("S4 append 1 %: bytes of objects", added[0] / 1e6, raw_bytes[0] / 1e6, "raw", unit="MB", limit=1.02)
        yield Row("S4 append 1 %: catalog growth", max(catalog) / 1024, 256, "limit", unit="kB", limit=1)
        version, spent = _timed(lambda: events.add_columns({"late": "f0 > n1"}))
        column = version.to_arrow(["late"])
        size, spent_raw = _timed(lambda: _raw_write(column, folder / "column.arrow"))
        yield Row(
            "S6 add a column to 2.1 M rows: bytes",
            version.record.bytes_added / 1e6,
            size / 1e6,
            "raw",
            unit="MB",
            limit=1.02,
        )
        yield Row("S6 add a column to 2.1 M rows: time", spent, spent_raw, "raw write + 2 fsyncs (not computed)")
