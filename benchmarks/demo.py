"""The demo's time and peak memory by step. Run with make bench."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Row


def rows():
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "foldstore", "demo", str(Path(folder) / "flights_store"), "--json"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    steps = json.loads(done.stdout)["steps"]
    total = sum(step["seconds"] for step in steps)
    for step in steps:
        yield Row(f"demo, step {step['step']}: seconds of the whole", step["seconds"], total, "all", unit="s")
    for step in steps:
        yield Row(f"demo, step {step['step']}: peak memory", step["peak_memory_mb"], 1024, "1 GB", unit="MB", limit=1)
