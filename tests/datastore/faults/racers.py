"""Writers who race: threads of one process, or processes, told at the same moment what to commit to which branch."""

import json
import subprocess
import sys
import threading

from foldstore.datastore.storage import open_storage
from foldstore.errors import ConflictError
from foldstore.store import Store
from tests.datastore.faults.operations import NAME, rows
from tests.killing import ROOT

# What they do: `first` keeps the keys of two writers apart.
ACTS = {
    "append": lambda d, first: d.append(rows([first, first + 1])),
    "upsert": lambda d, first: d.upsert(rows([first // 100, first + 2], first=first)),
    "upsert same key": lambda d, first: d.upsert(rows([3, 50], first=first)),
    "delete": lambda d, first: d.delete(f"id IN (4, {5 + first // 100})"),
    "add_columns": lambda d, first: d.add_columns({f"c{first}": "id * 2"}),
    "compact": lambda d, _: d.compact(),
    "overwrite": lambda d, first: d.overwrite(rows([1, first + 3])),
}


def attempt(store, branch, act, first):
    """Commit; return what became of it as plain data."""
    try:
        version = ACTS[act](store.dataset(NAME)._on_branch(branch), first)
    except ConflictError as error:
        return {"won": False, "retry": error.retry, "winners": error.facts.get("winners"), "message": error.message}
    return {"won": True, "number": version.number}


class Threads:
    """Writers in one process, each with the store opened for itself, or both with one."""

    def __init__(self, folder, count, *, shared=False, **how):
        self._storages = [open_storage(folder, **how) for _ in range(1 if shared else count)]
        self._stores = [Store(self._storages[n % len(self._storages)], f"writer {n}") for n in range(count)]

    def race(self, branch, acts):
        """Let each writer do its act; return what became of them."""
        outcomes = [None] * len(acts)
        barrier = threading.Barrier(len(acts))

        def work(n):
            barrier.wait()
            try:
                outcomes[n] = attempt(self._stores[n], branch, acts[n], 100 * (n + 1))
            except Exception as error:  # noqa: BLE001  # told to the main thread
                outcomes[n] = error

        threads = [threading.Thread(target=work, args=(n,)) for n in range(len(acts))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        return outcomes

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for storage in self._storages:
            storage.close()


class Processes:
    """Writers in processes of their own."""

    def __init__(self, folder, count, **how):
        code = "from tests.datastore.faults.racers import wait_for_acts; wait_for_acts()"
        self._writers = [
            subprocess.Popen(
                [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
            )
            for _ in range(count)
        ]
        self._tell([{"folder": str(folder), "author": f"writer {n}", "how": how} for n in range(count)])

    def race(self, branch, acts):
        """Let each writer do its act; return what became of them."""
        return self._tell([{"branch": branch, "act": act, "first": 100 * (n + 1)} for n, act in enumerate(acts)])

    def _tell(self, orders):
        for writer, order in zip(self._writers, orders, strict=True):
            writer.stdin.write(json.dumps(order) + "\n")
            writer.stdin.flush()
        return [json.loads(writer.stdout.readline()) for writer in self._writers]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for writer in self._writers:
            writer.stdin.close()
            writer.stdout.close()
            writer.wait()


def wait_for_acts():
    """Open the store of the first order on the standard input, do the acts of those that follow."""
    order = json.loads(sys.stdin.readline())
    from pathlib import Path

    with Store(open_storage(Path(order["folder"]), **order["how"]), order["author"]) as store:
        print("{}", flush=True)
        for line in sys.stdin:
            print(json.dumps(attempt(store, **json.loads(line))), flush=True)
