"""Test pools: labels needed, planning, evaluating, error rates (targets T1 to T4). Run with make bench."""

import json
import os
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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
        ("f1(n) > 0.7 +/- 0.01 /\\ n[carrier = 'UA'] > 0.8 +/- 0.01", "none"),
        ("n / o > 1.02 +/- 0.01 /\\ d < 0.1 +/- 0.01", "full"),
        ("spared(n) > 4 +/- 0.1", "full"),
    ):
        foldstore.register_score("spared", _spared, low=0, high=5)
        options = {"reliability": 0.9999, "steps": 32, "reuse": reuse}
        labels = foldstore.plan_pool(text, **options).labels
        spent = interleave({"plan": lambda text=text, options=options: foldstore.plan_pool(text, **options)}, repeats=3)
        yield Row(f"T2 plan {text}, {labels:,} labels", spent["plan"], 1_000, "target", limit=1)


_EVERY_METRIC = (
    "precision(n) > 0.6 +/- 0.02 /\\ recall(n) > 0.6 +/- 0.02 /\\ f1(n) > 0.6 +/- 0.02 /\\ n / o > 1.01 +/- 0.02 /\\ "
    "n[carrier = 'UA', hour < 12] > 0.7 +/- 0.02 /\\ spared(n) > 3 +/- 0.1"
)


def _spared(predictions, labels):
    wrong = pc.not_equal(predictions, labels).cast("int64")
    return pc.subtract(5, pc.add(wrong, pc.multiply(4, pc.and_(labels, pc.invert(predictions)).cast("int64"))))


def evaluating():
    """T3: a million predictions against sealed labels: aligned, charged, decided, answered, durably."""
    foldstore.register_score("spared", _spared, low=0, high=5)
    options = {"reliability": 0.999, "steps": 64, "reuse": "full"}
    for name, plan in (
        ("n > 0.7", foldstore.plan_pool("n > 0.7 +/- 0.01", **options)),
        ("n > 0.7 by betting", foldstore.plan_pool("n > 0.7 +/- 0.01", method="betting", **options)),
        ("six metrics at once", foldstore.plan_pool(_EVERY_METRIC, **options)),
    ):
        spent, synced = _time_answers(plan)
        yield Row(f"T3 evaluate 1 M predictions, two durable writes: {name}", spent, 1_000, "target", limit=1)
        yield Row("   beside two writes with fsync", spent, 2 * synced, "fsync")


def _time_answers(plan):
    rows, draw = 1_000_000, np.random.default_rng(1)
    labels = draw.random(rows) < 0.4
    made = {
        "id": np.arange(2 * rows),
        "y": np.append(labels, labels),
        "part": np.repeat(["test", "train"], rows),
        "carrier": draw.choice(["UA", "AA", "DL"], 2 * rows),
        "hour": draw.integers(0, 24, 2 * rows),
    }
    with tempfile.TemporaryDirectory() as folder, foldstore.connect(Path(folder) / "store") as store:
        version = store.create_dataset("tasks", key=["id"]).append(pa.table(made))
        split = version.split("given", by_column="part", values={"test": ["test"], "train": ["train"]})
        old = np.where(draw.random(rows) < 0.3, ~labels, labels)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pool = store.pools.seal("p", split.test, label="y", plan=plan, baseline=old)
        guesses = iter([np.where(draw.random(rows) < 0.2, ~labels, labels) for _ in range(12)])
        keys = np.arange(rows)

        def ask():
            return pool.evaluate(pa.table({"id": keys, "prediction": next(guesses)}))

        spent = interleave({"ask": ask}, repeats=5)
        journal = Path(folder) / "synced"
        return spent["ask"], interleave({"fsync": lambda: _write_durably(journal)}, repeats=5)["fsync"]


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
    # F1 of 0.75 is a share of 0.6 of the rows that are called the class or are of it.
    rated = foldstore.plan_pool("f1(n) > 0.75 +/- 0.05", reliability=0.9, steps=2, reuse="none")
    passed = sum(rated.tests[0].passes(int(hits), rated.rows) for hits in draw.binomial(rated.rows, 0.6, size=runs))
    yield Row("T4 wrong passes of f1(n) > 0.75 at 0.75", passed / runs, level, "level", "", limit=room)
    inorder = foldstore.plan_pool("n > 0.8 +/- 0.05", reliability=0.9, steps=2, reuse="none", method="betting")
    few = runs // 20
    right = draw.random((few, inorder.rows)) < 0.8
    passed = sum(inorder.tests[0].look(row.astype(np.int64), inorder.rows)[0] for row in right)
    wide = 1 + 4 * np.sqrt((1 - level) / (level * few))
    yield Row("T4 wrong passes of n > 0.8 at 0.8, by betting", passed / few, level, "level", "", limit=wide)
    paired = foldstore.plan_pool("n - o > 0 +/- 0.05 /\\ d < 0.3 +/- 0.05", reliability=0.9, steps=2, reuse="none")
    for spread in (0.05, 0.15, 0.3):
        drawn = draw.multinomial(paired.rows, [spread / 2, spread / 2, 1 - spread], size=runs)
        passed = sum(decide(paired, Counts.paired(wins=int(w), losses=int(x), ties=int(t))) for w, x, t in drawn)
        yield Row(f"T4 wrong passes of n - o > 0 at 0, d = {spread}", passed / runs, level, "level", "", limit=room)
