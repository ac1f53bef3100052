"""Start-up: `import foldstore` and `foldstore --help`, against an empty interpreter. Run with make bench.

Guards the front door: one engine imported at the top of a module would cost 200 ms and more.
"""

import subprocess
import sys

from benchmarks.measure import Row, interleave


def _run(*arguments):
    return lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def rows():
    best = interleave(
        {
            "python": _run("-c", "pass"),
            "import": _run("-c", "import foldstore"),
            "help": _run("-m", "foldstore", "--help"),
        },
        repeats=9,
    )
    yield Row("import foldstore, interpreter included", best["import"], 150, "limit", limit=1)
    yield Row("foldstore --help, interpreter included", best["help"], 300, "limit", limit=1)
    yield Row("an interpreter that imports nothing", best["python"], best["python"], "itself")
