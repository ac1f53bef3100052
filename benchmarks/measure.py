"""How things are timed: interleaved, the minimum of CPU-bound repeats, ratios printed with the machine."""

import gc
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report: what was measured, against what, and what is allowed."""

    name: str
    ours: float
    other: float
    against: str
    unit: str = "ms"
    limit: float | None = None

    @property
    def ratio(self):
        return self.ours / self.other if self.other else float("inf")

    def __str__(self):
        verdict = (
            ""
            if self.limit is None
            else f" (at most {self.limit:g}: {'met' if self.ratio <= self.limit else 'MISSED'})"
        )
        return (
            f"{self.name:<58} {self.ours:>10.3f} {self.unit}   {self.against} {self.other:.3f} {self.unit}"
            f"   ratio {self.ratio:.2f}{verdict}"
        )


def interleave(
    jobs: dict[str, Callable[[], object]], *, repeats: int = 15, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Run the jobs in turn, several times; return the shortest time of each in milliseconds.

    `time.process_time` as the clock counts what all threads of the process worked, whatever else the machine does.
    """
    best = dict.fromkeys(jobs, float("inf"))
    for _ in range(repeats):
        for name, job in jobs.items():
            gc.collect()
            started = clock()
            job()
            best[name] = min(best[name], (clock() - started) * 1000)
    return best


def anonymous_memory() -> int:
    """Return the bytes of this process that no file stands behind."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("this system does not tell anonymous memory")


def machine() -> str:
    """Name the machine."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    )
