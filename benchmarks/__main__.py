"""Print every figure, or those of the files named: `python -m benchmarks read query`."""

import json
import sys
import time
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from benchmarks.measure import machine

FILES = (
    "start", "read", "write", "history", "compare", "ingest", "query", "views", "judgement", "splits",
    "learning", "joins", "windows", "window_memory", "cleaning", "pools", "serve", "download", "cold", "demo",
)  # fmt: skip
# With peers in environments of their own: make bench-judgement-peers, make bench-feature-peers.
PEERS = ("judgement_peers", "feature_peers", "feature_online_peers", "feature_server_peers")
RESULTS = Path(__file__).parent / "results"


def main(names):
    unknown = set(names) - {*FILES, *PEERS}
    if unknown:
        sys.exit(f"There is no benchmark {min(unknown)!r}; there are {', '.join(FILES)}.")
    print(machine(), flush=True)
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / time.strftime("%Y%m%dT%H%M%SZ.jsonl", time.gmtime())).open("w") as kept:
        kept.write(json.dumps({"machine": machine()}) + "\n")
        for name in names or FILES:
            print(f"\n{name}", flush=True)
            for row in import_module(f"benchmarks.{name}").rows():
                print(f"  {row}", flush=True)
                kept.write(json.dumps({"file": name, **asdict(row), "ratio": row.ratio}) + "\n")
                kept.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
