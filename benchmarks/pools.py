"""Test pools: labels needed, planning, evaluating, error rates (targets T1 to T4). Run with make bench."""

import json
import os
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa

import foldstore
from benchmarks.measure import Row, interleave
from foldstore.validation.pools.decide import Counts, decide

_TABLE = Path(__file__).parent.parent / "tests" / "validation" / "pools" / "sample_sizes.json"
_PAIRED = "n - o > 0.02 +/- 0.01 /\\ d < 0.1 +/- 0.01"


def rows():
    yield from labels_needed()
    yield from planning()
    yield from evaluating()
    yield from error_rates()


def labels_needed():
    """T1: what ease.ml/ci asks for, and what an exact plan does; beneath it how many rows of the table agree."""
    table = json.loads(_TABLE.read_text(encoding="utf-8"))
    same = 0
    for row in table["hoeffding"]:
        text = {"F1": "n > 0.5 +/- {}", "F2": "n - o > 0.1 +/- {}"}[row["family"]].format(row["eps"])
        options = {"reliability": row["reliability"], "steps": row["steps"], "reuse": row["reuse"]}
        same += foldstore.plan_pool(text, method="hoeffding", **options).rows == row["rows"]
    differing = len(table["hoeffding"]) - same
    yield Row("T1 rows of ease.ml/ci's table that differ", differing, len(table["hoeffding"]), "rows", "", limit=0)
    for text, reuse, usual, most in (
        ("n > 0.9 +/- 0.01", "none", "hoeffding", 16_743 / 63_381),
        ("n > 0.97 +/- 0.01", "none", "hoeffding", 3_793 / 63_381),
        ("n > 0.9 +/- 0.01", "full", "hoeffding", 46_509 / 156_956),
        (_PAIRED, "none", "bennett", 0.75),
        (_PAIRED, "full", "bennett", 0.86),
    ):
        ours, theirs = (
            foldstore.plan_pool(text, reliability=0.9999, steps=32, reuse=reuse, method=method).labels
            for method in ("exact", usual)
        )
        yield Row(f"T1 {text}, {reuse}", ours, theirs, f"ease.ml/ci, {usual}", "labels", limit=most)


def planning():
    """T2: from a condition to a plan, below 100,000 labels."""
    for text, reuse in (
        ("n > 0.9 +/- 0.01", "full"),
        (_PAIRED, "full"),
        ("n - o > 0.02 +/- 0.01 /\\ d < 0.25 +/- 0.01", "none"),
    ):
        options = {"reliability": 0.9999, "steps": 32, "reuse": reuse}
        labels = foldstore.plan_pool(text, **options).labels
        spent = interleave({"plan": lambda text=text, options=options: foldstore.plan_pool(text, **options)}, repeats=3)
        yield Row(f"T2 plan {text}, {labels:,} labels", spent["plan"], 1_000, "target", limit=1)


def evaluating():
    """T3: a million predictions against sealed labels: aligned, charged, decided, answered, durably."""
    rows, draw = 1_000_000, np.random.default_rng(1)
    labels = draw.random(rows) < 0.4
    plan = foldstore.plan_pool("n > 0.7 +/- 0.01", reliability=0.999, steps=64, reuse="full")
    with tempfile.TemporaryDirectory() as folder, foldstore.connect(Path(folder) / "store") as store:
        made = {"id": np.arange(2 * rows), "y": np.append(labels, labels), "part": np.repeat(["test", "train"], rows)}
        version = store.create_dataset("tasks", key=["id"]).append(pa.table(made))
        split = version.split("given", by_column="part", values={"test": ["test"], "train": ["train"]})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pool = store.pools.seal("p", split.test, label="y", plan=plan)
        guesses = iter([np.where(draw.random(rows) < 0.2, ~labels, labels) for _ in range(12)])
        keys = np.arange(rows)

        def ask():
            return pool.evaluate(pa.table({"id": keys, "prediction": next(guesses)}))

        spent = interleave({"ask": ask}, repeats=5)
        journal = Path(folder) / "synced"
        synced = interleave({"fsync": lambda: _write_durably(journal)}, repeats=5)
    yield Row("T3 evaluate 1 M predictions, two durable writes", spent["ask"], 1_000, "target", limit=1)
    yield Row("   beside two writes with fsync", spent["ask"], 2 * synced["fsync"], "fsync")


def _write_durably(path):
    with path.open("ab") as file:
        file.write(b"." * 4_096)
        file.flush()
        os.fsync(file.fileno())


def error_rates():
    """T4: how often a candidate that lies on the bound passes, by simulation, beside the level it may have."""
    draw = np.random.default_rng(int(time.time()))
    runs, level = 40_000, 0.05
    # Four standard errors of the count: a right rate is called wrong once in 30,000 runs.
    room = 1 + 4 * np.sqrt((1 - level) / (level * runs))
    single = foldstore.plan_pool("n > 0.8 +/- 0.05", reliability=0.9, steps=2, reuse="first_change")
    right = draw.binomial(single.rows, 0.8, size=runs)
    passed = sum(decide(single, Counts(rows=single.rows, correct_new=int(each))) for each in right)
    yield Row("T4 wrong passes of n > 0.8 at 0.8", passed / runs, level, "level", "", limit=room)
    paired = foldstore.plan_pool("n - o > 0 +/- 0.05 /\\ d < 0.3 +/- 0.05", reliability=0.9, steps=2, reuse="none")
    for spread in (0.05, 0.15, 0.3):
        drawn = draw.multinomial(paired.rows, [spread / 2, spread / 2, 1 - spread], size=runs)
        passed = sum(decide(paired, Counts.paired(wins=int(w), losses=int(x), ties=int(t))) for w, x, t in drawn)
        yield Row(f"T4 wrong passes of n - o > 0 at 0, d = {spread}", passed / runs, level, "level", "", limit=room)
