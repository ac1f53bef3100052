"""Profile a Parquet file by whylogs and print the shortest of some times, in milliseconds.

whylogs 1.6 needs numpy 1, Foldstore numpy 2: this runs in an environment of its own, `.venv-whylogs`, alone.
"""

import sys
import time

import pyarrow.parquet as pq
import whylogs

frame = pq.read_table(sys.argv[1]).to_pandas()
best = float("inf")
for _ in range(int(sys.argv[2])):
    started = time.perf_counter()
    whylogs.log(pandas=frame)
    best = min(best, time.perf_counter() - started)
print(best * 1000)
