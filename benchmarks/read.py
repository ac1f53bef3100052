"""Reading a stored version (targets S1 to S3), against raw memory-mapped Arrow of the same rows, and beside peers.

Run with make bench. A scan touches every value, as a user of the columns would; the first read of a file in
a process also verifies its checksums, and both figures are shown. Memory is what no file stands behind.
"""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import foldstore
from benchmarks.events import COLUMNS, ROWS, keyed, map_raw, shuffled, write_raw
from benchmarks.measure import Row, anonymous_memory, interleave
from benchmarks.peers import beside, jobs_of, open_peers, remove_peers

MORE = ROWS // 100
_BELOW = 10_000  # of n0, and of id by hundreds: one row in a hundred


def rows():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = keyed(np.arange(ROWS), 0)
        more = keyed(np.arange(ROWS, ROWS + MORE), 1)
        with foldstore.connect(folder / "store") as store:
            events = store.create_dataset("events", key=["id"])
            events.append(table)
            events.append(more)
        raw = [write_raw(table, folder / "0.arrow"), write_raw(more, folder / "1.arrow")]
        peers = open_peers(folder)
        for peer in peers:
            peer.write(table)
        jobs_of(peers, lambda peer: peer.append(more))
        yield from _scan_rows(folder / "store", raw, peers)
        with foldstore.connect(folder / "store", create=False) as store:
            yield from _filter_rows(store, raw, peers)
            yield from _take_rows(store, raw, peers)
            yield from _memory(store)
        remove_peers(peers)


def _touch(table):
    return [pc.sum(table["f0"]), pc.sum(table["n1"]), pc.sum(pc.binary_length(table["t0"]))]


def _raw(paths):
    return pa.concat_tables([map_raw(path).select(COLUMNS) for path in paths])


def _scan_rows(root, raw, peers):
    def first():
        with foldstore.connect(root, create=False) as store:
            _touch(store.version("events@2").to_arrow(COLUMNS))

    best = interleave({"raw": lambda: _touch(_raw(raw)), "ours": first}, repeats=5)
    yield Row("S1 first scan of 3 columns, store opened, all verified", best["ours"], best["raw"], "raw mmap")
    with foldstore.connect(root, create=False) as store:
        version, old = store.version("events@2"), store.version("events@1")
        best = interleave({"raw": lambda: _raw(raw), "ours": lambda: version.to_arrow(COLUMNS)})
        yield Row("S1 open and read into Arrow alone", best["ours"], best["raw"], "raw mmap", limit=1.1)
        jobs = {"raw": lambda: _touch(_raw(raw)), "ours": lambda: _touch(version.to_arrow(COLUMNS))}
        best = interleave(jobs) | interleave(jobs_of(peers, lambda peer: _touch(peer.scan(COLUMNS))), repeats=3)
        name = "S1 scan of 3 columns, 2 M rows x 21"
        yield Row(name, best["ours"], best["raw"], "raw mmap", limit=1.1)
        yield from beside(name, best, peers)
        jobs = {"raw": lambda: _touch(_raw(raw[:1])), "ours": lambda: _touch(old.to_arrow(COLUMNS))}
        best = interleave(jobs) | interleave(jobs_of(peers, lambda peer: _touch(peer.scan(COLUMNS, 1))), repeats=3)
        name = "S1 the same of an old version"
        yield Row(name, best["ours"], best["raw"], "raw mmap", limit=1.1)
        yield from beside(name, best, peers)


def _filter_rows(store, raw, peers):
    version = store.version("events@2")
    held = pa.concat_tables([map_raw(path) for path in raw])
    for kind, name, below, limit in (("unsorted", "n0", _BELOW, 1.5), ("sorted", "id", 2 * _BELOW, 0.3)):
        for columns, few in ((COLUMNS, "3 columns"), (held.column_names, "all columns")):
            jobs = {
                "raw": lambda c=columns, n=name, b=below: held.select(c).filter(pc.less(held[n], b)),
                "ours": lambda c=columns, n=name, b=below: version.view().where(f"{n} < {b}").select(*c).to_arrow(),
            }
            assert jobs["raw"]().equals(jobs["ours"]())
            best = interleave(jobs)
            row = f"S2 filter 1 % by an {kind} column" if kind == "unsorted" else f"S2 filter 1 % by a {kind} column"
            if columns is COLUMNS:
                best |= interleave(jobs_of(peers, lambda peer, n=name, b=below: peer.filter(COLUMNS, n, b)), repeats=3)
            yield Row(f"{row}, {few}", best["ours"], best["raw"], "Arrow compute", limit=limit)
            yield from beside(row, best, peers)


def _gather(batches, starts, wanted):
    """Take rows batch by batch, each batch once, and put them in the order asked for."""
    order = np.argsort(wanted, kind="stable")
    places = wanted[order]
    edges = np.searchsorted(places, starts)
    parts = [
        batch.take(pa.array(places[low:high] - start))
        for batch, start, low, high in zip(batches, starts, edges[:-1], edges[1:], strict=False)
        if high > low
    ]
    return pa.Table.from_batches(parts).combine_chunks().take(pa.array(np.argsort(order, kind="stable")))


def _take_rows(store, raw, peers):
    version = store.version("events@2")
    batches = [batch for path in raw for batch in map_raw(path).to_batches()]
    starts = np.concatenate([[0], np.cumsum([batch.num_rows for batch in batches])])
    wanted = shuffled(ROWS)[:1_000]
    ids = version.row_ids()[wanted]
    jobs = {
        "raw": lambda: _gather(batches, starts, wanted),
        "ours": lambda: version.take(ids),
        "key": lambda: version.take(keys={"id": wanted}),
    }
    assert jobs["raw"]().equals(jobs["ours"]())
    assert jobs["raw"]().equals(jobs["key"]())
    best = interleave(jobs) | interleave(jobs_of(peers, lambda peer: peer.take(wanted)), repeats=3)
    name = "S3 1,000 random rows, 21 columns, store open"
    yield Row(f"{name}, by row id", best["ours"], best["raw"], "gather by batch", limit=1.5)
    yield Row(f"{name}, by key", best["key"], best["raw"], "gather by batch", limit=3)
    yield from beside(name, best, peers)


def _memory(store):
    version = store.version("events@2")
    version.to_arrow(COLUMNS)
    before, allocated = anonymous_memory(), pa.total_allocated_bytes()
    table = version.to_arrow(COLUMNS)
    growth = (anonymous_memory() - before + pa.total_allocated_bytes() - allocated) / 1e6
    del table
    yield Row("anonymous memory of a read of 0.35 GB", growth, 1.0, "limit", unit="MB", limit=1)
