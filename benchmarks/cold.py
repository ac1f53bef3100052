"""The cold tier on a year of flights: its bytes against Arrow's, and what reading it costs.

Run with make bench. A frozen file is decoded whole, whatever is read of it, once for each open store that reads it.
"""

import shutil
import tempfile
from pathlib import Path

import foldstore
from benchmarks.measure import Row, interleave

_FLIGHTS = Path(__file__).parent.parent / "sample_data" / "flights"


def rows():
    folder = Path(tempfile.mkdtemp())
    try:
        yield from _measure(folder / "store")
    finally:
        shutil.rmtree(folder)


def _measure(folder):
    with foldstore.connect(folder) as store:
        flights = store.create_dataset("flights")
        for month in sorted(_FLIGHTS.glob("*.parquet")):
            flights.append(month)
        version = flights.latest
        source = sum(path.stat().st_size for path in _FLIGHTS.glob("*.parquet"))
        store.create_dataset("hot").append(version.to_arrow(), order_by=["dep_delay"])
        moved = store.freeze(version.address, force=True)
    yield Row("cold tier: bytes of 12 months", moved.cold_bytes / 1e6, moved.hot_bytes / 1e6, "as Arrow", unit="MB")
    yield Row("cold tier: bytes of 12 months", moved.cold_bytes / 1e6, source / 1e6, "files that came", unit="MB")
    columns = ["carrier", "dep_delay", "arr_delay"]

    def read(name):
        with foldstore.connect(folder) as store:
            return sum(batch.nbytes for batch in store.version(name).to_batches(columns))

    best = interleave({"cold": lambda: read("flights"), "hot": lambda: read("hot")}, repeats=7)
    yield Row("cold tier: open the store, read 3 columns", best["cold"], best["hot"], "hot, verified")
