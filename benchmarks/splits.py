"""Splits of 10 M rows on one core (target V6): by integer and string key, folds, strata, groups, near duplicates.

Run with make bench, or `python -m benchmarks splits`. A splitmix without stability is the floor; a Python loop over
xxhash is what a split by hash costs when it is written row by row. Stratified splits are measured beside a numpy
shuffle within strata, which is not stable as data grows; near duplicates beside Python sets of trigrams alone, before
anything is compared.
"""

import os
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import xxhash

from benchmarks.measure import Row, interleave
from foldstore.views.splits.fitting import FragmentRows, examine_split, fit_split
from foldstore.views.splits.fold_fitting import examine_folds
from foldstore.views.splits.folds import FoldSpec
from foldstore.views.splits.near import find_near
from foldstore.views.splits.split import SplitSpec
from foldstore.views.splits.tokens import mix

ROWS, TEXTS, PART = 10_000_000, 1_000_000, 100
FRAGMENT = 1 << 20


def _fragments(table):
    return [FragmentRows(str(start), table.slice(start, FRAGMENT)) for start in range(0, table.num_rows, FRAGMENT)]


@contextmanager
def _one_core():
    """Keep the process on one core, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _splitmix(numbers):
    hashes = mix(numbers.view(np.uint64))
    return (hashes >= np.uint64(2**63)).astype(np.uint8)


def _loop_numbers(numbers):
    digest = xxhash.xxh3_64_intdigest
    return [digest(b"\x02" + number.to_bytes(8, "little") + b"d/s/0") < 2**63 for number in numbers]


def _loop_texts(texts):
    digest = xxhash.xxh3_64_intdigest
    return [
        digest(b"\x05" + len(text).to_bytes(8, "little") + text + b"d/s/0") < 2**63 for text in map(str.encode, texts)
    ]


def _by_key():
    numbers = np.arange(ROWS) * 7919
    texts = pa.array(np.char.add("N", np.arange(ROWS).astype("U8")))
    tables = {"integer": pa.table({"id": numbers}), "string": pa.table({"id": texts})}
    part = ROWS // PART
    loops = {
        "integer": lambda: _loop_numbers(numbers[:part].tolist()),
        "string": lambda: _loop_texts(texts.slice(0, part).to_pylist()),
    }
    spec = SplitSpec("s", dataset="d", key=["id"])
    for kind, table in tables.items():
        best = interleave(
            {
                "ours": lambda table=table: fit_split(spec, _fragments(table)),
                "floor": lambda: _splitmix(numbers),
                "loop": loops[kind],
            },
            repeats=5,
        )
        yield Row(f"V6 split 10 M rows by {kind} key", best["ours"], 1000, "limit", limit=1)
        yield Row("   the same, against the floor", best["ours"], best["floor"], "splitmix in numpy")
        yield Row("   the same, against a loop", best["ours"], best["loop"] * PART, "xxhash in Python, 100 x a part")


def _shuffle_in_strata(labels, seed):
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    parts = np.empty(len(labels), np.uint8)
    for label in (0, 1):
        start, end = np.searchsorted(labels[order], [label, label + 1])
        middle = start + int(0.8 * (end - start))
        parts[order[start:middle]], parts[order[middle:end]] = 1, 3
    return parts


def _together():
    rng = np.random.default_rng(0)
    labels = (rng.random(ROWS) < 0.2).astype(np.uint8)
    table = pa.table({"id": np.arange(ROWS) * 7919, "g": rng.integers(0, 200_000, ROWS), "y": labels.astype(bool)})
    groups = SplitSpec("s", dataset="d", key=["id"], group_by=["g"], train=0.8, test=0.2)
    strata = SplitSpec("s", dataset="d", key=["id"], stratify="y", train=0.8, test=0.2)
    both = SplitSpec("s", dataset="d", key=["id"], group_by=["g"], stratify="y", train=0.8, test=0.2)
    folds = FoldSpec("cv", dataset="d", key=["id"], k=5)
    nested = FoldSpec("cv", dataset="d", key=["id"], k=5, inner=4)
    best = interleave(
        {
            "groups": lambda: examine_split(groups, _fragments(table)),
            "strata": lambda: examine_split(strata, _fragments(table)),
            "both": lambda: examine_split(both, _fragments(table)),
            "folds": lambda: examine_folds(folds, _fragments(table)),
            "nested": lambda: examine_folds(nested, _fragments(table)),
            "shuffle": lambda: _shuffle_in_strata(labels, 1),
        },
        repeats=3,
    )
    against = "numpy shuffle in strata, not stable"
    yield Row("10 M rows in 200,000 groups, large ones looked for", best["groups"], best["shuffle"], against)
    yield Row("10 M rows in strata, exactly, each key remembered", best["strata"], best["shuffle"], against)
    yield Row("10 M rows in strata of 200,000 groups", best["both"], best["shuffle"], against)
    yield Row("10 M rows in 5 folds", best["folds"], best["shuffle"], against)
    yield Row("10 M rows in 5 folds of 4 inner ones", best["nested"], best["shuffle"], against)


def _titles(count):
    rng = np.random.default_rng(1)
    letters = np.array(list("etaoinshrdlu"))
    words = np.array(["".join(rng.choice(letters, size)) for size in rng.integers(2, 9, 5_000)])
    titles = [" ".join(each)[:50] for each in words[rng.integers(0, len(words), (count, 10))]]
    for place in range(count // 10):  # one in ten is another one with a letter changed
        copied = titles[place]
        titles[-1 - place] = copied[:20] + "x" + copied[21:]
    return titles


def _near():
    titles = _titles(TEXTS)
    column = pa.chunked_array([titles])
    part = titles[: TEXTS // PART]
    best = interleave(
        {
            "near": lambda: find_near([column], 0.8),
            "sets": lambda: [{text[n : n + 3] for n in range(len(text) - 2)} for text in part],
        },
        repeats=3,
    )
    yield Row(
        "near duplicates among 1 M texts of 50 characters", best["near"], best["sets"] * PART, "Python sets alone"
    )


def rows():
    with _one_core():
        yield from _by_key()
        yield from _together()
        yield from _near()
