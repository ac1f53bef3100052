"""Make the golden store of the present format: ``python tests/golden/make.py tests/golden/format-NNNN``.

Each released format keeps the store that its own code wrote; tests open every one of them. A new format gets a new
folder, and the old ones stay as they are.
"""

import json
import shutil
import sqlite3
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path

import pyarrow as pa

import foldstore


def make(folder: Path) -> None:
    """Write a store with one of everything that the format has, and what reading it must give."""
    ticks = count()
    clock = lambda: datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=next(ticks))  # noqa: E731
    with foldstore.connect(folder, author="golden", clock=clock) as store:
        expected = _fill(store)
    database = sqlite3.connect(folder / "catalog.db")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.execute("PRAGMA journal_mode=DELETE")
    database.close()
    shutil.rmtree(folder / "staging", ignore_errors=True)
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def _fill(store: foldstore.Store) -> dict[str, object]:
    orders = store.create_dataset("orders", key=["id"], event_time="placed", derive={"day": "CAST(placed AS DATE)"})
    orders.append(_rows(0, 40), message="first")
    orders.append(_rows(40, 60), message="second", idempotency_key="load-2", properties={"source": "golden"})
    orders.set_schema(orders.latest.profile().infer_schema(), message="from the first two")
    orders.append(pa.table({**_columns(60, 62), "kind": pa.array(["odd", None])}))
    orders.append(_rows(60, 80), message="third")
    orders.add_columns({"large": "amount > 50"})
    store.view("orders@5").where("large").select("id", "amount").save("large-orders")
    orders.latest.split("halves", train=0.5, test=0.5, seed=3)
    things = store.create_dataset("things")
    things.append({"x": [1.5, None, float("nan")], "s": ["a", "", None]})
    _change(store)
    return {version.address: _digest(version) for each in store.datasets() for version in each.versions()}


def _change(store: foldstore.Store) -> None:
    """Write what the second format brought: every kind of commit, refs, runs, pins."""
    changes = store.create_dataset("changes", key=["id"])
    changes.append({"id": list(range(20)), "x": [n / 2 for n in range(20)], "name": [f"n{n}" for n in range(20)]})
    changes.delete("id % 5 = 0")
    changes.upsert({"id": [1, 50], "x": [0.5, None], "name": ["one", "fifty"]})
    changes.rename_columns({"name": "called"})
    changes.add_columns(pa.table({"id": [50], "city": ["Oslo"]}))
    changes.compact()
    changes.tag("paper", 3)
    changes.set_alias("champion", 2)
    work = changes.create_branch("work", 3)
    work.delete("id = 1")
    changes.drop_columns(["city"])
    changes.version(2).pin("report", reason="the figures of the report")
    with store.run("clean", params={"limit": 3}):
        store.version("changes@champion").to_arrow()
        changes.restore("paper")


def _columns(start: int, end: int) -> dict[str, pa.Array]:
    numbers = range(start, end)
    moments = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in numbers]
    return {
        "id": pa.array(numbers, pa.int64()),
        "placed": pa.array(moments, pa.timestamp("us", "UTC")),
        "amount": pa.array([None if n % 7 == 0 else n * 1.25 for n in numbers], pa.float64()),
        "price": pa.array([Decimal(n) / 4 for n in numbers], pa.decimal128(12, 2)),
        "kind": pa.array([["new", "used", None][n % 3] for n in numbers]).dictionary_encode(),
        "tags": pa.array([[f"t{n % 5}"] * (n % 3) for n in numbers], pa.list_(pa.string())),
    }


def _rows(start: int, end: int) -> pa.Table:
    return pa.table(_columns(start, end))


def _digest(version: foldstore.Version) -> dict[str, object]:
    rows = [{name: str(value) for name, value in row.items()} for row in version.to_arrow().to_pylist()]
    return {
        "status": str(version.status),
        "operation": str(version.record.operation),
        "message": version.record.message,
        "rows": rows[:3] + rows[-3:],
        "num_rows": version.num_rows,
        "types": {field.name: str(field.type) for field in version.arrow_schema},
    }


if __name__ == "__main__":
    make(Path(sys.argv[1]))
