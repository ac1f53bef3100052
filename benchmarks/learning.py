"""Plans of test pools (target T2).

Run with make bench.
"""

import time

import foldstore
from benchmarks.measure import Row


def _timed(job):
    started = time.perf_counter()
    job()
    return (time.perf_counter() - started) * 1000


def _plan():
    condition = "n - o > 0 +/- 0.01 /\\ d < 0.12 +/- 0.01"
    spent = _timed(lambda: foldstore.plan_pool(condition, reliability=0.999, steps=32, reuse="max_passes:3"))
    yield Row("T2 plan a pool of 31,854 labels", spent, 1000, "limit", limit=1)


def rows():
    yield from _plan()
