"""Making new versions (targets S4 to S6), against writing the same bytes raw, and beside peers.

Run with make bench. Syncs are counted and printed. The raw side is shown twice: with the two fsyncs that a lone file
needs (its bytes, its name), and with as many as ours makes, each of one more page: what the promise costs by itself.
The peers bring nothing to the disk.
"""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import foldstore
from benchmarks.events import ROWS, keyed, shuffled, write_raw
from benchmarks.measure import Row
from benchmarks.peers import open_peers, remove_peers
from benchmarks.syncs import counted, sync_file, sync_often, timed

PART = ROWS // 100
_TURNS = 7


def rows():
    for kind, keys in (("sorted", np.arange(ROWS)), ("unsorted", shuffled(ROWS))):
        folder = Path(tempfile.mkdtemp())
        try:
            yield from _Bench(folder, kind, keys).rows()
        finally:
            shutil.rmtree(folder)


def _tree(folder, pattern):
    return sum(path.stat().st_size for path in folder.glob(pattern))


class _Bench:
    """A store whose dataset has its key in some order, and as many fresh peers."""

    def __init__(self, folder, kind, keys):
        self.folder, self.kind, self.keys = folder, kind, keys
        self.next = ROWS
        self.raw_files = 0

    def rows(self):
        table = keyed(self.keys, 0)
        self.peers = open_peers(self.folder)
        for peer in self.peers:
            peer.write(table)
        with foldstore.connect(self.folder / "store") as self.store:
            self.events = self.store.create_dataset("events", key=["id"])
            self.events.append(table)
            if self.kind == "sorted":
                self.widened = self.store.create_dataset("widened", key=["id"])
                self.widened.append(table)
            del table
            if self.kind == "sorted":
                yield from self._append()
            yield from self._upsert()
            if self.kind == "sorted":
                yield from self._add_column()
        remove_peers(self.peers)

    def _append(self):
        def part():
            self.next += PART
            return keyed(np.arange(self.next - PART, self.next), self.next)

        before = _tree(self.folder / "store", "catalog.db*")
        measured = self._measure(self.events.append, part)
        catalog = (_tree(self.folder / "store", "catalog.db*") - before) / _TURNS / 1024
        yield from self._report("S4 append 1 %", measured, bytes_limit=1.02)
        yield Row("S4 append 1 %: catalog growth a commit", catalog, 256, "limit", unit="kB", limit=1)
        yield from self._beside("S4 append 1 %", measured, lambda peer: peer.append(part()))

    def _upsert(self):
        chance = np.random.default_rng(5)

        def part():
            return keyed(chance.choice(self.keys, PART, replace=False), int(chance.integers(10**6)))

        name = f"S5 upsert 1 % by key, {self.kind}"
        measured = self._measure(self.events.upsert, part)
        yield from self._report(name, measured, bytes_limit=1.5, time_limit=None)
        for row in self._beside(name, measured, lambda peer: peer.upsert(part()), slow=True):
            yield row
            if row.against == "Lance" and row.unit == "ms":
                both = row.other + measured["promise"]
                yield Row(f"{name}: time", row.ours, both, "Lance + the other fsyncs", limit=1)

    def _add_column(self):
        first = self.widened.latest.to_arrow(["f0"])
        column = pa.table({"late": pc.multiply(first["f0"], 2.0)})
        names = iter(f"late{n}" for n in range(99))
        measured = self._measure(
            lambda _: self.widened.add_columns({next(names): "f0 * 2"}),
            lambda: column,
            lambda: pa.table({"late": pc.multiply(first["f0"], 2.0)}),
            turns=3,
        )
        yield from self._report("S6 add a column", measured, bytes_limit=1.02)
        yield from self._beside("S6 add a column", measured, lambda peer: peer.add_column(next(names)), slow=True)

    def _measure(self, ours, make, compute=None, turns=_TURNS):
        """Time ours, the raw write, and the syncs alone in turns; return the least of each and what was counted."""
        best = dict.fromkeys(("ours", "raw", "promise"), float("inf"))
        for _ in range(turns):
            data = make()
            os.sync()
            with counted(self.store) as syncs:
                version, spent = timed(lambda data=data: ours(data))
            best["ours"] = min(best["ours"], spent)
            os.sync()
            path, spent = timed(lambda data=data: self._write_raw(compute() if compute else data))
            best["raw"] = min(best["raw"], spent)
            os.sync()
            others = max(syncs.total - 2, 0)
            _, spent = timed(lambda others=others: sync_often(self.folder / "pages", others))
            best["promise"] = min(best["promise"], spent)
        return best | {"syncs": syncs, "bytes": version.record.bytes_added, "raw bytes": path.stat().st_size}

    def _write_raw(self, table):
        self.raw_files += 1
        path = write_raw(table, self.folder / f"{self.raw_files}.arrow")
        sync_file(path)
        sync_file(path.parent)
        return path

    def _report(self, name, best, bytes_limit, time_limit=1.5):
        print(f"  ({name}: {best['syncs']})", flush=True)
        both = best["raw"] + best["promise"]
        yield Row(f"{name}: time", best["ours"], best["raw"], "raw write + 2 fsyncs")
        yield Row(f"{name}: time", best["ours"], both, "raw write + as many fsyncs", limit=time_limit)
        sizes = best["bytes"] / 1e6, best["raw bytes"] / 1e6
        yield Row(f"{name}: bytes of objects", *sizes, "raw", unit="MB", limit=bytes_limit)

    def _beside(self, name, best, job, *, slow=False):
        for peer in self.peers:
            size = peer.num_bytes()
            try:
                spent = min(timed(lambda peer=peer: job(peer))[1] for _ in range(1 if slow else 3))
            except NotImplementedError:
                continue
            added = (peer.num_bytes() - size) / (1 if slow else 3) / 1e6
            yield Row(f"  {name}, beside {peer.name}", best["ours"], spent, peer.name)
            yield Row(f"  {name}, bytes beside {peer.name}", best["bytes"] / 1e6, added, peer.name, unit="MB")
