"""The point-in-time join beside Feast (target F2), nothing prepared: `make bench-feature-peers`.

Ours joins from stored versions without an index, in a process of its own whose memory is watched; Feast joins from
Parquet files by its DuckDB store, likewise. Labels and tables are those of `benchmarks/joins.py`;
`FOLDSTORE_JOIN_ROWS` says how many rows a table has.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.joins import _OURS, _WATCHED, EVENTS, _labels, _store, _tables
from benchmarks.measure import Row

_ROOT = Path(__file__).parent.parent
_FEAST = _ROOT / ".venv-feast" / "bin" / "python"
_REPEATS = 2


def rows():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables, labels = _tables(), _labels()
        _store(folder, tables, labels)
        for table, rows_ in {"labels": labels, "t0": tables[0], "t1": tables[1]}.items():
            pq.write_table(rows_, folder / f"{table}.parquet")
        del tables, labels
        yield from _compare(folder)


def _compare(folder):
    ours, theirs = [], []
    for _ in range(_REPEATS):
        for path in (folder / "store" / "indexes").glob("*/*"):
            path.unlink()
        said = _run([sys.executable, "-c", _OURS + _COUNTED + _WATCHED, str(folder / "store")]).split()
        ours.append((float(said[-2]), int(said[-1])))
        theirs.append(json.loads(_run([str(_FEAST), "benchmarks/feast_job.py", str(folder)]).splitlines()[-1]))
        hits = [int(each) for each in said[:2]]
        if theirs[-1]["hits"] != hits:
            raise AssertionError(f"Feast finds {theirs[-1]['hits']}, ours {hits}")
    size = f"1 M x 2 x {EVENTS / 1e6:g} M"
    best, other = min(seconds for seconds, _ in ours), min(each["seconds"] for each in theirs)
    yield Row(f"F2 join {size}, nothing prepared", best * 1000, other * 1000, "Feast on DuckDB", limit=1)
    memory, held = max(most for _, most in ours) / 1e6, max(each["memory"] for each in theirs) / 1e6
    yield Row("   anonymous memory", memory, held, "Feast on DuckDB", unit="MB")


# What is found is counted too: a look at two numbers.
_COUNTED = """
_join = job
def job(store):
    joined = _join(store)
    print(*(len(joined) - joined[name].null_count for name in ("x00", "x10")), end=" ")
    return joined
"""


def _run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=_ROOT)
    if done.returncode:
        sys.exit(done.stderr[-2_000:])
    return done.stdout
