"""Print every figure, or those of the files named: `python -m benchmarks read query`."""

import sys
from importlib import import_module

from benchmarks.measure import machine

FILES = ("start", "read", "write", "compare", "query", "judgement", "learning", "serve", "cold", "demo")


def main(names):
    unknown = set(names) - set(FILES)
    if unknown:
        sys.exit(f"There is no benchmark {min(unknown)!r}; there are {', '.join(FILES)}.")
    print(machine(), flush=True)
    for name in names or FILES:
        print(f"\n{name}", flush=True)
        for row in import_module(f"benchmarks.{name}").rows():
            print(f"  {row}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
